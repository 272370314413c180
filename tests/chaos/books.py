"""The books after an example: what the stack says, by its ledgers and by its pages, against what the model allows."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.deadlines import poll
from tests import correspondence
from tests.chaos.hunt import Hunt
from tests.chaos.model import Letter
from tests.chaos.people import Being, ViolationError

_PATIENCE = 240.0


def is_delivered(hunt: Hunt, letter: Letter) -> bool:
    """Tell whether every copy of a letter was deposited."""
    with hunt.databases.control() as connection:
        row = connection.execute(
            "SELECT FROM message WHERE id = %s AND delivered_at IS NOT NULL", (letter.message,)
        ).fetchone()
    return row is not None


def settle(hunt: Hunt, people: Sequence[Being], postmaster: Being, letters: Sequence[Letter]) -> int:
    """Wait until all that was accepted is delivered, recalls are settled and reported, undos and moves over.

    Returns:
        how often a recall had to be tried again, because a shard had not answered in time (R12).
    """
    for letter in letters:
        if letter.undo_asked:
            _undo_again(postmaster, letter)
        if letter.recall_asked and not letter.undo_asked:
            _ask_again(people[letter.sender], letter)
    tried = 0

    def done() -> bool:
        nonlocal tried
        if any(hunt.patiently(lambda: _open_work(hunt, letters))):
            return False
        unreachable = hunt.patiently(lambda: _unreachable(hunt, letters))
        for letter in unreachable:
            _ask_again(people[letter.sender], letter)
        tried += len(unreachable)
        return not unreachable

    if not poll(done, timeout=_PATIENCE, pause=0.2):
        left = hunt.patiently(lambda: _open_work(hunt, letters))
        raise ViolationError(f"left undone: {left} recalls, batches, requests, deliveries, undos, moves, work at all")
    return tried


def _undo_again(postmaster: Being, letter: Letter) -> None:
    answer = postmaster.insist("POST", f"/recalls/{letter.recall}/undo")
    if answer.is_success:
        return
    letter.undo_refused()
    if answer.json().get("code") != "nothing_to_restore":
        raise ViolationError(f"{letter.subject}: an undo that was asked for again: {answer.status_code}")


def _ask_again(sender: Being, letter: Letter) -> None:
    """R12: whoever lost the answer asks again, and gets the same recall; what was unreachable is tried again."""
    answer = sender.insist("POST", "/recalls", json={"message_id": letter.sent_copy, "reason": "Asked again"})
    again = answer.json().get("id")
    if not answer.is_success or letter.recall not in (None, again):
        raise ViolationError(f"{letter.subject}: asked again, the answer is {answer.status_code} {again}")
    letter.recall = again


def _open_work(hunt: Hunt, letters: Sequence[Letter]) -> tuple[int, ...]:
    keys = {
        "recalls": [letter.recall for letter in letters if letter.recall],
        "messages": [letter.message for letter in letters],
    }
    with hunt.databases.control() as connection:
        row = connection.execute(
            "WITH mine AS (SELECT * FROM recall WHERE public_id = ANY (%(recalls)s::uuid[]))"
            " SELECT (SELECT count(*) FROM mine WHERE settled_at IS NULL OR report_message_id IS NULL),"
            "        (SELECT count(*) FROM mine r JOIN recall_batch b ON b.recall_id = r.id"
            "          WHERE b.state NOT IN ('done', 'unreachable')),"
            "        (SELECT count(*) FROM requested_message WHERE message_id = ANY (%(messages)s)"
            "                                                  AND refusal IS NULL AND recall_id IS NULL),"
            "        (SELECT count(*) FROM message WHERE id = ANY (%(messages)s) AND delivered_at IS NULL),"
            "        (SELECT count(*) FROM undo u JOIN mine r ON r.id = u.recall_id WHERE u.restored_at IS NULL),"
            "        (SELECT count(*) FROM move WHERE ended_at IS NULL),"
            # poison too is put aside in the end
            "        (SELECT count(*) FROM outbox WHERE NOT dead)",
            keys,
        ).fetchone()
    assert row is not None
    return row


def _unreachable(hunt: Hunt, letters: Sequence[Letter]) -> list[Letter]:
    """Find the letters whose recalls gave up on a shard, and that nobody has put back since."""
    with hunt.databases.control() as connection:
        rows = connection.execute(
            "SELECT r.public_id::text FROM recall r WHERE r.public_id = ANY (%s::uuid[])"
            " AND EXISTS (SELECT FROM recall_batch b WHERE b.recall_id = r.id"
            "              AND (b.state = 'unreachable' OR b.counts @? '$.*.unreachable'))",
            ([letter.recall for letter in letters if letter.recall and not letter.undo_asked],),
        ).fetchall()
    given_up = {recall for (recall,) in rows}
    return [letter for letter in letters if letter.recall in given_up]


def violations(hunt: Hunt, people: Sequence[Being], letters: Sequence[Letter]) -> Iterator[str]:
    """Give everything in the books that no rule allows."""
    for letter in letters:
        outcomes = ledger(hunt, letter) if letter.recall else {}
        # in doubt, what was counted of a shard that did not answer stays as it was counted
        if letter.recall and not letter.undone_in_doubt:
            yield from _wrong_outcomes(people, letter, outcomes)
        for person in letter.copies:
            yield from _wrong_copy(people[person], letter, person, outcomes.get(people[person].account.id))


def endings(hunt: Hunt, letters: Sequence[Letter]) -> Counter[str]:
    """Count what became of recalls, to see that the machine comes everywhere."""
    found: Counter[str] = Counter()
    for letter in letters:
        if letter.recall:
            taken = Outcome.RECALLED in ledger(hunt, letter).values()
            found[
                ("all went" if taken else "all stayed") if letter.atomic else ("some went" if taken else "none went")
            ] += 1
            found["undone"] += letter.undo_asked
    return found


def ledger(hunt: Hunt, letter: Letter) -> dict[int, Outcome]:
    """Return what a letter's recall says became of each copy, and make sure that its counts say the same."""
    # a blow can have fallen right before
    return hunt.patiently(lambda: _read_ledger(hunt, letter))


