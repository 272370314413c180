"""Webmail in a real browser, in both languages."""

import re

import httpx
import pytest
from playwright.sync_api import expect

from mailrecall.directory import accounts
from tests import company as companies
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.company import Company
from tests.stack import Stack

MARKUP = (
    '<h1 style="color:#2a5bd7">Hello</h1><script>document.title = "taken over"</script>'
    '<p><img src="https://elsewhere.example/pixel.png" alt="pixel"> and <a href="https://a.example/">a link</a></p>'
)


@pytest.mark.rule(28)
@pytest.mark.parametrize("language", LANGUAGES)
def test_r28_writing_saves_itself_and_sending_can_be_undone(
    visit: Visits, stack: Stack, company: Company, language: Language
):
    writer = companies.hire(stack.databases, f"writer-{language}@{company.domain}")
    with stack.databases.control() as control:
        accounts.set_undo_send(control, writer.id, 60)
    window = visit(writer, language=language)
    page = window.page
    page.click(".folders-pane .primary")
    page.fill("#to", company.people[1].address)
    page.fill("#subject", f"Minutes {language}")
    page.locator("#text").press_sequentially("We met.")
    page.set_input_files("#files", {"name": "minutes.txt", "mimeType": "text/plain", "buffer": b"We met."})
    expect(page.locator("#compose-files .file")).to_contain_text("minutes.txt")

    window.go("/mail/drafts").locator(".row", has_text=f"Minutes {language}").click()
    expect(page.locator("#text")).to_have_value("We met.")
    expect(page.locator("#compose-files .file")).to_contain_text("minutes.txt")
    page.locator("#text").press_sequentially(" All agreed.", delay=5)
    page.press("#text", "Control+Enter")

    toast = page.locator("[data-countdown]")
    expect(toast).to_be_visible()
    expect(toast.locator("[data-left]")).to_have_text(re.compile(r"^\d+$"))
    toast.locator("button").click()
    page.wait_for_url("**/compose/*")
    expect(page.locator("#notices .notice")).to_be_visible()
    expect(page.locator("#text")).to_have_value("We met. All agreed.")

    window.go("/settings").select_option("#delay", "0")
    page.click("main form .primary")
    expect(page.locator("#notices .notice")).to_be_visible()
    window.go("/mail/drafts").locator(".row", has_text=f"Minutes {language}").click()
    page.click("#compose button.primary")
    page.wait_for_url("**/mail/sent")

    reader = visit(company.people[1], language=language)
    received = reader.open_newest("inbox", f"Minutes {language}")
    expect(received.locator(".message-text")).to_contain_text("We met. All agreed.")
    with received.expect_download() as download:
        received.click(".attachment")
    assert download.value.suggested_filename == "minutes.txt"


@pytest.mark.parametrize("language", LANGUAGES)
def test_mistakes_are_told_beside_what_was_typed(visit: Visits, company: Company, language: Language):
    window = visit(company.people[0], language=language)
    window.expects_refusals = True
    page = window.go("/compose")
    page.fill("#to", "nobody at all")
    page.fill("#text", "Not lost")
    page.click("#compose button.primary")
    expect(page.locator("#to-error")).to_contain_text("nobody at all")
    expect(page.locator("#to")).to_have_attribute("aria-invalid", "true")
    expect(page.locator("#text")).to_have_value("Not lost")
    window.is_accessible()


