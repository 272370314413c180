"""The process table: every service of the house with its command and what its environment says."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from mailrecall.embedded.certificate import Pair
from mailrecall.embedded.commands import Command
from mailrecall.embedded.folder import DataFolder
from mailrecall.embedded.ports import HOST, Ports
from mailrecall.outbox.work import Queue

WORKERS = ("delivery", "recall", "reports")
"""The Celery workers; each is a service of that name."""

GATEWAY, INTAKE, IMAP, POP3, RELAY, BEAT, FLOWER = "gateway", "intake", "imap", "pop3", "relay", "beat", "flower"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a stack is to be."""

    folder: DataFolder
    ports: Ports
    shards: int
    workers: int = 2
    """Tasks that the delivery worker and the recall worker each do at once."""
    certificate: Pair | None = None
    """The stack's own; None where the user has named one."""

    def environment(self) -> dict[str, str]:
        """Return what the services find in their environment; secrets are in files that only this user can read."""
        own_tls = self.certificate and {
            "MAILRECALL_TLS_CERTIFICATE": str(self.certificate.certificate),
            "MAILRECALL_TLS_KEY": str(self.certificate.key),
        }
        return {
            **(own_tls or {}),
            "MAILRECALL_CONTROL_URL_FILE": str(self.folder.secret_file("control_url")),
            "MAILRECALL_SHARD_URLS_FILE": str(self.folder.secret_file("shard_urls")),
            "MAILRECALL_BROKER_URL_FILE": str(self.folder.secret_file("broker_url")),
            "MAILRECALL_PUBLIC_URL": f"http://localhost:{self.ports.gateway}",
            "MAILRECALL_GATEWAY_BIND": f"{HOST}:{self.ports.gateway}",
            "MAILRECALL_SMTP_BIND": f"{HOST}:{self.ports.smtp}",
            "MAILRECALL_LMTP_BIND": f"{HOST}:{self.ports.lmtp}",
            "MAILRECALL_IMAP_BIND": f"{HOST}:{self.ports.imap}",
            "MAILRECALL_POP3_BIND": f"{HOST}:{self.ports.pop3}",
            # the folder a service starts in is no place to import from
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def services(self) -> list[Command]:
        """Return the services in the order they are started."""
        shards = range(self.shards)
        return [
            self._service(RELAY, "mailrecall.outbox.relay"),
            self._worker("delivery", [Queue.DELIVERY, *map(Queue.deposit, shards)], self.workers),
            self._worker("recall", [Queue.RECALL, Queue.RECONCILE, *map(Queue.withdraw, shards)], self.workers),
            self._worker("reports", [Queue.REPORTS], 1),
            self._service(INTAKE, "services.delivery.intake"),
            self._service(IMAP, "services.delivery.imap"),
            self._service(POP3, "services.delivery.pop3"),
            self._service(
                GATEWAY,
                "gunicorn",
                "--config=python:services.gateway.gunicorn_conf",
                "services.gateway.wsgi:application",
            ),
            self._service(
                BEAT,
                *("celery", "--app=services.recall.worker", "beat"),
                f"--schedule={self.folder.beat_schedule}",
                "--pidfile=",
                stop_timeout=5.0,
            ),
            self._service(
                FLOWER,
                *("celery", "--app=services.recall.worker", "flower"),
                f"--address={HOST}",
                f"--port={self.ports.flower}",
            ),
        ]

    def _worker(self, name: str, queues: list[str], concurrency: int) -> Command:
        return self._service(
            name,
            *("celery", f"--app=services.{name}.worker", "worker"),
            f"--hostname={name}@%h",
            f"--queues={','.join(queues)}",
            f"--concurrency={concurrency}",
            # workers have nothing to say to each other; heartbeats and events stay on for Flower
            "--without-gossip",
            "--without-mingle",
            stop_timeout=30.0,
        )

    def _service(self, name: str, module: str, *arguments: str, stop_timeout: float = 15.0) -> Command:
        return Command(
            name=name,
            arguments=(sys.executable, "-m", module, *arguments),
            environment=self.environment(),
            stop_timeout=stop_timeout,
        )


def full_environment(plan: Plan, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the whole environment of a service: what the user has set, and on top what the stack knows better."""
    return {**inherited, **plan.environment()}
