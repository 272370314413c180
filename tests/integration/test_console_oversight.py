"""The console's forms: policy, legal holds, audit rules, held mail; the audit trail and health."""

import re

import pytest

from mailrecall import clock
from mailrecall.directory import lookup
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import Policy
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway import outgoing
from services.gateway.sending import NewMessage
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return companies.found(databases, people=2)


@pytest.fixture(scope="module")
def admin(web: Gateway, firm: Company) -> Visitor:
    return signed_in(web, firm)


@pytest.fixture(scope="module")
def stranger(web: Gateway, databases: Databases) -> Visitor:
    return signed_in(web, companies.found(databases, people=0))


def signed_in(web: Gateway, firm: Company) -> Visitor:
    visitor = Visitor(web.app)
    assert visitor.sign_in(firm.postmaster.address).status_code == 303
    return visitor


def text(visitor: Visitor, path: str, status: int = 200) -> str:
    answer = visitor.get(path)
    assert answer.status_code == status, answer.get_data(as_text=True)
    return answer.get_data(as_text=True)


POLICY = {
    "scope": "organisation",
    "group_mode": "each",
    "window_user": "24",
    "window_admin": "168",
    "retention": "7",
    "approval_above": "10000",
    "recalls_per_hour": "600",
    "admin_sees_failed_accounts": "true",
}
"""The form as it stands by default."""


@pytest.mark.rule(27)
def test_r27_a_changed_policy_holds_and_is_recorded(web, firm: Company, admin: Visitor, stranger: Visitor):
    text(admin, "/console/policy")
    assert (
        admin.submit("/console/policy", {**POLICY, "window_admin": "360", "notify_author": "true"}).status_code == 303
    )
    with web.databases.control() as control:
        policy = lookup.policy_of(control, firm.organisation_id)
    assert (policy.window_admin, policy.notify_author, policy.window_user) == (15 * 86400, True, 86400)
    assert "Policy changed" in text(admin, "/console/trail")
    assert "Policy changed" not in text(stranger, "/console/trail")
    assert admin.submit("/console/policy", POLICY).status_code == 303


def test_what_nobody_touched_stays_to_the_second(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=0, switches={"window_user": 5_000})
    admin = signed_in(web, firm)
    assert 'value="1.3889"' in text(admin, "/console/policy")
    assert admin.submit("/console/policy", {**POLICY, "window_user": "1.3889", "tombstone": "true"}).status_code == 303
    with databases.control() as control:
        policy = lookup.policy_of(control, firm.organisation_id)
    assert (policy.window_user, policy.tombstone) == (5_000, True)


def form_of(page: str) -> dict[str, str]:
    """The form of the policy as a browser would send it if nobody touched it."""
    form = dict(re.findall(r'<input type="hidden" name="(shown-\w+)" value="([^"]*)"', page))
    assert len(form) == 11
    return {**form, **{name.removeprefix("shown-"): value for name, value in form.items() if value}}


@pytest.mark.rule(27)
def test_r27_two_who_change_the_policy_at_once_both_keep_what_they_changed(web: Gateway, databases: Databases):
    firm = companies.found(databases, people=0)
    one, other = signed_in(web, firm), signed_in(web, firm)
    form = form_of(text(one, "/console/policy"))
    # the other opens it, changes and saves two switches, while the first still looks at how it was
    assert other.submit("/console/policy", {**form, "tombstone": "true", "window_user": "48"}).status_code == 303
    assert one.submit("/console/policy", {**form, "retention": "30"}).status_code == 303
    policy = policy_of(databases, firm)
    assert (policy.tombstone, policy.window_user, policy.retention) == (True, 48 * 3600, 30 * 86400)

    # the same switch: nothing is overwritten unseen
    answer = one.submit("/console/policy", {**form, "window_user": "12", "approval_above": "5"})
    assert answer.status_code == 409
    page = answer.get_data(as_text=True)
    assert 'id="window_user-error"' in page
    assert 'id="approval_above-error"' not in page
    assert "Somebody else has changed this in the meantime" in page
    assert policy_of(databases, firm) == policy
    # who has seen that and saves again, means it
    assert (
        one.submit("/console/policy", {**form_of(page), "window_user": "12", "approval_above": "5"}).status_code == 303
    )
    after = policy_of(databases, firm)
    assert (after.window_user, after.approval_above, after.tombstone) == (12 * 3600, 5, True)


def policy_of(databases: Databases, firm: Company) -> Policy:
    with databases.control() as control:
        return lookup.policy_of(control, firm.organisation_id)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("window_user", "361"),
        ("approval_above", "10,00"),
        ("window_admin", "0"),
        ("window_admin", "soon"),
        ("retention", "-1"),
        ("retention", "NaN"),
        ("approval_above", "1.5"),
        ("recalls_per_hour", "0"),
        ("recalls_per_hour", "1e999999"),
        ("scope", "universe"),
        ("group_mode", ""),
    ],
)
def test_a_policy_that_cannot_be_is_refused_at_its_field(web, firm: Company, admin: Visitor, field: str, value: str):
    with web.databases.control() as control:
        before = lookup.policy_of(control, firm.organisation_id)
    answer = admin.submit("/console/policy", {**POLICY, field: value, "tombstone": "true"})
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.get_data(as_text=True)
    with web.databases.control() as control:
        assert lookup.policy_of(control, firm.organisation_id) == before


