"""Requests are counted in Redis; who asks too often is told to wait, and nobody is while Redis is away."""

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import monotonic

import pytest
import structlog
from limits.storage import storage_from_string
from prometheus_client import REGISTRY

from mailrecall.embedded import valkey
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from services.gateway import limiting
from services.gateway.limiting import storage
from services.gateway.settings import GatewaySettings
from tests import company
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, example_path, gateway, problem

MOST = 5


@pytest.fixture
def firm(databases) -> Company:
    return company.found(databases, people=2)


@pytest.fixture
def web(settings, databases) -> Gateway:
    """Each test comes from an address of its own: the counts of one are not those of another."""
    return gateway(
        settings, databases, rate_limit_account=f"{MOST}/minute", rate_limit_address=f"{MOST}/minute", proxies=1
    )


def coming_from(address: str) -> dict[str, str]:
    return {"X-Forwarded-For": address}


def uncounted() -> float:
    return REGISTRY.get_sample_value("mailrecall_requests_uncounted_total") or 0.0


def test_an_account_that_asks_too_often_waits_with_all_its_tokens_and_nobody_else_does(web, firm):
    asking = web.as_(firm.people[0])
    left = [asking.get("/account").headers["RateLimit"].partition(";t=")[0] for _ in range(MOST)]
    assert left == [f'"account";r={MOST - 1 - number}' for number in range(MOST)]

    answer = asking.get("/folders")
    document = problem(answer, 429, "rate_limited")
    wait = int(answer.headers["Retry-After"])
    assert 0 < wait <= 61
    assert f"{wait} seconds" in document["detail"]
    assert answer.headers["RateLimit-Policy"] == f'"account";q={MOST};w=60'
    assert answer.headers["RateLimit"].startswith('"account";r=0;t=')
    problem(web.as_(firm.people[0]).get("/account"), 429, "rate_limited")

    assert web.as_(firm.people[1]).get("/account").status_code == 200
    # what a program of theirs has used up is not missing in their own webmail, and the other way about
    visitor = Visitor(web.app)
    assert visitor.sign_in(firm.people[0].address).status_code == 303
    assert visitor.get("/settings").status_code == 200


def test_the_log_says_whose_requests_were_too_many(web, firm):
    asking = web.as_(firm.people[0])
    for _ in range(MOST):
        asking.get("/account")
    bound = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[bound]) as lines:
        problem(asking.get("/account"), 429, "rate_limited")
    (line,) = [line for line in lines if line["event"] == "gateway.rate_limited"]
    assert line["account_id"] == firm.people[0].id


def test_a_page_asked_for_too_often_says_so_in_the_readers_language(web, firm):
    visitor = Visitor(web.app)
    visitor.sign_in(firm.people[0].address)
    for _ in range(MOST):
        assert visitor.get("/settings").status_code == 200
    for language, words in (("en", "wait a little"), ("zh", "请稍后再试")):
        visitor.language = language
        answer = visitor.get("/settings")
        assert (answer.status_code, answer.mimetype) == (429, "text/html")
        assert int(answer.headers["Retry-After"]) > 0
        assert words in answer.get_data(as_text=True)


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer mr_wrong"}], ids=["nothing", "a wrong token"])
def test_who_shows_nothing_valid_counts_for_where_they_come_from(web, firm, header):
    here = coming_from("198.51.100.1" if header else "198.51.100.2")
    for _ in range(MOST):
        problem(web.as_nobody().get("/account", headers=here | header), 401, "not_authenticated")
    answer = web.as_nobody().get("/account", headers=here | header)
    problem(answer, 429, "rate_limited")
    assert answer.headers["RateLimit"].startswith('"address";r=0;t=')
    # nor do the open routes and the sign-in page answer from there; who has a token, and whoever is elsewhere, goes on
    problem(web.as_nobody().get("/problems", headers=here), 429, "rate_limited")
    assert web.app.test_client().get("/sign-in", headers=here).status_code == 429
    assert web.as_(firm.people[0]).get("/account", headers=here).status_code == 200
    assert web.as_nobody().get("/problems", headers=coming_from("198.51.100.99")).status_code == 200


def test_one_subscribers_ipv6_addresses_count_together(web):
    for number in range(MOST):
        assert web.as_nobody().get("/problems", headers=coming_from(f"2001:db8::{number}")).status_code == 200
    problem(web.as_nobody().get("/problems", headers=coming_from("2001:db8::ffff")), 429, "rate_limited")
    assert web.as_nobody().get("/problems", headers=coming_from("2001:db8:0:1::1")).status_code == 200


