"""R30: mail that waits for a moderator: what holds it, who decides, and what a recall does to it."""

import threading
from collections.abc import Callable
from datetime import timedelta
from email import message_from_bytes, policy
from typing import Any

import psycopg
import pytest

from mailrecall import clock
from mailrecall.directory import audit_rules
from mailrecall.directory.lookup import Account
from mailrecall.domain.audit import Criteria
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Channel, Result
from mailrecall.messages import holding
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.gateway import Gateway, gateway, pointers, problem
from tests.locks import until_somebody_waits_for_a_lock


@pytest.fixture(scope="module")
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 3, "smarthost": "mail.elsewhere.example:25"}), databases)


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases, smarthost="mail.elsewhere.example:25")


def firm_with_rule(databases: Databases, criteria: Criteria, people: int = 4) -> company.Company:
    firm = company.found(databases, people=people)
    with databases.control() as connection:
        audit_rules.add_rule(connection, firm.organisation_id, "A rule", criteria)
    return firm


def hold_of(databases: Databases, message_id: int) -> str | None:
    with databases.control() as connection:
        row = connection.execute("SELECT hold FROM message WHERE id = %s", (message_id,)).fetchone()
    assert row is not None
    found: str | None = row[0]
    return found


def inbox(web: Gateway, who: Account) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = web.as_(who).get("/folders/inbox/messages").get_json()["messages"]
    return found


@pytest.mark.rule(30)
def test_r30_what_meets_a_rule_waits_and_is_delivered_once_released(web, databases, process):
    firm = firm_with_rule(databases, Criteria(keyword="the contract"))
    author, recipient, moderator, stranger = firm.people
    with databases.control() as connection:
        audit_rules.set_moderator(connection, moderator.id, moderator=True)
    sent = (
        web.as_(author)
        .post(
            "/messages",
            json={
                "to": [recipient.address],
                "bcc": [stranger.address],
                "subject": "News",
                "html": "<p>here is <b>The</b>\ncontract</p>",
                "attachments": [{"filename": "c.txt", "content": "NDIK"}],
            },
        )
        .get_json()
    )
    passing = web.as_(author).post("/messages", json={"to": [recipient.address], "subject": "Harmless"})
    assert passing.status_code == 202
    web.deliver()

    assert [message["subject"] for message in inbox(web, recipient)] == ["Harmless"]
    assert inbox(web, stranger) == []
    assert web.as_(author).get(f"/messages/{sent['id']}").get_json()["folder"] == "sent"
    client = web.as_(moderator)
    (listed,) = client.get("/held").get_json()["messages"]
    assert (listed["subject"], listed["rule"], listed["accepted_at"]) == ("News", "A rule", sent["accepted_at"])
    shown = client.get(listed["link"].removeprefix("/api/v1")).get_json()
    assert shown["recipients"] == [recipient.address, stranger.address]
    assert "contract" in shown["html"]
    assert [attachment["filename"] for attachment in shown["attachments"]] == ["c.txt"]

    assert client.post(f"/held/{listed['id']}/release").status_code == 204
    web.deliver()

    (_, arrived) = sorted(inbox(web, recipient), key=lambda message: message["subject"])
    assert (arrived["subject"], arrived["accepted_at"]) == ("News", sent["accepted_at"])
    assert len(inbox(web, stranger)) == 1
    assert client.get("/held").get_json()["messages"] == []
    assert problem(client.post(f"/held/{listed['id']}/release"), 409, "not_held")["hold"] == "released"
    assert problem(client.post(f"/held/{listed['id']}/reject", json={"reason": "no"}), 409, "not_held")
    with databases.control() as connection:
        assert connection.execute("SELECT deliveries_left FROM message WHERE id = %s", (listed["id"],)).fetchone() == (
            0,
        )


