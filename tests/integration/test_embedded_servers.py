"""The servers and databases that the other tests stand on."""

import pytest
import redis
from psycopg import errors

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings


def test_databases_are_migrated_and_know_their_shards(databases: Databases) -> None:
    with databases.control() as connection:
        assert connection.execute("SELECT id FROM shard ORDER BY id").fetchall() == [(0,), (1,)]
        assert connection.execute("SELECT count(*) FROM outbox").fetchone() == (0,)
    for shard in databases.shards:
        with databases.shard(shard) as connection:
            assert connection.execute("SELECT count(*) FROM copy").fetchone() == (0,)


def test_a_shard_is_not_the_control_database(databases: Databases) -> None:
    with databases.shard(0) as connection, pytest.raises(errors.UndefinedTable):
        connection.execute("SELECT FROM outbox")


def test_the_broker_is_empty_and_answers(settings: Settings) -> None:
    with redis.Redis.from_url(settings.broker_url) as client:
        assert client.dbsize() == 0
