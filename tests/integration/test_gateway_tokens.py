"""Personal tokens: no more than their scopes say, until they expire or are revoked."""

import base64
from datetime import timedelta
from typing import Any

import pytest

from mailrecall import clock
from mailrecall.directory import tokens
from mailrecall.directory.lookup import Account
from mailrecall.directory.tokens import Scope
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company
from tests.gateway import Client, Gateway, gateway, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases)


def basic(account: Account) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{account.address}:{company.PASSWORD}".encode()).decode()}


def issue(web: Gateway, account: Account, *scopes: str, **more: object) -> dict[str, Any]:
    wanted = {"name": "export", "scopes": list(scopes), **more}
    answer = web.as_nobody().post("/tokens", headers=basic(account), json=wanted)
    assert answer.status_code == 201, answer.get_data(as_text=True)
    issued: dict[str, Any] = answer.get_json()
    return issued


def bearing(web: Gateway, issued: dict[str, Any]) -> Client:
    return Client(web.app, {"Authorization": f"Bearer {issued['token']}"})


def test_a_personal_token_is_shown_once_listed_and_revoked(web, databases):
    person = company.found(databases, people=1).people[0]
    before = clock.now()
    issued = issue(web, person, "recall", "read", lifetime=3600)
    assert issued["scopes"] == ["read", "recall"]
    assert (before + timedelta(hours=1)).isoformat() <= issued["expires_at"]

    owner = web.as_(person)
    (listed,) = owner.get("/tokens").get_json()["tokens"]
    assert listed["id"] == issued["id"]
    assert listed["last_used_at"] is None
    assert issued["token"] not in str(listed)

    client = bearing(web, issued)
    assert client.get("/account").get_json()["address"] == person.address
    assert owner.get("/tokens").get_json()["tokens"][0]["last_used_at"] >= before.isoformat()

    assert owner.delete(f"/tokens/{issued['id']}").status_code == 204
    problem(client.get("/account"), 401, "not_authenticated")
    problem(owner.delete(f"/tokens/{issued['id']}"), 404, "not_found")


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("read", {"read"}),
        ("send", {"send"}),
        ("recall", {"recall"}),
        ("admin", {"admin"}),
    ],
)
def test_a_token_does_what_its_scope_says_and_no_more(web, firm, scope, allowed):
    client = bearing(web, issue(web, firm.people[0], scope))
    answers = {
        "read": client.get("/folders"),
        "send": client.post("/drafts", json={}),
        "recall": client.post("/recalls", json={"message_id": 2, "reason": "wrong"}),
        "admin": client.get("/tokens"),
    }
    for needed, answer in answers.items():
        if needed in allowed:
            assert answer.status_code != 403, needed
        else:
            assert problem(answer, 403, "insufficient_scope")["scope"] == needed
            assert f'scope="{needed}"' in answer.headers["WWW-Authenticate"]


@pytest.mark.rule(24)
def test_r24_an_administrators_token_without_the_scope_is_a_plain_users(web, firm):
    sent = web.as_(firm.people[0]).post("/messages", json={"to": [firm.people[1].address], "subject": "Minutes"})
    asking = {"message_id": sent.get_json()["id"], "reason": "wrong"}

    plain = bearing(web, issue(web, firm.postmaster, "read", "recall"))
    assert plain.get("/account").get_json()["administrator"] is False
    problem(plain.post("/recalls", json=asking), 403, "not_sender")

    full = bearing(web, issue(web, firm.postmaster, "recall", "admin", "read"))
    assert full.post("/recalls", json=asking).status_code == 202


def test_any_token_can_end_itself(web, firm):
    client = bearing(web, issue(web, firm.people[0], "send"))
    assert client.delete("/tokens/current").status_code == 204
    problem(client.post("/drafts", json={}), 401, "not_authenticated")


def test_somebody_elses_tokens_do_not_exist(web, firm):
    issued = issue(web, firm.people[0], "read")
    other = web.as_(firm.people[1])
    assert issued["id"] not in [token["id"] for token in other.get("/tokens").get_json()["tokens"]]
    problem(other.delete(f"/tokens/{issued['id']}"), 404, "not_found")


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "export"},
        {"scopes": ["read"]},
        {"name": "export", "scopes": []},
        {"name": "export", "scopes": ["everything"]},
        {"name": " ", "scopes": ["read"]},
        {"name": "x" * 101, "scopes": ["read"]},
        {"name": "export", "scopes": ["read"], "lifetime": 59},
        {"name": "export", "scopes": ["read"], "lifetime": 366 * 86_400 + 1},
    ],
)
def test_a_token_that_cannot_be_is_refused(web, firm, wanted):
    problem(web.as_nobody().post("/tokens", headers=basic(firm.people[0]), json=wanted), 422, "invalid")


def test_a_personal_token_is_no_sign_in(web, databases, firm):
    """What keeps sessions by `account_of_token` must not take a token for less as one for all."""
    from mailrecall.directory.authentication import account_of_token  # noqa: PLC0415 - what pages use

    issued = issue(web, firm.people[0], "read")
    with databases.control() as control:
        assert account_of_token(control, issued["token"], now=clock.now()) is None


def test_there_is_an_end_to_tokens(web, databases):
    person = company.found(databases, people=1).people[0]
    with databases.control() as control:
        for number in range(tokens.MOST_TOKENS):
            tokens.issue(control, person.id, str(number), {Scope.READ}, lifetime=timedelta(hours=1), now=clock.now())
    wanted = {"name": "one more", "scopes": ["read"]}
    problem(web.as_nobody().post("/tokens", headers=basic(person), json=wanted), 409, "too_many_tokens")
