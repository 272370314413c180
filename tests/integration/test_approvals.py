"""R21: large recalls wait for a second administrator."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from mailrecall import clock
from mailrecall.audit import verification
from mailrecall.domain.approvals import Approval
from mailrecall.domain.recalls import Requester
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import approvals
from mailrecall.recalls.approvals import Objected
from mailrecall.settings import Settings
from services.recall.reconciling import reconcile
from tests import company, correspondence, dispatch
from tests.gateway import Gateway, gateway, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases, batch_size=3)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases, people=5, switches={"approval_above": 3})


@pytest.fixture(scope="module")
def second(databases: Databases, firm: company.Company):
    return company.hire(databases, f"second@{firm.domain}", administrator=True)


def events(databases: Databases, organisation_id: int) -> list[str]:
    with databases.control() as control:
        assert verification.verify(control, organisation_id).sound
        rows = control.execute(
            "SELECT event FROM audit_record WHERE organisation_id = %s ORDER BY number", (organisation_id,)
        ).fetchall()
    return [event for (event,) in rows]


def batch_of(web, administrator, message_ids) -> Any:
    body = {"message_ids": message_ids, "reason": "to everybody by mistake"}
    answer = web.as_(administrator).post("/admin/recall-batches", json=body)
    assert answer.status_code == 202, answer.get_data(as_text=True)
    return answer.get_json()


def waiting(web, administrator) -> set[str]:
    return {batch["id"] for batch in web.as_(administrator).get("/admin/approvals").get_json()["batches"]}


@pytest.mark.rule(10, 21, 27)
def test_r10_r21_a_large_recall_waits_and_goes_once_it_is_approved(web, firm, second, databases):
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    web.deliver()

    answer = web.as_(firm.postmaster).post("/recalls", json={"message_id": message_id, "reason": "x"})
    refused = problem(answer, 403, "approval_required")
    again = problem(
        web.as_(firm.postmaster).post("/recalls", json={"message_id": message_id, "reason": "y"}),
        403,
        "approval_required",
    )
    # R12: it waits once
    assert again["approval"] == refused["approval"]
    link = refused["approval"].removeprefix("/api/v1")
    seen = web.as_(second).get(link).get_json()
    assert (seen["state"], seen["copies"], seen["reason"], seen["asked_by"]) == (
        "waiting",
        4,
        "x",
        firm.postmaster.address,
    )
    assert seen["id"] in waiting(web, second)
    web.deliver()
    assert correspondence.has_copy(databases, others[0], message_id)

    problem(web.as_(firm.postmaster).post(link + "/approve"), 403, "own_request")
    problem(web.as_(firm.postmaster).post(link + "/reject"), 403, "own_request")
    approved = web.as_(second).post(link + "/approve")
    assert approved.status_code == 200, approved.get_data(as_text=True)
    assert approved.get_json()["approval"]["decided_by"] == second.address
    twice = problem(web.as_(second).post(link + "/approve"), 409, "already_decided")
    assert twice["approval"] == "approved"
    problem(web.as_(second).post(link + "/reject"), 409, "already_decided")
    web.deliver()
    assert not correspondence.has_copy(databases, others[0], message_id)
    done = web.as_(second).get(link).get_json()
    assert (done["state"], done["progress"]["outcomes"]) == ("settled", {"recalled": 4})
    assert seen["id"] not in waiting(web, second)
    recorded = events(databases, firm.organisation_id)
    assert recorded[-8:] == [
        "approval_asked",
        *["approval_refused"] * 2,
        *["recall_approved", "recall_requested"],
        *["approval_refused"] * 2,
        "recall_settled",
    ]


@pytest.mark.rule(21)
def test_r21_a_sender_who_recalls_their_own_message_needs_nobody(web, firm, databases):
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    assert web.as_(sender).post("/recalls", json={"message_id": message_id, "reason": "x"}).status_code == 202
    web.deliver()


@pytest.mark.rule(21)
def test_r21_all_copies_of_a_batch_count_together(web, firm, second, databases):
    sender, *others = firm.people
    small = [correspondence.send(databases, sender, *others[:2]) for _ in range(2)]
    outside = correspondence.send(databases, sender, "someone@elsewhere.example")
    batch = batch_of(web, firm.postmaster, [*small, outside])
    assert (batch["state"], batch["copies"]) == ("waiting", 4)
    results = [(item["refusal"], item["recall"]) for item in batch["messages"]]
    assert results == [(None, None), (None, None), ("no_local_recipients", None)]
    assert batch["progress"]["waiting"] == 2
    # by itself, each is small enough
    alone = web.as_(second).post("/recalls", json={"message_id": small[0], "reason": "x"})
    assert alone.status_code == 202
    answer = web.as_(second).post(f"/admin/approvals/{batch['id']}/approve", json={})
    assert answer.status_code == 200
    web.deliver()
    items = web.as_(second).get(f"/admin/recall-batches/{batch['id']}/messages").get_json()["messages"]
    assert items[0]["recall"]["id"] == alone.get_json()["id"]
    assert items[1]["recall"]["result"] == "succeeded"


@pytest.mark.rule(21)
def test_r21_a_rejected_request_recalls_nothing(web, firm, second, databases):
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    web.deliver()
    batch = batch_of(web, firm.postmaster, [message_id])
    answer = web.as_(second).post(f"/admin/approvals/{batch['id']}/reject")
    assert (answer.status_code, answer.get_json()["state"]) == (200, "rejected")
    items = web.as_(second).get(f"/admin/recall-batches/{batch['id']}/messages").get_json()["messages"]
    assert [(item["refusal"], item["recall"]) for item in items] == [("approval_required", None)]
    web.deliver()
    assert correspondence.has_copy(databases, others[0], message_id)
    assert events(databases, firm.organisation_id)[-1] == "recall_rejected"
    # it can be asked for anew
    assert batch_of(web, second, [message_id])["state"] == "waiting"


@pytest.mark.rule(21)
def test_r21_what_nobody_decides_on_lapses_after_72_hours(web, firm, second, databases):
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    asked_at = clock.now()
    batch = batch_of(web, firm.postmaster, [message_id])
    for hours, state in ((71, "waiting"), (72.1, "lapsed")):
        reconcile(web.process, now=asked_at + timedelta(hours=hours))
        assert web.as_(second).get(f"/admin/approvals/{batch['id']}").get_json()["state"] == state
    # of this one too many hours have passed; nobody has written it down yet
    refused = problem(web.as_(second).post(f"/admin/approvals/{batch['id']}/approve"), 409, "already_decided")
    assert refused["approval"] == "lapsed"
    assert events(databases, firm.organisation_id).count("recall_lapsed") >= 1


@pytest.mark.rule(3, 21)
def test_r3_r21_the_window_is_judged_when_it_is_asked_for_and_not_when_it_is_approved(web, databases):
    firm = company.found(databases, people=5, switches={"approval_above": 3, "window_admin": 3600})
    second = company.hire(databases, f"second@{firm.domain}", administrator=True)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others, now=clock.now() - timedelta(minutes=59))
    web.deliver()
    batch = batch_of(web, firm.postmaster, [message_id])
    later = clock.now() + timedelta(hours=71)
    with databases.control() as control:
        decided = approvals.decide(
            control,
            Requester(second.id, second.organisation_id, administrator=True),
            UUID(batch["id"]),
            Approval.APPROVED,
            now=later,
            deadline=timedelta(hours=1),
        )
    assert not isinstance(decided, Objected)
    dispatch.run(web.process, now=later)
    assert not correspondence.has_copy(databases, others[0], message_id)


@pytest.mark.rule(21)
@pytest.mark.parametrize("other", ["approve", "reject", "lapse"])
def test_r21_of_those_who_decide_at_once_one_does(web, firm, second, databases, other):
    third = company.hire(databases, f"third-{other}@{firm.domain}", administrator=True)
    sender, *others = firm.people
    rounds = 5
    for _ in range(rounds):
        message_id = correspondence.send(databases, sender, *others)
        batch = batch_of(web, firm.postmaster, [message_id])
        late = clock.now() + timedelta(hours=73)
        answers: dict[str, Any] = {}
        together = threading.Barrier(2)

        def approve(batch=batch, answers=answers, together=together):
            together.wait()
            answers["approve"] = web.as_(second).post(f"/admin/approvals/{batch['id']}/approve").status_code

        def contend(batch=batch, answers=answers, together=together, late=late):
            together.wait()
            if other == "lapse":
                with databases.control() as control:
                    row = control.execute(
                        "SELECT id FROM recall_request WHERE public_id = %s", (batch["id"],)
                    ).fetchone()
                    assert row is not None
                    answers["other"] = 200 if approvals.lapse(control, row[0], now=late) else 409
            else:
                answers["other"] = web.as_(third).post(f"/admin/approvals/{batch['id']}/{other}").status_code

        threads = [threading.Thread(target=approve), threading.Thread(target=contend)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(answers.values()) == [200, 409]
        web.deliver()
        settled = web.as_(second).get(f"/admin/approvals/{batch['id']}").get_json()
        expected = {"approve": "settled", "reject": "rejected", "lapse": "lapsed"}[other]
        won = answers["approve"] == 200
        assert settled["state"] == ("settled" if won else expected)
        assert correspondence.has_copy(databases, others[0], message_id) is (settled["state"] != "settled")
    events(databases, firm.organisation_id)


@pytest.mark.rule(12, 21, 26)
def test_r12_r26_a_repeat_in_a_request_that_waits_is_answered_at_once_and_begins_nothing_later(
    web, firm, second, databases
):
    sender, one, *others = firm.people
    taken = correspondence.send(databases, sender, one)
    large = correspondence.send(databases, sender, one, *others)
    web.deliver()
    recall = web.as_(sender).post("/recalls", json={"message_id": taken, "reason": "x"}).get_json()
    web.deliver()
    before = events(databases, firm.organisation_id).count("recall_repeated")
    batch = batch_of(web, firm.postmaster, [taken, large])
    results = {item["message_id"]: item["recall"] and item["recall"]["id"] for item in batch["messages"]}
    assert results == {taken: recall["id"], large: None}
    assert web.as_(firm.postmaster).post(f"/recalls/{recall['id']}/undo").status_code == 202
    web.deliver()

    assert web.as_(second).post(f"/admin/approvals/{batch['id']}/approve").status_code == 200
    web.deliver()

    assert correspondence.has_copy(databases, one, taken)
    assert not correspondence.has_copy(databases, one, large)
    assert events(databases, firm.organisation_id).count("recall_repeated") == before + 1


@pytest.mark.rule(24)
def test_r24_what_waits_elsewhere_does_not_exist(web, firm, second, databases):
    stranger = company.found(databases, people=1)
    sender, *others = firm.people
    batch = batch_of(web, firm.postmaster, [correspondence.send(databases, sender, *others)])
    assert waiting(web, stranger.postmaster) == set()
    for verb in ("approve", "reject"):
        path = f"/admin/approvals/{batch['id']}/{verb}"
        problem(web.as_(stranger.postmaster).post(path), 404, "not_found")
        problem(web.as_(firm.people[0]).post(path), 403, "not_allowed")
        problem(web.as_nobody().post(path), 401, "not_authenticated")
    problem(web.as_(stranger.postmaster).get(f"/admin/approvals/{batch['id']}"), 404, "not_found")
    assert batch["id"] in waiting(web, second)
