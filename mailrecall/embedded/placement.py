"""Where PostgreSQL's programs and data lie when it runs as somebody else.

Started by root, PostgreSQL runs as `nobody`, who may not reach what root uses: a virtual environment or a data folder
below `/root`, say. The permissions of those folders are not ours to loosen, so what `nobody` cannot reach is put into a
private folder below `/var/lib/mailrecall` instead: the programs as a copy, the data for good.
"""

import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.unprivileged import User

PRIVATE = Path("/var/lib/mailrecall")


def reachable_programs(programs: Path, user: User | None) -> Path:
    """Return a folder of PostgreSQL's programs that the user can run them from: the given one, or a copy.

    Raises:
        EmbeddedError: the copy could not be made, or does not run.
    """
    if _runs(programs, user):
        return programs
    if user is None:
        raise EmbeddedError(f"PostgreSQL's programs in {programs} do not run on this machine.")
    package = programs.parent.parent
    stamp = f"{package}:{(programs / 'postgres').stat().st_mtime_ns}"
    target = PRIVATE / f"postgresql-{hashlib.sha256(stamp.encode()).hexdigest()[:12]}"
    copied = target / package.name / "pginstall" / "bin"
    if not target.exists():
        _private_folder()
        growing = target.with_name(f"{target.name}.{os.getpid()}")
        # the programs find their libraries by their relative place: package/ beside package.libs/
        for part in (package, package.with_name(package.name + ".libs")):
            if part.exists():
                shutil.copytree(part, growing / part.name, ignore=shutil.ignore_patterns("include", "__pycache__"))
        _open_for_reading(growing)
        try:
            growing.rename(target)
        except OSError:  # another start was faster
            shutil.rmtree(growing)
    if not _runs(copied, user):
        raise EmbeddedError(f"User {user.name} cannot run PostgreSQL's programs, neither from {programs} nor {copied}.")
    return copied


def reachable_folder(folder: Path, user: User | None, identity: str) -> Path:
    """Return the folder that the data directory can lie in: the given one if the user can reach it.

    Args:
        folder: an existing folder, the wished one.
        user: whom PostgreSQL runs as; None is the user we are.
        identity: names the private folder that is used instead.
    """
    if user is None or user.can_enter(folder):
        return folder
    _private_folder()
    private = PRIVATE / f"data-{identity}"
    private.mkdir(mode=0o711, exist_ok=True)
    private.chmod(0o711)
    return private


def _runs(programs: Path, user: User | None) -> bool:
    identity: dict[str, object] = {"user": user.uid, "group": user.gid, "extra_groups": ()} if user else {}
    try:
        trial = subprocess.run(  # type: ignore[call-overload]  # noqa: S603 - our own wheel's program
            [str(programs / "initdb"), "--version"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            check=False,
            **identity,
        )
    except OSError:
        return False
    return bool(trial.returncode == 0)


def _private_folder() -> None:
    try:
        PRIVATE.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and {PRIVATE} cannot be made for the user it runs as "
            f"({error.strerror}). Start `mailrecall` as an ordinary user."
        ) from None


def _open_for_reading(tree: Path) -> None:
    """Let everybody read and run a copy of public programs, whatever the umask and the modes of the original."""
    for path in (tree, *tree.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.stat().st_mode & 0o100 else 0o644)
