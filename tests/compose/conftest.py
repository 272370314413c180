"""One composition for all tests of this folder."""

from collections.abc import Iterator

import pytest

from tests.compose import composition as compositions
from tests.compose.composition import Composition


@pytest.fixture(scope="session")
def composition() -> Iterator[Composition]:
    with compositions.running() as running:
        yield running
