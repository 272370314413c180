"""The three ways a message can come in, each behind the same small face."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.ways_in import WAYS_IN, WayIn
from tests.stack import Stack


@pytest.fixture(params=WAYS_IN, ids=lambda way: way.__name__.lower())
def way_in(request: pytest.FixtureRequest, stack: Stack) -> Iterator[WayIn]:
    with ExitStack() as until:
        yield request.param(stack, until)
