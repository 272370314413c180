"""Webmail as its pages work without scripts: what is shown, what is changed, what nobody can slip in."""

import io
import re
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import accounts
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Folder
from mailrecall.domain.outcomes import Outcome
from mailrecall.mailstore import reading
from mailrecall.mime.compose import NewAttachment
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway import mailbox, outgoing, recalling
from services.gateway.pages import mail, recalls
from services.gateway.sending import NewMessage
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway

HTML = '<p>Hello <img src="https://elsewhere.example/x.png"> <script>alert(1)</script></p>'


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    firm = companies.found(databases, people=3)
    with databases.control() as control:
        for person in firm.people:
            accounts.set_undo_send(control, person.id, 0)
    return firm


@pytest.fixture(scope="module")
def alice(web: Gateway, firm: Company) -> Visitor:
    visitor = Visitor(web.app)
    visitor.sign_in(firm.people[0].address)
    return visitor


@pytest.fixture(scope="module")
def bob(web: Gateway, firm: Company) -> Visitor:
    visitor = Visitor(web.app)
    visitor.sign_in(firm.people[1].address)
    return visitor


def send(web: Gateway, author: Account, to: list[Account], subject: str, **fields) -> int:
    """Have a message delivered; return the author's copy."""
    addresses = [Address.parse(person.address) for person in to]
    message = NewMessage(to=addresses, subject=subject, **{"text": "Some text", "delay": 0, **fields})
    sent = outgoing.send(web.process, author, message, now=clock.now())
    web.deliver()
    return sent.copy_id


def text(visitor: Visitor, path: str, status: int = 200) -> str:
    answer = visitor.get(path)
    assert answer.status_code == status
    return answer.get_data(as_text=True)


def newest(visitor: Visitor, slug: str) -> str:
    """The address of the newest message of a folder."""
    found = re.search(
        rf'href="(/(?:mail/{slug}|compose)/\d+)"[^>]*\n?', text(visitor, f"/mail/{slug}").partition("data-rows")[2]
    )
    assert found is not None
    return found[1]


def test_a_message_is_unread_until_it_is_opened(web, firm, alice, bob):
    send(web, firm.people[0], [firm.people[1]], "Unread first")
    assert 'class="row unread"' in text(bob, "/mail/inbox")
    address = newest(bob, "inbox")
    for path in (address, f"{address}/body", f"/compose/reply/{address.rpartition('/')[2]}"):
        assert bob.client.head(path).status_code == 200
        assert 'class="row unread"' in text(bob, "/mail/inbox"), path
    assert "Some text" in text(bob, address)
    assert 'class="row unread"' not in text(bob, "/mail/inbox")
    assert bob.submit(f"{address}/unread").location == "/mail/inbox"
    assert 'class="row unread"' in text(bob, "/mail/inbox")


def test_html_is_shown_in_a_sandbox(web, firm, bob):
    send(web, firm.people[0], [firm.people[1]], "HTML", html=HTML)
    address = newest(bob, "inbox")
    shown = text(bob, address)
    assert 'sandbox="allow-same-origin allow-popups' in shown
    assert "Show pictures" in shown
    assert "elsewhere.example" not in shown
    answer = bob.get(f"{address}/body")
    assert "Hello" in answer.get_data(as_text=True)
    assert "alert" not in answer.get_data(as_text=True)
    assert "elsewhere.example" not in answer.get_data(as_text=True)
    policy = answer.headers["Content-Security-Policy"]
    assert "img-src data:;" in policy
    assert "sandbox allow-same-origin allow-popups" in policy
    assert "allow-scripts" not in policy
    assert answer.headers["X-Frame-Options"] == "SAMEORIGIN"
    asked_for = bob.get(f"{address}/body?images=1")
    assert "https://elsewhere.example/x.png" in asked_for.get_data(as_text=True)
    assert "img-src data: https: http:;" in asked_for.headers["Content-Security-Policy"]


def test_text_is_text(web, firm, bob):
    send(web, firm.people[0], [firm.people[1]], "<b>Bold</b>", text="<script>alert(1)</script> https://a.example/x")
    shown = text(bob, newest(bob, "inbox"))
    assert "<script>alert" not in shown
    assert "&lt;script&gt;" in shown
    assert "<b>Bold" not in shown
    assert 'href="https://a.example/x"' in shown


def test_an_attachment_is_saved_never_shown(web, firm, bob):
    page = NewAttachment("page.html", "text/html", b"<script>alert(1)</script>")
    send(web, firm.people[0], [firm.people[1]], "A file", attachments=[page])
    answer = bob.get(newest(bob, "inbox") + "/attachments/0")
    assert answer.data == page.content
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["Content-Security-Policy"]


