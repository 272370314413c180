"""The PostgreSQL and Redis that tests run against: embedded ones, or containers with TEST_SERVERS=containers."""

import itertools
import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
import redis
from psycopg import conninfo, sql

from mailrecall.embedded import placement, postgres, valkey
from mailrecall.embedded.commands import Command
from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports
from mailrecall.embedded.unprivileged import postgres_user
from mailrecall.postgres.migrations import migrate
from mailrecall.settings import Settings

SHARDS = 2


@dataclass(slots=True)
class Servers:
    """A PostgreSQL and a Redis server for one test session, with databases to be had for the asking."""

    superuser_url: str
    """The maintenance database."""
    redis_url: str
    """Without the database number."""
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _templates: set[str] = field(default_factory=set)

    def database_url(self, name: str) -> str:
        """Return the URL of a database."""
        return self.superuser_url.rpartition("/")[0] + "/" + name

    def create_database(self, name: str, template: str = "template1") -> str:
        """Create a database and return its URL."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            connection.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
            )
        return self.database_url(name)

    def drop_databases(self, names: Sequence[str]) -> None:
        """Drop databases, whoever is connected to them."""
        with psycopg.connect(self.superuser_url, autocommit=True) as connection:
            for name in names:
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))

    @contextmanager
    def fresh_settings(self, shards: int = SHARDS, **settings: object) -> Iterator[Settings]:
        """Give settings for a migrated control database with its shards, all empty, and an empty broker."""
        number = next(self._numbers)
        names = [f"control_{number}", *(f"shard{shard}_{number}" for shard in range(shards))]
        control_template, shard_template = self._migrated("control"), self._migrated("shard")
        urls = [self.create_database(name, shard_template if i else control_template) for i, name in enumerate(names)]
        with psycopg.connect(urls[0]) as connection, connection.cursor() as cursor:
            cursor.executemany("INSERT INTO shard (id) VALUES (%s)", [(shard,) for shard in range(shards)])
        broker_url = f"{self.redis_url}/{number % 16}"
        with redis.Redis.from_url(broker_url) as client:
            client.flushdb()
        values = {"control_url": urls[0], "shard_urls": tuple(urls[1:]), "broker_url": broker_url, **settings}
        yield Settings.model_validate(values)
        self.drop_databases(names)

    def _migrated(self, kind: str) -> str:
        """Make a template once: copying it is much faster than migrating anew for each module."""
        name = f"template_{kind}"
        if kind not in self._templates:
            migrate(self.create_database(name), "control" if kind == "control" else "shard")
            self._templates.add(kind)
        return name


@contextmanager
def running() -> Iterator[Servers]:
    """Run the servers that TEST_SERVERS asks for."""
    match os.environ.get("TEST_SERVERS", "embedded"):
        case "embedded":
            with _embedded() as servers:
                yield servers
        case "containers":
            with _containers() as servers:
                yield servers
        case other:
            raise ValueError(f"TEST_SERVERS must be `embedded` or `containers`, not `{other}`.")


@contextmanager
def _embedded() -> Iterator[Servers]:
    user = postgres_user()
    folder = new_folder("servers")
    folder.mkdir(mode=0o711)
    programs = placement.reachable_programs(postgres.programs(), user)
    place = placement.reachable_folder(folder, user, folder.name)
    postgres_port, valkey_port = free_ports(2)
    database = postgres.Postgres(
        data=place / "postgres",
        programs=programs,
        port=postgres_port,
        superuser_password=secrets.token_urlsafe(),
        role_password=secrets.token_urlsafe(),
        user=user,
    )
    broker = valkey.Valkey(
        folder=folder / "valkey", program=valkey.program(), port=valkey_port, password=secrets.token_urlsafe()
    )
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        database.initialise()
        broker.configure()
        # what a test database holds need not survive a power cut; the stack's own server keeps fsync on
        first = stack.enter_context(_process(database.command(fsync="off", full_page_writes="off"), folder))
        second = stack.enter_context(_process(broker.command(), folder))
        processes = (first, second)

        def up() -> bool:
            if any(process.poll() is not None for process in processes):
                raise RuntimeError(f"A server ended.\n{_logs(folder)}")
            return database.answers() and broker.answers()

        if not poll(up, timeout=60):
            raise RuntimeError(f"The servers do not answer.\n{_logs(folder)}")
        yield Servers(database.superuser_url, broker.url().rpartition("/")[0])


def _logs(folder: Path) -> str:
    return "\n".join(log.read_text() for log in sorted(folder.glob("*.log")))


def new_folder(purpose: str) -> Path:
    """Name a folder, not yet made, that PostgreSQL's user can reach: pytest's own are closed to everybody else."""
    return Path(tempfile.gettempdir()) / f"mailrecall-{purpose}-{secrets.token_hex(6)}"


@contextmanager
def _process(command: Command, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (folder / f"{command.name}.log").open("ab") as log:
        process = subprocess.Popen(
            command.launched(), env=os.environ | dict(command.environment), stdout=log, stderr=log, cwd=folder
        )
    try:
        yield process
    finally:
        process.send_signal(command.stop_signal)
        try:
            process.wait(command.stop_timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise


@contextmanager
def _containers() -> Iterator[Servers]:
    from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415 - talks to Docker when imported
    from testcontainers.community.redis import RedisContainer  # noqa: PLC0415

    with PostgresContainer("postgres:17-trixie") as database, RedisContainer("redis:8-trixie") as broker:
        host, port = broker.get_container_host_ip(), broker.get_exposed_port(6379)
        url = database.get_connection_url(driver=None)
        parts = conninfo.conninfo_to_dict(url)
        superuser_url = (
            f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{parts['dbname']}"
        )
        yield Servers(superuser_url, f"redis://{host}:{port}")