@pytest.mark.rule(30)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_r30_what_is_rejected_reaches_nobody_and_its_sender_learns_why(web, databases, language):
    firm = firm_with_rule(databases, Criteria(sender=f"@{company.unique_domain()}"))
    author = company.hire(databases, f"author@{firm.domain}", language=language)
    with databases.control() as connection:
        audit_rules.add_rule(connection, firm.organisation_id, "Author", Criteria(sender=author.address))
    web.as_(author).post("/messages", json={"to": [firm.people[0].address], "subject": "Schädlich"})
    client = web.as_(firm.postmaster)
    (listed,) = client.get("/held").get_json()["messages"]
    assert listed["rule"] == "Author"

    assert client.post(f"/held/{listed['id']}/reject", json={"reason": "Not like this: 不行"}).status_code == 204
    problem(client.post(f"/held/{listed['id']}/reject", json={"reason": "again"}), 409, "not_held")
    problem(client.post(f"/held/{listed['id']}/release"), 409, "not_held")
    web.deliver()

    assert inbox(web, firm.people[0]) == []
    (notice,) = inbox(web, author)
    told = message_from_bytes(web.as_(author).get(f"/messages/{notice['id']}/source").data, policy=policy.default)
    assert told["Auto-Submitted"] == "auto-generated"
    assert "Not like this: 不行" in told.get_content()
    assert "Schädlich" in told.get_content()
    assert ("审核员" in told.get_content()) == (language == "zh")
    with databases.control() as connection:
        left = connection.execute(
            "SELECT count(*) FROM message_content WHERE message_id = %s", (listed["id"],)
        ).fetchone()
    assert left == (0,)


@pytest.mark.rule(16, 30)
def test_r16_r30_recalling_what_is_held_cancels_it_for_everyone(databases, process):
    firm = firm_with_rule(databases, Criteria(external=True), people=6)
    partner = company.found(databases, people=1)
    sender, *others = firm.people
    team = company.group(databases, f"team@{firm.domain}", others)
    message_id = correspondence.send(databases, sender, team, partner.people[0], "friend@elsewhere.example")
    assert hold_of(databases, message_id) == "held"
    dispatch.run(process)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)

    with databases.control() as connection:
        assert not holding.release(connection, message_id, moderator=firm.postmaster.id, now=clock.now())
        assert not holding.reject(connection, message_id, moderator=firm.postmaster.id, reason="x", now=clock.now())
    dispatch.run(process)

    assert hold_of(databases, message_id) == "cancelled"
    # the one of another organisation too: out of a recall's scope elsewhere, but this never left the house
    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 6}
    with databases.control() as connection:
        view = views.get(connection, asked.recall.id)
        waiting = connection.execute(
            "SELECT count(*) FROM outbox WHERE (args ->> 'message_id')::bigint = %s", (message_id,)
        ).fetchone()
    assert view is not None
    assert view.result is Result.SUCCEEDED
    assert view.tally.as_slugs() == {"recalled": 6, "external": 1}
    assert waiting == (0,)
    assert not any(correspondence.has_copy(databases, who, message_id) for who in [*others, partner.people[0]])
    assert correspondence.has_copy(databases, sender, message_id + 1)


@pytest.mark.rule(26, 30)
def test_r26_r30_there_is_nothing_to_restore_of_what_a_moderator_rejected(web, databases, process):
    firm = firm_with_rule(databases, Criteria(keyword="the contract"))
    author, recipient, *_ = firm.people
    sent = web.as_(author).post("/messages", json={"to": [recipient.address], "text": "the contract", "delay": 0})
    message_id = sent.get_json()["id"] - 1
    assert hold_of(databases, message_id) == "held"
    rejection = web.as_(firm.postmaster).post(f"/held/{message_id}/reject", json={"reason": "Not like this"})
    assert rejection.status_code == 204
    recall = web.as_(author).post("/recalls", json={"message_id": message_id, "reason": "x"}).get_json()
    dispatch.run(process)

    problem(web.as_(firm.postmaster).post(f"/recalls/{recall['id']}/undo"), 409, "nothing_to_restore")


