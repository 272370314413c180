"""R22: a recall's page is sent what moves on it, and asks for nothing meanwhile; without its stream it asks by itself.

The browser's clock stands still: what a page does after so many seconds it does when the test says so.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.sync_api import Page, Request, Route, expect

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.embedded.deadlines import poll
from tests import company as companies
from tests.browser.visits import Visit, Visits
from tests.stack import Stack

REMEMBER_STREAMS = """
window.streams = [];
window.EventSource = class extends EventSource { constructor(url) { super(url); window.streams.push(this); } };
"""

PAGES = ("/recalls/", "/console/recalls/", "/console/batches/")


@dataclass
class Scene:
    """A recall of one message by its author, or by an administrator, that waits for somebody who is reading."""

    stack: Stack
    author: Account
    reader: Account
    postmaster: Account
    message_id: int = 0

    def send(self) -> None:
        body = {"to": [self.reader.address], "subject": "Salaries", "text": "For the board.", "delay": 0}
        self.message_id = self._post(self.author, "/messages", body)["id"]

    def ask(self, page: str) -> tuple[Account, str]:
        """Ask for the recall; return who looks at what page of it."""
        if page == "/recalls/":
            told = self._post(self.author, "/recalls", {"message_id": self.message_id, "reason": "wrong"})
            return self.author, page + str(told["id"])
        body = {"message_ids": [self.message_id], "reason": "wrong"}
        told = self._post(self.postmaster, "/admin/recall-batches", body)
        if page == "/console/recalls/":
            path = f"/admin/recall-batches/{told['id']}/messages"
            auth = (self.postmaster.address, companies.PASSWORD)
            messages = httpx.get(f"{self.stack.gateway_url}/api/v1{path}", auth=auth, timeout=60).json()["messages"]
            return self.postmaster, page + str(messages[0]["recall"]["id"])
        return self.postmaster, page + str(told["id"])

    @contextmanager
    def held(self) -> Iterator[None]:
        """Have the copy locked, as it is for the moment in which somebody reads it: the recall waits."""
        # and nobody is at the message: its recall begins at once
        assert poll(lambda: self._is_there() and self._is_filed(), timeout=60)
        with self.stack.databases.shard(self.reader.shard) as shard:
            shard.execute("SELECT FROM copy WHERE mailbox_id = %s FOR UPDATE", (self.reader.id,))
            yield

    def _is_there(self) -> bool:
        with self.stack.databases.shard(self.reader.shard) as shard:
            return bool(shard.execute("SELECT FROM copy WHERE mailbox_id = %s", (self.reader.id,)).rowcount)

    def _is_filed(self) -> bool:
        with self.stack.databases.control() as control:
            row = control.execute(
                "SELECT FROM message WHERE id = %s AND delivered_at IS NOT NULL AND author_filed_at IS NOT NULL",
                (self.message_id & ~1,),
            )
            return bool(row.rowcount)

    def _post(self, account: Account, path: str, body: object) -> dict[str, int]:
        auth = (account.address, companies.PASSWORD)
        answer = httpx.post(f"{self.stack.gateway_url}/api/v1{path}", json=body, auth=auth, timeout=60)
        found: dict[str, int] = answer.raise_for_status().json()
        return found


@dataclass
class Asked:
    """What a page asks the server for by itself."""

    page: Page
    path: str
    parts: int = 0
    streams: int = 0

    def note(self, request: Request) -> None:
        path = urlsplit(request.url).path
        self.streams += path == f"{self.path}/events"
        self.parts += path == self.path and request.resource_type == "xhr"

    def comes_to(self, *, parts: int, streams: int) -> bool:
        """Whether the page asks for so much, and its stream opens; Playwright tells while it is asked something."""
        script = "window.streams.at(-1).readyState === EventSource.OPEN"
        return poll(lambda: self.page.evaluate(script) and (self.parts, self.streams) == (parts, streams), timeout=60)


@pytest.fixture
def scene(stack: Stack) -> Scene:
    firm = companies.found(stack.databases, people=2)
    author, reader = firm.people
    scene = Scene(stack, author, reader, firm.postmaster)
    scene.send()
    return scene


def opened(visit: Visits, account: Account, path: str) -> tuple[Visit, Asked]:
    """Sign somebody in, in a browser whose clock stands still, and listen to what the page will ask for."""
    window = visit(account)
    asked = Asked(window.page, path)
    window.page.on("request", asked.note)
    window.page.add_init_script(REMEMBER_STREAMS)
    now: datetime = clock.now()
    window.page.clock.install(time=now)
    window.page.clock.pause_at(now + timedelta(hours=1))
    return window, asked


@pytest.mark.rule(22)
@pytest.mark.parametrize("kind", PAGES)
def test_r22_while_the_stream_is_open_a_page_asks_for_nothing_and_at_the_end_once(visit: Visits, scene: Scene, kind):
    with scene.held():
        account, path = scene.ask(kind)
        window, asked = opened(visit, account, path)
        page = window.go(path)
        assert asked.comes_to(parts=0, streams=1)
        expect(page.locator(".ring-below")).to_contain_text("1")
        page.clock.run_for(20_000)
        assert asked.comes_to(parts=0, streams=1)
    expect(page.locator("#progress[data-settled]")).to_be_visible()
    expect(page.locator(".ring-number")).to_have_text("1")
    page.clock.run_for(20_000)
    assert (asked.parts, asked.streams) == (1, 1)
    # what is read out is what changed last
    expect(page.locator("#told")).to_contain_text(page.locator("#progress .lead").inner_text())


@pytest.mark.rule(22)
@pytest.mark.parametrize("broken", ["refused", "cut"])
def test_r22_without_a_stream_a_page_asks_every_two_seconds_to_the_end(visit: Visits, scene: Scene, broken: str):
    def block(route: Route) -> None:
        if broken == "cut":
            route.abort()
        else:
            route.fulfill(status=404)

    with scene.held():
        account, path = scene.ask("/recalls/")
        window, asked = opened(visit, account, path)
        window.expects_refusals = True
        window.page.route("**/events", block)
        page = window.go(path)
        expect(page.locator("#live .ring")).to_be_visible()
        for times in range(1, 4):
            assert asked.parts == times - 1
            with page.expect_response(lambda response: urlsplit(response.url).path == path):
                page.clock.run_for(2_000)
    page.clock.resume()
    expect(page.locator("#progress[data-settled]")).to_be_visible()
    expect(page.locator(".ring-number")).to_have_text("1")
    page.close()
    window.complaints[:] = [one for one in window.complaints if "ERR_FAILED" not in one]


@pytest.mark.rule(22)
def test_r22_a_stream_that_was_refused_is_tried_again(visit: Visits, scene: Scene):
    with scene.held():
        account, path = scene.ask("/recalls/")
        window, asked = opened(visit, account, path)
        window.expects_refusals = True
        window.page.route("**/events", lambda route: route.fulfill(status=404))
        page = window.go(path)
        expect(page.locator("#live .ring")).to_be_visible()
        assert poll(lambda: page.evaluate("window.streams[0].readyState === EventSource.CLOSED"), timeout=60)
        page.unroute("**/events")
        page.clock.fast_forward(31_000)
        assert asked.comes_to(parts=1, streams=2)
        page.clock.run_for(20_000)
        assert asked.comes_to(parts=1, streams=2)


@pytest.mark.rule(22)
def test_r22_a_stream_that_has_fallen_silent_is_opened_anew(visit: Visits, scene: Scene):
    with scene.held():
        account, path = scene.ask("/recalls/")
        window, asked = opened(visit, account, path)
        page = window.go(path)
        assert asked.comes_to(parts=0, streams=1)
        page.clock.fast_forward(31_000)
        assert asked.comes_to(parts=1, streams=2)
        page.clock.resume()
        window.is_accessible()
