"""`mailrecall directory`: who is who, changed one by one or loaded as a whole."""

import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, get_args

import click
from psycopg import Connection

from mailrecall import clock
from mailrecall.cli.databases import data_option, opened
from mailrecall.directory import (
    accounts,
    audit_rules,
    forwarding,
    groups,
    holds,
    loading,
    lookup,
    organisations,
    passwords,
)
from mailrecall.directory.accounts import NewAccount, parse_address
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.forwarding import Rule
from mailrecall.directory.lookup import Account, Language
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import DAY, HOUR, Policy
from mailrecall.domain.recalls import ReasonError, clean_reason
from mailrecall.domain.trail import OPERATOR
from mailrecall.postgres.databases import Databases

_IN_SECONDS: Final = frozenset({"window_user", "window_admin", "retention"})
_DURATION = re.compile(r"([0-9]{1,9})([hd])")

_password_options = (
    click.option("--password-stdin", is_flag=True, help="Read the password from the first line of standard input."),
    click.option("--no-password", is_flag=True, help="Nobody can sign in until a password is set."),
)


@click.group()
@data_option
@click.pass_context
def directory(context: click.Context, data: Path | None) -> None:
    """Organisations, domains, accounts, groups and policies."""
    context.obj = opened(context, data, "directory")


@directory.command("load")
@click.argument("path", type=click.Path(path_type=Path))
@click.pass_obj
def load_files(databases: Databases, path: Path) -> None:
    """Load a JSON file or a folder of CSV files: all of it, or nothing when a line is bad.

    What is there already stays as it is, so the same files can be loaded again.
    """
    with databases.control() as connection:
        loaded = loading.load_path(connection, path, now=clock.now())
    added = ", ".join(f"{count} {kind}" for kind, count in asdict(loaded).items() if count)
    click.echo(f"Added: {added}." if added else "Nothing to add: everything is there already.")


@directory.command()
@click.argument("address")
@click.pass_obj
def show(databases: Databases, address: str) -> None:
    """Show what an address stands for."""
    asked = parse_address(address)
    with databases.control() as connection:
        found = lookup.resolve(connection, [asked])[asked]
        if found.kind == "group":
            _print_group(connection, asked)
        elif (account := lookup.account_by_address(connection, asked)) is not None:
            _print_account(connection, account)
        else:
            meaning = "outside this platform" if found.kind == "external" else "nobody's, in a domain of this platform"
            raise click.ClickException(f"{asked} is {meaning}.")


@directory.group("organisation")
def organisation_commands() -> None:
    """Organisations."""


@organisation_commands.command("add")
@click.argument("name")
@click.pass_obj
def add_organisation(databases: Databases, name: str) -> None:
    """Add an organisation. Its policy has the defaults."""
    with databases.control() as connection:
        organisations.add_organisation(connection, name)
    click.echo(f"Added. Give it a domain: mailrecall directory domain add {shlex.quote(name)} DOMAIN")


@directory.group("domain")
def domain_commands() -> None:
    """Domains."""


@domain_commands.command("add")
@click.argument("organisation")
@click.argument("domain")
@click.pass_obj
def add_domain(databases: Databases, organisation: str, domain: str) -> None:
    """Give an organisation a domain."""
    with databases.control() as connection:
        owner = organisations.organisation_by_name(connection, organisation)
        organisations.add_domain(connection, owner.id, domain)
    click.echo(f"Added. Its administrator would be: mailrecall directory account add postmaster@{domain}")


@directory.group("account")
def account_commands() -> None:
    """Accounts and their aliases."""


@account_commands.command("add")
@click.argument("address")
@click.option("--name", default="", help="The name that people see.")
@click.option("--language", type=click.Choice(get_args(Language)), default="en", show_default=True)
@click.option("--administrator", is_flag=True, help="May recall any mail of the organisation.")
@_password_options[0]
@_password_options[1]
@click.pass_obj
def add_account(
    databases: Databases,
    *,
    address: str,
    name: str,
    language: Language,
    administrator: bool,
    password_stdin: bool,
    no_password: bool,
) -> None:
    """Add an account; its mailbox goes to the shard that has the fewest."""
    parsed = parse_address(address)
    password_hash = None if no_password else passwords.hash_password(_new_password(from_stdin=password_stdin))
    new = NewAccount(
        address=parsed,
        display_name=name,
        language=language,
        administrator=administrator,
        password_hash=password_hash,
    )
    with databases.control() as connection:
        account = accounts.add_account(connection, new)
    click.echo(f"Added {account.address}: mailbox {account.id} on shard {account.shard}.")


