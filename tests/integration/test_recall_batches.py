"""R21: recalls of many messages in one request."""

import threading
from datetime import timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from mailrecall import clock
from mailrecall.audit import verification
from mailrecall.domain.copies import Fact
from mailrecall.domain.recalls import Channel
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.batches import RETRY
from mailrecall.settings import Settings
from services.gateway.batching import BatchWatch
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.gateway import Gateway, gateway, pointers, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases, batch_size=3)


def ask(web, administrator, message_ids, reason="sent by mistake", headers=None, **changes) -> Any:
    body = {"message_ids": message_ids, "reason": reason, **changes}
    return web.as_(administrator).post("/admin/recall-batches", json=body, headers=headers or {})


def shown(web, administrator, link) -> Any:
    answer = web.as_(administrator).get(link.removeprefix("/api/v1"))
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def recalls(databases: Databases) -> int:
    with databases.control() as control:
        row = control.execute("SELECT count(*) FROM recall").fetchone()
    assert row is not None
    found: int = row[0]
    return found


@pytest.mark.rule(10, 12, 21, 24)
def test_r10_r12_r21_r24_each_message_has_its_own_result(web, databases):
    firm, other = company.found(databases, people=4), company.found(databases, people=2)
    sender, reader, *rest = firm.people
    good = [correspondence.send(databases, sender, reader, *rest) for _ in range(3)]
    old = correspondence.send(databases, sender, reader, now=clock.now() - timedelta(days=8))
    by_program = correspondence.send(databases, sender, reader, channel=Channel.SUBMISSION)
    outside_only = correspondence.send(databases, sender, "someone@elsewhere.example")
    theirs = correspondence.send(databases, *other.people)
    from_outside = dispatch.send(databases, None, [correspondence.addressee(reader)], channel=Channel.LMTP)
    web.deliver()
    correspondence.happen(databases, reader, good[1], Fact.READ)
    earlier = correspondence.recalled(web.process, sender, good[2])

    asked = [good[0], old, by_program, good[1] | 1, outside_only, theirs, from_outside, 10**9, good[2], good[0]]
    answer = ask(web, firm.postmaster, asked)

    assert answer.status_code == 202, answer.get_data(as_text=True)
    batch = answer.get_json()
    assert answer.headers["Location"] == batch["link"]
    results = {item["message_id"]: item["refusal"] or item["recall"]["state"] for item in batch["messages"]}
    assert results == {
        good[0]: "accepted",
        old: "window_expired",
        by_program: "not_sent_from_webmail",
        good[1]: "accepted",
        outside_only: "no_local_recipients",
        theirs: "not_found",
        from_outside: "not_in_organisation",
        10**9: "not_found",
        good[2]: "settled",
    }
    by_message = {item["message_id"]: item for item in batch["messages"]}
    assert by_message[good[2]]["recall"]["id"] == str(earlier.public_id)
    assert by_message[old]["closed_at"]
    assert (by_message[theirs]["subject"], by_message[good[0]]["subject"]) == (None, "Minutes")
    assert (batch["state"], batch["approval"], batch["copies"]) == ("running", None, 6)

    web.deliver()
    done = shown(web, firm.postmaster, batch["link"])
    assert done["state"] == "settled"
    assert done["progress"] == {
        "messages": 9,
        "accepted": 3,
        "refused": 6,
        "waiting": 0,
        "settled": 3,
        "results": {"succeeded": 2, "partial": 1, "failed": 0},
        "recipients": 9,
        "done": 9,
        "outcomes": {"recalled": 8, "already_read": 1},
    }
    for person in (reader, *rest):
        assert not correspondence.has_copy(databases, person, good[0])
    with databases.control() as control:
        assert verification.verify(control, firm.organisation_id).sound


