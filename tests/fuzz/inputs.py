"""Inputs for the fuzzers: real sessions and messages, cut, doubled, joined and spoilt; a seed always gives the same."""

import os
import random
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import TypeVar

import click

T = TypeVar("T")

INPUTS = int(os.environ.get("FUZZ_INPUTS", "300"))
"""How many are thrown at each front."""
SEED = int(os.environ.get("FUZZ_SEED", "1"))

MESSAGES = [path.read_bytes() for path in sorted((Path(__file__).parents[1] / "messages").glob("*.eml"))]

_SPOILERS: Sequence[bytes] = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b'"', b"\\", b"{", b"}", b"{3}\r\n", b"{99999999999}", b"{5+}\r\n"),
    *(b"(", b")", b"*", b"%", b"&", b"&-", b"&AGE", b"<", b">", b"@", b":", b";", b"=", b"..", b"\r\n.\r\n", b"\n.\n"),
    *(b"\xff\xfe", b"\xc3\x28", b"\xe4\xbd", b"\xed\xa0\x80", "撤回".encode(), b"=?utf-8?b?", b"?=", b"%s%n", b"../"),
    *(b"-1", b"0", b"4294967296", b"99999999999999999999", b"NIL", b"null", b"true", b"[", b"]", b"A" * 2_000),
]


PEOPLE = max(8, INPUTS // 500)
"""How many the inputs speak for in turn: what they leave in a mailbox, or take out of it, is not to change the rest."""


_ROUND = max(1, min(1_000, INPUTS // 3))


def rounds(inputs: Iterable[T]) -> Iterator[list[T]]:
    """Give the inputs in parts, a thousand each of many, and tell how fast they go (`ARGS=-s` shows it)."""
    left, done, started = iter(inputs), 0, monotonic()
    while some := list(islice(left, _ROUND)):
        yield some
        done += len(some)
        click.echo(f"{done} inputs, {done / (monotonic() - started):.0f} a second")


def numbered(*examples: Sequence[bytes], salt: str, numbers: Iterable[int] = range(INPUTS)) -> Iterator[bytes]:
    """Give inputs, each a mutation of one of the examples; of several lists of them, each in its turn."""
    for number in numbers:
        chance = random.Random(f"{salt} {SEED} {number}")
        own = examples[number % len(examples)]
        yield mutated(chance, chance.choice(own), own)


def drawn_out(examples: Sequence[bytes], *, octets: int, salt: str, numbers: Iterable[int]) -> Iterator[bytes]:
    """Give inputs in which one piece is repeated very often: what takes time by the square of a length shows."""
    for number in numbers:
        chance = random.Random(f"{salt} {SEED} {number}")
        content = mutated(chance, chance.choice(examples), examples)
        start = chance.randint(0, len(content))
        own = content[start : start + chance.choice((1, 2, 3, 5, 10, 20, 60, 200))]
        piece = chance.choice((own or b"x", chance.choice(_SPOILERS), chance.choice(_SPOILERS) + own))[:300]
        yield content[:start] + piece * (octets // len(piece)) + content[start + len(own) :]


def mutated(chance: random.Random, content: bytes, others: Sequence[bytes]) -> bytes:
    """Spoil an example in a few places."""
    for _ in range(chance.choice((0, 1, 1, 2, 3, 5, 8))):
        start = chance.randint(0, len(content))
        end = min(len(content), start + chance.choice((0, 1, 2, 5, 20, 200)))
        other = chance.choice(others)
        at = chance.randint(0, len(other))
        piece = chance.choice(
            (
                chance.choice(_SPOILERS),
                chance.randbytes(chance.randint(1, 6)),
                content[start:end] * chance.choice((2, 2, 3, 50)),
                other[at : at + chance.randint(1, 80)],
                b"",
            )
        )
        content = content[:start] + piece + content[end:]
    return content
