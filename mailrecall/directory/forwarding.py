"""R4: an account's forwarding rule. Every function works in the caller's control transaction."""

from dataclasses import dataclass
from typing import Any

from psycopg import Connection

from mailrecall.directory import lookup
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "forwarding.sql")

_REFUSED = {
    "unknown": "nobody has that address",
    "closed": "that mailbox is closed",
    "group": "mail goes on to one address, not to a group",
    "external": "this server sends no mail to the outside",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """Where an account's mail goes on to."""

    target: str
    keep_copy: bool
    """Whether the account's own mailbox shows the mail too."""


def rule_of(connection: Connection[Any], account_id: int) -> Rule | None:
    """Return an account's rule, if it has one."""
    row = connection.execute(_SQL["rule_of"], {"account_id": account_id}).fetchone()
    return Rule(*row) if row else None


def rules_between(connection: Connection[Any], first: int, last: int) -> dict[int, Rule]:
    """Return the rules of all accounts in a range of ids, both ends included: one query for a whole delivery batch."""
    rows = connection.execute(_SQL["rules_between"], {"first": first, "last": last}).fetchall()
    return {account_id: Rule(target, keep_copy) for account_id, target, keep_copy in rows}


def set_rule(
    connection: Connection[Any], account: Account, target: Address, *, keep_copy: bool, relays: bool = True
) -> Rule:
    """Have an account's mail passed on from now on, in place of any rule it had.

    Args:
        connection: to the control database.
        account: whose mail.
        target: where it goes: another account here, or an address outside.
        keep_copy: whether the account's own mailbox shows it too.
        relays: whether this installation sends mail to the outside.

    Raises:
        DirectoryError: the address leads nowhere, to a group, back to the account, or outside where no mail goes.
    """
    found = lookup.resolve(connection, [target])[target]
    if found.kind != "account" and not (found.kind == "external" and relays):
        raise DirectoryError(Code.FORWARDING_REFUSED, f"Mail cannot be forwarded to {target}: {_REFUSED[found.kind]}.")
    if found.account_id == account.id:
        raise DirectoryError(Code.FORWARDING_REFUSED, f"{target} is the account itself; name another address.")
    rule = Rule(str(target), keep_copy)
    connection.execute(_SQL["set_rule"], {"account_id": account.id, "target": rule.target, "keep_copy": rule.keep_copy})
    return rule


def remove_rule(connection: Connection[Any], account_id: int) -> bool:
    """Let an account's mail stay where it is; tells whether there was a rule."""
    return bool(connection.execute(_SQL["remove_rule"], {"account_id": account_id}).rowcount)
