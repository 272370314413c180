"""`mailrecall up` and `status`."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
import psycopg
from rich.console import Console
from rich.table import Column, Table

from mailrecall.embedded import records, state
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.ports import HOST, TITLES, Ports, free_ports
from mailrecall.outbox import store as outbox
from mailrecall.outbox.store import Backlog
from mailrecall.postgres.databases import Databases, connection_options
from mailrecall.settings import Settings

if TYPE_CHECKING:
    from mailrecall.embedded.stack import Stack

data_option = click.option(
    "--data",
    "data",
    type=click.Path(path_type=Path),
    default=Path(".mailrecall"),
    show_default=True,
    envvar="MAILRECALL_DATA",
    show_envvar=True,
    help="The folder that keeps everything.",
)


def _port_options(command: Callable[..., None]) -> Callable[..., None]:
    defaults = Ports()
    for name in reversed(Ports.names()):
        command = click.option(
            f"--{name}-port",
            type=click.IntRange(1, 65535),
            envvar=f"MAILRECALL_{name.upper()}_PORT",
            help=f"The port of {TITLES[name]}.  [default: {getattr(defaults, name)}]",
        )(command)
    return command


@click.command()
@data_option
@click.option(
    "--shards", type=click.IntRange(1, 100), help="How many mailbox shards.  [default: 4, or as many as exist]"
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=2,
    show_default=True,
    help="How many tasks each worker of delivery and of recall does at once.",
)
@click.option("--free-ports", is_flag=True, help="Use any free ports where none is named.")
@click.option("--example", is_flag=True, help="Load an example company of 10,000 people, and say how to sign in.")
@_port_options
def up(data: Path, shards: int | None, workers: int, free_ports: bool, example: bool, **ports: int | None) -> None:
    """Run everything on this machine: PostgreSQL, Valkey and all services. Ctrl-C ends it; the data stays."""
    from mailrecall.embedded import stack  # noqa: PLC0415 - needs the extra `embedded`, which `migrate` does not

    folder = DataFolder(data.absolute())
    with stack.prepared(
        folder, _chosen_ports(ports, free=free_ports), shards=shards, workers=workers, announce=click.echo
    ) as ready:
        asyncio.run(stack.run(ready, click.echo, _show_example if example else _print_addresses))


@click.command()
@data_option
def status(data: Path) -> None:
    """Show what runs and what waits. The exit code is 1 when something is down."""
    from mailrecall.embedded import readiness  # noqa: PLC0415 - imports Celery

    folder = DataFolder(data.absolute())
    running = state.read(folder)
    settings = running.settings()
    answers: dict[str, list[tuple[str, bool]]] = {}
    for check in readiness.checks(settings, running.ports):
        answers.setdefault(check.process, []).append((check.does, check.holds()))
    noted = {record.name: record for record in records.read(folder)}
    table = Table("process", "id", "starts", "state")
    down = []
    for name in [*answers, *readiness.UNCHECKED]:
        record = noted.get(name)
        alive = record is not None and record.process() is not None
        failed = [f"does not: {does}" for does, holds in answers.get(name, []) if not holds]
        if failed or not alive:
            down.append(name)
        what = (
            ", ".join(failed if alive else ["down"]) or ", ".join(does for does, _ in answers.get(name, [])) or "runs"
        )
        table.add_row(name, str(record.pid) if record else "", str(record.starts) if record else "", what)
    console = Console()
    console.print(table)
    console.print(_addresses(running.ports, settings))
    console.print(_backlog(settings))
    if down or not running.ready:
        console.print(f"Down: {', '.join(down)}" if down else "Still starting.")
        raise SystemExit(1)


def _chosen_ports(named: dict[str, int | None], *, free: bool) -> Ports:
    chosen = {name.removesuffix("_port"): port for name, port in named.items() if port is not None}
    if free:
        missing = [name for name in Ports.names() if name not in chosen]
        chosen |= dict(zip(missing, free_ports(len(missing)), strict=True))
    return replace(Ports(), **chosen)


def _print_addresses(ready: "Stack") -> None:
    console = Console()
    console.print(_addresses(ready.plan.ports, ready.settings))
    console.print(f"Data and logs: {ready.folder.path}")
    console.print("Everything is up. Ctrl-C stops it.")


def _show_example(ready: "Stack") -> None:
    from mailrecall.demo import company  # noqa: PLC0415 - reads what only the example needs

    databases = Databases(ready.settings, "example")
    try:
        company.found(databases)
    finally:
        databases.close()
    click.echo(
        f"The example company's {company.PEOPLE:,} people are there. Open http://localhost:{ready.plan.ports.gateway} "
        f"and sign in as {company.SENDER}, {company.DIRECT} or {company.POSTMASTER}; "
        f"the password is '{company.PASSWORD}'."
    )
    _print_addresses(ready)


def _addresses(ports: Ports, settings: Settings) -> Table:
    table = Table(Column("what", no_wrap=True), Column("where", overflow="fold"))
    urls = {
        "gateway": f"http://localhost:{ports.gateway}",
        "flower": f"http://localhost:{ports.flower}",
        "metrics": f"http://localhost:{ports.metrics}/metrics",
    }
    for name in Ports.names():
        table.add_row(TITLES[name], urls.get(name, f"{HOST}:{getattr(ports, name)}"))
    table.add_row("TLS certificate", settings.tls_certificate)
    return table


def _backlog(settings: Settings) -> str:
    try:
        with psycopg.connect(settings.control_url, **connection_options(settings, "status")) as connection:
            backlog: Backlog = outbox.backlog(connection)
    except psycopg.Error:
        return "Outbox: unknown, the control database does not answer."
    since = f", the oldest due since {backlog.oldest_due_at:%Y-%m-%d %H:%M:%S} UTC" if backlog.oldest_due_at else ""
    return f"Outbox: {backlog.waiting} waiting{since}; {backlog.dead} put aside."
