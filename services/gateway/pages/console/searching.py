"""R20, R21: looking for messages, choosing some from any number of pages, and asking for their recall."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, redirect, request, url_for
from flask_babel import LazyString
from flask_babel import gettext as _
from flask_babel import lazy_gettext as lazy
from marshmallow import ValidationError
from psycopg import Connection
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.outcomes import Tally
from mailrecall.domain.recalls import LONGEST_REASON, ReasonError
from mailrecall.mailstore.reading import HIGHEST_ID
from mailrecall.recalls.batches import MOST_MESSAGES
from services.gateway import administration, batching, policies
from services.gateway.administration import Hit, HitPage
from services.gateway.current import account, process
from services.gateway.fields import PlaceCursor
from services.gateway.pages import charts, languages, reasons, sessions
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem
from services.gateway.schemas.administration import SearchQuerySchema

blueprint = Blueprint("searching", __name__, url_prefix="/recall")

PAGE: Final = 25
_CURSOR = PlaceCursor()
_QUERY = SearchQuerySchema()
_FIELDS = ("subject", "sender", "recipient", "since", "until")
_WRONG: Mapping[str, LazyString] = {
    "subject": lazy("Give one line of text."),
    "sender": lazy("Give a whole mail address, such as ada@example.com."),
    "recipient": lazy("Give a whole mail address, such as ada@example.com."),
    "since": lazy("Give a date and a time."),
    "until": lazy("Give a date and a time."),
}


def home() -> AnyResponse:
    """R20: the search, with what it finds; without criteria the newest messages."""
    typed = {name: request.args.get(name, "").strip() for name in _FIELDS}
    only_unread = request.args.get("only_unread") == "true"
    found, wrong, refused = HitPage([], None), dict[str, str](), None
    try:
        query = _QUERY.load(_wanted(typed, only_unread=only_unread))
        criteria = query["criteria"]
        if criteria.since and criteria.until and criteria.since >= criteria.until:
            wrong["until"] = _("The end has to be after the beginning.")
        else:
            found = administration.find_messages(
                process(), account(), criteria, limit=PAGE, cursor=query["cursor"], now=clock.now()
            )
    except ValidationError as error:
        wrong = {name: str(_WRONG[name]) for name in error.messages_dict if name in _WRONG}
        refused = None if wrong else _("This page of the list does not exist any more. Search anew.")
    except Problem as problem:
        if problem.code is not Code.TOO_WIDE:
            raise
        refused = _("That takes too long. Name a sender, or a shorter time.")
    kept: dict[str, Any] = {name: value for name, value in typed.items() if value}
    if only_unread:
        kept["only_unread"] = "true"
    following = None
    if found.next_cursor is not None:
        following = url_for("pages.console.home", **kept, cursor=_CURSOR.write(found.next_cursor))
    return page(
        "console/search.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if wrong or refused else HTTPStatus.OK,
        typed=typed,
        only_unread=only_unread,
        searched=any(typed.values()) or only_unread,
        wrong=wrong,
        refused=refused,
        hits=found.messages,
        following=following,
        first=url_for("pages.console.home", **kept) if "cursor" in request.args else None,
        most=MOST_MESSAGES,
        zone=str(languages.zone()),
    )


def _wanted(typed: Mapping[str, str], *, only_unread: bool) -> dict[str, Any]:
    wanted: dict[str, Any] = {name: value for name, value in typed.items() if value}
    if only_unread:
        wanted["only_unread"] = True
    if cursor := request.args.get("cursor"):
        wanted["cursor"] = cursor
    return {**wanted, "zone": str(languages.zone()), "limit": PAGE}


@dataclass(frozen=True, slots=True)
class _Chosen:
    """What a recall of the chosen messages would come to, all together."""

    hits: Sequence[Hit]
    missing: int
    """Messages that are not there any more."""

    @property
    def previews(self) -> list[Any]:
        """The previews of those that can be asked for."""
        return [hit.found.preview for hit in self.hits if hit.found.preview and hit.refusal is None]

    @property
    def tally(self) -> Tally:
        """The outcomes of all."""
        return sum((preview.tally for preview in self.previews), Tally({}))

    @property
    def recipients(self) -> int:
        """Everybody whom they go to."""
        return sum(preview.recipients for preview in self.previews)

    @property
    def recallable(self) -> int:
        """How many copies would go."""
        return sum(preview.recallable for preview in self.previews)

    @property
    def copies(self) -> int:
        """How many copies a recall would try to take: what is compared with `approval_above` (R21)."""
        return sum(preview.copies for preview in self.previews)

    @property
    def unknown(self) -> int:
        """For how many it is not known now."""
        return sum(preview.unknown for preview in self.previews)


@blueprint.get("")
def nothing_chosen() -> AnyResponse:
    """Lead whoever comes here by address to the search."""
    return redirect(url_for("pages.console.home"), 303)


@blueprint.post("")
def preview() -> AnyResponse:
    """R25: show what a recall of the chosen messages would come to; it changes nothing."""
    ids = _ids()
    if not ids:
        sessions.notify(_("Choose at least one message."), "warning")
        return redirect(url_for("pages.console.home"), 303)
    return _form(ids, request.form.get("reason", ""), None)


@blueprint.post("/ask")
def ask() -> AnyResponse:
    """R21: ask for all chosen messages; each has a result of its own."""
    ids = _ids()
    if not ids:
        sessions.notify(_("Choose at least one message."), "warning")
        return redirect(url_for("pages.console.home"), 303)
    given = request.form.get("reason", "")
    try:
        reason = reasons.typed(given)
    except ReasonError as wrong:
        return _form(ids, given, str(wrong), HTTPStatus.UNPROCESSABLE_ENTITY)
    made: list[batching.Shown] = []

    def keep(_control: Connection[Any], shown: batching.Shown) -> None:
        made.append(shown)

    asking = batching.Asking(ids, reason, request.form.get("only_unread") == "true")
    batching.ask(process(), account(), asking, keep=keep, now=clock.now())
    return redirect(url_for("pages.console.batches.show", public_id=made[0].batch.public_id, asked=1), 303)


def _ids() -> list[int]:
    """Return the chosen messages: boxes of the page, and those that a script remembered of other pages."""
    named = ",".join([*request.form.getlist("message"), *request.form.getlist("messages")]).split(",")
    ids = [int(text) for text in named if text.isdecimal() and text.isascii() and len(text) < 20]  # noqa: PLR2004
    return list(dict.fromkeys(id_ for id_ in ids if 0 < id_ <= HIGHEST_ID))[:MOST_MESSAGES]


def _form(ids: Sequence[int], reason: str, wrong: str | None, status: int = HTTPStatus.OK) -> AnyResponse:
    only_unread = request.form.get("only_unread") == "true"
    hits = administration.look_at(process(), account(), ids, only_unread=only_unread, now=clock.now())
    chosen = _Chosen(hits, len(ids) - len(hits))
    policy = policies.show(process(), account())
    return page(
        "console/recall_form.html",
        status,
        chosen=chosen,
        ids=",".join(str(hit.found.message.id) for hit in hits),
        chart=charts.ring(chosen.tally, chosen.recipients),
        approval=chosen.copies > policy.approval_above,
        only_unread=only_unread,
        reason=reason,
        wrong=wrong,
        longest=LONGEST_REASON,
    )
