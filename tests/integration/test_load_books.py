"""The books of the load test notice whatever was promised and is not so."""

import uuid

import pytest

from mailrecall.domain.copies import AUTHOR_COPY_BIT, Fact
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.load import books
from tests.load.promises import Asked, Opened, Promises, Sent


@pytest.fixture
def firm(databases):
    return company.found(databases, people=4)


def delivered(databases, settings, firm) -> Sent:
    """A message to three people that somebody sent over HTTP."""
    message_id = correspondence.send(databases, firm.people[0], *firm.people[1:])
    dispatch.run(Process(settings, databases))
    return Sent(message_id | AUTHOR_COPY_BIT, 3)


def wrong(databases, promises):
    return books.check(databases, books.before(databases), promises).wrong


@pytest.mark.rule(2)
def test_r2_promises_that_were_kept_are_in_order(databases, settings, firm):
    sent = delivered(databases, settings, firm)
    correspondence.happen(databases, firm.people[1], sent.message_id, Fact.READ)
    assert wrong(databases, Promises(sent=[sent], opened=[Opened(firm.people[1].id, sent.message_id)])) == []


def test_a_message_that_was_accepted_and_is_nowhere_is_noticed(databases, settings, firm):
    message_id = delivered(databases, settings, firm).message_id + 1000
    assert wrong(databases, Promises(sent=[Sent(message_id | AUTHOR_COPY_BIT, 3)])) == [
        f"message {message_id} was accepted and is not delivered",
        f"message {message_id} is not in its author's Sent",
        f"message {message_id} went to 3 and reached 0",
    ]


def test_a_recipient_without_a_copy_is_noticed(databases, settings, firm):
    sent = delivered(databases, settings, firm)
    with databases.shard(firm.people[2].shard) as connection:
        connection.execute(
            "DELETE FROM copy WHERE mailbox_id = %s AND message_id = %s", (firm.people[2].id, sent.message_id)
        )
    assert wrong(databases, Promises(sent=[sent])) == [f"message {sent.message_id} went to 3 and reached 2"]


@pytest.mark.rule(2)
def test_r2_a_message_that_was_shown_and_is_not_known_to_be_read_is_noticed(databases, settings, firm):
    sent, reader = delivered(databases, settings, firm), firm.people[3].id
    assert wrong(databases, Promises(opened=[Opened(reader, sent.message_id)])) == [
        f"message {sent.message_id} was shown to mailbox {reader} and is not read there"
    ]


def test_a_recall_that_was_accepted_and_is_not_there_is_noticed(databases):
    recall_id = str(uuid.uuid4())
    assert wrong(databases, Promises(asked=[Asked(recall_id)])) == [f"recall {recall_id} was accepted and is not there"]
