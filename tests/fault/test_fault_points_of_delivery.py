"""A worker killed around the commits that deliver to few: authors' copies, forwards, bounces, mail to the outside.

Each is there once in the end, however the worker died. Only what the smarthost took without its answer being recorded
goes to it once more.
"""

from collections import Counter

import pytest

from mailrecall import clock
from mailrecall.demo.client import Person
from mailrecall.directory import accounts, forwarding
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Folder, author_copy_id, message_of
from mailrecall.domain.recalls import Channel
from mailrecall.faultpoints import Commit
from mailrecall.mailstore import reading
from services.delivery.relaying import RECIPIENTS_AT_ONCE
from tests import company, correspondence
from tests.fault.scene import Scene
from tests.fault.test_fault_points import arm, assert_struck, points
from tests.smarthost import UNKNOWN, Smarthost


def folder(scene: Scene, account: Account, which: Folder = Folder.INBOX) -> list[int]:
    """What a folder shows."""
    with scene.databases.shard(account.shard) as connection:
        return [entry.copy_id for entry in reading.list_folder(connection, account.id, which, limit=100)]


def system_mail(scene: Scene, to: Account) -> list[int]:
    """What the house itself has written to somebody, delivered or not."""
    with scene.databases.control() as connection:
        rows = connection.execute(
            "SELECT m.id FROM message m JOIN envelope_recipient e ON e.message_id = m.id"
            " WHERE m.channel = %s AND e.account_id = %s",
            (Channel.SYSTEM, to.id),
        ).fetchall()
    return [message_id for (message_id,) in rows]


def assert_delivered(scene: Scene, message_id: int) -> None:
    """Make sure that every delivery was counted once: then the spool has let the content go, and not before."""
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT deliveries_left, delivered_at IS NOT NULL,"
            " EXISTS (SELECT FROM message_content WHERE message_id = message.id) FROM message WHERE id = %s",
            (message_id,),
        ).fetchone()
    assert row == (0, True, False)


@pytest.mark.rule(15, 28)
@pytest.mark.parametrize("point", points(Commit.FILE, Commit.FILE_RECORD))
def test_r15_r28_a_death_while_a_draft_that_was_sent_is_filed_files_it_once(scene, point):
    firm = company.found(scene.databases, people=2)
    author, reader = firm.people
    with Person(scene.session.gateway_url, author.address, company.PASSWORD) as person:
        person.sign_in()
        typed = {"to": [reader.address], "subject": "Plans", "text": "Good morning."}
        copy_id = person.ask("POST", "/drafts", json=typed).json()["id"]
        arm(scene, point)
        person.ask("POST", f"/drafts/{copy_id}/send")
    assert_struck(scene, point)

    scene.await_rest()

    assert folder(scene, author, Folder.DRAFTS) == []
    assert folder(scene, author, Folder.SENT) == [copy_id] == [author_copy_id(message_of(copy_id))]
    assert folder(scene, reader) == [message_of(copy_id)]
    with scene.databases.shard(author.shard) as connection:
        content = reading.content_of(connection, author.id, copy_id)
    assert content is not None
    assert b"Good morning." in content
    assert_delivered(scene, message_of(copy_id))


@pytest.mark.rule(4)
@pytest.mark.parametrize("point", points(Commit.FORWARD))
def test_r4_a_death_while_mail_is_forwarded_forwards_it_once(scene, point):
    firm = company.found(scene.databases, people=3)
    sender, forwarder, target = firm.people
    with scene.databases.control() as connection:
        forwarding.set_rule(connection, forwarder, Address.parse(target.address), keep_copy=True)
    arm(scene, point)
    message_id = correspondence.send(scene.databases, sender, forwarder)
    assert_struck(scene, point)

    scene.await_rest()

    with scene.databases.control() as connection:
        rows = connection.execute(
            "SELECT id FROM message WHERE channel = %s AND envelope_sender = %s", (Channel.FORWARDED, forwarder.address)
        ).fetchall()
    assert folder(scene, forwarder) == [message_id]
    assert [(copy_id,) for copy_id in folder(scene, target)] == rows
    assert len(rows) == 1
    assert_delivered(scene, message_id)
    assert_delivered(scene, rows[0][0])


@pytest.mark.parametrize("point", points(Commit.BOUNCE))
def test_a_death_while_mail_to_somebody_who_closed_bounces_tells_the_sender_once(scene, point):
    firm = company.found(scene.databases, people=3)
    sender, leaver, reader = firm.people
    accounts.close_account(scene.databases, Address.parse(leaver.address), now=clock.now())
    arm(scene, point)
    # whoever accepts it has looked its recipients up before
    message_id = correspondence.send(scene.databases, sender, leaver, reader)
    assert_struck(scene, point)

    scene.await_rest()

    bounces = system_mail(scene, sender)
    assert len(bounces) == 1
    assert folder(scene, sender) == bounces
    assert folder(scene, reader) == [message_id]
    assert_delivered(scene, message_id)


@pytest.mark.parametrize("point", points(Commit.RELAY, Commit.REFUSE, Commit.RELAY_RECORD))
def test_a_death_while_mail_goes_outside_repeats_at_most_what_was_not_recorded(scene, outside: Smarthost, point):
    (sender,) = company.found(scene.databases, people=1).people
    there = sorted(f"out{number:03}@elsewhere.example" for number in range(RECIPIENTS_AT_ONCE + 20))
    unknown = [f"{UNKNOWN}{number}@elsewhere.example" for number in range(2)]
    arm(scene, point)
    message_id = correspondence.send(scene.databases, sender, *there, *unknown)
    assert_struck(scene, point)

    scene.await_rest()

    taken = Counter(address for one in outside.envelopes if one.mail_from == sender.address for address in one.rcpt_tos)
    # the smarthost had answered for the first of them, and nobody had written it down
    twice = there[:RECIPIENTS_AT_ONCE] if point == "before_relay" else []
    assert taken == Counter(there) + Counter(twice)
    with scene.databases.control() as connection:
        rows = connection.execute(
            "SELECT address, relayed_at IS NOT NULL, failure FROM external_recipient WHERE message_id = %s",
            (message_id,),
        ).fetchall()
    relayed = dict.fromkeys(there, (True, None))
    refused = dict.fromkeys(unknown, (False, "550 5.1.1 No such user"))
    assert {address: (done, failure) for address, done, failure in rows} == relayed | refused
    bounces = system_mail(scene, sender)
    assert len(bounces) == 1
    assert folder(scene, sender) == bounces
    assert_delivered(scene, message_id)
