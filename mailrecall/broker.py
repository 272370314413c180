"""Celery, set up the same way for every service; the broker carries work and remembers nothing that matters."""

from typing import Any

from celery import Celery
from kombu import Exchange
from kombu import Queue as KombuQueue

from mailrecall import heartbeat
from mailrecall.outbox.work import Queue
from mailrecall.settings import Settings

# The anonymous exchange routes by queue name without a binding table of its own, so that an emptied Redis cannot lose
# the bindings that a long-lived producer believes it has declared.
_ANONYMOUS = Exchange("", type="direct")


def queues(settings: Settings) -> list[str]:
    """Return the names of all queues, given how many shards there are."""
    shards = range(len(settings.shard_urls))
    return [
        Queue.DELIVERY,
        Queue.RECALL,
        Queue.RECONCILE,
        Queue.REPORTS,
        *(Queue.deposit(shard) for shard in shards),
        *(Queue.withdraw(shard) for shard in shards),
    ]


def celery_app(service: str, settings: Settings, **configuration: Any) -> Celery:
    """Build a service's Celery application.

    Args:
        service: its name, which its logs and Flower show.
        settings: where the broker is.
        configuration: what only this service needs, such as a beat schedule.
    """
    heartbeat.follow_celery(settings)
    app = Celery(service, broker=settings.broker_url, set_as_current=False)
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
        worker_hijack_root_logger=False,
        worker_send_task_events=True,
        task_send_sent_event=False,
        broker_connection_retry_on_startup=True,
        broker_transport_options={
            "visibility_timeout": 3600,  # the outbox publishes again long before
            "socket_timeout": 15,
            "socket_connect_timeout": 5,
            "socket_keepalive": True,
        },
        **configuration,
    )
    return app
