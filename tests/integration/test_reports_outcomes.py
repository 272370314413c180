"""R9, R18: reading the ledgers for a report, with all shards there and with one away."""

import re
from collections import Counter

import psycopg
import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import outcomes
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.reports import gathering
from services.reports.summarising import write_reports
from tests import correspondence, dispatch
from tests.reported import (
    NAMES,
    give_up_on,
    inbox,
    mixed,
    part,
    report,
    report_work,
    settle,
    silent_shard_1,
    system_mails,
    totals,
)


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 7}), databases)


@pytest.mark.rule(9)
def test_r9_failed_recipients_are_read_in_pages_without_loss(process, databases, monkeypatch):
    monkeypatch.setattr(outcomes, "_PAGE", 3)
    firm, message_id = mixed(process, people=40)
    for person in firm.people[10:30]:
        correspondence.happen(databases, person, message_id, Fact.READ)
    recall_id = settle(process, firm.people[0], message_id)
    with databases.control() as connection:
        ledger = outcomes.locate(connection, recall_id)

    by_shard = {shard: list(outcomes.failed_on(databases, ledger, shard)) for shard in databases.shards}

    for shard, failed in by_shard.items():
        with databases.shard(shard) as connection:
            rows = connection.execute(
                "SELECT mailbox_id, via, outcome FROM outcome WHERE recall_id = %s AND outcome <> 1"
                " ORDER BY mailbox_id",
                (recall_id,),
            ).fetchall()
        assert rows
        assert [(f.mailbox_id, f.via, f.outcome.value) for f in failed] == rows
    externals = [external.address for external in outcomes.externals(databases, recall_id)]
    assert externals == ["direct@elsewhere.example", "member@elsewhere.example"]
    with databases.control() as connection:
        found = outcomes.addresses(connection, [person.id for person in firm.people])
    assert found == {person.id: person.address for person in firm.people}
    everybody = [person.id for person in firm.people[1:]]
    told: dict[int, Outcome] = {}
    for shard in databases.shards:
        told |= outcomes.of_mailboxes(databases, ledger, shard, everybody)
    assert told == dict(correspondence.ledger(databases, recall_id).rows)


@pytest.fixture
def without_shard_1(process: Process[Settings]):
    with silent_shard_1(process.settings) as databases:
        yield Process(process.settings, databases)


@pytest.mark.rule(9, 18)
def test_r9_recipients_of_a_shard_that_never_answered_are_named_unreachable(process, databases, without_shard_1):
    firm, message_id = mixed(process, people=30)
    recall_id = give_up_on(process, 1, firm, message_id, whole=True)
    (work_id,) = report_work(databases, recall_id)

    # the shard is still away: nothing needs it
    write_reports(without_shard_1, recall_id=recall_id, work_id=work_id, now=clock.now())
    dispatch.run(process)

    (mail,) = inbox(databases, firm.people[0])
    text = part(mail, "plain")
    away = [person for person in firm.people[1:] if person.shard == 1]
    ledger = correspondence.ledger(databases, recall_id).counts
    expected = ledger + Counter({Outcome.EXTERNAL: 2, Outcome.UNREACHABLE: len(away)})
    assert totals(text) == {NAMES[outcome]: n for outcome, n in expected.items()}
    assert all(re.search(rf"  {re.escape(person.address)}.*: Unreachable", text) for person in away)
    assert "Ask for the recall again" in text


@pytest.mark.rule(9, 18)
def test_r18_a_report_does_not_wait_for_a_shard_the_recall_gave_up_on(process, databases, without_shard_1):
    firm, message_id = mixed(process, people=40)
    recall_id = give_up_on(process, 1, firm, message_id, whole=False)
    (work_id,) = report_work(databases, recall_id)

    write_reports(without_shard_1, recall_id=recall_id, work_id=work_id, now=clock.now())
    dispatch.run(process)

    (mail,) = inbox(databases, firm.people[0])
    text = part(mail, "plain")
    with databases.control() as connection:
        row = connection.execute(
            "SELECT sum(b.recipients) FILTER (WHERE b.state = 'unreachable'), sum(cardinality(d.mailbox_ids))"
            "  FROM recall r JOIN recall_batch b ON b.recall_id = r.id"
            "  JOIN delivery_batch d ON d.message_id = r.message_id AND d.batch = b.batch WHERE r.id = %s",
            (recall_id,),
        ).fetchone()
    assert row is not None
    assert row[0] > 0
    assert totals(text)["Unreachable"] == row[0]
    assert sum(totals(text).values()) == row[1] + 2
    named_directly = {line.partition(":")[0].strip(): line.partition(": ")[2] for line in text.splitlines()}
    for person in firm.people[1:3]:
        if person.shard == 1:
            assert named_directly[person.address] in ("Unreachable", "Not known yet")
        else:
            assert named_directly[person.address] in ("Recalled", "Already read")


@pytest.mark.rule(18)
def test_r18_a_report_waits_for_a_shard_that_answered_the_recall(process, databases, without_shard_1):
    firm, message_id = mixed(process)
    recall_id = settle(process, firm.people[0], message_id)
    (work_id,) = report_work(databases, recall_id)

    with pytest.raises(psycopg.OperationalError):
        write_reports(without_shard_1, recall_id=recall_id, work_id=work_id, now=clock.now())

    assert report_work(databases, recall_id) == [work_id]
    assert system_mails(databases, firm.people[0]) == 0


@pytest.mark.rule(18)
def test_r18_a_list_too_long_to_write_says_how_many_are_missing(process, databases, monkeypatch):
    firm, message_id = mixed(process, people=30)
    monkeypatch.setattr(gathering, "LONGEST_LIST", 2)

    report(process, settle(process, firm.people[0], message_id))

    (mail,) = inbox(databases, firm.people[0])
    assert "1 more is counted above but could not be listed." in part(mail, "plain")
