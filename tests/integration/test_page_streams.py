"""R22: whoever has a page open is sent what moves on it, in their language; no statement is theirs while they watch."""

import secrets
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.embedded.deadlines import poll
from mailrecall.outbox.work import Task
from services.gateway import recalling
from services.gateway.batching import BATCH_WATCH
from services.gateway.pages.console import batches
from services.gateway.watching import WATCH
from tests import company as companies
from tests import correspondence, dispatch
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway

MANY = 12


@pytest.fixture(scope="module")
def web(settings, databases) -> Iterator[Gateway]:
    web = gateway(settings, databases)
    yield web
    web.app.extensions[WATCH].stop()
    web.app.extensions[BATCH_WATCH].stop()


@pytest.fixture(scope="module")
def firm(databases) -> Company:
    return companies.found(databases, people=4)


@pytest.fixture
def counted(monkeypatch) -> Counter[int]:
    """Statements by the thread that asked for them, from now on."""
    found: Counter[int] = Counter()
    execute = psycopg.Cursor.execute

    def count(self: Any, *arguments: Any, **named: Any) -> Any:
        found[threading.get_ident()] += 1
        return execute(self, *arguments, **named)

    monkeypatch.setattr(psycopg.Cursor, "execute", count)
    return found


@dataclass
class Viewer:
    """Somebody who has a page open, in a thread of their own."""

    visitor: Visitor
    page: str
    told: list[tuple[str, str]] = field(default_factory=list)
    statements: Counter[int] = field(default_factory=Counter)
    after_opening: int = -1
    """Statements of their thread after the first event."""

    def watch(self) -> None:
        answer = self.visitor.client.get(f"{self.page}", headers={"Accept-Language": self.visitor.language})
        assert answer.mimetype == "text/event-stream"
        opened = None
        for event in events(answer.response):
            own = self.statements[threading.get_ident()]
            opened = own if opened is None else opened
            self.told.append(event)
            self.after_opening = own - opened
        answer.close()

    @property
    def parts(self) -> list[str]:
        return [text for name, text in self.told if name == "part"]


def signed_in(web: Gateway, account: Account, language: str = "en") -> Visitor:
    visitor = Visitor(web.app, language=language)
    assert visitor.sign_in(account.address).status_code == 303
    return visitor


def recalled(web: Gateway, author: Account, *to: Any) -> str:
    """The id of a recall that waits to be worked on."""
    asking = recalling.Asking(correspondence.send(web.databases, author, *to), "wrong")
    return str(recalling.ask(web.process, author, asking, now=clock.now()).public_id)


def batch(web: Gateway, firm: Company, administrator: Visitor, messages: int = 1) -> str:
    """The address of a request whose recalls wait to be worked on, or for approval."""
    copies = [correspondence.send(web.databases, *firm.people) for _ in range(messages)]
    form = {"messages": ",".join(str(copy_id - copy_id % 2) for copy_id in copies), "reason": "wrong"}
    answer = administrator.submit("/console/recall/ask", form)
    assert answer.status_code == 303
    location: str = answer.location
    return location.partition("?")[0]


def events(lines: Any) -> Iterator[tuple[str, str]]:
    """Name and text of each event, as browsers read them."""
    buffer = ""
    for chunk in lines:
        buffer += chunk if isinstance(chunk, str) else chunk.decode()
        *blocks, buffer = buffer.split("\n\n")
        for block in blocks:
            parts = [line.partition(": ")[::2] for line in block.split("\n")]
            if data := [value for name, value in parts if name == "data"]:
                yield dict(parts)["event"], "\n".join(data)


def begin(viewers: Sequence[Viewer]) -> list[threading.Thread]:
    threads = [threading.Thread(target=viewer.watch, daemon=True) for viewer in viewers]
    for thread in threads:
        thread.start()
    return threads


def all_see(viewers: Sequence[Viewer], words: str) -> bool:
    return poll(lambda: all(viewer.parts and words in viewer.parts[-1] for viewer in viewers), timeout=60)


def set_external(web: Gateway, external: int) -> None:
    """Have the newest recall look otherwise."""
    with web.databases.control() as control:
        control.execute("UPDATE recall SET external = %s WHERE id = (SELECT max(id) FROM recall)", (external,))


@pytest.mark.rule(22)
@pytest.mark.parametrize("kind", ["recall", "batch"])
def test_r22_twelve_who_watch_cost_the_statements_of_one(web, firm, counted, monkeypatch, kind):
    watch = web.app.extensions[WATCH if kind == "recall" else BATCH_WATCH]
    author, postmaster = (
        [signed_in(web, account, language) for language in ("en", "zh")]
        for account in (firm.people[0], firm.postmaster)
    )
    looks: list[int] = []
    find = watch.find

    def look(control: Any, ids: list[int]) -> Any:
        before = counted[threading.get_ident()]
        found = find(control, ids)
        looks.append(counted[threading.get_ident()] - before)
        return found

    monkeypatch.setattr(watch, "find", look)
    by_viewers = {}
    for many in (1, MANY):
        if kind == "recall":
            public_id = recalled(web, *firm.people)
            open_to = [(f"/recalls/{public_id}", one) for one in author]
            open_to += [(f"/console/recalls/{public_id}", one) for one in postmaster]
        else:
            page = batch(web, firm, postmaster[0])
            open_to = [(page, one) for one in postmaster]
        viewers = [
            Viewer(copied(web, visitor), f"{page}/events", statements=counted)
            for page, visitor in (open_to * MANY)[:many]
        ]
        threads = begin(viewers)
        looks.clear()
        for external in (7_001, 7_002, 7_003):
            set_external(web, external)
            assert all_see(viewers, f"{external:,}")
        set_external(web, 0)
        web.deliver()
        for thread in threads:
            thread.join(60)
        assert all(viewer.told[-1] == ("settled", "") for viewer in viewers)
        # each was told of each change, and asked the databases for none
        assert {viewer.after_opening for viewer in viewers} == {0}
        assert len(looks) > 3
        by_viewers[many] = set(looks)
    assert by_viewers[1] == by_viewers[MANY]
    assert len(by_viewers[1]) == 1
    assert watch.watchers == 0


