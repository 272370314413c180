"""Runs what is in the outbox by calling the use cases themselves: for tests of what they do, not of how workers run."""

from collections.abc import Callable, Sequence
from datetime import datetime

from mailrecall import clock
from mailrecall.domain.recalls import Channel
from mailrecall.messages.acceptance import Author, EnvelopeRecipient, Incoming, accept
from mailrecall.mime.compose import Composition, compose
from mailrecall.mime.summary import summarise
from mailrecall.outbox import store as outbox
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.delivery.depositing import deposit_batch, file_author_copy
from services.delivery.expansion import bounce_undeliverable, expand_message
from services.delivery.forwarding import forward_message
from services.delivery.relaying import relay_message
from services.recall.planning import plan_recall
from services.recall.preparing import prepare_batch
from services.recall.requesting import admit_request
from services.recall.restoring import restore_batch
from services.recall.settling import settle_recall
from services.recall.withdrawing import withdraw_batch

USE_CASES: dict[str, Callable[..., None]] = {
    Task.EXPAND: expand_message,
    Task.BOUNCE: bounce_undeliverable,
    Task.DEPOSIT: deposit_batch,
    Task.FILE_AUTHOR_COPY: file_author_copy,
    Task.FORWARD: forward_message,
    Task.RELAY: relay_message,
    Task.ADMIT: admit_request,
    Task.PLAN: plan_recall,
    Task.PREPARE: prepare_batch,
    Task.WITHDRAW: withdraw_batch,
    Task.SETTLE: settle_recall,
    Task.RESTORE: restore_batch,
}


def run(process: Process[Settings], *tasks: Task, now: datetime | None = None) -> int:
    """Run all due work of the given kinds (all but reports and relays, if none is given) until there is none left."""
    wanted = [task.value for task in tasks] or [task for task in USE_CASES if task != Task.RELAY]
    done = 0
    while publications := _take(process.databases, wanted, now or clock.now()):
        for publication in publications:
            USE_CASES[publication.task](
                process, work_id=publication.work_id, now=now or clock.now(), **publication.args
            )
            done += 1
    return done


def _take(databases: Databases, wanted: Sequence[str], now: datetime) -> list[outbox.Publication]:
    with databases.control() as connection:
        rows = connection.execute(
            "UPDATE outbox SET published_at = %s, attempts = attempts + 1"
            " WHERE published_at IS NULL AND task = ANY (%s) AND due_at <= %s RETURNING id, task, queue, args",
            (now, list(wanted), now),
        ).fetchall()
    return [outbox.Publication(*row) for row in sorted(rows)]


def send(
    databases: Databases,
    author: Author | None,
    recipients: Sequence[EnvelopeRecipient],
    *,
    address: str = "author@example.org",
    subject: str = "Minutes",
    channel: Channel = Channel.WEBMAIL,
    now: datetime | None = None,
) -> int:
    """Accept a small message, as intake and webmail do; returns its id."""
    moment = now or clock.now()
    content = compose(
        Composition(from_address=address, subject=subject, text="Good morning."),
        now=moment,
        hostname="mail.example.org",
    )
    incoming = Incoming(
        author=author,
        envelope_sender=address,
        channel=channel,
        content=content,
        summary=summarise(content),
        recipients=recipients,
        file_author_copy=author is not None,
    )
    with databases.control() as connection:
        return accept(connection, incoming, now=moment)
