"""The books after an example: what the stack says, by its ledgers and by its pages, against what the model allows."""

from collections import Counter
from collections.abc import Iterator, Sequence

from mailrecall.domain.outcomes import Outcome
from mailrecall.embedded.deadlines import poll
from tests import correspondence
from tests.chaos.model import Letter
from tests.chaos.people import Being, ViolationError
from tests.fault.scene import Scene

_PATIENCE = 240.0


def settle(scene: Scene, people: Sequence[Being], postmaster: Being, letters: Sequence[Letter]) -> None:
    """Wait until all that was accepted is delivered, recalls are settled and reported, undos and moves over."""
    for letter in letters:
        if letter.undo_asked:
            answer = postmaster.insist("POST", f"/recalls/{letter.recall}/undo")
            letter.undo_asked = answer.is_success
            if not answer.is_success and answer.json().get("code") != "nothing_to_restore":
                raise ViolationError(f"{letter.subject}: an undo that was asked for again: {answer.status_code}")
        elif letter.recall_asked:
            # R12: whoever lost the answer asks again, and gets the same recall
            answer = people[letter.sender].insist(
                "POST", "/recalls", json={"message_id": letter.sent_copy, "reason": "Asked again"}
            )
            again = answer.json().get("id")
            if not answer.is_success or letter.recall not in (None, again):
                raise ViolationError(f"{letter.subject}: asked again, the answer is {answer.status_code} {again}")
            letter.recall = again
    wanted = [letter.recall for letter in letters if letter.recall]

    def done() -> bool:
        row = scene.patiently(lambda: _open_work(scene, wanted, [letter.sent_copy & ~1 for letter in letters]))
        return not any(row)

    if not poll(done, timeout=_PATIENCE, pause=0.2):
        raise ViolationError("work was left undone: deliveries or recalls did not end")


def _open_work(scene: Scene, recalls: Sequence[str], messages: Sequence[int]) -> tuple[int, ...]:
    with scene.databases.control() as connection:
        row = connection.execute(
            "SELECT (SELECT count(*) FROM recall WHERE public_id = ANY (%s::uuid[])"
            "         AND (settled_at IS NULL OR report_message_id IS NULL)),"
            "       (SELECT count(*) FROM message WHERE id = ANY (%s) AND delivered_at IS NULL),"
            "       (SELECT count(*) FROM undo u JOIN recall r ON r.id = u.recall_id"
            "         WHERE r.public_id = ANY (%s::uuid[]) AND u.restored_at IS NULL),"
            "       (SELECT count(*) FROM move WHERE ended_at IS NULL)",
            (list(recalls), list(messages), list(recalls)),
        ).fetchone()
    assert row is not None
    return row


def violations(scene: Scene, people: Sequence[Being], letters: Sequence[Letter]) -> Iterator[str]:
    """Give everything in the books that no rule allows."""
    for letter in letters:
        outcomes = _ledger(scene, letter) if letter.recall else {}
        if letter.recall:
            yield from _wrong_outcomes(people, letter, outcomes)
        for person in letter.copies:
            yield from _wrong_copy(people[person], letter, person, outcomes.get(people[person].account.id))


def endings(scene: Scene, letters: Sequence[Letter]) -> Counter[str]:
    """Count what became of recalls, to see that the machine comes everywhere."""
    found: Counter[str] = Counter()
    for letter in letters:
        if letter.recall:
            taken = Outcome.RECALLED in _ledger(scene, letter).values()
            found[
                ("all went" if taken else "all stayed") if letter.atomic else ("some went" if taken else "none went")
            ] += 1
            found["undone"] += letter.undo_asked
    return found


def _ledger(scene: Scene, letter: Letter) -> dict[int, Outcome]:
    # a blow can have fallen right before
    return scene.patiently(lambda: _read_ledger(scene, letter))


def _read_ledger(scene: Scene, letter: Letter) -> dict[int, Outcome]:
    with scene.databases.control() as connection:
        row = connection.execute("SELECT id FROM recall WHERE public_id = %s", (letter.recall,)).fetchone()
    assert row is not None
    ledger = correspondence.ledger(scene.databases, row[0])
    if len({mailbox for mailbox, _ in ledger.rows}) != len(ledger.rows):
        raise ViolationError(f"{letter.subject}: somebody has two outcomes")
    counted = +Counter(dict(scene.view(row[0]).tally.counts))
    if counted != ledger.counts:
        raise ViolationError(f"{letter.subject}: counted {dict(counted)}, the ledgers say {dict(ledger.counts)}")
    return dict(ledger.rows)


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
