"""R27: the audit trail in the console, in words of both languages."""

import html
import re

import pytest

from mailrecall import clock
from mailrecall.audit import trail
from mailrecall.domain.trail import SYSTEM, Actor, Entry, Event
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway

HOUR, DAY = 3600, 86400
RECORDED: list[tuple[Event, dict[str, object]]] = [
    (
        Event.POLICY_CHANGED,
        {
            "window_admin": {"from": 7 * DAY, "to": 15 * DAY},
            "window_user": {"from": 5_000, "to": HOUR},
            "retention": {"from": 7 * DAY, "to": 129_600},
            "approval_above": {"from": 10_000, "to": 500},
            "scope": {"from": "organisation", "to": "platform"},
            "group_mode": {"from": "each", "to": "all_or_nothing"},
            "tombstone": {"from": False, "to": True},
        },
    ),
    (
        Event.AUDIT_RULE_ADDED,
        {
            "rule": 1234,
            "name": "gone",
            "group_size": 5000,
            "sender": "@a.example",
            "keyword": "failed",
            "external": True,
        },
    ),
    (Event.RECALL_SETTLED, {"result": "partial", "outcomes": {"recalled": 12_345, "already_read": 1}}),
    (Event.RECALL_REQUESTED, {"reason": "recalled", "as_administrator": True}),
]
WORDS = {
    "en": {
        "Window for administrators, in hours": "from “168” to “360”",
        "Window for senders, in hours": "from “1.3889” to “1”",
        "Retention, in days": "from “7” to “1.5”",
        "Approval above so many copies": "from “10,000” to “500”",
        "Reach of a recall": "from “The organisation” to “The whole platform”",
        "Groups": "from “Take every copy that qualifies” to “All or nothing”",
        "Leave a notice where a copy was taken": "from “no” to “yes”",
        "Rule": "1234",
        "Name": "gone",
        "Members of its groups, at least": "5,000",
        "Sender": "@a.example",
        "Word in subject or text": "failed",
        "Some recipient is outside": "yes",
        "Result": "Partly recalled",
        "Outcomes": "Recalled: 12,345, Already read: 1",
        "Reason": "recalled",
        "As administrator": "yes",
    },
    "zh-CN": {
        "管理员撤回期限（小时）": "由“168”改为“360”",
        "撤回范围": "由“本单位”改为“整个平台”",
        "群组": "由“撤回所有符合条件的邮件”改为“要么全部撤回，要么都不撤回”",
        "结果": "部分撤回",
        "原因": "recalled",
        "名称": "gone",
    },
}


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    firm = companies.found(databases, people=0)
    with databases.control() as control:
        for event, details in RECORDED:
            actor = Actor.account(firm.postmaster.id) if event is not Event.RECALL_SETTLED else SYSTEM
            entry = Entry(organisation_id=firm.organisation_id, event=event, actor=actor, details=details)
            trail.append(control, entry, now=clock.now())
    return firm


@pytest.mark.rule(27)
@pytest.mark.parametrize("language", WORDS)
def test_r27_records_are_told_in_the_readers_words(web: Gateway, firm: Company, language: str):
    admin = Visitor(web.app, language=language)
    admin.sign_in(firm.postmaster.address)
    page = html.unescape(admin.get("/console/trail").get_data(as_text=True))
    told = dict(re.findall(r"<dt>([^<]*)</dt><dd>([^<]*)</dd>", page))
    assert {name: told.get(name) for name in WORDS[language]} == WORDS[language]
    # nothing is left as it is stored
    assert not [name for name in told if re.fullmatch(r"[a-z_]+", name)]


@pytest.mark.rule(27)
def test_r27_a_change_is_told_as_the_form_names_it(web: Gateway, databases: Databases):
    """Every switch there is, through the form."""
    firm = companies.found(databases, people=0)
    admin = Visitor(web.app)
    admin.sign_in(firm.postmaster.address)
    changed = {
        "scope": "domain",
        "group_mode": "all_or_nothing",
        "window_user": "12",
        "window_admin": "240",
        "recalls_per_hour": "7",
        "retention": "30",
        "approval_above": "2000",
        "recall_any_channel_admin": "true",
        "notify_author": "true",
        "tombstone": "true",
    }
    form = html.unescape(admin.get("/console/policy").get_data(as_text=True))
    labels = {re.sub(r"<[^>]*>", "", label).strip() for label in re.findall(r"<label[^>]*>(.*?)</label>", form)}
    assert admin.submit("/console/policy", changed).status_code == 303
    page = html.unescape(admin.get("/console/trail").get_data(as_text=True))
    told = set(re.findall(r"<dt>([^<]*)</dt>", page))
    # the eleventh is off in `changed`: all of them were changed
    assert len(told) == 11
    assert told <= labels
