"""The form that saves itself, in a real browser: what is typed and picked is not lost, whatever happens meanwhile."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Locator, Page, expect

from mailrecall.directory import accounts, sessions
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder
from mailrecall.embedded.deadlines import poll
from mailrecall.mailstore import drafts, reading, residence
from mailrecall.mime import parts
from tests import company as companies
from tests.browser.visits import Visits
from tests.company import Company
from tests.stack import Stack

SAVING = "**/compose/save"


@pytest.fixture
def writer(stack: Stack, company: Company, request: pytest.FixtureRequest) -> Account:
    """Somebody with a mailbox of their own for each test."""
    name = re.sub(r"\W+", "-", request.node.name)[-40:].strip("-")
    return companies.hire(stack.databases, f"{name}@{company.domain}")


def drafts_of(stack: Stack, writer: Account) -> list[drafts.Draft]:
    with residence.mailbox(stack.databases, writer) as shard:
        listed = reading.list_folder(shard, writer.id, Folder.DRAFTS, limit=10)
        found = [drafts.find(shard, writer.id, entry.copy_id) for entry in listed]
    return [draft for draft in found if draft is not None]


def draft_of(stack: Stack, writer: Account) -> drafts.Draft:
    """The only draft there is."""
    (draft,) = drafts_of(stack, writer)
    return draft


def comes_true(page: Page, condition: Callable[[], bool]) -> bool:
    """Wait for a condition while what the page asks for goes through the test."""

    def holds() -> bool:
        page.wait_for_timeout(100)
        return condition()

    return poll(holds, timeout=120)


def saved(page: Page) -> Locator:
    """When the draft was saved."""
    return page.locator(".saved time")


def file(name: str, octets: int = 3):
    return {"name": name, "mimeType": "text/plain", "buffer": b"x" * octets}


@contextmanager
def held_saving(page: Page) -> Iterator[None]:
    """Keep what is saved within the block from the server until its end."""
    page.evaluate(
        """() => {
            const send = window.fetch;
            const released = new Promise((release) => { window.release = release; });
            window.fetch = async (...asked) => { await released; return send(...asked); };
        }"""
    )
    yield
    page.evaluate("window.release()")


def expect_saving(page: Page) -> None:
    """Go on once a saving is under way."""
    expect(page.locator("#compose")).to_have_attribute("data-saving", "")


def test_a_file_is_kept_that_is_picked_after_a_saving_began(visit: Visits, writer: Account):
    page = visit(writer).go("/compose")
    with page.expect_file_chooser() as opened:
        page.click(".attach")
    page.fill("#text", "Saved while one looks for the file")
    expect(saved(page)).to_be_visible()
    opened.value.set_files(file("late.txt"))
    expect(page.locator("#compose-files .file")).to_have_text(re.compile("late.txt"))


def test_a_file_is_kept_that_is_picked_while_it_is_saved(visit: Visits, writer: Account):
    page = visit(writer).go("/compose")
    with held_saving(page):
        page.fill("#text", "Words")
        expect_saving(page)
        page.set_input_files("#files", file("one.txt"))
        page.set_input_files("#files", file("two.txt"))
    expect(page.locator("#compose-files .file")).to_have_text([re.compile("one.txt"), re.compile("two.txt")])
    expect(page.locator("#picked")).to_be_hidden()


def test_a_file_does_not_go_out_that_is_removed_while_it_is_saved(visit: Visits, stack: Stack, writer: Account):
    page = visit(writer).go("/compose")
    page.set_input_files("#files", [file("a.txt"), file("b.txt"), file("c.txt")])
    kept = page.locator("#compose-files .file")
    expect(kept).to_have_count(3)
    with held_saving(page):
        kept.nth(0).click()
        expect_saving(page)
        kept.nth(2).click()
    expect(kept).to_have_text([re.compile("b.txt")])
    expect(page.locator("#drop-0")).to_be_focused()
    assert [one.filename for one in parts.attachments(draft_of(stack, writer).content)] == ["b.txt"]


def test_a_file_that_is_too_large_takes_nothing_with_it(visit: Visits, stack: Stack, writer: Account):
    window = visit(writer)
    window.expects_refusals = True
    page = window.go("/compose")
    page.fill("#text", "Not lost")
    most = int(page.get_attribute("#compose", "data-most") or "0")
    assert 0 < most < stack.settings.max_message_size
    page.set_input_files("#files", [file("large.bin", most + 1), file("small.bin")])
    expect(page.locator("#compose-told")).to_contain_text("large.bin")
    expect(page.locator("#compose-files .file")).to_have_text(re.compile("small.bin"))
    expect(page.locator("#compose-told")).to_contain_text("large.bin")
    assert draft_of(stack, writer).fields["text"] == "Not lost"

    # the server may take less than the page knows of: a proxy in front of it, for one
    page.route(SAVING, lambda route: route.fulfill(status=413, body="<h1>413</h1>"), times=1)
    page.set_input_files("#files", file("refused.bin"))
    expect(page.locator("#compose-told")).to_contain_text("refused.bin")
    page.locator("#text").press_sequentially(" at all")
    assert comes_true(page, lambda: draft_of(stack, writer).fields["text"] == "Not lost at all")
    expect(page.locator("#compose-files .file")).to_have_text(re.compile("small.bin"))


@pytest.mark.rule(28)
def test_r28_what_another_window_saved_is_not_written_over(visit: Visits, stack: Stack, writer: Account):
    window = visit(writer)
    window.expects_refusals = True
    page = window.go("/compose")
    page.fill("#text", "First")
    page.wait_for_url(re.compile(r"/compose/\d+$"))
    other = page.context.new_page()
    other.goto(page.url)
    other.fill("#text", "From the other window")
    assert comes_true(page, lambda: draft_of(stack, writer).version == 2)

    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.fill("#text", "From this window")
    expect(page.locator("#compose-told")).to_contain_text("is not saved any more")
    page.clock.install()
    page.locator("#text").press_sequentially(", still")
    page.clock.run_for(60_000)
    assert len([url for url in asked if url.endswith("/compose/save")]) == 1
    assert draft_of(stack, writer).fields["text"] == "From the other window"
    expect(page.locator("#text")).to_have_value("From this window, still")
    page.reload()
    expect(page.locator("#text")).to_have_value("From the other window")


@pytest.mark.rule(28)
def test_r28_a_draft_sent_in_another_window_is_not_sent_again(visit: Visits, stack: Stack, writer: Account):
    with stack.databases.control() as control:
        accounts.set_undo_send(control, writer.id, 0)
    window = visit(writer)
    window.expects_refusals = True
    page = window.go("/compose")
    page.fill("#to", writer.address)
    page.fill("#subject", "Once")
    page.wait_for_url(re.compile(r"/compose/\d+$"))
    assert comes_true(page, lambda: draft_of(stack, writer).fields["subject"] == "Once")
    other = page.context.new_page()
    other.goto(page.url)
    other.click("#compose button.primary")
    other.wait_for_url("**/mail/sent*")
    page.fill("#text", "More")
    expect(page.locator("#compose-told")).to_contain_text("is not saved any more")
    for _ in range(2):
        with page.expect_navigation() as answered:
            page.click("#compose button.primary")
        assert answered.value.status in (404, 409)
        expect(page.locator("#compose-told")).to_be_visible()
        expect(page.locator("#text")).to_have_value("More")
    window.open_newest("sent", "Once")
    expect(page.locator(".row")).to_have_count(1)
    expect(window.go("/mail/drafts").locator(".row")).to_have_count(0)


def test_what_was_typed_is_kept_until_one_has_signed_in_again(visit: Visits, stack: Stack, writer: Account):
    window = visit(writer)
    window.expects_refusals = True
    page = window.go("/compose")
    with stack.databases.control() as control:
        sessions.end_all(control, writer.id)
    page.fill("#subject", "Long thought over")
    expect(page.locator("#signed-out")).to_be_visible()
    window.is_accessible()
    page.click("#compose button.primary")
    expect(page.locator("#compose")).not_to_have_attribute("data-saving", "")
    expect(page.locator("#subject")).to_have_value("Long thought over")

    with page.expect_popup() as opened:
        page.click("#signed-out a")
    opened.value.fill("#address", writer.address)
    opened.value.fill("#password", companies.PASSWORD)
    opened.value.press("#password", "Enter")
    opened.value.wait_for_url("**/mail/inbox")
    expect(page.locator("#signed-out")).to_be_hidden()
    expect(saved(page)).to_be_visible()
    assert draft_of(stack, writer).fields["subject"] == "Long thought over"


def test_nothing_is_saved_for_somebody_else(visit: Visits, stack: Stack, company: Company, writer: Account):
    window = visit(writer)
    window.expects_refusals = True
    page = window.go("/compose")
    with stack.databases.control() as control:
        sessions.end_all(control, writer.id)
    other = companies.hire(stack.databases, f"somebody-else@{company.domain}")
    second = page.context.new_page()
    second.goto(f"{window.url}/sign-in")
    second.fill("#address", other.address)
    second.fill("#password", companies.PASSWORD)
    second.press("#password", "Enter")
    second.wait_for_url("**/mail/inbox")
    page.fill("#text", "Not theirs")
    expect(page.locator("#compose-told")).to_contain_text("Somebody else")
    page.click("#compose button.primary")
    expect(page.locator("#text")).to_have_value("Not theirs")
    second.goto(f"{window.url}/mail/drafts")
    expect(second.locator(".row")).to_have_count(0)


def test_a_refused_saving_is_told_and_tried_again(visit: Visits, writer: Account):
    window = visit(writer)
    window.expects_refusals = True
    page = window.go("/compose")
    words = "<p data-words>Try again in a moment.</p>"
    page.route(SAVING, lambda route: route.fulfill(status=429, content_type="text/html", body=words), times=1)
    page.fill("#text", "Words")
    expect(page.locator("#compose-told")).to_have_text("Try again in a moment.")
    expect(saved(page)).to_be_visible()
    expect(page.locator("#compose-told")).to_be_hidden()


def test_who_types_without_a_pause_is_saved_too(visit: Visits, writer: Account):
    page = visit(writer).go("/compose")
    page.clock.install()
    for _ in range(21):
        page.locator("#text").press_sequentially("a")
        page.clock.run_for(500)
    expect(saved(page)).to_be_visible()


def test_who_leaves_at_once_loses_nothing(visit: Visits, stack: Stack, writer: Account):
    page = visit(writer).go("/compose")
    page.locator("#text").press_sequentially("Last words")
    page.click(".topnav a[href='/help']")
    page.wait_for_url("**/help")
    texts = ["Last words"]
    assert comes_true(page, lambda: [d.fields["text"] for d in drafts_of(stack, writer)] == texts)


def test_a_new_message_becomes_a_draft_that_can_be_thrown_away(visit: Visits, writer: Account):
    page = visit(writer).go("/compose")
    expect(page.locator("button[data-discard]")).to_be_hidden()
    page.fill("#text", "Rather not")
    page.wait_for_url(re.compile(r"/compose/\d+$"))
    expect(page.locator("h1")).to_have_text("Draft")
    page.reload()
    expect(page.locator("#text")).to_have_value("Rather not")
    page.fill("#text", "Rather not at all")
    page.click("button[data-discard]")
    page.wait_for_url("**/mail/drafts")
    expect(page.locator(".row")).to_have_count(0)
