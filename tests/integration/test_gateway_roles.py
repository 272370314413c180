"""R24: every route as everybody whom it is not for: made from the route map, so that none can be forgotten."""

import re
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask
from werkzeug.routing import Rule

from mailrecall import clock
from mailrecall.directory import tokens
from mailrecall.directory.tokens import Scope
from services.gateway.authentication import scope_needed
from services.gateway.describing import Description, SignIn, description_of
from tests import company
from tests.browsing import Visitor
from tests.gateway import Client, Gateway, example_path, gateway

SECRET = "The secret subject of this company"

# what anybody may see: no data of anybody's
OPEN = re.compile(r"/healthz|/readyz|/metrics|/|/sign-in|/help|/sign-out|/language|/static/.*|/assets/.*")

# pages on which one signs in, or out
WAYS_IN = ("pages.signing_in.", "pages.provider_sign_in.")


@pytest.fixture(scope="module")
def web(settings, databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases):
    return company.found(databases, people=2)


@pytest.fixture(scope="module")
def elsewhere(databases):
    return company.found(databases, people=1)


@pytest.fixture(scope="module")
def values(web, firm) -> dict[str, object]:
    """Ids of things of the company's, for each kind of parameter."""
    author, postmaster = web.as_(firm.people[0]), web.as_(firm.postmaster)
    content = {
        "to": [firm.people[1].address],
        "subject": SECRET,
        "text": SECRET,
        "attachments": [{"filename": f"{SECRET}.txt", "content": "NDIK"}],
    }
    sent = author.post("/messages", json=content).get_json()["id"]
    web.deliver()
    public_id = author.post("/recalls", json={"message_id": sent, "reason": SECRET}).get_json()["id"]
    web.deliver()
    draft = author.post("/drafts", json={"subject": SECRET}).get_json()["id"]
    rule = postmaster.post("/audit-rules", json={"name": SECRET, "keyword": "held"}).get_json()["id"]
    held = author.post("/messages", json={**content, "text": "held"}).get_json()["id"] & ~1
    return {"copy_id": sent, "draft_id": draft, "public_id": public_id, "rule_id": rule, "message_id": held}


def routes(app: Flask) -> Iterator[tuple[Rule, str, Description | None]]:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, description_of(app.view_functions[rule.endpoint])


def path_of(app: Flask, rule: Rule, values: dict[str, object]) -> str:
    kinds = {name: type(converter).__name__ for name, converter in rule._converters.items()}
    if not all(name in values for name, kind in kinds.items() if kind in {"CopyIdConverter", "UUIDConverter"}):
        # things that this company has none of: that there is nothing to be seen is seen as well
        values = {**{name: uuid4() if kind == "UUIDConverter" else 2**40 for name, kind in kinds.items()}, **values}
    taken = {name: values[name] for name in kinds if name in values}
    if kinds.keys() - taken.keys():
        return example_path(app, rule)
    return str(app.url_map.bind("localhost").build(rule.endpoint, taken))


def ask(client: Client, method: str, path: str):
    # what a route would read of a body comes after who may ask at all
    body: dict[str, str] | None = None if method in {"GET", "DELETE"} else {}
    return client.app.test_client().open(path, method=method, headers=dict(client.headers), json=body)


def test_nobody_sees_anything(web, values):
    """Signed in as nobody: 401, or the way to the form; never data."""
    for rule, method, described in routes(web.app):
        if (described and described.sign_in is SignIn.NOBODY) or OPEN.fullmatch(rule.rule):
            continue
        answer = ask(web.as_nobody(), method, path_of(web.app, rule, values))
        if rule.rule.startswith("/api/"):
            assert answer.status_code == 401, (method, rule.rule)
        else:
            # pages: the form, or a refusal of a request that no form of ours has made
            assert answer.status_code in {302, 303, 400, 401, 403, 404}, (method, rule.rule, answer.status_code)
        assert SECRET not in answer.get_data(as_text=True), (method, rule.rule)


def test_a_token_of_no_scope_for_it_sees_nothing(web, firm, values):
    """403 for whatever needs another scope than the token has."""
    checked = 0
    clients = {scope: with_scope(web, firm.people[0], scope) for scope in Scope}
    for rule, method, described in routes(web.app):
        if not rule.rule.startswith("/api/") or (described and described.sign_in is not SignIn.ANY):
            continue
        needed = scope_needed(described, method)
        for scope in set(Scope) - {needed}:
            answer = ask(clients[scope], method, path_of(web.app, rule, values))
            assert answer.status_code == 403, (method, rule.rule, scope)
            assert answer.get_json()["code"] == "insufficient_scope"
            assert SECRET not in answer.get_data(as_text=True)
            checked += 1
    assert checked > 100


@pytest.mark.rule(24)
@pytest.mark.parametrize(
    "who",
    ["another user", "another organisation's user", "another organisation's administrator"],
)
def test_r24_what_is_somebody_elses_does_not_exist(web, firm, elsewhere, values, who):
    """Whoever asks for a thing by its id, and it is not theirs, gets no data and changes nothing."""
    account = {
        "another user": firm.people[1],
        "another organisation's user": elsewhere.people[0],
        "another organisation's administrator": elsewhere.postmaster,
    }[who]
    client = web.as_(account)
    for rule, method, described in routes(web.app):
        if not rule.rule.startswith("/api/") or (described and described.sign_in is not SignIn.ANY):
            continue
        answer = ask(client, method, path_of(web.app, rule, values))
        where = (who, method, rule.rule, answer.status_code)
        assert answer.status_code < 500, where
        if account.organisation_id != firm.organisation_id:
            assert SECRET not in answer.get_data(as_text=True), where
            by_id = {"copy_id", "draft_id", "public_id", "rule_id", "message_id"} & set(rule.arguments)
            if by_id:
                assert answer.status_code in {403, 404, 415, 422, 428}, where
        elif {"copy_id", "draft_id"} & set(rule.arguments):
            assert SECRET not in answer.get_data(as_text=True), where


