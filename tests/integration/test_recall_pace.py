"""How fast a recall went, as its ranges' own moments tell it: in its pages, and in its report."""

import re
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory.lookup import Account
from mailrecall.domain.outcomes import Outcome
from mailrecall.domain.pace import Pace
from mailrecall.outbox.work import Task
from mailrecall.postgres.databases import Databases
from mailrecall.recalls import pacing, views
from mailrecall.recalls.requests import Requested
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from services.gateway.watching import WATCH
from services.recall.withdrawing import withdraw_batch
from tests import company as companies
from tests import correspondence, dispatch
from tests.browsing import Visitor
from tests.gateway import gateway
from tests.reported import inbox, mixed, part, report, settle

SECOND = timedelta(seconds=1)


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 3}), databases)


def pace_of(databases: Databases, recall_id: int) -> Pace | None:
    with databases.control() as control:
        return pacing.find(control, recall_id)


def ranges_of(databases: Databases, recall_id: int) -> list[tuple[int, timedelta]]:
    """How many mailboxes each range had, and when after the request it was counted."""
    with databases.control() as control:
        return control.execute(
            "SELECT b.recipients, least(b.done_at, r.settled_at) - r.requested_at"
            "  FROM recall r JOIN recall_batch b ON b.recall_id = r.id WHERE r.id = %s ORDER BY 2",
            (recall_id,),
        ).fetchall()


def spread_out(databases: Databases, recall_id: int) -> None:
    """Have a settled recall's ranges counted a second apart, as if there were many more mailboxes in each."""
    with databases.control() as control:
        control.execute(
            "WITH counted AS (UPDATE recall_batch b SET done_at = r.requested_at + q.number * interval '1 second'"
            "  FROM recall r,"
            "       (SELECT batch, row_number() OVER () AS number FROM recall_batch WHERE recall_id = %(id)s) q"
            "  WHERE r.id = b.recall_id AND b.recall_id = %(id)s AND q.batch = b.batch RETURNING b.done_at)"
            " UPDATE recall SET settled_at = (SELECT max(done_at) FROM counted) WHERE id = %(id)s",
            {"id": recall_id},
        )


def table_of(html: str) -> list[int]:
    """The numbers of the chart's table."""
    return [int(number.replace(",", "")) for number in re.findall(r'<th scope="row">[^<]+</th><td>([\d,]+)</td>', html)]


