"""What an operator would do without us: `doveadm expunge` over everybody's mailbox, where Dovecot is installed.

Dovecot is started in a folder of its own, with maildirs, no listeners, and a thousand users.
"""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.dataset import BACKGROUND
from benchmarks.errors import BenchmarkError
from mailrecall.embedded.deadlines import poll

USERS = 1_000
_READ = 3
"""Of ten users, how many have read the message."""

_CONFIGURATION = """
base_dir = {folder}/base
log_path = {folder}/log
protocols =
ssl = no
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:~/Maildir
passdb {{
  driver = passwd-file
  args = {folder}/users
}}
userdb {{
  driver = passwd-file
  args = {folder}/users
}}
"""

_MESSAGE = (
    "Message-ID: <{name}@bench.example>\r\nFrom: account1@bench.example\r\nTo: all@bench.example\r\n"
    "Subject: One of many\r\n\r\n" + "There is nothing in here that anybody would want back.\r\n" * 20
)


def installed() -> bool:
    """Tell whether Dovecot is here, and we are somebody who can run it for other users."""
    return os.geteuid() == 0 and all(shutil.which(name) for name in ("dovecot", "doveadm"))


def version() -> str:
    """Return Dovecot's version."""
    return _run(["dovecot", "--version"]).split()[0]


@contextmanager
def running() -> Iterator["Dovecot"]:
    """Run Dovecot with filled mailboxes until the block ends."""
    with tempfile.TemporaryDirectory(prefix="mailrecall-dovecot-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        folder.chmod(0o755)
        dovecot = Dovecot(folder)
        dovecot.fill()
        process = subprocess.Popen(  # noqa: S603 - the program that `installed` found
            [_program("dovecot"), "-F", "-c", str(dovecot.configuration)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            if not poll((folder / "base" / "auth-userdb").exists, timeout=60):
                raise BenchmarkError("Dovecot did not start.")
            yield dovecot
        finally:
            process.terminate()
            process.wait(30)


class Dovecot:
    """A Dovecot whose users all have the same mails."""

    def __init__(self, folder: Path) -> None:
        """Prepare a folder for it."""
        self._folder = folder
        self._round = 0
        self.configuration = folder / "dovecot.conf"

    def fill(self) -> None:
        """Make the users and their older mails."""
        owner = pwd.getpwnam("nobody")
        self.configuration.write_text(_CONFIGURATION.format(folder=self._folder), encoding="ascii")
        users = [f"user{number}" for number in range(USERS)]
        lines = (f"{u}:{{PLAIN}}x:{owner.pw_uid}:{owner.pw_gid}::{self._folder}/mail/{u}::\n" for u in users)
        (self._folder / "users").write_text("".join(lines), encoding="ascii")
        for user in users:
            for part in ("cur", "new", "tmp"):
                (self._folder / "mail" / user / "Maildir" / part).mkdir(parents=True)
            for older in range(BACKGROUND):
                self._put(user, f"older{older}", read=older % 2 == 0)
        for root, _folders, files in os.walk(self._folder / "mail"):
            for name in (".", *files):
                os.chown(os.path.join(root, name), owner.pw_uid, owner.pw_gid)  # noqa: PTH118 - twenty thousand of them

    def expunge(self) -> float:
        """Deliver one message to everybody, take it back where nobody has read it; returns the seconds of the latter.

        Raises:
            BenchmarkError: it did not take back what it should have.
        """
        self._round += 1
        name = f"round{self._round}"
        for number in range(USERS):
            self._put(f"user{number}", name, read=number % 10 < _READ)
        which = ["mailbox", "INBOX", "header", "message-id", f"<{name}@bench.example>"]
        # everybody's index has been brought up to date before the clock starts
        if (there := self._count(which)) != USERS:
            raise BenchmarkError(f"Dovecot has the message in {there} of {USERS} mailboxes.")
        begun = time.perf_counter()
        self._doveadm(["expunge", "-A", "unseen", *which])
        seconds = time.perf_counter() - begun
        if (left := self._count(which)) != USERS * _READ // 10:
            raise BenchmarkError(f"Dovecot left the message in {left} mailboxes.")
        self._doveadm(["expunge", "-A", *which])
        return seconds

    def _count(self, which: list[str]) -> int:
        return len(self._doveadm(["search", "-A", *which]).splitlines())

    def _doveadm(self, arguments: list[str]) -> str:
        return _run([_program("doveadm"), "-c", str(self.configuration), *arguments])

    def _put(self, user: str, name: str, *, read: bool) -> None:
        place = self._folder / "mail" / user / "Maildir"
        file = place / ("cur" if read else "new") / f"1700000000.{name}.bench{':2,S' if read else ''}"
        file.write_text(_MESSAGE.format(name=name), encoding="ascii")
        if self._round:
            owner = (self._folder / "mail" / user / "Maildir").stat()
            os.chown(file, owner.st_uid, owner.st_gid)


def _program(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        raise BenchmarkError(f"{name} is not installed.")
    return path


def _run(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")  # noqa: S603 - ours
    if done.returncode != 0:
        raise BenchmarkError(f"{command[0]} failed: {done.stderr.strip()[:300]}")
    return done.stdout
