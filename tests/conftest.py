"""Fixtures that every layer of tests shares."""

from collections.abc import Generator, Iterator
from typing import Any

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import servers as test_servers
from tests import stack as test_stack
from tests.servers import Servers
from tests.stack import Stack


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


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """All processes, running; started once, so tests make organisations of their own and leave everything running."""
    with test_stack.running() as running:
        yield running


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, Any]:
    """Show what the processes said last when a test of the whole stack failed."""
    report = yield
    stack = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(stack, Stack):
        report.sections.append(("logs of the stack", test_stack.last_words(stack.session.folder)))
    return report
