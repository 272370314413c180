"""What processes count while they work, across gunicorn's workers and Celery's children, and their health."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import httpx
import pytest

from mailrecall import clock
from mailrecall.broker import celery_app
from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work
from mailrecall.outbox.relay import publish_due
from tests import company, correspondence
from tests.listening import environment

GATEWAY = ("gunicorn", "--config=python:services.gateway.gunicorn_conf", "services.gateway.wsgi:application")
DELIVERY = (
    *("celery", "--app=services.delivery.worker", "worker", "--concurrency=2", "--without-gossip", "--without-mingle"),
    "--queues=delivery,deposit.small,deposit.0,deposit.1",
)
RECALL = (
    *("celery", "--app=services.recall.worker", "worker", "--concurrency=1", "--without-gossip", "--without-mingle"),
    "--queues=recall",
)


@contextmanager
def process(*arguments: str, settings, log, **own: object) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        running = subprocess.Popen(
            [sys.executable, "-m", *arguments], env=environment(settings, **own), stdout=output, stderr=output
        )
    try:
        yield running
        running.terminate()
        assert running.wait(60) == 0, log.read_text()
    finally:
        running.kill()
        running.wait()


def answer(url: str) -> httpx.Response | None:
    try:
        return httpx.get(url, timeout=30)
    except httpx.TransportError:
        return None


def answers(url: str) -> bool:
    found = answer(url)
    return found is not None and found.is_success


def total(url: str, series: str) -> float:
    """The sum of a metric over all its labels."""
    found = answer(url)
    return sum(float(value) for value in re.findall(rf"^{series}\S* (\S+)$", found.text, re.MULTILINE)) if found else 0


@pytest.mark.rule(23)
def test_r23_the_gateways_workers_count_together_on_a_port_of_their_own_and_name_nobody(settings, databases, tmp_path):
    firm = company.found(databases, people=1)
    service, metrics = (f"127.0.0.1:{port}" for port in free_ports(2))
    places = {"gateway_bind": service, "metrics_bind": metrics, "gateway_workers": 2}
    with process(*GATEWAY, settings=settings, log=tmp_path / "log", **places):
        assert poll(lambda: answers(f"http://{service}/healthz"), timeout=60)
        for _ in range(10):
            httpx.get(f"http://{service}/api/v1/account", auth=(firm.people[0].address, company.PASSWORD), timeout=30)
        httpx.get(f"http://{service}/nowhere/{firm.people[0].address}", timeout=30)

        shown = httpx.get(f"http://{metrics}/metrics", timeout=30).text

        # whichever worker is asked: the numbers are those of both
        series = 'mailrecall_http_request_seconds_count{method="GET",route="/api/v1/account",status="200"} 10.0'
        assert series in shown
        assert 'route="none",status="404"' in shown
        assert firm.domain not in shown
        assert httpx.get(f"http://{service}/metrics", timeout=30).status_code == 404
        assert httpx.get(f"http://{metrics}/api/v1/account", timeout=30).status_code == 404
        assert httpx.get(f"http://{metrics}/healthz", timeout=30).json()["status"] == "alive"


def test_a_workers_children_count_together_and_one_that_is_cut_off_says_so(settings, databases, tmp_path):
    firm = company.found(databases, people=3)
    metrics = f"127.0.0.1:{free_ports(1)[0]}"
    log = tmp_path / "log"
    with process(*DELIVERY, settings=settings, log=log, metrics_bind=metrics) as worker:
        assert poll(lambda: answers(f"http://{metrics}/healthz"), timeout=90), log.read_text()
        assert poll(lambda: answers(f"http://{metrics}/readyz"), timeout=90), log.read_text()
        assert httpx.get(f"http://{metrics}/readyz").json() == {"status": "ready", "control": True, "broker": True}
        with databases.control() as control:
            control.autocommit = True
            for _ in range(4):
                correspondence.send(databases, *firm.people)

            def deposited() -> bool:
                publish_due(control, celery_app("test", settings), now=clock.now())
                return total(f"http://{metrics}/metrics", "mailrecall_copies_deposited_total") == 8

            assert poll(deposited, timeout=60), log.read_text()
            control.autocommit = False
        done = total(f"http://{metrics}/metrics", 'mailrecall_task_seconds_count{ended="done",task="delivery.expand"}')
        assert done == 4

        os.kill(worker.pid, signal.SIGSTOP)
        try:
            # the process that should do its rounds does none: nobody answers for it
            with pytest.raises(httpx.TransportError):
                httpx.get(f"http://{metrics}/healthz", timeout=2)
        finally:
            os.kill(worker.pid, signal.SIGCONT)


@pytest.mark.rule(9)
def test_r9_a_worker_shows_every_outcome_before_the_first_recall_that_it_settles(settings, databases, tmp_path):
    metrics = f"127.0.0.1:{free_ports(1)[0]}"
    log = tmp_path / "log"
    with process(*RECALL, settings=settings, log=log, metrics_bind=metrics):
        series = {f'mailrecall_outcomes_total{{outcome="{outcome.slug}"}} 0.0' for outcome in Outcome}

        def shown() -> bool:
            found = answer(f"http://{metrics}/metrics")
            return found is not None and series <= set(found.text.splitlines())

        assert poll(shown, timeout=90), log.read_text()


BEAT = ("celery", "--app=services.recall.worker", "beat", "--pidfile=")
RELAY = ("mailrecall.outbox.relay",)
NO_BROKER = {"broker_url": "redis://127.0.0.1:1/0"}
NO_CONTROL = {"control_url": "postgresql://nobody@127.0.0.1:1/nothing"}


@contextmanager
def in_an_outage(*arguments: str, settings, folder, **away: object) -> Iterator[tuple[str, Callable[[], None]]]:
    """A process that starts while a server may be away: its address, and what sees to it that its rounds go on."""
    metrics = f"127.0.0.1:{free_ports(1)[0]}"
    log, file = folder / "log", folder / "heartbeat"
    own = {"metrics_bind": metrics, "heartbeat_file": file, "reconcile_every": 1.0, **away}

    def goes_on() -> None:
        assert poll(file.exists, timeout=90), log.read_text()
        for _ in range(3):
            os.utime(file, (0, 0))
            assert poll(lambda: file.stat().st_mtime > 0, timeout=30), log.read_text()

    with process(*arguments, settings=settings, log=log, **own):
        yield f"http://{metrics}", goes_on


def test_a_worker_that_starts_without_the_broker_is_alive_and_not_ready(settings, databases, tmp_path):
    with in_an_outage(*DELIVERY, settings=settings, folder=tmp_path, **NO_BROKER) as (url, goes_on):
        goes_on()
        assert httpx.get(f"{url}/healthz").json()["status"] == "alive"
        unready = httpx.get(f"{url}/readyz")
        assert (unready.status_code, unready.json()) == (
            503,
            {"status": "unavailable", "control": True, "broker": False},
        )


@pytest.mark.parametrize("away", [NO_BROKER, NO_CONTROL], ids=["broker", "control"])
def test_a_relay_is_alive_while_a_server_is_away_and_not_ready(settings, databases, tmp_path, away):
    with databases.control() as control:
        control.execute("DELETE FROM outbox")
        outbox.add(control, [work.expand(2)], due_at=clock.now())
    with in_an_outage(*RELAY, settings=settings, folder=tmp_path, **away) as (url, goes_on):
        goes_on()
        assert httpx.get(f"{url}/healthz").json()["status"] == "alive"
        unready = httpx.get(f"{url}/readyz")
        assert unready.status_code == 503
        assert unready.json() == {"status": "unavailable", "control": away is NO_BROKER, "broker": False}
    with databases.control() as control:
        control.execute("DELETE FROM outbox")


def test_beat_is_alive_while_nothing_is_to_be_published(settings, databases, tmp_path):
    schedule = f"--schedule={tmp_path / 'schedule'}"
    seldom = {"reconcile_every": 3600.0, "purge_every": 3600.0}
    with in_an_outage(*BEAT, schedule, settings=settings, folder=tmp_path, **seldom) as (_, goes_on):
        goes_on()


def test_beat_is_alive_while_the_broker_is_away(settings, databases, tmp_path):
    schedule = f"--schedule={tmp_path / 'schedule'}"
    with in_an_outage(*BEAT, schedule, settings=settings, folder=tmp_path, **NO_BROKER) as (_, goes_on):
        goes_on()
