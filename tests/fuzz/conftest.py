"""Somebody to speak for at the fronts, and fronts that are quick to refuse a password."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from unittest import mock

import pytest

from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company, listening, pop3
from tests.company import Company
from tests.fuzz.inputs import MESSAGES, PEOPLE


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return company.found(databases, people=3)


@pytest.fixture(scope="package", autouse=True)
def cheap_passwords() -> Iterator[None]:
    run = listening.listening

    def cheaply(
        module: str, variables: dict[str, str], log: Path, *at: tuple[str, int], arguments: list[str] | None = None
    ) -> AbstractContextManager[listening.Server]:
        return run("tests.fuzz.cheaply", variables, log, *at, arguments=[module, *(arguments or [])])

    with mock.patch.object(listening, "listening", cheaply):
        yield


@pytest.fixture(scope="module")
def owners(settings: Settings, databases: Databases, firm: Company) -> list[Account]:
    """`PEOPLE` with a few messages each."""
    hired = [company.hire(databases, f"owner{number}@{firm.domain}") for number in range(PEOPLE)]
    for content in MESSAGES[:5]:
        pop3.deliver(settings, databases, firm.people[0], *hired, content=content)
    return hired
