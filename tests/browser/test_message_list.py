"""The list of messages in a real browser: it keeps its place, and tells what is not there any more."""

import re
from collections.abc import Sequence

import httpx
import pytest
from playwright.sync_api import Page, expect

from mailrecall import clock
from mailrecall.directory import accounts
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder
from mailrecall.embedded.deadlines import poll
from mailrecall.mailstore import reading, residence
from mailrecall.mailstore.reading import Entry
from tests import company as companies
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.company import Company
from tests.stack import Stack


def refresh(page: Page) -> None:
    """Have the list ask what is new, as it does every half minute, and go on once it shows that."""
    page.evaluate("document.querySelector('#rows').dataset.old = 'yes'; htmx.trigger('#refreshing', 'refresh')")
    expect(page.locator("#rows:not([data-old])")).to_have_count(1)


def deliver(visits: Visits, sender: Account, to: Account, *subjects: str) -> None:
    """Send messages, and wait until they have come."""
    with httpx.Client(base_url=visits.stack.gateway_url, auth=(sender.address, companies.PASSWORD), timeout=60) as api:
        for subject in subjects:
            body = {"to": [to.address], "subject": subject, "text": "Text", "delay": 0}
            assert api.post("/api/v1/messages", json=body).status_code < 300
    assert poll(lambda: len(inbox(visits.stack, to)) == len(subjects), timeout=120, pause=0.2)


def inbox(stack: Stack, owner: Account) -> Sequence[Entry]:
    with residence.mailbox(stack.databases, owner) as shard:
        return reading.list_folder(shard, owner.id, Folder.INBOX, limit=100)


def test_the_list_stays_where_it_is(visit: Visits, stack: Stack, company: Company):
    reader = companies.hire(stack.databases, f"much-mail@{company.domain}")
    deliver(visit, company.people[0], reader, *(f"Number {number}" for number in range(14)))
    page = visit(reader).go("/mail/inbox")
    scrolled = page.locator(".list")
    page.locator(".row").nth(10).scroll_into_view_if_needed()
    place = scrolled.evaluate("list => list.scrollTop")
    assert place > 0
    row = page.locator(".row").nth(9)
    subject = row.locator(".row-subject").inner_text()
    row.click()
    expect(page.locator("#subject")).to_have_text(subject)
    expect(page.locator(".row[aria-current]")).to_contain_text(subject)
    assert scrolled.evaluate("list => list.scrollTop") == place
    refresh(page)
    expect(page.locator(".row[aria-current]")).to_contain_text(subject)
    expect(page).to_have_title(re.compile(f"^{subject} "))
    assert scrolled.evaluate("list => list.scrollTop") == place


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_that_is_gone_is_told_of(visit: Visits, stack: Stack, company: Company, language: Language):
    reader = companies.hire(stack.databases, f"gone-{language}@{company.domain}")
    deliver(visit, company.people[0], reader, "Soon gone")
    window = visit(reader, language=language)
    window.expects_refusals = True
    page = window.go("/mail/inbox")
    expect(page.locator(".row")).to_have_count(1)
    (entry,) = inbox(stack, reader)
    with residence.mailbox(stack.databases, reader) as shard:
        reading.delete(shard, reader.id, entry.copy_id, permanent=True, now=clock.now())
    page.click(".row")
    told = page.locator("#notices .notice.error")
    expect(told).to_contain_text("这封邮件已不存在" if language == "zh" else "not there any more")
    expect(page.locator(".list .empty")).to_be_visible()
    window.is_accessible()
    page.click("[data-dismiss]")
    expect(told).to_have_count(0)


def test_what_the_list_asks_by_itself_is_told_of_while_it_fails(visit: Visits, company: Company):
    window = visit(company.people[1])
    window.expects_refusals = True
    page = window.go("/mail/inbox")
    words = "<p data-words>A little slower.</p>"
    page.route(
        re.compile("/mail/inbox$"),
        lambda route: route.fulfill(status=429, content_type="text/html", body=words),
        times=1,
    )
    page.evaluate("htmx.trigger('#refreshing', 'refresh')")
    expect(page.locator("#connection-lost")).to_be_visible()
    expect(page.locator("#notices .notice")).to_have_count(0)
    refresh(page)
    expect(page.locator("#connection-lost")).to_be_hidden()


@pytest.mark.rule(28)
def test_r28_what_was_sent_shows_up_once_it_cannot_be_taken_back(visit: Visits, stack: Stack, company: Company):
    author = companies.hire(stack.databases, f"patient@{company.domain}")
    with stack.databases.control() as control:
        accounts.set_undo_send(control, author.id, 5)
    page = visit(author).go("/compose")
    page.fill("#to", company.people[1].address)
    page.fill("#subject", "On its way")
    page.click("#compose button.primary")
    page.wait_for_url(re.compile("/mail/sent"))
    page.evaluate("htmx.on('#refreshing', 'refresh', () => { document.body.dataset.refreshed = 'yes'; })")
    expect(page.locator("[data-countdown]")).to_have_count(0)
    expect(page.locator("body")).to_have_attribute("data-refreshed", "yes")
    expect(page.locator(".row", has_text="On its way")).to_be_visible()