def test_nobody_reaches_anothers_mail(web, firm, alice, bob):
    copy_id = send(web, firm.people[0], [firm.people[2]], "Not for Bob")
    for path in ("", "/body", "/attachments/0"):
        assert bob.get(f"/mail/inbox/{copy_id - 1}{path}").status_code == 404
    for path in (
        f"/recall/{copy_id}",
        f"/compose/reply/{copy_id}",
        f"/compose/forward/{copy_id}",
        f"/compose/{copy_id}",
    ):
        assert bob.get(path).status_code == 404
    assert bob.submit(f"/mail/inbox/{copy_id}/delete").status_code == 404
    assert bob.submit(f"/recall/{copy_id}", {"reason": "mine"}).status_code == 404


def test_deleting_puts_into_the_trash_and_from_there_away(web, firm, bob):
    send(web, firm.people[0], [firm.people[1]], "To be deleted")
    address = newest(bob, "inbox")
    assert bob.submit(f"{address}/delete").location == "/mail/inbox"
    assert "Moved to Trash." in text(bob, "/mail/trash")
    assert "To be deleted" in text(bob, "/mail/trash")
    trashed = newest(bob, "trash")
    assert bob.submit(f"{trashed}/delete").location == "/mail/trash"
    assert bob.get(trashed).status_code == 404


def test_deleting_twice_from_the_same_page_deletes_nothing_for_good(web, firm, bob):
    send(web, firm.people[0], [firm.people[1]], "Clicked twice")
    address = newest(bob, "inbox")
    for _ in range(2):
        assert bob.submit(f"{address}/delete").location == "/mail/inbox"
    assert "Clicked twice" in text(bob, "/mail/trash")
    assert bob.submit(f"{address.replace('inbox', 'nowhere')}/delete").status_code == 404
    # nor does the page of the trash delete what was taken out of it meanwhile
    assert bob.submit(f"{address}/move", {"folder": "archive"}).status_code == 303
    assert bob.submit(f"{address.replace('inbox', 'trash')}/delete").status_code == 404
    assert "Clicked twice" in text(bob, "/mail/archive")


def test_moving_keeps_to_folders_that_exist(web, firm, bob):
    send(web, firm.people[0], [firm.people[1]], "To be filed")
    address = newest(bob, "inbox")
    assert bob.submit(f"{address}/move", {"folder": "nowhere"}).status_code == 404
    assert bob.submit(f"{address}/move", {"folder": "archive"}).location == "/mail/inbox"
    assert "To be filed" in text(bob, "/mail/archive")


def test_a_folder_comes_in_pages(web, firm, databases, monkeypatch):
    monkeypatch.setattr(mail, "PAGE_LENGTH", 2)
    person = companies.hire(databases, f"busy@{firm.domain}")
    for number in range(3):
        send(web, firm.people[0], [person], f"Number {number}")
    visitor = Visitor(web.app)
    visitor.sign_in(person.address)
    first = text(visitor, "/mail/inbox")
    assert "Number 2" in first
    assert "Number 0" not in first
    older = re.search(r'href="(/mail/inbox\?before=\d+)"', first)
    assert older is not None
    assert "Number 0" in text(visitor, older[1])
    assert visitor.get("/mail/inbox?before=x").status_code == 200
    assert visitor.get(f"/mail/inbox?before={'0' * 19}1{'9' * 5_000}").status_code == 200


def test_what_is_written_goes_out_once(web, firm, alice, bob):
    form = {"to": firm.people[1].address, "subject": "Written here", "text": "Line one\r\nLine two"}
    files = {"files": (io.BytesIO(b"a,b\n"), "table.csv", "text/csv")}
    assert alice.submit("/compose/send", {**form, **files}).location == "/mail/sent"
    web.deliver()
    shown = text(bob, newest(bob, "inbox"))
    assert "Line one\r\nLine two" in shown
    assert "table.csv" in shown
    assert "Written here" not in text(alice, "/mail/drafts")


def test_a_subject_cannot_begin_a_header_of_its_own(web, firm, alice, bob):
    wrong = "Innocent\r\nBcc: everybody@elsewhere.example\r\n\r\nbody"
    assert (
        alice.submit("/compose/send", {"to": firm.people[1].address, "subject": wrong, "text": "x"}).status_code == 303
    )
    web.deliver()
    with web.databases.shard(firm.people[1].shard) as shard:
        (entry, *_) = reading.list_folder(shard, firm.people[1].id, Folder.INBOX, limit=1)
        content = reading.content_of(shard, firm.people[1].id, entry.copy_id) or b""
    head = content.partition(b"\r\n\r\n")[0].lower()
    assert not re.search(rb"^bcc:", head, re.MULTILINE)
    assert head.count(b"subject:") == 1


