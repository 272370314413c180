"""`make watchers`: R22 with many who watch: do all see the end at once, and what does it cost while nothing happens."""

import re
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import click
import httpx
import psutil

from benchmarks import dataset
from benchmarks.__main__ import SHARDS, WORKERS
from benchmarks.dataset import Company
from benchmarks.errors import BenchmarkError
from benchmarks.place import PASSWORD, Place, running, until
from benchmarks.system import Person, author
from benchmarks.viewers import looking
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.folder import DataFolder
from mailrecall.postgres import queries

_SQL = queries.load(__package__, "watchers.sql")

LATEST = 2.0
"""Seconds after a recall's end within which everybody has to be told (R22)."""
TRANSACTIONS = 4.5
"""A second, for each process of the gateway, on the control database, however many watch: two looks, each with the
transaction that the pool tries its connection with."""
MEMORY = 0.5
"""MiB for each who watches."""
_SMALL = 9
"""Messages of a request beside the one to everybody; each went to a thousand."""
_WORKERS, _GATEWAY = ("recall", "withdraw"), "gateway"
_PAUSE = 0.05
"""Seconds between two looks."""
_UNTOLD = 11.0
"""Seconds after which the server has counted what was done before."""
_PATIENCE = 60.0
"""Seconds after the end in which those who watch may still be told."""
_TOKEN = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


