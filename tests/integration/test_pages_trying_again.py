"""R12 on the pages: what a shard did not answer for in time is tried once more when it is back."""

import re
from collections import Counter

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.addresses import Address
from mailrecall.domain.copies import AUTHOR_COPY_BIT
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import views
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.gateway import outgoing
from services.gateway.batching import BATCH_WATCH
from services.gateway.sending import NewMessage
from services.gateway.watching import WATCH
from tests import company
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway
from tests.reported import give_up_on

AWAY = 1
"""The shard that does not answer at first."""


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases):
    web = gateway(settings, databases, batch_size=7)
    yield web
    web.app.extensions[WATCH].stop()
    web.app.extensions[BATCH_WATCH].stop()


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return company.found(databases, people=12)


def given_up(web: Gateway, firm: Company) -> tuple[int, int]:
    """A recall whose copies on one shard nobody answered for; returns its number and the author's copy."""
    author, *others = firm.people
    to = [Address.parse(person.address) for person in others]
    sent = outgoing.send(web.process, author, NewMessage(to=to, subject="x", text="x", delay=0), now=clock.now())
    web.deliver()
    message_id = sent.copy_id & ~AUTHOR_COPY_BIT
    process: Process[Settings] = Process(web.process.settings, web.databases)
    return give_up_on(process, AWAY, firm, message_id, whole=True), sent.copy_id


def outcomes(web: Gateway, recall_id: int) -> Counter[Outcome]:
    with web.databases.control() as control:
        return Counter(views.many(control, [recall_id])[recall_id].tally.counts)


def public_id(web: Gateway, recall_id: int) -> str:
    with web.databases.control() as control:
        return str(views.many(control, [recall_id])[recall_id].public_id)


def signed_in(web: Gateway, account: Account) -> Visitor:
    visitor = Visitor(web.app)
    assert visitor.sign_in(account.address).status_code == 303
    return visitor


def text(visitor: Visitor, path: str) -> str:
    answer = visitor.get(path)
    assert answer.status_code == 200
    return answer.get_data(as_text=True)


@pytest.mark.rule(12)
@pytest.mark.parametrize("who", ["author", "administrator"])
def test_r12_what_nobody_answered_for_is_tried_again_from_the_page(web, firm, who):
    recall_id, copy_id = given_up(web, firm)
    unanswered = sum(person.shard == AWAY for person in firm.people[1:])
    recalled = len(firm.people) - 1
    assert outcomes(web, recall_id) == {Outcome.UNREACHABLE: unanswered, Outcome.RECALLED: recalled - unanswered}
    author = who == "author"
    visitor = signed_in(web, firm.people[0] if author else firm.postmaster)
    page = f"{'' if author else '/console'}/recalls/{public_id(web, recall_id)}"
    again = f"{page}/again"
    # a recall of one's own is asked for again where it was asked for
    offered = re.compile(f'href="/recall/{copy_id}"' if author else f'action="{again}"')
    assert offered.search(text(visitor, page))
    if author:
        assert f'action="{again}"' in text(visitor, f"/recall/{copy_id}")
    answer = visitor.submit(again)
    assert (answer.status_code, answer.location) == (303, page)
    web.deliver()
    assert outcomes(web, recall_id) == {Outcome.RECALLED: recalled}
    assert not offered.search(text(visitor, page))


@pytest.mark.rule(12)
def test_r12_while_it_is_tried_again_what_is_known_stays_and_the_page_follows_on(web, firm):
    recall_id, _copy_id = given_up(web, firm)
    before = outcomes(web, recall_id)
    page = f"/console/recalls/{public_id(web, recall_id)}"
    admin = signed_in(web, firm.postmaster)
    assert admin.submit(f"{page}/again").location == page
    # nothing was done yet
    assert outcomes(web, recall_id)[Outcome.RECALLED] == before[Outcome.RECALLED]
    assert f'data-events="{page}/events"' in text(admin, page)
    web.deliver()
    assert outcomes(web, recall_id) == {Outcome.RECALLED: before.total()}
