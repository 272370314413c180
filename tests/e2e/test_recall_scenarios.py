"""Numbered scenarios of recalls, each from one end of the running house to the other."""

import smtplib

import httpx
import pytest

from mailrecall.demo.client import wait_for
from mailrecall.domain.copies import Fact
from tests import company, correspondence
from tests.e2e.people import PDF, hand_over, letter, receive, settled, submit


@pytest.mark.rule(2, 4, 5, 9, 11, 13, 15, 18)
def test_01_a_mail_to_a_group_is_taken_back_from_those_who_did_nothing_with_it(stack, webmail):
    firm = company.found(stack.databases, people=8)
    sender, reader, marker, fetcher, forwarder, deleter, lister, other = firm.people
    team = company.group(stack.databases, f"team@{firm.domain}", [reader, marker, fetcher, forwarder, deleter, lister])
    author = webmail(sender)
    sent = author.send(
        [team.address], cc=[other.address, "friend@elsewhere.example"], subject="Plans", text="Hello", attachment=PDF
    )

    people = {who: webmail(who) for who in firm.people}
    copies = {who: receive(people[who], "Plans") for who in firm.people[1:]}
    people[reader].read(copies[reader])
    people[marker].ask("PATCH", f"/messages/{copies[marker]}", json={"unread": False})
    people[marker].ask("PATCH", f"/messages/{copies[marker]}", json={"unread": True})
    assert people[fetcher].download(copies[fetcher]) == PDF[1]
    people[forwarder].forward(copies[forwarder], firm.postmaster.address)
    people[deleter].delete(copies[deleter])
    people[lister].ask("PATCH", f"/messages/{copies[lister]}", json={"folder": "archive"})

    asked = author.try_to("POST", "/recalls", json={"message_id": sent, "reason": "The wrong plans"})
    assert asked.status_code == httpx.codes.ACCEPTED
    view = settled(author, asked.json()["id"])

    assert view["outcomes"] == {
        "recalled": 2,
        "already_read": 2,
        "attachment_downloaded": 1,
        "forwarded": 1,
        "external": 1,
        "gone": 1,
    }
    assert view["result"] == "partial"
    assert people[other].find("Plans") is None
    assert people[lister].find("Plans", "archive") is None
    assert people[other].try_to("GET", f"/messages/{copies[other]}").status_code == httpx.codes.NOT_FOUND
    assert people[reader].read(copies[reader])["text"].strip() == "Hello"
    own = author.read(sent)
    assert own["recall"]["id"] == view["id"]
    assert own["recall"]["result"] == "partial"
    report = author.read(int(view["report"].rsplit("/", 1)[1]))
    assert "The wrong plans" in report["text"]
    assert other.address in report["text"]
    assert team.address in report["text"]
    assert report["html"]


@pytest.mark.rule(12)
def test_02_asking_twice_is_one_recall(stack, webmail):
    firm = company.found(stack.databases, people=2)
    author = webmail(firm.people[0])
    sent = author.send([firm.people[1].address], cc=[], subject="Twice", text="Hello", attachment=PDF)

    first = author.try_to("POST", "/recalls", json={"message_id": sent, "reason": "once"})
    again = author.try_to("POST", "/recalls", json={"message_id": sent, "reason": "twice"})

    assert (first.status_code, again.status_code) == (httpx.codes.ACCEPTED, httpx.codes.OK)
    assert first.json()["id"] == again.json()["id"]
    assert settled(author, first.json()["id"])["outcomes"] == {"recalled": 1}


@pytest.mark.rule(6)
def test_03_what_came_by_submission_is_delivered_and_cannot_be_recalled(stack, webmail):
    firm = company.found(stack.databases, people=2)
    sender, recipient = firm.people
    submit(stack, sender, recipient.address, subject="By program")

    receive(webmail(recipient), "By program")
    author = webmail(sender)
    sent = wait_for("The Sent copy", lambda: author.find("By program", "sent"))
    refused = author.try_to("POST", "/recalls", json={"message_id": sent, "reason": "too late"})

    assert refused.status_code == httpx.codes.CONFLICT
    assert refused.json()["code"] == "not_sent_from_webmail"


