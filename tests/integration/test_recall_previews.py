"""R25: previews over HTTP, against what the recall then comes to."""

from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact, author_copy_id
from mailrecall.domain.recalls import Channel
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company, correspondence, dispatch
from tests.gateway import Gateway, gateway, problem
from tests.reported import silent_shard_1


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases, batch_size=3)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> company.Company:
    return company.found(databases, people=9, domains=2)


def previewed(web, account, message_id):
    answer = web.as_(account).get(f"/messages/{message_id}/recall-preview")
    assert answer.status_code == 200, answer.get_data(as_text=True)
    return answer.get_json()


def everything(databases: Databases) -> list[object]:
    """Whatever a preview could have changed."""
    found: list[object] = []
    with databases.control() as control:
        tables: tuple[str, ...] = ("recall", "recall_batch", "outbox", "delivery_batch", "message")
        found += [control.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1").fetchall() for table in tables]
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            tables = ("copy", "outcome", "deposit", "withdrawal")
            found += [
                connection.execute(f"SELECT to_jsonb(t) FROM {table} t ORDER BY 1").fetchall() for table in tables
            ]
    return found


@pytest.mark.rule(9, 25)
def test_r9_r25_a_preview_tells_what_the_recall_then_does_and_changes_nothing(web, firm, databases):
    sender, *others = firm.people
    group = company.group(databases, f"preview@{firm.domain}", others)
    message_id = correspondence.send(databases, sender, others[0], others[1], group, "someone@elsewhere.example")
    web.deliver()
    facts = (Fact.READ, Fact.FORWARDED, Fact.ATTACHMENT_DOWNLOADED, Fact.FETCHED_BY_POP3, Fact.DELETED)
    for person, fact in zip(others[1:], facts, strict=False):
        correspondence.happen(databases, person, message_id, fact)
    before = everything(databases)

    seen = previewed(web, sender, author_copy_id(message_id))

    assert everything(databases) == before
    assert (seen["recipients"], seen["recallable"], seen["complete"], seen["unanswered"]) == (9, 3, True, 0)
    assert (seen["as_administrator"], seen["needs_approval"], seen["recall"]) == (False, False, None)
    assert seen["directly"] == {"recalled": 1, "already_read": 1, "external": 1}
    by_administrator = previewed(web, firm.postmaster, message_id)
    assert by_administrator["as_administrator"] is True
    assert by_administrator["outcomes"] == seen["outcomes"]
    view = correspondence.recalled(web.process, sender, message_id)
    assert seen["outcomes"] == view.tally.as_slugs()
    assert {g["address"]: g["outcomes"] for g in seen["groups"]} == {group.address: view.by_via[3].as_slugs()}
    again = previewed(web, sender, message_id)
    assert (again["recallable"], again["outcomes"]) == (0, seen["outcomes"])
    assert again["recall"]["id"] == str(view.public_id)


@pytest.mark.rule(16, 25)
@pytest.mark.parametrize("expanded", [False, True], ids=["not expanded", "not deposited"])
def test_r16_r25_what_is_not_delivered_yet_would_be_recalled(web, firm, databases, expanded):
    sender, *others = firm.people
    group = company.group(databases, f"late{expanded:d}@{firm.domain}", [*others, "someone@elsewhere.example"])
    message_id = correspondence.send(databases, sender, others[0], group)
    if expanded:
        dispatch.run(web.process, Task.EXPAND)
    seen = previewed(web, sender, message_id)
    assert seen["outcomes"] == {"recalled": 8, "external": 1}
    assert seen["directly"] == {"recalled": 1}
    assert seen["groups"][0]["outcomes"] == {"recalled": 7, "external": 1}
    web.deliver()


@pytest.mark.rule(1, 25)
def test_r1_r25_recipients_beyond_the_scope_are_external(web, databases):
    firm = company.found(databases, people=4, domains=2, switches={"scope": "domain"})
    sister = company.hire(databases, f"sister@{firm.domains[1]}")
    stranger = company.found(databases, people=1).people[0]
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others, sister, stranger)
    assert previewed(web, sender, message_id)["outcomes"] == {"recalled": 3, "external": 2}
    web.deliver()
    correspondence.happen(databases, others[0], message_id, Fact.READ)
    correspondence.happen(databases, sister, message_id, Fact.READ)
    seen = previewed(web, sender, message_id)
    assert seen["outcomes"] == {"recalled": 2, "already_read": 1, "external": 2}
    assert seen["outcomes"] == correspondence.recalled(web.process, sender, message_id).tally.as_slugs()


@pytest.mark.rule(25)
def test_r25_a_shard_that_is_away_is_said(web, firm, databases, settings):
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    web.deliver()
    here = sum(person.shard == 0 for person in others)
    with silent_shard_1(settings) as lame:
        seen = previewed(gateway(settings, lame), sender, message_id)
    assert (seen["complete"], seen["unanswered"], seen["recipients"]) == (False, len(others) - here, len(others))
    assert seen["outcomes"] == {"recalled": here}


@pytest.mark.rule(3, 6, 24, 25)
def test_r3_r6_r24_r25_a_preview_is_refused_as_the_recall_would_be(web, firm, databases):
    sender, reader = firm.people[:2]
    stranger = company.found(databases, people=1)
    mine = correspondence.send(databases, sender, reader)
    old = correspondence.send(databases, sender, reader, now=clock.now() - timedelta(hours=25))
    by_program = correspondence.send(databases, sender, reader, channel=Channel.SUBMISSION)
    outside = correspondence.send(databases, sender, "someone@elsewhere.example")
    for account, message_id, status, code in (
        (reader, mine, 403, "not_sender"),
        (stranger.people[0], mine, 404, "not_found"),
        (stranger.postmaster, mine, 404, "not_found"),
        (sender, 10**9, 404, "not_found"),
        (sender, old, 409, "window_expired"),
        (sender, by_program, 409, "not_sent_from_webmail"),
        (sender, outside, 409, "no_local_recipients"),
    ):
        problem(web.as_(account).get(f"/messages/{message_id}/recall-preview"), status, code)
    problem(web.as_nobody().get(f"/messages/{mine}/recall-preview"), 401, "not_authenticated")
    assert previewed(web, firm.postmaster, old)["as_administrator"] is True
    sent_at = clock.now()
    fresh = correspondence.send(databases, sender, reader, now=sent_at)
    assert previewed(web, sender, fresh)["closes_at"] == (sent_at + timedelta(hours=24)).isoformat()


@pytest.mark.rule(21, 25)
def test_r21_r25_a_preview_says_that_a_second_administrator_is_needed(web, databases):
    firm = company.found(databases, people=4, switches={"approval_above": 2})
    sender, *others = firm.people
    large = correspondence.send(databases, sender, *others)
    small = correspondence.send(databases, sender, *others[:2], "someone@elsewhere.example")
    assert previewed(web, firm.postmaster, large)["needs_approval"] is True
    assert previewed(web, firm.postmaster, small)["needs_approval"] is False
    assert previewed(web, sender, large)["needs_approval"] is False
