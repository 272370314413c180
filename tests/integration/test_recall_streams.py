"""R22: whoever watches a recall is told, however many they are, and the database is asked no more often for that."""

import json
import secrets
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from time import monotonic
from typing import Any
from uuid import UUID

import httpx
import psutil
import psycopg
import pytest

from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from mailrecall.recalls import views
from services.gateway.watching import WATCH, FullError, Seen, Watch
from tests import company
from tests.gateway import Client, Gateway, gateway, problem
from tests.integration.test_gateway_server import answers, environment, running

STREAMS = 200


@pytest.fixture(scope="module")
def web(settings, databases) -> Iterator[Gateway]:
    web = gateway(settings, databases)
    yield web
    web.app.extensions[WATCH].stop()


@pytest.fixture(scope="module")
def firm(databases):
    return company.found(databases)


def recalled(web: Gateway, firm: company.Company) -> str:
    """A recall that waits to be worked on, of a message that was delivered."""
    author = web.as_(firm.people[0])
    group = company.group(web.databases, str(firm.address(f"group-{secrets.token_hex(4)}")), [*firm.people[1:3]])
    sent = author.post("/messages", json={"to": [group.address, firm.people[3].address]}).get_json()["id"]
    web.deliver()
    public_id: str = author.post("/recalls", json={"message_id": sent, "reason": "wrong"}).get_json()["id"]
    return public_id


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    fields: dict[str, str] = {}
    for line in lines:
        if line == "" and "data" in fields:
            yield fields["id"], fields["event"], json.loads(fields["data"])
            fields = {}
        elif ": " in line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value


def read(client: Client, path: str, **headers: str) -> list[tuple[str, str, dict[str, Any]]]:
    answer = client.get(path, headers=headers, buffered=True)
    assert answer.status_code == 200
    assert answer.mimetype == "text/event-stream"
    return list(events(iter(answer.get_data(as_text=True).splitlines())))


@pytest.mark.rule(22)
def test_r22_a_stream_tells_what_changes_and_ends_with_the_result(web, firm):
    public_id = recalled(web, firm)
    author = web.as_(firm.people[0])
    watch: Watch = web.app.extensions[WATCH]
    with ThreadPoolExecutor(1) as executor:
        reading = executor.submit(read, author, f"/recalls/{public_id}/events")
        assert poll(lambda: watch.looks > 0, timeout=60)
        web.deliver()
        told = reading.result(timeout=60)
    assert told[0][1] == "progress"
    assert told[0][2]["state"] == "accepted"
    assert [name for _, name, _ in told].count("settled") == 1
    last_id, name, document = told[-1]
    shown = author.get(f"/recalls/{public_id}").get_json()
    assert (name, document) == ("settled", shown)
    # who has it all need not come back, and who has not is told
    knows = author.get(f"/recalls/{public_id}/events", headers={"Last-Event-ID": last_id})
    assert (knows.status_code, knows.get_data()) == (204, b"")
    assert read(author, f"/recalls/{public_id}/events", **{"Last-Event-ID": told[0][0]}) == [told[-1]]


@pytest.mark.rule(24)
def test_r24_a_stream_is_for_those_who_may_see_the_recall(web, firm, databases):
    public_id = recalled(web, firm)
    web.deliver()
    elsewhere = company.found(databases, people=1)
    for account in (firm.people[1], elsewhere.people[0], elsewhere.postmaster):
        problem(web.as_(account).get(f"/recalls/{public_id}/events"), 404, "not_found")
    problem(web.as_nobody().get(f"/recalls/{public_id}/events"), 401, "not_authenticated")
    assert read(web.as_(firm.postmaster), f"/recalls/{public_id}/events")[-1][2]["report"] is None


