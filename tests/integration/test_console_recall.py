"""The console without scripts: search, preview, batch, approval, a recall's page; and who never sees them."""

import html
import re

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import Folder
from mailrecall.mailstore import reading
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway import outgoing
from services.gateway.batching import BATCH_WATCH
from services.gateway.pages.console import batches
from services.gateway.sending import NewMessage
from services.gateway.watching import WATCH
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, example_path, gateway


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases):
    web = gateway(settings, databases)
    yield web
    web.app.extensions[WATCH].stop()
    web.app.extensions[BATCH_WATCH].stop()


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return companies.found(databases, people=4, switches={"approval_above": 3})


@pytest.fixture(scope="module")
def admin(web: Gateway, firm: Company) -> Visitor:
    return signed_in(web, firm.postmaster)


@pytest.fixture(scope="module")
def second(web: Gateway, databases: Databases, firm: Company) -> Visitor:
    return signed_in(web, companies.hire(databases, f"second@{firm.domain}", administrator=True))


@pytest.fixture(scope="module")
def stranger(web: Gateway, databases: Databases) -> Visitor:
    """An administrator of another organisation."""
    return signed_in(web, companies.found(databases, people=0).postmaster)


def signed_in(web: Gateway, account: Account) -> Visitor:
    visitor = Visitor(web.app)
    assert visitor.sign_in(account.address).status_code == 303
    return visitor


def send(web: Gateway, author: Account, to: list[Account], subject: str) -> int:
    """Have a message delivered; return its id."""
    addresses = [Address.parse(person.address) for person in to]
    message = NewMessage(to=addresses, subject=subject, text="Some text", delay=0)
    sent = outgoing.send(web.process, author, message, now=clock.now())
    web.deliver()
    return sent.copy_id - sent.copy_id % 2


def read(databases: Databases, person: Account) -> None:
    """Have somebody read whatever lies in their inbox."""
    with databases.shard(person.shard) as shard:
        for entry in reading.list_folder(shard, person.id, Folder.INBOX, limit=50):
            reading.open_copy(shard, person.id, entry.copy_id, now=clock.now())


def text(visitor: Visitor, path: str, status: int = 200, **arguments) -> str:
    answer = visitor.get(path, **arguments)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


def ask(web: Gateway, visitor: Visitor, *ids: int, reason: str = "Sent to the wrong people") -> str:
    """Ask for messages to be recalled; return the address of the batch."""
    answer = visitor.submit("/console/recall/ask", {"messages": ",".join(map(str, ids)), "reason": reason})
    assert answer.status_code == 303, answer.get_data(as_text=True)
    web.deliver()
    return answer.location.partition("?")[0]


def recall_in(batch_page: str) -> str:
    found = re.search(r'href="(/console/recalls/[0-9a-f-]{36})"', batch_page)
    assert found is not None
    return found[1]


@pytest.mark.rule(19, 24)
def test_r19_r24_the_console_does_not_exist_for_anybody_else(web: Gateway, firm: Company):
    person = signed_in(web, firm.people[0])
    rules = [rule for rule in web.app.url_map.iter_rules() if rule.endpoint.startswith("pages.console.")]
    assert len(rules) > 10
    for rule in rules:
        path = example_path(web.app, rule)
        for method in (rule.methods or set()) & {"GET", "POST"}:
            answer = person.get(path) if method == "GET" else person.submit(path)
            assert answer.status_code == 404, (method, path)
    assert "/console" not in text(person, "/mail/inbox")


@pytest.mark.rule(24)
def test_r24_nothing_of_another_organisation_is_there(web: Gateway, firm: Company, admin: Visitor, stranger: Visitor):
    message_id = send(web, firm.people[0], [firm.people[1]], "Not for strangers")
    batch = ask(web, admin, message_id)
    recall = recall_in(text(admin, batch))
    for path in (batch, recall, f"{recall}/failures.csv", f"{recall}/events", f"{batch}/events"):
        text(stranger, path, 404)
    for path in (f"{batch}/approve", f"{batch}/reject", f"{recall}/undo", f"{recall}/again"):
        assert stranger.submit(path, {"reason": "x"}).status_code == 404
    for path in ("/console", "/console/recalls", "/console/batches", "/console/approvals"):
        assert "Not for strangers" not in text(stranger, path)
    answer = stranger.submit("/console/recall", {"message": str(message_id)})
    assert "Not for strangers" not in answer.get_data(as_text=True)
    assert "not there any more" in answer.get_data(as_text=True)


