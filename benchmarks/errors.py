"""What can go wrong with a benchmark."""


class BenchmarkError(Exception):
    """The figures would be worth nothing; the message says why."""
