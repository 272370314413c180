"""R12: asking once more, in webmail, for what nobody answered for."""

import re

import pytest

from mailrecall.audit import trail
from mailrecall.domain.copies import author_copy_id
from mailrecall.domain.trail import Event
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import company, correspondence
from tests.browsing import Visitor
from tests.gateway import gateway
from tests.reported import give_up_on


@pytest.mark.rule(11, 12, 27)
@pytest.mark.parametrize("language", ["en", "zh-CN"])
def test_r12_asking_again_is_recorded_with_the_reason_that_was_given(
    settings: Settings, databases: Databases, language: str
):
    web = gateway(settings, databases)
    firm = company.found(databases, people=6)
    sender, *others = firm.people
    message_id = correspondence.send(databases, sender, *others)
    web.deliver()
    recall_id = give_up_on(Process(web.process.settings, databases), 1, firm, message_id, whole=True)
    visitor = Visitor(web.app, language=language)
    visitor.sign_in(sender.address)
    form = visitor.get(f"/recall/{author_copy_id(message_id)}").get_data(as_text=True)
    action = re.search(r'<form method="post" action="(/recalls/[^"]+/again)">', form)
    assert action
    answer = visitor.submit(action[1])
    assert (answer.status_code, answer.location) == (303, action[1].removesuffix("/again"))
    web.deliver()
    with databases.control() as control:
        records = trail.page(control, firm.organisation_id, recall=None, before=trail.NEWEST, limit=50)
        row = control.execute("SELECT reason, result FROM recall WHERE id = %s", (recall_id,)).fetchone()
    assert row is not None
    reason, result = row
    asked = [shown.record for shown in records if shown.record.event in {Event.RECALL_REQUESTED, Event.RECALL_REPEATED}]
    assert [record.event for record in asked] == [Event.RECALL_REPEATED, Event.RECALL_REQUESTED]
    assert [record.details["reason"] for record in asked] == [reason, reason]
    assert result == "succeeded"
