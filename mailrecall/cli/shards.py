"""`mailrecall shards`: see what the shards hold, add one, move mailboxes, drain and remove one."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.table import Column, Table

from mailrecall import clock
from mailrecall.directory import accounts
from mailrecall.postgres.databases import Databases
from mailrecall.settings import REMOVED_SHARD, Settings, load
from mailrecall.shards import moving, registry
from mailrecall.shards.errors import ShardError
from mailrecall.shards.moving import Mover
from mailrecall.shards.registry import Progress

_AT_ONCE = 200
_EVERY = 2.0
"""Seconds between two lines that tell how far it is."""


@click.group()
def shards() -> None:
    """The mailbox shards. Reads MAILRECALL_CONTROL_URL, MAILRECALL_SHARD_URLS and the like."""


@shards.command("list")
def list_shards() -> None:
    """Show every shard, what it holds, and whether it answers."""
    with _opened() as (_, databases):
        found = registry.all_shards(databases)
    table = Table(
        "shard",
        "state",
        Column("mailboxes", justify="right"),
        Column("closed ones", justify="right"),
        Column("tasks waiting", justify="right"),
    )
    for shard in found:
        table.add_row(
            str(shard.number),
            _state(shard),
            f"{shard.mailboxes:,}",
            f"{shard.closed_mailboxes:,}",
            f"{shard.waiting:,}",
        )
    Console().print(table)


@shards.command()
@click.argument("number", type=click.IntRange(min=0))
def add(number: int) -> None:
    """Open shard NUMBER for mailboxes.

    First put its URL at the end of MAILRECALL_SHARD_URLS and restart every process with it: one that does not know the
    shard could not serve its mailboxes. Safe to repeat; opens a shard that was being drained as well.
    """
    with _opened() as (settings, databases):
        applied = registry.add(settings, databases, number)
    click.echo(f"Shard {number} is open: {applied} migrations applied; new mailboxes go there while it has the fewest.")


def _pace(command: Callable[..., None]) -> Callable[..., None]:
    command = click.option(
        "--at-once",
        type=click.IntRange(1, 5000),
        default=_AT_ONCE,
        show_default=True,
        help="Mailboxes that move together; fewer where they hold much. Their owners wait as long as one such step.",
    )(command)
    return click.option(
        "--pause", type=click.FloatRange(0, 3600), default=0.0, help="Seconds to rest after each step.  [default: none]"
    )(command)


@shards.command()
@click.option("--from", "source", type=click.IntRange(min=0), help="The shard that they leave.")
@click.option("--to", "target", type=click.IntRange(min=0), required=True, help="The shard that they go to.")
@click.option("--count", type=click.IntRange(min=1), help="How many to move with --from.  [default: all]")
@_pace
@click.argument("addresses", nargs=-1)
def move(  # noqa: PLR0917 - click names them
    source: int | None, target: int, count: int | None, at_once: int, pause: float, addresses: tuple[str, ...]
) -> None:
    """Move mailboxes to another shard while everything runs: those of ADDRESSES, or those of a shard.

    A move that was interrupted is ended by the next one, or by the recall worker within seconds.
    """
    if bool(addresses) == (source is not None):
        raise click.UsageError("Name either addresses or the shard to move --from.")
    with _moving() as (databases, mover):
        _check_target(databases, target)
        if source is not None:
            if source == target:
                raise ShardError("The mailboxes are on that shard already.")
            _check_known(databases, source)
            _relocate(databases, mover, source, [target], at_once=at_once, pause=pause, most=count)
            return
        with databases.control() as control:
            found = [accounts.open_account(control, accounts.parse_address(address)) for address in addresses]
        for account in found:
            if account.shard != target:
                registry.move_some(mover, account.shard, target, [account.id], pause=time.sleep, now=clock.now)
            click.echo(f"{account.address} is on shard {target}.")


@shards.command()
@click.argument("number", type=click.IntRange(min=0))
@click.option("--to", "targets", type=click.IntRange(min=0), multiple=True, help="Where to.  [default: all open ones]")
@_pace
def drain(number: int, targets: tuple[int, ...], at_once: int, pause: float) -> None:
    """Move everything off shard NUMBER, evenly to the others; it takes no new mailboxes any more.

    Can be interrupted and started again at any time.
    """
    with _moving() as (databases, mover):
        registry.close(load(Settings), databases, number)
        chosen = targets or [s.number for s in registry.all_shards(databases) if s.takes_new and s.answers]
        if number in chosen or not chosen:
            raise ShardError("There is no other shard that is open and answers; see `mailrecall shards list`.")
        for target in chosen:
            _check_target(databases, target)
        _relocate(databases, mover, number, list(chosen), at_once=at_once, pause=pause, most=None)
        registry.sweep(databases, number, now=clock.now())
    click.echo(f"Shard {number} is empty. `mailrecall shards remove {number}` says whether it can go.")


@shards.command()
@click.argument("number", type=click.IntRange(min=0))
def remove(number: int) -> None:
    """Check that a drained shard NUMBER is of no more use, and say how to take it out of the settings."""
    with _opened() as (_, databases):
        registry.check_empty(databases, number)
    click.echo(
        f"Nothing needs shard {number} any more. Put '{REMOVED_SHARD}' in place of its URL in MAILRECALL_SHARD_URLS,"
        " so that the others keep their numbers, restart every process, and then drop the database."
    )


@contextmanager
def _opened() -> Iterator[tuple[Settings, Databases]]:
    settings = load(Settings)
    databases = Databases(settings, "shards")
    try:
        yield settings, databases
    finally:
        databases.close()


@contextmanager
def _moving() -> Iterator[tuple[Databases, Mover]]:
    with _opened() as (settings, databases), moving.mover(settings, databases) as mover:
        if ended := mover.end_interrupted(now=clock.now()):
            click.echo(f"Ended {ended} move{'s' * (ended > 1)} that had been interrupted.")
        yield databases, mover


def _relocate(
    databases: Databases,
    mover: Mover,
    source: int,
    targets: list[int],
    *,
    at_once: int,
    pause: float,
    most: int | None,
) -> None:
    began = told = time.monotonic()
    last = Progress(0, 0)
    for last in registry.relocate(
        databases, mover, source, targets, at_once=at_once, most=most, pause=time.sleep, now=clock.now
    ):
        if (now := time.monotonic()) - told >= _EVERY:
            told = now
            rate = last.moved / (now - began)
            left = (last.total - last.moved) / rate
            click.echo(f"{last.moved:,} of {last.total:,} mailboxes moved, {rate:,.0f} a second, {left:,.0f} s left")
        if pause and last.moved < last.total:
            time.sleep(pause)
    where = ", ".join(map(str, targets))
    click.echo(
        f"Moved {last.moved:,} mailboxes from shard {source} to {where} in {time.monotonic() - began:,.1f} seconds."
    )


def _check_known(databases: Databases, number: int) -> None:
    if number not in databases.shards:
        raise ShardError(f"There is no shard {number} in MAILRECALL_SHARD_URLS.")


def _check_target(databases: Databases, number: int) -> None:
    _check_known(databases, number)
    if not any(shard.number == number and shard.takes_new for shard in registry.all_shards(databases)):
        raise ShardError(f"Shard {number} is not open; open it with `mailrecall shards add {number}` first.")


def _state(shard: registry.Shard) -> str:
    if not shard.configured:
        return "not in MAILRECALL_SHARD_URLS"
    state = "open" if shard.takes_new else "closed to new mailboxes"
    return state if shard.answers else f"{state}, does not answer"
