"""Fault points: nothing without a folder, one death for each file, and many for a folder."""

import signal
import subprocess
import sys
from pathlib import Path

from mailrecall import faultpoints
from mailrecall.faultpoints import Commit
from mailrecall.settings import Settings

SETTINGS = {
    "control_url": "postgresql://localhost/c",
    "shard_urls": "postgresql://localhost/s",
    "broker_url": "redis://b",
}


def test_without_a_folder_no_point_does_anything():
    faultpoints.configure(Settings.model_validate(SETTINGS))
    faultpoints.before(Commit.PLAN)
    faultpoints.after(Commit.PLAN)


def two_come_to(folder: Path) -> list[int]:
    """Return how two processes end that come to a point, one after the other."""
    code = (
        "import sys; from pathlib import Path; from mailrecall import faultpoints;"
        " faultpoints.reach(Path(sys.argv[1]), 'after_plan')"
    )
    return [subprocess.run([sys.executable, "-c", code, str(folder)], check=False).returncode for _ in range(2)]


def test_a_folder_kills_everybody_who_comes_to_its_point(tmp_path):
    (tmp_path / "after_plan").mkdir()

    assert two_come_to(tmp_path) == [-signal.SIGKILL, -signal.SIGKILL]


def test_a_file_kills_whoever_comes_to_its_point_once(tmp_path):
    (tmp_path / "after_plan").touch()
    (tmp_path / "before_plan").touch()

    ends = two_come_to(tmp_path)

    assert ends == [-signal.SIGKILL, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["before_plan"]
