"""RabbitMQ from Debian's package, a broker of its own in a folder of its own."""

import os
import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mailrecall.embedded.deadlines import poll
from mailrecall.embedded.ports import free_ports

PROGRAMS = Path("/usr/lib/rabbitmq/bin")
needs_rabbitmq = pytest.mark.skipif(
    not (PROGRAMS / "rabbitmq-server").exists(), reason="RabbitMQ is not installed: apt-get install rabbitmq-server"
)


@dataclass(frozen=True, slots=True)
class RabbitMQ:
    """A running broker."""

    port: int
    environment: dict[str, str]

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def control(self, *arguments: str) -> bool:
        """Tell the broker something; returns whether it did it."""
        done = subprocess.run(
            [str(PROGRAMS / "rabbitmqctl"), "--quiet", *arguments],
            env=self.environment,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return done.returncode == 0


@contextmanager
def running(folder: Path) -> Iterator[RabbitMQ]:
    """Run a broker until the block ends; a node of its own, which clusters with nobody."""
    port, distribution, epmd = free_ports(3)
    folder.mkdir(parents=True)
    (folder / "plugins").write_text("[].\n")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("RABBITMQ")},
        "HOME": str(folder),
        "ERL_EPMD_PORT": str(epmd),
        "RABBITMQ_NODENAME": f"mailrecall-{secrets.token_hex(4)}@localhost",
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(folder / "data"),
        "RABBITMQ_LOG_BASE": str(folder),
        "RABBITMQ_PID_FILE": str(folder / "pid"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "plugins"),
        "RABBITMQ_CONFIG_FILE": str(folder / "none"),
        "RABBITMQ_CONF_ENV_FILE": str(folder / "none.sh"),
    }
    log = folder / "output"
    with log.open("wb") as output:
        server = subprocess.Popen(
            [str(PROGRAMS / "rabbitmq-server")], env=environment, stdout=output, stderr=output, cwd=folder
        )
    broker = RabbitMQ(port, environment)
    try:
        up = poll(lambda: server.poll() is not None or broker.control("await_startup", "--timeout", "5"), timeout=120)
        assert up, log.read_text()
        assert server.poll() is None, log.read_text()
        yield broker
    finally:
        server.terminate()
        try:
            server.wait(60)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        subprocess.run([shutil.which("epmd") or "true", "-port", str(epmd), "-kill"], capture_output=True, check=False)
