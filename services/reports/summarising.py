"""The report of a settled recall (R18): written once, in the transaction that accepts it as a mail like any other."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from psycopg import Connection

from mailrecall import faultpoints, logs
from mailrecall.directory.lookup import Account, account_by_id
from mailrecall.domain.recalls import Channel, State
from mailrecall.faultpoints import Commit
from mailrecall.messages.acceptance import EnvelopeRecipient, Incoming, accept
from mailrecall.mime.compose import Composition, Mailbox, NewAttachment, compose
from mailrecall.mime.summary import summarise as summary_of
from mailrecall.outbox import store as outbox
from mailrecall.postgres import queries
from mailrecall.recalls import views
from mailrecall.recalls.views import RecallView
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.reports.gathering import gather, recalled_message
from services.reports.languages import LANGUAGES
from services.reports.rendering import Letter, one_line, render
from services.reports.report import Reader, RecalledMessage, report_for

log = logs.get(__name__)

_SQL = queries.load(__package__, "summarising.sql")

_TRIES = 3
_MESSAGE_ID = re.compile(r"<[!-;=?-~]{1,900}>")


class OvertakenError(Exception):
    """The recall kept changing while its report was written; the outbox tries again."""


@dataclass(frozen=True, slots=True)
class Mail:
    """One report, ready to be accepted."""

    reader: Reader
    account: Account
    content: bytes


def write_reports(process: Process[Settings], *, recall_id: int, work_id: int, now: datetime) -> None:
    """Send the report of a recall to whoever asked for it, and to the author where the policy wants that.

    Any number of runs, one after another or at once, send each report once: the recall's row says who has got theirs.

    Raises:
        LookupError: there is no such recall.
        psycopg.OperationalError: a database does not answer.
    """
    for _ in range(_TRIES):
        with process.databases.control() as connection:
            view = views.get(connection, recall_id)
            if view is None:
                raise LookupError(f"There is no recall {recall_id}.")
        mails = _write(process, view, now=now)
        if _send(process, view, mails, work_id=work_id, now=now):
            return
    raise OvertakenError(f"Recall {recall_id} changed {_TRIES} times while its report was written.")


def _write(process: Process[Settings], view: RecallView, *, now: datetime) -> list[Mail]:
    # a recall that runs again (R12) brings new work when it settles
    if view.state is not State.SETTLED:
        return []
    message = recalled_message(process.databases, view.message_id)
    with process.databases.control() as connection:
        readers = _readers(connection, view, message)
        requester = account_by_id(connection, view.requested_by)
    if not readers:
        return []
    asked_by = requester.address if requester else ""
    findings = gather(process.databases, view)
    mails = []
    for reader, account in readers:
        letter = render(report_for(reader, view, message, findings, asked_by=asked_by), LANGUAGES[account.language])
        content = _mail(letter, account, message, now=now, hostname=process.settings.hostname)
        mails.append(Mail(reader, account, content))
    return mails


def _readers(connection: Connection[Any], view: RecallView, message: RecalledMessage) -> list[tuple[Reader, Account]]:
    """Return who has a report to get and has a mailbox to get it in."""
    wanted: list[tuple[Reader, int]] = []
    if view.report_message_id is None:
        wanted.append((Reader.ADMINISTRATOR if view.as_administrator else Reader.SENDER, view.requested_by))
    author = message.sender_account_id
    tells_author = view.as_administrator and view.policy.notify_author and view.author_report_message_id is None
    if tells_author and author is not None and author != view.requested_by:
        wanted.append((Reader.AUTHOR, author))
    readers = []
    for reader, account_id in wanted:
        account = account_by_id(connection, account_id)
        if account is None or account.closed:
            log.info("report.mailbox_closed", recall_id=view.id, reader=reader.value)
        else:
            readers.append((reader, account))
    return readers


def _mail(letter: Letter, account: Account, message: RecalledMessage, *, now: datetime, hostname: str) -> bytes:
    identifier = message.header_message_id or ""
    return compose(
        Composition(
            from_address=f"postmaster@{account.domain}",
            from_name="Mail Recall",
            to=[Mailbox(account.address, one_line(account.display_name))],
            subject=letter.subject,
            text=letter.text,
            html=letter.html,
            attachments=[NewAttachment(a.filename, "text/csv", a.content, "utf-8") for a in letter.attachments],
            # mail programs then show the report with the message it is about
            in_reply_to=identifier if _MESSAGE_ID.fullmatch(identifier) else None,
            auto_submitted=True,
        ),
        now=now,
        hostname=hostname,
    )


def _send(process: Process[Settings], view: RecallView, mails: Sequence[Mail], *, work_id: int, now: datetime) -> bool:
    """Accept the mails that nobody sent in the meantime, record that, and finish the work: one transaction.

    Returns:
        False, with nothing done, if the recall is no longer what the mails tell.
    """
    sent: list[tuple[Reader, int]] = []
    with process.databases.control() as connection:
        connection.execute(_SQL["lock_recall"], {"recall_id": view.id})
        current = views.get(connection, view.id)
        if current is None:
            return False
        if current.state is State.SETTLED:
            if _told(current) != _told(view):
                return False
            sent = [
                (mail.reader, _accept(connection, view.id, mail, now=now))
                for mail in mails
                if not _sent_before(current, mail.reader)
            ]
        outbox.finish(connection, work_id)
        faultpoints.before(Commit.SUMMARISE)
    faultpoints.after(Commit.SUMMARISE)
    for reader, message_id in sent:
        log.info("report.accepted", recall_id=view.id, reader=reader.value, message_id=message_id)
    return True


def _accept(connection: Connection[Any], recall_id: int, mail: Mail, *, now: datetime) -> int:
    message_id = accept(connection, _incoming(mail), now=now)
    statement = "author_reported" if mail.reader is Reader.AUTHOR else "reported"
    connection.execute(_SQL[statement], {"recall_id": recall_id, "message_id": message_id})
    return message_id


def _told(view: RecallView) -> RecallView:
    """Return the part of a view that the report tells of."""
    return replace(view, report_message_id=None, author_report_message_id=None)


def _sent_before(view: RecallView, reader: Reader) -> bool:
    sent = view.author_report_message_id if reader is Reader.AUTHOR else view.report_message_id
    return sent is not None


def _incoming(mail: Mail) -> Incoming:
    return Incoming(
        author=None,
        # a report that cannot be delivered must not come back (RFC 3834 section 3.3)
        envelope_sender="",
        channel=Channel.SYSTEM,
        content=mail.content,
        summary=summary_of(mail.content),
        recipients=[EnvelopeRecipient(mail.account.address, "account", account_id=mail.account.id)],
    )
