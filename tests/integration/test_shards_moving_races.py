"""Mailboxes that move at the very moment in which somebody writes down what was done with them."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from mailrecall import clock, faultpoints
from mailrecall.domain.copies import author_copy_id
from mailrecall.faultpoints import Commit
from mailrecall.mailstore.residence import Home
from mailrecall.messages import delivery
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.locks import until_somebody_waits_for_a_lock
from tests.moving import move, run_all, shard_of


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 9}), databases)


class DiedError(Exception):
    """A worker is dead."""


def test_a_deposit_that_is_recorded_while_its_batch_is_divided_is_counted_once(process, databases, monkeypatch):
    firm = company.found(databases, people=5)
    sender, *others = firm.people
    stays, moves = [person for person in others if person.shard == 0]
    message_id = correspondence.send(databases, sender, stays, moves)
    dispatch.run(process, Task.EXPAND)

    def die(commit: Commit) -> None:
        if commit is Commit.DEPOSIT:
            raise DiedError

    with monkeypatch.context() as patched:
        patched.setattr(faultpoints, "after", die)
        with pytest.raises(DiedError):
            dispatch.run(process, Task.DEPOSIT)

    with ThreadPoolExecutor(1) as threads:
        with databases.control() as recording:
            delivery.record_deposit(recording, message_id, 1, forwards=[], now=clock.now())
            moving = threads.submit(move, process.settings, databases, [moves], 1)
            until_somebody_waits_for_a_lock(process.settings)
        moving.result()
    run_all(process)

    with databases.control() as connection:
        row = connection.execute(
            "SELECT deliveries_left, delivered_at IS NOT NULL FROM message WHERE id = %s", (message_id,)
        ).fetchone()
    assert row == (0, True)


@pytest.mark.rule(15)
def test_r15_an_author_who_moves_while_their_copy_is_filed_has_its_content(process, databases, monkeypatch):
    firm = company.found(databases, people=3)
    author, *others = firm.people
    colleague = next(person for person in others if person.shard == author.shard)
    message_id = correspondence.send(databases, author, colleague)
    dispatch.run(process, Task.EXPAND, Task.DEPOSIT)  # the content is where the author is
    opened, open_home = [], Home.open

    def move_before_the_second(self):
        opened.append(self)
        if len(opened) == 2:
            move(process.settings, databases, [author], 1 - author.shard)
        return open_home(self)

    monkeypatch.setattr(Home, "open", move_before_the_second)
    dispatch.run(process, Task.FILE_AUTHOR_COPY)

    shard = shard_of(databases, author)
    assert correspondence.has_copy(databases, replace(author, shard=shard), author_copy_id(message_id))
    with databases.shard(shard) as connection:
        assert connection.execute("SELECT FROM body WHERE id = %s", (message_id,)).fetchone() is not None


def test_a_move_uses_a_number_for_each_batch_that_it_divides_and_no_more(process, databases):
    firm = company.found(databases, people=5)
    sender, *others = firm.people
    here = [person for person in others if person.shard == 0]
    correspondence.send(databases, sender, *here)
    run_all(process)

    def last_number() -> int:
        with databases.control() as connection:
            row = connection.execute("SELECT last_value FROM moved_batch").fetchone()
        assert row is not None
        return int(row[0])

    # the first of all numbers is the sequence's last value before it was given, and after
    move(process.settings, databases, here[:1], 1)
    before = last_number()
    move(process.settings, databases, here[1:], 1)

    assert last_number() == before + 1