def test_the_bars_add_up_to_what_ranges_that_were_counted_one_after_another_did(process, databases):
    firm, message_id = mixed(process, people=30)
    start = clock.now()
    asked = correspondence.ask(databases, firm.people[0], message_id, now=start)
    assert isinstance(asked, Requested)
    recall_id = asked.recall.id
    dispatch.run(process, Task.PLAN)
    with databases.control() as control:
        due = control.execute(
            "SELECT id, args FROM outbox WHERE task = %s AND (args ->> 'recall_id')::bigint = %s ORDER BY id",
            (Task.WITHDRAW, recall_id),
        ).fetchall()
    for number, (work_id, args) in enumerate(due, 1):
        withdraw_batch(process, work_id=work_id, now=start + number * 1.3 * SECOND, **args)

    pace = pace_of(databases, recall_id)

    ranges = ranges_of(databases, recall_id)
    assert len(ranges) == len(due) > 5
    # each is counted when its shard has done it, not when it was asked to
    assert all(after > n * 1.3 * SECOND for n, (_recipients, after) in enumerate(ranges, 1))
    assert pace is not None
    assert len(pace.done) <= len(ranges)
    assert pace.took == ranges[-1][1]
    expected = [0] * len(pace.done)
    for recipients, after in ranges:
        expected[after // pace.stretch] += recipients
    assert list(pace.done) == expected
    with databases.control() as control:
        view = views.get(control, recall_id)
    assert view is not None
    assert view.settled_at is not None
    # two are outside, and nobody's shard decides for them
    assert sum(pace.done) == view.tally.total - view.tally[Outcome.EXTERNAL] == view.recipients - 2
    assert view.settled_at - view.requested_at == pace.took


def test_what_was_counted_after_the_end_was_done_at_the_end(process, databases):
    firm, message_id = mixed(process, people=20)
    recall_id = settle(process, firm.people[0], message_id)
    spread_out(databases, recall_id)
    before = pace_of(databases, recall_id)
    assert before is not None
    with databases.control() as control:
        control.execute(
            "UPDATE recall_batch SET done_at = done_at + interval '3 days' WHERE recall_id = %(id)s"
            " AND done_at = (SELECT max(done_at) FROM recall_batch WHERE recall_id = %(id)s)",
            {"id": recall_id},
        )
    assert pace_of(databases, recall_id) == before


def test_a_clock_that_is_behind_puts_nothing_before_the_beginning(process, databases):
    firm, message_id = mixed(process, people=20)
    recall_id = settle(process, firm.people[0], message_id)
    spread_out(databases, recall_id)
    whole = pace_of(databases, recall_id)
    with databases.control() as control:
        control.execute(
            "UPDATE recall SET requested_at = requested_at + interval '2.5 seconds' WHERE id = %s", (recall_id,)
        )
    late = pace_of(databases, recall_id)
    assert whole is not None
    assert late is not None
    assert sum(late.done) == sum(whole.done)
    assert late.took == whole.took - 2.5 * SECOND


@pytest.mark.rule(21)
def test_r21_waiting_for_an_approval_is_no_part_of_it(process, databases):
    firm, message_id = mixed(process, people=20)
    recall_id = settle(process, firm.people[0], message_id)
    spread_out(databases, recall_id)
    at_once = pace_of(databases, recall_id)
    with databases.control() as control:
        control.execute(
            "WITH request AS (INSERT INTO recall_request (organisation_id, requested_by, reason, only_unread, policy,"
            "  requested_at, copies, approval, lapses_at, decided_at)"
            "  SELECT organisation_id, requested_by, reason, false, policy, requested_at - interval '2 days', 20,"
            "         'approved', requested_at + interval '1 day', requested_at FROM recall WHERE id = %(id)s"
            "  RETURNING id, requested_at)"
            " UPDATE recall r SET request_id = q.id, requested_at = q.requested_at FROM request q WHERE r.id = %(id)s",
            {"id": recall_id},
        )
    assert pace_of(databases, recall_id) == at_once is not None


@pytest.mark.rule(23, 24)
def test_r23_r24_the_pages_show_it_to_those_who_see_the_recall(settings, databases):
    web = gateway(settings, databases, batch_size=3)

    def signed_in(account: Account) -> Visitor:
        visitor = Visitor(web.app)
        assert visitor.sign_in(account.address).status_code == 303
        return visitor

    firm = companies.found(databases, people=24)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, companies.group(databases, f"all@{firm.domain}", others))
    web.deliver()
    recall_id = settle(Process(web.process.settings, databases), sender, message_id)
    with databases.control() as control:
        view = views.get(control, recall_id)
    assert view is not None
    spread_out(databases, recall_id)

    author, admin = signed_in(sender), signed_in(firm.postmaster)
    for visitor, path in ((author, f"/recalls/{view.public_id}"), (admin, f"/console/recalls/{view.public_id}")):
        whole, alone = (visitor.get(at).get_data(as_text=True) for at in (path, f"{path}/pace"))
        assert "Mailboxes done over time" in whole
        assert sum(table_of(whole)) == view.tally.total == len(others)
        assert table_of(alone) == table_of(whole)
        assert len(re.findall(r"<rect x=", alone)) == len(table_of(alone)) > 2
        assert not [person.address for person in others if person.address in alone]
    stranger = signed_in(companies.found(databases, people=0).postmaster)
    reader = signed_in(others[0])
    assert stranger.get(f"/console/recalls/{view.public_id}/pace").status_code == 404
    assert reader.get(f"/recalls/{view.public_id}/pace").status_code == 404
    web.app.extensions[WATCH].stop()


@pytest.mark.rule(18)
def test_r18_the_report_has_it_and_one_of_a_handful_has_not(process, databases):
    firm, message_id = mixed(process, people=30)
    many = settle(process, firm.people[0], message_id)
    spread_out(databases, many)
    report(process, many)
    few = settle(process, firm.people[1], correspondence.send(databases, firm.people[1], firm.people[2]))
    assert pace_of(databases, few) is None
    report(process, few)

    pace = pace_of(databases, many)
    assert pace is not None
    (told,), (untold,) = (inbox(databases, person, "ecalled") for person in firm.people[:2])
    for kind in ("plain", "html"):
        assert f"All done in {pace.took // SECOND} sec; at most {pace.most} within" in part(told, kind)
        assert "All done in" not in part(untold, kind)
