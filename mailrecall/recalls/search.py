"""R20: administrators look for messages of their organisation (R24), newest first, with what would go of each."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import monotonic
from typing import Any

from psycopg import Connection
from psycopg.rows import class_row

from mailrecall.directory import lookup
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import Policy
from mailrecall.postgres import abreast, queries
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import previews, views
from mailrecall.recalls.previews import Preview
from mailrecall.recalls.views import RecallMark

_SQL = queries.load(__package__, "search.sql")
_PAGES = {
    name: _SQL["page"].replace(b"{recipient}", _SQL[name])
    for name in ("to_anybody", "to_account", "to_member", "to_group", "to_outside")
}

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)
_END = datetime(9999, 1, 1, tzinfo=UTC)
_HIGHEST_ID = 2**63 - 1

SECONDS = 5.0
"""What a search may take; one that finds nothing in that time has to be narrowed."""
_LOOKING = 3.0
"""Seconds after which no further page of candidates is begun."""
_CANDIDATES = 100
"""Messages looked at in one go when most may fall through the filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Criteria:
    """What is looked for; everything that is given has to be so."""

    subject: str | None = None
    """What the subject contains, in any case."""
    sender: Address | None = None
    recipient: Address | None = None
    """An account, directly or as a member at delivery; a group; an address outside."""
    since: datetime | None = None
    until: datetime | None = None
    """The first moment that is too late."""
    only_unread: bool = False
    """Only messages of which every local copy still qualifies, as far as shards answer."""


@dataclass(frozen=True, slots=True)
class Place:
    """A place among messages, newest first: right behind the one that was accepted then."""

    accepted_at: datetime
    message_id: int


@dataclass(frozen=True, slots=True)
class Candidate:
    """A message that a search has found."""

    id: int
    accepted_at: datetime
    sender_account_id: int | None
    channel: str
    size: int
    from_header: str
    to_header: str
    subject: str
    attachments: int
    held: bool


@dataclass(frozen=True, slots=True)
class Found:
    """A message with what a recall would come to, or its recall."""

    message: Candidate
    preview: Preview | None
    """None once it was recalled."""
    recall: RecallMark | None
    recipients: int

    @property
    def to_header(self) -> str | None:
        """Whom it says it is for; R23: not once it was recalled, for these may be whose copies went."""
        return None if self.recall else self.message.to_header


@dataclass(frozen=True, slots=True)
class Page:
    """Part of what there is. `next_place` leads on where there may be more: a short page need not be the last."""

    found: Sequence[Found]
    next_place: Place | None


@dataclass(frozen=True, slots=True)
class _Search:
    """Criteria, with addresses looked up."""

    statements: Sequence[bytes]
    parameters: Mapping[str, object]


def search(
    databases: Databases,
    organisation_id: int,
    criteria: Criteria,
    policy: Policy,
    *,
    limit: int,
    after: Place | None,
    now: datetime,
) -> Page:
    """Return a page of what an organisation's people have sent.

    Raises:
        psycopg.errors.QueryCanceled: it took longer than `SECONDS`; narrower criteria will do.
    """
    ends = monotonic() + _LOOKING
    found: list[Found] = []
    at_once = max(limit, _CANDIDATES) if criteria.only_unread else limit
    with databases.control() as control:
        wanted = _look_up(control, organisation_id, criteria, now=now)
    while wanted is not None:
        with databases.control() as control:
            candidates = _candidates(control, wanted, limit=at_once + 1, after=after)
        more = len(candidates) > at_once
        for one in _examine(databases, candidates[:at_once], policy, now=now):
            after = Place(one.message.accepted_at, one.message.id)
            if criteria.only_unread and not (one.preview and one.preview.untouched):
                continue
            found.append(one)
            if len(found) == limit:
                last = one.message is candidates[min(at_once, len(candidates)) - 1]
                return Page(found, after if more or not last else None)
        if not more:
            break
        if monotonic() > ends:
            return Page(found, after)
    return Page(found, None)


def look_at(
    databases: Databases, organisation_id: int, message_ids: Sequence[int], policy: Policy, *, now: datetime
) -> list[Found]:
    """Return messages that were found before as they are now, newest first; those that are not there are left out."""
    parameters = {"message_ids": list(message_ids), "organisation_id": organisation_id, "now": now}
    with databases.control() as control, control.cursor(row_factory=class_row(Candidate)) as cursor:
        candidates = cursor.execute(_SQL["named"], parameters).fetchall()
    return list(_examine(databases, candidates, policy, now=now))


def _look_up(control: Connection[Any], organisation_id: int, criteria: Criteria, *, now: datetime) -> _Search | None:
    """Find out whom the addresses mean; None when they are nobody's, so that nothing can be found."""
    sender = None
    if criteria.sender is not None:
        account = lookup.account_by_address(control, criteria.sender)
        # R24: nobody else's people exist here
        if account is None or account.organisation_id != organisation_id:
            return None
        sender = account.id
    names: Sequence[str] = ["to_anybody"]
    recipient: int | None = None
    address = ""
    if criteria.recipient is not None:
        who = lookup.resolve(control, [criteria.recipient])[criteria.recipient]
        recipient, address = who.account_id or who.group_id, who.address
        if who.kind == "unknown":
            return None
        if who.kind == "external":
            names = ["to_outside"]
        elif who.kind == "group":
            names = ["to_group"]
        else:
            account = lookup.account_by_id(control, who.account_id or 0)
            # R24: who is in another organisation's groups is theirs to know
            ours = account is not None and account.organisation_id == organisation_id
            names = ["to_account", "to_member"] if ours else ["to_account"]
    return _Search(
        [_PAGES[name] for name in names],
        {
            "organisation_id": organisation_id,
            "sender": sender,
            "recipient": recipient,
            "address": address,
            "subject": criteria.subject,
            "pairs": len(criteria.subject or "") > 1,
            "since": criteria.since or _BEGINNING,
            "until": criteria.until or _END,
            "now": now,
        },
    )


def _candidates(control: Connection[Any], wanted: _Search, *, limit: int, after: Place | None) -> list[Candidate]:
    start = after or Place(_END, _HIGHEST_ID)
    parameters = {
        **wanted.parameters,
        "before_at": start.accepted_at,
        "before_id": start.message_id,
        "limit": limit,
    }
    abreast.limit_statement(control, SECONDS)
    rows: dict[int, Candidate] = {}
    with control.cursor(row_factory=class_row(Candidate)) as cursor:
        for statement in wanted.statements:
            rows |= {row.id: row for row in cursor.execute(statement, parameters, prepare=False)}
    return sorted(rows.values(), key=lambda row: (row.accepted_at, row.id), reverse=True)[:limit]


def _examine(
    databases: Databases, candidates: Sequence[Candidate], policy: Policy, *, now: datetime
) -> Iterator[Found]:
    ids = [candidate.id for candidate in candidates]
    with databases.control() as control:
        # R26: what was undone can be recalled again, as if nobody had asked
        marks = {id_: mark for id_, mark in views.of_messages(control, ids).items() if mark.stands}
        sizes = dict(control.execute(_SQL["sizes"], {"message_ids": list(marks)}).fetchall()) if marks else {}
    fresh = [id_ for id_ in ids if id_ not in marks]
    foreseen = previews.preview(databases, fresh, policy, now=now, by_via=False) if fresh else {}
    for candidate in candidates:
        if mark := marks.get(candidate.id):
            yield Found(candidate, None, mark, sizes.get(candidate.id, 0))
        # one that vanished in between was taken back by its author (R28)
        elif preview := foreseen.get(candidate.id):
            yield Found(candidate, preview, None, preview.recipients)
