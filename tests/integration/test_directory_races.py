"""R13 under concurrent edits: two that are harmless alone must not close a cycle together."""

import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from mailrecall.directory import groups
from mailrecall.directory.errors import Code, DirectoryError
from mailrecall.domain.addresses import Address
from mailrecall.domain.groups import refuse_cycles
from tests import company
from tests.company import refused


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what was waited for never came"
        threading.Event().wait(0.01)


@pytest.mark.rule(13)
def test_r13_two_edits_at_once_cannot_make_a_cycle(databases):
    firm = company.found(databases, people=0)
    a, b = (Address.parse(company.group(databases, f"{name}@{firm.domain}", []).address) for name in "ab")

    def add_other_way_round() -> None:
        with databases.control() as connection, refused(Code.GROUP_CYCLE):
            groups.add_member(connection, b, a)

    def somebody_waits() -> bool:
        with databases.control() as connection:
            waiting = connection.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted")
            return len(waiting.fetchall()) == 1

    with ThreadPoolExecutor() as pool:
        with databases.control() as connection:
            assert groups.add_member(connection, a, b)
            second = pool.submit(add_other_way_round)
            until(somebody_waits)
        second.result(timeout=60)


@pytest.mark.rule(13)
def test_r13_many_edits_at_once_leave_no_cycle(databases):
    firm = company.found(databases, people=0)
    names = [company.group(databases, f"g{number}@{firm.domain}", []).address for number in range(6)]
    edges = [(container, member) for container in names for member in names if container != member]
    random.Random(20260302).shuffle(edges)

    def add(edge: tuple[str, str]) -> bool:
        with databases.control() as connection:
            try:
                return groups.add_member(connection, Address.parse(edge[0]), Address.parse(edge[1]))
            except DirectoryError as error:
                if error.code is not Code.GROUP_CYCLE:
                    raise
                return False

    with ThreadPoolExecutor(4) as pool:
        added = [edge for edge, was_added in zip(edges, pool.map(add, edges), strict=True) if was_added]
    refuse_cycles({name: [member for container, member in added if container == name] for name in names})
    # of every pair one direction fits into whatever order came about, so the lock cannot have refused too much
    assert len(added) == len(edges) // 2
