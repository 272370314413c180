"""Drafts as the pages save them: from two windows, and sent once (R28)."""

import io
import re

import pytest
from psycopg.types.json import Jsonb

from mailrecall.directory import accounts
from mailrecall.mailstore import residence
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway import drafting
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    firm = companies.found(databases, people=2)
    with databases.control() as control:
        accounts.set_undo_send(control, firm.people[0].id, 0)
    return firm


@pytest.fixture(scope="module")
def alice(web: Gateway, firm: Company) -> Visitor:
    visitor = Visitor(web.app)
    visitor.sign_in(firm.people[0].address)
    return visitor


def text(visitor: Visitor, path: str) -> str:
    return visitor.get(path).get_data(as_text=True)


@pytest.mark.rule(28)
def test_r28_drafts_save_themselves_and_notice_another_window(web, firm, alice):
    htmx = {"HX-Request": "true"}
    first = alice.submit("/compose/save", {"text": "one"}, headers=htmx).get_data(as_text=True)
    assert "<html" not in first
    fields = dict(re.findall(r'name="(draft_id|version)" value="(\d+)"', first))
    again = alice.submit("/compose/save", {"text": "two", **fields}, headers=htmx).get_data(as_text=True)
    assert dict(re.findall(r'name="(draft_id)" value="(\d+)"', again)) == {"draft_id": fields["draft_id"]}
    for headers in (htmx, None):
        stale = alice.submit("/compose/save", {"text": "three", **fields}, headers=headers)
        assert stale.status_code == 412
        assert "changed somewhere else" in stale.get_data(as_text=True)
        # whoever tries again does not write over the other window's words either
        shown = re.findall(r'name="(draft_id|version)" value="(\d+)"', stale.get_data(as_text=True))
        assert shown == ([] if headers else [*fields.items()])
    assert "two" in text(alice, f"/compose/{fields['draft_id']}")
    files = {"files": (io.BytesIO(b"x"), "x.bin")}
    filled = {"text": "two", "draft_id": fields["draft_id"], "version": "2", **files}
    kept = alice.submit("/compose/save", filled, headers=htmx)
    assert "x.bin" in kept.get_data(as_text=True)
    stale_drop = {**fields, "text": "two", "to": "", "drop": "0"}
    # files are named by their places, which are others in another version
    assert alice.submit("/compose/send", stale_drop).status_code == 412
    dropped = {"text": "two", "draft_id": fields["draft_id"], "version": "3", "drop": ["0", "9" * 5000]}
    assert "x.bin" not in alice.submit("/compose/save", dropped, headers=htmx).get_data(as_text=True)


@pytest.mark.rule(28)
def test_r28_what_was_sent_from_another_window_is_not_sent_again(web, firm, alice):
    saved = alice.submit("/compose/save", {"to": firm.people[1].address, "text": "x"}).location
    number = saved.rpartition("/")[2]
    form = {"to": firm.people[1].address, "subject": "Only once", "text": "x", "draft_id": number, "version": "1"}
    assert alice.submit("/compose/send", form).status_code == 303
    for delivered in (False, True):
        if delivered:
            web.deliver()
        again = alice.submit("/compose/send", form)
        assert again.status_code == (404 if delivered else 409)
        assert f'name="draft_id" value="{number}"' in again.get_data(as_text=True)
        assert alice.submit("/compose/save", form).status_code == again.status_code
    assert text(alice, "/mail/sent").count("Only once") == 1


@pytest.mark.rule(28)
@pytest.mark.parametrize("moment", ["find", "send"])
def test_r28_what_another_window_saves_in_that_moment_is_not_sent(web, firm, alice, monkeypatch, moment):
    """Whenever it does: after the page's own version was saved, and right before that one is sent."""
    number = alice.submit("/compose/save", {"to": firm.people[1].address, "text": "x"}).location.rpartition("/")[2]
    step = getattr(drafting, moment)

    def after_another(process, author, copy_id, *rest, **more):
        with residence.mailbox(process.databases, author) as shard:
            theirs = Jsonb({"subject": "Theirs"})
            shard.execute(
                "UPDATE draft SET version = version + 1, fields = fields || %s WHERE copy_id = %s", (theirs, copy_id)
            )
        return step(process, author, copy_id, *rest, **more)

    form = {"to": firm.people[1].address, "subject": "Mine", "text": "x", "draft_id": number, "version": "1"}
    with monkeypatch.context() as patched:
        patched.setattr(drafting, moment, after_another)
        answer = alice.submit("/compose/send", form)

    web.deliver()
    assert answer.status_code == (412 if moment == "send" else 303)
    assert "Theirs" not in text(alice, "/mail/sent")