@pytest.mark.rule(26)
def test_r26_accounts_are_held_and_let_go(firm: Company, admin: Visitor, stranger: Visitor):
    person = firm.people[0].address
    assert admin.submit("/console/holds", {"address": person, "reason": "Case 7"}).status_code == 303
    shown = text(admin, "/console/holds")
    assert person in shown
    assert "Case 7" in shown
    assert person not in text(stranger, "/console/holds")
    assert stranger.submit("/console/holds/lift", {"address": person}).status_code == 404
    assert admin.submit("/console/holds/lift", {"address": person}).status_code == 303
    assert "Case 7" not in text(admin, "/console/holds")
    assert "Legal hold lifted" in text(admin, "/console/trail")


@pytest.mark.rule(24)
def test_r24_a_hold_needs_a_reason_and_an_account_of_ones_own(firm: Company, admin: Visitor, stranger: Visitor):
    person = firm.people[0].address
    for visitor, form, field in (
        (admin, {"address": person, "reason": " "}, "reason"),
        (admin, {"address": "", "reason": "x"}, "address"),
        (admin, {"address": "no address", "reason": "x"}, "address"),
        (stranger, {"address": person, "reason": "x"}, "address"),
    ):
        answer = visitor.submit("/console/holds", form)
        assert answer.status_code == 422
        assert f'id="{field}-error"' in answer.get_data(as_text=True)
    assert admin.submit("/console/holds/lift", {"address": "\0"}).status_code == 404


@pytest.mark.rule(30)
def test_r30_held_mail_is_read_released_and_rejected(web: Gateway, firm: Company, admin: Visitor, stranger: Visitor):
    sender, other = firm.people
    rule = {"name": "Contracts", "keyword": "contract"}
    assert admin.submit("/console/rules", rule).status_code == 303
    ids = []
    for number in range(2):
        message = NewMessage(to=[Address.parse(other.address)], subject=f"contract {number}", text="Draft", delay=0)
        sent = outgoing.send(web.process, sender, message, now=clock.now())
        ids.append(sent.copy_id - sent.copy_id % 2)
    web.deliver()
    shown = text(admin, "/console/held")
    assert "contract 0" in shown
    assert "contract 1" in shown
    assert "contract 0" not in text(stranger, "/console/held")
    text(stranger, f"/console/held/{ids[0]}", 404)
    assert stranger.submit(f"/console/held/{ids[0]}/release").status_code == 404
    assert other.address in text(admin, f"/console/held/{ids[0]}")

    answer = admin.submit(f"/console/held/{ids[1]}/reject", {"reason": ""})
    assert answer.status_code == 422
    assert 'id="reason-error"' in answer.get_data(as_text=True)
    assert admin.submit(f"/console/held/{ids[1]}/reject", {"reason": "Not yet signed"}).status_code == 303
    assert admin.submit(f"/console/held/{ids[0]}/release").status_code == 303
    shown = text(admin, "/console/held")
    assert "contract 0" not in shown
    assert "contract 1" not in shown
    assert admin.submit(f"/console/held/{ids[0]}/release").status_code == 303
    assert "does not wait any more" in text(admin, "/console/held")


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"name": "", "keyword": "x"}, "name"),
        ({"name": "Nothing"}, "keyword"),
        ({"name": "Size", "group_size": "many"}, "group_size"),
        ({"name": "Sender", "sender": "nobody"}, "sender"),
        ({"name": "Domain", "sender": "@"}, "sender"),
        ({"name": "Long", "keyword": "x" * 201}, "keyword"),
        ({"name": "x" * 500, "keyword": "x"}, "name"),
    ],
)
def test_a_rule_that_cannot_be_is_refused_at_its_field(admin: Visitor, form: dict[str, str], field: str):
    answer = admin.submit("/console/rules", form)
    assert answer.status_code == 422
    assert re.findall(r'id="(\w+)-error"', answer.get_data(as_text=True)) == [field]


def test_a_rule_of_a_name_that_is_taken_is_refused_there(web: Gateway, databases: Databases):
    admin = signed_in(web, companies.found(databases, people=0))
    assert admin.submit("/console/rules", {"name": "Twice", "keyword": "x"}).status_code == 303
    answer = admin.submit("/console/rules", {"name": "Twice", "keyword": "y"})
    page = answer.get_data(as_text=True)
    assert re.findall(r'id="(\w+)-error"', page) == ["name"]
    assert "There is a rule of that name already" in page


def test_rules_are_removed_and_only_ones_own(web: Gateway, databases: Databases, stranger: Visitor):
    admin = signed_in(web, companies.found(databases, people=0))
    admin.submit("/console/rules", {"name": "Outside", "external": "true"})
    shown = text(admin, "/console/rules")
    assert '<td class="what">Outside' in shown
    address = shown.partition('action="/console/rules/')[2].partition('"')[0]
    assert stranger.submit(f"/console/rules/{address}").status_code == 404
    assert admin.submit(f"/console/rules/{address}").status_code == 303
    assert '<td class="what">Outside' not in text(admin, "/console/rules")


def test_health_shows_each_shard_and_nobodys_address(firm: Company, admin: Visitor):
    shown = text(admin, "/console/health").partition("<main")[2]
    for words in ("Shard 0", "Shard 1", "Control database", "Broker"):
        assert words in shown
    assert "@" not in shown


def test_the_console_is_whole_in_chinese(web: Gateway, firm: Company):
    admin = Visitor(web.app, language="zh-CN")
    admin.sign_in(firm.postmaster.address)
    for path, title in {
        "/console": "邮件撤回",
        "/console/recalls": "撤回记录",
        "/console/batches": "批量撤回",
        "/console/approvals": "待审批",
        "/console/accounts": "账户",
        "/console/groups": "群组",
        "/console/held": "待审邮件",
        "/console/rules": "审核规则",
        "/console/holds": "法律保留",
        "/console/trail": "审计记录",
        "/console/policy": "策略",
        "/console/health": "系统状态",
    }.items():
        assert f"<h1>{title}</h1>" in text(admin, path)
