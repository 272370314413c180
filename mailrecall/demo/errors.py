"""Errors of the demonstration."""


class DemoError(Exception):
    """The demonstration did not go as it should; the message says at what."""
