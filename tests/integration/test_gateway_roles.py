"""R24: every route as everybody whom it is not for: made from the route map, so that none can be forgotten."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest
from flask import Flask
from werkzeug.routing import Rule

from mailrecall import clock
from mailrecall.directory import audit_rules, tokens
from mailrecall.directory.lookup import Account
from mailrecall.directory.tokens import Scope
from services.gateway.authentication import scope_needed
from services.gateway.batching import BATCH_WATCH
from services.gateway.describing import Description, SignIn, description_of
from services.gateway.watching import WATCH
from tests import company
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Client, Gateway, gateway

SECRET = "The secret subject of this company"

# what anybody may see: no data of anybody's
OPEN = re.compile(r"/healthz|/readyz|/metrics|/|/sign-in|/help|/sign-out|/language|/static/.*|/assets/.*")


# parameters that name somebody's thing
BY_ID = frozenset(
    {"copy_id", "draft_id", "token_id", "message_id", "rule_id", "public_id", "address", "account_id", "group_id"}
)
REFUSED = frozenset({403, 404})
# of pages: led back to where one was
REFUSED_CHANGE = frozenset({303, 415, 422, 428})


@pytest.fixture(scope="module")
def web(settings, databases) -> Iterator[Gateway]:
    # whoever is told to wait is shown nothing, and that would prove nothing
    web = gateway(settings, databases, rate_limit_account="", rate_limit_address="")
    yield web
    web.app.extensions[WATCH].stop()
    web.app.extensions[BATCH_WATCH].stop()


@dataclass(frozen=True, slots=True)
class Cast:
    """Who takes part: in one company a thing of each kind that has an id, and another company."""

    firm: Company
    elsewhere: Company

    @property
    def author(self) -> Account:
        return self.firm.people[0]

    @property
    def recipient(self) -> Account:
        return self.firm.people[1]

    @property
    def colleague(self) -> Account:
        return self.firm.people[2]

    @property
    def moderator(self) -> Account:
        return self.firm.people[3]


@pytest.fixture(scope="module")
def cast(databases) -> Cast:
    # every recall of an administrator's waits for a second one
    firm = company.found(databases, people=4, switches={"approval_above": 0})
    elsewhere = company.found(databases, people=2)
    with databases.control() as control:
        for account in (firm.people[3], elsewhere.people[1]):
            audit_rules.set_moderator(control, account.id, moderator=True)
    return Cast(firm, elsewhere)


@pytest.fixture(scope="module")
def firm(cast: Cast) -> Company:
    return cast.firm


@pytest.fixture(scope="module")
def values(web, cast) -> dict[str, object]:
    """Ids of things of the company's, for each kind of parameter; those of a batch go by its own name."""
    author, postmaster = web.as_(cast.author), web.as_(cast.firm.postmaster)
    content = {
        "to": [cast.recipient.address],
        "subject": SECRET,
        "text": SECRET,
        "attachments": [{"filename": f"{SECRET}.txt", "content": "NDIK"}],
    }
    sent, other = (author.post("/messages", json=content).get_json()["id"] for _ in range(2))
    web.deliver()
    recall = author.post("/recalls", json={"message_id": sent, "reason": SECRET}).get_json()["id"]
    web.deliver()
    asking = {"message_ids": [other & ~1], "reason": SECRET}
    batch = postmaster.post("/admin/recall-batches", json=asking).get_json()["id"]
    draft = author.post("/drafts", json={"subject": SECRET}).get_json()["id"]
    rule = postmaster.post("/audit-rules", json={"name": SECRET, "keyword": "held"}).get_json()["id"]
    held = author.post("/messages", json={**content, "text": "held"}).get_json()["id"] & ~1
    postmaster.put(f"/admin/accounts/{cast.author.address}/hold", json={"reason": SECRET})
    group = company.group(web.databases, f"secret@{cast.firm.domain}", [cast.author])
    with web.databases.control() as control:
        _, token = tokens.issue(
            control, cast.author.id, SECRET, {Scope.READ}, lifetime=timedelta(hours=1), now=clock.now()
        )
    return {
        "copy_id": sent,
        "draft_id": draft,
        "token_id": token.id,
        "message_id": held,
        "rule_id": rule,
        "address": cast.author.address,
        "account_id": cast.author.id,
        "group_id": group.id,
        "recall": recall,
        "batch": batch,
        "slug": "sent",
        "index": 0,
        "name": "none",
        "version": "0",
    }


def routes(app: Flask) -> Iterator[tuple[Rule, str, Description | None]]:
    for rule in app.url_map.iter_rules():
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"}):
            yield rule, method, description_of(app.view_functions[rule.endpoint])


def path_of(app: Flask, rule: Rule, values: dict[str, object]) -> str:
    """The address of the company's own thing; a parameter of a new name has to be given one above first."""
    of_batches = re.search("batches|approvals", rule.rule)
    known = {**values, "public_id": values["batch" if of_batches else "recall"]}
    given = {name: known[name] for name in rule.arguments}
    return str(app.url_map.bind("localhost").build(rule.endpoint, given))


def is_open(rule: Rule, described: Description | None) -> bool:
    return bool((described and described.sign_in is not SignIn.ANY) or OPEN.fullmatch(rule.rule))


def ask(client: Client, method: str, path: str, given: dict[str, object] | None = None):
    # what a route would read of a body comes after who may ask at all
    body = None if method in {"GET", "DELETE"} else given or {}
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