@pytest.mark.parametrize("language", LANGUAGES)
def test_reading_replying_forwarding_deleting(visit: Visits, stack: Stack, company: Company, language: Language):
    reader = companies.hire(stack.databases, f"reader-{language}@{company.domain}")
    other = companies.hire(stack.databases, f"other-{language}@{company.domain}")
    for person in (reader, other):
        with stack.databases.control() as control:
            accounts.set_undo_send(control, person.id, 0)
    writing = visit(other, language=language)
    for subject in ("A letter", "Another"):
        page = writing.go("/compose")
        page.fill("#to", reader.address)
        page.fill("#subject", subject)
        page.fill("#text", "See https://a.example/menu")
        page.click("#compose button.primary")
        page.wait_for_url("**/mail/sent")

    window = visit(reader, language=language)
    page = window.open_newest("inbox", "A letter")
    expect(page).to_have_title(re.compile("A letter"))
    expect(page).to_have_url(re.compile(r"/mail/inbox/\d+$"))
    expect(page.locator("#subject")).to_be_focused()
    expect(page.locator(".row[aria-current]")).to_contain_text("A letter")
    expect(page.locator(".message-text a")).to_have_attribute("href", "https://a.example/menu")
    page.go_back()
    expect(page.locator("#reading .empty")).to_be_visible()
    page.go_forward()
    expect(page.locator("#subject")).to_contain_text("A letter")

    page.click(".toolbar a[href^='/compose/reply']")
    expect(page.locator("#to")).to_have_value(other.address)
    expect(page.locator("#text")).to_have_value(re.compile("> See https://a.example/menu"))
    page.fill("#text", "Thank you")
    page.click("#compose button.primary")
    page.wait_for_url("**/mail/sent")
    expect(writing.open_newest("inbox", "Re: A letter").locator(".message-text")).to_contain_text("Thank you")

    page = window.open_newest("inbox", "A letter")
    page.click(".toolbar a[href^='/compose/forward']")
    page.fill("#to", other.address)
    page.click("main button.primary")
    page.wait_for_url("**/mail/sent")
    expect(writing.open_newest("inbox", "Fwd: A letter").locator(".attachment")).to_contain_text(".eml")

    page = window.open_newest("inbox", "A letter")
    page.click(".toolbar form[action$='/delete'] button")
    expect(page.locator("#notices .notice")).to_be_visible()
    page.click("[data-dismiss]")
    expect(page.locator("#notices .notice")).to_have_count(0)
    expect(page.locator(".row", has_text="A letter")).to_have_count(0)
    page = window.open_newest("trash", "A letter")
    page.click(".toolbar details summary")
    page.locator(".menu-item", has_text="收件箱" if language == "zh" else "Inbox").click()
    window.open_newest("inbox", "A letter")


def test_html_mail_stays_in_its_frame(visit: Visits, stack: Stack, company: Company):
    body = {"to": [company.people[2].address], "subject": "A newsletter", "html": MARKUP, "text": "Hello", "delay": 0}
    answer = httpx.post(
        f"{stack.gateway_url}/api/v1/messages",
        json=body,  # a program sends what the page has no form for
        auth=(company.people[0].address, companies.PASSWORD),
        timeout=60,
    )
    assert answer.status_code < 300
    window = visit(company.people[2])
    asked: list[str] = []
    window.page.on("request", lambda request: asked.append(request.url))
    page = window.open_newest("inbox", "A newsletter")
    frame = page.frame_locator("[data-message-body]")
    expect(frame.locator("h1")).to_have_text("Hello")
    expect(frame.locator("h1")).to_have_css("color", "rgb(42, 91, 215)")
    expect(frame.locator("img")).not_to_have_attribute("src", re.compile("."))
    expect(page).to_have_title(re.compile("newsletter"))
    window.is_accessible()
    assert [url for url in asked if "elsewhere.example" in url] == []
    page.route(
        "https://elsewhere.example/**", lambda route: route.fulfill(status=200, content_type="image/png", body=b"")
    )
    page.click(".images-blocked a")
    expect(frame.locator("img")).to_have_attribute("src", "https://elsewhere.example/pixel.png")
    expect(page.locator(".images-blocked")).to_have_count(0)
    assert [url for url in asked if "elsewhere.example" in url] != []


def test_new_mail_shows_up_by_itself(visit: Visits, stack: Stack, company: Company):
    reader = companies.hire(stack.databases, f"waiting@{company.domain}")
    window = visit(reader)
    page = window.page
    expect(page.locator(".list .empty")).to_be_visible()
    sender = visit(company.people[3]).go("/compose")
    sender.fill("#to", reader.address)
    sender.fill("#subject", "Good morning")
    sender.click("#compose button.primary")
    sender.wait_for_url("**/mail/sent*")
    expect(page.locator(".row.unread", has_text="Good morning")).to_be_visible(timeout=120_000)
    expect(page.locator("#folders [aria-current] .folder-count")).to_contain_text("1")
