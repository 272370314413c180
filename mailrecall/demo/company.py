"""The company of the demonstration: ten thousand people, groups within groups, and groups across them."""

from collections.abc import Iterator
from itertools import product
from typing import Any

from argon2 import PasswordHasher
from psycopg import Connection

from mailrecall import clock
from mailrecall.directory.listing import Kind, Listing
from mailrecall.directory.loading import Loaded, load
from mailrecall.postgres.databases import Databases

DOMAIN = "lumen.example"
PEOPLE = 10_000
DIVISIONS, DEPARTMENTS_EACH = 8, 5
PASSWORD = "a lamp in every window"  # noqa: S105 - everybody's in the demonstration, and printed by it
SENDER, DIRECT, POSTMASTER = f"ada@{DOMAIN}", f"chen@{DOMAIN}", f"postmaster@{DOMAIN}"
EVERYONE, AURORA, PARTNERS = f"everyone@{DOMAIN}", f"aurora@{DOMAIN}", f"partners@{DOMAIN}"
OUTSIDERS = tuple(f"partner{number}@elsewhere.example" for number in range(1, 10))

_FIRST = ("Alma", "Bruno", "Clara", "Dario", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas", "Kira", "Liam", "Noor")
_LAST = ("Abe", "Berg", "Costa", "Diaz", "Engel", "Gao", "Haas", "Ito", "Kaya", "Lind", "Mora", "Ngo", "Ruiz", "Tamm")


def address(number: int) -> str:
    """Return the address of one of the ten thousand, who are counted from 1."""
    return {1: SENDER, 2: DIRECT}.get(number, f"staff{number:05}@{DOMAIN}")


def found(databases: Databases) -> Loaded:
    """Load the company; what is there already stays as it is."""
    with databases.control() as connection:
        return _load(connection)


def _load(connection: Connection[Any]) -> Loaded:
    listing = Listing(files=dict.fromkeys(Kind, "the example company"))
    for line, (kind, entry) in enumerate(_entries(), start=1):
        listing.add(kind, line, entry)
    return load(connection, listing, now=clock.now())


def _entries() -> Iterator[tuple[Kind, dict[str, object]]]:
    # one cheap hash for all: ten thousand of the real cost would take ten minutes, and the password is no secret
    password_hash = PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD)
    yield Kind.ORGANISATIONS, {"name": "Lumen"}
    yield Kind.DOMAINS, {"domain": DOMAIN, "organisation": "Lumen"}
    names = {1: ("Ada Lund", "en"), 2: ("陈晓明", "zh")}
    full_names = [f"{first} {last}" for last, first in product(_LAST, _FIRST)]
    for number in range(1, PEOPLE + 1):
        name, language = names.get(number, (full_names[number % len(full_names)], "en"))
        yield (
            Kind.ACCOUNTS,
            {
                "address": address(number),
                "display_name": name,
                "language": language,
                "password_hash": password_hash,
            },
        )
    yield Kind.ACCOUNTS, {"address": POSTMASTER, "display_name": "Postmaster", "password_hash": password_hash}
    yield Kind.ALIASES, {"alias": f"ada.lund@{DOMAIN}", "address": SENDER}
    yield from _groups()


def _groups() -> Iterator[tuple[Kind, dict[str, object]]]:
    def group(of: str, title: str) -> tuple[Kind, dict[str, object]]:
        return Kind.GROUPS, {"address": of, "display_name": title}

    def member(of: str, who: str) -> tuple[Kind, dict[str, object]]:
        return Kind.MEMBERS, {"group": of, "member": who}

    yield group(EVERYONE, "Everyone")
    departments = []
    for division in range(1, DIVISIONS + 1):
        of_division = f"division{division}@{DOMAIN}"
        yield group(of_division, f"Division {division}")
        yield member(EVERYONE, of_division)
        for department in range(1, DEPARTMENTS_EACH + 1):
            of_department = f"division{division}.department{department}@{DOMAIN}"
            yield group(of_department, f"Department {department} of division {division}")
            yield member(of_division, of_department)
            departments.append(of_department)
    yield group(AURORA, "Project Aurora")
    yield group(PARTNERS, "Partners")
    for number in range(1, PEOPLE + 1):
        yield member(departments[number % len(departments)], address(number))
        if number % 7 == 0:
            yield member(AURORA, address(number))
    for outsider in OUTSIDERS:
        yield member(PARTNERS, outsider)
