"""Fault points: nothing without a folder, and one death for each file."""

import signal
import subprocess
import sys

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


def test_a_file_kills_whoever_comes_to_its_point_once(tmp_path):
    code = (
        "import sys; from pathlib import Path; from mailrecall import faultpoints;"
        " faultpoints.reach(Path(sys.argv[1]), 'after_plan')"
    )
    (tmp_path / "after_plan").touch()
    (tmp_path / "before_plan").touch()

    ends = [subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode for _ in range(2)]

    assert ends == [-signal.SIGKILL, 0]
    assert [file.name for file in tmp_path.iterdir()] == ["before_plan"]
