"""Mail programs of Debian's, run as their users run them; where one is not installed its tests say how to get it."""

import os
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest


def needs(program: str, package: str | None = None) -> pytest.MarkDecorator:
    """Skip a test where a program is not installed."""
    return pytest.mark.skipif(
        shutil.which(program) is None,
        reason=f"{program} is not installed: apt-get install {package or program}",
    )


def run(
    *command: str | Path, home: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a program with a home of its own."""
    return subprocess.run(
        [str(part) for part in command],
        env={**os.environ, "HOME": str(home), "LC_ALL": "C.UTF-8", **(environment or {})},
        cwd=home,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=120,
        check=False,
    )


def succeed(*command: str | Path, home: Path, environment: Mapping[str, str] | None = None) -> bytes:
    """Run a program that is to succeed, and return what it printed."""
    done = run(*command, home=home, environment=environment)
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}\n{done.stdout!r}\n{done.stderr!r}"
    return done.stdout


def private(file: Path, text: str) -> Path:
    """Write a file that only its owner may read, as programs ask of files with passwords."""
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)
    return file
