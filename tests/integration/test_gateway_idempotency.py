"""A request that is sent again under its key is carried out once."""

import io
import threading
from datetime import timedelta

import psycopg
import pytest

from mailrecall import clock
from mailrecall.messages import acceptance
from services.gateway import idempotency, sending
from tests import company
from tests.gateway import gateway, problem


@pytest.fixture(scope="module")
def web(settings, databases):
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases):
    return company.found(databases)


def messages(databases) -> int:
    with databases.control() as control:
        row = control.execute("SELECT count(*) FROM message").fetchone()
        assert row
        count: int = row[0]
        return count


def test_a_message_is_sent_once_and_answered_alike(web, firm, databases):
    client = web.as_(firm.people[0])
    before = messages(databases)
    content = {
        "to": [firm.people[1].address],
        "subject": "Minutes",
        "attachments": [{"filename": "a", "content": "NDIK"}],
    }
    first, again = (client.post("/messages", json=content, headers={"Idempotency-Key": "one"}) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.get_json() == again.get_json()
    assert first.headers["Location"] == again.headers["Location"]
    assert "Idempotency-Replayed" not in first.headers
    assert again.headers["Idempotency-Replayed"] == "true"
    assert messages(databases) == before + 1
    # another key, or none, is another message
    assert client.post("/messages", json=content, headers={"Idempotency-Key": "two"}).get_json() != first.get_json()
    assert client.post("/messages", json=content).get_json()["id"] != first.get_json()["id"]
    # and so is somebody else's of that name
    other = web.as_(firm.people[2])
    assert (
        other.post("/messages", json=content, headers={"Idempotency-Key": "one"}).headers.get("Idempotency-Replayed")
        is None
    )


@pytest.mark.rule(12)
def test_r12_a_recall_is_answered_alike(web, firm):
    client = web.as_(firm.people[0])
    sent = client.post("/messages", json={"to": [firm.people[1].address]}).get_json()["id"]
    asking = {"message_id": sent, "reason": "wrong"}
    first, again = (client.post("/recalls", json=asking, headers={"Idempotency-Key": "r"}) for _ in range(2))
    assert first.status_code == again.status_code == 202
    assert first.get_json() == again.get_json()
    problem(
        client.post("/recalls", json={**asking, "reason": "another"}, headers={"Idempotency-Key": "r"}),
        422,
        "key_reused",
    )


def test_the_same_files_as_a_form_are_the_same_request(web, firm, databases):
    client = web.as_(firm.people[0])
    before = messages(databases)
    for filename, status in (("a.txt", 202), ("a.txt", 202), ("b.txt", 422)):
        form = {"to": firm.people[1].address, "attachments": (io.BytesIO(b"42"), filename)}
        answer = client.post("/messages", data=form, headers={"Idempotency-Key": "form"})
        assert answer.status_code == status
    assert messages(databases) == before + 1


def test_what_was_refused_may_be_tried_again(web, firm):
    client = web.as_(firm.people[0])
    refused = client.post("/messages", json={"to": ["nobody@" + firm.domain]}, headers={"Idempotency-Key": "mend"})
    problem(refused, 422, "recipients_refused")
    mended = client.post("/messages", json={"to": [firm.people[1].address]}, headers={"Idempotency-Key": "mend"})
    assert mended.status_code == 202


@pytest.mark.parametrize("key", ["", "with space", "x" * 256, "ümlaut"])
def test_a_key_that_is_none_is_refused(web, firm, key):
    answer = web.as_(firm.people[0]).post(
        "/messages", json={"to": [firm.people[1].address]}, headers={"Idempotency-Key": key.encode().decode("latin-1")}
    )
    problem(answer, 422, "invalid")


def test_of_two_at_once_one_is_carried_out(web, firm, databases, monkeypatch):
    """The second comes while the first is just before its transaction."""
    client = web.as_(firm.people[0])
    content, headers = {"to": [firm.people[1].address]}, {"Idempotency-Key": "race"}
    before = messages(databases)
    reached, go_on = threading.Event(), threading.Event()
    accept = acceptance.accept

    def slowly(*arguments, **named):
        reached.set()
        assert go_on.wait(60)
        return accept(*arguments, **named)

    monkeypatch.setattr(sending, "accept", slowly)
    answers = []
    first = threading.Thread(target=lambda: answers.append(client.post("/messages", json=content, headers=headers)))
    first.start()
    assert reached.wait(60)
    second = client.post("/messages", json=content, headers=headers)
    problem(second, 409, "key_in_use")
    assert second.headers["Retry-After"] == "1"
    go_on.set()
    first.join(60)
    assert answers[0].status_code == 202
    assert client.post("/messages", json=content, headers=headers).get_json() == answers[0].get_json()
    assert messages(databases) == before + 1


def test_who_dies_before_the_transaction_leaves_the_key_to_others_and_who_was_slow_sends_nothing(
    web, firm, databases, monkeypatch
):
    client = web.as_(firm.people[0])
    content, headers = {"to": [firm.people[1].address]}, {"Idempotency-Key": "abandoned"}
    before = messages(databases)
    accept = acceptance.accept
    slow_ones: list[int] = []

    def taken_over_meanwhile(*arguments, **named):
        if not slow_ones:
            slow_ones.append(1)
            with databases.control() as control:
                control.execute(
                    "UPDATE idempotency_key SET begun_at = begun_at - interval '1 hour' WHERE status IS NULL"
                )
            assert client.post("/messages", json=content, headers=headers).status_code == 202
        return accept(*arguments, **named)

    monkeypatch.setattr(sending, "accept", taken_over_meanwhile)
    problem(client.post("/messages", json=content, headers=headers), 409, "key_in_use")
    assert messages(databases) == before + 1


def test_after_a_day_a_key_is_free(web, firm, databases):
    client = web.as_(firm.people[0])
    headers = {"Idempotency-Key": "old"}
    assert client.post("/messages", json={"to": [firm.people[1].address]}, headers=headers).status_code == 202
    with databases.control() as control:
        control.execute("UPDATE idempotency_key SET begun_at = %s", (clock.now() - timedelta(hours=25),))
    other = client.post("/messages", json={"to": [firm.people[2].address]}, headers=headers)
    assert other.status_code == 202
    assert "Idempotency-Replayed" not in other.headers
    with databases.control() as control:
        left = control.execute(
            "SELECT count(*) FROM idempotency_key WHERE begun_at < %s", (clock.now() - idempotency.KEPT_FOR,)
        ).fetchone()
    assert left == (0,)


def test_without_a_database_the_failure_is_told_and_nothing_is_kept(web, firm, monkeypatch):
    client = web.as_(firm.people[0])
    content, headers = {"to": [firm.people[1].address]}, {"Idempotency-Key": "outage"}

    def broken(*_arguments, **_named):
        raise psycopg.OperationalError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(sending, "accept", broken)
        problem(client.post("/messages", json=content, headers=headers), 503, "unavailable")
    assert client.post("/messages", json=content, headers=headers).status_code == 202
