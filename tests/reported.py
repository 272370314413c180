"""Reports of recalls in tests: what leads up to one, and reading it where its reader finds it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.copies import Fact, Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.recalls import State
from mailrecall.embedded.ports import free_ports
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import progress
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.reports.summarising import write_reports
from tests import company, correspondence, dispatch
from tests.company import Company


def settle(process: Process[Settings], requester: Account, message_id: int, reason: str = "sent in error") -> int:
    """Recall a message up to its settlement; nothing is reported yet."""
    asked = correspondence.ask(process.databases, requester, message_id, reason=reason)
    assert isinstance(asked, Requested), asked
    dispatch.run(process)
    return asked.recall.id


def give_up_on(process: Process[Settings], shard: int, firm: Company, message_id: int, *, whole: bool) -> int:
    """Recall a message while a shard answers for none of its batches, or only for the first."""
    databases = process.databases
    asked = correspondence.ask(databases, firm.people[0], message_id)
    assert isinstance(asked, Requested)
    recall_id = asked.recall.id
    dispatch.run(process, Task.PLAN)
    with databases.control() as connection:
        connection.execute(
            "DELETE FROM outbox WHERE task = %s AND (args ->> 'shard')::int = %s"
            " AND (args ->> 'recall_id')::bigint = %s AND (%s OR (args ->> 'batch')::int > %s)",
            (Task.WITHDRAW, shard, recall_id, whole, len(databases.shards)),
        )
    dispatch.run(process, Task.WITHDRAW)
    with databases.control() as connection:
        assert progress.give_up(connection, recall_id, now=clock.now())
    dispatch.run(process)
    with databases.control() as connection:
        row = connection.execute("SELECT state FROM recall WHERE id = %s", (recall_id,)).fetchone()
    assert row == (State.SETTLED,)
    return recall_id


@contextmanager
def silent_shard_1(settings: Settings) -> Iterator[Databases]:
    """The same databases, with nobody at shard 1's address."""
    (port,) = free_ports(1)
    urls = (settings.shard_urls[0], f"postgresql://nobody@127.0.0.1:{port}/nothing")
    databases = Databases(settings.model_copy(update={"shard_urls": urls, "connect_timeout": 1.0}), "tests")
    yield databases
    databases.close()


def report_work(databases: Databases, recall_id: int) -> list[int]:
    with databases.control() as connection:
        rows = connection.execute(
            "SELECT id FROM outbox WHERE task = %s AND (args ->> 'recall_id')::bigint = %s",
            (Task.SUMMARISE, recall_id),
        ).fetchall()
    return [row[0] for row in rows]


def report(process: Process[Settings], recall_id: int) -> None:
    """Do the work of reporting, and deliver what it wrote."""
    (work_id,) = report_work(process.databases, recall_id)
    write_reports(process, recall_id=recall_id, work_id=work_id, now=clock.now())
    assert report_work(process.databases, recall_id) == []
    dispatch.run(process)


def inbox(databases: Databases, account: Account, containing: str = "") -> list[EmailMessage]:
    """What lies in somebody's inbox, read from their shard."""
    with databases.shard(account.shard) as connection:
        rows = connection.execute(
            "SELECT b.content FROM copy c JOIN message m ON m.id = c.message_id JOIN body b ON b.id = m.body_id"
            " WHERE c.mailbox_id = %s AND c.folder = %s AND m.subject LIKE %s ORDER BY c.message_id",
            (account.id, Folder.INBOX.value, f"%{containing}%"),
        ).fetchall()
    return [message_from_bytes(content, policy=default) for (content,) in rows]


def part(mail: EmailMessage, kind: str) -> str:
    body = mail.get_body((kind,))
    assert body is not None
    text: str = body.get_content()
    return text.replace("\r\n", "\n")


def everything(mail: EmailMessage) -> str:
    """All that the mail says, decoded, attachments and header fields included."""
    attached = "".join(a.get_content() for a in mail.iter_attachments())
    fields = "".join(f"{name}: {value}\n" for name, value in mail.items())
    return fields + part(mail, "plain") + part(mail, "html") + attached


def totals(text: str) -> dict[str, int]:
    """The numbers of the report's table, as a person reads them."""
    block = text.partition("\n\nOutcomes\n")[2].partition("\n\n")[0]
    found = {}
    for line in block.splitlines():
        match = re.fullmatch(r"  (.+?): ([\d,]+) \([\d.]+%\) - .+", line)
        assert match, line
        found[match[1]] = int(match[2].replace(",", ""))
    return found


NAMES = {
    Outcome.RECALLED: "Recalled",
    Outcome.ALREADY_READ: "Already read",
    Outcome.ATTACHMENT_DOWNLOADED: "Attachment downloaded",
    Outcome.FORWARDED: "Forwarded",
    Outcome.GONE: "Gone",
    Outcome.EXTERNAL: "External",
    Outcome.UNREACHABLE: "Unreachable",
}


def mixed(process: Process[Settings], people: int = 12, **switches: object) -> tuple[Company, int]:
    """A company with a message to two of its people, two overlapping groups and two externals; some of it is read."""
    databases = process.databases
    firm = company.found(databases, people=people, switches=switches)
    sender, first, second, *others = firm.people
    half = len(others) // 2
    team = company.group(databases, f"team@{firm.domain}", [*others[: half + 2], first, "member@elsewhere.example"])
    staff = company.group(databases, f"staff@{firm.domain}", [team, *others[half - 2 :]])
    message_id = correspondence.send(databases, sender, first, second, team, staff, "direct@elsewhere.example")
    dispatch.run(process)
    correspondence.happen(databases, second, message_id, Fact.READ)
    correspondence.happen(databases, others[0], message_id, Fact.FORWARDED)
    correspondence.happen(databases, others[-1], message_id, Fact.READ | Fact.DELETED)
    return firm, message_id


def system_mails(databases: Databases, account: Account) -> int:
    """How many mails the system accepted for an account, delivered or not."""
    with databases.control() as connection:
        row = connection.execute(
            "SELECT count(*) FROM message m JOIN envelope_recipient e ON e.message_id = m.id"
            " WHERE m.channel = 'system' AND e.account_id = %s",
            (account.id,),
        ).fetchone()
    assert row is not None
    count: int = row[0]
    return count
