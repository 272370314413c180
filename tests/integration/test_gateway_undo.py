"""R26 over HTTP: undoing a recall, and what is seen of it."""

from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.company import Company
from tests.gateway import Gateway, gateway, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return companies.found(databases, people=3)


def recalled(web: Gateway, firm: Company) -> str:
    """Send a message to two, recall it, and return the recall's id."""
    author = web.as_(firm.people[0])
    to = [person.address for person in firm.people[1:]]
    sent = author.post("/messages", json={"to": to, "subject": "Figures", "text": "Here they are."}).get_json()
    web.deliver()
    recall = author.post("/recalls", json={"message_id": sent["id"], "reason": "wrong figures"}).get_json()
    web.deliver()
    public_id: str = recall["id"]
    return public_id


@pytest.mark.rule(15, 26)
def test_r15_r26_an_administrator_undoes_a_recall_and_watches(web, firm):
    recall = recalled(web, firm)
    administrator, author = web.as_(firm.postmaster), web.as_(firm.people[0])
    before = administrator.get(f"/recalls/{recall}").get_json()
    assert before["undo"] is None
    assert before["restorable_until"] > before["settled_at"]

    begun = administrator.post(f"/recalls/{recall}/undo", json={"reason": "right after all"})
    again = administrator.post(f"/recalls/{recall}/undo")
    web.deliver()

    assert (begun.status_code, again.status_code) == (202, 200)
    assert begun.headers["Location"] == f"/api/v1/recalls/{recall}"
    assert begun.get_json()["undo"]["state"] == "restoring"
    shown = author.get(f"/recalls/{recall}").get_json()
    assert shown["state"] == "settled"
    assert shown["restorable_until"] is None
    assert {name: shown["undo"][name] for name in ("state", "restored", "gone")} == {
        "state": "restored",
        "restored": 2,
        "gone": 0,
    }
    (listed,) = author.get("/folders/sent/messages?limit=1").get_json()["messages"]
    assert (listed["recall"]["id"], listed["recall"]["undo"]) == (recall, "restored")
    (inbox,) = web.as_(firm.people[1]).get("/folders/inbox/messages").get_json()["messages"]
    assert (inbox["subject"], inbox["unread"]) == ("Figures", True)


@pytest.mark.rule(24, 26)
def test_r24_r26_who_cannot_undo(web, firm, databases):
    recall = recalled(web, firm)
    stranger = companies.found(databases, people=1).postmaster

    problem(web.as_(firm.people[0]).post(f"/recalls/{recall}/undo"), 403, "not_allowed")
    problem(web.as_(firm.people[1]).post(f"/recalls/{recall}/undo"), 404, "not_found")
    problem(web.as_(stranger).post(f"/recalls/{recall}/undo"), 404, "not_found")
    problem(web.as_(firm.postmaster).post(f"/recalls/{recall}/undo", json={"reason": " "}), 422, "invalid")
    with databases.control() as connection:
        connection.execute(
            "UPDATE recall SET settled_at = %s WHERE public_id = %s",
            (clock.now() - timedelta(days=7, seconds=1), recall),
        )
    late = problem(web.as_(firm.postmaster).post(f"/recalls/{recall}/undo"), 409, "retention_over")
    assert late["closed_at"] < clock.now().isoformat()