@pytest.fixture(scope="module")
def named(web, databases, firm, values) -> dict[str, object]:
    """For each parameter of a page's address a thing of the company's that is there."""
    group = company.group(databases, f"secret@{firm.domain}", [firm.people[0]])
    admin = Visitor(web.app)
    admin.sign_in(firm.postmaster.address)
    asked = admin.submit("/console/recall/ask", {"messages": str(values["copy_id"] & ~1), "reason": SECRET})
    batch = asked.location.partition("?")[0].rpartition("/")[2]
    web.deliver()
    return {
        **values,
        "account_id": firm.people[0].id,
        "group_id": group.id,
        "batch": batch,
        "slug": "sent",
        "index": 0,
    }


def pages_of(app: Flask, named: dict[str, object]) -> Iterator[tuple[str, str, bool]]:
    """Each page with the ids of things that are there, each way to ask for it, and whether it is the console's."""
    for rule, method, _ in routes(app):
        if not rule.endpoint.startswith("pages.") or OPEN.fullmatch(rule.rule) or rule.endpoint.startswith(WAYS_IN):
            continue
        things = {**named, "public_id": named["batch"]} if ".batches." in rule.endpoint else named
        # a KeyError here: a new kind of thing has a page, and `named` has to name one of the company's
        taken = {name: things[name] for name in rule.arguments}
        path = app.url_map.bind("localhost").build(rule.endpoint, taken)
        yield path, method, rule.endpoint.startswith("pages.console.")


def test_pages_are_there_for_whom_they_are_for(web, firm, named):
    """What the next test is refused would have been shown: the ids are those of things that are there."""
    author, admin = Visitor(web.app), Visitor(web.app)
    author.sign_in(firm.people[0].address)
    admin.sign_in(firm.postmaster.address)
    shown = 0
    for path, method, of_console in pages_of(web.app, named):
        if method != "GET":
            continue
        visitor = admin if of_console else author
        # a stream of events does not end; there is one wherever there is the page above it
        answer = visitor.client.get(path, headers={"Accept": "text/html"})
        assert answer.status_code in {200, 204, 303}, (path, answer.status_code)
        answer.close()
        shown += SECRET in answer.get_data(as_text=True) if answer.mimetype == "text/html" else 0
    assert shown >= 10


@pytest.mark.rule(19, 24)
@pytest.mark.parametrize(
    "who",
    ["another user", "another organisation's user", "another organisation's administrator"],
)
def test_r19_r24_pages_show_nothing_to_whoever_is_signed_in_as_somebody_else(web, firm, elsewhere, named, who):
    """Nobody's pages but one's own, and no console without the role. Operators have no way in over HTTP at all."""
    account = {
        "another user": firm.people[1],
        "another organisation's user": elsewhere.people[0],
        "another organisation's administrator": elsewhere.postmaster,
    }[who]
    visitor = Visitor(web.app)
    visitor.sign_in(account.address)
    tried = 0
    things = {str(thing) for name, thing in named.items() if name not in {"slug", "index"}}
    for path, method, of_console in pages_of(web.app, named):
        answer = visitor.get(path) if method == "GET" else visitor.submit(path, {"reason": "x"})
        where = (who, method, path, answer.status_code)
        assert answer.status_code < 500, where
        names_one = bool(things & set(path.split("/")))
        if names_one or (of_console and not account.administrator):
            assert answer.status_code == 404, where
            tried += 1
        if method == "GET":
            assert SECRET not in answer.get_data(as_text=True), where
    assert tried > 30
    assert visitor.get("/mail/inbox").status_code == 200
    author, admin = web.as_(firm.people[0]), web.as_(firm.postmaster)
    assert author.get(f"/messages/{named['copy_id']}").get_json()["subject"] == SECRET
    assert author.get(f"/drafts/{named['draft_id']}").status_code == 200
    assert admin.get(f"/held/{named['message_id']}").status_code == 200


def test_roles_of_plain_users_are_refused(web, firm, values):
    """Whatever needs a role: 403 or 404 for those who have none."""
    client = web.as_(firm.people[1])
    checked = 0
    for rule, method, described in routes(web.app):
        needs_role = rule.rule.startswith(("/api/v1/admin", "/api/v1/held", "/api/v1/audit"))
        if needs_role and (described is None or described.sign_in is SignIn.ANY):
            answer = ask(client, method, path_of(web.app, rule, values))
            assert answer.status_code in {403, 404, 422}, (method, rule.rule, answer.status_code)
            assert SECRET not in answer.get_data(as_text=True)
            checked += 1
    assert checked >= 8


def with_scope(web: Gateway, account, scope: Scope) -> Client:
    with web.databases.control() as control:
        secret, _ = tokens.issue(control, account.id, scope, {scope}, lifetime=timedelta(hours=1), now=clock.now())
    return Client(web.app, {"Authorization": f"Bearer {secret}"})
