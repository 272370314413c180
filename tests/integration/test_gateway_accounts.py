"""Who gets in, with what, and what those see who do not; and what the gateway says of itself."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest
import structlog
from werkzeug.http import parse_date

from mailrecall import clock
from mailrecall.directory import accounts, authentication
from mailrecall.domain.addresses import Address
from mailrecall.postgres.databases import Databases
from mailrecall.postgres.migrations import Phase, migrate
from mailrecall.settings import Settings
from services.gateway.describing import SignIn
from services.gateway.openapi import document
from tests import company
from tests.gateway import Client, Gateway, example_path, gateway, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases)


def basic(address: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{address}:{password}".encode()).decode()}


def test_a_password_opens_the_account(web, firm):
    person = firm.people[0]
    answer = web.as_nobody().get("/account", headers=basic(person.address, company.PASSWORD))
    assert answer.status_code == 200
    assert answer.get_json() == {
        "id": person.id,
        "address": person.address,
        "name": person.display_name,
        "language": "en",
        "administrator": False,
    }


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic \xff"},
        {"Authorization": "Basic " + base64.b64encode(b"nobody").decode()},
        {"Authorization": "Basic " + base64.b64encode(b"\xff\xfe:\x00").decode()},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer mr_nonsense"},
        {"Authorization": "Bearer \xe9"},
        {"Authorization": "Digest username=nobody"},
        basic("nobody@nowhere.example", company.PASSWORD),
        basic("no address", company.PASSWORD),
    ],
    ids=[
        "nothing",
        "empty basic",
        "no base64",
        "base64 that is not ASCII",
        "no password",
        "no text",
        "empty bearer",
        "unknown token",
        "token that is not ASCII",
        "another scheme",
        "unknown address",
        "no address",
    ],
)
def test_nobody_gets_in_without_credentials(web, headers):
    answer = web.as_nobody().get("/account", headers=headers)
    problem(answer, 401, "not_authenticated")
    assert {
        challenge.split()[0] for challenge in answer.headers["WWW-Authenticate"].split(", ") if "realm" in challenge
    }
    assert "Bearer" in answer.headers["WWW-Authenticate"]
    assert "Basic" in answer.headers["WWW-Authenticate"]


def test_a_wrong_password_is_told_like_an_unknown_address(web, firm):
    wrong = web.as_nobody().get("/account", headers=basic(firm.people[0].address, "wrong password"))
    unknown = web.as_nobody().get("/account", headers=basic(str(firm.address("nobody")), "wrong password"))
    assert problem(wrong, 401, "not_authenticated") == problem(unknown, 401, "not_authenticated")


def test_a_closed_account_is_closed_to_password_and_token(web, databases):
    firm = company.found(databases, people=1)
    client = web.as_(firm.people[0])
    assert client.get("/account").status_code == 200
    accounts.close_account(databases, Address.parse(firm.people[0].address), now=clock.now())
    problem(client.get("/account"), 401, "not_authenticated")
    by_password = web.as_nobody().get("/account", headers=basic(firm.people[0].address, company.PASSWORD))
    problem(by_password, 401, "not_authenticated")


def test_a_token_lives_until_it_is_deleted(web, firm):
    before = clock.now()
    answer = web.as_nobody().post("/tokens", headers=basic(firm.people[0].address, company.PASSWORD))
    assert answer.status_code == 201
    body = answer.get_json()
    lifetime = timedelta(seconds=web.process.settings.token_lifetime)
    assert (before + lifetime).isoformat() < body["expires_at"] < (clock.now() + lifetime).isoformat()
    client = Client(web.app, {"Authorization": f"Bearer {body['token']}"})
    assert client.get("/account").get_json()["address"] == firm.people[0].address
    assert client.delete("/tokens/current").status_code == 204
    problem(client.get("/account"), 401, "not_authenticated")
    problem(client.delete("/tokens/current"), 401, "not_authenticated")


def test_a_token_ends_with_its_time(web, databases, firm):
    with databases.control() as control:
        token = authentication.issue_token(
            control, firm.people[0].id, lifetime=timedelta(seconds=60), now=clock.now() - timedelta(seconds=61)
        )
    problem(web.as_nobody().get("/account", headers={"Authorization": f"Bearer {token}"}), 401, "not_authenticated")


def test_a_token_does_not_give_birth_to_another(web, firm):
    answer = web.as_(firm.people[0]).post("/tokens")
    problem(answer, 401, "not_authenticated")
    assert "Bearer" not in answer.headers["WWW-Authenticate"]


def test_only_a_token_can_be_deleted(web, firm):
    answer = web.as_nobody().delete("/tokens/current", headers=basic(firm.people[0].address, company.PASSWORD))
    problem(answer, 401, "not_authenticated")


def test_a_request_for_a_token_says_nothing_else(web, firm):
    headers = basic(firm.people[0].address, company.PASSWORD)
    problem(web.as_nobody().post("/tokens", headers=headers, json={"scope": "all"}), 422, "invalid")
    assert web.as_nobody().post("/tokens", headers=headers, json={}).status_code == 201


def test_every_route_but_those_declared_open_asks_who_is_there(web):
    """Made from the routes themselves, so that a new one cannot be forgotten."""
    asked = 0
    for rule, method, _view, described in document.routes(web.app):
        if described and described.sign_in is SignIn.NOBODY:
            continue
        path = example_path(web.app, rule)
        problem(web.app.test_client().open(path, method=method), 401, "not_authenticated")
        asked += 1
    assert asked >= 30


def test_every_response_is_marked_and_careful(web, firm):
    answer = web.as_(firm.people[0]).get("/account", headers={"X-Request-Id": "abc-123"})
    assert answer.headers["X-Request-Id"] == "abc-123"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "Set-Cookie" not in answer.headers
    made_up = web.as_nobody().get("/account", headers={"X-Request-Id": "no good\x7f id"})
    assert len(made_up.headers["X-Request-Id"]) == 32
    assert "Strict-Transport-Security" not in answer.headers


def test_behind_tls_browsers_are_told_to_stay_there(settings, databases, firm):
    web = gateway(settings, databases, public_url="https://mail.company.example")
    assert "Strict-Transport-Security" in web.as_nobody().get("/account").headers


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("PUT", "/account", 405, "method_not_allowed"),
        ("PUT", "/tokens", 405, "method_not_allowed"),
    ],
)
def test_addresses_and_methods_that_do_not_exist(web, method, path, status, code):
    answer = web.as_nobody().ask(method, path)
    problem(answer, status, code)
    assert ("Allow" in answer.headers) == (status == 405)


def test_every_problem_has_a_page(web):
    listed = web.as_nobody().get("/problems").get_json()["problems"]
    assert {entry["code"] for entry in listed} >= {"invalid", "window_expired", "unavailable"}
    for entry in listed:
        assert web.app.test_client().get(entry["type"]).get_json() == entry
    problem(web.as_nobody().get("/problems/nonsense"), 404, "not_found")


def test_health(web):
    plain = web.app.test_client()
    assert plain.get("/healthz").get_json() == {"status": "alive"}
    answer = plain.get("/readyz")
    assert (answer.status_code, answer.get_json()) == (
        200,
        {"status": "ready", "control": True, "shards": [True, True]},
    )


def nowhere(url: str) -> str:
    """The same database on a port where nobody listens."""
    parts = psycopg.conninfo.conninfo_to_dict(url)
    return f"postgresql://{parts['user']}@127.0.0.1:1/{parts['dbname']}"


@pytest.mark.parametrize("kind", ["control", "shard"])
@pytest.mark.parametrize("lacks", ["no schema", "the last migration"])
def test_without_what_this_version_needs_of_a_database_nothing_is_ready(settings, servers, kind, lacks):
    name = f"lacking_{kind}"
    url = servers.create_database(name, "template1" if lacks == "no schema" else f"template_{kind}")
    if lacks != "no schema":
        with psycopg.connect(url) as connection:
            last = "(SELECT max(migration_id) FROM _yoyo_migration)"
            row = connection.execute(
                f"DELETE FROM _yoyo_migration m WHERE migration_id = {last} RETURNING m::text".encode()
            ).fetchone()
            assert row
            taken = row[0]
    change = {"control_url": url} if kind == "control" else {"shard_urls": (settings.shard_urls[0], url)}
    changed = settings.model_copy(update=change)
    databases = Databases(changed, "tests-lacking")
    try:
        plain = gateway(changed, databases).app.test_client()
        for _ in range(2):
            answer = plain.get("/readyz")
            assert (answer.status_code, answer.get_json()) == (
                503,
                {"status": "unmigrated", "control": True, "shards": [True, True]},
            )
            assert int(answer.headers["Retry-After"]) > 0
        assert plain.get("/healthz").status_code == 200
        if lacks == "no schema":
            migrate(url, kind, Phase.BEFORE)
        else:
            with psycopg.connect(url) as connection:
                connection.execute("INSERT INTO _yoyo_migration SELECT (%s::_yoyo_migration).*", (taken,))
        assert plain.get("/readyz").status_code == 200
    finally:
        databases.close()
        servers.drop_databases([name])


@pytest.fixture
def without_a_shard(settings):
    """A gateway whose second shard is down."""
    broken = settings.model_copy(
        update={"shard_urls": (settings.shard_urls[0], nowhere(settings.shard_urls[1])), "connect_timeout": 1.0}
    )
    databases = Databases(broken, "tests-broken")
    yield gateway(broken, databases)
    databases.close()


@pytest.fixture
def without_control(settings):
    """A gateway whose control database is down."""
    broken = settings.model_copy(update={"control_url": nowhere(settings.control_url), "connect_timeout": 1.0})
    databases = Databases(broken, "tests-broken")
    yield gateway(broken, databases)
    databases.close()


def test_a_shard_that_is_down_takes_only_its_own_mailboxes_away(without_a_shard, firm):
    answer = without_a_shard.app.test_client().get("/readyz")
    assert (answer.status_code, answer.get_json()["status"]) == (200, "degraded")
    for person in firm.people:
        answer = without_a_shard.as_(person).get("/folders")
        if person.shard == 0:
            assert answer.status_code == 200
        else:
            problem(answer, 503, "unavailable")
            assert int(answer.headers["Retry-After"]) > 0
            assert "127.0.0.1" not in answer.get_data(as_text=True)
    assert {person.shard for person in firm.people} == {0, 1}


def test_while_all_places_wait_for_a_shard_the_gateway_is_alive(settings, firm):
    waiting, go_on = threading.Semaphore(0), threading.Event()

    class Hanging(Databases):
        def shard(self, number):
            waiting.release()
            assert go_on.wait(60)
            return super().shard(number)

    databases = Hanging(settings, "tests-hanging")
    web = gateway(settings, databases, gateway_threads=2)
    asking = web.as_(firm.people[0])
    with ThreadPoolExecutor(3) as executor:
        under_way = [executor.submit(asking.get, "/folders") for _ in range(2)]
        try:
            assert all(waiting.acquire(timeout=60) for _ in under_way)
            behind = executor.submit(web.app.test_client().get, "/readyz")
            assert web.app.test_client().get("/healthz").status_code == 200
            with pytest.raises(TimeoutError):
                behind.result(timeout=0.2)
        finally:
            go_on.set()
        assert [one.result().status_code for one in (*under_way, behind)] == [200, 200, 200]
    databases.close()


def test_mail_is_accepted_while_a_shard_is_down(without_a_shard, firm):
    on = {person.shard: person for person in firm.people}
    for sender, recipient in ((on[0], on[1]), (on[1], on[0])):
        answer = without_a_shard.as_(sender).post("/messages", json={"to": [recipient.address], "text": "Hello"})
        assert answer.status_code == 202


def test_without_the_control_database_nothing_is_ready(without_control):
    plain = without_control.app.test_client()
    assert plain.get("/healthz").status_code == 200
    assert plain.get("/readyz").status_code == 503
    answer = without_control.as_nobody().get("/account", headers={"Authorization": "Bearer mr_x"})
    problem(answer, 503, "unavailable")
    assert parse_date(answer.headers["Retry-After"]) is None


def test_a_bug_says_nothing_about_itself(settings, databases):
    web = gateway(settings, databases)

    @web.app.get("/broken")
    def broken():
        raise ValueError("secret@company.example")

    with structlog.testing.capture_logs() as lines:
        answer = web.app.test_client().get("/broken")
    assert "secret" not in answer.get_data(as_text=True) + str(lines)
    problem(answer, 500, "internal")
    (failure,) = [line for line in lines if line["event"] == "request.failed"]
    assert failure["failure"] == "ValueError"
    assert any("broken" in place for place in failure["places"])


def test_the_access_log_has_a_line_for_each_request_and_no_address(web, firm):
    person = firm.people[0]
    with structlog.testing.capture_logs() as lines:
        web.as_nobody().get("/account", headers=basic(person.address, company.PASSWORD))
        web.as_(person).get("/folders/inbox/messages", query_string={"from": person.address})
        web.as_(person).get(f"/folders/{person.address}/messages")
        web.as_(person).get(f"/{person.address}")
        web.as_(person).post("/messages", json={"to": [str(firm.address("nobody"))], "subject": "Secret"})
    requests = [line for line in lines if line["event"] == "http.request"]
    assert [(line["method"], line["route"], line["status"]) for line in requests] == [
        ("GET", "/api/v1/account", 200),
        ("GET", "/api/v1/folders/<slug>/messages", 422),
        ("GET", "/api/v1/folders/<slug>/messages", 404),
        ("GET", None, 404),
        ("POST", "/api/v1/messages", 422),
    ]
    assert "@" not in str(lines)
    assert "Secret" not in str(lines)
