"""Requests as programs and browsers make them, spoilt in their octets, or in the values that they carry.

Octets spoilt at random mostly end at the first look at a request; values are written again as they ought to be, with a
length that is right, and come further.
"""

import json
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any
from urllib.parse import quote_from_bytes, urlencode

from tests.fuzz.inputs import INPUTS, SEED, mutated

Pairs = Sequence[tuple[str, bytes]]

_BOUNDARY = b"----fuzz7MA4YWxkTrZu0gW"
_ODD: Sequence[bytes] = [
    *(b"", b" ", b"0", b"-1", b"1.5", b"1e999999", b"9e-99", b"NaN", b"Infinity", b"1" * 30, b"0" * 20 + b"7" * 900),
    *("٣".encode(), "１２".encode(), b"2147483648", b"9223372036854775807", b"9223372036854775808", b"1,000", b"1,5"),
    *(b"0001-01-01T00:00", b"9999-12-31T23:59", b"2026-02-30T25:61", b"2026-03-29T02:30", b"Europe/Berlin", b"../UTC"),
    *(b"true", b"null", b"[]", b"\0", b"\r\nX-Other: 1", b"\xff", b"\xed\xa0\x80", "\u2028".encode(), b"x" * 5_000),
    *(
        b"a@b.example, c@d.example",
        b"@",
        b'"a b"@x.example',
        "撤回@例子.example".encode(),
        b"%",
        b"_%",
        b"'",
        b"//x.example",
    ),
]
_HEAD: Sequence[str] = [
    *("Accept", "Accept-Language", "HX-Current-URL", "HX-Request", "Idempotency-Key", "If-Match", "Range"),
    *("If-None-Match", "Sec-Fetch-Site", "X-Background", "X-CSRF-Token", "X-Request-Id", "traceparent", "Expect"),
]
_ODD_JSON: Sequence[Any] = [
    *(None, True, False, 0, -1, 1.5, 2**31, 2**63, 10**30, 1e308, float("nan"), float("inf")),
    *("", "\0", "\ud800", "\u2028", "x" * 5_000, [], {}, [[]], {"": None}, [None] * 50, [1] * 2_000),
]


@dataclass(frozen=True)
class Ask:
    """A request. Of `fields` and `document` it has one at most."""

    method: str
    path: str
    head: Mapping[str, str]
    query: Pairs = ()
    fields: Pairs | None = None
    """Of a form."""
    files: Pairs | None = None
    """Names with contents: then the form is multipart."""
    document: Any = field(default=None)
    """In JSON."""

    @cached_property
    def octets(self) -> bytes:
        """The request as it is on the wire."""
        kind, body = self._body()
        target = self.path + ("?" + urlencode(self.query) if self.query else "")
        lines = [f"{self.method} {target} HTTP/1.1", "Host: localhost", "Connection: close"]
        lines += [f"{name}: {value}" for name, value in self.head.items()]
        if kind:
            lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
        return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body

    def _body(self) -> tuple[str, bytes]:
        if self.document is not None:
            return "application/json", json.dumps(self.document, ensure_ascii=False).encode("utf-8", "surrogatepass")
        if self.fields is None:
            return "", b""
        if self.files is None:
            return "application/x-www-form-urlencoded", urlencode(self.fields).encode()
        return f"multipart/form-data; boundary={_BOUNDARY.decode()}", self._multipart()

    def _multipart(self) -> bytes:
        parts = [
            *(b'name="%b"\r\n\r\n%b' % (name.encode(), value) for name, value in self.fields or ()),
            *(
                b'name="files"; filename="%b"\r\nContent-Type: text/plain\r\n\r\n%b' % (name.encode(), content)
                for name, content in self.files or ()
            ),
        ]
        head = b"--" + _BOUNDARY + b"\r\nContent-Disposition: form-data; "
        return b"".join(head + part + b"\r\n" for part in parts) + b"--" + _BOUNDARY + b"--\r\n"