@pytest.mark.parametrize(("to", "said"), [("", "Name at least one recipient."), ("nobody", "is no mail address")])
def test_what_cannot_be_sent_is_kept_as_a_draft(web, firm, databases, to: str, said: str):
    person = companies.hire(databases, f"careless{len(to)}@{firm.domain}")
    visitor = Visitor(web.app)
    visitor.sign_in(person.address)
    answer = visitor.submit("/compose/send", {"to": to, "subject": "Half done", "text": "so far"})
    assert answer.status_code == 422
    assert said in answer.get_data(as_text=True)
    assert "so far" in answer.get_data(as_text=True)
    draft = newest(visitor, "drafts")
    assert "so far" in text(visitor, draft)
    unknown = {"to": f"nobody@{firm.domain}", "subject": "Half done", "draft_id": draft.rpartition("/")[2]}
    refused = visitor.submit("/compose/send", unknown).get_data(as_text=True)
    assert f"Nobody has the address nobody@{firm.domain}." in refused
    assert text(visitor, "/mail/drafts").count('id="message-') == 1
    assert visitor.submit(f"{draft}/discard").location == "/mail/drafts"
    assert visitor.get(draft).status_code == 404


@pytest.mark.rule(28)
def test_r28_what_was_sent_can_be_taken_back_for_a_while(web, firm, databases, bob):
    person = companies.hire(databases, f"hasty@{firm.domain}")
    with databases.control() as control:
        accounts.set_undo_send(control, person.id, 60)
    visitor = Visitor(web.app)
    visitor.sign_in(person.address)
    answer = visitor.submit("/compose/send", {"to": firm.people[1].address, "subject": "Too soon", "text": "x"})
    assert answer.location.startswith("/mail/sent?sending=")
    shown = text(visitor, answer.location)
    undo = re.search(r'action="(/compose/\d+/take-back)"', shown)
    assert undo is not None
    back = visitor.submit(undo[1])
    assert back.location == undo[1].removesuffix("/take-back")
    assert "it is a draft again" in text(visitor, back.location)
    web.deliver()
    assert "Too soon" not in text(bob, "/mail/inbox")
    assert visitor.submit(undo[1]).status_code == 404


def test_a_reply_quotes_and_refers_to_what_it_answers(web, firm, alice, bob):
    send(web, firm.people[0], [firm.people[1]], "A question", text="What time is it?")
    number = newest(bob, "inbox").rpartition("/")[2]
    shown = text(bob, f"/compose/reply/{number}")
    assert f'value="{firm.people[0].address}"' in shown
    assert 'value="Re: A question"' in shown
    assert "&gt; What time is it?" in shown
    answered = re.search(r'name="in_reply_to" value="(&lt;[^"]+&gt;)"', shown)
    assert answered is not None
    identifier = answered[1].replace("&lt;", "<").replace("&gt;", ">")
    form = {"to": firm.people[0].address, "subject": "Re: A question", "text": "Noon", "in_reply_to": identifier}
    assert bob.submit("/compose/send", form).status_code == 303
    web.deliver()
    opened = int(newest(alice, "inbox").rpartition("/")[2])
    shown_to_alice = mailbox.open_message(web.databases, firm.people[0], opened, now=clock.now())
    assert shown_to_alice.readable.in_reply_to == identifier


@pytest.mark.rule(4)
def test_r4_a_forward_goes_out_with_the_message_enclosed(web, firm, alice, bob):
    send(web, firm.people[0], [firm.people[1]], "Pass it on")
    number = newest(bob, "inbox").rpartition("/")[2]
    assert "Pass it on" in text(bob, f"/compose/forward/{number}")
    assert bob.submit(f"/compose/forward/{number}", {"to": "nobody"}).status_code == 422
    form = {"to": firm.people[0].address, "text": "See"}
    assert bob.submit(f"/compose/forward/{number}", form).location == "/mail/sent"
    web.deliver()
    shown = text(alice, newest(alice, "inbox"))
    assert "Fwd: Pass it on" in shown
    assert ".eml" in shown


