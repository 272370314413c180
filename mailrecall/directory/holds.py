"""R26: legal holds. As long as an account is held, nothing is purged that concerns it.

Every function works in the caller's control transaction.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall.audit import trail
from mailrecall.directory.lookup import Account
from mailrecall.domain.trail import Actor, Entry, Event
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "holds.sql")


@dataclass(frozen=True, slots=True)
class LegalHold:
    """An account that is held."""

    account_id: int
    address: str
    reason: str
    placed_at: datetime


def place(connection: Connection[Any], account: Account, reason: str, *, actor: Actor, now: datetime) -> bool:
    """Hold an account; the purge obeys from the caller's commit on. Waits for steps of a purge that are under way.

    Args:
        connection: to the control database.
        account: whose copies, closed or not.
        reason: why, as `domain.recalls.clean_reason` returns it.
        actor: who, for the audit trail.
        now: the present moment.

    Returns:
        False when it was held already, and nothing was changed.
    """
    keys = {
        "account_id": account.id,
        "organisation_id": account.organisation_id,
        "reason": reason,
        "placed_by": actor.account_id,
        "now": now,
    }
    connection.execute(_SQL["wait_for_purges"])
    if not connection.execute(_SQL["place"], keys).rowcount:
        return False
    _record(connection, Event.LEGAL_HOLD_PLACED, account, {"reason": reason}, actor=actor, now=now)
    return True


def lift(connection: Connection[Any], account: Account, *, actor: Actor, now: datetime) -> bool:
    """Hold an account no longer: what is due is purged from now on. False when it was not held."""
    if not connection.execute(_SQL["lift"], {"account_id": account.id}).rowcount:
        return False
    connection.execute(_SQL["purge_again"], {"now": now})
    _record(connection, Event.LEGAL_HOLD_LIFTED, account, {}, actor=actor, now=now)
    return True


def find(connection: Connection[Any], account: Account) -> LegalHold | None:
    """Return the hold of an account, if there is one."""
    row = connection.execute(_SQL["find"], {"account_id": account.id}).fetchone()
    return LegalHold(*row) if row else None


def of_organisation(connection: Connection[Any], organisation_id: int) -> list[LegalHold]:
    """Return the holds of an organisation, by address."""
    rows = connection.execute(_SQL["list"], {"organisation_id": organisation_id}).fetchall()
    return [LegalHold(*row) for row in rows]


def _record(
    connection: Connection[Any],
    event: Event,
    account: Account,
    details: dict[str, object],
    *,
    actor: Actor,
    now: datetime,
) -> None:
    # whoever holds an account names it; that says nothing of any recall (R23)
    entry = Entry(
        organisation_id=account.organisation_id,
        event=event,
        actor=actor,
        details={"account": account.address, **details},
    )
    trail.append(connection, entry, now=now)