@pytest.mark.rule(20)
def test_r20_the_search_finds_by_all_that_is_given_and_counts(web, databases: Databases, firm: Company, admin: Visitor):
    sender, reader, other, _ = firm.people
    send(web, sender, [reader, other], "Aurora figures")
    read(databases, reader)
    send(web, sender, [other], "Aurora unread")
    send(web, other, [sender], "Something else")

    shown = text(admin, f"/console?subject=aurora&sender={sender.address}")
    assert "Aurora figures" in shown
    assert shown.index("Aurora unread") < shown.index("Aurora figures")
    assert "Something else" not in shown
    assert 'data-recallable="1" data-total="2"' in shown
    shown = text(admin, f"/console?subject=aurora&recipient={reader.address}")
    assert "Aurora figures" in shown
    assert "Aurora unread" not in shown
    shown = text(admin, "/console?subject=aurora&only_unread=true")
    assert "Aurora unread" in shown
    assert "Aurora figures" not in shown
    assert "Aurora" not in text(admin, "/console?subject=aurora&until=2020-01-01T00:00").partition("</form>")[2]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("sender=nobody", "sender"),
        ("recipient=a b@c", "recipient"),
        ("since=yesterday", "since"),
        ("since=2026-03-02T00:00&until=2026-03-01T00:00", "until"),
        ("subject=%00", "subject"),
    ],
)
def test_mistakes_in_the_search_stand_at_their_fields(admin: Visitor, query: str, field: str):
    shown = text(admin, f"/console?{query}", 422)
    assert f'id="{field}-error"' in shown
    assert re.search(rf'id="{field}"[^>]*aria-invalid=true', shown)


def test_a_page_that_was_made_up_is_refused_and_nothing_breaks(admin: Visitor):
    assert "Search anew" in text(admin, "/console?cursor=nonsense", 422)
    for path in ("/console/recalls", "/console/batches", "/console/approvals"):
        text(admin, f"{path}?cursor=nonsense")


def test_who_chooses_nothing_is_told(admin: Visitor):
    for form in ({}, {"message": "x"}, {"messages": ",,-1,99999999999999999999"}):
        answer = admin.submit("/console/recall", form)
        assert (answer.status_code, answer.location) == (303, "/console")
        assert "Choose at least one message" in text(admin, "/console")


@pytest.mark.rule(11)
@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_r11_the_reason_is_asked_for_again_and_nothing_is_lost(web, firm: Company, admin: Visitor, reason: str):
    message_id = send(web, firm.people[0], [firm.people[1]], "Without a reason")
    answer = admin.submit("/console/recall/ask", {"messages": str(message_id), "reason": reason})
    assert answer.status_code == 422
    shown = answer.get_data(as_text=True)
    assert 'id="reason-error"' in shown
    assert f'name="messages" value="{message_id}"' in shown


@pytest.mark.rule(21, 22, 23, 25)
def test_r21_r22_r23_r25_from_the_preview_to_each_messages_result(web, databases: Databases, firm: Company, admin):
    sender, reader, other, _ = firm.people
    partly = send(web, sender, [reader, other], "Partly")
    read(databases, reader)
    whole = send(web, sender, [other], "Wholly")

    answer = admin.submit("/console/recall", {"message": [str(partly)], "messages": f"{whole},{partly}"})
    shown = answer.get_data(as_text=True)
    assert "2 of 3 copies would go now" in shown
    assert "Recall 2 messages" in shown

    batch = ask(web, admin, partly, whole, 999_998)
    shown = text(admin, batch)
    assert "data-settled" in shown
    for words in ("Partly recalled", "Wholly", "Not there any more"):
        assert words in shown
    recall = text(admin, recall_in(shown))
    # R23: who kept a copy stands there, who lost one nowhere
    assert reader.address in recall
    assert other.address not in recall
    export = text(admin, f"{recall_in(shown)}/failures.csv")
    assert reader.address in export
    assert other.address not in export
    for path in ("/console/recalls", "/console/batches", "/console?subject=partly", batch):
        assert other.address not in text(admin, path)
    assert admin.get(f"{batch}/events").get_data(as_text=True) == "event: settled\ndata: \n\n"


@pytest.mark.rule(23)
def test_r23_the_policy_keeps_administrators_from_accounts(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=2, switches={"admin_sees_failed_accounts": False})
    admin, (sender, reader) = signed_in(web, firm.postmaster), firm.people
    message_id = send(web, sender, [reader], "Discreet")
    read(databases, reader)
    recall = recall_in(text(admin, ask(web, admin, message_id)))
    shown = text(admin, recall)
    assert "policy keeps administrators" in shown
    assert reader.address not in shown
    text(admin, f"{recall}/failures.csv", 403)


@pytest.mark.rule(21)
def test_r21_a_large_batch_waits_for_a_second_administrator(web, firm: Company, admin: Visitor, second: Visitor):
    sender, *others = firm.people
    ids = [send(web, sender, others, f"Large {number}") for number in range(2)]
    shown = admin.submit("/console/recall", {"messages": ",".join(map(str, ids))}).get_data(as_text=True)
    assert "a second administrator has to approve" in shown
    batch = ask(web, admin, *ids, reason="To everybody by mistake")
    assert "To everybody by mistake" in text(second, "/console/approvals")
    shown = text(admin, batch)
    assert "You have asked for it yourself" in shown
    assert f"{batch}/approve" not in shown

    answer = admin.submit(f"{batch}/approve")
    assert answer.status_code == 303
    assert "another administrator has to decide" in text(admin, batch)
    assert "Waits for approval" in text(admin, batch)

    assert second.submit(f"{batch}/approve").status_code == 303
    web.deliver()
    assert "data-settled" in text(second, batch)
    assert "To everybody by mistake" not in text(second, "/console/approvals")
    second.submit(f"{batch}/reject")
    assert "Somebody was faster" in text(second, batch)