def spoilt(*asks: Sequence[Ask], salt: str) -> Iterator[bytes]:
    """Give `INPUTS` requests, each one of those given, spoilt; of several lists of them, each in its turn."""
    for number in range(INPUTS):
        chance = random.Random(f"{salt} {SEED} {number}")
        own = asks[number % len(asks)]
        ask = chance.choice(own)
        if chance.random() < 1 / 3:
            yield mutated(chance, ask.octets, [chance.choice(own).octets])
        else:
            for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
                ask = _with_another_value(chance, ask, chance.choice(own))
            yield ask.octets


def _with_another_value(chance: random.Random, ask: Ask, other: Ask) -> Ask:
    spoilable = [name for name in ("query", "fields", "files", "document") if getattr(ask, name)]
    match chance.choice([*spoilable * 4, "head", "head", "path"]):
        case "path":
            return replace(ask, path=_path(chance, ask.path, other.path))
        case "head":
            return replace(ask, head=_head(chance, ask.head))
        case "document":
            return replace(ask, document=_document(chance, ask.document))
        case "query":
            return replace(ask, query=_pairs(chance, ask.query, other.fields or other.query))
        case "fields":
            return replace(ask, fields=_pairs(chance, ask.fields or (), other.fields or other.query))
        case _:
            return replace(ask, files=_pairs(chance, ask.files or (), other.fields or other.query))


def _path(chance: random.Random, path: str, other: str) -> str:
    words = path.split("/")
    at = chance.randrange(1, len(words))
    words[at] = quote_from_bytes(_value(chance, words[at].encode(), other.encode()), safe="+%?=&")
    return "/".join(words)


def _head(chance: random.Random, head: Mapping[str, str]) -> Mapping[str, str]:
    value = _value(chance, b"en;q=0.5, zh", b"text/html").translate(None, b"\r\n\0").decode("latin-1")
    if "Cookie" in head and chance.random() < 1 / 2:
        cookie = chance.choice(("mailrecall_language", "mailrecall_theme", "mailrecall_zone"))
        return {**head, "Cookie": f"{head['Cookie']}; {cookie}={value}"}
    return {**head, chance.choice(_HEAD): value}


def _pairs(chance: random.Random, pairs: Pairs, others: Pairs) -> Pairs:
    spoilt = list(pairs)
    # without the token nothing of a form is looked at
    places = [at for at, (name, _) in enumerate(spoilt) if name != "csrf_token" or chance.random() < 1 / 20]
    if not places:
        return pairs
    at = chance.choice(places)
    name, value = spoilt[at]
    match chance.randrange(8):
        case 0:
            del spoilt[at]
        case 1:
            spoilt.insert(chance.randint(0, len(spoilt)), (name, _value(chance, value, value)))
        case 2 if others:
            spoilt[at] = (name, chance.choice(others)[1])
        case _:
            spoilt[at] = (name, _value(chance, value, value))
    return spoilt


def _value(chance: random.Random, value: bytes, other: bytes) -> bytes:
    return chance.choice(_ODD) if chance.random() < 1 / 2 else mutated(chance, value, [other])


def _document(chance: random.Random, document: Any) -> Any:
    """Spoil one of the values in a document, at any depth."""
    if isinstance(document, dict) and document and chance.random() < 7 / 8:
        name = chance.choice(list(document))
        if chance.random() < 1 / 10:
            return {key: value for key, value in document.items() if key != name}
        return {**document, name: _document(chance, document[name])}
    if isinstance(document, list) and document and chance.random() < 7 / 8:
        at = chance.randrange(len(document))
        return [*document[:at], _document(chance, document[at]), *document[at + chance.randint(0, 1) :]]
    if isinstance(document, str) and chance.random() < 1 / 2:
        return _value(chance, document.encode("utf-8", "surrogatepass"), b"").decode("utf-8", "replace")
    return chance.choice(_ODD_JSON)
