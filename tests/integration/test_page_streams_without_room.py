"""R22 on the pages: where a live view finds no room, or no database, a browser is told when to come back."""

import re

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway.batching import BATCH_WATCH
from services.gateway.watching import WATCH
from tests import company
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway

COME_BACK = "5"
ANY = "7c0f5a1e-6a55-4d1c-9f5e-0d7f2f6b1c11"


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return company.found(databases, people=3)


def streams_under_way(web: Gateway, firm: Company) -> dict[str, str]:
    """The streams of a recall and of a request for one that nobody works on yet, by who may watch each."""
    author, *others = firm.people
    to = {"to": [person.address for person in others], "delay": 0}
    mine, theirs = (web.as_(author).post("/messages", json=to | {"text": "x"}).get_json()["id"] for _ in range(2))
    web.deliver()
    own = web.as_(author).post("/recalls", json={"message_id": mine, "reason": "x"}).get_json()["id"]
    asking = {"message_ids": [theirs - theirs % 2], "reason": "x"}
    batch = web.as_(firm.postmaster).post("/admin/recall-batches", json=asking).get_json()
    recall = batch["messages"][0]["recall"]["id"]
    return {
        f"/recalls/{own}/events": author.address,
        f"/console/recalls/{recall}/events": firm.postmaster.address,
        f"/console/batches/{batch['id']}/events": firm.postmaster.address,
    }


@pytest.mark.rule(22)
def test_r22_where_there_is_no_room_for_one_more_pages_are_told_when_to_come_back(settings, databases, firm):
    web = gateway(settings, databases, gateway_streams=0)
    for path, address in streams_under_way(web, firm).items():
        visitor = Visitor(web.app)
        assert visitor.sign_in(address).status_code == 303
        answer = visitor.get(path)
        assert (answer.status_code, answer.headers.get("Retry-After")) == (503, COME_BACK), path
        # the page itself is there, and asks by itself
        assert visitor.get(path.removesuffix("/events")).status_code == 200


@pytest.mark.rule(22)
def test_r22_whoever_leaves_makes_room_for_the_next(settings, databases, firm):
    web = gateway(settings, databases, gateway_streams=1)
    for path, address in streams_under_way(web, firm).items():
        visitor = Visitor(web.app)
        assert visitor.sign_in(address).status_code == 303
        for _ in range(2):
            first = visitor.client.get(path)
            assert first.status_code == 200, path
            assert visitor.get(path).status_code == 503, path
            first.close()
    for watch in (WATCH, BATCH_WATCH):
        web.app.extensions[watch].stop()


@pytest.mark.rule(22)
def test_r22_while_the_control_database_is_away_pages_are_told_when_to_come_back(settings: Settings):
    nowhere = re.sub(r"@[^/]+/", "@127.0.0.1:1/", settings.control_url)
    broken = settings.model_copy(update={"control_url": nowhere, "connect_timeout": 1.0})
    databases = Databases(broken, "tests-broken")
    visitor = Visitor(gateway(broken, databases).app)
    visitor.client.set_cookie("mailrecall_session", "somebody's")
    answers = {
        path: visitor.get(f"{path}/{ANY}/events") for path in ("/recalls", "/console/recalls", "/console/batches")
    }
    databases.close()
    assert {path: (a.status_code, a.headers.get("Retry-After")) for path, a in answers.items()} == dict.fromkeys(
        answers, (503, COME_BACK)
    )
