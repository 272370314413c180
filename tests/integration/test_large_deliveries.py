"""Mail to many: rows written in bulk and plans chosen for size give what the ordinary ways give."""

from datetime import UTC, datetime

import pytest

from mailrecall.domain.copies import Folder
from mailrecall.mailstore.deposit import ListedMessage, deposit
from mailrecall.messages import expansion
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch

LISTED = ListedMessage(
    accepted_at=datetime(2026, 11, 28, 12, 0, tzinfo=UTC),
    size=1,
    from_header="",
    to_header="",
    subject="",
    preview="",
    attachments=0,
)


@pytest.mark.parametrize(
    ("number", "via"),
    [
        pytest.param(1, [3] * 250, id="through one group"),
        pytest.param(2, [n % 3 for n in range(250)], id="through several addressees"),
    ],
)
def test_copies_written_in_bulk_are_as_any_other(databases: Databases, number: int, via: list[int]):
    message_id = 900_000 + 2 * number
    mailbox_ids = list(range(1_000, 1_250))
    with databases.shard(0) as connection:
        assert deposit(connection, message_id, 1, LISTED, b"-", mailbox_ids=mailbox_ids, via=via)
    with databases.shard(0) as connection:
        assert not deposit(connection, message_id, 1, LISTED, None, mailbox_ids=mailbox_ids, via=via)
        rows = connection.execute(
            "SELECT mailbox_id, folder, via, facts, flags, touched_at, uid FROM copy WHERE message_id = %s"
            " ORDER BY mailbox_id",
            (message_id,),
        ).fetchall()
    assert rows == [(m, Folder.INBOX, v, 0, 0, None, None) for m, v in zip(mailbox_ids, via, strict=True)]


def test_a_large_group_is_expanded_as_a_small_one(
    settings: Settings, databases: Databases, monkeypatch: pytest.MonkeyPatch
):
    firm = company.found(databases, people=12)
    inner = company.group(databases, f"inner@{firm.domain}", firm.people[:5])
    outer = company.group(databases, f"outer@{firm.domain}", [inner, *firm.people[3:11]])
    process = Process(settings.model_copy(update={"batch_size": 2}), databases)
    small = correspondence.send(databases, firm.people[11], outer, firm.people[0])
    dispatch.run(process)
    monkeypatch.setattr(expansion, "_MANY", 3)
    large = correspondence.send(databases, firm.people[11], outer, firm.people[0])
    dispatch.run(process)

    def batches(message_id: int) -> list[tuple[object, ...]]:
        with databases.control() as connection:
            return connection.execute(
                "SELECT batch, shard, mailbox_ids, via, kinship, recipients, furthest_kinship FROM delivery_batch"
                " WHERE message_id = %s ORDER BY batch",
                (message_id,),
            ).fetchall()

    assert batches(large) == batches(small) != []


@pytest.mark.parametrize("largest", range(1, 9))
def test_a_shards_recipients_are_cut_into_ranges_as_few_and_as_equal_as_can_be(
    settings: Settings, databases: Databases, largest: int
):
    firm = company.found(databases, people=15)
    team = company.group(databases, f"team@{firm.domain}", firm.people[1:])
    process = Process(settings.model_copy(update={"batch_size": largest}), databases)
    message_id = correspondence.send(databases, firm.people[0], team)

    dispatch.run(process)

    with databases.control() as connection:
        found = connection.execute(
            "SELECT shard, mailbox_ids FROM delivery_batch WHERE message_id = %s ORDER BY shard, batch", (message_id,)
        ).fetchall()
    for shard in databases.shards:
        members = [person.id for person in firm.people[1:] if person.shard == shard]
        ranges = [mailbox_ids for on, mailbox_ids in found if on == shard]
        assert [mailbox for mailbox_ids in ranges for mailbox in mailbox_ids] == sorted(members)
        assert len(ranges) == -(-len(members) // largest)
        assert max(map(len, ranges)) - min(map(len, ranges)) <= 1