@dataclass(frozen=True, slots=True)
class Role:
    """Somebody who asks for what is not theirs, over the API and in the pages."""

    who: Callable[[Cast], Account]
    only: frozenset[str] = BY_ID
    """The ids of things that are not theirs."""
    lists: bool = True
    """Whether what has no id in its address is to show nothing of it either."""
    may: re.Pattern[str] = re.compile("(?!)")
    """Addresses that are theirs all the same."""


PRIVATE = frozenset({"copy_id", "draft_id", "token_id"})
ROLES = {
    "a colleague": Role(lambda cast: cast.colleague),
    # has the message, in another mailbox
    "the recipient": Role(lambda cast: cast.recipient, lists=False),
    "a moderator": Role(lambda cast: cast.moderator, may=re.compile(r"(/api/v1|/console)/held.*")),
    # sees what a recall is about (R25), and no mailbox
    "the administrator": Role(
        lambda cast: cast.firm.postmaster, PRIVATE, lists=False, may=re.compile(r".*/recall-preview")
    ),
    "another organisation's user": Role(lambda cast: cast.elsewhere.people[0]),
    "another organisation's moderator": Role(lambda cast: cast.elsewhere.people[1]),
    "another organisation's administrator": Role(lambda cast: cast.elsewhere.postmaster),
}


def test_every_address_is_of_something_that_is_there(web, cast, values):
    """What the tests below are refused is there for those whose it is: else they would show nothing."""
    rightful = [(web.as_(one), signed_in(web, one)) for one in (cast.author, cast.firm.postmaster)]
    for rule, method, described in routes(web.app):
        if method != "GET" or is_open(rule, described) or not BY_ID & set(rule.arguments):
            continue
        path = path_of(web.app, rule, values)
        if rule.rule.startswith("/api/"):
            answers = [ask(client, method, path) for client, _ in rightful]
        else:
            answers = [visitor.client.get(path) for _, visitor in rightful]
        for answer in answers:
            # a live view has no end, a file has to be closed
            answer.close()
        assert 200 in {answer.status_code for answer in answers}, (rule.rule, answers)


@pytest.mark.rule(24)
@pytest.mark.parametrize("name", ROLES)
def test_r24_what_is_somebody_elses_does_not_exist(web, cast, values, name):
    """Every route, of API and pages, as everybody whose it is not: no data of it, and nothing of it changes."""
    role = ROLES[name]
    account = role.who(cast)
    client, visitor = web.as_(account), signed_in(web, account)
    token, before = visitor.token(), state_of_things(web, cast, values)
    checked = 0
    for rule, method, described in routes(web.app):
        by_id = bool(role.only & set(rule.arguments))
        if is_open(rule, described) or role.may.fullmatch(rule.rule) or not (by_id or role.lists):
            continue
        path, is_api = path_of(web.app, rule, values), rule.rule.startswith("/api/")
        if is_api:
            answer = ask(client, method, path, naming(rule, values))
        elif method == "GET":
            answer = visitor.client.get(path)
        else:
            answer = visitor.client.post(path, data={"csrf_token": token, **form_naming(values)})
        where = (name, method, rule.rule, answer.status_code)
        if by_id:
            # before its body is looked at: a live view would have no end
            assert answer.status_code in (REFUSED if method == "GET" else REFUSED | REFUSED_CHANGE), where
        assert answer.status_code < 500, where
        assert answer.status_code != 429, where
        assert SECRET not in f"{answer.headers}{answer.get_data(as_text=True)}", where
        answer.close()
        checked += 1
    assert checked > (20 if role.only == PRIVATE else 60)
    # the session lasted to the end, and no notice of any change waits for the next page
    left = visitor.client.get("/settings")
    assert left.status_code == 200
    assert SECRET not in left.get_data(as_text=True)
    assert state_of_things(web, cast, values) == before


def signed_in(web: Gateway, account: Account) -> Visitor:
    visitor = Visitor(web.app)
    assert visitor.sign_in(account.address).status_code == 303
    return visitor


def naming(rule: Rule, values: dict[str, object]) -> dict[str, object]:
    """What names a thing in the body of a request, where its address does not."""
    bodies: dict[str, dict[str, object]] = {
        "/api/v1/recalls": {"message_id": values["copy_id"], "reason": "x"},
        "/api/v1/admin/recall-batches": {"message_ids": [values["message_id"]], "reason": "x"},
    }
    return bodies.get(rule.rule, {})


def form_naming(values: dict[str, object]) -> dict[str, object]:
    """The same for forms of pages, all in one."""
    named = {"message": values["message_id"], "draft_id": values["draft_id"], "address": values["address"]}
    return {**named, "reason": "x"}


def state_of_things(web: Gateway, cast: Cast, values: dict[str, object]) -> dict[str, str]:
    """All things that have an id, as their own people see them."""
    seen = {}
    for account in (cast.author, cast.firm.postmaster):
        client = web.as_(account)
        paths = {
            path_of(web.app, rule, values)
            for rule, method, _ in routes(web.app)
            if method == "GET" and rule.rule.startswith("/api/") and not rule.rule.endswith("/events")
            if BY_ID & set(rule.arguments)
        }
        for path in sorted({*paths, "/api/v1/tokens", "/api/v1/audit-rules", "/api/v1/held"}):
            answer = ask(client, "GET", path)
            if answer.status_code == 200:
                seen[f"{account.address} {path}"] = answer.get_data(as_text=True)
            answer.close()
    return seen


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
