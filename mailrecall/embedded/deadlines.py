"""Waiting for a condition, never for a length of time."""

import time
from collections.abc import Callable


def poll(condition: Callable[[], bool], *, timeout: float, pause: float = 0.05) -> bool:
    """Ask until the condition holds.

    Args:
        condition: asked again and again; what it raises ends the waiting.
        timeout: seconds after which it is given up.
        pause: seconds between two questions.

    Returns:
        whether the condition came to hold.
    """
    deadline = time.monotonic() + timeout
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(pause)
    return True
