"""Fixtures that every layer of tests shares."""

from collections.abc import Iterator

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import servers as test_servers
from tests.servers import Servers


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """PostgreSQL and Redis, started once."""
    with test_servers.running() as running:
        yield running


@pytest.fixture(scope="module")
def settings(servers: Servers) -> Iterator[Settings]:
    """Settings of a fresh, migrated control database with two shards, and an empty broker."""
    with servers.fresh_settings() as settings:
        yield settings


@pytest.fixture(scope="module")
def databases(settings: Settings) -> Iterator[Databases]:
    """The pools of those settings."""
    databases = Databases(settings, "tests")
    yield databases
    databases.close()
