"""R11: from the message in Sent to what came of its recall, as its author sees it."""

import pytest
from playwright.sync_api import expect

from mailrecall.directory import accounts
from tests import company as companies
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.company import Company
from tests.stack import Stack

WORDS = {
    "en": {"partial": "Partly recalled", "read": "Already read", "report": "Recalled from some"},
    "zh": {"partial": "部分撤回", "read": "已读", "report": "部分收件人已撤回"},
}


@pytest.mark.rule(11, 15, 18, 22, 25)
@pytest.mark.parametrize("language", LANGUAGES)
def test_r11_r15_r18_r22_r25_a_recall_in_the_browser(visit: Visits, stack: Stack, company: Company, language: Language):
    author = companies.hire(stack.databases, f"author-{language}@{company.domain}", language=language)
    early = companies.hire(stack.databases, f"early-{language}@{company.domain}")
    late = companies.hire(stack.databases, f"late-{language}@{company.domain}")
    with stack.databases.control() as control:
        accounts.set_undo_send(control, author.id, 0)
    window = visit(author, language=language)
    page = window.go("/compose")
    page.fill("#to", f"{early.address}, {late.address}")
    page.fill("#subject", "Salaries")
    page.fill("#text", "For the board only.")
    page.click("#compose button.primary")
    page.wait_for_url("**/mail/sent")
    visit(early).open_newest("inbox", "Salaries")
    other = visit(late)
    expect(other.page.locator(".row", has_text="Salaries")).to_be_visible()

    page = window.open_newest("sent", "Salaries")
    page.click(".toolbar details summary")
    page.click(".menu-item[href^='/recall/']")
    expect(page.locator(".ring-number")).to_have_text("1")
    expect(page.locator(".legend")).to_contain_text(WORDS[language]["read"])
    window.is_accessible()
    page.fill("#reason", "Sent to the wrong group")
    page.click("button.danger")

    # no reload: the page becomes the result
    expect(page.locator("[data-settled]")).to_be_visible()
    expect(page.locator(".ring-number")).to_have_text("1")
    expect(page.locator("table.data tbody tr")).to_have_count(2)
    window.is_accessible()
    recall = page.url

    page = window.open_newest("sent", "Salaries")
    expect(page.locator(".recall-mark .badge")).to_have_text(WORDS[language]["partial"])
    page.click(".recall-mark a")
    page.wait_for_url(recall)
    expect(other.go("/mail/inbox").locator(".list .empty")).to_be_visible()

    report = window.open_newest("inbox", WORDS[language]["report"])
    frame = report.frame_locator("[data-message-body]")
    expect(frame.locator("body")).to_contain_text(early.address)
    expect(frame.locator("body")).to_contain_text("Sent to the wrong group")


def test_a_reason_has_to_be_given(visit: Visits, stack: Stack, company: Company):
    author = company.people[3]
    window = visit(author)
    window.expects_refusals = True
    page = window.go("/compose")
    page.fill("#to", company.people[2].address)
    page.fill("#subject", "No reason")
    page.click("#compose button.primary")
    page.wait_for_url("**/mail/sent*")
    page = window.open_newest("sent", "No reason")
    page.click(".toolbar details summary")
    page.click(".menu-item[href^='/recall/']")
    page.click("button.danger")
    expect(page.locator("#reason-error")).to_be_visible()
    expect(page.locator("#reason")).to_have_attribute("aria-invalid", "true")
    window.is_accessible()
