"""The connections of a process, when a database is away."""

import time
from contextlib import ExitStack

import psycopg
import pytest
from psycopg_pool import PoolTimeout

from mailrecall.embedded.ports import free_ports
from mailrecall.outbox.running import is_outage
from mailrecall.postgres.breaker import AwayError
from mailrecall.postgres.databases import Databases, TransactionLostError


def test_a_shard_that_is_away_is_not_asked_by_everybody(settings):
    (port,) = free_ports(1)
    away = settings.model_copy(
        update={
            "connect_timeout": 1.0,
            "shard_urls": (f"postgresql://nobody@127.0.0.1:{port}/none", settings.shard_urls[1]),
        }
    )
    databases = Databases(away, "away")
    try:
        with pytest.raises(PoolTimeout), databases.shard(0):
            pass
        waited = 0
        for _ in range(50):
            with pytest.raises((AwayError, PoolTimeout)) as refused, databases.shard(0):
                pass
            # on a slow machine it is time to look again once or twice
            waited += refused.type is PoolTimeout
            with databases.shard(1) as connection:
                assert connection.execute("SELECT 1").fetchone() == (1,)
        assert waited < 10, "callers waited for what one had found out"
    finally:
        databases.close()


def test_a_database_that_comes_back_is_found_again(settings, databases):
    with databases.shard(0) as connection:
        connection.execute("SELECT 1")
    with psycopg.connect(settings.shard_urls[0], autocommit=True) as other:
        other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    with databases.shard(0) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_many_connections_that_broke_at_once_are_no_error_of_the_next_request(settings):
    many = Databases(settings.model_copy(update={"pool_size": 12}), "many")
    try:
        with ExitStack() as used:
            for _ in range(12):
                used.enter_context(many.shard(0))
        with psycopg.connect(settings.shard_urls[0], autocommit=True) as other:
            ended = other.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'mailrecall-many' AND datname = current_database()"
            )
            assert ended.rowcount == 12
        begun = time.perf_counter()
        with many.shard(0) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
        assert time.perf_counter() - begun < 3.0
    finally:
        many.close()


def test_a_pool_in_use_says_nothing_of_the_server(settings):
    busy = Databases(settings.model_copy(update={"pool_size": 2, "connect_timeout": 1.0}), "busy")
    try:
        with busy.shard(0), busy.shard(0), pytest.raises(PoolTimeout), busy.shard(0):
            pass
        with busy.shard(0) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        busy.close()


@pytest.mark.parametrize("last", ["statement", "commit"])
def test_a_transaction_that_was_held_up_is_an_outage_and_no_bug(settings, databases, last):
    with pytest.raises(TransactionLostError) as lost:
        fall_silent(settings, databases, last)
    assert isinstance(lost.value, psycopg.OperationalError)
    assert is_outage(lost.value)
    # and it was that transaction alone
    with databases.control() as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def fall_silent(settings, databases, last):
    """Begin a transaction and say nothing until the server has ended it."""
    with databases.control() as connection:
        connection.execute("SET LOCAL idle_in_transaction_session_timeout = '1ms'")
        until_ended(settings, connection.info.backend_pid)
        if last == "statement":
            connection.execute("SELECT 1")


def until_ended(settings, pid):
    """Wait until the server has ended a session."""
    with psycopg.connect(settings.control_url, autocommit=True) as other:
        until = time.monotonic() + 60
        while other.execute("SELECT FROM pg_stat_activity WHERE pid = %s", (pid,)).fetchone() is not None:
            assert time.monotonic() < until, "the server did not end it"
            time.sleep(0.01)
