"""R27: the audit trail on a real database: what is written, in which order, and how it is kept from being changed."""

import hashlib
import json
import threading

import psycopg
import pytest
from click.testing import CliRunner

from mailrecall import clock
from mailrecall.audit import trail, verification
from mailrecall.cli.main import main
from mailrecall.directory import organisations
from mailrecall.domain.copies import Fact
from mailrecall.domain.recalls import Refused
from mailrecall.domain.trail import SYSTEM, Actor, Entry, Event, Fault
from mailrecall.postgres.databases import Databases
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch


@pytest.fixture
def run(settings):
    """Run `mailrecall audit …` against the databases of this module; returns its status and what it said."""
    environment = {
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
    }

    def run(*arguments: str) -> tuple[int, str]:
        result = CliRunner(env=environment).invoke(main, ["audit", *arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.output

    return run


def shown(databases: Databases, organisation_id: int) -> list[trail.Shown]:
    """An organisation's whole trail, oldest first."""
    with databases.control() as connection:
        return list(trail.page(connection, organisation_id, recall=None, before=trail.NEWEST, limit=100))[::-1]


def write(databases: Databases, organisation_id: int, **details: object) -> None:
    with databases.control() as connection:
        entry = Entry(organisation_id=organisation_id, event=Event.PURGED, actor=SYSTEM, details=details)
        trail.append(connection, entry, now=clock.now())


def tamper(databases: Databases, statement: str, *parameters: object) -> None:
    """Do what the triggers refuse, as somebody with a superuser's rights can."""
    with databases.control() as connection:
        connection.execute("ALTER TABLE audit_record DISABLE TRIGGER only_grows")
        connection.execute("ALTER TABLE audit_chain DISABLE TRIGGER only_advances")
        assert connection.execute(statement.encode(), parameters).rowcount >= 1
        connection.execute("ALTER TABLE audit_record ENABLE ALWAYS TRIGGER only_grows")
        connection.execute("ALTER TABLE audit_chain ENABLE ALWAYS TRIGGER only_advances")


@pytest.mark.rule(27)
def test_r27_a_recall_leaves_its_records_and_nobodys_address(settings, databases):
    firm = company.found(databases, people=4)
    sender, reader, *others = firm.people
    message_id = correspondence.send(databases, sender, reader, *others)
    process = Process(settings, databases)
    dispatch.run(process)
    correspondence.happen(databases, reader, message_id, Fact.READ)

    assert isinstance(correspondence.ask(databases, reader, message_id, reason="not mine"), Refused)
    view = correspondence.recalled(process, sender, message_id)
    correspondence.ask(databases, firm.postmaster, message_id, reason="once more")

    records = shown(databases, firm.organisation_id)
    assert [(one.record.event, one.record.actor, one.actor_address) for one in records] == [
        ("recall_refused", "account", reader.address),
        ("recall_requested", "account", sender.address),
        ("recall_settled", "system", None),
        ("recall_repeated", "account", firm.postmaster.address),
    ]
    assert records[0].record.details == {"reason": "not mine", "refusal": "not_sender"}
    assert records[1].record.details == {"reason": "sent in error", "as_administrator": False}
    assert records[2].record.details == {"result": "partial", "outcomes": {"recalled": 2, "already_read": 1}}
    assert {one.record.message_id for one in records} == {message_id}
    assert [one.recall for one in records] == [None, *[view.public_id] * 3]
    with databases.control() as connection:
        of_recall = trail.page(connection, firm.organisation_id, recall=view.public_id, before=trail.NEWEST, limit=2)
        assert [one.record.number for one in of_recall] == [4, 3]
        # R24: another organisation's trail has nothing of it
        assert trail.page(connection, 1_000_000, recall=view.public_id, before=trail.NEWEST, limit=2) == []
    told = json.dumps([dict(one.record.as_json()) for one in records])
    assert not any(person.address in told for person in firm.people)


@pytest.mark.rule(27)
def test_r27_a_record_commits_with_what_it_tells_or_not_at_all(databases):
    firm = company.found(databases, people=2)
    message_id = correspondence.send(databases, firm.people[0], firm.people[1])

    with databases.control() as connection:
        correspondence.ask_on(connection, firm.people[0], message_id)
        connection.rollback()

    assert shown(databases, firm.organisation_id) == []


@pytest.mark.rule(27)
def test_r27_policy_changes_are_recorded_with_what_changed(databases):
    firm = company.found(databases, people=1)
    with databases.control() as connection:
        for switches in ({"window_user": 3600, "tombstone": True}, {"tombstone": True}):
            organisations.change_policy(
                connection, firm.organisation_id, switches, actor=Actor.account(firm.postmaster.id), now=clock.now()
            )

    (one,) = shown(databases, firm.organisation_id)
    assert (one.record.event, one.actor_address) == ("policy_changed", firm.postmaster.address)
    assert one.record.details == {
        "tombstone": {"from": False, "to": True},
        "window_user": {"from": 86400, "to": 3600},
    }


@pytest.mark.rule(27)
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_record SET details = '{}'",
        "DELETE FROM audit_record",
        "TRUNCATE audit_record",
        "UPDATE audit_chain SET records = records - 1",
        "UPDATE audit_chain SET records = records + 2",
        "DELETE FROM audit_chain",
        "TRUNCATE audit_chain, audit_record",
    ],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
def test_r27_the_table_refuses_whatever_is_no_addition(databases, statement, role):
    firm = company.found(databases, people=1)
    write(databases, firm.organisation_id, rows=1)

    with databases.control() as connection:
        connection.execute(f"SET LOCAL session_replication_role = {role}".encode())
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="only grows"):
            connection.execute(statement.encode())
        connection.rollback()

    assert len(shown(databases, firm.organisation_id)) == 1


