"""`make load`: Locust's users at work on a stack of its own, or on a system that runs already; then the books."""

import csv
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from mailrecall import settings
from mailrecall.demo import company
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.session import started
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings, SettingsError
from tests.load import books, promises

_UNLIMITED = {"MAILRECALL_RATE_LIMIT_ACCOUNT": "", "MAILRECALL_RATE_LIMIT_ADDRESS": ""}
"""What all users do comes from one address, and is to meet the limits of the machine."""
_PATIENCE = 180
"""Seconds that Locust may take longer than it was told to."""


@dataclass(frozen=True, slots=True)
class System:
    """What is put under load."""

    url: str
    settings: Settings
    """Where its databases are, in which the books are."""


@click.command()
@click.option("--users", type=click.IntRange(3, 5_000), default=40, show_default=True, help="How many at once.")
@click.option("--seconds", type=click.IntRange(5, 86_400), default=60, show_default=True, help="For how long.")
@click.option("--report", type=click.Path(path_type=Path), default=Path("load-report.html"), show_default=True)
@click.option(
    "--url",
    help="A system that runs already and has nothing else to do, instead of one of its own; MAILRECALL_CONTROL_URL and "
    "the like say where its databases are. The example company is added to its directory. SIGINT ends the load early.",
)
@click.option(
    "--restarts",
    is_flag=True,
    help="Parts of the system are restarted meanwhile: requests may go unanswered. What was answered must hold.",
)
def load(*, users: int, seconds: int, report: Path, url: str | None, restarts: bool) -> None:
    """Put a system under load over HTTP, and see that all totals added up and that every promise was kept."""
    # told to stop, it stops its stack too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory(prefix="mailrecall-load-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch)
        with _running(url) if url else _own(folder) as system:
            databases = Databases(system.settings, "load")
            try:
                company.found(databases)
                since = books.before(databases)
                click.echo(f"{users} users at {system.url} for {seconds} seconds …")
                finished = _locust(system.url, folder, report, users=users, seconds=seconds, interruptible=bool(url))
                promised = promises.read(folder / "promises")
                counted = books.check(databases, since, promised)
            finally:
                databases.close()
        requests = _summarise(folder / "figures_stats.csv")
    outcomes = ", ".join(f"{n:,} {outcome}" for outcome, n in sorted(counted.outcomes.items()))
    click.echo(
        f"{requests:,} requests, {len(promised.failed):,} failures; {counted.recalls:,} recalls: {outcomes or 'none'}."
    )
    click.echo(
        f"Promised: {len(promised.sent):,} messages sent, {len(promised.asked):,} recalls, {len(promised.opened):,} "
        f"messages opened; {promised.unanswered:,} requests were not answered in time."
    )
    click.echo(f"Report: {report.absolute()}")
    for wrong in [*promised.refusals(), *counted.wrong][:20]:
        click.echo(f"Does not add up: {wrong}", err=True)
    failures = len(promised.failed) - (promised.unanswered if restarts else 0)
    if counted.wrong or failures or not finished or not counted.recalls:
        raise SystemExit(1)
    click.echo(
        "All totals add up: every recipient has one outcome, every recall one report, and every promise was kept."
    )


@contextmanager
def _own(folder: Path) -> Iterator[System]:
    # under root PostgreSQL runs as somebody else, who must be able to pass
    folder.chmod(0o711)
    with (folder / "up.log").open("wb") as output:
        click.echo("Starting a stack with the example company of 10,000 people …")
        with started(
            DataFolder(folder / "data"),
            arguments=["--free-ports"],
            environment=_UNLIMITED,
            output=output.fileno(),
        ) as session:
            yield System(session.gateway_url, session.settings)


@contextmanager
def _running(url: str) -> Iterator[System]:
    try:
        found = settings.load(Settings)
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    yield System(url, found)


def _locust(url: str, folder: Path, report: Path, *, users: int, seconds: int, interruptible: bool) -> bool:
    command = [
        *(sys.executable, "-m", "locust", "--headless", "--only-summary", "--skip-log-setup"),
        *("--locustfile", str(Path(__file__).with_name("locustfile.py")), "--host", url),
        *("--users", str(users), "--spawn-rate", str(max(1, users // 5)), "--run-time", f"{seconds}s"),
        # whoever is at it when the time is over finishes it
        *("--stop-timeout", "70", "--exit-code-on-error", "0"),
        *("--csv", str(folder / "figures"), "--html", str(report), "--promises", str(folder / "promises")),
    ]
    # a session of its own: Ctrl-C in a terminal would reach it twice
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=interruptible) as process:
        if interruptible:
            signal.signal(signal.SIGINT, lambda *_: process.send_signal(signal.SIGINT))
        try:
            return process.wait(seconds + _PATIENCE) == 0
        except subprocess.TimeoutExpired:
            click.echo("Locust did not come to its end.", err=True)
            return False
        finally:
            process.kill()


def _summarise(stats: Path) -> int:
    """Print what took how long; return how many requests there were."""
    with stats.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    click.echo(f"{'':30}{'requests':>10}{'failures':>10}{'p50 ms':>9}{'p99 ms':>9}")
    for row in rows:
        numbers = f"{row['Request Count']:>10}{row['Failure Count']:>10}{row['50%']:>9}{row['99%']:>9}"
        click.echo(f"{row['Name']:30}{numbers}")
    return int(rows[-1]["Request Count"])


if __name__ == "__main__":
    load()
