"""The composition as it is shipped, in a project of its own on free ports, and what is done to its containers.

Its databases are published too, for whoever keeps books.
"""

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports

ROOT = Path(__file__).parents[2]
PROJECT = "mailrecall-tests"
SECRETS = ROOT / "deploy" / "secrets" / "development"
FILES = ("--file", "docker-compose.yml", "--file", "tests/compose/databases.yml")
SHARDS = ("shard0", "shard1", "shard2", "shard3")
PORTS = (
    *("HTTP", "SMTP", "LMTP", "IMAP", "POP3", "FLOWER", "METRICS"),
    *(server.upper() for server in ("control", *SHARDS)),
)
LOGIN = ("operator", "development-only")
SERVERS = ("redis", "control", *SHARDS)
WORKERS = ("delivery", "deposit", "recall", "withdraw", "reports")
SERVICES = ("gateway", "intake", "imap", "pop3", "relay", *WORKERS, "beat", "flower", "metrics")


@dataclass(frozen=True, slots=True)
class Composition:
    """A running composition."""

    variables: Mapping[str, str]

    def port(self, name: str) -> int:
        return int(self.variables[f"MAILRECALL_{name}_PORT"])

    @property
    def api(self) -> str:
        return f"http://127.0.0.1:{self.port('HTTP')}"

    @property
    def metrics_url(self) -> str:
        return f"http://127.0.0.1:{self.port('METRICS')}/metrics"

    @property
    def flower_url(self) -> str:
        return f"http://127.0.0.1:{self.port('FLOWER')}"

    def settings(self) -> dict[str, str]:
        """What a program on this machine is to be told, in its environment, to reach the databases."""
        password = (SECRETS / "database_password").read_text(encoding="utf-8").strip()

        def url(server: str) -> str:
            return f"postgresql://mailrecall:{password}@127.0.0.1:{self.port(server.upper())}/mailrecall"

        return {
            "MAILRECALL_CONTROL_URL": url("control"),
            "MAILRECALL_SHARD_URLS": " ".join(map(url, SHARDS)),
            "MAILRECALL_BROKER_URL_FILE": str(SECRETS / "broker_url"),
        }

    def compose(self, *arguments: str, given: str | None = None, patience: float = 900) -> str:
        """Run `docker compose`; return what it printed."""
        done = subprocess.run(
            ["docker", "compose", "--project-name", PROJECT, *FILES, *arguments],
            env={**os.environ, **self.variables},
            cwd=ROOT,
            input=given,
            stdin=subprocess.DEVNULL if given is None else None,
            capture_output=True,
            text=True,
            timeout=patience,
            check=False,
        )
        assert done.returncode == 0, (
            f"docker compose {' '.join(arguments)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        )
        return done.stdout

    def sql(self, service: str, query: str) -> list[list[str]]:
        """Ask a database by its own client; returns rows of texts."""
        printed = self.compose(
            *("exec", "-T", service, "psql", "--username=mailrecall", "--no-align", "--tuples-only", "--quiet"),
            *("--field-separator=|", "--command", query),
        )
        return [line.split("|") for line in printed.splitlines() if line]

    def number(self, service: str, query: str) -> int:
        ((only,),) = self.sql(service, query)
        return int(only)

    def load(self, directory: Mapping[str, Any]) -> None:
        """Load a directory, as an operator does."""
        self.compose(
            "exec", "-T", "gateway", "mailrecall", "directory", "load", "/dev/stdin", given=json.dumps(directory)
        )

    def healthy(self, service: str) -> bool:
        lines = self.compose("ps", "--format", "{{.Health}}", service).split()
        return bool(lines) and set(lines) == {"healthy"}

    def await_healthy(self, service: str) -> None:
        assert poll(lambda: self.healthy(service), timeout=180, pause=1.0), f"{service} did not become healthy"

    def ask(self, method: str, path: str, who: str, **arguments: Any) -> httpx.Response:
        """Ask the API once, whatever comes of it."""
        return httpx.request(method, f"{self.api}/api/v1{path}", auth=(who, "example-only"), timeout=60, **arguments)

    def insist(self, method: str, path: str, who: str, **arguments: Any) -> Any:
        """Ask until there is an answer: for what may be asked again."""
        deadline = time.monotonic() + 180
        while True:
            try:
                answer = self.ask(method, path, who, **arguments)
                if answer.status_code < 500:
                    assert answer.is_success, answer.text
                    return answer.json()
            except httpx.TransportError:
                pass
            assert time.monotonic() < deadline, f"{method} {path} was not answered"
            time.sleep(0.2)


@contextmanager
def running() -> Iterator[Composition]:
    """Bring the composition up, built from this checkout, until the block ends."""
    ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
    composition = Composition(
        {
            **{f"MAILRECALL_{name}_PORT": str(port) for name, port in ports.items()},
            "MAILRECALL_VERSION": "tests",
            # small, so that a recall has many batches and lasts
            "MAILRECALL_BATCH_SIZE": "100",
        }
    )
    composition.compose("down", "--volumes", "--remove-orphans")
    try:
        composition.compose("up", "--build", "--detach", "--wait", "--wait-timeout", "600")
        yield composition
    except BaseException:
        print(composition.compose("ps", "--all"))  # noqa: T201
        print(composition.compose("logs", "--no-color", "--tail", "30", *SERVICES))  # noqa: T201
        raise
    finally:
        composition.compose("down", "--volumes", "--remove-orphans")
