"""Somebody to speak for at the fronts."""

import pytest

from mailrecall.postgres.databases import Databases
from tests import company
from tests.company import Company


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return company.found(databases, people=3)
