"""R18: what reports of real recalls say, read in their readers' mailboxes."""

import csv
import re
from collections import Counter
from datetime import timedelta
from io import StringIO

import pytest

from mailrecall import clock
from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence, dispatch
from tests.reported import NAMES, inbox, mixed, part, report, settle, system_mails, totals


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 7}), databases)


@pytest.mark.rule(18, 11)
def test_r18_r11_the_report_lies_in_the_inbox_of_whoever_asked(process, databases):
    firm, message_id = mixed(process)
    sender, first, second, *others = firm.people

    recall_id = settle(process, sender, message_id, reason="Wrong attachment")
    report(process, recall_id)

    (mail,) = inbox(databases, sender)
    assert mail["From"] == f"Mail Recall <postmaster@{firm.domain}>"
    assert mail["To"].addresses[0].addr_spec == sender.address
    assert mail["Auto-Submitted"] == "auto-generated"
    assert mail["Subject"] == "Recalled from some: Minutes"
    assert [p.get_content_type() for p in mail.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    text = part(mail, "plain")
    for form in (text, " ".join(part(mail, "html").split())):
        assert "Wrong attachment" in form
        assert "8 of 13 recipients" in form
    lines = text.splitlines()
    assert f"  {first.address}: Recalled" in lines
    assert f"  {second.address}: Already read" in lines
    assert "  direct@elsewhere.example: External" in lines
    # nine others, six of them in the team, four in both: each counts once, under the first group that leads there
    assert f"  Team <team@{firm.domain}>: Recalled 5 · Forwarded 1 · External 1" in lines
    assert f"  Staff <staff@{firm.domain}>: Recalled 2 · Already read 1" in lines
    assert f"  {others[0].address} (team@{firm.domain}): Forwarded" in lines
    assert f"  {others[-1].address} (staff@{firm.domain}): Already read" in lines
    assert f"  member@elsewhere.example (team@{firm.domain}): External" in lines
    with databases.control() as connection:
        channel, reverse_path = connection.execute(
            "SELECT m.channel, m.envelope_sender FROM recall r JOIN message m ON m.id = r.report_message_id"
            " WHERE r.id = %s",
            (recall_id,),
        ).fetchone()
    assert (channel, reverse_path) == ("system", "")
    assert not any(inbox(databases, person) for person in (first, *others[1:-1]))


@pytest.mark.rule(18)
def test_r18_the_reports_totals_are_the_ledgers(process, databases):
    firm, message_id = mixed(process, people=40)
    recall_id = settle(process, firm.people[0], message_id)
    report(process, recall_id)

    (mail,) = inbox(databases, firm.people[0])

    ledger = correspondence.ledger(databases, recall_id).counts
    assert sum(ledger.values()) == 39
    expected = ledger + Counter({Outcome.EXTERNAL: 2})
    assert totals(part(mail, "plain")) == {NAMES[outcome]: n for outcome, n in expected.items()}
    # the group lines and the addressees add up to the same
    groups = re.findall(r"^  \w+ <(?:team|staff)@.+?>: (.+)$", part(mail, "plain"), re.MULTILINE)
    assert len(groups) == 2
    in_groups = Counter[str]()
    for line in groups:
        in_groups.update({name: int(n) for name, n in re.findall(r"([A-Z][a-z ]+) (\d+)", line)})
    assert sum(in_groups.values()) + 3 == sum(expected.values())


@pytest.mark.rule(18)
@pytest.mark.parametrize(("failed", "attached"), [(50, False), (51, True)])
def test_r18_past_fifty_failed_members_the_list_is_attached(process, databases, failed, attached):
    firm = company.found(databases, people=54)
    sender, *others = firm.people
    staff = company.group(databases, f"staff@{firm.domain}", others)
    message_id = correspondence.send(databases, sender, staff)
    dispatch.run(process)
    for person in others[:failed]:
        correspondence.happen(databases, person, message_id, Fact.READ)

    report(process, settle(process, sender, message_id))

    (mail,) = inbox(databases, sender)
    attachments = list(mail.iter_attachments())
    assert len(attachments) == attached
    if attached:
        assert attachments[0].get_filename() == "recall-failed.csv"
        assert attachments[0].get_content_type() == "text/csv"
        content = attachments[0].get_content()
        assert content.startswith("\ufeff")
        rows = list(csv.reader(StringIO(content.removeprefix("\ufeff"), newline="")))[1:]
        assert [row[0] for row in rows] == sorted(person.address for person in others[:failed])
        assert {tuple(row[1:3]) for row in rows} == {(f"staff@{firm.domain}", "Already read")}
    else:
        assert all(f"  {person.address} (" in part(mail, "plain") for person in others[:failed])


@pytest.mark.rule(18)
def test_r18_the_author_of_an_administrators_recall_is_told_where_the_policy_says_so(process, databases):
    firm, message_id = mixed(process, notify_author=True)
    recall_id = settle(process, firm.postmaster, message_id, reason="Data protection")
    report(process, recall_id)

    (told,) = inbox(databases, firm.people[0])
    assert len(inbox(databases, firm.postmaster)) == 1
    text = part(told, "plain")
    assert "An administrator recalled a message that you wrote." in text
    assert f"Requested by: {firm.postmaster.address}" in text
    assert "Data protection" in text
    assert f"  {firm.people[1].address}: Recalled" in text
    with databases.control() as connection:
        row = connection.execute(
            "SELECT report_message_id <> author_report_message_id FROM recall WHERE id = %s", (recall_id,)
        ).fetchone()
    assert row == (True,)


@pytest.mark.rule(18)
def test_r18_an_administrator_who_is_the_author_gets_one_report(process, databases):
    firm = company.found(databases, people=2, switches={"notify_author": True, "window_user": 60})
    message_id = correspondence.send(databases, firm.postmaster, *firm.people, now=clock.now() - timedelta(minutes=2))
    dispatch.run(process)

    report(process, settle(process, firm.postmaster, message_id))

    assert len(inbox(databases, firm.postmaster)) == 1


@pytest.mark.rule(18)
def test_r18_each_reader_gets_their_own_language(process, databases):
    firm = company.found(databases, people=2, switches={"notify_author": True})
    author = company.hire(databases, f"zuozhe@{firm.domain}", language="zh", display_name="王芳")
    message_id = correspondence.send(databases, author, *firm.people)
    dispatch.run(process)

    report(process, settle(process, firm.postmaster, message_id))

    (english,), (chinese,) = inbox(databases, firm.postmaster), inbox(databases, author)
    assert english["Subject"] == "Recalled: Minutes"
    assert chinese["Subject"] == "已撤回：Minutes"
    assert chinese["To"].addresses[0].display_name == "王芳"
    assert "共 2 位收件人，已从其中 2 位的邮箱撤回。" in part(chinese, "plain")
    assert '<html lang="zh-Hans"' in part(chinese, "html")


@pytest.mark.rule(18)
def test_r18_a_closed_account_gets_no_report_and_the_work_is_done(process, databases):
    firm, message_id = mixed(process)
    recall_id = settle(process, firm.people[0], message_id)
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = %s WHERE id = %s", (clock.now(), firm.people[0].id))

    report(process, recall_id)

    assert system_mails(databases, firm.people[0]) == 0


@pytest.mark.rule(1, 18)
def test_r1_several_addresses_of_one_mailbox_are_one_line(process, databases):
    firm = company.found(databases, people=1)
    person = company.hire(databases, f"bob@{firm.domain}", aliases=[f"robert@{firm.domain}"])
    alias = correspondence.addressee(person)
    recipients = [alias, type(alias)(f"robert@{firm.domain}", "account", account_id=person.id)]
    message_id = dispatch.send(databases, correspondence.author(firm.people[0]), recipients)
    dispatch.run(process)

    report(process, settle(process, firm.people[0], message_id))

    (mail,) = inbox(databases, firm.people[0])
    assert f"  bob@{firm.domain}, robert@{firm.domain}: Recalled" in part(mail, "plain").splitlines()
    assert totals(part(mail, "plain")) == {"Recalled": 1}


@pytest.mark.rule(18)
def test_r18_an_addressee_who_closed_before_delivery_is_gone(process, databases):
    firm = company.found(databases, people=3)
    message_id = correspondence.send(databases, *firm.people)
    with databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = %s WHERE id = %s", (clock.now(), firm.people[1].id))
    dispatch.run(process)

    report(process, settle(process, firm.people[0], message_id))

    # a bounce told of the same before
    *_, mail = inbox(databases, firm.people[0])
    assert f"  {firm.people[1].address}: Gone" in part(mail, "plain").splitlines()
    assert totals(part(mail, "plain")) == {"Recalled": 1, "Gone": 1}