@account_commands.command("close")
@click.argument("address")
@click.confirmation_option(prompt="A closed account cannot be opened again, and its mail counts as gone. Close it?")
@click.pass_obj
def close_account(databases: Databases, address: str) -> None:
    """Close an account for good: nobody signs in, and no mail arrives."""
    account = accounts.close_account(databases, parse_address(address), now=clock.now())
    click.echo(f"Closed {account.address}.")


@account_commands.command("password")
@click.argument("address")
@_password_options[0]
@click.pass_obj
def set_password(databases: Databases, address: str, password_stdin: bool) -> None:
    """Set an account's password; whoever is signed in with the old one is signed out."""
    parsed = parse_address(address)
    password = _new_password(from_stdin=password_stdin)
    with databases.control() as connection:
        account = accounts.set_password(connection, parsed, password)
    click.echo(f"{account.address} has a new password.")


@account_commands.command("alias")
@click.argument("address")
@click.argument("alias")
@click.pass_obj
def add_alias(databases: Databases, address: str, alias: str) -> None:
    """Let the account or group of ADDRESS receive as ALIAS too."""
    with databases.control() as connection:
        accounts.add_alias(connection, parse_address(alias), parse_address(address))
    click.echo("Added.")


@account_commands.command("moderator")
@click.argument("address")
@click.option("--remove", is_flag=True, help="Take the role away instead.")
@click.pass_obj
def set_moderator(databases: Databases, address: str, remove: bool) -> None:
    """Let an account decide on mail that an audit rule holds; administrators do without this."""
    with databases.control() as connection:
        account = accounts.open_account(connection, parse_address(address))
        audit_rules.set_moderator(connection, account.id, moderator=not remove)
    click.echo(f"{account.address} is {'no moderator by this role' if remove else 'a moderator'} now.")


@account_commands.command("forward")
@click.argument("address")
@click.argument("target", required=False)
@click.option("--keep-copy/--no-copy", default=True, help="Whether the account's own mailbox shows the mail too.")
@click.option("--stop", is_flag=True, help="Forward no more.")
@click.pass_obj
def forward(databases: Databases, *, address: str, target: str | None, keep_copy: bool, stop: bool) -> None:
    """Pass an account's mail on to TARGET; without one, show where it goes."""
    if stop and target:
        raise click.UsageError("Give a TARGET to forward to, or --stop, not both.")
    with databases.control() as connection:
        account = accounts.open_account(connection, parse_address(address))
        if stop:
            forwarding.remove_rule(connection, account.id)
        rule = forwarding.rule_of(connection, account.id)
        if target:
            rule = forwarding.set_rule(connection, account, parse_address(target), keep_copy=keep_copy)
    click.echo(f"{account.address} {_forwarding(rule)}.")


@directory.group("hold")
def hold_commands() -> None:
    """Legal holds: what concerns a held account is not purged (R26)."""


@hold_commands.command("place")
@click.argument("address")
@click.option("--reason", required=True, help="Why; it is kept in the audit trail.")
@click.pass_obj
def place_hold(databases: Databases, address: str, reason: str) -> None:
    """Hold an account, open or closed."""
    try:
        cleaned = clean_reason(reason)
    except ReasonError:
        raise click.BadParameter("give 1 to 500 printable characters.", param_hint="--reason") from None
    with databases.control() as connection:
        account = _account(connection, address)
        placed = holds.place(connection, account, cleaned, actor=OPERATOR, now=clock.now())
    click.echo(f"{account.address} is {'held' if placed else 'held already'}.")


@hold_commands.command("lift")
@click.argument("address")
@click.pass_obj
def lift_hold(databases: Databases, address: str) -> None:
    """Hold an account no longer; what is due is purged then."""
    with databases.control() as connection:
        account = _account(connection, address)
        lifted = holds.lift(connection, account, actor=OPERATOR, now=clock.now())
    click.echo(f"{account.address} is {'held no longer' if lifted else 'not held'}.")


@hold_commands.command("list")
@click.argument("organisation")
@click.pass_obj
def list_holds(databases: Databases, organisation: str) -> None:
    """List the accounts of an organisation that are held."""
    with databases.control() as connection:
        found = organisations.organisation_by_name(connection, organisation)
        for hold in holds.of_organisation(connection, found.id):
            click.echo(f"{hold.address}  since {hold.placed_at.isoformat(timespec='seconds')}: {hold.reason}")


def _account(connection: Connection[Any], address: str) -> Account:
    asked = parse_address(address)
    account = lookup.account_by_address(connection, asked)
    if account is None:
        raise DirectoryError(Code.ACCOUNT_UNKNOWN, f"There is no account {asked}.")
    return account


@directory.group("group")
def group_commands() -> None:
    """Groups."""


