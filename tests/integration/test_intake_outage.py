"""Intake when it cannot do its work, and when it is told to stop: nothing is lost, and nothing falsely promised."""

import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.company import PASSWORD, Company
from tests.intake import Client, Intake, count, environment, running, stored

MESSAGE = b"From: eve@elsewhere.example\r\nSubject: Hello\r\n\r\nGood morning\r\n"


@pytest.fixture(scope="module")
def company(databases: Databases) -> Company:
    return companies.found(databases, people=2)


@pytest.fixture
def intake(settings: Settings, tmp_path: Path) -> Iterator[Intake]:
    with running(settings, tmp_path, statement_timeout=0.5, stop_timeout=5) as running_intake:
        yield running_intake


@contextmanager
def locked(settings: Settings, table: str) -> Iterator[None]:
    """Let nobody else into a table."""
    with psycopg.connect(settings.control_url) as connection:
        connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE".encode())
        yield
        connection.rollback()


def lmtp(intake: Intake) -> Client:
    client = Client(intake.lmtp)
    client.ask("LHLO relay.example.net")
    return client


def envelope(client: Client, *recipients: str) -> list[str]:
    assert client.ask("MAIL FROM:<eve@elsewhere.example>").startswith("250")
    return [client.ask(f"RCPT TO:<{recipient}>") for recipient in recipients]


def test_no_database_at_all_is_a_temporary_failure(settings: Settings, tmp_path: Path):
    (nobody,) = free_ports(1)
    away = settings.model_copy(update={"control_url": f"postgresql://x:y@127.0.0.1:{nobody}/z"})
    with running(away, tmp_path, connect_timeout=1) as intake:
        with lmtp(intake) as client:
            assert envelope(client, "person0@example.org") == [
                "451 4.3.0 The mail store does not answer; try again later"
            ]
            assert client.ask("DATA").startswith("503")
        with Client(intake.smtp) as client:
            client.ask("EHLO laptop")
            credentials = base64.b64encode(f"\0person0@example.org\0{PASSWORD}".encode()).decode()
            assert client.ask(f"AUTH PLAIN {credentials}").startswith("454 4.7.0")


def test_a_message_that_cannot_be_stored_is_not_acknowledged(
    settings: Settings, intake: Intake, company: Company, databases: Databases
):
    before = count(databases)
    addresses = [person.address for person in company.people]
    with lmtp(intake) as client:
        envelope(client, *addresses)
        with locked(settings, "outbox"):
            assert client.ask("DATA").startswith("354")
            client.send(MESSAGE + b".\r\n")
            replies = [client.reply() for _ in addresses]
        assert [reply[:9] for reply in replies] == ["451 4.3.0"] * 2
        assert count(databases) == before, "nothing half-stored"
        # the same connection goes on once the database does
        assert [reply[:3] for reply in envelope(client, *addresses)] == ["250", "250"]
        client.ask("DATA")
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith("250 2.0.0")
    assert count(databases) == before + 1


def test_a_directory_that_does_not_answer_is_a_temporary_failure(settings: Settings, intake: Intake, company: Company):
    person = company.people[0]
    with Client(intake.smtp) as client:
        client.ask("EHLO laptop")
        credentials = base64.b64encode(f"\0{person.address}\0{PASSWORD}".encode()).decode()
        with locked(settings, "account"):
            assert client.ask(f"AUTH PLAIN {credentials}").startswith("454 4.7.0")
        assert client.ask(f"AUTH PLAIN {credentials}").startswith("235")
        with locked(settings, "account"):
            assert client.ask(f"MAIL FROM:<{person.address}>").startswith("451 4.3.0")
        assert client.ask(f"MAIL FROM:<{person.address}>").startswith("250")
        with locked(settings, "address"):
            assert client.ask(f"RCPT TO:<{person.address}>").startswith("451 4.3.0")
        assert client.ask(f"RCPT TO:<{person.address}>").startswith("250")


