"""A stack of its own for faults: small batches, so that a recall lasts long enough to be hit."""

import shutil
from collections.abc import Iterator

import pytest

from mailrecall.embedded.folder import DataFolder
from mailrecall.postgres.databases import Databases
from tests import smarthost
from tests import stack as test_stack
from tests.fault.scene import Scene
from tests.servers import new_folder
from tests.smarthost import Smarthost


@pytest.fixture(scope="session")
def outside() -> Iterator[Smarthost]:
    with smarthost.running() as server:
        yield server


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory, outside: Smarthost) -> Iterator[Scene]:
    folder = DataFolder(new_folder("faults"))
    fault_points = tmp_path_factory.mktemp("points")
    with test_stack.started_in(
        folder,
        ["--shards=2"],
        {
            "MAILRECALL_BATCH_SIZE": "20",
            "MAILRECALL_STATEMENT_TIMEOUT": "15",
            "MAILRECALL_FAULT_POINTS": str(fault_points),
            "MAILRECALL_PURGE_EVERY": "1",
            "MAILRECALL_SMARTHOST": "{}:{}".format(*outside.address),
        },
    ) as session:
        databases = Databases(session.settings, "tests")
        try:
            yield Scene(session, databases, fault_points)
        finally:
            databases.close()
    shutil.rmtree(folder.path)
