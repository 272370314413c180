"""`mailrecall outbox`: work that failed too often, shown, tried again and dropped, by its ids and nothing else."""

import json

import pytest
from click.testing import CliRunner

from mailrecall import clock
from mailrecall.cli.main import main
from mailrecall.outbox import store as outbox
from mailrecall.outbox import work


@pytest.fixture
def command(settings, monkeypatch):
    monkeypatch.setenv("MAILRECALL_CONTROL_URL", settings.control_url)
    monkeypatch.setenv("MAILRECALL_SHARD_URLS", " ".join(settings.shard_urls))
    monkeypatch.setenv("MAILRECALL_BROKER_URL", settings.broker_url)
    return lambda *arguments: CliRunner().invoke(main, ["outbox", *arguments])


@pytest.fixture
def poison(databases):
    """The numbers of two pieces of work that are put aside; a third one waits."""
    with databases.control() as control:
        control.execute("DELETE FROM outbox")
        outbox.add(control, [work.expand(2), work.withdraw(7, 3, 1), work.settle(9)], due_at=clock.now())
        due = outbox.take_due(control, now=clock.now(), limit=3)
        first, second, _third = sorted(due, key=lambda publication: publication.work_id)
        for publication in (first, second):
            outbox.fail(control, publication.work_id, "ValueError", outage=False, most=1, now=clock.now())
    return first.work_id, second.work_id


def dead(databases):
    with databases.control() as control:
        return {row[0] for row in control.execute("SELECT id FROM outbox WHERE dead")}


def test_what_is_put_aside_is_shown_with_its_ids_and_its_failure(command, poison):
    shown = command("list")
    assert shown.exit_code == 0
    first, second = shown.output.splitlines()
    assert first.startswith(f"{poison[0]}  delivery.expand  message_id=2  1 failures, the last ")
    assert second.startswith(f"{poison[1]}  recall.withdraw  ")
    assert second.endswith("Z: ValueError")
    assert {"batch=3", "recall_id=7", "shard=1"} < set(second.split())

    (only,) = command("list", "--task", "recall.withdraw", "--json").output.splitlines()
    told = json.loads(only)
    assert (told["work"], told["ids"], told["failure"]) == (
        poison[1],
        {"recall_id": 7, "batch": 3, "shard": 1},
        "ValueError",
    )


def test_retried_work_is_published_with_all_its_tries(command, poison, databases):
    assert command("retry", str(poison[0])).output == "1 to be tried again.\n"
    assert dead(databases) == {poison[1]}
    with databases.control() as control:
        (publication,) = outbox.take_due(control, now=clock.now(), limit=10)
        assert publication.work_id == poison[0]
        assert not outbox.fail(control, publication.work_id, "ValueError", outage=False, most=2, now=clock.now())

    assert command("retry", "--all").output == "1 to be tried again.\n"
    assert dead(databases) == set()
    assert command("list").output == "Nothing is put aside.\n"


def test_dropped_work_is_gone_once_it_is_confirmed(command, poison, databases):
    assert command("drop", str(poison[0])).exit_code != 0  # nobody answered the question
    assert dead(databases) == set(poison)
    assert command("drop", "--yes", "--task", "delivery.expand").output == "1 dropped.\n"
    assert dead(databases) == {poison[1]}


@pytest.mark.parametrize("arguments", [["retry"], ["drop", "--yes"], ["retry", "5", "--all"]])
def test_it_has_to_be_said_which_work(command, poison, databases, arguments):
    refused = command(*arguments)
    assert refused.exit_code == 2
    assert "by its numbers, or say --all" in refused.output
    assert dead(databases) == set(poison)


@pytest.mark.parametrize("verb", [["retry"], ["drop", "--yes"]])
def test_work_that_is_not_put_aside_is_refused_and_nothing_is_changed(command, poison, databases, verb):
    refused = command(*verb, str(poison[0]), "999999")
    assert refused.exit_code == 1
    assert "Not put aside: 999999." in refused.output
    assert dead(databases) == set(poison)
