"""R19 to R27: an administrator in the browser: from the search to the results, approval, undo; both languages."""

import httpx
import pytest
from playwright.sync_api import expect

from mailrecall.directory import accounts
from mailrecall.directory.lookup import Account
from tests import company as companies
from tests.browser.visits import LANGUAGES, Language, Visit, Visits
from tests.company import Company
from tests.stack import Stack

PAGES = (
    "/console",
    "/console/recalls",
    "/console/batches",
    "/console/approvals",
    "/console/accounts",
    "/console/groups",
    "/console/held",
    "/console/rules",
    "/console/holds",
    "/console/trail",
    "/console/policy",
    "/console/health",
)
WORDS = {
    "en": {"partial": "Partly recalled", "done": "Done", "waiting": "Waits for approval", "undone": "Undone"},
    "zh": {"partial": "部分撤回", "done": "已完成", "waiting": "等待审批", "undone": "已恢复"},
}


def send(stack: Stack, author: Account, to: list[Account], subject: str) -> None:
    body = {"to": [person.address for person in to], "subject": subject, "text": "For the board.", "delay": 0}
    httpx.post(
        f"{stack.gateway_url}/api/v1/messages", json=body, auth=(author.address, companies.PASSWORD), timeout=60
    ).raise_for_status()


def only_unread_is_previewed(window: Visit) -> None:
    """Somebody has read one of the two chosen messages: nothing of it would go, and what was written stays."""
    page = window.page
    page.check("input[name=only_unread]")
    expect(page.locator(".ring-number")).to_have_text("1")
    expect(page.locator("#chosen tbody tr", has_text="board").locator(".share strong")).to_have_text("0")
    window.is_accessible()
    page.uncheck("input[name=only_unread]")
    expect(page.locator(".ring-number")).to_have_text("2")
    expect(page.locator("#reason")).to_have_value("Not for everybody")


@pytest.mark.rule(19, 20, 21, 22, 23, 25, 26)
@pytest.mark.parametrize("language", LANGUAGES)
def test_r19_to_r26_from_the_search_to_an_undo(visit: Visits, stack: Stack, language: Language):
    firm = companies.found(stack.databases, people=3)
    author, early, late = firm.people
    for number in range(27):
        send(stack, author, [late], f"Figures {number:02}")
    send(stack, author, [early, late], "Figures for the board")
    visit(early).open_newest("inbox", "Figures for the board")
    reader = visit(late)
    expect(reader.page.locator(".row", has_text="Figures for the board")).to_be_visible()

    window = visit(firm.postmaster, language=language)
    window.page.click(".topnav a[href='/console']")
    page = window.page
    page.fill("#subject", "figures")
    page.click(".search button[type=submit]")
    expect(page.locator("tbody input[name=message]")).to_have_count(25)
    window.is_accessible()
    # by keys: the newest, then on the next page another
    first = page.locator("tbody input[name=message]").first
    first.focus()
    page.keyboard.press("Space")
    expect(page.locator("[data-bar][data-chosen]")).to_be_visible()
    page.click("a[rel=next]")
    expect(page.locator("tbody input[name=message]")).to_have_count(3)
    page.locator("tbody input[name=message]").last.check()
    page.go_back()
    expect(page.locator("tbody input[name=message]:checked")).to_have_count(1)
    window.is_accessible()
    page.click("[data-bar] button[type=submit]")

    expect(page.locator(".chosen tbody tr")).to_have_count(2)
    expect(page.locator(".ring-number")).to_have_text("2")
    window.is_accessible()
    page.fill("#reason", "Not for everybody")
    only_unread_is_previewed(window)
    page.click("button.danger")

    # no reload: the page becomes the result
    expect(page.locator("#progress[data-settled]")).to_be_visible()
    expect(page.locator(".page-head .badge")).to_have_text(WORDS[language]["done"])
    expect(page.locator(".items tbody tr")).to_have_count(2)
    window.is_accessible()
    page.click(".items tbody tr:has-text('board') a")
    expect(page.locator(".page-head .badge")).to_have_text(WORDS[language]["partial"])
    expect(page.locator("#failed")).to_contain_text(early.address)
    expect(page.locator("main")).not_to_contain_text(late.address)
    window.is_accessible()
    page.click(".undo summary")
    page.fill("#reason", "It was right after all")
    page.click(".undo button.danger")
    expect(page.locator(".page-head")).to_contain_text(WORDS[language]["undone"])
    window.is_accessible()
    # what was asked for is not chosen any more
    window.go("/console")
    expect(page.locator("[data-bar][data-chosen]")).to_have_count(0)


@pytest.mark.rule(21)
@pytest.mark.parametrize("language", LANGUAGES)
def test_r21_a_second_administrator_approves_and_the_first_sees_it(visit: Visits, stack: Stack, language: Language):
    firm = companies.found(stack.databases, people=3, switches={"approval_above": 1})
    second = companies.hire(stack.databases, f"second@{firm.domain}", administrator=True)
    author, *others = firm.people
    send(stack, author, others, "To everybody")
    asking = visit(firm.postmaster, language=language)
    page = asking.go("/console")
    page.locator("tbody input[name=message]").check()
    page.click("[data-bar] button[type=submit]")
    page.fill("#reason", "By mistake")
    page.click("button.danger")
    expect(page.locator(".page-head .badge")).to_have_text(WORDS[language]["waiting"])
    asking.is_accessible()

    deciding = visit(second, language=language)
    other = deciding.go("/console/approvals")
    deciding.is_accessible()
    other.click(".batches tbody a")
    other.click("#approve")
    expect(other.locator("#progress[data-settled]")).to_be_visible()
    expect(page.locator("#progress[data-settled]")).to_be_visible()


@pytest.mark.parametrize(
    ("language", "phone"), [("en", True), ("zh", False)], ids=["en-light-phone", "zh-dark-desktop"]
)
def test_every_page_of_the_console_is_accessible_and_fits(
    visit: Visits, stack: Stack, company: Company, language: Language, phone: bool
):
    send(stack, company.people[0], [company.people[1]], "A subject of some length that has to be broken on a phone")
    window = visit(company.postmaster, language=language, dark=not phone, phone=phone)
    for path in PAGES:
        window.go(path)
        window.speaks()
        expect(window.page.locator("h1").first).to_be_visible()
        window.is_accessible()
        window.fits()


@pytest.mark.parametrize("language", LANGUAGES)
def test_mistakes_in_forms_stand_at_their_fields(visit: Visits, company: Company, language: Language):
    window = visit(company.postmaster, language=language)
    window.expects_refusals = True
    page = window.go("/console/policy")
    page.fill("#window_admin", "400")
    page.click("form.stack button.primary")
    expect(page.locator("#window_admin-error")).to_be_visible()
    window.is_accessible()
    page = window.go("/console/holds")
    page.click("form.stack button.primary")
    expect(page.locator("#address-error")).to_be_visible()
    window.is_accessible()


def test_no_selection_needs_scripts(visit: Visits, stack: Stack):
    firm = companies.found(stack.databases, people=2)
    with stack.databases.control() as control:
        accounts.set_undo_send(control, firm.people[0].id, 0)
    send(stack, firm.people[0], [firm.people[1]], "Without scripts")
    page = visit(firm.postmaster, scripts=False).go("/console")
    page.locator("tbody input[name=message]").check()
    page.click("[data-bar] button[type=submit]")
    page.fill("#reason", "By mistake")
    page.click("button.danger")
    expect(page.locator(".items tbody tr")).to_have_count(1)
