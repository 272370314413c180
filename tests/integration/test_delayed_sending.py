"""R28: sending with second thoughts: what waits, what is taken back, and who wins at the last moment."""

import threading
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from mailrecall import clock
from mailrecall.directory import accounts, audit_rules
from mailrecall.domain.audit import Criteria
from mailrecall.domain.copies import message_of
from mailrecall.domain.outcomes import Outcome
from mailrecall.messages import sending
from mailrecall.messages.sending import AlreadySentError
from mailrecall.outbox import store as outbox
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.gateway import outgoing
from services.gateway.problems import Problem
from tests import company, correspondence, dispatch
from tests.company import Company
from tests.gateway import Client, Gateway, gateway, pointers, problem
from tests.locks import until_somebody_waits_for_a_lock


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture
def firm(databases: Databases) -> Iterator[Company]:
    yield company.found(databases)
    with databases.control() as connection:  # what one test leaves waiting is no other's business
        connection.execute("DELETE FROM outbox")


@pytest.fixture
def client(web: Gateway, firm: Company) -> Client:
    return web.as_(firm.people[0])


def subjects(client: Client, folder: str) -> list[str]:
    return [message["subject"] for message in client.get(f"/folders/{folder}/messages").get_json()["messages"]]


def deliver(web: Gateway, *, at: datetime | None = None) -> None:
    """Do all work that is due at a moment."""
    dispatch.run(Process(web.process.settings, web.databases), now=at)


def send(client: Client, firm: Company, *, delay: int = 30, subject: str = "Plans") -> dict[str, Any]:
    message = {"to": [firm.people[1].address], "subject": subject, "text": "Hello", "delay": delay}
    answer = client.post("/messages", json=message)
    assert answer.status_code == 202
    sent: dict[str, Any] = answer.get_json()
    return sent


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def exists(databases: Databases, copy_id: int) -> bool:
    with databases.control() as connection:
        row = connection.execute("SELECT count(*) FROM message WHERE id = %s", (message_of(copy_id),)).fetchone()
    return row == (1,)


@pytest.mark.rule(28)
def test_r28_everybody_has_ten_seconds_until_they_choose(web, databases, client, firm):
    with databases.control() as connection:
        new = accounts.add_account(connection, accounts.NewAccount(address=firm.address("new")))
    newcomer = web.as_(new)
    assert newcomer.get("/account/sending").get_json() == {"delay": 10}
    sent = newcomer.post("/messages", json={"to": [firm.people[1].address]}).get_json()
    assert moment(sent["sends_at"]) - moment(sent["accepted_at"]) == timedelta(seconds=10)
    for delay in (0, 60):
        assert newcomer.put("/account/sending", json={"delay": delay}).get_json() == {"delay": delay}
        assert newcomer.get("/account/sending").get_json() == {"delay": delay}
        sent = newcomer.post("/messages", json={"to": [firm.people[1].address]}).get_json()
        assert moment(sent["sends_at"]) - moment(sent["accepted_at"]) == timedelta(seconds=delay)
        assert (sent["sending"] is None) == (delay == 0)
    for wrong in (61, -1, 1.5, "10", None, True):
        body = {"delay": wrong}
        if wrong != "10":  # digits as text are taken everywhere
            assert pointers(problem(client.put("/account/sending", json=body), 422, "invalid")) == {"#/delay"}
            if wrong is not None:
                message = {"to": [firm.people[1].address], **body}
                assert pointers(problem(client.post("/messages", json=message), 422, "invalid")) == {"#/delay"}


@pytest.mark.rule(3, 28)
def test_r3_r28_a_message_waits_in_drafts_and_goes_out_at_its_moment(web, client, firm):
    sent = send(client, firm)
    assert sent["sending"] == f"/api/v1/messages/{sent['id']}/sending"
    goes_out = moment(sent["sends_at"])
    assert goes_out - moment(sent["accepted_at"]) == timedelta(seconds=30)

    deliver(web, at=goes_out - timedelta(microseconds=1))

    assert (subjects(client, "drafts"), subjects(client, "sent")) == (["Plans"], [])
    assert client.get(f"/drafts/{sent['id']}").get_json()["being_sent"]
    problem(client.put(f"/drafts/{sent['id']}", json={}, headers={"If-Match": "*"}), 409, "being_sent")
    recipient = web.as_(firm.people[1])
    assert subjects(recipient, "inbox") == []

    deliver(web, at=goes_out)

    assert (subjects(client, "drafts"), subjects(client, "sent")) == ([], ["Plans"])
    got = recipient.get(f"/messages/{sent['id'] - 1}").get_json()
    assert (got["text"].strip(), got["accepted_at"]) == ("Hello", sent["accepted_at"])


