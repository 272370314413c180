"""The user that PostgreSQL runs as when the stack is started by root, which PostgreSQL refuses to serve."""

import os
import pwd
import subprocess
from dataclasses import dataclass
from pathlib import Path

from mailrecall.embedded.errors import EmbeddedError

_NAME = "nobody"


@dataclass(frozen=True, slots=True)
class User:
    """An existing unprivileged user."""

    name: str
    uid: int
    gid: int

    def can_enter(self, folder: Path) -> bool:
        """Tell whether the user may enter a folder, by trying: modes alone do not tell of ACLs and mount options."""
        trial = subprocess.run(  # noqa: S603 - the folder is an argument of the script, not part of it
            ["/bin/sh", "-c", 'cd "$0"', str(folder)],
            user=self.uid,
            group=self.gid,
            extra_groups=(),
            cwd="/",
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return trial.returncode == 0


def postgres_user() -> User | None:
    """Return the user that PostgreSQL must run as: None is the user we are.

    Raises:
        EmbeddedError: we are root and there is nobody else to be.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(_NAME)
    except KeyError:
        raise EmbeddedError(
            f"PostgreSQL does not run as root, and this system has no user `{_NAME}` to run it as. "
            "Start `mailrecall` as an ordinary user."
        ) from None
    return User(entry.pw_name, entry.pw_uid, entry.pw_gid)
