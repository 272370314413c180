"""Celery, set up the same way for every service; the broker carries work and remembers nothing that matters."""

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP
from celery.beat import PersistentScheduler
from celery.signals import setup_logging
from kombu import Connection, Exchange
from kombu import Queue as KombuQueue

from mailrecall import heartbeat, logs
from mailrecall.outbox.work import Queue
from mailrecall.settings import Settings

# The anonymous exchange routes by queue name without a binding table of its own, so that an emptied Redis cannot lose
# the bindings that a long-lived producer believes it has declared.
_ANONYMOUS = Exchange("", type="direct")
_PATIENCE = 3
"""Seconds to wait for the broker where nothing depends on its answer."""


def queues(settings: Settings) -> list[str]:
    """Return the names of all queues, given how many shards there are."""
    shards = range(len(settings.shard_urls))
    return [
        Queue.DELIVERY,
        Queue.RECALL,
        Queue.RECONCILE,
        Queue.REPORTS,
        Queue.SMALL_DEPOSITS,
        Queue.SMALL_WITHDRAWALS,
        *(Queue.deposit(shard) for shard in shards),
        *(Queue.withdraw(shard) for shard in shards),
    ]


def _transport_options(settings: Settings) -> dict[str, Any]:
    if speaks_amqp(settings):
        # work counts as published once the broker has said that it has it (RabbitMQ's publisher confirms)
        return {"confirm_publish": True, "write_timeout": 15}
    sentinel: dict[str, Any] = (
        {"master_name": settings.sentinel_master} if settings.broker_url.startswith("sentinel://") else {}
    )
    if sentinel and settings.sentinel_password:
        sentinel["sentinel_kwargs"] = {"password": settings.sentinel_password}
    return {
        **sentinel,
        "visibility_timeout": 3600,  # the outbox publishes again long before
        "socket_timeout": 15,
        "socket_connect_timeout": 5,
        "socket_keepalive": True,
    }


def speaks_amqp(settings: Settings) -> bool:
    """Tell whether the broker is RabbitMQ or its like, and neither Redis nor its Sentinels."""
    return settings.broker_url.startswith(("amqp://", "amqps://"))


def _patient(settings: Settings) -> type[AMQP]:
    """Return what Celery makes its connections with: each second of waiting for a lost one is a sign of life."""

    class Patient(Connection):
        def ensure_connection(self, *args: Any, **options: Any) -> Any:
            callback = options.get("callback")

            def each_second() -> None:
                heartbeat.touch(settings)
                if callback:
                    callback()

            return super().ensure_connection(*args, **(options | {"callback": each_second}))

    class PatientAMQP(AMQP):
        # so Celery's class names what connections are made of
        Connection = Patient

    return PatientAMQP


def _ticking(settings: Settings) -> type[PersistentScheduler]:
    """Return beat's scheduler, whose ticks are signs of life, however seldom one of them has something to publish."""

    class Ticking(PersistentScheduler):
        def tick(self, *args: Any, **options: Any) -> Any:
            heartbeat.touch(settings)
            return super().tick(*args, **options)

    return Ticking


def celery_app(service: str, settings: Settings, **configuration: Any) -> Celery:
    """Build a service's Celery application.

    Args:
        service: its name, which its logs and Flower show.
        settings: where the broker is.
        configuration: what only this service needs, such as a beat schedule.
    """
    heartbeat.follow_celery(settings)

    # with somebody to do it, Celery leaves the levels and handlers of logs alone
    @setup_logging.connect(weak=False)
    def keep_logging(**_: object) -> None:
        logs.configure(settings)

    app = Celery(service, broker=settings.broker_url, amqp=_patient(settings), set_as_current=False)
    app.conf.update(
        task_queues=[KombuQueue(name, _ANONYMOUS, routing_key=name) for name in queues(settings)],
        task_default_queue=Queue.RECONCILE,
        task_default_exchange="",
        task_default_routing_key=Queue.RECONCILE,
        task_create_missing_queues=False,
        # outcomes live in Postgres; a result backend would open a subscription for each task
        task_ignore_result=True,
        # a task that dies with its worker is delivered again; each is safe to run twice
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        worker_prefetch_multiplier=1,
        # JSON only: nothing on the wire can make a worker run code
        task_serializer="json",
        accept_content=["json"],
        enable_utc=True,
        timezone="UTC",
        beat_scheduler=_ticking(settings),
        beat_max_loop_interval=heartbeat.ROUND,
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        task_send_sent_event=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options=_transport_options(settings),
        **configuration,
    )
    return app


def queue_lengths(settings: Settings) -> dict[str, int]:
    """Return how many tasks wait in each queue; those in workers' hands are not among them.

    Raises:
        kombu.exceptions.OperationalError: the broker does not answer.
    """
    lengths: dict[str, int] = {}
    options = _transport_options(settings)
    with Connection(settings.broker_url, transport_options=options, connect_timeout=_PATIENCE) as connection:
        # without it a broker that is away would be tried again for ever
        connection.ensure_connection(max_retries=1, timeout=_PATIENCE)
        for name in queues(settings):
            lengths[name] = _length(connection, name)
    return lengths


def _length(connection: Connection, queue: str) -> int:
    channel: Any = connection.channel()
    try:
        return int(channel.queue_declare(queue, passive=True).message_count)
    except connection.channel_errors:
        # no such queue: Redis has none that is empty, RabbitMQ none that no worker has asked for
        return 0
    finally:
        connection.maybe_close_channel(channel)
