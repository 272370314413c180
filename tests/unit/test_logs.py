"""What the log says of an error: its kind and its places, never its text."""

import psycopg

from mailrecall import logs


def fail_over(text: str) -> int:
    return int(text)


def test_an_error_is_described_by_kind_and_places_and_not_by_its_text():
    try:
        fail_over("secret@company.example")
    except ValueError as error:
        described = logs.describe(error)
    assert described["failure"] == "ValueError"
    assert "test_logs.py" in str(described["places"])
    assert "fail_over" in str(described["places"])
    assert "secret" not in str(described)


def test_an_error_of_the_database_is_described_by_its_sqlstate_too():
    assert logs.kind_of(psycopg.errors.UniqueViolation("Key (address)=(a@b.example)")) == "UniqueViolation 23505"
    assert logs.kind_of(psycopg.OperationalError("password for ada")) == "OperationalError"


def test_of_a_deep_failure_the_innermost_places_are_kept():
    def dig(depth: int) -> None:
        if depth == 0:
            raise RuntimeError
        dig(depth - 1)

    try:
        dig(500)
    except RuntimeError as error:
        places = logs.describe(error)["places"]
    assert isinstance(places, list)
    assert 0 < len(places) < 50
    assert places[-1].endswith("dig")
