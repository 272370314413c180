"""Fixtures of the end-to-end scenarios."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.e2e.people import Webmail
from tests.stack import Stack


@pytest.fixture
def webmail(stack: Stack) -> Iterator[Webmail]:
    with ExitStack() as until:
        yield Webmail(stack, until)