@pytest.mark.rule(9, 16, 30)
def test_r9_r16_r30_a_shard_that_does_not_answer_changes_nothing_about_what_was_cancelled(databases, process):
    firm = firm_with_rule(databases, Criteria(keyword="minutes"), people=3)
    partner = company.found(databases, people=1)
    message_id = correspondence.send(databases, firm.people[0], *firm.people[1:], partner.people[0])
    start = clock.now()
    asked = correspondence.ask(databases, firm.people[0], message_id, now=start, deadline=timedelta(minutes=1))
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)

    reconcile(process, now=start + timedelta(minutes=1, seconds=process.settings.statement_timeout + 1))
    dispatch.run(process, Task.SETTLE, now=clock.now() + timedelta(minutes=3))

    with databases.control() as connection:
        view = views.get(connection, asked.recall.id)
    assert view is not None
    assert (view.tally.as_slugs(), view.result) == ({"recalled": 3}, Result.SUCCEEDED)
    dispatch.run(process, now=clock.now() + timedelta(minutes=3))
    assert not any(correspondence.has_copy(databases, who, message_id) for who in [*firm.people[1:], *partner.people])
    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 3}


@pytest.mark.rule(30)
def test_r30_a_released_message_is_recalled_like_any_other(databases, process):
    firm = firm_with_rule(databases, Criteria(group_size=2))
    sender, *others = firm.people
    team = company.group(databases, f"team@{firm.domain}", others)
    message_id = correspondence.send(databases, sender, team)
    with databases.control() as connection:
        assert holding.release(connection, message_id, moderator=firm.postmaster.id, now=clock.now())
    dispatch.run(process)
    assert all(correspondence.has_copy(databases, who, message_id) for who in others)

    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process)

    assert correspondence.ledger(databases, asked.recall.id).counts == {Outcome.RECALLED: 3}


@pytest.mark.rule(16, 30)
@pytest.mark.parametrize("first", ["release", "recall"])
def test_r16_r30_release_and_recall_at_once_are_decided_by_the_messages_row(databases, process, first):
    firm = firm_with_rule(databases, Criteria(keyword="minutes"), people=2)
    sender, recipient = firm.people
    message_id = correspondence.send(databases, sender, recipient)
    released: list[bool] = []
    asked: list[object] = []

    def release(connection: psycopg.Connection[Any]) -> None:
        released.append(holding.release(connection, message_id, moderator=firm.postmaster.id, now=clock.now()))

    def recall(connection: psycopg.Connection[Any]) -> None:
        asked.append(correspondence.ask_on(connection, sender, message_id))

    one, two = (release, recall) if first == "release" else (recall, release)

    def second() -> None:
        with databases.control() as connection:
            two(connection)

    with databases.control() as connection:
        one(connection)
        waiting = threading.Thread(target=second)
        waiting.start()
        until_somebody_waits_for_a_lock(process.settings)
    waiting.join(timeout=60)

    (found,) = asked
    assert isinstance(found, Requested)
    assert released == [first == "release"]
    assert hold_of(databases, message_id) == ("released" if first == "release" else "cancelled")
    dispatch.run(process)
    assert not correspondence.has_copy(databases, recipient, message_id)
    assert correspondence.ledger(databases, found.recall.id).of(recipient) is Outcome.RECALLED


@pytest.mark.rule(30)
@pytest.mark.parametrize(
    ("criteria", "size", "outside", "held"),
    [
        (Criteria(group_size=3), 3, False, True),
        (Criteria(group_size=4), 3, False, False),
        (Criteria(external=True), 3, True, True),
        (Criteria(external=True), 3, False, False),
    ],
)
def test_r30_groups_count_with_all_they_lead_to(databases, criteria, size, outside, held):
    firm = firm_with_rule(databases, criteria, people=size + 1)
    sender, *others = firm.people
    inner = company.group(databases, f"inner@{firm.domain}", others[1:])
    friend = ["friend@elsewhere.example"] if outside else []
    outer = company.group(databases, f"outer@{firm.domain}", [inner, others[0], others[1], *friend])

    message_id = correspondence.send(databases, sender, outer)

    assert hold_of(databases, message_id) == ("held" if held else None)


