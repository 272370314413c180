"""What several tests of this folder start from; a test that needs it otherwise has its own of that name."""

from collections.abc import Iterator

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.company import Company
from tests.intake import Intake, running


@pytest.fixture(scope="module")
def intake(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Intake]:
    with running(settings, tmp_path_factory.mktemp("intake")) as running_intake:
        yield running_intake


@pytest.fixture(scope="module")
def company(databases: Databases) -> Company:
    return companies.found(databases, people=2)
