"""R21: a worker killed while it carries on with requests of many messages: each recall begins once, or none does."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta

import psycopg
import pytest

from mailrecall import clock
from mailrecall.directory import lookup
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.approvals import Approval
from mailrecall.domain.recalls import Requester
from mailrecall.domain.trail import Event
from mailrecall.embedded.deadlines import poll
from mailrecall.faultpoints import Commit
from mailrecall.outbox.work import Task
from mailrecall.recalls import approvals, batches
from mailrecall.recalls.batches import Batch
from tests import company
from tests.fault.scene import Delivered, Scene
from tests.fault.test_fault_points import arm, assert_struck, copies, points
from tests.fault.test_undo_faults import assert_trail_is_sound

PEOPLE = 60
DEADLINE = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Firm:
    """Who asks for what."""

    scene: Scene
    mails: Sequence[Delivered]
    postmaster: Account

    @property
    def message_ids(self) -> list[int]:
        return [mail.message_id for mail in self.mails]

    def ask(self) -> Batch:
        """Ask for all mails at once, as the postmaster."""
        with self.scene.databases.control() as connection:
            request = batches.request(
                connection,
                _as_administrator(self.postmaster),
                self.message_ids,
                "sent in error",
                lookup.policy_of(connection, self.postmaster.organisation_id),
                only_unread=False,
                now=clock.now(),
                deadline=DEADLINE,
            )
            _keep_from_trying_again(connection, request)
        return request

    def approve(self, request: Batch) -> None:
        """Approve the request, as a second administrator."""
        second = company.hire(self.scene.databases, f"second@{self.postmaster.domain}", administrator=True)
        with self.scene.databases.control() as connection:
            decided = approvals.decide(
                connection,
                _as_administrator(second),
                request.public_id,
                Approval.APPROVED,
                now=clock.now(),
                deadline=DEADLINE,
            )
            assert isinstance(decided, Batch)
            _keep_from_trying_again(connection, request)

    def recorded(self) -> Counter[tuple[str, int | None]]:
        """What the audit trail says, of which message."""
        with self.scene.databases.control() as connection:
            rows = connection.execute(
                "SELECT event, message_id FROM audit_record WHERE organisation_id = %s",
                (self.postmaster.organisation_id,),
            ).fetchall()
        return Counter(rows)

    def recalls(self) -> list[tuple[int, int]]:
        """The messages' recalls: each message, and its recall."""
        with self.scene.databases.control() as connection:
            return connection.execute(
                "SELECT message_id, id FROM recall WHERE message_id = ANY (%s) ORDER BY 1", (self.message_ids,)
            ).fetchall()

    def check_recalls(self) -> None:
        """Make sure that each message has one recall, which took everything, and was asked for once."""
        self.scene.await_rest()
        recalls = self.recalls()
        assert [message_id for message_id, _ in recalls] == sorted(self.message_ids)
        for mail, (_, recall_id) in zip(sorted(self.mails, key=lambda one: one.message_id), recalls, strict=True):
            self.scene.await_settlement(recall_id)
            self.scene.check_books(mail, recall_id, read=0)
        # all to the postmaster
        assert self.scene.reports(recalls[0][1]) == len(recalls)
        known = self.recorded()
        for event in (Event.RECALL_REQUESTED, Event.RECALL_SETTLED):
            assert [known[event, message_id] for message_id in self.message_ids] == [1] * len(recalls)
        assert not any(event == Event.RECALL_REPEATED for event, _ in known)
        assert_trail_is_sound(self.scene, self.mails[0])


def firm_with_mail(scene: Scene, **switches: object) -> Firm:
    first = scene.deliver(PEOPLE, read=0, **switches)
    mails = [first, scene.send_again(first), scene.send_again(first)]
    for mail in mails:
        scene.await_delivery(mail)
    with scene.databases.control() as connection:
        postmaster = lookup.account_by_address(connection, Address.parse(f"postmaster@{first.sender.domain}"))
    assert postmaster is not None
    return Firm(scene, mails, postmaster)


def _as_administrator(account: Account) -> Requester:
    return Requester(account.id, account.organisation_id, administrator=True)


