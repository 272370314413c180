"""`mailrecall shards` and `mailrecall reconcile`: what an operator types, and what each says when it cannot be done."""

from collections.abc import Callable, Iterator

import pytest
from click.testing import CliRunner, Result

from mailrecall import clock
from mailrecall.cli.main import main
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Folder
from mailrecall.mailstore import imap
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.shards import moving
from mailrecall.wiring import Process
from tests import company as companies
from tests import correspondence, dispatch
from tests.moving import copies, move, shard_of
from tests.servers import Servers

Command = Callable[..., Result]
PEOPLE = 6


@pytest.fixture(scope="module")
def settings(servers: Servers) -> Iterator[Settings]:
    """Three shards; who drains one takes it back."""
    with servers.fresh_settings(shards=3) as settings:
        yield settings


@pytest.fixture
def command(settings: Settings) -> Command:
    environment = {
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
    }

    def run(*arguments: str) -> Result:
        result = CliRunner(env=environment).invoke(main, arguments)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


def rows(command: Command) -> list[list[str]]:
    """What `shards list` shows, without its frame: number, state, mailboxes, closed ones, tasks."""
    shown = command("shards", "list")
    assert shown.exit_code == 0, shown.output
    cells = [[cell.strip() for cell in line.strip("│┃ ").split("│")] for line in shown.output.splitlines()]
    return [row for row in cells if row[0].isdigit()]


def test_a_shard_is_drained_shown_checked_and_taken_back(command: Command, databases: Databases):
    company = companies.found(databases, people=PEOPLE)
    message_id = correspondence.send(databases, company.postmaster, *company.people)
    dispatch.run(Process(databases.settings, databases))
    before = copies(databases, message_id)

    refused = command("shards", "remove", "0")
    assert refused.exit_code != 0
    assert "drain it first" in refused.output

    drained = command("shards", "drain", "0", "--at-once", "1")
    assert drained.exit_code == 0, drained.output
    assert "Shard 0 is empty." in drained.output
    assert 0 not in {shard_of(databases, one) for one in company.people}
    assert {mailbox_id for mailbox_id, _ in copies(databases, message_id)} == {mailbox_id for mailbox_id, _ in before}
    assert rows(command)[0] == ["0", "closed to new mailboxes", "0", "0", "0"]

    removed = command("shards", "remove", "0")
    assert removed.exit_code == 0, removed.output
    assert "Put '-' in place of its URL" in removed.output
    for _ in range(2):
        added = command("shards", "add", "0")
        assert added.exit_code == 0, added.output
    assert rows(command)[0][1] == "open"


def test_mailboxes_are_moved_by_address_and_by_number(command: Command, databases: Databases):
    people = companies.found(databases, people=PEOPLE).people
    moved = command("shards", "move", "--to", "2", people[0].address, people[1].address)
    assert moved.exit_code == 0, moved.output
    assert f"{people[0].address} is on shard 2." in moved.output
    assert [shard_of(databases, one) for one in people[:2]] == [2, 2]

    there = int(rows(command)[2][2])
    assert command("shards", "move", "--from", "2", "--to", "1", "--count", "1").exit_code == 0
    assert int(rows(command)[2][2]) == there - 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["move", "--to", "1"], "Name either addresses or the shard"),
        (["move", "--from", "1", "--to", "1"], "on that shard already"),
        (["move", "--from", "0", "--to", "9"], "There is no shard 9"),
        (["move", "--from", "9", "--to", "0"], "There is no shard 9"),
        (["move", "--to", "1", "nobody@nowhere.example"], "nobody@nowhere.example"),
        (["add", "9"], "put its URL at the end of that list"),
        (["drain", "9"], "There is no shard 9"),
        (["drain", "0", "--to", "0"], "no other shard"),
    ],
    ids=" ".join,
)
def test_what_cannot_be_done_is_said_and_changes_nothing(
    command: Command, databases: Databases, arguments: list[str], said: str
):
    people = companies.found(databases, people=2).people
    before = [shard_of(databases, one) for one in people]
    refused = command("shards", *arguments)
    assert refused.exit_code != 0
    assert said in refused.output
    assert [shard_of(databases, one) for one in people] == before


