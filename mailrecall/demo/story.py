"""What happens in the demonstration, in its order; what is seen of it is the command's business."""

import random
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from mailrecall.demo import company
from mailrecall.demo.checks import Check, Stocktaking, check, is_delivered, take_stock
from mailrecall.demo.client import Person, wait_for
from mailrecall.postgres.databases import Databases

READERS, DOWNLOADERS, FORWARDERS, DELETERS = 400, 120, 60, 80
_AT_ONCE = 4
_ATTACHMENT = ("salaries.pdf", b"%PDF-1.4\n" + bytes(range(256)) * 160 + b"\n%%EOF\n")
_TEXT = "Dear all,\n\nhere are the figures for the spring. Please do not pass them on.\n\nAda\n"
_REASON = "The wrong attachment: these are the salaries."


@dataclass(frozen=True, slots=True)
class Stage:
    """Where the story plays: a running stack."""

    gateway_url: str
    databases: Databases

    def person(self, address: str) -> Person:
        """Return somebody about to sign in."""
        return Person(self.gateway_url, address, company.PASSWORD)


def send(stage: Stage, subject: str) -> int:
    """Let Ada write to everyone; returns the id of her Sent copy once every copy is delivered."""
    with stage.person(company.SENDER) as ada:
        ada.sign_in()
        copy_id = ada.send(
            [company.EVERYONE],
            cc=[company.DIRECT, company.AURORA, company.PARTNERS, "auditor@elsewhere.example"],
            subject=subject,
            text=_TEXT,
            attachment=_ATTACHMENT,
        )
    wait_for("The delivery", lambda: is_delivered(stage.databases, copy_id) or None, seconds=120)
    return copy_id


def handle(stage: Stage, subject: str, on_each: Callable[[], None]) -> None:
    """Let people do with the mail what people do, over HTTP: read it, fetch its attachment, pass it on, delete it."""
    doings: Sequence[tuple[int, Callable[[Person, int], object]]] = (
        (READERS, lambda person, copy_id: person.read(copy_id)),
        (DOWNLOADERS, lambda person, copy_id: person.download(copy_id)),
        (FORWARDERS, lambda person, copy_id: person.forward(copy_id, company.POSTMASTER)),
        (DELETERS, lambda person, copy_id: person.delete(copy_id)),
    )
    numbers = iter(random.Random(subject).sample(range(3, company.PEOPLE + 1), sum(n for n, _ in doings)))  # noqa: S311

    def do(number: int, doing: Callable[[Person, int], object]) -> None:
        with stage.person(company.address(number)) as person:
            person.sign_in()
            doing(person, wait_for("The mail", lambda: person.find(subject)))
        on_each()

    with ThreadPoolExecutor(_AT_ONCE) as threads:
        for done in [threads.submit(do, next(numbers), doing) for count, doing in doings for _ in range(count)]:
            done.result()


@dataclass(frozen=True, slots=True)
class Before:
    """What there was just before the recall."""

    stock: Stocktaking
    source: bytes


def look_around(stage: Stage, subject: str) -> Before:
    """Take stock; one more recipient reads the mail, and keeps its bytes."""
    with stage.person(company.DIRECT) as chen:
        chen.sign_in()
        copy_id = wait_for("The mail", lambda: chen.find(subject))
        chen.read(copy_id)
        source = chen.source(copy_id)
    return Before(take_stock(stage.databases, copy_id), source)


def recall(stage: Stage, copy_id: int) -> Iterator[dict[str, Any]]:
    """Let Ada take the mail back; gives the recall's state until it is settled."""
    with stage.person(company.SENDER) as ada:
        ada.sign_in()
        asked = ada.recall(copy_id, _REASON)
        yield asked
        yield from ada.progress(asked["id"])


def close_the_books(stage: Stage, copy_id: int, before: Before, settled: dict[str, Any]) -> list[Check]:
    """Check what the recall did by queries of the story's own."""
    return check(
        stage.databases,
        copy_id,
        settled["id"],
        before=before.stock,
        source=before.source,
        told=settled["outcomes"],
    )


def report(stage: Stage, settled: dict[str, Any]) -> dict[str, Any]:
    """Let Ada open the report mail in her inbox."""
    with stage.person(company.SENDER) as ada:
        ada.sign_in()

        def arrived() -> int | None:
            view = next(ada.progress(settled["id"]))
            return int(view["report"].rsplit("/", 1)[1]) if view["report"] else None

        copy_id = wait_for("The report mail", arrived)
        return wait_for("The report mail", lambda: ada.read_if_there(copy_id))