def test_where_there_is_no_room_for_one_more_polling_does(settings, databases, firm):
    web = gateway(settings, databases, gateway_streams=0)
    public_id = recalled(web, firm)
    answer = web.as_(firm.people[0]).get(f"/recalls/{public_id}/events")
    problem(answer, 503, "unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert web.as_(firm.people[0]).get(f"/recalls/{public_id}").status_code == 200


def test_many_watchers_ask_the_database_as_often_as_one(web, databases, firm):
    public_id = recalled(web, firm)
    with databases.control() as control:
        view = views.find(control, UUID(public_id))
    assert view
    at_first = Seen(view, None)
    watch = Watch(databases, most=STREAMS, every=0.2)
    began = monotonic()

    def wait_for_the_end() -> str:
        watch.begin(view.id)
        seen, deadline = at_first, monotonic() + 120
        while not seen.at_rest and monotonic() < deadline:
            seen = watch.wait(view.id, seen, 1.0) or seen
        watch.end(view.id)
        return seen.recall.state

    with ThreadPoolExecutor(STREAMS) as executor:
        waiting = [executor.submit(wait_for_the_end) for _ in range(STREAMS)]
        assert poll(lambda: watch.looks > 2, timeout=60)
        assert poll(lambda: watch.watchers == STREAMS, timeout=60)
        with pytest.raises(FullError):
            watch.begin(view.id)
        web.deliver()
        assert {future.result(timeout=120) for future in waiting} == {"settled"}
    assert watch.looks <= (monotonic() - began) / 0.2 + 2
    watch.stop()


def test_a_database_that_is_away_for_a_while_keeps_nobody_from_the_end(web, firm, databases, monkeypatch):
    public_id = recalled(web, firm)
    with databases.control() as control:
        view = views.find(control, UUID(public_id))
    assert view
    watch, many, failed = Watch(databases, most=1, every=0.05), views.many, threading.Event()

    def away(*_arguments):
        failed.set()
        raise psycopg.OperationalError("gone")

    monkeypatch.setattr(views, "many", away)
    watch.begin(view.id)
    assert failed.wait(60)
    monkeypatch.setattr(views, "many", many)
    assert watch.wait(view.id, Seen(replace(view, reason="not this"), None), 60) is not None
    watch.end(view.id)
    watch.stop()


@pytest.mark.rule(22)
def test_r22_two_hundred_streams_of_one_process_all_see_the_end_and_leave_room_for_requests(settings, web, firm):
    public_id = recalled(web, firm)
    headers = dict(web.as_(firm.people[0]).headers)
    (port,) = free_ports(1)
    base = f"http://127.0.0.1:{port}"
    limits = httpx.Limits(max_connections=STREAMS + 10, max_keepalive_connections=0)
    more = {"MAILRECALL_GATEWAY_BIND": f"127.0.0.1:{port}", "MAILRECALL_LOG_LEVEL": "WARNING"}
    opened = threading.Semaphore(0)
    with (
        running(environment(settings, **more)) as process,
        httpx.Client(base_url=base, limits=limits, timeout=120, headers=headers) as http,
        ThreadPoolExecutor(STREAMS) as executor,
    ):
        assert poll(lambda: answers(port), timeout=60)

        def last_event() -> tuple[str, dict[str, Any]]:
            with http.stream("GET", f"/api/v1/recalls/{public_id}/events") as answer:
                assert answer.status_code == 200, answer.read()
                told = events(answer.iter_lines())
                _id, name, document = next(told)
                opened.release()
                for _id, name, document in told:  # noqa: B007 - the last one counts
                    pass
                return name, document

        streams = [executor.submit(last_event) for _ in range(STREAMS)]
        # one that fails shows so at the end
        assert poll(lambda: opened._value + sum(stream.done() for stream in streams) >= STREAMS, timeout=120)
        assert opened._value == STREAMS
        # all are open at this moment, and requests are still answered
        assert http.get(f"/api/v1/recalls/{public_id}").json()["state"] == "accepted"
        workers = psutil.Process(process.pid).children()
        memory = sum(worker.memory_info().rss for worker in workers)
        web.deliver()
        ends = [stream.result(timeout=120) for stream in streams]
        process.terminate()
        process.wait(60)
    assert {name for name, _ in ends} == {"settled"}
    assert all(document["result"] == "succeeded" for _, document in ends)
    assert memory < 400 * 1024 * 1024


def test_a_gateway_that_is_to_stop_does_not_wait_for_streams(settings, web, firm):
    public_id = recalled(web, firm)
    (port,) = free_ports(1)
    headers = dict(web.as_(firm.people[0]).headers)
    more = {"MAILRECALL_GATEWAY_BIND": f"127.0.0.1:{port}"}
    with running(environment(settings, **more)) as process:
        assert poll(lambda: answers(port), timeout=60)
        with httpx.stream(
            "GET", f"http://127.0.0.1:{port}/api/v1/recalls/{public_id}/events", headers=headers, timeout=60
        ) as answer:
            lines = answer.iter_lines()
            assert next(events(lines))[1] == "progress"
            process.terminate()
            # the stream ends in good order, not by a connection that breaks
            assert "settled" not in "".join(lines)
        process.communicate(timeout=60)
    assert process.returncode == 0
