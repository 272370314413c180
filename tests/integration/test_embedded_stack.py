"""The whole stack as `mailrecall up` runs it: as root and as an ordinary user, through every kind of end."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psutil
import psycopg
import pytest

from mailrecall.embedded import records
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.session import Session, attach
from tests.servers import new_folder
from tests.stack import last_words, started_in

NAMES = {
    "postgres",
    "valkey",
    "relay",
    "delivery",
    "deposit",
    "recall",
    "withdraw",
    "reports",
    "intake",
    "imap",
    "pop3",
    "gateway",
    "beat",
    "flower",
    "metrics",
}

ORDINARY = 65534
"""An unprivileged user that exists on every Linux."""


@dataclass(frozen=True, slots=True)
class Home:
    """A place for one stack, and how a program is run as its user."""

    folder: DataFolder
    launcher: tuple[str, ...]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self.launcher, sys.executable, "-m", "mailrecall.cli.main", *arguments, "--data", str(self.folder.path)],
            capture_output=True,
            text=True,
            check=False,
        )

    def inhabitants(self) -> list[psutil.Process]:
        """Return every process that works in the folder, however it came there."""
        return [process for process in psutil.process_iter() if self._works_here(process)]

    def _works_here(self, process: psutil.Process) -> bool:
        try:
            return process.cwd().startswith(str(self.folder.path))
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def ordinary_launcher() -> tuple[str, ...]:
    """Return what runs a program as an ordinary user when root runs the tests.

    An interpreter below /root cannot be reached by such a user; then the one capability to read is left to it, which
    leaves it every bit as unprivileged towards PostgreSQL.
    """
    launcher = ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups")
    reads = ("--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search")
    for candidate in (launcher, (*launcher, *reads)):
        # the interpreter may start and then find another one's library and packages
        said = subprocess.run(
            [*candidate, sys.executable, "-c", "import sys, psycopg; print(sys.version)"],
            check=False,
            capture_output=True,
            text=True,
        )
        if said.stdout.strip() == sys.version:
            return candidate
    raise RuntimeError(f"User {ORDINARY} cannot run {sys.executable}.")


@contextmanager
def new_home(user: int) -> Iterator[Home]:
    parent = new_folder("home")
    parent.mkdir()
    parent.chmod(0o755)
    launcher: tuple[str, ...] = ()
    if user != os.geteuid():
        os.chown(parent, user, user)
        launcher = ("env", f"HOME={parent}", *ordinary_launcher())
    home = Home(DataFolder(parent / "all my mail"), launcher)
    yield home
    left = home.inhabitants()
    for process in left:
        process.kill()
    shutil.rmtree(parent)
    assert not left


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of the user who runs the tests."""
    with new_home(os.geteuid()) as home:
        yield home


@pytest.fixture(params=[os.geteuid(), ORDINARY] if os.geteuid() == 0 else [os.geteuid()])
def any_home(request: pytest.FixtureRequest) -> Iterator[Home]:
    """A home of root's and one of an ordinary user's, as far as the user who runs the tests can be either."""
    with new_home(request.param) as home:
        yield home


def is_up(home: Home) -> bool:
    return home.run("status").returncode == 0


def remember(session: Session) -> None:
    with psycopg.connect(session.settings.control_url) as connection:
        connection.execute("INSERT INTO organisation (name) VALUES ('Somebody')")


def remembered(session: Session) -> bool:
    with psycopg.connect(session.settings.control_url) as connection:
        return connection.execute("SELECT FROM organisation WHERE name = 'Somebody'").rowcount == 1


def test_a_stack_starts_stops_and_starts_again_with_its_data(any_home: Home) -> None:
    home = any_home
    with started_in(home.folder, ["--shards=2"], launcher=home.launcher) as session:
        assert set(session.processes()) == NAMES
        status = home.run("status")
        assert status.returncode == 0, status.stdout
        assert "Outbox: 0 waiting" in status.stdout
        assert "certificate.pem" in status.stdout.replace("\n", "").replace("│", "").replace(" ", "")
        second = home.run("up", "--free-ports")
        assert second.returncode == 2
        assert "in use by another `mailrecall up`" in second.stderr
        owners = {psutil.Process(pids[0]).uids().effective for pids in session.processes().values()}
        assert psutil.Process(session.processes()["postgres"][0]).uids().effective != 0
        assert len(owners) == (2 if os.geteuid() == 0 and not home.launcher else 1)
        for pids in session.processes().values():
            for pid in pids:
                for secret in ("role_password", "superuser_password", "valkey_password"):
                    assert home.folder.secret(secret) not in " ".join(psutil.Process(pid).cmdline())
        remember(session)
    assert home.inhabitants() == []
    assert records.read(home.folder) == []
    with pytest.raises(EmbeddedError, match="Nothing runs"):
        attach(home.folder)
    assert home.run("status").returncode == 2

    with started_in(home.folder, launcher=home.launcher) as session:
        assert remembered(session)
        assert len(session.settings.shard_urls) == 2


def test_whatever_is_killed_comes_back_and_leaves_no_children(home: Home) -> None:
    with started_in(home.folder, ["--shards=1"], launcher=home.launcher) as session:
        remember(session)
        before = session.processes()
        families = [psutil.Process(pid) for pids in before.values() for pid in pids]
        for pids in before.values():
            os.kill(pids[0], signal.SIGKILL)
        _gone, alive = psutil.wait_procs(families, timeout=60)
        assert alive == []
        assert poll(lambda: is_up(home), timeout=120, pause=0.5), last_words(home.folder)
        after = session.processes()
        assert set(after) == NAMES
        assert all(after[name][0] != before[name][0] for name in NAMES)
        assert remembered(session)


@contextmanager
def until_killed(home: Home) -> Iterator[Session]:
    """Run a stack whose supervisor the block kills."""
    running = ExitStack()
    yield running.enter_context(started_in(home.folder, ["--shards=1"], launcher=home.launcher))
    with pytest.raises(EmbeddedError, match="exit code was -9"):
        running.close()


def kill_supervisor(session: Session) -> None:
    os.kill(session.state.supervisor.pid, signal.SIGKILL)


def test_a_killed_supervisor_leaves_nobody_behind_and_no_damage(home: Home) -> None:
    with until_killed(home) as session:
        remember(session)
        frozen = session.processes()["beat"]
        # a process that is stopped does not see the signal that tells it of its parent's death
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        kill_supervisor(session)
        assert poll(lambda: {process.pid for process in home.inhabitants()} == set(frozen), timeout=60, pause=0.2)
    # the next start ends it
    with started_in(home.folder, launcher=home.launcher) as session:
        assert remembered(session)
        assert not set(frozen) & {process.pid for process in home.inhabitants()}
