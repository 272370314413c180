"""Fixtures of the tests that use a real browser on the whole stack.

`visit` opens a browser for somebody; whatever it complained of, on its console or of the pages' policy, fails the test.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect, sync_playwright

from tests import company as companies
from tests.browser.visits import Visits
from tests.company import Company
from tests.stack import Stack

CHROMIUM = Path("/usr/bin/chromium")
ARGUMENTS: Sequence[str] = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 60_000
"""Milliseconds that a slow machine may take for what a page does at once."""


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The browser, started once."""
    if not CHROMIUM.exists():
        pytest.fail(f"These tests need Chromium at {CHROMIUM}: apt-get install chromium")
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS, timeout=2 * PATIENCE)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, stack: Stack) -> Iterator[Visits]:
    """Open browsers for people: `visit(account, language="zh")`."""
    with ExitStack() as until:
        visits = Visits(chromium, stack, until, PATIENCE)
        yield visits
        complaints = [complaint for one in visits.made for complaint in one.complaints]
    assert complaints == []


@pytest.fixture(scope="module")
def company(stack: Stack) -> Company:
    """A company of the test module's own."""
    return companies.found(stack.databases, people=4)
