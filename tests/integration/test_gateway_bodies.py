"""A body that need not be there counts whenever it is there, in chunks as well, where nothing says how long it is."""

import base64
from io import BytesIO

import pytest

from mailrecall.directory.lookup import Account
from mailrecall.directory.tokens import Scope
from services.gateway.describing import SignIn, description_of
from tests import company
from tests.company import Company
from tests.gateway import Gateway, example_path, gateway, problem


@pytest.fixture(scope="module")
def web(settings, databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases) -> Company:
    return company.found(databases, people=1)


def basic(account: Account) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{account.address}:{company.PASSWORD}".encode()).decode()}


def in_chunks(web: Gateway, path: str, headers, body: bytes):
    # a server that puts chunks together says so: the stream ends by itself
    return web.app.test_client().post(
        path,
        headers={"Transfer-Encoding": "chunked", "Content-Type": "application/json", **headers},
        input_stream=BytesIO(body),
        environ_overrides={"wsgi.input_terminated": True},
    )


def signed_in(web: Gateway, firm: Company, described):
    by_password = described.sign_in is SignIn.PASSWORD
    return basic(firm.postmaster) if by_password else web.as_(firm.postmaster).headers


def test_no_body_is_passed_over_because_it_came_in_chunks(web, firm):
    """Every route that can do without a body, from the route map: what it does not know is refused, none is taken."""
    seen = []
    for rule in web.app.url_map.iter_rules():
        described = description_of(web.app.view_functions[rule.endpoint])
        if described is None or not described.body_may_be_left_out:
            continue
        headers = signed_in(web, firm, described)
        answer = in_chunks(web, example_path(web.app, rule), headers, b'{"nobody knows this": 1}')
        problem(answer, 422, "invalid")
        # none at all is none, however it was sent
        assert in_chunks(web, example_path(web.app, rule), headers, b"").status_code in {201, 404}, rule.rule
        seen.append(rule.rule)
    assert len(seen) >= 6


def test_a_token_has_no_more_rights_than_were_asked_for_in_chunks(web, firm):
    body = b'{"name": "export", "scopes": ["read"]}'
    issued = in_chunks(web, "/api/v1/tokens", basic(firm.people[0]), body).get_json()
    assert issued["scopes"] == [Scope.READ]
    bearing = {"Authorization": f"Bearer {issued['token']}"}
    problem(web.as_nobody().post("/messages", headers=bearing, json={}), 403, "insufficient_scope")
