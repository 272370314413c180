"""The pages for everybody: by keys alone, on a phone, light and dark, without scripts."""

import re

import pytest
from playwright.sync_api import expect

from tests import company as companies
from tests.browser.visits import LANGUAGES, TAGS, Language, Visits
from tests.company import Company

PAGES = ("/mail/inbox", "/mail/sent", "/compose", "/settings", "/help", "/nothing-here")


@pytest.mark.parametrize(
    ("language", "dark", "phone"),
    [("en", False, False), ("zh", True, False), ("en", True, True), ("zh", False, True)],
    ids=["en-light-desktop", "zh-dark-desktop", "en-dark-phone", "zh-light-phone"],
)
def test_every_page_is_accessible_and_fits(
    visit: Visits, company: Company, language: Language, dark: bool, phone: bool
):
    stranger = visit(language=language, dark=dark, phone=phone)
    stranger.go("/sign-in")
    stranger.speaks()
    stranger.is_accessible()
    stranger.fits()
    window = visit(company.people[0], language=language, dark=dark, phone=phone)
    window.expects_refusals = True
    for path in PAGES:
        window.go(path)
        window.speaks()
        expect(window.page.locator("h1").first).to_be_visible()
        window.is_accessible()
        window.fits()
    window.page.click(".account summary")
    expect(window.page.locator(".account .menu-items")).to_be_visible()
    window.is_accessible()
    window.fits()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_language_can_be_switched(visit: Visits, company: Company, stack, language: Language):
    other: Language = "en" if language == "zh" else "zh"
    somebody = companies.hire(stack.databases, f"switching-{language}@{company.domain}")
    window = visit(language=language)
    page = window.go("/sign-in")
    page.click(f".topbar button[lang='{TAGS[other]}']")
    expect(page.locator("html")).to_have_attribute("lang", TAGS[other])
    page.click(f".topbar button[lang='{TAGS[language]}']")
    window.sign_in(somebody)
    page.click(".account summary")
    page.click(f".account button[lang='{TAGS[other]}']")
    expect(page.locator("html")).to_have_attribute("lang", TAGS[other])
    page.wait_for_url("**/mail/inbox*")


def test_dates_are_those_of_the_browsers_zone_and_of_the_chosen_one(visit: Visits, company: Company, stack):
    somebody = companies.hire(stack.databases, f"travelling@{company.domain}")
    page = visit(somebody).go("/settings")
    expect(page.locator("#time_zone option").first).to_contain_text("Asia/Shanghai")
    page.select_option("#time_zone", "America/New_York")
    page.select_option("#theme", "dark")
    page.click("main form .primary")
    expect(page.locator("#time_zone")).to_have_value("America/New_York")
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_signing_out_everywhere(visit: Visits, company: Company, stack):
    somebody = companies.hire(stack.databases, f"leaving@{company.domain}")
    here, there = visit(somebody), visit(somebody)
    here.go("/settings").click("button[name=everywhere]")
    here.page.wait_for_url("**/sign-in*")
    there.go("/mail/sent")
    there.page.wait_for_url(re.compile(r"/sign-in\?next="))
    there.page.fill("#address", somebody.address)
    there.page.fill("#password", companies.PASSWORD)
    there.page.press("#password", "Enter")
    there.page.wait_for_url("**/mail/sent")


@pytest.mark.parametrize("language", LANGUAGES)
def test_keys_alone_are_enough(visit: Visits, company: Company, stack, language: Language):
    somebody = companies.hire(stack.databases, f"keys-{language}@{company.domain}")
    window = visit(somebody, language=language)
    page = window.go("/mail/inbox")
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator(".folders-pane .primary")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#to")).to_be_focused()
    page.keyboard.type(somebody.address)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    expect(page.locator("#subject")).to_be_focused()
    page.keyboard.type("To myself")
    page.keyboard.press("Tab")
    page.keyboard.type("By keys")
    page.keyboard.press("Control+Enter")
    page.wait_for_url("**/mail/sent*")
    window.open_newest("inbox", "To myself")

    window.go("/mail/inbox")
    row = page.locator(".row").first
    row.focus()
    page.keyboard.press("Enter")
    expect(page.locator("#subject")).to_be_focused()
    page.locator(".toolbar summary").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".toolbar .menu-items")).to_be_visible()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".toolbar .menu-item").first).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".toolbar .menu-item").nth(1)).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator(".toolbar .menu-items")).to_be_hidden()
    expect(page.locator(".toolbar summary")).to_be_focused()


@pytest.mark.parametrize("language", LANGUAGES)
def test_on_a_phone_the_list_makes_room_for_the_message(visit: Visits, company: Company, stack, language: Language):
    somebody = companies.hire(stack.databases, f"phone-{language}@{company.domain}")
    window = visit(somebody, language=language, phone=True)
    page = window.go("/compose")
    page.fill("#to", somebody.address)
    page.fill("#subject", "A long subject that does not fit into one line of a telephone, whatever one does")
    page.fill("#text", "Text " * 300)
    page.click("#compose button.primary")
    page.wait_for_url("**/mail/sent*")
    window.open_newest("inbox", "A long subject")
    expect(page.locator(".list-pane")).to_be_hidden()
    window.fits()
    window.is_accessible()
    page.click(".toolbar .back")
    expect(page.locator(".row")).to_be_visible()
    expect(page.locator("#reading")).to_be_hidden()
    window.fits()


def test_nothing_needs_scripts(visit: Visits, company: Company, stack):
    somebody = companies.hire(stack.databases, f"plain@{company.domain}")
    window = visit(somebody, scripts=False)
    page = window.go("/compose")
    page.fill("#to", somebody.address)
    page.fill("#subject", "Without scripts")
    page.fill("#text", "It works")
    page.click("#compose button.primary")
    page.wait_for_url("**/mail/sent*")
    page = window.open_newest("inbox", "Without scripts")
    expect(page.locator(".message-text")).to_contain_text("It works")
    page.click(".toolbar form[action$='/delete'] button")
    expect(page.locator("#notices .notice")).to_be_visible()
