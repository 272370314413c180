"""A directory as files list it: what each kind of entry has, read into rows that are ready for COPY."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final, NamedTuple, ParamSpec, TypeVar, get_args

from psycopg.types.json import Jsonb

from mailrecall.directory import organisations, passwords
from mailrecall.directory.errors import DirectoryError
from mailrecall.directory.lookup import Language
from mailrecall.domain.addresses import Address, AddressError, canonical_domain

Row = tuple[Any, ...]
P = ParamSpec("P")
T = TypeVar("T")


class Kind(StrEnum):
    """The lists of a directory, in the order in which they build on each other."""

    ORGANISATIONS = "organisations"
    DOMAINS = "domains"
    ACCOUNTS = "accounts"
    GROUPS = "groups"
    ALIASES = "aliases"
    MEMBERS = "members"


class Problem(NamedTuple):
    """A line that cannot be loaded."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(slots=True)
class Listing:
    """Everything that files list.

    An entry whose address could be read is in `rows` even when the rest of it is bad: what refers to it is not bad too.
    """

    files: dict[Kind, str]
    """Which file each list was read from, for what is found out later."""
    rows: dict[Kind, list[Row]] = field(default_factory=lambda: {kind: [] for kind in Kind})
    passwords: dict[str, str] = field(default_factory=dict)
    """By address; kept out of the rows, so that none is ever sent to a database."""
    problems: list[Problem] = field(default_factory=list)
    complete: bool = True
    """False when a part could not be read at all: what refers to it cannot be judged."""

    def add(self, kind: Kind, line: int, fields: Mapping[str, object]) -> None:
        """Read one entry."""
        entry = Entry(fields, lambda text: self.problems.append(Problem(self.files[kind], line, text)))
        row = _READERS[kind](entry)
        if row is None:
            return
        self.rows[kind].append((line, *row))
        if kind is Kind.ACCOUNTS and (password := entry.password()):
            self.passwords[row[0]] = password


class Entry:
    """The fields of one entry. What is wrong with one is complained of, and the reading goes on."""

    __slots__ = ("complain", "fields")

    def __init__(self, fields: Mapping[str, object], complain: Callable[[str], None]) -> None:
        self.fields = fields
        self.complain = complain

    def text(self, name: str) -> str:
        """Return a text, trimmed; empty when it is not given."""
        value = self.fields.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self.complain(f"{name} must be a text; got {value!r:.60}.")
            return ""
        return value.strip()

    def required(self, name: str) -> str | None:
        """Return a text that must be given."""
        if not (text := self.text(name)) and not self.fields.get(name):
            self.complain(f"{name} is missing.")
        return text or None

    def address(self, name: str) -> Address | None:
        """Return an address that must be given."""
        try:
            return Address.parse(text) if (text := self.required(name)) else None
        except AddressError as error:
            self.complain(str(error))
            return None

    def name(self, name: str, whose: str) -> str:
        """Return a name for people to read; empty when it is not given."""
        return self._checked(organisations.clean_name, text, whose) or "" if (text := self.text(name)) else ""

    def flag(self, name: str) -> bool:
        """Return true or false; false when it is not given."""
        value = self.fields.get(name)
        if isinstance(value, str):
            value = {"true": True, "false": False, "": False}.get(value.strip().lower(), value)
        if value is not None and not isinstance(value, bool):
            self.complain(f"{name} must be true or false; got {value!r:.60}.")
        return value is True

    def language(self) -> str:
        """Return the language; English when it is not given."""
        language = self.text("language") or "en"
        if language in get_args(Language):
            return language
        self.complain(f"language must be {' or '.join(get_args(Language))}; got {language!r:.60}.")
        return "en"

    def password_hash(self) -> str | None:
        """Return the hash of a password made elsewhere."""
        text = self.text("password_hash")
        if text and self.fields.get("password"):
            self.complain("Give password or password_hash, not both.")
        return self._checked(passwords.check_hash, text) if text else None

    def password(self) -> str | None:
        """Return a password in clear, exactly as it is given."""
        password = self.fields.get("password") or None
        if password is None or isinstance(password, str):
            return self._checked(passwords.check_new, password) if password else None
        self.complain("password must be a text.")
        return None

    def switches(self) -> Jsonb:
        """Return the policy switches that differ from their defaults."""
        switches = self.fields.get("policy", {})
        if isinstance(switches, dict):
            policy = self._checked(organisations.parse_policy, switches)
        else:
            policy = None
            self.complain('policy must be an object such as {"window_user": 172800}.')
        return Jsonb(organisations.changed_switches(policy) if policy else {})

    def _checked(self, check: Callable[P, T], *values: P.args, **names: P.kwargs) -> T | None:
        try:
            return check(*values, **names)
        except DirectoryError as error:
            self.complain(str(error))
            return None


def _organisation(entry: Entry) -> Row | None:
    switches = entry.switches()
    return (name, switches) if entry.required("name") and (name := entry.name("name", "An organisation")) else None


def _domain(entry: Entry) -> Row | None:
    domain = entry.required("domain")
    organisation = entry.name("organisation", "An organisation") if entry.required("organisation") else None
    try:
        return (canonical_domain(domain), organisation) if domain and organisation else None
    except AddressError as error:
        entry.complain(str(error))
        return None


def _account(entry: Entry) -> Row | None:
    address = entry.address("address")
    rest = (
        entry.name("display_name", "An account"),
        entry.language(),
        entry.flag("administrator"),
        entry.password_hash(),
    )
    return (str(address), address.domain, *rest) if address else None


def _group(entry: Entry) -> Row | None:
    address, display_name = entry.address("address"), entry.name("display_name", "A group")
    return (str(address), address.domain, display_name) if address else None


def _alias(entry: Entry) -> Row | None:
    alias, address = entry.address("alias"), entry.address("address")
    return (str(alias), alias.domain, str(address)) if alias and address else None


def _member(entry: Entry) -> Row | None:
    group, member = entry.address("group"), entry.address("member")
    return (str(group), str(member), str(member.without_tag), member.domain) if group and member else None


_READERS: Final[Mapping[Kind, Callable[[Entry], Row | None]]] = {
    Kind.ORGANISATIONS: _organisation,
    Kind.DOMAINS: _domain,
    Kind.ACCOUNTS: _account,
    Kind.GROUPS: _group,
    Kind.ALIASES: _alias,
    Kind.MEMBERS: _member,
}
