"""R13, R19: an administrator looks through accounts and groups in the browser: both languages, keys alone, a phone."""

import pytest
from playwright.sync_api import expect

from tests import company as companies
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.company import Company
from tests.stack import Stack

WORDS = {
    "en": {
        "accounts": "Accounts",
        "groups": "Groups",
        "everybody": "Everybody it reaches",
        "none": "No account is like that",
    },
    "zh": {"accounts": "账户", "groups": "群组", "everybody": "全部送达对象", "none": "没有符合条件的账户"},
}


@pytest.fixture(scope="module")
def firm(stack: Stack) -> Company:
    """Sixty accounts, one of them with a Chinese name and an alias; a group in a group."""
    firm = companies.found(stack.databases, people=58)
    ming = companies.hire(
        stack.databases, f"ming@{firm.domain}", display_name="王小明", aliases=[f"xiaoming.wang@{firm.domain}"]
    )
    companies.hire(stack.databases, f"second@{firm.domain}", administrator=True)
    research = companies.group(stack.databases, f"research@{firm.domain}", [ming, "partner@elsewhere.example"])
    companies.group(stack.databases, f"everyone@{firm.domain}", [research, *firm.people])
    return firm


@pytest.mark.rule(13, 19)
@pytest.mark.parametrize("language", LANGUAGES)
def test_r13_r19_from_an_account_to_its_groups_and_whom_these_reach(visit: Visits, firm: Company, language: Language):
    words = WORDS[language]
    window = visit(firm.postmaster, language=language)
    page = window.go("/console")
    page.click(".console-nav a[href='/console/accounts']")
    expect(page.locator("h1")).to_have_text(words["accounts"])
    expect(page.locator(".console-nav a[aria-current]")).to_have_text(words["accounts"])
    expect(page.locator("tbody tr")).to_have_count(50)
    window.is_accessible()
    page.click("a[rel=next]")
    expect(page.locator("tbody tr")).to_have_count(11)
    window.is_accessible()

    # by keys: what is typed is found when Enter is pressed, and the account is opened
    page.focus("#search")
    page.keyboard.type("小明")
    page.keyboard.press("Enter")
    expect(page.locator("tbody tr")).to_have_count(1)
    page.locator("tbody a").focus()
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("王小明")
    expect(page.locator(".facts")).to_contain_text(f"xiaoming.wang@{firm.domain}")
    expect(page.locator("[aria-labelledby=groups-title] tbody tr")).to_have_count(2)
    window.is_accessible()

    page.click(f"text=everyone@{firm.domain}")
    expect(page.locator("[aria-labelledby=members-title] tbody tr")).to_have_count(50)
    expect(page.locator("[aria-labelledby=members-title] tbody tr").first).to_contain_text(f"research@{firm.domain}")
    window.is_accessible()
    page.click(f"text={words['everybody']}")
    expect(page.locator("h2")).to_contain_text("59")
    expect(page.locator("tbody tr").first).to_contain_text(f"ming@{firm.domain}")
    window.is_accessible()
    page.click("a[rel=next]")
    expect(page.locator("tbody tr").last).to_contain_text("partner@elsewhere.example")

    page.click(".console-nav a[href='/console/groups']")
    expect(page.locator("h1")).to_have_text(words["groups"])
    expect(page.locator("tbody tr")).to_have_count(2)
    window.is_accessible()
    page.click(f"text=research@{firm.domain}")
    page.click("a[href^='/console?recipient=']")
    expect(page.locator("#recipient")).to_have_value(f"research@{firm.domain}")

    window.go("/console/accounts?search=nobody")
    expect(page.locator(".empty-title")).to_have_text(words["none"])
    window.is_accessible()


@pytest.mark.parametrize(("language", "dark"), [("en", True), ("zh", False)], ids=["en-dark-phone", "zh-light-phone"])
def test_the_directory_fits_a_phone(visit: Visits, firm: Company, language: Language, dark: bool):
    window = visit(firm.postmaster, language=language, dark=dark, phone=True)
    for kind, name in (("accounts", "ming"), ("groups", "everyone")):
        page = window.go(f"/console/{kind}")
        window.speaks()
        window.is_accessible()
        window.fits()
        page.fill("#search", name)
        page.press("#search", "Enter")
        expect(page.locator("tbody tr").first).to_be_visible()
        page.locator(f"tbody a:has-text('{name}@')").first.click()
        expect(page.locator(".facts")).to_be_visible()
        window.is_accessible()
        window.fits()
    page.click("a[href$='/everybody']")
    expect(page.locator("tbody tr").first).to_be_visible()
    window.is_accessible()
    window.fits()


def test_the_directory_needs_no_scripts(visit: Visits, firm: Company):
    page = visit(firm.postmaster, scripts=False).go("/console/accounts")
    page.fill("#search", "WANG")
    page.press("#search", "Enter")
    page.click("tbody a")
    expect(page.locator("h1")).to_have_text("王小明")
