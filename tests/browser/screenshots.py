"""The pictures in docs/screenshots: `make screenshots`. Not a test by its name, so they are taken on request."""

from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Page, expect

from mailrecall.directory import organisations
from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from tests import company as companies
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.stack import Stack

FOLDER = Path(__file__).parents[2] / "docs" / "screenshots"
DOMAINS = {"en": "lumen.example", "zh": "qingshan.example"}

LETTERS: dict[Language, tuple[tuple[str, str, str], ...]] = {
    "en": (
        ("mira", "Lunch on Thursday?", "The new place by the river opens at noon. Shall I book a table for four?"),
        ("jonas", "Minutes of Monday's meeting", "Attached are the minutes. Please look at item three before Friday."),
        ("kira", "Welcome to the new office", "The lifts work again, and there is fruit in the kitchen."),
    ),
    "zh": (
        ("mira", "周四一起吃午饭吗？", "江边新开的餐厅中午营业，我来订四个人的位子好吗？"),
        ("jonas", "周一会议纪要", "纪要已附上，请在周五之前看一下第三项。"),
        ("kira", "欢迎来到新办公室", "电梯已经修好，茶水间备有水果。"),
    ),
}
SUBJECT = {"en": "Salary review 2027", "zh": "2027 年薪酬评审"}
TEXT = {
    "en": "Dear colleagues,\n\nthese are the figures for the board, confidential until the meeting.\n\nAda",
    "zh": "各位同事：\n\n提交董事会的数据见附件，会议之前请注意保密。\n\n林安",
}
REASON = {"en": "Sent to the whole department instead of the board", "zh": "误发给整个部门，本应只发给董事会"}
NAMES = {"en": ("Ada Lund", "Mira Sand", "Jonas Berg", "Kira Mora"), "zh": ("林安", "米然", "钟南", "柯蓝")}


REPORT = {"en": "Recalled from some", "zh": "部分收件人已撤回"}
PEOPLE = 24


@pytest.mark.parametrize("language", LANGUAGES)
def test_screenshots(visit: Visits, stack: Stack, language: Language):
    FOLDER.mkdir(parents=True, exist_ok=True)
    staff = _company(stack.databases, language)
    ada, department = staff["ada"], f"department@{DOMAINS[language]}"
    for local, subject, text in LETTERS[language]:
        _send(stack, staff[local], [ada.address], subject, text)
    _send(stack, ada, [staff["mira"].address, department], SUBJECT[language], TEXT[language])

    stranger = visit(language=language)
    _take(stranger.go("/sign-in"), "sign-in", language)
    for local in ("mira", "jonas", "staff3"):
        visit(staff[local]).open_newest("inbox", SUBJECT[language])

    window = visit(ada, language=language)
    page = window.open_newest("inbox", LETTERS[language][0][1])
    expect(page.locator(".row")).to_have_count(len(LETTERS[language]))
    _take(page, "inbox", language)
    page.click(".toolbar a[href^='/compose/reply']")
    page.locator("#text").press_sequentially("OK")
    expect(page.locator(".saved time")).to_be_visible()
    _take(page, "compose", language)
    page = window.open_newest("sent", SUBJECT[language])
    page.click(".toolbar details summary")
    _take(page, "sent-more-recall", language)
    page.click(".menu-item[href^='/recall/']")
    page.fill("#reason", REASON[language])
    _take(page, "recall-preview", language)
    page.click("button.danger")
    expect(page.locator("[data-settled]")).to_be_visible()
    _take(page, "recall-result", language)
    page = window.open_newest("inbox", REPORT[language])
    expect(page.frame_locator("[data-message-body]").locator("body")).to_contain_text(REASON[language])
    _take(page, "recall-report", language)
    _console(visit, staff["postmaster"], language)
    _take(window.go("/help"), "help", language)
    phone = visit(ada, language=language, phone=True, dark=True, scale=2)
    _take(phone.go("/mail/inbox"), "phone-dark", language)


def _console(visit: Visits, postmaster: Account, language: Language) -> None:
    window = visit(postmaster, language=language)
    page = window.go("/console")
    page.locator("tbody input[name=message]").first.check()
    _take(page, "console-search", language)
    page.click("[data-bar] button[type=submit]")
    page.fill("#reason", REASON[language])
    _take(page, "console-preview", language)
    page = window.go("/console/recalls")
    page.locator(".hits tbody a").first.click()
    expect(page.locator("#failed")).to_be_visible()
    _take(page, "console-recall", language)
    _take(window.go("/console/trail"), "console-trail", language)


def _company(databases: Databases, language: Language) -> dict[str, Account]:
    domain = DOMAINS[language]
    with databases.control() as control:
        organisation_id = organisations.add_organisation(control, domain)
        organisations.add_domain(control, organisation_id, domain)
    names = dict(zip(("ada", "mira", "jonas", "kira"), NAMES[language], strict=True))
    names["postmaster"] = "Postmaster"
    names |= {f"staff{number}": f"{number}" for number in range(PEOPLE)}
    staff = {
        local: companies.hire(databases, f"{local}@{domain}", display_name=name, language=language)
        for local, name in names.items()
    }
    companies.group(
        databases,
        f"department@{domain}",
        [account for local, account in staff.items() if local not in ("ada", "postmaster")],
    )
    return staff


def _send(stack: Stack, author: Account, to: list[str], subject: str, text: str) -> None:
    httpx.post(
        f"{stack.gateway_url}/api/v1/messages",
        json={"to": to, "subject": subject, "text": text, "delay": 0},
        auth=(author.address, companies.PASSWORD),
        timeout=60,
    ).raise_for_status()


def _take(page: Page, name: str, language: Language) -> None:
    page.wait_for_load_state("networkidle")
    page.screenshot(path=FOLDER / f"{name}.{language}.png", animations="disabled", caret="hide")
