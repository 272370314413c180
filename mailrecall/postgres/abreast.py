"""Asking several shards at once, for answers that are worth having soon and in part rather than late and in full."""

import threading
from collections.abc import Callable, Iterator, Mapping
from time import monotonic
from typing import Any, Generic, TypeVar

import psycopg
from psycopg import Connection

from mailrecall import logs
from mailrecall.postgres.databases import Databases

log = logs.get(__name__)

T = TypeVar("T")

Question = Callable[[Connection[Any], Callable[[], float]], Iterator[T]]
"""Given a connection to the shard and a function that tells the seconds left, yields answers as they come."""


class _Asking(threading.Thread, Generic[T]):
    """One shard being asked. What it had answered when time was up is of use; the thread itself ends when it can."""

    def __init__(self, databases: Databases, shard: int, question: Question[T], ends: float) -> None:
        super().__init__(daemon=True, name=f"abreast-{shard}")
        self.shard = shard
        self.answers: list[T] = []
        self.complete = False
        self.bug: BaseException | None = None
        self._databases = databases
        self._question = question
        self._ends = ends

    def run(self) -> None:
        """Collect the answers."""
        try:
            with self._databases.shard(self.shard) as connection:
                for answer in self._question(connection, self._left):
                    self.answers.append(answer)
            self.complete = True
        except psycopg.OperationalError as error:
            log.warning("abreast.shard_silent", shard=self.shard, failure=type(error).__name__)
        except Exception as error:  # noqa: BLE001 - raised where the answers are waited for
            self.bug = error

    def _left(self) -> float:
        return max(self._ends - monotonic(), 0.001)


def ask(
    databases: Databases, questions: Mapping[int, Question[T]], *, patience: float
) -> tuple[list[T], frozenset[int]]:
    """Ask shards side by side, each in a read of its own.

    Args:
        databases: where they are.
        questions: what to ask each shard.
        patience: seconds after which whoever has not finished is left.

    Returns:
        what was answered, and the shards that did not finish: away, hanging or too slow.
    """
    ends = monotonic() + patience
    asked = [_Asking(databases, shard, question, ends) for shard, question in questions.items()]
    for asking in asked:
        asking.start()
    answers: list[T] = []
    silent = set()
    for asking in asked:
        asking.join(max(ends - monotonic(), 0))
        if asking.bug is not None:
            raise asking.bug
        # first whether it was all, then what there is: the other way round could lose the last answer
        if not asking.complete:
            silent.add(asking.shard)
        answers.extend(list(asking.answers))
    return answers, frozenset(silent)


def limit_statement(connection: Connection[Any], seconds: float) -> None:
    """Let the server end the following statements of this transaction after so many seconds."""
    connection.execute("SELECT set_config('statement_timeout', %s, true)", [f"{max(round(seconds * 1000), 1)}ms"])
