"""R13, R19, R24: the organisation's groups: whom they name, and whom a message to them reaches."""

from http import HTTPStatus
from typing import Any, Final

from flask import Blueprint, request, url_for
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from mailrecall.directory.browsing import COUNTABLE, FEW, MOST, GroupPage, Kind, MemberPlace
from services.gateway import browsing
from services.gateway.current import account, process
from services.gateway.pages.console import cursors
from services.gateway.pages.rendering import page
from services.gateway.problems import Code, Problem

blueprint = Blueprint("groups", __name__, url_prefix="/groups")

PAGE: Final = 50


@blueprint.get("")
def listed() -> AnyResponse:
    """List the organisation's groups by address; those that contain what is looked for."""
    text, cursor = cursors.text("search"), cursors.text("after")
    found, refused = GroupPage([], None), None
    try:
        found = browsing.groups(process(), account(), text, limit=PAGE, cursor=cursor)
    except Problem as problem:
        if problem.code is not Code.TOO_WIDE:
            raise
        refused = _("That takes too long. Type more of the address or of the name.")
    kept: dict[str, Any] = {"search": text} if text else {}
    return page(
        "console/groups.html",
        HTTPStatus.UNPROCESSABLE_ENTITY if refused else HTTPStatus.OK,
        groups=found.groups,
        typed=text,
        refused=refused,
        shown=FEW - 1,
        countable=COUNTABLE,
        following=url_for(".listed", **kept, after=found.next_cursor) if found.next_cursor else None,
        first=url_for(".listed", **kept) if cursor else None,
        longest=cursors.LONGEST_TEXT,
    )


@blueprint.get("/<directory_id:group_id>")
def show(group_id: int) -> AnyResponse:
    """Show one group: its addresses, whom it names, and the groups that it is in."""
    view = browsing.find_group(process(), account(), group_id, limit=PAGE, cursor=_place())
    return page(
        "console/group.html",
        view=view,
        entry=view.entry,
        most=MOST,
        countable=COUNTABLE,
        following=_following("show", group_id, view.members.next_place),
        first=url_for(".show", group_id=group_id) if "after" in request.args else None,
    )


@blueprint.get("/<directory_id:group_id>/everybody")
def everybody(group_id: int) -> AnyResponse:
    """R13: show whom a message to the group reaches, through whatever groups."""
    view = browsing.find_reach(process(), account(), group_id, limit=PAGE, cursor=_place())
    return page(
        "console/group_reach.html",
        view=view,
        entry=view.entry,
        following=_following("everybody", group_id, view.members.next_place),
        first=url_for(".everybody", group_id=group_id) if "after" in request.args else None,
    )


def _place() -> MemberPlace | None:
    kind, _colon, address = cursors.text("after").partition(":")
    return MemberPlace(Kind(kind), address) if kind in set(Kind) else None


def _following(page_name: str, group_id: int, place: MemberPlace | None) -> str | None:
    return url_for(f".{page_name}", group_id=group_id, after=f"{place.kind}:{place.address}") if place else None
