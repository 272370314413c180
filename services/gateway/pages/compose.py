"""Writing: drafts that save themselves, sending with a while to change one's mind (R28), replies and forwards."""

import re
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.datastructures import FileStorage
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.copies import is_author_copy
from mailrecall.mime.compose import NewAttachment
from services.gateway import drafting, mailbox, outgoing, sending
from services.gateway.current import account, process
from services.gateway.drafting import Saved, Typed
from services.gateway.pages import errors, languages, quoting, sessions
from services.gateway.pages.rendering import page
from services.gateway.pages.wording import told, told_of_recipients, unsubjected
from services.gateway.problems import CATALOGUE, Code, FieldError, Problem, not_found
from services.gateway.schemas.sending import MOST_ATTACHMENTS

blueprint = Blueprint("compose", __name__, url_prefix="/compose")
blueprint.before_request(sessions.require)

_SEPARATORS = re.compile(r"[,;，；\n\r\t]+")
_IDENTIFIER = re.compile(r"<[^<>\s]{1,900}>")
_OCTETS = "application/octet-stream"
_MOST_TYPED = 10_000
_AS_ENCODED = 1.4
"""How much larger a file is in mail: base64 makes four octets of three, in lines, and the text wants room too."""
_LONGEST_NUMBER = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """What the form holds."""

    to: str = ""
    cc: str = ""
    bcc: str = ""
    subject: str = ""
    text: str = ""
    in_reply_to: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What the page shows besides."""

    saved: Saved | None = None
    draft_id: str = ""
    version: str = ""
    """What the next saving is of. After a failure what it was of before: newer words of another window would be
    written over, and what was sent already would become a draft again."""
    error: str | None = None
    fields: dict[str, str] = field(default_factory=dict)
    """What is wrong with single fields."""


@blueprint.get("")
def new() -> AnyResponse:
    """Show an empty form; a `mailto:` link's address may stand in it."""
    return _form(Form(to=request.args.get("to", "")[:_MOST_TYPED]), Page())


@blueprint.get("/<copy_id:draft_id>")
def edit(draft_id: int) -> AnyResponse:
    """Go on with a draft."""
    saved = drafting.find(process(), account(), draft_id)
    return _form(_form_of(saved), _page_of(saved))


@blueprint.get("/reply/<copy_id:copy_id>")
def reply(copy_id: int) -> AnyResponse:
    """Answer a message; that reads it (R2). To look whether it is there (HEAD) is not a read."""
    if request.method == "HEAD":
        mailbox.look(process().databases, account(), copy_id)
        return Response()
    opened = mailbox.open_message(process().databases, account(), copy_id, now=clock.now())
    written = opened.entry.accepted_at
    when = f"{languages.moment(written)} {languages.zone_of(written)}"
    answered = opened.readable
    own = is_author_copy(copy_id)
    return _form(
        Form(
            to=quoting.addresses(answered.to_header if own else answered.reply_to_header or answered.from_header),
            subject=quoting.answer_to(opened.entry.subject),
            text=quoting.quoted(
                answered, _("On %(when)s, %(who)s wrote:", when=when, who=answered.from_header or _("(unknown)"))
            ),
            in_reply_to=answered.message_id if _IDENTIFIER.fullmatch(answered.message_id.strip()) else "",
        ),
        Page(),
    )


@blueprint.post("/save")
def save() -> AnyResponse:
    """Save what is there; a script asks for this again and again, and gets the part of the page that says so."""
    try:
        saved = _save(exact=True)
    except Problem as problem:
        return _failed(problem, None)
    if "HX-Request" in request.headers:
        return page("compose_state.html", shown=_page_of(saved))
    sessions.notify(_("Draft saved."))
    return redirect(url_for("pages.compose.edit", draft_id=saved.draft.copy_id), 303)


@blueprint.post("/send")
def send() -> AnyResponse:
    """Send what the form holds. It is saved first, so that nothing is lost when it cannot be sent."""
    saved: Saved | None = None
    try:
        saved = _save(exact=False)
        shown = saved.draft.version
        # not what another window has saved since
        sent = drafting.send(
            process(), account(), saved.draft.copy_id, lambda version: version == shown, delay=None, now=clock.now()
        )
    except Problem as problem:
        return _failed(problem, saved)
    return _sent(sent)


