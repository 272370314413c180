"""R22: how fast a recall went, drawn when it has come to its end."""

import os
from uuid import UUID

import pytest
from playwright.sync_api import Page, expect

from mailrecall.domain.recalls import State
from mailrecall.embedded.deadlines import poll
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from tests import company as companies
from tests import correspondence
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.company import Company
from tests.stack import Stack

WORDS = {
    "en": "All done in 12.5 sec; at most 45,000 within 0.5 sec.",
    "zh": "全部完成用时 12.5秒；最快时 0.5秒内完成 45,000 个。",
}
RANGES = 40


def recalled(stack: Stack, company: Company) -> tuple[int, UUID]:
    """A recall that went through, of a message to two."""
    author, *others = company.people
    message_id = correspondence.send(stack.databases, author, *others[:2])

    def settled() -> views.RecallView | None:
        with stack.databases.control() as control:
            view = views.of_message(control, message_id)
        return view if view is not None and view.state is State.SETTLED else None

    with stack.databases.control() as control:
        delivered = "SELECT delivered_at IS NOT NULL FROM message WHERE id = %s"
        assert poll(lambda: control.execute(delivered, (message_id,)).fetchone() == (True,), timeout=120, pause=0.2)
    assert isinstance(correspondence.ask(stack.databases, author, message_id), Requested)
    assert poll(lambda: settled() is not None, timeout=120, pause=0.2)
    view = settled()
    assert view is not None
    return view.id, view.public_id


def as_if_large(databases: Databases, recall_id: int) -> None:
    """Have it be a recall of 600,000, under way again: most done in five seconds, the rest by a slow shard."""
    with databases.control() as control:
        control.execute(
            "WITH first AS (DELETE FROM recall_batch WHERE recall_id = %(id)s)"
            " INSERT INTO recall_batch (recall_id, batch, shard, recipients, state, counts, done_at)"
            " SELECT id, 100 + n, n %% 2, 15000, 'done', '{\"0\": {\"recalled\": 15000}}',"
            "        requested_at + CASE WHEN n <= 30 THEN n * 0.175 + 0.1 ELSE 12.5 - (40 - n) * 0.31 END"
            "                       * interval '1 second'"
            "   FROM recall, generate_series(1, %(ranges)s) n WHERE id = %(id)s",
            {"id": recall_id, "ranges": RANGES},
        )
        control.execute(
            "UPDATE recall SET state = 'running', result = NULL, settled_at = NULL, batches_left = 1 WHERE id = %s",
            (recall_id,),
        )


def settle(databases: Databases, recall_id: int) -> None:
    with databases.control() as control:
        control.execute(
            "UPDATE recall SET state = 'settled', result = 'succeeded', batches_left = 0,"
            " settled_at = requested_at + interval '12.5 seconds' WHERE id = %s",
            (recall_id,),
        )


def look(page: Page, name: str) -> None:
    """Keep a picture where somebody wants to look at it."""
    if folder := os.environ.get("PACE_PICTURES"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.mark.rule(22)
@pytest.mark.parametrize("language", LANGUAGES)
def test_r22_how_fast_it_went_is_drawn_without_a_reload(visit: Visits, stack: Stack, language: Language):
    company = companies.found(stack.databases, people=3)
    recall_id, public_id = recalled(stack, company)
    as_if_large(stack.databases, recall_id)
    author = visit(company.people[0], language=language, phone=True, dark=True)
    admin = visit(company.postmaster, language=language)
    windows = ((author, f"/recalls/{public_id}"), (admin, f"/console/recalls/{public_id}"))
    for window, path in windows:
        page = window.go(path)
        expect(page.locator("#progress")).to_be_visible()
        expect(page.locator("#pace")).to_be_hidden()
        expect(page.locator(".pace-bars")).to_have_count(0)

    settle(stack.databases, recall_id)

    for window, path in windows:
        page = window.page
        expect(page.locator("#pace p")).to_have_text(WORDS[language])
        bars = page.locator(".pace-bars rect").count()
        assert bars > 5
        expect(page.locator("#pace tbody tr")).to_have_count(bars)
        window.is_accessible()
        window.fits()
        look(page, f"pace-{language}-{path.count('console')}")
        # the same after a reload
        page.reload()
        expect(page.locator(".pace-bars rect")).to_have_count(bars)
