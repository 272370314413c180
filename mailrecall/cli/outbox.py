"""`mailrecall outbox`: the work that failed too often and was put aside."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import click

from mailrecall import clock
from mailrecall.cli.databases import data_option, opened
from mailrecall.outbox import put_aside
from mailrecall.outbox.put_aside import NotPutAsideError, PutAside
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases

_task_option = click.option("--task", type=click.Choice([task.value for task in Task]), help="Only work of this kind.")
_all_option = click.option("--all", "everything", is_flag=True, help="All that is put aside.")
_ids_argument = click.argument("work_ids", metavar="[WORK]...", type=click.IntRange(min=1), nargs=-1)


@click.group()
@data_option
@click.pass_context
def outbox(context: click.Context, data: Path | None) -> None:
    """Work that failed too often (MAILRECALL_OUTBOX_FAILURES) and waits for you; it is shown by its ids."""
    context.obj = opened(context, data, "outbox")


@outbox.command("list")
@_task_option
@click.option("--json", "as_json", is_flag=True, help="An object for each piece of work, for programs.")
@click.pass_obj
def list_(databases: Databases, task: str | None, as_json: bool) -> None:
    """Show what was put aside, and why."""
    with databases.control() as control:
        found = put_aside.find(control, task)
    if as_json:
        for work in found:
            click.echo(json.dumps(_as_json(work)))
        return
    if not found:
        click.echo("Nothing is put aside.")
        return
    for work in found:
        ids = " ".join(f"{name}={value}" for name, value in work.args.items())
        failed = f"{work.failures} failures, the last {work.due_at:%Y-%m-%d %H:%M:%S}Z: {work.failure}"
        click.echo(f"{work.work_id}  {work.task}  {ids}  {failed}")


@outbox.command()
@_ids_argument
@_all_option
@_task_option
@click.pass_obj
def retry(databases: Databases, work_ids: tuple[int, ...], everything: bool, task: str | None) -> None:
    """Try work again, by its number in `outbox list`: once its cause is mended."""
    chosen = _chosen(databases, work_ids, task, everything=everything)
    with databases.control() as control:
        count = _refusing(lambda: put_aside.retry(control, chosen, now=clock.now()))
    click.echo(f"{count} to be tried again.")


@outbox.command()
@_ids_argument
@_all_option
@_task_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.pass_obj
def drop(databases: Databases, work_ids: tuple[int, ...], everything: bool, task: str | None, yes: bool) -> None:
    """Give work up for good: what it was to do is never done. A delivery that is dropped reaches nobody."""
    chosen = _chosen(databases, work_ids, task, everything=everything)
    if not yes:
        click.confirm(f"Give up {len(chosen)} pieces of work for good?", abort=True)
    with databases.control() as control:
        count = _refusing(lambda: put_aside.drop(control, chosen))
    click.echo(f"{count} dropped.")


def _chosen(databases: Databases, work_ids: Sequence[int], task: str | None, *, everything: bool) -> list[int]:
    if bool(work_ids) == (everything or task is not None):
        raise click.UsageError("Name the work by its numbers, or say --all or --task; not both.")
    if work_ids:
        return sorted(set(work_ids))
    with databases.control() as control:
        return [work.work_id for work in put_aside.find(control, task)]


def _refusing(change: Callable[[], int]) -> int:
    try:
        return change()
    except NotPutAsideError as error:
        raise click.ClickException(str(error)) from None


def _as_json(work: PutAside) -> dict[str, object]:
    return {
        "work": work.work_id,
        "task": work.task,
        "ids": work.args,
        "failures": work.failures,
        "failure": work.failure,
        "due_at": work.due_at.isoformat(),
    }