@pytest.mark.rule(28)
def test_r28_what_is_taken_back_is_a_draft_again_and_never_appears(web, databases, client, firm):
    sent = send(client, firm)

    back = client.delete(sent["sending"].removeprefix("/api/v1"))

    assert back.status_code == 200
    assert (back.get_json()["id"], back.get_json()["text"], back.get_json()["being_sent"]) == (
        sent["id"],
        "Hello",
        False,
    )
    assert back.headers["ETag"]
    assert not exists(databases, sent["id"])
    deliver(web, at=clock.now() + timedelta(minutes=2))
    assert subjects(client, "drafts") == ["Plans"]
    assert subjects(client, "sent") == subjects(web.as_(firm.people[1]), "inbox") == []
    problem(client.delete(f"/messages/{sent['id']}/sending"), 404, "not_found")
    problem(client.post("/recalls", json={"message_id": sent["id"], "reason": "too"}), 404, "not_found")

    better = {"to": [firm.people[1].address], "subject": "Better plans"}
    client.put(f"/drafts/{sent['id']}", json=better, headers={"If-Match": back.headers["ETag"]})
    again = client.post(f"/drafts/{sent['id']}/send", json={"delay": 0})
    assert (again.status_code, again.get_json()["id"]) == (202, sent["id"])
    web.deliver()
    assert subjects(web.as_(firm.people[1]), "inbox") == ["Better plans"]
    assert (subjects(client, "drafts"), subjects(client, "sent")) == ([], ["Better plans"])


@pytest.mark.rule(28)
def test_r28_a_draft_and_a_form_wait_as_well(web, client, firm):
    draft = client.post("/drafts", json={"to": [firm.people[1].address], "subject": "Draft"}).get_json()
    sent = client.post(f"/drafts/{draft['id']}/send", json={"delay": 20}).get_json()
    filled = {"to": firm.people[1].address, "subject": "Form", "delay": "20"}
    form = client.post("/messages", data=filled, content_type="multipart/form-data").get_json()
    deliver(web)
    assert sorted(subjects(client, "drafts")) == ["Draft", "Form"]
    for waiting in (sent, form):
        assert client.delete(waiting["sending"].removeprefix("/api/v1")).status_code == 200
    deliver(web, at=clock.now() + timedelta(minutes=2))
    assert sorted(subjects(client, "drafts")) == ["Draft", "Form"]


@pytest.mark.rule(28)
@pytest.mark.parametrize("delay", [0, 30])
def test_r28_from_its_moment_on_a_message_is_on_its_way(web, databases, client, firm, delay):
    sent = send(client, firm, delay=delay)
    with pytest.raises(Problem, match="already_sent"):
        outgoing.take_back(web.process, firm.people[0], sent["id"], now=moment(sent["sends_at"]))
    assert exists(databases, sent["id"])
    deliver(web, at=moment(sent["sends_at"]))
    problem(client.delete(f"/messages/{sent['id']}/sending"), 409, "already_sent")
    assert subjects(web.as_(firm.people[1]), "inbox") == ["Plans"]


@pytest.mark.rule(28)
@pytest.mark.parametrize("first", ["relay", "author"])
def test_r28_between_the_relay_and_its_author_the_outboxs_rows_decide(databases, client, firm, settings, first):
    """The relay's clock runs ahead, so that both come before the moment."""
    sent = send(client, firm)
    ahead = moment(sent["sends_at"])
    author, message_id = firm.people[0], message_of(sent["id"])
    outcome: list[str] = []

    def take_back(connection: psycopg.Connection[Any]) -> None:
        outcome.append("taken" if sending.take_back(connection, message_id, author.id, now=clock.now()) else "unknown")

    def author_comes_second() -> None:
        try:
            with databases.control() as connection:
                take_back(connection)
        except AlreadySentError:
            outcome.append("too late")

    if first == "relay":
        with databases.control() as connection:
            assert len(outbox.take_due(connection, now=ahead, limit=10)) == 2
            waiting = threading.Thread(target=author_comes_second)
            waiting.start()
            until_somebody_waits_for_a_lock(settings)
        waiting.join(timeout=60)
    else:
        with databases.control() as connection:
            take_back(connection)
            with databases.control() as relay:
                assert outbox.take_due(relay, now=ahead, limit=10) == []

    assert outcome == ["too late" if first == "relay" else "taken"]
    assert exists(databases, sent["id"]) == (first == "relay")


