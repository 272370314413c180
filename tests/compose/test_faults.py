"""The composition while containers are scaled, stopped and restarted: what was accepted is done, and counted once."""

import contextlib
import json
import os
import re
import secrets
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailrecall.embedded.deadlines import poll
from tests.compose.composition import LOGIN, PROJECT, ROOT, SERVERS, SERVICES, WORKERS, Composition

pytestmark = pytest.mark.timeout(1500)

EXAMPLE = ROOT / "deploy" / "example-directory.json"
PEOPLE = 20_000
AWAY = 30.0
"""Seconds that a shard is away."""


@dataclass(frozen=True, slots=True)
class Firm:
    """A company with one sender and a group of many."""

    domain: str

    @property
    def sender(self) -> str:
        return f"sender@{self.domain}"

    @property
    def everybody(self) -> str:
        return f"everybody@{self.domain}"


def found(composition: Composition, people: int) -> Firm:
    """Load a company."""
    firm = Firm(f"firm-{secrets.token_hex(4)}.example")
    accounts = json.loads(EXAMPLE.read_text())["accounts"]
    # the password of the example's accounts
    password_hash = accounts[0]["password_hash"]
    names = [f"p{number}@{firm.domain}" for number in range(people)]
    signed_in = {firm.sender, *names[:2]}
    composition.load(
        {
            "organisations": [{"name": firm.domain}],
            "domains": [{"domain": firm.domain, "organisation": firm.domain}],
            "accounts": [
                {"address": name, **({"password_hash": password_hash} if name in signed_in else {})}
                for name in (firm.sender, *names)
            ],
            "groups": [{"address": firm.everybody}],
            "members": [{"group": firm.everybody, "member": name} for name in names],
        }
    )
    return firm


def send(composition: Composition, firm: Firm, subject: str) -> int:
    """Send to everybody and wait until all of it is delivered; return the id of the Sent copy."""
    message = {"to": [firm.everybody], "subject": subject, "text": "Hello", "delay": 0}
    sent: int = composition.ask("POST", "/messages", firm.sender, json=message).raise_for_status().json()["id"]
    await_delivery(composition, sent)
    return sent


def await_delivery(composition: Composition, copy_id: int) -> None:
    query = f"SELECT count(*) FROM message WHERE id = {copy_id - copy_id % 2} AND delivered_at IS NOT NULL"
    assert poll(lambda: composition.number("control", query) == 1, timeout=300, pause=1.0), "not delivered in time"


def recall(composition: Composition, firm: Firm, copy_id: int) -> dict[str, Any]:
    asking = {"message_id": copy_id, "reason": "a trial"}
    asked: dict[str, Any] = composition.insist("POST", "/recalls", firm.sender, json=asking)
    return asked


def settled(composition: Composition, firm: Firm, recall_id: str, *, patience: float = 400) -> dict[str, Any]:
    """Wait for a recall's result."""
    seen: list[dict[str, Any]] = []

    def sees() -> bool:
        seen[:] = [composition.insist("GET", f"/recalls/{recall_id}", firm.sender)]
        return bool(seen[0]["state"] == "settled")

    assert poll(sees, timeout=patience, pause=1.0), f"not settled: {seen}"
    return seen[0]


def number_of(composition: Composition, recall_id: str) -> int:
    return composition.number("control", f"SELECT id FROM recall WHERE public_id = '{recall_id}'")


def ledger(composition: Composition, recall_number: int) -> Counter[int]:
    """Outcomes by the shards' own ledgers."""
    counts: Counter[int] = Counter()
    for shard in range(4):
        query = f"SELECT outcome, count(*) FROM outcome WHERE recall_id = {recall_number} GROUP BY 1"
        for outcome, count in composition.sql(f"shard{shard}", query):
            counts[int(outcome)] += int(count)
    return counts


def copies(composition: Composition, copy_id: int) -> int:
    """Copies of a message that lie in inboxes."""
    message_id = copy_id - copy_id % 2
    query = f"SELECT count(*) FROM copy WHERE message_id = {message_id}"
    return sum(composition.number(f"shard{shard}", query) for shard in range(4))