def test_all_processes_count_together_and_a_window_that_is_over_begins_anew(settings, databases, firm):
    # a window begins with its first request: long enough for three on a busy machine, short enough to be waited for
    limit = {"rate_limit_account": "2/15second;1000/hour"}
    one, other = gateway(settings, databases, **limit), gateway(settings, databases, **limit)
    headers = one.as_(firm.people[0]).headers

    def ask(web: Gateway) -> int:
        return web.app.test_client().get("/api/v1/account", headers=dict(headers)).status_code

    assert [ask(one), ask(other), ask(one)] == [200, 200, 429]
    assert poll(lambda: ask(one) == 200, timeout=60)


def test_health_assets_and_live_views_count_for_nobody(web, firm):
    client = web.app.test_client()
    here = coming_from("198.51.100.3")
    for _ in range(MOST + 1):
        assert client.get("/healthz", headers=here).status_code == 200
        assert client.get("/readyz", headers=here).status_code == 200
        assert client.get("/static/0/tokens.css", headers=here, buffered=True).status_code == 200
    live = [rule for rule in web.app.url_map.iter_rules() if rule.rule.endswith("/events")]
    assert len(live) == 4
    asking = web.as_(firm.people[0])
    for rule in live:
        for _ in range(MOST + 1):
            answer = client.get(example_path(web.app, rule), headers={**asking.headers, **here})
            assert answer.status_code in {303, 404}
            assert "RateLimit" not in answer.headers
    assert "RateLimit" in client.get("/sign-in", headers=here).headers


def test_where_no_limit_is_set_nothing_is_counted(settings, databases, firm):
    web = gateway(settings, databases, rate_limit_account="", rate_limit_address="1/hour", proxies=1)
    for _ in range(MOST):
        answer = web.as_(firm.people[0]).get("/account")
        assert answer.status_code == 200
        assert "RateLimit" not in answer.headers


@contextmanager
def counting(server: valkey.Valkey) -> Iterator[None]:
    command = server.command().launched()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            assert poll(server.answers, timeout=60)
            yield
        finally:
            process.kill()


def test_while_redis_is_away_requests_pass_which_is_logged_once_and_counted(
    settings, databases, firm, tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(limiting, "_PAUSE", 0.2)
    (port,) = free_ports(1)
    server = valkey.Valkey(folder=tmp_path / "valkey", program=valkey.program(), port=port, password="secret")
    server.configure()
    web = gateway(settings, databases, rate_limit_account="2/hour", rate_limit_url=server.url())
    asking, before = web.as_(firm.people[0]), uncounted()
    with structlog.testing.capture_logs() as lines:
        # the gateway has started without it, too
        for _ in range(2 * MOST):
            assert asking.get("/account").status_code == 200
        with counting(server):
            assert poll(lambda: asking.get("/account").status_code == 429, timeout=30)
        assert uncounted() >= before + 2 * MOST
        for _ in range(2 * MOST):
            assert asking.get("/account").status_code == 200
    said = [(line["event"], line["log_level"]) for line in lines if line["event"].startswith("gateway.limits")]
    assert said == [
        ("gateway.limits_away", "warning"),
        ("gateway.limits_back", "info"),
        ("gateway.limits_away", "warning"),
    ]
    assert "secret" not in str(lines)


def test_a_redis_that_hangs_keeps_nobody_waiting_for_long(settings, databases, firm):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        web = gateway(settings, databases, rate_limit_url=url)
        asking, began = web.as_(firm.people[0]), monotonic()
        for _ in range(20):
            assert asking.get("/account").status_code == 200
    # one time-out, not twenty
    assert monotonic() - began < 20 * limiting._PATIENCE


def test_with_rabbitmq_alone_there_is_nowhere_to_count(settings, databases, firm):
    with structlog.testing.capture_logs() as lines:
        web = gateway(settings, databases, broker_url="amqp://127.0.0.1:1/", rate_limit_account="1/hour")
    assert [line["event"] for line in lines] == ["gateway.limits_without_redis"]
    for _ in range(3):
        assert web.as_(firm.people[0]).get("/account").status_code == 200


def test_sentinels_are_told_as_the_library_wants_them(settings):
    given = settings.model_dump() | {
        "broker_url": "sentinel://:p%40ss@127.0.0.1:1/0;sentinel://:p%40ss@localhost/0",
        "sentinel_master": "house",
        "sentinel_password": "watchers",
    }
    found = storage(GatewaySettings.model_validate(given))
    assert found is not None
    url, options = found
    assert url == "redis+sentinel://127.0.0.1:1,localhost:26379/house"
    assert options["password"] == "p@ss"
    assert options["sentinel_kwargs"]["password"] == "watchers"
    assert options["use_replicas"] is False
    # which takes them, and looks for them no earlier than it must
    assert storage_from_string(url, **options).check() is False
