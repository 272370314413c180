"""R4: forwarding rules at delivery: what is passed on, as what, how often, and what a recall then says."""

import pytest

from mailrecall import clock
from mailrecall.directory import forwarding
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Fact, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import Channel
from mailrecall.mailstore import reading
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 3, "smarthost": "mail.elsewhere.example:25"}), databases)


def forward_to(databases: Databases, account: Account, target: str, *, keep_copy: bool = True) -> None:
    with databases.control() as connection:
        forwarding.set_rule(connection, account, Address.parse(target), keep_copy=keep_copy)


def facts(databases: Databases, account: Account, message_id: int) -> Fact | None:
    with databases.shard(account.shard) as connection:
        row = connection.execute(
            "SELECT facts FROM copy WHERE mailbox_id = %s AND message_id = %s", (account.id, message_id)
        ).fetchone()
    return Fact(row[0]) if row else None


def forwards(databases: Databases, message_id: int) -> list[tuple[int, int | None]]:
    """Who passed a message on, and as which message."""
    with databases.control() as connection:
        return connection.execute(
            "SELECT account_id, forward_message_id FROM forward WHERE message_id = %s ORDER BY 1", (message_id,)
        ).fetchall()


def inbox(databases: Databases, account: Account) -> list[tuple[int, bytes]]:
    """What an inbox shows, oldest first."""
    with databases.shard(account.shard) as connection:
        entries = reading.list_folder(connection, account.id, Folder.INBOX, limit=100)
        found = [(entry.copy_id, reading.content_of(connection, account.id, entry.copy_id)) for entry in entries]
    return [(copy_id, content or b"") for copy_id, content in reversed(found)]


@pytest.mark.rule(4)
@pytest.mark.parametrize("keep_copy", [True, False])
def test_r4_a_rule_passes_mail_on_and_the_copy_counts_as_forwarded(process, databases, keep_copy):
    firm = company.found(databases, people=4)
    sender, forwarder, target, other = firm.people
    forward_to(databases, forwarder, target.address, keep_copy=keep_copy)
    message_id = correspondence.send(databases, sender, forwarder, other)

    dispatch.run(process)

    ((account_id, forward_id),) = forwards(databases, message_id)
    assert account_id == forwarder.id
    ((copy_id, passed_on),) = inbox(databases, target)
    assert copy_id == forward_id
    assert passed_on.startswith(f"Delivered-To: {forwarder.address}\r\nReceived: by ".encode())
    assert passed_on.endswith(inbox(databases, other)[0][1])
    assert [found for found, _ in inbox(databases, forwarder)] == ([message_id] if keep_copy else [])
    with databases.control() as connection:
        row = connection.execute(
            "SELECT channel, envelope_sender, sender_account_id FROM message WHERE id = %s", (forward_id,)
        ).fetchone()
        left = connection.execute("SELECT deliveries_left FROM message WHERE id = %s", (message_id,)).fetchone()
    assert row == (Channel.FORWARDED, forwarder.address, None)
    assert left == (0,)

    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process)

    ledger = correspondence.ledger(databases, asked.recall.id)
    assert (ledger.of(forwarder), ledger.of(other)) == (Outcome.FORWARDED, Outcome.RECALLED)
    assert [found for found, _ in inbox(databases, target)] == [forward_id]


@pytest.mark.rule(4)
def test_r4_a_forward_is_accepted_once_however_often_its_tasks_run(process, databases):
    firm = company.found(databases, people=3)
    sender, forwarder, target = firm.people
    forward_to(databases, forwarder, target.address)
    message_id = correspondence.send(databases, sender, forwarder)
    dispatch.run(process, Task.EXPAND)
    work = open_work(databases)

    class DiedAfterTheShardError(Exception):
        pass

    class Dying(Databases):
        """Lets a deposit write its shard, and dies before the control database learns of it."""

        def control(self):
            self.wrote = getattr(self, "wrote", False)
            if self.wrote:
                raise DiedAfterTheShardError
            return super().control()

        def shard(self, number):
            self.asked = getattr(self, "asked", 0) + 1
            self.wrote = self.asked > 1
            return super().shard(number)

    for work_id, task, args in work:
        if task != Task.DEPOSIT:
            continue
        dying = Dying(process.settings, "dying")
        with pytest.raises(DiedAfterTheShardError):
            dispatch.USE_CASES[task](Process(process.settings, dying), work_id=work_id, now=clock.now(), **args)
        dying.close()
    assert facts(databases, forwarder, message_id) == Fact.FORWARDED
    assert forwards(databases, message_id) == []
    with databases.control() as connection:  # what the shard wrote down counts, whatever becomes of the rule
        forwarding.remove_rule(connection, forwarder.id)
    for work_id, task, args in [*work, *work]:
        dispatch.USE_CASES[task](process, work_id=work_id, now=clock.now(), **args)
    todo = open_work(databases)
    for work_id, task, args in [*todo, *todo]:
        dispatch.USE_CASES[task](process, work_id=work_id, now=clock.now(), **args)
    dispatch.run(process)

    assert [account_id for account_id, _ in forwards(databases, message_id)] == [forwarder.id]
    assert len(inbox(databases, target)) == 1