@contextlib.contextmanager
def held_up(composition: Composition, shard: int, copy_id: int):
    """Have one batch of a shard wait, so that a recall of the message is not over before the block ends."""
    lock = (
        f"BEGIN; SELECT FROM copy WHERE message_id = {copy_id - copy_id % 2}"
        " ORDER BY mailbox_id DESC LIMIT 1 FOR UPDATE; SELECT pg_sleep(600)"
    )
    waiting = subprocess.Popen(
        [
            *("docker", "compose", "--project-name", PROJECT, "exec", "-T", f"shard{shard}"),
            *("psql", "--username=mailrecall", "--quiet", "--command", lock),
        ],
        env={**os.environ, **composition.variables},
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    query = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' AND wait_event = 'PgSleep'"
    try:
        assert poll(lambda: composition.number(f"shard{shard}", query) >= 1, timeout=60)
        yield
    finally:
        # its server process outlives the client; the container may be gone
        with contextlib.suppress(AssertionError):
            composition.sql(
                f"shard{shard}",
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'",
            )
        waiting.kill()
        waiting.wait()


@pytest.mark.rule(23)
def test_r23_a_shard_that_is_away_for_half_a_minute_within_a_recall_changes_no_total(composition):
    """With three workers of each kind; meanwhile Flower and the metrics show the recall, and nobody's address."""
    scaled = [word for service in WORKERS for word in ("--scale", f"{service}=3")]
    composition.compose("up", "--detach", "--wait", "--no-recreate", *scaled)
    firm = found(composition, PEOPLE)
    sent = send(composition, firm, "To all")
    reader = f"p0@{firm.domain}"
    inbox = composition.insist("GET", "/folders/inbox/messages", reader)["messages"]
    composition.insist("GET", f"/messages/{inbox[0]['id']}", reader)

    with held_up(composition, 2, sent):
        asked = recall(composition, firm, sent)
        number = number_of(composition, asked["id"])

        def midway() -> bool:
            view = composition.insist("GET", f"/recalls/{asked['id']}", firm.sender)
            return bool(view["recipients"] == PEOPLE and view["done"] > PEOPLE // 4)

        assert poll(midway, timeout=180, pause=0.5), "the recall did not get on"
        numbers = httpx.get(composition.metrics_url, timeout=60).text
        shown = httpx.get(f"{composition.flower_url}/api/tasks", auth=LOGIN, params={"limit": 5000}, timeout=60).text
        composition.compose("kill", "shard2")
    began = time.monotonic()
    view = composition.insist("GET", f"/recalls/{asked['id']}", firm.sender)
    assert view["state"] == "running"
    assert poll(lambda: time.monotonic() - began >= AWAY, timeout=2 * AWAY, pause=0.5)
    composition.compose("start", "shard2")

    view = settled(composition, firm, asked["id"])

    assert view["outcomes"] == {"recalled": PEOPLE - 1, "already_read": 1}
    counts = ledger(composition, number)
    assert sum(counts.values()) == PEOPLE
    assert sorted(counts.values()) == [1, PEOPLE - 1]
    assert copies(composition, sent) == 1
    # what was seen of it while it ran
    assert f'mailrecall_recall_recipients{{recall_id="{number}"}} {float(PEOPLE)}' in numbers
    assert f"'recall_id': {number}" in shown
    assert "recall.withdraw" in shown
    assert firm.domain not in numbers + shown
    assert "@" not in numbers
    assert httpx.get(f"{composition.flower_url}/tasks", timeout=60).status_code == 401


def test_a_broker_that_is_restarted_within_a_recall_loses_nothing(composition):
    firm = found(composition, 2_000)
    sent = send(composition, firm, "To all")
    with held_up(composition, 1, sent):
        asked = recall(composition, firm, sent)
        composition.compose("restart", "redis")
        assert composition.insist("GET", f"/recalls/{asked['id']}", firm.sender)["state"] != "settled"

    view = settled(composition, firm, asked["id"])

    assert view["outcomes"] == {"recalled": 2_000}
    assert copies(composition, sent) == 0


def sent_under_load(composition: Composition) -> int:
    return composition.number("control", "SELECT count(*) FROM message WHERE subject LIKE 'About %'")


def await_one_more_sent(composition: Composition) -> None:
    """See that people can work again."""
    so_far = sent_under_load(composition)
    assert poll(lambda: sent_under_load(composition) > so_far, timeout=60, pause=0.5), "nobody could send any more"


@contextlib.contextmanager
def under_load(composition: Composition, folder: Path) -> Iterator[Path]:
    """Have the load test's users at work until the block ends, and their books checked then; gives what it prints."""
    printed = folder / "load"
    command = [
        *(sys.executable, "-m", "tests.load", "--url", composition.api, "--restarts", "--users", "12"),
        # as long as the restarts take
        *("--seconds", "1200", "--report", str(folder / "report.html")),
    ]
    with (
        printed.open("wb") as output,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **composition.settings()},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
        ) as load,
    ):
        try:
            assert poll(lambda: load.poll() is not None or sent_under_load(composition) > 20, timeout=180, pause=1.0), (
                printed.read_text()
            )
            yield printed
            assert load.poll() is None, f"it ended before it was told to:\n{printed.read_text()}"
            load.send_signal(signal.SIGINT)
            load.wait(400)
        finally:
            # it stops its users, too
            load.terminate()
        assert load.returncode == 0, printed.read_text()


def test_restarting_every_service_one_after_the_other_under_load_loses_nothing_that_was_promised(composition, tmp_path):
    with under_load(composition, tmp_path) as printed:
        for service in (*SERVICES, *SERVERS):
            composition.compose("up", "--detach", "--no-deps", "--force-recreate", service)
            composition.await_healthy(service)
            await_one_more_sent(composition)

    summary = printed.read_text()
    print(summary)  # noqa: T201
    assert "All totals add up" in summary
    promised = r"Promised: [\d,]{2,} messages sent, [\d,]{2,} recalls, [\d,]{2,} messages opened"
    assert re.search(promised, summary), summary
