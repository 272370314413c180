"""What the benchmark makes of its measurements: arithmetic, tables, the picture, the page."""

from typing import Any
from xml.etree import ElementTree as ET

import pytest

from benchmarks.__main__ import command
from benchmarks.bare import ranges
from benchmarks.books import expected
from benchmarks.chart import chart
from benchmarks.crowding import Spans
from benchmarks.dataset import Company, sizes_up_to
from benchmarks.errors import BenchmarkError
from benchmarks.record import placed, record
from benchmarks.samples import Latency, Samples, quantile
from benchmarks.tables import limit, tables
from benchmarks.watchers import Watched
from mailrecall.domain.outcomes import Outcome

SERVER = {"server_version": "18.6"} | dict.fromkeys(
    ("fsync", "synchronous_commit", "full_page_writes", "wal_compression"), "on"
)
MACHINE = {"system": "Linux x86_64", "cores": 2, "memory_gib": 24, "load_before": 0.1}


def latency(p50: float, p99: float) -> dict[str, object]:
    return {"count": 100, "p50_seconds": p50, "p99_seconds": p99}


def result() -> dict[str, object]:
    medians = {
        "bare_ranges": 200_000.0,
        "bare_ranges_log_octets": 310.0,
        "bare_one_a_shard": 240_000.0,
        "bare_product_ranges": 250_000.0,
        "whole_system": 175_000.0,
        "task_per_recipient": 500.0,
        "bare_copy_ranges": 90_000.0,
        "bare_copy_one_a_shard": 100_000.0,
        "delivery": 50_000.0,
    }
    growth = {
        "recipients": 1_000,
        "peak_mib": {"recall": 90.4},
        **{
            f"{what}_seconds": {"median": 0.5, "values": [0.4, 0.5, 0.7]}
            for what in ("delivered", "answered", "settled", "reported")
        },
    }
    kinds = ("small_recall_answered", "small_recall_settled", "read")
    return {
        "command": "make bench",
        "mailboxes": 1_000,
        "older_mails_each": 20,
        "shards": 4,
        "rounds_each": 5,
        "machine": MACHINE,
        "server": SERVER,
        "rounds": {
            name: {"median": value, "values": [value - 100, value, value + 200]} for name, value in medians.items()
        },
        "growth": [growth],
        "crowding": {
            "idle": {**dict.fromkeys(kinds, latency(0.01, 0.02)), "dropped": 3},
            "busy": {**dict.fromkeys(kinds, latency(0.02, 0.05)), "dropped": 4},
        },
    }


@pytest.mark.parametrize(
    ("values", "share", "found"),
    [([3.0], 0.99, 3.0), ([2, 1], 0.5, 1), (range(1, 101), 0.99, 99), (range(1, 101), 1, 100), (range(1, 4), 0.5, 2)],
)
def test_a_quantile_is_one_of_the_values(values, share, found):
    assert quantile(list(values), share) == found


@pytest.mark.parametrize(("values", "share"), [([], 0.5), ([1.0], 0), ([1.0], 1.1)])
def test_a_quantile_of_nothing_is_refused(values, share):
    with pytest.raises(ValueError, match=r"there is no quantile|a share lies"):
        quantile(values, share)


def test_latencies_and_samples_tell_what_they_were_taken_from():
    assert Latency.of([0.1, 0.3, 0.2]).as_json() == {"count": 3, "p50_seconds": 0.2, "p99_seconds": 0.3}
    assert Samples([1.0, 9.0, 2.0]).as_json() == {"median": 2.0, "values": [1.0, 9.0, 2.0]}


def test_growth_is_measured_in_powers_of_ten():
    assert sizes_up_to(1_000) == [1_000]
    assert sizes_up_to(100_000) == [1_000, 10_000, 100_000]
    assert sizes_up_to(250_000) == [1_000, 10_000, 100_000, 250_000]


def test_each_member_lies_on_one_shard():
    company = Company(1_000, [1_000])
    members = [mailbox for shard in range(4) for mailbox in company.members_on(shard, 4, 1_000)]
    assert sorted(members) == list(range(1, 1_001))


@pytest.mark.parametrize(
    ("members", "most", "lengths"),
    [(range(0), 5, []), (range(4, 44, 4), None, [10]), (range(4, 44, 4), 4, [4, 3, 3]), (range(10), 10, [10])],
)
def test_bare_ranges_are_as_few_and_as_equal_as_can_be(members, most, lengths):
    cut = list(ranges(members, most))
    assert [len(part) for part in cut] == lengths
    assert [mailbox for part in cut for mailbox in part] == list(members)