def open_work(databases: Databases) -> list[tuple[int, str, dict[str, int]]]:
    with databases.control() as connection:
        return connection.execute(
            "SELECT id, task, args FROM outbox WHERE task LIKE 'delivery.%' ORDER BY id"
        ).fetchall()


@pytest.mark.rule(4, 16)
def test_r4_r16_nothing_is_forwarded_where_the_recall_came_first(process, databases):
    firm = company.found(databases, people=3)
    sender, forwarder, target = firm.people
    forward_to(databases, forwarder, target.address)
    message_id = correspondence.send(databases, sender, forwarder)
    asked = correspondence.ask(databases, sender, message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    dispatch.run(process, Task.WITHDRAW)

    dispatch.run(process)

    assert correspondence.ledger(databases, asked.recall.id).of(forwarder) is Outcome.RECALLED
    assert facts(databases, forwarder, message_id) is None
    assert forwards(databases, message_id) == []
    assert inbox(databases, target) == []


@pytest.mark.rule(1, 4, 16)
def test_r1_r4_r16_who_is_out_of_the_recalls_scope_still_gets_and_forwards_it(process, databases):
    firm, partner = company.found(databases, people=2), company.found(databases, people=2)
    forwarder, target = partner.people
    forward_to(databases, forwarder, target.address)
    message_id = correspondence.send(databases, firm.people[0], firm.people[1], forwarder)
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    dispatch.run(process, Task.PLAN)
    dispatch.run(process, Task.WITHDRAW)

    dispatch.run(process)

    assert facts(databases, forwarder, message_id) == Fact.FORWARDED
    assert len(inbox(databases, target)) == 1


def test_forwards_that_lead_in_a_circle_end_where_they_came_from(process, databases):
    firm = company.found(databases, people=3)
    sender, one, two = firm.people
    forward_to(databases, one, two.address, keep_copy=False)
    forward_to(databases, two, one.address, keep_copy=False)
    message_id = correspondence.send(databases, sender, one)

    dispatch.run(process)

    assert facts(databases, one, message_id) == Fact.FORWARDED | Fact.DELETED
    ((_, came_back),) = inbox(databases, one)
    assert came_back.startswith(f"Delivered-To: {two.address}\r\n".encode())
    assert f"Delivered-To: {one.address}\r\n".encode() in came_back
    assert inbox(databases, two) == []


def test_mail_that_went_through_very_many_hosts_stays(process, databases):
    firm = company.found(databases, people=2)
    forwarder, target = firm.people
    forward_to(databases, forwarder, target.address)
    content = b"Received: by somewhere\r\n" * 51 + b"Subject: Far travelled\r\n\r\nHello\r\n"
    message_id = correspondence.accept(databases, content, forwarder, envelope_sender="a@elsewhere.example")

    dispatch.run(process)

    assert facts(databases, forwarder, message_id) == Fact(0)
    assert inbox(databases, target) == []


def test_mail_without_a_sender_is_never_forwarded(process, databases):
    firm = company.found(databases, people=2)
    forwarder, target = firm.people
    forward_to(databases, forwarder, target.address, keep_copy=False)
    message_id = correspondence.accept(databases, b"Subject: Undelivered\r\n\r\n", forwarder, envelope_sender="")

    dispatch.run(process)

    assert facts(databases, forwarder, message_id) == Fact(0)
    assert [found for found, _ in inbox(databases, forwarder)] == [message_id]
    assert inbox(databases, target) == []


def test_a_forward_that_can_go_nowhere_is_told_to_its_account_and_to_nobody_else(process, databases):
    firm = company.found(databases, people=3)
    sender, forwarder, target = firm.people
    forward_to(databases, forwarder, target.address, keep_copy=False)
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = '2026-01-01Z' WHERE id = %s", (target.id,))
    message_id = correspondence.send(databases, sender, forwarder)

    dispatch.run(process)

    assert forwards(databases, message_id) == [(forwarder.id, None)]
    ((_, bounce),) = inbox(databases, forwarder)
    assert target.address.encode() in bounce
    assert inbox(databases, sender) == []


def test_a_forward_to_the_outside_is_relayed_under_the_accounts_address(process, databases):
    firm = company.found(databases, people=2)
    sender, forwarder = firm.people
    forward_to(databases, forwarder, "me@elsewhere.example")
    message_id = correspondence.send(databases, sender, forwarder)

    dispatch.run(process)

    ((_, forward_id),) = forwards(databases, message_id)
    with databases.control() as connection:
        rows = connection.execute(
            "SELECT m.envelope_sender, e.address FROM message m JOIN external_recipient e ON e.message_id = m.id"
            " WHERE m.id = %s",
            (forward_id,),
        ).fetchall()
        connection.execute("DELETE FROM outbox")  # nothing listens there
    assert rows == [(forwarder.address, "me@elsewhere.example")]


def test_each_of_many_rules_in_one_group_is_followed(process, databases):
    firm = company.found(databases, people=12)
    sender, target, *members = firm.people
    team = company.group(databases, f"team@{firm.domain}", members)
    ruled = members[::2]
    for member in ruled:
        forward_to(databases, member, target.address)
    message_id = correspondence.send(databases, sender, team)

    dispatch.run(process)

    assert {member.id: facts(databases, member, message_id) for member in members} == {
        member.id: Fact.FORWARDED if member in ruled else Fact(0) for member in members
    }
    assert len(inbox(databases, target)) == len(ruled)