@pytest.mark.rule(21)
def test_r21_what_is_rejected_is_not_recalled(web, firm: Company, admin: Visitor, second: Visitor):
    sender, *others = firm.people
    ids = [send(web, sender, others, f"Stays {number}") for number in range(2)]
    batch = ask(web, admin, *ids)
    second.submit(f"{batch}/reject")
    shown = text(admin, batch)
    assert "Rejected" in shown
    assert "Nothing is being recalled" in shown


@pytest.mark.rule(26, 27)
def test_r26_r27_a_recall_is_undone_from_its_page_and_that_is_recorded(web, firm: Company, admin: Visitor):
    sender, _, other, _ = firm.people
    recall = recall_in(text(admin, ask(web, admin, send(web, sender, [other], "Taken by mistake"))))
    assert "Put the copies back" in text(admin, recall)
    answer = admin.submit(f"{recall}/undo", {"reason": ""})
    assert answer.status_code == 422
    assert 'id="reason-error"' in answer.get_data(as_text=True)
    assert admin.submit(f"{recall}/undo", {"reason": "It was right"}).status_code == 303
    web.deliver()
    shown = text(admin, recall)
    assert "1 copy is back" in shown
    assert "Undo finished" in shown
    assert other.address not in shown
    assert "Put the copies back" not in shown


def test_a_recall_that_took_nothing_cannot_be_undone(web, databases: Databases, firm: Company, admin: Visitor):
    sender, reader, _, _ = firm.people
    message_id = send(web, sender, [reader], "Read at once")
    read(databases, reader)
    recall = recall_in(text(admin, ask(web, admin, message_id)))
    assert "Put the copies back" not in text(admin, recall)
    answer = admin.submit(f"{recall}/undo", {"reason": "x"})
    assert answer.status_code == 409
    assert "nothing to put back" in answer.get_data(as_text=True)


@pytest.mark.rule(22)
def test_r22_while_a_recall_goes_on_its_page_asks_again(web, firm: Company, admin: Visitor):
    message_id = send(web, firm.people[0], [firm.people[2]], "Going on")
    answer = admin.submit("/console/recall/ask", {"messages": str(message_id), "reason": "x"})
    batch = answer.location.partition("?")[0]
    shown = text(admin, batch)
    assert f'data-events="{batch}/events"' in shown
    stream = admin.client.get(f"{batch}/events")
    assert stream.mimetype == "text/event-stream"
    events = iter(stream.response)
    assert "retry" in str(next(events))
    web.deliver()
    assert any("settled" in str(event) for event in events)
    stream.close()
    part = text(admin, batch, headers={"HX-Request": "true"})
    assert "data-settled" in part
    assert "<html" not in part


def test_pages_of_a_request_say_where_they_lead(web: Gateway, firm: Company, admin: Visitor, monkeypatch):
    """Its messages come as they were chosen, not by age."""
    monkeypatch.setattr(batches, "PAGE", 1)
    ids = [str(send(web, firm.people[0], [firm.people[1]], f"Page {number}")) for number in range(2)]
    answer = admin.submit("/console/recall/ask", {"message": ids, "reason": "wrong"})
    first = text(admin, answer.headers["Location"])
    following = re.search(r'<a class="button" rel="next" href="([^"]*)">Next page<', first)
    assert following
    last = text(admin, html.unescape(following[1]))
    assert "First page" in last
    for page in (first, last):
        assert "Older" not in page
        assert "Newest" not in page


@pytest.mark.rule(20, 25)
@pytest.mark.parametrize(("only_unread", "foreseen"), [(False, "2 of 3 copies"), (True, "1 of 3 copies")])
def test_r25_the_preview_counts_as_the_recall_would(
    web: Gateway, firm: Company, admin: Visitor, only_unread: bool, foreseen: str
):
    """With the box ticked, nothing goes of a message that somebody has read."""
    sender, reader, other, _ = firm.people
    of_two = send(web, sender, [reader, other], "Previewed")
    read(web.databases, reader)
    unread = send(web, sender, [other], "Previewed as well")
    form = {"message": [str(of_two), str(unread)], "reason": "Already written"}
    answer = admin.submit("/console/recall", {**form, **({"only_unread": "true"} if only_unread else {})})
    shown = answer.get_data(as_text=True)
    assert f"{foreseen} would go now" in shown
    assert ("Held back" in shown) is only_unread
    # what was written is not lost by looking again
    assert "Already written</textarea>" in shown
    asked = admin.submit("/console/recall/ask", {**form, **({"only_unread": "true"} if only_unread else {})})
    web.deliver()
    result = text(admin, asked.location.partition("?")[0])
    assert f"Recalled from {foreseen[0]} of 3 mailboxes" in result