def _read_ledger(hunt: Hunt, letter: Letter) -> dict[int, Outcome]:
    with hunt.databases.control() as connection:
        row = connection.execute("SELECT id FROM recall WHERE public_id = %s", (letter.recall,)).fetchone()
    assert row is not None
    found = correspondence.ledger(hunt.databases, row[0])
    if len({mailbox for mailbox, _ in found.rows}) != len(found.rows):
        raise ViolationError(f"{letter.subject}: somebody has two outcomes")
    counted = +Counter(dict(hunt.view(row[0]).tally.counts))
    if counted != found.counts and not letter.undone_in_doubt:
        raise ViolationError(f"{letter.subject}: counted {dict(counted)}, the ledgers say {dict(found.counts)}")
    return dict(found.rows)


def _wrong_outcomes(people: Sequence[Being], letter: Letter, outcomes: dict[int, Outcome]) -> Iterator[str]:
    owners = {people[person].account.id: copy for person, copy in letter.copies.items()}
    if owners.keys() != outcomes.keys():
        yield f"{letter.subject}: {len(owners)} recipients, {len(outcomes)} outcomes"
    all_stay = letter.atomic and Outcome.RECALLED not in outcomes.values()
    if letter.atomic and not all_stay:
        if set(outcomes.values()) != {Outcome.RECALLED}:
            yield f"{letter.subject}: half of it went: {Counter(each.slug for each in outcomes.values())}"
        if any(copy.known for copy in letter.copies.values()):
            yield f"{letter.subject}: all of it went, in spite of {letter.copies}"
    if all_stay and not any(copy.known or copy.possible for copy in letter.copies.values()):
        yield f"{letter.subject}: none of it went, and nothing kept it"
    for mailbox, outcome in outcomes.items():
        copy = owners.get(mailbox)
        possible = (copy.outcomes_if_all_stay() if all_stay else copy.outcomes()) if copy is not None else set()
        if copy is not None and outcome not in possible:
            allowed = sorted(each.slug for each in possible)
            yield f"{letter.subject}: {outcome.slug} is written down, allowed were {allowed} ({copy})"


def _wrong_copy(owner: Being, letter: Letter, person: int, outcome: Outcome | None) -> Iterator[str]:
    copy = letter.copies[person]
    found = owner.find(letter.subject)
    taken = outcome is Outcome.RECALLED
    if taken and found is not None and not letter.undo_asked:
        yield f"{letter.subject}: recalled, and still to be seen"
    if taken and not letter.undo_asked and copy.copied and owner.find(letter.subject, "archive") is not None:
        yield f"{letter.subject}: recalled, and its copy in the archive still to be seen"
    if outcome is Outcome.GONE or (taken and not letter.undo_asked):
        return
    if found is not None and copy.deleted:
        yield f"{letter.subject}: deleted, and still to be seen"
    if found is None and not copy.may_be_deleted:
        what = "put back" if taken else "neither recalled nor deleted"
        yield f"{letter.subject}: {what}, and not to be seen ({copy})"
    # a read whose answer was lost can have run late, after the undo
    read = copy.later | copy.later_possible | copy.possible
    if taken and found is not None and not found["unread"] and not read:
        yield f"{letter.subject}: put back, and not unread ({copy})"
