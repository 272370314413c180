"""R30: an organisation's audit rules, and who moderates. Every function works in the caller's control transaction."""

from dataclasses import asdict, dataclass
from typing import Any

from psycopg import Connection

from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.directory.lookup import Account
from mailrecall.directory.organisations import clean_name
from mailrecall.domain.addresses import Address, AddressError, canonical_domain
from mailrecall.domain.audit import LARGEST_GROUP, LONGEST_KEYWORD, Criteria
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "audit_rules.sql")


@dataclass(frozen=True, slots=True)
class AuditRule:
    """A rule under its name."""

    id: int
    name: str
    criteria: Criteria


def rules_of(connection: Connection[Any], organisation_id: int) -> list[AuditRule]:
    """Return an organisation's rules, the oldest first."""
    rows = connection.execute(_SQL["rules_of"], {"organisation_id": organisation_id}).fetchall()
    return [
        AuditRule(id_, name, Criteria(group_size=group_size, sender=sender, keyword=keyword, external=external))
        for id_, name, group_size, sender, keyword, external in rows
    ]


def add_rule(connection: Connection[Any], organisation_id: int, name: str, criteria: Criteria) -> AuditRule:
    """Add a rule; it counts for messages accepted from then on.

    Raises:
        DirectoryError: the name is taken or unusable, or a criterion is none.
    """
    name = clean_name(name, "A rule")
    criteria = _checked(criteria)
    row = connection.execute(
        _SQL["add_rule"], {"organisation_id": organisation_id, "name": name, **asdict(criteria)}
    ).fetchone()
    if row is None:
        raise DirectoryError(Code.AUDIT_RULE_TAKEN, f"There is a rule '{name}' already; remove it or name this one.")
    return AuditRule(row[0], name, criteria)


def remove_rule(connection: Connection[Any], organisation_id: int, rule_id: int) -> bool:
    """Remove a rule; what it holds stays held. Tells whether there was one."""
    keys = {"organisation_id": organisation_id, "rule_id": rule_id}
    return bool(connection.execute(_SQL["remove_rule"], keys).rowcount)


def set_moderator(connection: Connection[Any], account_id: int, *, moderator: bool) -> None:
    """Let an account decide on held mail, or no longer."""
    connection.execute(_SQL["set_moderator"], {"account_id": account_id, "moderator": moderator})


def is_moderator(connection: Connection[Any], account: Account) -> bool:
    """Tell whether an account decides on held mail: administrators do."""
    if account.administrator:
        return True
    row = connection.execute(_SQL["is_moderator"], {"account_id": account.id}).fetchone()
    return bool(row and row[0])


def _checked(criteria: Criteria) -> Criteria:
    if criteria.group_size is not None and not 1 <= criteria.group_size <= LARGEST_GROUP:
        raise DirectoryError(Code.AUDIT_RULE_REFUSED, f"A group's size is from 1 to {LARGEST_GROUP}.")
    keyword = criteria.keyword and " ".join(criteria.keyword.split())
    if keyword is not None and not 1 <= len(keyword) <= LONGEST_KEYWORD:
        raise DirectoryError(Code.AUDIT_RULE_REFUSED, f"A keyword has 1 to {LONGEST_KEYWORD} characters.")
    return Criteria(
        group_size=criteria.group_size,
        sender=criteria.sender and _sender(criteria.sender),
        keyword=keyword,
        external=criteria.external,
    )


def _sender(text: str) -> str:
    try:
        return f"@{canonical_domain(text[1:])}" if text.startswith("@") else str(Address.parse(text))
    except AddressError as error:
        raise DirectoryError(Code.ADDRESS_INVALID, f"A sender is an address, or @ and a domain. {error}") from None