@pytest.mark.rule(27)
def test_r27_writers_at_once_make_one_chain_and_other_organisations_do_not_wait(databases):
    firm, other = (company.found(databases, people=1) for _ in range(2))
    write(databases, firm.organisation_id, rows=0)
    started = threading.Barrier(4)

    def writer(number: int) -> None:
        started.wait(timeout=60)
        for _ in range(5):
            write(databases, firm.organisation_id, rows=number)

    with databases.control() as connection:
        # a transaction that has recorded something and takes its time
        entry = Entry(organisation_id=firm.organisation_id, event=Event.PURGED, actor=SYSTEM, details={"slow": True})
        trail.append(connection, entry, now=clock.now())
        write(databases, other.organisation_id, rows=1)
        threads = [threading.Thread(target=writer, args=(number,)) for number in range(3)]
        for thread in threads:
            thread.start()
        started.wait(timeout=60)
    for thread in threads:
        thread.join(timeout=60)

    records = shown(databases, firm.organisation_id)
    assert [one.record.number for one in records] == list(range(1, 18))
    assert records[1].record.details == {"slow": True}
    with databases.control() as connection:
        assert verification.verify(connection, firm.organisation_id).sound


TAMPERINGS = {
    Fault.ALTERED: (3, "UPDATE audit_record SET details = '{}' WHERE number = 3 AND organisation_id = %s"),
    Fault.MISSING: (2, "DELETE FROM audit_record WHERE number = 2 AND organisation_id = %s"),
    Fault.DETACHED: (
        2,
        "UPDATE audit_record SET number = 5 - number WHERE number IN (2, 3) AND organisation_id = %s",
    ),
    Fault.TRUNCATED: (5, "DELETE FROM audit_record WHERE number = 5 AND organisation_id = %s"),
}


@pytest.mark.rule(27)
@pytest.mark.parametrize("fault", TAMPERINGS)
def test_r27_the_command_says_where_a_chain_breaks(databases, run, fault):
    number, statement = TAMPERINGS[fault]
    firm, sound = (company.found(databases, people=1) for _ in range(2))
    for rows in range(5):
        write(databases, firm.organisation_id, rows=rows)
        write(databases, sound.organisation_id, rows=rows)
    assert run("verify", "--organisation", firm.name) == (0, "Sound: 5 records in 1 chains.\n")
    if fault is Fault.DETACHED:
        with databases.control() as connection:
            connection.execute("ALTER TABLE audit_record DROP CONSTRAINT audit_record_pkey")

    tamper(databases, statement, firm.organisation_id)

    with databases.control() as connection:
        verdict = verification.verify(connection, firm.organisation_id)
    assert [(found.number, found.fault) for found in verdict.breaks] == [(number, fault)]
    status, said = run("verify")
    assert status == 1
    assert f"Broken: {firm.name}, record {number}: " in said
    assert sound.name not in said
    if fault is Fault.DETACHED:
        with databases.control() as connection:
            connection.execute("ALTER TABLE audit_record ADD PRIMARY KEY (organisation_id, number)")


@pytest.mark.rule(27)
def test_r27_a_noted_head_shows_that_the_end_was_cut_off(databases, run):
    firm = company.found(databases, people=1)
    for rows in range(3):
        write(databases, firm.organisation_id, rows=rows)
    head, records, name = run("heads", "--organisation", firm.name)[1].split()
    assert (int(records), name) == (3, firm.name)
    write(databases, firm.organisation_id, rows=3)
    assert run("verify", "--organisation", firm.name, "--head", head)[0] == 0
    cut = run("heads", "--organisation", firm.name)[1].split()[0]

    # the last record goes, and the end is made to fit
    tamper(databases, "DELETE FROM audit_record WHERE number = 4 AND organisation_id = %s", firm.organisation_id)
    tamper(
        databases,
        "UPDATE audit_chain SET records = 3, head = decode(%s, 'hex') WHERE organisation_id = %s",
        head,
        firm.organisation_id,
    )

    assert run("verify", "--organisation", firm.name, "--head", head)[0] == 0
    status, said = run("verify", "--organisation", firm.name, "--head", cut)
    assert (status, said) == (1, f"{cut} is in no sound chain: its record was removed or altered.\n")
    assert run("verify", "--head", "abc")[0] == 2


@pytest.mark.rule(27)
def test_r27_an_export_can_be_checked_without_this_program(databases, run):
    firm = company.found(databases, people=1)
    for rows in range(3):
        write(databases, firm.organisation_id, rows=rows, text='撤回\n"é"')

    lines = [json.loads(line) for line in run("export", "--organisation", firm.name)[1].splitlines()]

    previous = "00" * 32
    for line in lines:
        stated = line.pop("hash")
        assert line["previous"] == previous
        text = json.dumps(line, sort_keys=True, separators=(",", ":"))
        assert hashlib.sha256(text.encode()).hexdigest() == stated
        previous = stated
    assert [line["number"] for line in lines] == [1, 2, 3]
