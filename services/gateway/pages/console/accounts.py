"""R19, R24: the organisation's accounts: who they are and where they belong; never what is in their mailboxes."""

from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall.directory.browsing import FEW, MOST, AccountPage
from services.gateway import browsing
from services.gateway.current import account, process
from services.gateway.pages.console import cursors
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem

blueprint = Blueprint("accounts", __name__, url_prefix="/accounts")

PAGE: Final = 50
_RECALLS: Final = 25


@blueprint.get("")
def listed() -> AnyResponse:
    """List the organisation's accounts by address; those that contain what is looked for."""
    text, cursor = cursors.text("search"), cursors.text("after")
    found, refused = AccountPage([], None), None
    try:
        found = browsing.accounts(process(), account(), text, limit=PAGE, cursor=cursor)
    except Problem as problem:
        if problem.code is not Code.TOO_WIDE:
            raise
        refused = _("That takes too long. Type more of the address or of the name.")
    kept: dict[str, Any] = {"search": text} if text else {}
    return page(
        "console/accounts.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK,
        accounts=found.accounts,
        typed=text,
        refused=refused,
        shown=FEW - 1,
        following=url_for(".listed", **kept, after=found.next_cursor) if found.next_cursor else None,
        first=url_for(".listed", **kept) if cursor else None,
        longest=cursors.LONGEST_TEXT,
    )


@blueprint.get("/<directory_id:account_id>")
def show(account_id: int) -> AnyResponse:
    """Show one account: its addresses, its groups, what it recalled, and whether it is held."""
    cursor = cursors.number("cursor")
    view = browsing.find_account(process(), account(), account_id, limit=_RECALLS, cursor=cursor)
    following = view.recalls.next_cursor
    return page(
        "console/account.html",
        view=view,
        entry=view.entry,
        most=MOST,
        following=url_for(".show", account_id=account_id, cursor=following) + "#recalls" if following else None,
        first=url_for(".show", account_id=account_id) + "#recalls" if "cursor" in request.args else None,
    )