def test_nothing_moves_to_a_shard_that_is_closed(command: Command, databases: Databases):
    companies.found(databases, people=2)
    assert command("shards", "drain", "0").exit_code == 0
    refused = command("shards", "move", "--from", "1", "--to", "0")
    assert refused.exit_code != 0
    assert "open it with `mailrecall shards add 0` first" in refused.output
    assert command("shards", "add", "0").exit_code == 0


def test_a_second_mover_is_told_of_the_first(command: Command, settings: Settings, databases: Databases):
    with moving.mover(settings, databases):
        refused = command("shards", "move", "--from", "0", "--to", "1")
    assert refused.exit_code != 0
    assert "Another process is moving mailboxes" in refused.output


def test_an_interrupted_move_is_ended_by_the_next(command: Command, settings: Settings, databases: Databases):
    people = companies.found(databases, people=PEOPLE).people
    (who, *_) = [one for one in people if one.shard == 0]
    move(settings, databases, [who], 1, until="gone")
    said = command("shards", "move", "--to", "1", who.address)
    assert said.exit_code == 0, said.output
    assert "Ended 1 move that had been interrupted." in said.output
    assert shard_of(databases, who) == 1


def test_reconcile_finds_nothing_to_do_where_nothing_was_restored(command: Command, databases: Databases):
    company = companies.found(databases, people=2)
    correspondence.send(databases, company.postmaster, *company.people)
    for arguments in ((), ("--since", "2020-01-01")):
        said = command("reconcile", *arguments)
        assert said.exit_code == 0, said.output
        assert "Batches delivered again: 0" in said.output
        assert "carried out again: 0" in said.output


def look(databases: Databases, account: Account) -> imap.View:
    with databases.shard(account.shard) as connection:
        return imap.look(connection, imap.Place(account.id, Folder.INBOX), now=clock.now())


@pytest.mark.parametrize(("restored", "raised"), [(None, set()), ("2", {2}), ("0,2", {0, 2}), ("all", {0, 1, 2})])
def test_reconcile_has_imap_clients_read_anew_what_was_restored(
    command: Command, databases: Databases, restored: str | None, raised: set[int]
):
    company = companies.found(databases, people=PEOPLE)
    correspondence.send(databases, company.postmaster, *company.people)
    dispatch.run(Process(databases.settings, databases))
    people = {one.shard: one for one in company.people}
    assert {0, 2} <= set(people), "the other one may have been drained"
    before = {shard: look(databases, one) for shard, one in people.items()}
    for _ in range(2):
        said = command("reconcile", *(("--restored", restored) if restored else ()))
        assert said.exit_code == 0, said.output
        after = {shard: look(databases, one) for shard, one in people.items()}
        assert {shard for shard in people if after[shard].uid_validity > before[shard].uid_validity} == raised & set(
            people
        )
        assert all(after[shard].messages == before[shard].messages for shard in people)
        before = after


@pytest.mark.parametrize("restored", ["3", "0,3", "-1", "", "0;1", "some"])
def test_reconcile_refuses_shards_that_there_are_not(command: Command, restored: str):
    said = command("reconcile", "--restored", restored)
    assert said.exit_code == 2, said.output
    assert "there are 0, 1, 2" in said.output


def test_reconcile_lists_what_is_lost(command: Command, databases: Databases):
    company = companies.found(databases, people=1)
    message_id = correspondence.send(databases, company.postmaster, *company.people)
    dispatch.run(Process(databases.settings, databases))
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            connection.execute("DELETE FROM copy WHERE message_id / 2 = %s / 2", (message_id,))  # the author's as well
            connection.execute("DELETE FROM message WHERE body_id = %s", (message_id,))
            connection.execute("DELETE FROM body WHERE id = %s", (message_id,))
            connection.execute("DELETE FROM deposit WHERE message_id = %s", (message_id,))
    said = command("reconcile")
    assert said.exit_code == 1
    assert "1 messages that a shard had got are lost" in said.output
    assert str(message_id) in said.output
