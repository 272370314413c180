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

WORKERS = ("delivery", "deposit", "recall", "withdraw", "reports")
"""The Celery workers. Two services have two: what is large must not be in the way of what is small."""

GATEWAY, INTAKE, IMAP, POP3, RELAY = "gateway", "intake", "imap", "pop3", "relay"
BEAT, FLOWER, METRICS = "beat", "flower", "metrics"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a stack is to be."""

    folder: DataFolder
    ports: Ports
    shards: int
    workers: int = 2
    """Tasks that each worker of delivery and of recall does at once."""
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
            "MAILRECALL_FLOWER_BIND": f"{HOST}:{self.ports.flower}",
            # all count into one folder, which the exporter reads
            "MAILRECALL_METRICS_FOLDER": str(self.folder.metrics),
            # the folder a service starts in is no place to import from
            "PYTHONSAFEPATH": "1",
            "PYTHONUNBUFFERED": "1",
        }

    def services(self) -> list[Command]:
        """Return the services in the order they are started."""
        shards = range(self.shards)
        return [
            self._service(RELAY, "mailrecall.outbox.relay"),
            self._worker("delivery", "delivery", [Queue.DELIVERY, Queue.SMALL_DEPOSITS], self.workers),
            self._worker("deposit", "delivery", [*map(Queue.deposit, shards)], self.workers),
            self._worker("recall", "recall", [Queue.RECALL, Queue.RECONCILE, Queue.SMALL_WITHDRAWALS], self.workers),
            self._worker("withdraw", "recall", [*map(Queue.withdraw, shards)], self.workers),
            self._worker("reports", "reports", [Queue.REPORTS], 1),
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
            self._service(FLOWER, "mailrecall.flower"),
            self._service(METRICS, "mailrecall.metrics", environment={"MAILRECALL_METRICS_BIND": self._metrics_bind}),
        ]

    def _worker(self, name: str, service: str, queues: list[str], concurrency: int) -> Command:
        return self._service(
            name,
            *("celery", f"--app=services.{service}.worker", "worker"),
            f"--hostname={name}@%h",
            f"--queues={','.join(queues)}",
            f"--concurrency={concurrency}",
            # workers have nothing to say to each other; heartbeats and events stay on for Flower
            "--without-gossip",
            "--without-mingle",
            stop_timeout=30.0,
        )

    @property
    def _metrics_bind(self) -> str:
        return f"{HOST}:{self.ports.metrics}"

    def _service(
        self,
        name: str,
        module: str,
        *arguments: str,
        stop_timeout: float = 15.0,
        environment: Mapping[str, str] | None = None,
    ) -> Command:
        return Command(
            name=name,
            arguments=(sys.executable, "-m", module, *arguments),
            environment={**self.environment(), **(environment or {})},
            stop_timeout=stop_timeout,
        )


def full_environment(plan: Plan, inherited: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the whole environment of a service: what the user has set, and on top what the stack knows better."""
    return {**inherited, **plan.environment()}