@blueprint.post("/<copy_id:draft_id>/discard")
def discard(draft_id: int) -> AnyResponse:
    """Throw a draft away."""
    drafting.remove(process(), account(), draft_id, _any)
    sessions.notify(_("Draft discarded."))
    return redirect(url_for("pages.mail.folder", slug="drafts"), 303)


@blueprint.post("/<copy_id:draft_id>/take-back")
def take_back(draft_id: int) -> AnyResponse:
    """R28: take a message back before it goes out."""
    try:
        saved = outgoing.take_back(process(), account(), draft_id, now=clock.now())
    except Problem as problem:
        if problem.code is not Code.ALREADY_SENT:
            raise
        sessions.notify(told(problem) or "", "warning")
        return redirect(url_for("pages.mail.folder", slug="sent"), 303)
    sessions.notify(_("The message was not sent; it is a draft again."))
    if saved is None:
        return redirect(url_for("pages.mail.folder", slug="drafts"), 303)
    return redirect(url_for("pages.compose.edit", draft_id=draft_id), 303)


@blueprint.get("/forward/<copy_id:copy_id>")
def forward_form(copy_id: int) -> AnyResponse:
    """Ask to whom a message is to be passed on."""
    listed = mailbox.look(process().databases, account(), copy_id)
    return page("forward.html", entry=listed.entry, form=Form(), shown=Page())


@blueprint.post("/forward/<copy_id:copy_id>")
def forward(copy_id: int) -> AnyResponse:
    """R4: pass a message on, enclosed as it came; it goes out at once."""
    form = _typed_form()
    try:
        addresses = _addresses(form.to)
        wanted = sending.Forward(addresses, _storable(form.text))
        sent = sending.forward(process(), account(), copy_id, wanted, now=clock.now())
    except Problem as problem:
        if problem.code is Code.NOT_FOUND:
            raise
        entry = mailbox.look(process().databases, account(), copy_id).entry
        return page("forward.html", CATALOGUE[problem.code].status, entry=entry, form=form, shown=_shown(problem, None))
    return _sent(sent)


def _sent(sent: sending.Outgoing) -> AnyResponse:
    if sent.waiting_id is None:
        sessions.notify(_("Sent."))
        return redirect(url_for("pages.mail.folder", slug="sent"), 303)
    until = int(sent.sends_at.timestamp())
    return redirect(url_for("pages.mail.folder", slug="sent", sending=sent.copy_id, until=until), 303)


def _save(*, exact: bool) -> Saved:
    """Save the form: as a new draft, or in the place of the one it is of.

    Args:
        exact: refuse when somebody saved another version meanwhile. Who sends means what they see.
    """
    form, number = _typed_form(), _draft_id()
    typed = Typed(
        to=_list(form.to),
        cc=_list(form.cc),
        bcc=_list(form.bcc),
        subject=_line(form.subject),
        text=_storable(form.text),
        in_reply_to=form.in_reply_to if _IDENTIFIER.fullmatch(form.in_reply_to) else None,
        attachments=_attachments(number),
    )
    if number is None:
        return drafting.create(process(), account(), typed, now=clock.now())
    version = request.form.get("version", "")
    # which files to remove is told by their places, which another version may have others in
    matches = (lambda v: str(v) == version) if exact or _dropped() else _any
    return drafting.replace(process(), account(), number, typed, matches, now=clock.now())


def _attachments(number: int | None) -> list[NewAttachment] | None:
    """Return all files of the draft: those that stay, then those that came with the form; None where none changes."""
    added = [file for file in request.files.getlist("files") if file.filename]
    dropped = {int(given) for given in _dropped()}
    if not added and not dropped:
        return None
    there: list[NewAttachment] = []
    if number is not None:
        there = drafting.attachments_of(drafting.find(process(), account(), number).draft)
    kept = [file for index, file in enumerate(there) if index not in dropped]
    if len(kept) + len(added) > MOST_ATTACHMENTS:
        raise Problem(Code.TOO_LARGE, "Too many attachments.")
    return [*kept, *map(_attachment, added)]