def _keep_from_trying_again(connection: psycopg.Connection[tuple[object, ...]], request: Batch) -> None:
    """Have the worker come to the messages that were held only when a test says so, and not a second later."""
    connection.execute(
        "UPDATE outbox SET due_at = due_at + interval '1 hour'"
        " WHERE task = %s AND (args ->> 'request_id')::bigint = %s",
        (Task.ADMIT, request.id),
    )


def let_it_try_again(scene: Scene, request: Batch) -> None:
    with scene.databases.control() as connection:
        due = connection.execute(
            "UPDATE outbox SET due_at = now() WHERE task = %s AND (args ->> 'request_id')::bigint = %s",
            (Task.ADMIT, request.id),
        )
        assert due.rowcount == 1, "nothing was held"


@contextmanager
def being_delivered(scene: Scene, *mails: Delivered) -> Iterator[None]:
    """Hold messages as whoever deposits them does, so that no recall of them begins, until the block ends."""
    with psycopg.connect(scene.session.settings.control_url) as deposit:
        deposit.execute("SELECT FROM message WHERE id = ANY (%s) FOR KEY SHARE", ([mail.message_id for mail in mails],))
        yield


@pytest.mark.rule(16, 21)
@pytest.mark.parametrize("approved", [False, True], ids=["at-once", "approved"])
@pytest.mark.parametrize("point", points(Commit.ADMIT))
def test_r16_r21_a_death_while_what_was_held_up_begins_begins_each_recall_once(scene, point, approved):
    firm = firm_with_mail(scene, approval_above=PEOPLE if approved else 10_000)
    free, *_, last = firm.mails
    request = firm.ask() if approved else None
    with being_delivered(scene, last):
        with being_delivered(scene, *firm.mails[1:]):
            if request is None:
                request = firm.ask()
            else:
                firm.approve(request)
            assert [message_id for message_id, _ in firm.recalls()] == [free.message_id]
        arm(scene, point)
        let_it_try_again(scene, request)
        assert_struck(scene, point)
        # one more begins, and one has to wait still
        assert poll(lambda: len(firm.recalls()) == 2, timeout=60), "nobody tried again"

    firm.check_recalls()


@pytest.mark.rule(21)
@pytest.mark.parametrize("point", points(Commit.REVIVE))
def test_r21_a_death_while_a_request_gets_new_work_begins_each_recall_once(scene, point):
    firm = firm_with_mail(scene)
    with being_delivered(scene, *firm.mails):
        request = firm.ask()
    arm(scene, point)
    with scene.databases.control() as connection:
        # as an operator may have dropped it, a while ago
        dropped = connection.execute(
            "DELETE FROM outbox WHERE task = %s AND (args ->> 'request_id')::bigint = %s", (Task.ADMIT, request.id)
        )
        assert dropped.rowcount == 1
        connection.execute(
            "UPDATE recall_request SET requested_at = requested_at - interval '2 minutes' WHERE id = %s", (request.id,)
        )
    assert_struck(scene, point)
    assert poll(lambda: len(firm.recalls()) == len(firm.mails), timeout=60), "nobody tried again"

    firm.check_recalls()


@pytest.mark.rule(21)
@pytest.mark.parametrize("point", points(Commit.LAPSE))
def test_r21_a_death_while_a_request_lapses_begins_nothing_and_is_recorded_once(scene, point):
    firm = firm_with_mail(scene, approval_above=PEOPLE)
    request = firm.ask()
    arm(scene, point)
    with scene.databases.control() as connection:
        connection.execute("UPDATE recall_request SET lapses_at = requested_at WHERE id = %s", (request.id,))
    assert_struck(scene, point)

    def lapsed() -> bool:
        with scene.databases.control() as connection:
            return batches.get(connection, request.id).approval == Approval.LAPSED

    assert poll(lapsed, timeout=60), "it did not lapse"
    scene.await_rest()
    assert firm.recorded()[Event.RECALL_LAPSED, None] == 1
    assert firm.recalls() == []
    assert [copies(scene, mail) for mail in firm.mails] == [PEOPLE] * len(firm.mails)
    with scene.databases.control() as connection:
        refusals = [one.refusal for one in batches.items(connection, request.id, after=0, limit=10)]
    assert refusals == ["approval_required"] * len(firm.mails)
    assert_trail_is_sound(scene, firm.mails[0])
