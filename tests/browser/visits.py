"""Somebody at a browser: one context with cookies of its own, in a language, a light and a size."""

import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Literal

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Page, Response, ViewportSize, expect

from mailrecall.directory.lookup import Account
from mailrecall.embedded.deadlines import poll
from tests import company
from tests.stack import Stack

Language = Literal["en", "zh"]
LANGUAGES: tuple[Language, ...] = ("en", "zh")
DESKTOP: ViewportSize = {"width": 1280, "height": 800}
PHONE: ViewportSize = {"width": 390, "height": 844}
TAGS = {"en": "en", "zh": "zh-Hans"}

_LOCALES = {"en": "en-US", "zh": "zh-CN"}
_ALLOWED = re.compile(
    r"Failed to load resource: the server responded with a status of 4\d\d|Response Status Error Code 4\d\d "
)
"""What a browser, and htmx, say of a page that answers a mistake; tests that make none expect none."""


@dataclass  # without slots: Playwright leaves a mark of its own on bound methods' objects
class Visit:
    """One browser window."""

    page: Page
    url: str
    language: Language
    complaints: list[str] = field(default_factory=list)
    expects_refusals: bool = False
    """The test makes mistakes on purpose."""

    def listen(self) -> None:
        """Note whatever the browser complains of."""
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.page.url}: {error}"))
        self.page.on("response", self._response)

    def go(self, path: str) -> Page:
        """Go to a page of the site."""
        self.page.goto(self.url + path)
        return self.page

    def sign_in(self, account: Account) -> Page:
        """Sign in, and land in the inbox."""
        self.go("/sign-in")
        self.page.fill("#address", account.address)
        self.page.fill("#password", company.PASSWORD)
        self.page.press("#password", "Enter")
        self.page.wait_for_url("**/mail/inbox")
        self.speaks()
        return self.page

    def speaks(self) -> None:
        """Check that the page is in the visitor's language."""
        expect(self.page.locator("html")).to_have_attribute("lang", TAGS[self.language])

    def open_newest(self, slug: str, subject: str) -> Page:
        """Open the message of that subject in a folder, as soon as it is there."""
        row = self.page.locator(".row", has_text=subject).first

        def is_there() -> bool:
            self.go(f"/mail/{slug}")
            return row.count() > 0

        assert poll(is_there, timeout=120, pause=0.3), f"{subject!r} does not come into {slug}"
        row.click()
        expect(self.page.locator("#subject")).to_contain_text(subject)
        return self.page

    def is_accessible(self) -> None:
        """Check that axe finds nothing serious (WCAG 2.2 A and AA)."""
        options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
        violations: list[dict[str, Any]] = Axe().run(self.page, options=options).response["violations"]
        serious = [
            f"{self.page.url} {violation['id']}: {node['html'][:160]} {node.get('failureSummary', '')}"
            for violation in violations
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]
        assert serious == []

    def fits(self) -> None:
        """Check that nothing reaches beyond the window's sides."""
        wide = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, self.page.url

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (self.expects_refusals and _ALLOWED.match(message.text)):
            self.complaints.append(f"{self.page.url}: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 500:
            self.complaints.append(f"{response.url}: {response.status}")


@dataclass(slots=True)
class Visits:
    """The windows of one test."""

    chromium: Browser
    stack: Stack
    until: ExitStack
    patience: int
    made: list[Visit] = field(default_factory=list)

    def __call__(
        self,
        account: Account | None = None,
        *,
        language: Language = "en",
        dark: bool = False,
        phone: bool = False,
        scripts: bool = True,
        scale: float = 1,
    ) -> Visit:
        """Open a window, and sign somebody in."""
        context = self.chromium.new_context(
            locale=_LOCALES[language],
            timezone_id="Asia/Shanghai",
            color_scheme="dark" if dark else "light",
            viewport=PHONE if phone else DESKTOP,
            has_touch=phone,
            java_script_enabled=scripts,
            device_scale_factor=scale,
            reduced_motion="reduce",
        )
        context.set_default_timeout(self.patience)
        self.until.callback(context.close)
        visit = Visit(context.new_page(), self.stack.gateway_url, language)
        visit.listen()
        self.made.append(visit)
        if account is not None:
            visit.sign_in(account)
        return visit
