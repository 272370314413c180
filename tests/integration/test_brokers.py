"""Other brokers than one Redis: RabbitMQ with publisher confirms, and Redis behind a Sentinel that fails over."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
import redis
from amqp.exceptions import AMQPError
from kombu.exceptions import OperationalError as BrokerError

from mailrecall import clock
from mailrecall.broker import celery_app, queue_lengths
from mailrecall.embedded import valkey
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from mailrecall.outbox import relay, work
from mailrecall.outbox import store as outbox
from mailrecall.settings import Settings
from tests import company, correspondence, rabbitmq
from tests.listening import environment

PATIENCE = 120.0
WORKER = (
    *("celery", "--app=services.delivery.worker", "worker", "--concurrency=1", "--without-gossip", "--without-mingle"),
    "--queues=delivery,deposit.small,deposit.0,deposit.1",
)


@contextmanager
def processes(settings: Settings, log: Path, **own: object) -> Iterator[None]:
    """A relay and a delivery worker."""
    commands = [("mailrecall.outbox.relay",), WORKER]
    variables = environment(settings, outbox_lease=3, **own)
    with log.open("ab") as output, ExitStack() as until:
        running = [
            subprocess.Popen([sys.executable, "-m", *command], env=variables, stdout=output, stderr=output)
            for command in commands
        ]
        for process in running:
            until.callback(process.wait)
            until.callback(process.kill)
        yield
        for process in running:
            process.terminate()
        for process in running:
            assert process.wait(PATIENCE) == 0, log.read_text()


def delivered(databases, message_id: int) -> bool:
    with databases.control() as connection:
        query = "SELECT delivered_at IS NOT NULL FROM message WHERE id = %s"
        row = connection.execute(query, (message_id,)).fetchone()
    return bool(row and row[0])


@rabbitmq.needs_rabbitmq
def test_rabbitmq_carries_work_and_what_it_does_not_confirm_is_not_published(
    settings, databases, tmp_path, monkeypatch
):
    with rabbitmq.running(tmp_path / "rabbitmq") as broker:
        there = settings.model_copy(update={"broker_url": broker.url})
        assert set(queue_lengths(there).values()) == {0}
        firm = company.found(databases, people=3)
        with processes(there, tmp_path / "log"):
            message_id = correspondence.send(databases, *firm.people)
            assert poll(lambda: delivered(databases, message_id), timeout=PATIENCE), (tmp_path / "log").read_text()

        # the queues are there; the broker now takes nothing, as when its memory or its disk is full
        assert broker.control("set_vm_memory_high_watermark", "absolute", "1")
        monkeypatch.setattr(relay, "CONFIRM_TIMEOUT", 2.0)
        app = celery_app("test", there)
        with databases.control() as control:
            control.autocommit = True
            outbox.add(control, [work.expand(message_id)], due_at=clock.now())
            with pytest.raises((BrokerError, AMQPError, OSError)):
                relay.publish_due(control, app, now=clock.now())
            assert control.execute("SELECT published_at, attempts FROM outbox").fetchall() == [(None, 0)]

            assert broker.control("set_vm_memory_high_watermark", "0.6")

            def published() -> bool:
                try:
                    return relay.publish_due(control, app, now=clock.now()) == 1
                except (BrokerError, AMQPError, OSError):
                    return False

            assert poll(published, timeout=PATIENCE, pause=0.5)
            assert poll(lambda: queue_lengths(there)["delivery"] > 0, timeout=PATIENCE)
            control.execute("DELETE FROM outbox")
            control.autocommit = False


@contextmanager
def server(program: Path, *arguments: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen([str(program), *arguments], stdout=output, stderr=output, cwd=log.parent)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def answers(port: int, password: str) -> bool:
    try:
        with redis.Redis(port=port, socket_timeout=5, password=password) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def test_work_goes_on_when_a_sentinel_has_made_the_replica_the_master(settings, databases, tmp_path):
    program = valkey.program()
    first, second, sentinel = free_ports(3)
    secret = "secret"
    plain = (*("--save", "", "--appendonly", "no", "--bind", "127.0.0.1"), "--requirepass", secret)
    configuration = tmp_path / "sentinel.conf"
    configuration.write_text(
        f"port {sentinel}\nbind 127.0.0.1\nsentinel monitor mailrecall 127.0.0.1 {first} 1\n"
        f"sentinel auth-pass mailrecall {secret}\nsentinel down-after-milliseconds mailrecall 2000\n"
        "sentinel failover-timeout mailrecall 10000\n"
    )
    with ExitStack() as until:
        master = until.enter_context(server(program, "--port", str(first), *plain, log=tmp_path / "first"))
        copies = ("--replicaof", "127.0.0.1", str(first), "--masterauth", secret)
        until.enter_context(server(program, "--port", str(second), *plain, *copies, log=tmp_path / "second"))
        assert poll(lambda: answers(first, secret) and answers(second, secret), timeout=PATIENCE)
        until.enter_context(server(program, str(configuration), "--sentinel", log=tmp_path / "sentinel"))
        with redis.Redis(port=sentinel, socket_timeout=5, decode_responses=True) as watcher:

            def knows_the_replica() -> bool:
                try:
                    return bool(watcher.execute_command("SENTINEL", "REPLICAS", "mailrecall"))
                except redis.RedisError:
                    return False

            assert poll(knows_the_replica, timeout=PATIENCE)
            there = settings.model_copy(update={"broker_url": f"sentinel://:{secret}@127.0.0.1:{sentinel}/0"})
            firm = company.found(databases, people=3)
            with processes(there, tmp_path / "log"):
                before = correspondence.send(databases, *firm.people)
                assert poll(lambda: delivered(databases, before), timeout=PATIENCE), (tmp_path / "log").read_text()
                master.kill()
                after = correspondence.send(databases, *firm.people)
                # the reconciler is not here: what went to the old master's end is published again by hand
                with databases.control() as control:
                    control.autocommit = True

                    def arrived() -> bool:
                        outbox.publish_again(control, now=clock.now(), lease=3.0)
                        return delivered(databases, after)

                    assert poll(arrived, timeout=PATIENCE, pause=0.5), (tmp_path / "log").read_text()
                    control.autocommit = False
            _host, port = watcher.execute_command("SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mailrecall")
            assert int(port) == second
