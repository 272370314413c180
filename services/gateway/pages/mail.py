"""Webmail: folders, messages, and what can be done with them."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, redirect, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall import clock
from mailrecall.domain.copies import Folder, is_author_copy
from mailrecall.mailstore.reading import HIGHEST_ID
from mailrecall.mime import parts
from services.gateway import mailbox, recalling
from services.gateway.api.messages import attached_file
from services.gateway.current import account, process
from services.gateway.mailbox import Opened
from services.gateway.pages import html_mail, sessions
from services.gateway.pages.rendering import page
from services.gateway.pages.wording import FOLDERS
from services.gateway.problems import not_found

blueprint = Blueprint("mail", __name__, url_prefix="/mail")
blueprint.before_request(sessions.require)

PAGE_LENGTH = 40
"""Messages on one page of a folder."""


@dataclass(frozen=True, slots=True)
class Reading:
    """The message in the reading pane."""

    opened: Opened
    moves: list[Folder]
    """Folders that it can be put into."""
    is_authors: bool
    has_html: bool
    remote_images: int
    shows_images: bool
    recall_visible: bool
    """Whether the recall of the message is the reader's to look at (R15)."""


@blueprint.get("/<slug>")
def folder(slug: str) -> AnyResponse:
    """Show a folder."""
    return _shown(_folder(slug), None)


@blueprint.get("/<slug>/<copy_id:copy_id>")
def message(slug: str, copy_id: int) -> AnyResponse:
    """R2: show a folder with one of its messages opened. To look whether it is there (HEAD) is not a read."""
    if request.method == "HEAD":
        mailbox.look(process().databases, account(), copy_id)
        return Response()
    opened = mailbox.open_message(process().databases, account(), copy_id, now=clock.now())
    images = "images" in request.args
    remote = 0
    if opened.readable.html is not None:
        remote = html_mail.clean(opened.readable.html, {}, remote=images).remote_images
    reading = Reading(
        opened,
        [f for f in mailbox.destinations(copy_id) if f not in (opened.entry.folder, Folder.TRASH)],
        is_author_copy(copy_id),
        opened.readable.html is not None,
        remote,
        images,
        opened.recall is not None and recalling.is_visible(process(), account(), opened.recall.public_id),
    )
    return _shown(_folder(slug), reading)


@blueprint.get("/<slug>/<copy_id:copy_id>/body")
def body(slug: str, copy_id: int) -> Response:
    """R2: show a message's HTML, for the frame that it is kept in."""
    _folder(slug)
    if request.method == "HEAD":
        mailbox.look(process().databases, account(), copy_id)
        return Response()
    remote = "images" in request.args
    shown = mailbox.content(process().databases, account(), copy_id, now=clock.now())
    html = parts.readable(shown).html or ""
    return html_mail.framed(html_mail.clean(html, parts.inline_images(shown), remote=remote), remote=remote)


@blueprint.get("/<slug>/<copy_id:copy_id>/attachments/<index:index>")
def attachment(slug: str, copy_id: int, index: int) -> AnyResponse:
    """R5: download an attachment."""
    _folder(slug)
    if request.method == "HEAD":
        mailbox.look(process().databases, account(), copy_id)
        return Response()
    found, content = mailbox.attachment(process().databases, account(), copy_id, index, now=clock.now())
    return attached_file(content, found.content_type, found.filename)


@blueprint.post("/<slug>/<copy_id:copy_id>/delete")
def delete(slug: str, copy_id: int) -> AnyResponse:
    """Put a message into the trash, and from there out of the world."""
    if _folder(slug) is Folder.TRASH:
        mailbox.delete_from_trash(process().databases, account(), copy_id, now=clock.now())
        sessions.notify(_("Deleted for good."))
    else:
        # only the page of the trash offers to delete for good: a second click on another's asks for nothing more
        mailbox.put_into_trash(process().databases, account(), copy_id)
        sessions.notify(_("Moved to Trash."))
    return _back_to(slug)


@blueprint.post("/<slug>/<copy_id:copy_id>/unread")
def mark_unread(slug: str, copy_id: int) -> AnyResponse:
    """Show a message as unread again; for a recall it stays read (R2)."""
    mailbox.change(process().databases, account(), copy_id, unread=True, folder=None, now=clock.now())
    return _back_to(slug)


@blueprint.post("/<slug>/<copy_id:copy_id>/move")
def move(slug: str, copy_id: int) -> AnyResponse:
    """Put a message into another folder."""
    target = _folder(request.form.get("folder", ""))
    mailbox.change(process().databases, account(), copy_id, unread=None, folder=target, now=clock.now())
    sessions.notify(_("Moved to %(folder)s.", folder=FOLDERS[target]))
    return _back_to(slug)


def _shown(chosen: Folder, reading: Reading | None) -> Response:
    databases, owner = process().databases, account()
    cursor = _cursor()
    listed = mailbox.page(databases, owner, chosen, limit=PAGE_LENGTH, cursor=cursor)
    return page(
        "mail.html",
        chosen=chosen,
        names=FOLDERS,
        counts=mailbox.folders(databases, owner),
        listed=listed,
        cursor=cursor,
        reading=reading,
        sending=_sending(),
    )


def _sending() -> dict[str, Any] | None:
    """R28: the message just sent, while its author can take it back; only for show, the truth is asked when they do."""
    copy_id, until = request.args.get("sending", ""), request.args.get("until", "")
    if not (copy_id.isdecimal() and until.isdecimal() and len(copy_id) < 20 and len(until) < 12):  # noqa: PLR2004
        return None
    left = int(until) - int(clock.now().timestamp())
    return {"copy_id": int(copy_id), "left": left} if left > 0 else None


def _cursor() -> int | None:
    given = request.args.get("before", "")
    # Python refuses to make numbers of very many digits
    return int(given) if given.isdecimal() and len(given) < 20 and 0 < int(given) <= HIGHEST_ID else None  # noqa: PLR2004


def _folder(slug: str) -> Folder:
    try:
        return Folder.from_slug(slug)
    except ValueError:
        raise not_found("folder") from None


def _back_to(slug: str) -> AnyResponse:
    return redirect(url_for("pages.mail.folder", slug=_folder(slug).slug), 303)