@pytest.mark.rule(1, 10)
def test_04_mail_from_outside_comes_in_by_lmtp_and_is_nobodys_to_recall(stack, webmail):
    firm = company.found(stack.databases, people=2)
    team = company.group(stack.databases, f"team@{firm.domain}", firm.people)
    refused = hand_over(
        stack, "stranger@elsewhere.example", team.address, f"nobody@{firm.domain}", subject="From outside"
    )

    assert refused.keys() == {f"nobody@{firm.domain}"}
    assert refused[f"nobody@{firm.domain}"][0] == 550
    recipient = webmail(firm.people[0])
    copy_id = receive(recipient, "From outside")
    answer = recipient.try_to("POST", "/recalls", json={"message_id": copy_id, "reason": "not mine"})
    assert (answer.status_code, answer.json()["code"]) == (httpx.codes.FORBIDDEN, "not_sender")


@pytest.mark.rule(1, 18)
def test_05_the_report_speaks_the_senders_language(stack, webmail):
    firm = company.found(stack.databases, people=1)
    sender = company.hire(stack.databases, f"chen@{firm.domain}", language="zh")
    author = webmail(sender)
    sent = author.send([firm.people[0].address], cc=[], subject="计划", text="您好", attachment=PDF)

    view = settled(author, author.recall(sent, "附件有误")["id"])

    report = author.read(int(view["report"].rsplit("/", 1)[1]))
    assert "计划" in report["subject"]
    assert "附件有误" in report["text"]
    assert "撤回" in report["text"]


@pytest.mark.rule(3, 18, 23)
def test_06_an_administrator_takes_back_somebody_elses_message_and_learns_counts(stack, webmail):
    firm = company.found(stack.databases, people=3)
    sender, reader, other = firm.people
    author = webmail(sender)
    sent = author.send([reader.address, other.address], cc=[], subject="Leak", text="Hello", attachment=PDF)
    witness = webmail(reader)
    witness.read(receive(witness, "Leak"))
    receive(webmail(other), "Leak")

    administrator = webmail(firm.postmaster)
    view = settled(administrator, administrator.recall(sent, "It must not be known")["id"])

    assert view["outcomes"] == {"recalled": 1, "already_read": 1}
    report = administrator.read(int(view["report"].rsplit("/", 1)[1]))
    assert reader.address in report["text"]
    assert other.address not in report["text"] + report["html"]
    assert author.find("Leak", "sent") == sent


@pytest.mark.rule(4)
def test_07_a_forward_is_a_message_of_its_own_and_stays(stack, webmail):
    firm = company.found(stack.databases, people=3)
    sender, forwarder, third = firm.people
    author = webmail(sender)
    sent = author.send([forwarder.address], cc=[], subject="Secret", text="Hello", attachment=PDF)
    passing = webmail(forwarder)
    passing.forward(receive(passing, "Secret"), third.address)

    view = settled(author, author.recall(sent, "too late")["id"])

    assert view["outcomes"] == {"forwarded": 1}
    assert view["result"] == "failed"
    inbox = webmail(third)
    listed = wait_for("The forward", lambda: inbox.ask("GET", "/folders/inbox/messages").json()["messages"] or None)
    assert "Secret" in listed[0]["subject"]


