"""Whoever gives many wrong passwords has to wait; nobody else has."""

import base64
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import guessing, passwords
from mailrecall.directory.guessing import Throttled, sign_in
from services.gateway import authentication
from tests import company
from tests.browsing import Visitor
from tests.gateway import gateway, problem

NOW = clock.now()
LIMIT = 3


@pytest.fixture(scope="module")
def firm(databases):
    return company.found(databases, people=2)


def guess(databases, address: str, password: str = "wrong", *, origin: str, now=NOW):
    return sign_in(databases, address, password, origin=origin, limit=LIMIT, now=now)


def test_after_so_many_wrong_passwords_not_even_the_right_one_is_looked_at(databases, firm):
    address = firm.people[0].address
    for _ in range(LIMIT):
        assert guess(databases, address, origin="192.0.2.1") is None
    blocked = guess(databases, address, company.PASSWORD, origin="192.0.2.1")
    assert isinstance(blocked, Throttled)
    assert 0 < blocked.retry_after <= 901
    # from elsewhere, and by somebody else, it works
    assert guess(databases, address, company.PASSWORD, origin="192.0.2.2") == firm.people[0]
    assert guess(databases, firm.people[1].address, company.PASSWORD, origin="192.0.2.1") == firm.people[1]
    # and the wait ends
    later = NOW + guessing.WINDOW + timedelta(seconds=1)
    assert guess(databases, address, company.PASSWORD, origin="192.0.2.1", now=later) == firm.people[0]


def test_the_right_password_takes_back_what_was_counted(databases, firm):
    address = firm.people[0].address
    for _ in range(3 * LIMIT):
        assert guess(databases, address, origin="192.0.2.3") is None
        assert guess(databases, address, company.PASSWORD, origin="192.0.2.3") == firm.people[0]


def test_an_address_that_nobody_has_is_counted_alike(databases, firm):
    nobody = str(firm.address("nobody"))
    found = [guess(databases, nobody, origin="192.0.2.4") for _ in range(LIMIT + 1)]
    assert found[:LIMIT] == [None] * LIMIT
    assert isinstance(found[LIMIT], Throttled)


def test_one_origin_cannot_try_everybody(databases, firm):
    for number in range(LIMIT * guessing.FROM_MANY):
        assert guess(databases, str(firm.address(f"nobody{number}")), origin="192.0.2.5") is None
    assert isinstance(guess(databases, firm.people[0].address, company.PASSWORD, origin="192.0.2.5"), Throttled)


def test_many_origins_cannot_try_one_account(databases):
    victim = company.found(databases, people=1).people[0]
    for number in range(LIMIT * guessing.FROM_MANY):
        assert guess(databases, victim.address, origin=f"198.51.100.{number}") is None
    assert isinstance(guess(databases, victim.address, company.PASSWORD, origin="203.0.113.1"), Throttled)


def test_who_has_a_whole_network_is_one_origin(databases, firm):
    address = firm.people[1].address
    for number in range(LIMIT):
        assert guess(databases, address, origin=f"2001:db8:0:7::{number}") is None
    assert isinstance(guess(databases, address, company.PASSWORD, origin="2001:db8:0:7:ffff::1%eth0"), Throttled)
    assert guess(databases, address, company.PASSWORD, origin="2001:db8:0:8::1") == firm.people[1]


def test_an_ipv4_address_is_one_origin_however_it_is_written(databases, firm):
    address = firm.people[1].address
    for _ in range(LIMIT):
        assert guess(databases, address, origin="192.0.2.77") is None
    assert isinstance(guess(databases, address, company.PASSWORD, origin="::ffff:192.0.2.77"), Throttled)


def test_what_was_counted_is_forgotten(databases, firm):
    guess(databases, str(firm.address("nobody")), origin="192.0.2.6")
    much_later = NOW + 10 * guessing.WINDOW
    for number in range(5):
        guess(databases, str(firm.address("nobody")), origin=f"192.0.2.{10 + number}", now=much_later)
    with databases.control() as control:
        left = control.execute("SELECT count(*) FROM password_guess WHERE since < %s", (much_later,)).fetchone()
    assert left == (0,)


def test_over_http_it_is_429_with_a_wait_and_tokens_go_on_working(settings, databases):
    person = company.found(databases, people=1).people[0]
    web = gateway(settings, databases, password_guesses=2, proxies=1)
    signed_in = web.as_(person)

    def ask(password: str, forwarded_for: str):
        given = base64.b64encode(f"{person.address}:{password}".encode()).decode()
        headers = {"Authorization": f"Basic {given}", "X-Forwarded-For": forwarded_for}
        return web.as_nobody().get("/account", headers=headers)

    for _ in range(2):
        problem(ask("wrong", "203.0.113.7"), 401, "not_authenticated")
    answer = ask(company.PASSWORD, "203.0.113.7")
    problem(answer, 429, "too_many_guesses")
    assert 0 < int(answer.headers["Retry-After"]) <= 901
    assert signed_in.get("/account").status_code == 200
    # what the client itself puts before the proxy's word is nobody's word
    problem(ask(company.PASSWORD, "203.0.113.9, 203.0.113.7"), 429, "too_many_guesses")
    assert ask(company.PASSWORD, "203.0.113.8").status_code == 200


def test_without_a_proxy_nobodys_word_is_taken(settings, databases):
    person = company.found(databases, people=1).people[0]
    web = gateway(settings, databases, password_guesses=1)
    given = base64.b64encode(f"{person.address}:wrong".encode()).decode()
    headers = {"Authorization": f"Basic {given}"}
    problem(
        web.as_nobody().get("/account", headers={**headers, "X-Forwarded-For": "1.2.3.4"}), 401, "not_authenticated"
    )
    problem(web.as_nobody().get("/account", headers={**headers, "X-Forwarded-For": "1.2.3.5"}), 429, "too_many_guesses")


def test_over_http_two_passwords_are_checked_at_once_and_others_do_not_wait_for_ever(
    settings, databases, firm, monkeypatch
):
    web, (person, other) = gateway(settings, databases), firm.people
    token = web.as_(other)
    checking, go_on, check = threading.Semaphore(0), threading.Event(), passwords.verify

    def slow(password_hash: str | None, password: str) -> bool:
        checking.release()
        assert go_on.wait(60)
        return check(password_hash, password)

    monkeypatch.setattr(passwords, "verify", slow)
    monkeypatch.setattr(authentication, "_PATIENCE", 0.2)

    def ask() -> int:
        return web.app.test_client().get("/api/v1/account", auth=(person.address, company.PASSWORD)).status_code

    with ThreadPoolExecutor(2) as executor:
        under_way = [executor.submit(ask) for _ in range(2)]
        try:
            assert all(checking.acquire(timeout=60) for _ in under_way)
            refused = web.app.test_client().get("/api/v1/account", auth=(person.address, company.PASSWORD))
            page = Visitor(web.app, language="zh").sign_in(person.address)
            assert token.get("/account").status_code == 200
        finally:
            go_on.set()
        assert [one.result() for one in under_way] == [200, 200]
    problem(refused, 503, "unavailable")
    assert int(refused.headers["Retry-After"]) > 0
    assert (page.status_code, page.headers["Retry-After"]) == (503, refused.headers["Retry-After"])
    assert "登录的人太多" in page.get_data(as_text=True)
    # and both places are free again
    assert [ask() for _ in range(3)] == [200] * 3