@pytest.mark.rule(15, 16, 28)
def test_r15_r16_r28_what_is_recalled_while_it_waits_goes_to_nobody(web, databases, client, firm):
    elsewhere = company.found(databases, people=1).people[0]
    message = {"to": [firm.people[1].address, elsewhere.address], "subject": "Plans", "delay": 30}
    sent = client.post("/messages", json=message).get_json()
    assert client.post("/recalls", json={"message_id": sent["id"], "reason": "too fast"}).status_code == 202

    problem(client.delete(f"/messages/{sent['id']}/sending"), 409, "already_sent")
    deliver(web)
    deliver(web, at=moment(sent["sends_at"]) + timedelta(minutes=1))

    for person in (firm.people[1], elsewhere):
        assert not correspondence.has_copy(databases, person, message_of(sent["id"]))
    with databases.control() as connection:
        ((recall_id,),) = connection.execute(
            "SELECT id FROM recall WHERE message_id = %s", (message_of(sent["id"]),)
        ).fetchall()
    assert correspondence.ledger(databases, recall_id).counts == {Outcome.RECALLED: 2}
    (own,) = client.get("/folders/sent/messages").get_json()["messages"]
    assert own["recall"]["state"] == "settled"


@pytest.mark.rule(28, 30)
def test_r28_r30_a_moderator_sees_what_its_author_can_no_longer_take_back(web, databases, client, firm):
    with databases.control() as connection:
        audit_rules.add_rule(connection, firm.organisation_id, "Plans", Criteria(keyword="plans"))
    kept, taken = send(client, firm), send(client, firm)
    moderator = web.as_(firm.postmaster)
    assert moderator.get("/held").get_json()["messages"] == []
    problem(moderator.post(f"/held/{message_of(kept['id'])}/release"), 404, "not_found")

    assert client.delete(taken["sending"].removeprefix("/api/v1")).status_code == 200
    with databases.control() as connection:
        connection.execute("UPDATE sending SET due_at = %s", (clock.now(),))

    (listed,) = moderator.get("/held").get_json()["messages"]
    assert listed["id"] == message_of(kept["id"])
    assert moderator.post(f"/held/{listed['id']}/release").status_code == 204
    deliver(web, at=moment(kept["sends_at"]))
    assert subjects(web.as_(firm.people[1]), "inbox") == ["Plans"]


def test_only_its_author_takes_a_message_back(web, databases, client, firm):
    sent = send(client, firm)
    for other in (firm.people[1], firm.postmaster):
        problem(web.as_(other).delete(f"/messages/{sent['id']}/sending"), 404, "not_found")
    problem(client.delete(f"/messages/{message_of(sent['id'])}/sending"), 404, "not_found")
    assert exists(databases, sent["id"])


def test_a_draft_moved_away_while_it_waits_comes_back_and_one_thrown_away_does_not(web, client, firm):
    moved, thrown = send(client, firm, subject="Moved"), send(client, firm, subject="Thrown")
    client.patch(f"/messages/{moved['id']}", json={"folder": "trash"})
    client.delete(f"/messages/{thrown['id']}?permanent=true")

    assert client.delete(f"/messages/{moved['id']}/sending").status_code == 200
    assert client.delete(f"/messages/{thrown['id']}/sending").status_code == 204

    assert (subjects(client, "drafts"), subjects(client, "trash")) == (["Moved"], [])
    deliver(web, at=clock.now() + timedelta(minutes=2))
    assert subjects(web.as_(firm.people[1]), "inbox") == []


def test_what_is_thrown_away_while_it_waits_is_sent_all_the_same(web, client, firm):
    sent = send(client, firm)
    client.delete(f"/messages/{sent['id']}?permanent=true")
    deliver(web, at=moment(sent["sends_at"]))
    assert subjects(web.as_(firm.people[1]), "inbox") == ["Plans"]
    assert subjects(client, "sent") == ["Plans"]


def test_a_message_that_cannot_be_sent_leaves_no_draft(client, firm):
    message = {"to": [f"nobody@{firm.domain}"], "delay": 30}
    problem(client.post("/messages", json=message), 422, "recipients_refused")
    assert subjects(client, "drafts") == []
