"""`mailrecall demo`: the main job on this machine, from a fresh stack to the report mail."""

import shutil
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.panel import Panel
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mailrecall.demo import company, story
from mailrecall.demo.errors import DemoError
from mailrecall.demo.outside import Outside
from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.ports import free_ports
from mailrecall.embedded.session import started
from mailrecall.postgres.databases import Databases

_MEANINGS = {
    Outcome.RECALLED: "taken back",
    Outcome.ALREADY_READ: "read before the recall",
    Outcome.ATTACHMENT_DOWNLOADED: "the attachment was fetched",
    Outcome.FORWARDED: "passed on",
    Outcome.FETCHED_BY_POP3: "fetched by a mail program",
    Outcome.EXTERNAL: "outside the organisation",
    Outcome.GONE: "deleted by the recipient",
    Outcome.VETOED: "all or nothing: nothing",
    Outcome.UNREACHABLE: "the shard did not answer",
}


@click.command()
@click.option("--keep-up", is_flag=True, help="Leave the stack running until Ctrl-C.")
def demo(*, keep_up: bool) -> None:
    """Show the main job: ten thousand people, one mail too many, its recall and the report. Takes about a minute."""
    console = Console()
    begun = time.perf_counter()
    (port,) = free_ports(1)
    with Outside(port) as outside, _running_stack(console, f"127.0.0.1:{port}") as stage:
        checks_hold = _tell(console, stage, outside)
        console.print(f"\n[bold]{time.perf_counter() - begun:.0f} seconds[/bold] in all, the servers' start included.")
        if keep_up and checks_hold:
            _print_logins(console, stage.gateway_url)
            console.print("Ctrl-C stops it.")
            signal.pause()
    if not checks_hold:
        raise DemoError("The books do not agree: see the checks above.")
    if not keep_up:
        console.print("The stack was stopped. [bold]make up[/bold] starts one that stays, with the same company.")


def _tell(console: Console, stage: story.Stage, outside: Outside) -> bool:
    loaded = _timed(console, "Founding Lumen", lambda: company.found(stage.databases))
    console.print(f"  {loaded.accounts:,} accounts and {loaded.groups} groups on {len(stage.databases.shards)} shards")
    subject = f"The figures for the spring, {time.strftime('%H:%M:%S')}"
    copy_id = _timed(
        console, f"Ada writes to {company.EVERYONE} with an attachment", lambda: story.send(stage, subject)
    )
    total = story.READERS + story.DOWNLOADERS + story.FORWARDERS + story.DELETERS
    with _bar(console) as bar:
        task = bar.add_task("Some read it, some fetch, forward or delete it", total=total)
        story.handle(stage, subject, lambda: bar.advance(task))
    before = story.look_around(stage, subject)
    console.print(
        f"  {len(before.stock.copies):,} copies lie in mailboxes; {outside.recipients} recipients outside have theirs"
    )
    settled = _watch(console, stage, copy_id, before.stock.recipients)
    console.print(_outcomes(settled))
    checks = story.close_the_books(stage, copy_id, before, settled)
    console.print("Counted again on the shards, by queries of the demonstration's own:")
    for check in checks:
        console.print(f"  [{'green' if check.holds else 'red'}]{'✓' if check.holds else '✗'}[/] {check.statement}")
    mail = story.report(stage, settled)
    console.print(Panel(mail["text"].strip(), title=f"In Ada's inbox: {mail['subject']}", title_align="left"))
    return all(check.holds for check in checks)


def _watch(console: Console, stage: story.Stage, copy_id: int, recipients: int) -> dict[str, Any]:
    begun = time.perf_counter()
    view: dict[str, Any] = {}
    with _bar(console) as bar:
        task = bar.add_task("Ada takes it back", total=recipients)
        for view in story.recall(stage, copy_id):
            bar.update(task, completed=view["done"])
    seconds = time.perf_counter() - begun
    console.print(f"  settled {seconds:.2f} s after the request: {recipients / seconds:,.0f} recipients a second")
    return view


def _outcomes(settled: dict[str, Any]) -> Table:
    table = Table("outcome", "copies", "meaning", title=f"Result: {settled['result']}", title_justify="left")
    table.columns[1].justify = "right"
    for slug, count in settled["outcomes"].items():
        table.add_row(slug, f"{count:,}", _MEANINGS[Outcome.from_slug(slug)])
    table.add_row("[bold]all[/bold]", f"[bold]{sum(settled['outcomes'].values()):,}[/bold]", "", end_section=True)
    return table


@contextmanager
def _running_stack(console: Console, smarthost: str) -> Iterator[story.Stage]:
    """Run `mailrecall up` in a folder of its own, for the length of the demonstration."""
    with (
        tempfile.TemporaryDirectory(prefix="mailrecall-demo-", ignore_cleanup_errors=True) as scratch,
        ExitStack() as up,
    ):
        # under root PostgreSQL runs as somebody else, who must be able to pass
        Path(scratch).chmod(0o711)
        folder = DataFolder(Path(scratch) / "data")
        output = up.enter_context((Path(scratch) / "up.log").open("w+b"))
        start = started(
            folder, arguments=["--free-ports"], environment={"MAILRECALL_SMARTHOST": smarthost}, output=output.fileno()
        )
        try:
            session = _timed(console, "Starting PostgreSQL, Valkey and the services", lambda: up.enter_context(start))
            databases = Databases(session.settings, "demo")
            up.callback(databases.close)
            yield story.Stage(session.gateway_url, databases)
        except BaseException:
            output.seek(0)
            console.print(output.read().decode(errors="replace"), markup=False)
            _keep_logs(console, folder)
            raise


def _keep_logs(console: Console, folder: DataFolder) -> None:
    if folder.logs.is_dir():
        kept = Path(tempfile.mkdtemp(prefix="mailrecall-demo-logs-"))
        shutil.copytree(folder.logs, kept, dirs_exist_ok=True)
        console.print(f"[red]The demonstration ended early.[/red] The logs are kept in {kept}")


def _print_logins(console: Console, gateway_url: str) -> None:
    console.print(f"The gateway: {gateway_url}/api/v1")
    console.print(
        f"Sign in as {company.SENDER}, {company.DIRECT} or {company.POSTMASTER}; the password is '{company.PASSWORD}'."
    )


def _timed(console: Console, what: str, do: Any) -> Any:
    begun = time.perf_counter()
    with console.status(f"{what} …"):
        done = do()
    console.print(f"{what}: {time.perf_counter() - begun:.1f} s")
    return done


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=console
    )
