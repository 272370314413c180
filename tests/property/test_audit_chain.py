"""R27: whatever is done to a chain of audit records, it is found."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailrecall.domain.trail import Actor, Entry, Event, Fault, Head, Record, chain, find_break, hash_of

DAY = datetime(2026, 3, 2, 9, 0, tzinfo=UTC)

details = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=5), below, max_size=3),
    max_leaves=5,
)
entries = st.builds(
    lambda event, account, recall, detail: Entry(
        organisation_id=7,
        event=event,
        actor=Actor.account(account),
        recall_id=recall,
        message_id=recall and recall * 2,
        details=detail,
    ),
    st.sampled_from(Event),
    st.integers(1, 9),
    st.none() | st.integers(1, 9),
    st.dictionaries(st.text(max_size=5), details, max_size=3),
)


def chained(given_entries: list[Entry]) -> list[Record]:
    records: list[Record] = []
    head = Head()
    for number, entry in enumerate(given_entries):
        record = chain(entry, head, now=DAY + timedelta(minutes=number))
        records.append(record)
        head = Head(record.number, record.hash)
    return records


def first_break(records: list[Record], end: Head) -> Fault | None:
    """What a check of the whole chain finds first."""
    head = Head()
    for record in records:
        if (fault := find_break(record, head)) is not None:
            return fault
        head = Head(record.number, record.hash)
    return None if head == end else Fault.TRUNCATED


def end_of(records: list[Record]) -> Head:
    return Head(records[-1].number, records[-1].hash)


chains = st.lists(entries, min_size=1, max_size=6).map(chained)


@pytest.mark.rule(27)
@given(chains)
def test_r27_an_untouched_chain_is_sound(records):
    assert first_break(records, end_of(records)) is None


ALTERATIONS = {
    "organisation_id": lambda value: value + 1,
    "at": lambda value: value + timedelta(microseconds=1),
    "event": lambda value: value + "x",
    "actor": lambda _: "operator",
    "account_id": lambda value: value + 1,
    "recall_id": lambda value: (value or 0) + 1,
    "message_id": lambda value: (value or 0) + 1,
    "details": lambda value: {**value, "more": 1},
    "previous": lambda value: bytes([value[0] ^ 1]) + value[1:],
    "hash": lambda value: value[:-1] + bytes([value[-1] ^ 1]),
}


def test_every_field_of_a_record_is_altered_here_but_its_number():
    assert {*ALTERATIONS, "number"} == {*Record.__dataclass_fields__}


@pytest.mark.rule(27)
@given(chains, st.data())
def test_r27_an_altered_record_is_found_whatever_was_altered(records, data):
    end = end_of(records)
    at = data.draw(st.integers(0, len(records) - 1))
    for field, alter in ALTERATIONS.items():
        altered = replace(records[at], **{field: alter(getattr(records[at], field))})

        assert first_break([*records[:at], altered, *records[at + 1 :]], end) is not None, field
        # and with a hash that fits, it is not what the next one, or the head, follows
        fitting = replace(altered, hash=hash_of(altered))
        if field != "hash":
            assert first_break([*records[:at], fitting, *records[at + 1 :]], end) is not None, field


@pytest.mark.rule(27)
@given(chains, st.data())
def test_r27_a_removed_record_is_found_the_last_one_too(records, data):
    at = data.draw(st.integers(0, len(records) - 1))
    assert first_break(records[:at] + records[at + 1 :], end_of(records)) in (Fault.MISSING, Fault.TRUNCATED)


@pytest.mark.rule(27)
@given(chains.filter(lambda records: len(records) > 1), st.data())
def test_r27_a_changed_order_is_found_even_under_the_right_numbers(records, data):
    one = data.draw(st.integers(0, len(records) - 2))
    other = data.draw(st.integers(one + 1, len(records) - 1))
    swapped = list(records)
    swapped[one], swapped[other] = swapped[other], swapped[one]
    numbered = [replace(record, number=number) for number, record in enumerate(swapped, start=1)]

    assert first_break(swapped, end_of(records)) is Fault.MISSING
    assert first_break(numbered, end_of(records)) is not None


@pytest.mark.rule(27)
@given(chains, entries, st.data())
def test_r27_an_inserted_record_is_found(records, entry, data):
    at = data.draw(st.integers(0, len(records)))
    before = Head(records[at - 1].number, records[at - 1].hash) if at else Head()
    forged = chain(entry, before, now=DAY)
    after = [replace(record, number=record.number + 1) for record in records[at:]]

    assert first_break([*records[:at], forged, *records[at:]], end_of(records)) is not None
    assert first_break([*records[:at], forged, *after], end_of(records)) is not None


@pytest.mark.rule(27)
@pytest.mark.parametrize("detail", [1.5, b"x", {"deep": [0.1]}, object()], ids=["fraction", "octets", "deep", "object"])
def test_r27_what_a_hash_could_not_hold_is_refused(detail):
    entry = Entry(organisation_id=1, event=Event.PURGED, actor=Actor.account(1), details={"it": detail})
    with pytest.raises(TypeError, match="audit record"):
        chain(entry, Head(), now=DAY)