@pytest.mark.rule(11, 15, 25)
def test_r11_r15_r25_a_recall_from_sent_to_its_result(web, firm, alice, bob):
    send(web, firm.people[0], [firm.people[1], firm.people[2]], "Salaries")
    text(bob, newest(bob, "inbox"))
    sent = newest(alice, "sent")
    number = sent.rpartition("/")[2]
    assert f'href="/recall/{number}"' in text(alice, sent)
    preview = text(alice, f"/recall/{number}")
    assert "1 of 2 copies would go now" in preview
    assert "Already read" in preview
    for reason in ("", "   ", "x" * 501):
        assert alice.submit(f"/recall/{number}", {"reason": reason}).status_code == 422
    answer = alice.submit(f"/recall/{number}", {"reason": "Sent to the <wrong> people"})
    assert answer.status_code == 303
    going_on = text(alice, answer.location)
    assert "being recalled" in going_on
    assert f'data-events="{answer.location}/events"' in going_on
    web.deliver()
    part = alice.get(answer.location, headers={"HX-Request": "true"}).get_data(as_text=True)
    assert "<html" not in part
    assert "data-settled" in part
    assert "recalled from some mailboxes" in part
    assert firm.people[1].address in part
    stream = alice.get(f"{answer.location}/events")
    assert stream.mimetype == "text/event-stream"
    assert "event: settled" in stream.get_data(as_text=True)
    assert bob.get(f"{answer.location}/events").status_code == 404
    assert "Sent to the &lt;wrong&gt; people" in text(alice, answer.location)
    assert "Partly recalled" in text(alice, "/mail/sent")
    assert answer.location in text(alice, sent)
    assert alice.submit(f"/recall/{number}", {"reason": "Again"}).location == answer.location
    assert "recalled before" in text(alice, f"/recall/{number}")
    assert bob.get(answer.location).status_code == 404


@pytest.mark.rule(17)
def test_r17_recipients_see_nothing_of_a_recall(web, firm, alice, bob):
    send(web, firm.people[0], [firm.people[1]], "Read before")
    received = newest(bob, "inbox")
    text(bob, received)
    number = newest(alice, "sent").rpartition("/")[2]
    alice.submit(f"/recall/{number}", {"reason": "Why not"})
    web.deliver()
    for shown in (text(bob, received), text(bob, "/mail/inbox")):
        assert "recall-mark" not in shown
        assert "Not recalled" not in shown


@pytest.mark.rule(15)
def test_r15_an_administrators_recall_is_marked_and_not_shown_to_the_author(web, firm, alice):
    copy_id = send(web, firm.people[0], [firm.people[1]], "Recalled by others")
    asking = recalling.Asking(copy_id, "Legal asked for it")
    recalling.ask(web.process, firm.postmaster, asking, now=clock.now())
    web.deliver()
    shown = text(alice, newest(alice, "sent"))
    assert "by an administrator" in shown
    assert "/recalls/" not in shown
    assert "recalled this message already" in text(alice, f"/recall/{copy_id}")
    assert alice.submit(f"/recall/{copy_id}", {"reason": "Mine"}).location == "/mail/sent"
    assert "Legal asked for it" not in shown


@pytest.mark.rule(10)
def test_r10_what_cannot_be_recalled_says_why(web, firm, bob):
    send(web, firm.people[0], [firm.people[1]], "Not Bob's to recall")
    number = newest(bob, "inbox").rpartition("/")[2]
    shown = text(bob, f"/recall/{number}")
    assert "only its sender or an administrator can recall it" in shown
    assert 'name="reason"' not in shown


@pytest.mark.rule(29)
def test_r29_an_older_message_has_a_hint(web, firm, alice, monkeypatch):
    send(web, firm.people[0], [firm.people[1]], "An hour ago")
    number = newest(alice, "sent").rpartition("/")[2]
    assert "over an hour old" not in text(alice, f"/recall/{number}")
    monkeypatch.setattr(recalls, "SOONER_IS_BETTER", timedelta(0))
    assert "over an hour old" in text(alice, f"/recall/{number}")
    # a hint, never a limit
    assert "/recalls/" in alice.submit(f"/recall/{number}", {"reason": "Wrong figures"}).location


@pytest.mark.rule(31)
@pytest.mark.parametrize(("language", "word"), [("en", "For administrators"), ("zh-CN", "管理员须知")])
def test_r31_the_help_page_is_for_everybody_in_both_languages(web, language: str, word: str):
    shown = text(Visitor(web.app, language=language), "/help")
    assert word in shown
    assert ("24 hours" if language == "en" else "24 小时") in shown
    assert shown.count("<dt>") == len(set(Outcome) - {Outcome.RECALLED}), (
        "each reason for which a copy stays is explained"
    )