@pytest.mark.rule(23)
def test_08_flower_shows_the_recall_and_no_address(stack, webmail):
    firm = company.found(stack.databases, people=2)
    author = webmail(firm.people[0])
    sent = author.send([firm.people[1].address], cc=[], subject="Seen", text="Hello", attachment=PDF)
    recall = settled(author, author.recall(sent, "a trial")["id"])
    query: dict[str, str | int] = {"draw": 1, "start": 0, "length": 1000, "search[value]": ""}
    query |= {"order[0][column]": 7, "order[0][dir]": "desc", "columns[7][data]": "received"}

    def tasks() -> str | None:
        shown = httpx.get(f"{stack.flower_url}/tasks/datatable", params=query, timeout=60).raise_for_status().text
        return shown if f"'recall_id': {number}," in shown and "reports.summarise" in shown else None

    with stack.databases.control() as connection:
        (number,) = connection.execute("SELECT id FROM recall WHERE public_id = %s", (recall["id"],)).fetchone()
    page = wait_for("The recall's tasks in Flower", tasks)

    assert "recall.withdraw" in page
    assert firm.domain not in page
    assert firm.domain not in httpx.get(f"{stack.flower_url}/metrics", timeout=60).text
    numbers = httpx.get(stack.metrics_url, timeout=60).raise_for_status().text
    for series in (
        'mailrecall_outcomes_total{outcome="recalled"}',
        'mailrecall_task_seconds_count{ended="done",task="recall.withdraw"}',
        'mailrecall_http_request_seconds_count{method="POST",route="/api/v1/recalls",status="202"}',
        'mailrecall_messages_accepted_total{channel="webmail"}',
        'mailrecall_outbox_published_total{task="recall.plan"}',
    ):
        assert series in numbers
    assert "mailrecall_control_up 1.0" in numbers
    assert "mailrecall_broker_up 1.0" in numbers
    # no address, of these people or of any
    assert firm.domain not in numbers
    assert "@" not in numbers


def test_09_what_can_no_longer_be_delivered_bounces_to_its_author(stack, webmail):
    firm = company.found(stack.databases, people=1)
    (sender,) = firm.people
    leaver = company.hire(stack.databases, f"leaver@{firm.domain}")
    with stack.databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (leaver.id,))
    # accepted while the account was open, as far as its envelope knows
    correspondence.send(stack.databases, sender, leaver, sender)

    author = webmail(sender)
    receive(author, "Minutes")
    bounce = wait_for(
        "The bounce",
        lambda: next(
            (
                message
                for message in author.ask("GET", "/folders/inbox/messages").json()["messages"]
                if message["subject"] != "Minutes"
            ),
            None,
        ),
    )
    assert leaver.address in author.read(bounce["id"])["text"]


def test_10_bad_input_by_smtp_is_answered_and_leaves_nothing(stack, webmail):
    firm = company.found(stack.databases, people=2)
    sender, recipient = firm.people
    with smtplib.SMTP(*stack.smtp) as client, pytest.raises(smtplib.SMTPAuthenticationError):
        client.login(sender.address, "wrong")
    with smtplib.SMTP(*stack.smtp) as client:
        client.login(sender.address, company.PASSWORD)
        with pytest.raises(smtplib.SMTPRecipientsRefused) as unknown:
            client.send_message(letter(sender.address, "x", "Lost"), sender.address, [f"nobody@{firm.domain}"])
        assert unknown.value.recipients[f"nobody@{firm.domain}"][0] == 550
        with pytest.raises(smtplib.SMTPSenderRefused) as other:
            client.send_message(letter(recipient.address, "x", "Lost"), recipient.address, [sender.address])
        assert other.value.smtp_code == 553
    with stack.databases.control() as connection:
        assert connection.execute(
            "SELECT count(*) FROM message WHERE sender_account_id = %s", (sender.id,)
        ).fetchone() == (0,)


@pytest.mark.rule(2)
def test_11_what_is_no_read_leaves_a_copy_recallable(stack, webmail):
    firm = company.found(stack.databases, people=2)
    sender, recipient = firm.people
    author, other = webmail(sender), webmail(recipient)
    sent = author.send([recipient.address], cc=[], subject="Unread", text="Hello", attachment=PDF)
    copy_id = receive(other, "Unread")
    listed = other.ask("GET", "/folders/inbox/messages").json()["messages"][0]
    other.ask("GET", "/folders")
    other.ask("PATCH", f"/messages/{copy_id}", json={"unread": True})
    other.ask("DELETE", f"/messages/{copy_id}")

    view = settled(author, author.recall(sent, "still time")["id"])

    assert listed["preview"] == "Hello"
    assert view["outcomes"] == {"recalled": 1}
    assert other.find("Unread", "trash") is None
    with stack.databases.shard(recipient.shard) as connection:
        rows = connection.execute("SELECT facts FROM copy WHERE message_id = %s", (copy_id,)).fetchall()
    assert not any(facts & Fact.READ for (facts,) in rows)
