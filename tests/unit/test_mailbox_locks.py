"""Holds on mailboxes of a shard that is away; holds that are had are tried over POP3."""

import socket
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from mailrecall.mailstore.exclusive import MailboxLocks
from mailrecall.settings import Settings


def test_whoever_waits_behind_a_shard_that_does_not_answer_is_told_with_the_first():
    with socket.create_server(("127.0.0.1", 0)) as mute:
        url = f"postgresql://nobody@127.0.0.1:{mute.getsockname()[1]}/none"
        settings = Settings.model_validate(
            {"control_url": url, "shard_urls": url, "broker_url": "redis://127.0.0.1:1", "connect_timeout": 1}
        )
        locks = MailboxLocks(settings, "tests")

        def take(mailbox_id: int) -> None:
            with pytest.raises(psycopg.OperationalError):
                locks.take(0, mailbox_id)

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(take, range(8)))

        mute.setblocking(False)
        assert len(list(iter(lambda: _accepted(mute), None))) == 1, "each of them asked the shard"


def _accepted(server: socket.socket) -> socket.socket | None:
    try:
        connection, _ = server.accept()
    except BlockingIOError:
        return None
    connection.close()
    return connection
