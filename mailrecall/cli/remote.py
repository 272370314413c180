"""`mailrecall recall`, `recalls`, `preview`, `watch` and `token`: what people do by the public API, from a terminal."""

import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from mailrecall.client import Client, Recall

_SCOPES = ("read", "send", "recall", "admin")
_NOT_ALL_WENT = 3
"""The exit code where a recall settled and some copies stayed."""

F = TypeVar("F", bound=Callable[..., Any])

_url = click.option("--url", envvar="MAILRECALL_API_URL", show_envvar=True, required=True, help="Where the gateway is.")


def _signed_in(command: F) -> F:
    token_file = click.option(
        "--token-file",
        type=click.Path(path_type=Path, dir_okay=False, exists=True),
        envvar="MAILRECALL_API_TOKEN_FILE",
        show_envvar=True,
        help="A file with the token in it. Otherwise MAILRECALL_API_TOKEN has the token.",
    )
    return _url(token_file(command))


_as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, for programs.")


def _client(url: str, token_file: Path | None) -> Client:
    # no option takes the token itself: the list of processes shows what stands in a command
    token = token_file.read_text(encoding="utf-8").strip() if token_file else _from_environment()
    return Client(url, token)


def _from_environment() -> str:
    token = os.environ.get("MAILRECALL_API_TOKEN", "").strip()
    if not token:
        raise click.UsageError(
            "Set MAILRECALL_API_TOKEN, or name a file with --token-file; `mailrecall token create` makes a token."
        )
    return token


@click.command()
@click.argument("message", type=click.IntRange(min=1))
@click.option("--reason", required=True, help="Why, 1 to 500 characters; recipients never see it.")
@click.option("--watch/--no-watch", "follow", default=True, help="Stay until it has settled.")
@_as_json
@_signed_in
def recall(message: int, reason: str, *, follow: bool, as_json: bool, url: str, token_file: Path | None) -> None:
    """Recall MESSAGE, the id that the folder Sent shows over the API."""
    with _client(url, token_file) as client:
        asked = client.recall(message, reason)
        if not follow:
            _show(asked, as_json=as_json)
            return
        _end(_follow(client, asked.id, quiet=as_json) or asked, as_json=as_json)


@click.command()
@click.argument("recall_id", metavar="ID", type=click.UUID)
@_as_json
@_signed_in
def watch(recall_id: object, *, as_json: bool, url: str, token_file: Path | None) -> None:
    """Watch the recall ID until it has settled; exits with 3 where some copies stayed."""
    with _client(url, token_file) as client:
        seen = _follow(client, str(recall_id), quiet=as_json)
        _end(seen or client.show(str(recall_id)), as_json=as_json)


@click.command()
@click.argument("message", type=click.IntRange(min=1))
@_as_json
@_signed_in
def preview(message: int, *, as_json: bool, url: str, token_file: Path | None) -> None:
    """Show what a recall of MESSAGE would come to; nothing changes."""
    with _client(url, token_file) as client:
        found = client.preview(message)
    if as_json:
        _print_json(asdict(found))
        return
    more = "" if found.complete else " (not all databases answered)"
    click.echo(f"{found.recallable} of {found.recipients} copies would go{more}; possible until {found.closes_at}.")
    _outcomes(found.outcomes)


@click.command()
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, help="How many to show.")
@_as_json
@_signed_in
def recalls(limit: int, *, as_json: bool, url: str, token_file: Path | None) -> None:
    """List what one has recalled, newest first."""
    with _client(url, token_file) as client:
        found = [one for _, one in zip(range(limit), client.recalls(), strict=False)]
    if as_json:
        _print_json([asdict(one) for one in found])
        return
    table = Table("id", "asked", "state", "subject")
    for one in found:
        table.add_row(one.id, f"{one.requested_at:%Y-%m-%d %H:%M %Z}", one.result or one.state, one.subject)
    Console().print(table)


@click.group()
def token() -> None:
    """Personal tokens for programs."""


@token.command("create")
@click.argument("name")
@click.option("--scope", "scopes", type=click.Choice(_SCOPES), multiple=True, required=True, help="May be repeated.")
@click.option("--days", type=click.IntRange(1, 366), default=90, show_default=True, help="How long it lasts.")
@click.option("--address", required=True, help="Whose it is; the password is asked for.")
@click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input.")
@_url
def create(name: str, scopes: tuple[str, ...], days: int, address: str, *, password_stdin: bool, url: str) -> None:
    """Make a token called NAME, and print it this once."""
    password = (
        sys.stdin.readline().rstrip("\n") if password_stdin else click.prompt("Password", hide_input=True, err=True)
    )
    made = Client.create_token(url, address, password, name, scopes, lifetime=days * 86_400)
    click.echo(made.secret)


@token.command("list")
@_as_json
@_signed_in
def list_tokens(*, as_json: bool, url: str, token_file: Path | None) -> None:
    """List one's tokens; needs the scope admin."""
    with _client(url, token_file) as client:
        found = client.tokens()
    if as_json:
        _print_json([{name: value for name, value in asdict(one).items() if name != "secret"} for one in found])
        return
    table = Table("id", "name", "scopes", "expires", "last used")
    for one in found:
        used = f"{one.last_used_at:%Y-%m-%d %H:%M}" if one.last_used_at else "never"
        table.add_row(str(one.id), one.name, " ".join(one.scopes), f"{one.expires_at:%Y-%m-%d}", used)
    Console().print(table)


@token.command("revoke")
@click.argument("token_id", metavar="ID", type=click.IntRange(min=1))
@_signed_in
def revoke(token_id: int, *, url: str, token_file: Path | None) -> None:
    """End the token ID; needs the scope admin."""
    with _client(url, token_file) as client:
        client.revoke_token(token_id)


def _follow(client: Client, recall_id: str, *, quiet: bool) -> Recall | None:
    seen: Recall | None = None
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), disable=quiet) as bar:
        task = bar.add_task("accepted", total=None)
        for seen in client.watch(recall_id):
            bar.update(task, description=seen.state, completed=seen.done, total=seen.recipients or None)
    return seen


def _end(seen: Recall, *, as_json: bool) -> None:
    _show(seen, as_json=as_json)
    if seen.settled and seen.result != "succeeded":
        sys.exit(_NOT_ALL_WENT)


def _show(seen: Recall, *, as_json: bool) -> None:
    if as_json:
        _print_json(asdict(seen))
        return
    click.echo(f"Recall {seen.id}: {seen.result or seen.state}, {seen.done} of {seen.recipients} recipients.")
    _outcomes(seen.outcomes)


def _outcomes(outcomes: Mapping[str, int]) -> None:
    for slug, count in outcomes.items():
        click.echo(f"  {slug.replace('_', ' ')}: {count}")


def _print_json(document: Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> None:
    click.echo(json.dumps(document, ensure_ascii=False, default=str))