def test_others_are_served_while_one_waits_for_the_database(settings: Settings, intake: Intake, company: Company):
    with lmtp(intake) as waiting, lmtp(intake) as other, locked(settings, "account"):
        assert waiting.ask("MAIL FROM:<eve@elsewhere.example>").startswith("250")
        waiting.send(b"RCPT TO:<%s>\r\n" % company.people[0].address.encode())
        assert [other.ask("NOOP")[:3] for _ in range(20)] == ["250"] * 20
        assert waiting.reply().startswith("451")


def test_connections_cut_by_the_database_do_not_show(
    settings: Settings, intake: Intake, company: Company, databases: Databases
):
    with lmtp(intake) as client:
        assert envelope(client, company.people[0].address)[0].startswith("250")
        with databases.control() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'mailrecall-intake' AND datname = current_database()"
            )
        client.ask("DATA")
        client.send(MESSAGE + b".\r\n")
        assert client.reply().startswith("250 2.0.0")


def test_told_to_stop_it_takes_what_is_on_its_way_and_sends_the_others_away(
    intake: Intake, company: Company, databases: Databases
):
    with lmtp(intake) as idle, lmtp(intake) as sending, Client(intake.smtp) as new:
        envelope(sending, company.people[0].address)
        assert sending.ask("DATA").startswith("354")
        sending.send(MESSAGE)
        intake.process.send_signal(signal.SIGTERM)
        assert idle.reply().startswith("421 4.3.2")
        assert new.reply().startswith("421 4.3.2")
        with pytest.raises(ConnectionRefusedError):
            Client(intake.lmtp)
        sending.send(b".\r\n")
        reply = sending.reply()
        assert reply.startswith("250 2.0.0 Accepted as ")
        assert sending.reply().startswith("421 4.3.2")
    assert intake.process.wait(10) == 0
    assert stored(databases, int(reply.rsplit(" ", 1)[1])).content.endswith(MESSAGE)


def test_told_to_stop_it_does_not_wait_for_ever(
    settings: Settings, company: Company, databases: Databases, tmp_path: Path
):
    before = count(databases)
    with running(settings, tmp_path, stop_timeout=0.5) as intake, lmtp(intake) as sending:
        envelope(sending, company.people[0].address)
        sending.ask("DATA")
        sending.send(MESSAGE)
        assert intake.stop() == 0
        assert sending.reply().startswith("421 4.3.2")
    assert count(databases) == before


def test_a_silent_client_is_disconnected(settings: Settings, tmp_path: Path):
    with running(settings, tmp_path, idle_timeout=0.5) as intake, lmtp(intake) as client:
        assert client.reply() == ""


def test_too_many_clients_are_told_to_come_back(settings: Settings, tmp_path: Path):
    with running(settings, tmp_path, max_connections=2) as intake:
        # the client that looked whether intake listens may still be counted
        def served() -> bool:
            with Client(intake.lmtp) as client:
                return client.greeting.startswith("220")

        assert poll(served, timeout=60)
        with lmtp(intake), lmtp(intake) as second:
            assert second.ask("NOOP").startswith("250")
            with Client(intake.lmtp) as third:
                assert third.greeting.startswith("421 4.3.2")
            with Client(intake.smtp) as other_protocol:
                assert other_protocol.greeting.startswith("220")
        assert poll(served, timeout=60)


def started(settings: Settings, **more: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.delivery.intake"],
        env=environment(settings, **more),
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("smtp_bind", "2587"),
        ("lmtp_bind", "localhost:70000"),
        ("plain_login", "perhaps"),
        ("max_line_length", "997"),
        ("max_connections", "0"),
        ("postmaster", "nobody"),
        ("idle_timeout", "soon"),
    ],
)
def test_a_setting_that_cannot_be_right_stops_it_at_the_start(name: str, value: str, settings: Settings):
    ended = started(settings, **{name: value})
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"MAILRECALL_{name.upper()}: ")


def test_a_port_that_is_taken_is_named(settings: Settings, intake: Intake):
    ended = started(settings, lmtp_bind="{}:{}".format(*intake.lmtp))
    assert ended.returncode == 1
    assert "cannot listen" in ended.stderr
    assert str(intake.lmtp[1]) in ended.stderr
    assert "MAILRECALL_LMTP_BIND" in ended.stderr
    assert os.sep + "asyncio" not in ended.stderr, "no traceback"
