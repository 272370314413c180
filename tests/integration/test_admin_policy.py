"""An organisation's switches over HTTP."""

from dataclasses import fields

import pytest

from mailrecall.directory.lookup import policy_of
from mailrecall.domain.policy import Policy
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.gateway.schemas.policies import PolicyChangeSchema, PolicySchema
from tests import company, correspondence
from tests.gateway import Gateway, gateway, pointers, problem

DAY = 86_400


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture
def firm(databases: Databases) -> company.Company:
    return company.found(databases, people=2)


def test_every_switch_can_be_read_and_changed():
    names = {field.name for field in fields(Policy)}
    assert set(PolicySchema().fields) == set(PolicyChangeSchema().fields) == names


@pytest.mark.rule(3, 27)
def test_r3_r27_an_administrator_reads_and_changes_switches_and_it_is_recorded(web, firm, databases):
    assert web.as_(firm.postmaster).get("/admin/policy").get_json() == Policy().to_mapping()
    change = {"window_user": 15 * DAY, "scope": "domain", "tombstone": True, "approval_above": 0}
    answer = web.as_(firm.postmaster).patch("/admin/policy", json=change)
    assert (answer.status_code, answer.get_json()) == (200, {**Policy().to_mapping(), **change})
    assert web.as_(firm.postmaster).get("/admin/policy").get_json() == answer.get_json()
    with databases.control() as control:
        assert policy_of(control, firm.organisation_id).window_user == 15 * DAY
        recorded = control.execute(
            "SELECT event, account_id, details FROM audit_record WHERE organisation_id = %s", (firm.organisation_id,)
        ).fetchall()
    assert recorded == [
        (
            "policy_changed",
            firm.postmaster.id,
            {n: {"from": Policy().to_mapping()[n], "to": v} for n, v in change.items()},
        )
    ]


@pytest.mark.rule(3)
@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({}, {"#"}),
        ({"window_user": 15 * DAY + 1}, {"#/window_user"}),
        ({"window_admin": 0}, {"#/window_admin"}),
        ({"window_admin": 1.5}, {"#/window_admin"}),
        ({"window_admin": True}, {"#/window_admin"}),
        ({"window_admin": None}, {"#/window_admin"}),
        ({"retention": -1}, {"#/retention"}),
        ({"scope": "galaxy"}, {"#/scope"}),
        ({"group_mode": 1}, {"#/group_mode"}),
        ({"tombstone": "yes"}, {"#/tombstone"}),
        ({"windows_user": 5}, {"#/windows_user"}),
        ({"window_user": 5, "recalls_per_hour": 0}, {"#/recalls_per_hour"}),
    ],
)
def test_r3_a_switch_that_cannot_be_so_is_refused_and_nothing_changes(web, firm, body, wrong):
    answer = web.as_(firm.postmaster).patch("/admin/policy", json=body)
    assert pointers(problem(answer, 422, "invalid")) == wrong
    assert web.as_(firm.postmaster).get("/admin/policy").get_json() == Policy().to_mapping()


@pytest.mark.rule(3)
def test_r3_recalls_that_there_are_keep_the_switches_they_were_judged_by(web, firm, databases):
    message_id = correspondence.send(databases, *firm.people)
    web.as_(firm.people[0]).post("/recalls", json={"message_id": message_id, "reason": "x"})
    web.as_(firm.postmaster).patch("/admin/policy", json={"window_user": 1})
    web.deliver()
    assert not correspondence.has_copy(databases, firm.people[1], message_id)


@pytest.mark.rule(24)
def test_r24_switches_are_for_administrators_of_the_organisation(web, firm, databases):
    other = company.found(databases, people=1)
    web.as_(other.postmaster).patch("/admin/policy", json={"tombstone": True})
    assert web.as_(firm.postmaster).get("/admin/policy").get_json()["tombstone"] is False
    problem(web.as_(firm.people[0]).get("/admin/policy"), 403, "not_allowed")
    problem(web.as_(firm.people[0]).patch("/admin/policy", json={"tombstone": True}), 403, "not_allowed")
    problem(web.as_nobody().get("/admin/policy"), 401, "not_authenticated")


@pytest.mark.rule(19)
def test_r19_postmasters_of_all_domains_and_those_given_the_role_open_the_console(web, databases):
    firm = company.found(databases, people=1, domains=2)
    administrators = [
        firm.postmaster,
        company.hire(databases, f"postmaster@{firm.domains[1]}"),
        company.hire(databases, f"given@{firm.domain}", administrator=True),
    ]
    for path in ("/admin/policy", "/admin/messages", "/admin/recall-batches", "/admin/approvals"):
        for account in administrators:
            assert web.as_(account).get(path).status_code == 200
        problem(web.as_(firm.people[0]).get(path), 403, "not_allowed")
