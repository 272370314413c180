"""What must not be left anywhere once everything has come to its end, whatever the model knows of it."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mailrecall.audit import verification
from mailrecall.domain.copies import PREPARED
from tests.chaos import poison
from tests.chaos.hunt import Hunt
from tests.chaos.model import Letter


def found(hunt: Hunt, letters: Sequence[Letter], organisation_id: int) -> Iterator[str]:
    """Give everything that is left over, doubled or broken."""
    if besides := hunt.patiently(lambda: poison.put_aside_besides(hunt)):
        yield f"work {sorted(besides)} was put aside"
    messages = [letter.message for letter in letters]
    copies: Counter[tuple[int, int]] = Counter()
    for shard in hunt.databases.shards:
        on_shard, undecided = hunt.patiently(lambda shard=shard: _on_shard(hunt, shard, messages))  # type: ignore[misc]
        copies += on_shard
        if undecided:
            yield f"shard {shard} holds {undecided} copies or batches for a decision (R13)"
    for (message_id, mailbox_id), count in copies.items():
        if count > 1:
            yield f"mailbox {mailbox_id} has {count} copies of message {message_id}"
    recalls = [letter.recall for letter in letters if letter.recall]
    for subject, reports in hunt.patiently(lambda: _reports(hunt, recalls)):
        if reports != 1:
            yield f"{subject}: {reports} reports of its recall (R18)"
    if not hunt.patiently(lambda: _trail_is_sound(hunt, organisation_id)):
        yield "the audit trail is broken (R27)"


def _on_shard(hunt: Hunt, shard: int, messages: Sequence[int]) -> tuple[Counter[tuple[int, int]], int]:
    """Count each recipient's copies, without those that a mailbox left behind as it moved, and what is undecided."""
    with hunt.databases.shard(shard) as connection:
        rows = connection.execute(
            "SELECT message_id, mailbox_id FROM copy WHERE message_id = ANY (%s)"
            " AND mailbox_id NOT IN (SELECT mailbox_id FROM absence)",
            (list(messages),),
        ).fetchall()
        left = connection.execute(
            "SELECT (SELECT count(*) FROM prepared WHERE message_id = ANY (%s))"
            "     + (SELECT count(*) FROM copy WHERE facts & %s <> 0"
            "         AND mailbox_id NOT IN (SELECT mailbox_id FROM absence))",
            (list(messages), PREPARED),
        ).fetchone()
    assert left is not None
    return Counter((message_id, mailbox_id) for message_id, mailbox_id in rows), left[0]


def _reports(hunt: Hunt, recalls: Sequence[str]) -> list[tuple[str, int]]:
    with hunt.databases.control() as connection:
        return connection.execute(
            "SELECT m.subject, (SELECT count(*) FROM message p JOIN envelope_recipient e ON e.message_id = p.id"
            "                    WHERE p.channel = 'system' AND e.account_id = r.requested_by"
            "                      AND position(m.subject IN p.subject) > 0)"
            "  FROM recall r JOIN message m ON m.id = r.message_id WHERE r.public_id = ANY (%s::uuid[])",
            (list(recalls),),
        ).fetchall()


def _trail_is_sound(hunt: Hunt, organisation_id: int) -> bool:
    with hunt.databases.control() as connection:
        return verification.verify(connection, organisation_id).sound