def copied(web: Gateway, visitor: Visitor) -> Visitor:
    """Another window of the same browser."""
    other = Visitor(web.app, language=visitor.language)
    cookie = visitor.client.get_cookie("mailrecall_session")
    assert cookie is not None
    other.client.set_cookie("mailrecall_session", cookie.value)
    return other


@pytest.mark.rule(22, 23)
def test_r22_r23_everybody_is_sent_what_they_may_see_in_their_language(web, firm):
    group = companies.group(web.databases, str(firm.address(f"group-{secrets.token_hex(4)}")), [*firm.people[1:3]])
    public_id = recalled(web, firm.people[0], group, firm.people[3])
    said = {
        (f"/recalls/{public_id}", "en"): "0 of 3 done",
        (f"/recalls/{public_id}", "zh"): "已完成 0 / 3",
        (f"/console/recalls/{public_id}", "en"): "0 of 3 done",
        (f"/console/recalls/{public_id}", "zh"): "已完成 0 / 3",
    }
    viewers = {}
    for page, language in said:
        account = firm.postmaster if page.startswith("/console") else firm.people[0]
        viewers[page, language] = Viewer(signed_in(web, account, language), f"{page}/events")
    threads = begin([*viewers.values()])
    dispatch.run(web.process, Task.EXPAND, Task.PLAN)
    for key, words in said.items():
        assert all_see([viewers[key]], words)
    web.deliver()
    for thread in threads:
        thread.join(60)
    for (page, language), viewer in viewers.items():
        shown = "".join(viewer.parts)
        assert group.address in shown
        assert "<html" not in shown
        # nobody's copy is told of before the end, and no administrator ever learns whose went
        assert not any(person.address in shown for person in firm.people), (page, language)
        whole = viewer.visitor.get(page, headers={"HX-Request": "true"}).get_data(as_text=True)
        assert "data-settled" in whole
        assert (firm.people[3].address in whole) == (not page.startswith("/console"))


@pytest.mark.rule(21, 22)
def test_r21_r22_who_asked_is_sent_no_way_to_approve_and_each_page_its_own_messages(web, databases, monkeypatch):
    monkeypatch.setattr(batches, "PAGE", 2)
    firm = companies.found(databases, people=3, switches={"approval_above": 1})
    asking = signed_in(web, firm.postmaster)
    deciding = signed_in(web, companies.hire(databases, f"second@{firm.domain}", administrator=True), "zh")
    page = batch(web, firm, asking, messages=3)
    own, other = Viewer(asking, f"{page}/events"), Viewer(deciding, f"{page}/events?cursor=2")
    threads = begin([own, other])
    assert all_see([own], "You have asked for it yourself.")
    assert all_see([other], f"{page}/approve")
    assert f"{page}/approve" not in own.parts[-1]
    assert [viewer.parts[-1].count('<td class="what">') for viewer in (own, other)] == [2, 1]
    assert "cursor=2" in own.parts[-1]
    assert deciding.submit(f"{page}/approve").status_code == 303
    web.deliver()
    for thread in threads:
        thread.join(60)
    assert [viewer.told[-1] for viewer in (own, other)] == [("settled", "")] * 2


def test_a_page_that_is_at_rest_already_is_told_so_at_once(web, firm):
    public_id = recalled(web, *firm.people)
    web.deliver()
    for visitor, page in (
        (signed_in(web, firm.people[0]), f"/recalls/{public_id}"),
        (signed_in(web, firm.postmaster), f"/console/recalls/{public_id}"),
    ):
        assert list(events([visitor.get(f"{page}/events").get_data(as_text=True)])) == [("settled", "")]


def test_where_there_is_no_room_for_one_more_the_page_asks_by_itself(settings, databases, firm):
    web = gateway(settings, databases, gateway_streams=0)
    public_id = recalled(web, *firm.people)
    author, postmaster = signed_in(web, firm.people[0]), signed_in(web, firm.postmaster)
    for visitor, page in (
        (author, f"/recalls/{public_id}"),
        (postmaster, f"/console/recalls/{public_id}"),
        (postmaster, batch(web, firm, postmaster)),
    ):
        answer = visitor.get(f"{page}/events")
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
        assert 'hx-trigger="refresh"' in visitor.get(page).get_data(as_text=True)


def test_a_stream_that_comes_back_by_itself_keeps_nobody_signed_in(web, firm):
    visitor = signed_in(web, firm.people[1])
    public_id = recalled(web, *firm.people)

    account_id = firm.people[1].id
    with web.databases.control() as control:
        control.execute(
            "UPDATE web_session SET seen_at = seen_at - interval '10 minutes' WHERE account_id = %s", (account_id,)
        )

    def seen() -> Any:
        with web.databases.control() as control:
            return control.execute(
                "SELECT seen_at, expires_at FROM web_session WHERE account_id = %s", (account_id,)
            ).fetchall()

    before = seen()
    visitor.get(f"/recalls/{public_id}/events", headers={"Accept": "text/event-stream"})
    assert seen() == before
    visitor.get("/mail/inbox")
    assert seen() != before
