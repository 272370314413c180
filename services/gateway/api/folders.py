"""Folders and what they list. Nothing here is a read (R2)."""

from dataclasses import dataclass
from typing import Any

from flask import Blueprint, url_for

from mailrecall.directory.tokens import Scope
from mailrecall.domain.copies import Folder
from mailrecall.mailstore.reading import FolderCount
from services.gateway import decoding, mailbox
from services.gateway.current import account, process
from services.gateway.describing import Answer, describe
from services.gateway.problems import not_found
from services.gateway.schemas.messages import FolderSchema, FoldersSchema, PageQuerySchema, PageSchema

blueprint = Blueprint("folders", __name__, url_prefix="/folders")

_FOLDERS = FolderSchema(many=True)
_PAGE_QUERY = PageQuerySchema()
_PAGE = PageSchema()


@dataclass(frozen=True, slots=True)
class _PageQuery:
    limit: int
    cursor: int | None


@dataclass(frozen=True, slots=True)
class _Counted:
    folder: Folder
    count: FolderCount


@blueprint.get("")
@describe(answers={200: FoldersSchema}, scope=Scope.READ)
def list_folders() -> Any:
    """Return every folder with its counts."""
    counts = mailbox.folders(process().databases, account())
    return {"folders": _FOLDERS.dump([_Counted(folder, count) for folder, count in counts.items()])}


@blueprint.get("/<slug>/messages")
@describe(
    query=PageQuerySchema,
    answers={200: Answer(PageSchema, headers={"Link": 'The next part, `rel="next"`, if there is one.'})},
    scope=Scope.READ,
)
def list_messages(slug: str) -> Any:
    """List a folder, newest first."""
    try:
        folder = Folder.from_slug(slug)
    except ValueError:
        raise not_found("folder") from None
    wanted = decoding.query(_PAGE_QUERY, _PageQuery)
    page = mailbox.page(process().databases, account(), folder, limit=wanted.limit, cursor=wanted.cursor)
    if page.next_cursor is None:
        return _PAGE.dump(page)
    following = url_for(".list_messages", slug=slug, limit=wanted.limit, cursor=page.next_cursor)
    return _PAGE.dump(page), {"Link": f'<{following}>; rel="next"'}