def _dropped() -> list[str]:
    # Python refuses to make numbers of very many digits
    return [given for given in request.form.getlist("drop") if given.isdecimal() and len(given) <= _LONGEST_NUMBER]


def _attachment(file: FileStorage) -> NewAttachment:
    name = _line(file.filename or "").strip() or _("file")
    media_type = file.mimetype if re.fullmatch(r"[\w!#$&^.+-]+/[\w!#$&^.+-]+", file.mimetype or "") else _OCTETS
    if media_type.startswith(("multipart/", "message/")):
        media_type = _OCTETS
    return NewAttachment(name, media_type, file.stream.read())


def _failed(problem: Problem, saved: Saved | None) -> Response:
    """Show what went wrong; to a script in words alone: what was typed is in its page.

    Args:
        problem: why.
        saved: the draft as it was saved before that; None: it was not.
    """
    shown, status = _shown(problem, saved), CATALOGUE[problem.code].status
    if "HX-Request" in request.headers:
        return errors.show(status, shown.error or " ".join(shown.fields.values()))
    return _form(_typed_form(), shown, status)


def _shown(problem: Problem, saved: Saved | None) -> Page:
    fields = told_of_recipients(problem, {name: _list(request.form.get(name, "")) for name in ("to", "cc", "bcc")})
    if problem.code is Code.NOT_FOUND:
        error: str | None = _("This draft is not there any more: it was sent or discarded, in another window perhaps.")
    else:
        error = None if fields else told(problem) or _("That did not work. Check the message and try again.")
    if saved is not None:
        return replace(_page_of(saved), error=error, fields=fields)
    given = {name: request.form.get(name, "")[:_LONGEST_NUMBER] for name in ("draft_id", "version")}
    return Page(saved=_find_saved(), **given, error=error, fields=fields)


def _page_of(saved: Saved) -> Page:
    return Page(saved=saved, draft_id=str(saved.draft.copy_id), version=str(saved.draft.version))


def _form(form: Form, shown: Page, status: int = HTTPStatus.OK) -> Response:
    settings = process().settings
    most_files = int(min(settings.max_upload, settings.max_message_size) / _AS_ENCODED)
    return page("compose.html", status, form=form, shown=shown, title=unsubjected(form.subject), most_files=most_files)


def _form_of(saved: Saved) -> Form:
    typed: Any = saved.draft.fields
    return Form(
        to=", ".join(typed["to"]),
        cc=", ".join(typed["cc"]),
        bcc=", ".join(typed["bcc"]),
        subject=typed["subject"],
        text=typed["text"],
        in_reply_to=typed.get("in_reply_to") or "",
    )


def _typed_form() -> Form:
    names = ("to", "cc", "bcc", "subject", "text", "in_reply_to")
    return Form(**{name: request.form.get(name, "") for name in names})


def _find_saved() -> Saved | None:
    number = _draft_id()
    try:
        return drafting.find(process(), account(), number) if number else None
    except Problem:
        return None


def _draft_id() -> int | None:
    given = request.form.get("draft_id", "")
    if not given:
        return None
    if not given.isdecimal() or len(given) > _LONGEST_NUMBER:
        raise not_found("draft")
    return int(given)


def _list(typed: str) -> list[str]:
    """Return what may become addresses, one by one."""
    return [_line(part).strip()[:1000] for part in _SEPARATORS.split(typed) if part.strip()][:_MOST_TYPED]


def _addresses(typed: str) -> list[Address]:
    found: list[Address] = []
    errors: list[FieldError] = []
    for place, text in enumerate(_list(typed)):
        try:
            found.append(Address.parse(text))
        except AddressError as error:
            errors.append(FieldError(f"#/to/{place}", str(error)))
    if errors:
        raise Problem(Code.INVALID, "Some addresses are none.", errors)
    return found


def _storable(text: str) -> str:
    kept = text.replace("\0", "").replace("\r\n", "\n")
    return "".join(character for character in kept if not "\ud800" <= character <= "\udfff")


def _line(text: str) -> str:
    """Return text as one line: a line break in a subject would begin a header field of the writer's own."""
    return "".join(c if c.isprintable() else " " for c in _storable(text))


def _any(_version: int) -> bool:
    return True