@pytest.mark.rule(21)
def test_r21_a_thousand_messages_in_one_request(web, databases):
    firm = company.found(databases, people=3)
    with databases.control() as control:
        # as many as that by the front door would take the test's whole time
        first = correspondence.send(databases, firm.people[0], firm.people[1])
        ids = [row[0] for row in control.execute("SELECT nextval('message_id') FROM generate_series(1, 999)")]
        columns = (
            "organisation_id, sender_account_id, envelope_sender, channel, accepted_at, size, from_header, to_header,"
            " subject, preview, attachments, expanded_at, deliveries_left"
        )
        control.execute(
            f"INSERT INTO message (id, {columns}) SELECT i, {columns.replace('expanded_at', 'accepted_at')}"
            " FROM message, unnest(%s::bigint[]) AS i WHERE id = %s",
            (ids, first),
        )
        control.execute(
            "INSERT INTO delivery_batch (message_id, batch, shard, mailbox_ids, via, kinship)"
            " SELECT i, 1, %s, ARRAY[%s::int], ARRAY[0::smallint], ARRAY[0::smallint] FROM unnest(%s::bigint[]) AS i",
            (firm.people[1].shard, firm.people[1].id, ids),
        )
    answer = ask(web, firm.postmaster, [first, *ids])
    assert answer.status_code == 202
    batch = answer.get_json()
    assert len({item["recall"]["id"] for item in batch["messages"]}) == 1000
    assert (batch["progress"]["accepted"], batch["copies"]) == (1000, 1000)
    with databases.control() as control:
        row = control.execute("SELECT count(*) FROM outbox WHERE task = %s", (Task.PLAN,)).fetchone()
        assert row is not None
        assert row[0] == 1000
        control.execute("DELETE FROM outbox WHERE task = %s", (Task.PLAN,))
    seen = []
    link = batch["link"].removeprefix("/api/v1") + "/messages?limit=200"
    while link:
        page = web.as_(firm.postmaster).get(link)
        seen += [item["message_id"] for item in page.get_json()["messages"]]
        link = page.headers.get("Link", "").partition(">")[0].removeprefix("</api/v1")
    assert seen == [first, *ids]


@pytest.mark.rule(21)
@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"#/message_ids", "#/reason"}),
        ({"message_ids": [], "reason": "x"}, {"#/message_ids"}),
        ({"message_ids": list(range(2, 2004, 2)), "reason": "x"}, {"#/message_ids"}),
        ({"message_ids": ["two"], "reason": "x"}, {"#/message_ids/0"}),
        ({"message_ids": [2], "reason": " "}, {"#/reason"}),
        ({"message_ids": [2], "reason": "x", "only_unread": "yes"}, {"#/only_unread"}),
        ({"message_ids": [2], "reason": "x", "force": True}, {"#/force"}),
    ],
)
def test_r21_a_batch_that_makes_no_sense_starts_nothing(web, databases, body, fields, pair):
    before = recalls(databases)
    answer = web.as_(pair.postmaster).post("/admin/recall-batches", json=body)
    assert pointers(problem(answer, 422, "invalid")) == fields
    assert recalls(databases) == before


@pytest.fixture(scope="module")
def pair(databases: Databases) -> company.Company:
    return company.found(databases, people=2)


@pytest.mark.rule(21)
def test_r21_a_request_under_a_key_is_made_once(web, databases, pair):
    first, second = (correspondence.send(databases, *pair.people) for _ in range(2))
    key = {"Idempotency-Key": uuid4().hex}
    made = ask(web, pair.postmaster, [first], headers=key)
    again = ask(web, pair.postmaster, [first], headers=key)
    assert made.status_code == again.status_code == 202
    assert made.get_json() == again.get_json()
    problem(ask(web, pair.postmaster, [first, second], headers=key), 422, "key_reused")
    # without one, or under another, it is a request of its own for the same recall (R12)
    other = ask(web, pair.postmaster, [first])
    assert other.status_code == 202
    assert other.get_json()["id"] != made.get_json()["id"]
    assert other.get_json()["messages"][0]["recall"]["id"] == made.get_json()["messages"][0]["recall"]["id"]
    long_key = {"Idempotency-Key": "x" * 256}
    problem(ask(web, pair.postmaster, [first], headers=long_key), 422, "invalid")