@dataclass(frozen=True, slots=True)
class Watched:
    """What was measured while some watched one thing."""

    name: str
    viewers: int
    processes: int
    """Of the gateway that answer requests."""
    transactions: Mapping[int, float]
    """On the control database, a second, by how many watched while nothing happened."""
    memory: tuple[float, float, float]
    """MiB of the gateway: before anybody watched, while all did, afterwards."""
    failures: Mapping[str, int]
    """What came between some and the end, and how often."""
    events: int
    """The most that one of them was told."""
    told_after: Sequence[float]
    """Seconds from the end until each of them was told of it, in order."""

    def wrong(self) -> Iterator[str]:
        """Tell what is not as it has to be."""
        for why, count in self.failures.items():
            yield f"{count} of {self.viewers} did not see the end: {why}"
        if self.told_after and self.told_after[-1] > LATEST:
            yield f"the last saw the end {self.told_after[-1]:.2f} s after it; {LATEST} s are allowed"
        asked = self.transactions[self.viewers] - self.transactions[0]
        if asked > TRANSACTIONS * self.processes:
            yield f"{self.viewers} ask the control database {asked:.1f} times a second"
        before, during, after = self.memory
        if during - before > MEMORY * self.viewers:
            yield f"{self.viewers} take {during - before:.0f} MiB of the gateway"
        if after - before > MEMORY * self.viewers / 2:
            yield f"{after - before:.0f} MiB are not given back"

    def __str__(self) -> str:
        rates = ", ".join(f"{count}: {rate:.1f}" for count, rate in self.transactions.items())
        before, during, after = self.memory
        told = (
            [f"{self.told_after[place]:.2f} s" for place in (0, len(self.told_after) // 2, -1)]
            if self.told_after
            else []
        )
        return (
            f"{self.viewers} watch one {self.name}: the first, half and the last saw the end {', '.join(told)} "
            f"after it, told {self.events} times at most; transactions a second by how many watch: {rates}; "
            f"gateway: {before:.0f} MiB before, {during:.0f} during, {after:.0f} after"
        )


class Watching:
    """The measurement on one stack."""

    def __init__(self, place: Place, company: Company, writer: Person, *, viewers: int, seconds: float) -> None:
        """Prepare.

        Args:
            place: the stack.
            company: whose administrator `writer` is.
            writer: who recalls.
            viewers: how many watch.
            seconds: for how long transactions are counted.
        """
        self._place, self._company, self._writer = place, company, writer
        self._viewers, self._seconds = viewers, seconds

    def recall(self) -> Watched:
        """Many watch one recall, over the API."""
        message_id, _ = self._writer.deliver(self._company.group(self._company.mailboxes), "Watched")
        return self._watch(
            "recall", "/api/v1/recalls/{}/events", "settled", lambda: self._writer.ask(message_id), self._writer.bearer
        )

    def batch(self) -> Watched:
        """Many watch one request for several recalls, on the console's page."""
        sizes = [self._company.mailboxes, *[dataset.SMALLEST] * _SMALL]
        ids = [self._writer.deliver(self._company.group(size), "Watched")[0] for size in sizes]
        return self._watch(
            f"request for {len(ids)} recalls",
            "/console/batches/{}/events",
            "batch_settled",
            lambda: self._writer.ask_for_all(ids),
            {"Cookie": self._session()},
        )

    def _watch(self, name: str, path: str, settled: str, ask: Callable[[], str], headers: Mapping[str, str]) -> Watched:
        self._place.await_quiet()
        memory, transactions = [self._memory()], {}
        with ExitStack() as views:
            with self._nothing_done():
                public_id = ask()
                url = self._place.session.gateway_url + path.format(public_id)
                transactions[0] = self._transactions()
                with looking(url, 1, headers) as one:
                    until(one.all_look, pause=_PAUSE)
                    transactions[1] = self._transactions()
                viewers = views.enter_context(looking(url, self._viewers, headers))
                until(viewers.all_look, pause=_PAUSE)
                transactions[self._viewers] = self._transactions()
                memory.append(self._memory())
            until(lambda: self._settled(settled, public_id) is not None, pause=_PAUSE)
            poll(viewers.all_ended, timeout=_PATIENCE)
        ended = self._settled(settled, public_id)
        memory.append(self._memory())
        seen = [viewer for viewer in viewers.all if viewer.saw_the_end]
        return Watched(
            name=name,
            viewers=self._viewers,
            processes=len(self._gateway()) - 1,
            transactions=transactions,
            memory=(memory[0], max(memory), memory[-1]),
            failures=Counter(viewer.failure or "no end" for viewer in viewers.all if not viewer.saw_the_end),
            events=max(viewer.events for viewer in viewers.all),
            told_after=sorted((viewer.last_at - ended).total_seconds() for viewer in seen if viewer.last_at and ended),
        )

    @contextmanager
    def _nothing_done(self) -> Iterator[None]:
        """Have all recalls stand still until the block ends."""
        processes = self._place.session.processes()
        workers = [psutil.Process(pid) for name in _WORKERS for pid in processes[name]]
        for worker in workers:
            worker.suspend()
        try:
            yield
        finally:
            for worker in workers:
                worker.resume()

    def _transactions(self) -> float:
        """Count the control database's transactions for a while; return how many there are in a second."""
        # an idle backend tells within 10 s what it has done before
        time.sleep(_UNTOLD)
        counted, begun = self._transactions_so_far(), time.monotonic()
        time.sleep(self._seconds)
        return (self._transactions_so_far() - counted) / (time.monotonic() - begun)

    def _transactions_so_far(self) -> int:
        database = self._place.control.info.dbname
        row = self._place.server.execute(_SQL["transactions"], {"database": database}).fetchone()
        return int(row[0]) if row else 0

    def _settled(self, query: str, public_id: str) -> datetime | None:
        row = self._place.control.execute(_SQL[query], {"public_id": public_id}).fetchone()
        return row[0] if row else None

    def _gateway(self) -> list[int]:
        return self._place.session.processes()[_GATEWAY]

    def _memory(self) -> float:
        return sum(psutil.Process(pid).memory_info().rss for pid in self._gateway()) / 2**20

    def _session(self) -> str:
        """Sign in to the pages; return the cookie."""
        with httpx.Client(base_url=self._place.session.gateway_url, trust_env=False) as browser:
            token = _TOKEN.search(browser.get("/sign-in").text)
            if token is None:
                raise BenchmarkError("The page to sign in at has no form.")
            form = {"csrf_token": token[1], "address": self._company.account(1), "password": PASSWORD}
            if browser.post("/sign-in", data=form).status_code != httpx.codes.SEE_OTHER:
                raise BenchmarkError("Nobody can sign in to the pages.")
            return "; ".join(f"{name}={value}" for name, value in browser.cookies.items())


@click.command()
@click.option("--viewers", type=click.IntRange(1, 2_000), default=200, show_default=True)
@click.option("--mailboxes", type=click.IntRange(2_000, 1_000_000), default=20_000, show_default=True)
@click.option("--seconds", type=click.FloatRange(1), default=10.0, show_default=True, help="To count transactions for.")
def watchers(*, viewers: int, mailboxes: int, seconds: float) -> None:
    """Have many watch one recall, and one request for several, and see that all are told of the end at once."""
    # told to stop, it stops its stack too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    wrong: list[str] = []
    with tempfile.TemporaryDirectory(prefix="mailrecall-watchers-", ignore_cleanup_errors=True) as scratch:
        # under root PostgreSQL runs as somebody else, who must be able to pass
        Path(scratch).chmod(0o711)
        with running(DataFolder(Path(scratch) / "data"), shards=SHARDS, workers=WORKERS) as place:
            click.echo(f"Building {mailboxes:,} mailboxes …")
            company = dataset.build(place, mailboxes)
            place.control.execute(_SQL["administrator"], {"account_id": 1})
            with author(place, company) as writer:
                watching = Watching(place, company, writer, viewers=viewers, seconds=seconds)
                for measure in (watching.recall, watching.batch):
                    watched = measure()
                    click.echo(str(watched))
                    wrong += watched.wrong()
    for line in wrong:
        click.echo(f"Not as it has to be: {line}.", err=True)
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    watchers()