@pytest.mark.rule(30)
def test_r30_rules_are_for_what_people_of_the_organisation_send(databases):
    firm = firm_with_rule(databases, Criteria(keyword="minutes"))
    other = company.found(databases, people=1)
    inside = correspondence.send(databases, firm.people[0], firm.people[1], channel=Channel.SUBMISSION)
    from_elsewhere = correspondence.accept(
        databases, b"Subject: Minutes\r\n\r\n", firm.people[0], envelope_sender="a@elsewhere.example"
    )
    from_others = correspondence.send(databases, other.people[0], firm.people[1])

    assert [hold_of(databases, found) for found in (inside, from_elsewhere, from_others)] == ["held", None, None]


@pytest.mark.rule(24, 30)
def test_r24_r30_who_is_no_moderator_here_sees_and_decides_nothing(web, databases):
    firm = firm_with_rule(databases, Criteria(keyword="minutes"))
    elsewhere = company.found(databases)
    message_id = correspondence.send(databases, firm.people[0], firm.people[1])
    ways: list[Callable[[Any], Any]] = [
        lambda client: client.get(f"/held/{message_id}"),
        lambda client: client.post(f"/held/{message_id}/release"),
        lambda client: client.post(f"/held/{message_id}/reject", json={"reason": "no"}),
    ]
    for way in [*ways, lambda client: client.get("/held"), lambda client: client.get("/audit-rules")]:
        problem(way(web.as_(firm.people[1])), 403, "not_allowed")
    for way in ways:
        problem(way(web.as_(elsewhere.postmaster)), 404, "not_found")
    assert web.as_(elsewhere.postmaster).get("/held").get_json()["messages"] == []
    assert hold_of(databases, message_id) == "held"


@pytest.mark.rule(30)
def test_r30_rules_are_added_listed_and_removed_by_administrators(web, databases):
    firm = company.found(databases)
    client = web.as_(firm.postmaster)
    added = client.post("/audit-rules", json={"name": "Big", "group_size": 500, "sender": f"@{firm.domain.upper()}"})
    assert added.status_code == 201
    rule = added.get_json()
    assert (rule["group_size"], rule["sender"], rule["keyword"], rule["external"]) == (
        500,
        f"@{firm.domain}",
        None,
        False,
    )
    assert client.get("/audit-rules").get_json()["rules"] == [rule]
    assert web.as_(company.found(databases).postmaster).get("/audit-rules").get_json()["rules"] == []
    path = rule["link"].removeprefix("/api/v1")
    problem(web.as_(company.found(databases).postmaster).delete(path), 404, "not_found")
    assert client.delete(path).status_code == 204
    problem(client.delete(path), 404, "not_found")
    assert client.get("/audit-rules").get_json()["rules"] == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "Nothing"}, {"#"}),
        ({"keyword": "x"}, {"#/name"}),
        ({"name": "x", "group_size": 0}, {"#/group_size"}),
        ({"name": "x", "sender": "nonsense"}, {"#/sender"}),
        ({"name": "x", "sender": "@"}, {"#/sender"}),
        ({"name": "x", "keyword": "y" * 201}, {"#/keyword"}),
        ({"name": "x", "external": "yes"}, {"#/external"}),
        ({"name": "Taken", "keyword": "y"}, {"#/name"}),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(web, databases, body, fields):
    firm = company.found(databases, people=1)
    client = web.as_(firm.postmaster)
    client.post("/audit-rules", json={"name": "Taken", "keyword": "x"})
    assert pointers(problem(client.post("/audit-rules", json=body), 422, "invalid")) == fields
    assert len(client.get("/audit-rules").get_json()["rules"]) == 1


def test_held_mail_comes_in_pages_the_longest_waiting_first(web, databases):
    firm = firm_with_rule(databases, Criteria(keyword="minutes"))
    waiting = [correspondence.send(databases, firm.people[0], firm.people[1]) for _ in range(5)]
    client = web.as_(firm.postmaster)
    path: str | None = "/held?limit=2"
    found: list[int] = []
    while path:
        page = client.get(path).get_json()
        found += [message["id"] for message in page["messages"]]
        path = f"/held?limit=2&cursor={page['next_cursor']}" if page["next_cursor"] else None
    assert found == waiting