@pytest.mark.rule(12, 21)
def test_r12_r21_requests_at_the_same_moment_begin_each_recall_once(web, databases):
    firm = company.found(databases, people=2)
    sent = [correspondence.send(databases, *firm.people) for _ in range(20)]
    second = company.hire(databases, f"second@{firm.domain}", administrator=True)
    answers: list[Any] = []
    key = {"Idempotency-Key": uuid4().hex}

    def press(who, order, headers):
        answers.append(ask(web, who, order, headers=headers))

    threads = [
        threading.Thread(target=press, args=arguments)
        for arguments in (
            (firm.postmaster, sent, key),
            (firm.postmaster, sent, key),
            (second, sent[::-1], {}),
            (second, sent, {}),
        )
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # of two under one key, the second may be told to ask again
    assert {answer.status_code for answer in answers} <= {202, 409}
    answers = [answer for answer in answers if answer.status_code == 202]
    assert len(answers) >= 3
    web.deliver()
    # a message that another request was just beginning to recall counts as busy, and comes later
    dispatch.run(web.process, now=clock.now() + RETRY)
    with databases.control() as control:
        rows = control.execute(
            "SELECT count(*), count(DISTINCT message_id), count(*) FILTER (WHERE state = 'settled')"
            " FROM recall WHERE message_id = ANY (%s)",
            (sent,),
        ).fetchall()
        kept = control.execute(
            "SELECT count(*) FROM recall_request WHERE requested_by = %s", (firm.postmaster.id,)
        ).fetchall()
    with databases.control() as control:
        assert verification.verify(control, firm.organisation_id).sound
    assert rows == [(20, 20, 20)]
    assert kept == [(1,)]
    for answer in answers:
        found = shown(web, firm.postmaster, answer.get_json()["link"])
        assert (found["state"], found["progress"]["accepted"]) == ("settled", 20)


@pytest.mark.rule(16, 21)
def test_r16_r21_a_message_that_is_being_delivered_comes_later_and_holds_up_no_other(web, databases):
    firm = company.found(databases, people=2)
    busy, free = (correspondence.send(databases, *firm.people) for _ in range(2))
    with databases.control() as deposit:
        deposit.execute("SELECT FROM message WHERE id = %s FOR KEY SHARE", (busy,))
        batch = ask(web, firm.postmaster, [busy, free]).get_json()
        results = {item["message_id"]: (item["refusal"], bool(item["recall"])) for item in batch["messages"]}
        assert results == {busy: (None, False), free: (None, True)}
        assert batch["progress"]["waiting"] == 1
        dispatch.run(web.process, Task.ADMIT, now=clock.now() + timedelta(seconds=2))
        assert shown(web, firm.postmaster, batch["link"])["progress"]["waiting"] == 1
    dispatch.run(web.process, now=clock.now() + timedelta(seconds=10))
    done = shown(web, firm.postmaster, batch["link"])
    assert (done["state"], done["progress"]["outcomes"]) == ("settled", {"recalled": 2})


@pytest.mark.rule(12, 21, 26)
def test_r12_r26_who_asked_before_an_undo_asked_for_the_recall_that_it_undoes(web, databases):
    firm = company.found(databases, people=3)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    dispatch.run(web.process)
    with databases.control() as deposit:
        deposit.execute("SELECT FROM message WHERE id = %s FOR KEY SHARE", (message_id,))
        batch = ask(web, firm.postmaster, [message_id]).get_json()
    # before its turn comes, the sender's own recall is over, and undone
    others_work = [task for task in Task if task in dispatch.USE_CASES and task is not Task.ADMIT]
    recall = web.as_(sender).post("/recalls", json={"message_id": message_id, "reason": "mine"}).get_json()
    dispatch.run(web.process, *others_work)
    assert web.as_(firm.postmaster).post(f"/recalls/{recall['id']}/undo").status_code == 202
    dispatch.run(web.process, *others_work)
    dispatch.run(web.process, now=clock.now() + 2 * RETRY)

    (item,) = shown(web, firm.postmaster, batch["link"] + "/messages")["messages"]
    assert item["recall"]["id"] == recall["id"]
    assert all(correspondence.has_copy(databases, person, message_id) for person in others)
    # who asks from now on asks anew
    assert ask(web, firm.postmaster, [message_id]).get_json()["messages"][0]["recall"]["id"] != recall["id"]


@pytest.mark.rule(21)
def test_r21_a_request_that_lost_its_work_gets_new_work(web, databases):
    firm = company.found(databases, people=2)
    busy = correspondence.send(databases, *firm.people)
    with databases.control() as deposit:
        deposit.execute("SELECT FROM message WHERE id = %s FOR KEY SHARE", (busy,))
        batch = ask(web, firm.postmaster, [busy]).get_json()
    with databases.control() as control:
        control.execute("DELETE FROM outbox WHERE task = %s", (Task.ADMIT,))
    later = clock.now() + timedelta(minutes=2)
    reconcile(web.process, now=later)
    dispatch.run(web.process, now=later)
    assert shown(web, firm.postmaster, batch["link"])["state"] == "settled"


@pytest.mark.rule(21, 30)
def test_r21_r30_a_held_message_in_a_batch_is_cancelled(web, databases):
    firm = company.found(databases, people=2)
    rule = {"name": "All", "sender": f"@{firm.domain}"}
    assert web.as_(firm.postmaster).post("/audit-rules", json=rule).status_code == 201
    held = correspondence.send(databases, *firm.people)
    ask(web, firm.postmaster, [held])
    problem(web.as_(firm.postmaster).post(f"/held/{held}/release"), 409, "not_held")
    web.deliver()
    assert not correspondence.has_copy(databases, firm.people[1], held)


@pytest.mark.rule(10, 21)
def test_r10_r21_a_batch_counts_as_one_request(web, databases):
    firm = company.found(databases, people=2, switches={"recalls_per_hour": 2})
    sent = [correspondence.send(databases, *firm.people) for _ in range(6)]
    for part in (sent[:3], sent[3:4]):
        assert {item["refusal"] for item in ask(web, firm.postmaster, part).get_json()["messages"]} == {None}
    refused = ask(web, firm.postmaster, sent[4:]).get_json()["messages"]
    assert {item["refusal"] for item in refused} == {"rate_limited"}


@pytest.mark.rule(13, 20, 21)
def test_r13_r20_r21_only_unread_is_judged_again_when_it_is_carried_out(web, databases):
    firm = company.found(databases, people=4)
    sender, reader, *rest = firm.people
    read, unread = (correspondence.send(databases, sender, reader, *rest) for _ in range(2))
    web.deliver()
    batch = ask(web, firm.postmaster, [read, unread], only_unread=True).get_json()
    assert (batch["only_unread"], batch["progress"]["accepted"]) == (True, 2)
    # between the request and its execution
    correspondence.happen(databases, reader, read, Fact.READ)
    web.deliver()
    done = shown(web, firm.postmaster, batch["link"])
    assert done["progress"]["results"] == {"succeeded": 1, "partial": 0, "failed": 1}
    assert done["progress"]["outcomes"] == {"recalled": 3, "already_read": 1, "vetoed": 2}
    for person in (reader, *rest):
        assert correspondence.has_copy(databases, person, read)
        assert not correspondence.has_copy(databases, person, unread)


@pytest.mark.rule(24)
def test_r24_a_batch_is_there_for_administrators_of_its_organisation_alone(web, databases, pair):
    other = company.found(databases, people=1)
    second = company.hire(databases, f"second{uuid4().hex}@{pair.domain}", administrator=True)
    message_id = correspondence.send(databases, *pair.people)
    link = ask(web, pair.postmaster, [message_id]).get_json()["link"].removeprefix("/api/v1")
    assert web.as_(second).get(link).status_code == 200
    listed = web.as_(second).get("/admin/recall-batches").get_json()["batches"]
    assert link in {batch["link"].removeprefix("/api/v1") for batch in listed}
    assert web.as_(other.postmaster).get("/admin/recall-batches").get_json()["batches"] == []
    for path in (link, link + "/messages"):
        problem(web.as_(other.postmaster).get(path), 404, "not_found")
        problem(web.as_(pair.people[0]).get(path), 403, "not_allowed")
        problem(web.as_nobody().get(path), 401, "not_authenticated")
    problem(ask(web, pair.people[0], [message_id]), 403, "not_allowed")


@pytest.mark.rule(22)
def test_r22_however_many_batches_are_watched_the_statements_are_as_many(web, databases):
    firm, other = company.found(databases, people=3), company.found(databases, people=2)
    asked = [
        ask(web, firm.postmaster, [correspondence.send(databases, *firm.people)], reason=f"{number}").get_json()
        for number in range(3)
    ] + [ask(web, other.postmaster, [correspondence.send(databases, *other.people)]).get_json()]
    web.deliver()
    statements: list[str] = []

    class Counting(psycopg.Cursor[Any]):
        def execute(self, query, params=None, **changes):
            statements.append(str(query))
            return super().execute(query, params, **changes)

    watch = BatchWatch(databases, most=10)
    with databases.control() as control:
        ids = [
            row[0]
            for row in control.execute("SELECT max(id) - n FROM recall_request, generate_series(0, 3) n GROUP BY n")
        ]
        control.cursor_factory = Counting
        try:
            one = watch.find(control, ids[:1])
            for_one, statements[:] = len(statements), []
            all_of_them = watch.find(control, ids)
        finally:
            control.cursor_factory = psycopg.Cursor
    assert len(statements) == for_one
    assert one == {ids[0]: all_of_them[ids[0]]}
    assert {str(shown.batch.public_id) for shown in all_of_them.values()} == {batch["id"] for batch in asked}
    recipients = {shown.batch.organisation_id: shown.progress.recipients for shown in all_of_them.values()}
    assert recipients == {firm.organisation_id: 2, other.organisation_id: 1}
    assert {shown.state for shown in all_of_them.values()} == {"settled"}
