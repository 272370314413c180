"""Organisations, their domains and their policies. Every function works in the caller's control transaction."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection
from psycopg.types.json import Jsonb

from mailrecall.audit import trail
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.domain.addresses import AddressError, canonical_domain
from mailrecall.domain.policy import Policy, PolicyError
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "editing.sql")

LONGEST_NAME = 200

_WHOLE_NUMBER = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Organisation:
    """A customer of the platform: as far as its administrators see (R24) and, by default, as recalls go (R1)."""

    id: int
    name: str


def lock(connection: Connection[Any]) -> None:
    """Wait until no other transaction edits the directory; ends with the caller's transaction."""
    connection.execute(_SQL["lock"])


def add_organisation(connection: Connection[Any], name: str, switches: Mapping[str, object] | None = None) -> int:
    """Add an organisation; return its id.

    Args:
        connection: to the control database.
        name: unique on the platform.
        switches: those of its policy that are to differ from their defaults.

    Raises:
        DirectoryError: the name is taken or unusable, or the policy is not one.
    """
    name = clean_name(name, "An organisation")
    policy = Jsonb(changed_switches(parse_policy(switches or {})))
    row = connection.execute(_SQL["add_organisation"], {"name": name, "policy": policy}).fetchone()
    if row is None:
        raise DirectoryError(Code.ORGANISATION_TAKEN, f"There is an organisation '{name}' already.")
    organisation_id: int = row[0]
    return organisation_id


def organisation_by_name(connection: Connection[Any], name: str) -> Organisation:
    """Return the organisation of that name.

    Raises:
        DirectoryError: there is none.
    """
    row = connection.execute(_SQL["organisation_by_name"], {"name": name.strip()}).fetchone()
    if row is None:
        raise DirectoryError(Code.ORGANISATION_UNKNOWN, f"There is no organisation '{name}'; add it first.")
    return Organisation(*row)


def domains_of(connection: Connection[Any], organisation_id: int) -> list[str]:
    """Return the names of an organisation's domains."""
    return [name for (name,) in connection.execute(_SQL["organisation_domains"], {"organisation_id": organisation_id})]


def add_domain(connection: Connection[Any], organisation_id: int, name: str) -> int:
    """Give an organisation a domain, from now on nobody's outside; return its id.

    Raises:
        DirectoryError: it is no domain or taken, or groups have members there that were taken as external.
    """
    try:
        name = canonical_domain(name)
    except AddressError as error:
        raise DirectoryError(Code.ADDRESS_INVALID, str(error)) from None
    lock(connection)
    if external := connection.execute(_SQL["external_members_at"], {"domain": name}).fetchone():
        raise DirectoryError(
            Code.DOMAIN_HAS_EXTERNAL_MEMBERS,
            f"Groups have members at '{name}' as external addresses, such as {external[0]}; remove those members, add "
            "the domain and its accounts, then add the members again.",
        )
    row = connection.execute(_SQL["add_domain"], {"name": name, "organisation_id": organisation_id}).fetchone()
    if row is None:
        raise DirectoryError(Code.DOMAIN_TAKEN, f"The domain '{name}' belongs to an organisation already.")
    domain_id: int = row[0]
    return domain_id


def change_policy(
    connection: Connection[Any], organisation_id: int, switches: Mapping[str, object], *, actor: Actor, now: datetime
) -> Policy:
    """Set some of an organisation's switches and leave the others, which the audit trail records (R27).

    Returns:
        the whole policy.

    Raises:
        DirectoryError: there is no such organisation or switch, or a value is of the wrong type or out of range.
    """
    row = connection.execute(_SQL["policy_for_update"], {"organisation_id": organisation_id}).fetchone()
    if row is None:
        raise DirectoryError(Code.ORGANISATION_UNKNOWN, f"There is no organisation with the id {organisation_id}.")
    policy = parse_policy({**row[0], **switches})
    connection.execute(
        _SQL["set_policy"], {"organisation_id": organisation_id, "policy": Jsonb(changed_switches(policy))}
    )
    record_policy(connection, organisation_id, parse_policy(row[0]), policy, actor=actor, now=now)
    return policy


def record_policy(
    connection: Connection[Any], organisation_id: int, before: Policy, after: Policy, *, actor: Actor, now: datetime
) -> None:
    """R27: record which switches were changed from what to what; nothing where none was."""
    old, new = before.to_mapping(), after.to_mapping()
    changed = {name: {"from": old[name], "to": new[name]} for name in new if old[name] != new[name]}
    if changed:
        entry = Entry(organisation_id=organisation_id, event=Event.POLICY_CHANGED, actor=actor, details=changed)
        trail.append(connection, entry, now=now)


def clean_name(name: str, whose: str) -> str:
    """Return a name for people to read, trimmed.

    Raises:
        DirectoryError: it is empty or too long, or has characters that no screen shows.
    """
    name = name.strip()
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise DirectoryError(
            Code.NAME_INVALID, f"{whose} needs a name of 1 to {LONGEST_NAME} printable characters; got {name[:60]!r}."
        )
    return name


def switch_from_text(text: str) -> object:
    """Return a switch's value from a file or a command line: a whole number, true or false, or a word."""
    text = text.strip().lower()
    if text in {"true", "false"}:
        return text == "true"
    return int(text) if _WHOLE_NUMBER.fullmatch(text) else text


def parse_policy(switches: Mapping[str, object]) -> Policy:
    """Read switches that somebody wants to have.

    Raises:
        DirectoryError: there is no such switch, or a value is of the wrong type or out of range.
    """
    try:
        return Policy.from_mapping(switches)
    except PolicyError as error:
        raise DirectoryError(Code.POLICY_REFUSED, str(error)) from None


def changed_switches(policy: Policy) -> dict[str, object]:
    """Return the switches that differ from their defaults: the others follow a later version's defaults."""
    defaults = Policy().to_mapping()
    return {name: value for name, value in policy.to_mapping().items() if value != defaults[name]}