@group_commands.command("add")
@click.argument("address")
@click.option("--name", default="", help="The name that people see.")
@click.pass_obj
def add_group(databases: Databases, address: str, name: str) -> None:
    """Add a group without members."""
    with databases.control() as connection:
        group = groups.add_group(connection, parse_address(address), name)
    click.echo(f"Added {group.address}.")


@group_commands.command("member")
@click.argument("group")
@click.argument("members", nargs=-1, required=True)
@click.option("--remove", is_flag=True, help="Take them out instead.")
@click.pass_obj
def change_members(databases: Databases, group: str, members: Sequence[str], remove: bool) -> None:
    """Make accounts, groups or addresses outside this platform members of a group: all of them or none."""
    change = groups.remove_member if remove else groups.add_member
    with databases.control() as connection:
        changed = sum(change(connection, parse_address(group), parse_address(member)) for member in members)
    click.echo(f"{'Removed' if remove else 'Added'}: {changed} of {len(members)}.")


@group_commands.command("show")
@click.argument("address")
@click.pass_obj
def show_group(databases: Databases, address: str) -> None:
    """Show a group's direct members, and how many accounts it reaches."""
    with databases.control() as connection:
        _print_group(connection, parse_address(address))


@directory.group("policy")
def policy_commands() -> None:
    """The switches of an organisation."""


@policy_commands.command("show")
@click.argument("organisation")
@click.pass_obj
def show_policy(databases: Databases, organisation: str) -> None:
    """Show every switch."""
    with databases.control() as connection:
        found = organisations.organisation_by_name(connection, organisation)
        policy = lookup.policy_of(connection, found.id)
        domains = organisations.domains_of(connection, found.id)
    click.echo(f"{found.name}: {', '.join(domains) or 'no domains yet'}")
    _print_policy(policy)


@policy_commands.command("set")
@click.argument("organisation")
@click.argument("switches", nargs=-1, required=True, metavar="SWITCH=VALUE...")
@click.pass_obj
def set_policy(databases: Databases, organisation: str, switches: Sequence[str]) -> None:
    """Set switches, as in window_user=48h; durations are seconds, or have the unit h or d."""
    changes = dict(_switch(text) for text in switches)
    with databases.control() as connection:
        found = organisations.organisation_by_name(connection, organisation)
        policy = organisations.change_policy(connection, found.id, changes, actor=OPERATOR, now=clock.now())
    _print_policy(policy)


def _switch(text: str) -> tuple[str, object]:
    name, equals, value = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is no switch with a value, such as window_user=48h.")
    duration = _DURATION.fullmatch(value.strip())
    if name in _IN_SECONDS and duration:
        return name, int(duration[1]) * (HOUR if duration[2] == "h" else DAY)
    return name.strip(), organisations.switch_from_text(value)


def _new_password(*, from_stdin: bool) -> str:
    # never an argument: those are in the shell's history, and in everybody's list of processes
    if from_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    return password


def _forwarding(rule: Rule | None) -> str:
    if rule is None:
        return "forwards no mail"
    return f"forwards to {rule.target} and {'keeps a copy' if rule.keep_copy else 'keeps none'}"


def _print_account(connection: Connection[Any], account: Account) -> None:
    aliases, member_of = accounts.aliases_of(connection, account.id), accounts.groups_of(connection, account.id)
    click.echo(f"account       {account.address}{' (closed)' if account.closed else ''}")
    click.echo(f"name          {account.display_name}")
    click.echo(f"language      {account.language}")
    click.echo(f"administrator {'yes' if account.administrator else 'no'}")
    click.echo(f"mailbox       {account.id} on shard {account.shard}")
    click.echo(f"aliases       {', '.join(aliases) or '-'}")
    click.echo(f"member of     {', '.join(member_of) or '-'}")


def _print_group(connection: Connection[Any], address: Address) -> None:
    group = groups.group_by_address(connection, address)
    click.echo(f"group   {group.address}")
    click.echo(f"name    {group.display_name}")
    click.echo(f"reaches {groups.reach_of(connection, group.id)} accounts")
    for member, kind in groups.members_of(connection, group.id):
        click.echo(f"  {kind:<8} {member}")


def _print_policy(policy: Policy) -> None:
    changed = organisations.changed_switches(policy)
    for name, value in policy.to_mapping().items():
        shown = str(value).lower() if isinstance(value, bool) else str(value)
        if name in _IN_SECONDS and isinstance(value, int) and value % HOUR == 0:
            shown += f" seconds ({value // DAY}d)" if value % DAY == 0 else f" seconds ({value // HOUR}h)"
        click.echo(f"{name:<26} {shown}{'' if name in changed else '  (default)'}")