def test_of_a_hundred_recipients_thirty_keep_their_copy():
    outcomes = [expected(mailbox) for mailbox in range(1, 101)]
    assert outcomes.count(Outcome.RECALLED) == 70
    assert {*outcomes} == {
        Outcome.RECALLED,
        Outcome.ALREADY_READ,
        Outcome.ATTACHMENT_DOWNLOADED,
        Outcome.FORWARDED,
        Outcome.FETCHED_BY_POP3,
        Outcome.GONE,
    }


def test_the_limit_is_the_best_of_the_bare_ways():
    assert limit(result()) == 250_000
    text = tables(result())
    assert "| 175,000 | 174,900 – 175,200 | 0.7 |  |" in text
    assert "| one Celery task for each recipient | 500 | 400 – 700 | 0.002 | 350.00 × |" in text
    assert "| 50,000 | 49,900 – 50,200 | 0.50 |" in text
    assert "| 0.400 – 0.700 | 2,000 |" in text
    assert "ended after their turn: 3 alone; 4 beside a large recall." in text
    assert "| 2.50 | 100, 100 |" in text


def test_what_was_not_measured_is_left_out():
    assert "doveadm" not in tables(result())
    assert tables({"mailboxes": 1_000}) == ""


def test_the_picture_has_a_bar_for_each_way():
    drawn = ET.fromstring(chart(result()))
    labels = [text.text for text in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "175,000" in labels
    assert "one Celery task for each recipient" in labels
    assert "1,000 mailboxes, recipients/s" in labels


def test_the_command_names_what_was_asked_for():
    assert command(1_000, 5, shards=4, workers=2, parts=()) == "make bench ARGS='--mailboxes 1000 --rounds 5'"
    other = command(1_000, 1, shards=2, workers=1, parts=("growth", "rounds"))
    assert other.endswith("--rounds 1 --shards 2 --workers 1 --part growth --part rounds'")


def test_figures_are_recorded_with_a_picture_of_their_size(tmp_path):
    page = tmp_path / "benchmarks.md"
    page.write_text("<!-- figures of 1000: begin -->\n<!-- figures of 1000: end -->\n", encoding="utf-8")
    record(tmp_path, result())
    assert "](benchmarks-1000.svg)" in page.read_text(encoding="utf-8")
    ET.fromstring((tmp_path / "benchmarks-1000.svg").read_text(encoding="utf-8"))


def test_what_ends_after_its_turn_is_dropped():
    busy = Spans()
    busy.take(Spans(answered=[(0.0, 1.0)], settled=[(0.0, 3.0)], read=[(0.0, 2.0), (1.0, 2.5)]), 2.0)
    assert (busy.answered, busy.settled, busy.read, busy.dropped) == ([(0.0, 1.0)], [], [(0.0, 2.0)], 2)
    assert not busy.are_enough()
    assert "small_recall_settled" not in busy.as_json()


def test_figures_replace_those_of_the_same_size():
    page = "before\n<!-- figures of 1000: begin -->\nfigures of yesterday\n<!-- figures of 1000: end -->\nafter\n"
    once = placed(page, result())
    assert once.startswith("before\n")
    assert once.endswith("\nafter\n")
    assert "yesterday" not in once
    assert placed(once, result()) == once
    with pytest.raises(BenchmarkError, match="figures of 1000"):
        placed("no place", result())


def watched(**changes: object) -> Watched:
    as_it_has_to_be: dict[str, Any] = {
        "name": "recall",
        "viewers": 200,
        "processes": 2,
        "transactions": {0: 1.0, 1: 5.0, 200: 9.0},
        "memory": (250.0, 270.0, 270.0),
        "failures": {},
        "events": 4,
        "told_after": [0.3, 0.7, 1.9],
    }
    return Watched(**as_it_has_to_be | changes)


@pytest.mark.rule(22)
@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({}, ""),
        ({"failures": {"was answered 503": 1}}, "1 of 200 did not see the end: was answered 503"),
        ({"told_after": [0.3, 2.01]}, "2.01 s after it"),
        ({"transactions": {0: 1.0, 1: 5.0, 200: 10.1}}, "9.1 times a second"),
        ({"memory": (250.0, 351.0, 250.0)}, "101 MiB of the gateway"),
        ({"memory": (250.0, 310.0, 301.0)}, "51 MiB are not given back"),
    ],
)
def test_r22_what_is_wrong_with_many_who_watch_is_told(changes, wrong):
    told = list(watched(**changes).wrong())
    assert len(told) == bool(wrong)
    assert wrong in "".join(told)
    assert "0.30 s" in str(watched(**changes))
