"""One trace leads from the request for a recall, over every process, to the report in the mailbox; it names nobody."""

import pytest

from mailrecall.demo.client import wait_for
from tests import company
from tests.e2e.people import PDF, settled
from tests.traces import Recorded

STEPS = {
    "POST /api/v1/recalls": "mailrecall-gateway",
    "recall.plan": "mailrecall-recall",
    "recall.withdraw": "mailrecall-recall",
    "reports.summarise": "mailrecall-reports",
    "delivery.expand": "mailrecall-delivery",
    "delivery.deposit": "mailrecall-delivery",
}


@pytest.mark.rule(23)
def test_r23_a_trace_follows_a_recall_from_the_request_to_the_report_and_names_nobody(stack, webmail):
    firm = company.found(stack.databases, people=4)
    author = webmail(firm.people[0])
    recipients = [person.address for person in firm.people[1:]]
    sent = author.send(recipients, cc=[], subject="Traced", text="Hello", attachment=PDF)
    recall = settled(author, author.recall(sent, "a trial")["id"])
    with stack.databases.control() as connection:
        row = connection.execute("SELECT id FROM recall WHERE public_id = %s", (recall["id"],)).fetchone()
    assert row is not None

    def whole() -> list[Recorded] | None:
        # a process hands its spans over every few seconds
        spans = stack.traces.trace_of("recall.plan", recall_id=row[0])
        return spans if {span.name for span in spans} >= set(STEPS) else None

    spans = wait_for("The whole trace", whole, seconds=90)

    assert {span.name: span.service for span in spans if span.name in STEPS} == STEPS
    parents = {span.span_id: span for span in spans}
    (request,) = [span for span in spans if span.name == "POST /api/v1/recalls"]
    assert request.parent_id not in parents
    assert all(span.parent_id in parents for span in spans if span is not request)
    shards = {span.attributes["shard"] for span in spans if span.name == "recall.withdraw"}
    assert len(shards) >= 1
    assert request.attributes["http.response.status_code"] == 202
    for span in spans:
        assert "@" not in str(span)
        assert firm.domain not in str(span)
