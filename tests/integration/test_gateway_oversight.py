"""R26, R27 over HTTP: legal holds and the audit trail, for administrators of the organisation and nobody else."""

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests import correspondence
from tests.company import Company
from tests.gateway import Gateway, gateway, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return companies.found(databases, people=3)


@pytest.mark.rule(23, 27)
def test_r23_r27_an_administrator_reads_the_trail_page_by_page_and_of_one_recall(web, firm, databases):
    sender, *others = firm.people
    messages = [correspondence.send(databases, sender, *others) for _ in range(2)]
    web.deliver()
    author, administrator = web.as_(sender), web.as_(firm.postmaster)
    for message in messages:
        author.post("/recalls", json={"message_id": message + 1, "reason": "wrong figures"})
        web.deliver()

    seen: list[dict[str, object]] = []
    page = administrator.get("/admin/audit?limit=3")
    while True:
        document = page.get_json()
        seen += document["records"]
        if document["next_cursor"] is None:
            break
        assert page.headers["Link"] == f'</api/v1/admin/audit?limit=3&cursor={document["next_cursor"]}>; rel="next"'
        page = administrator.get(f"/admin/audit?limit=3&cursor={document['next_cursor']}")
    assert [record["number"] for record in seen] == [4, 3, 2, 1]
    assert [(record["event"], record["account"]) for record in seen] == [
        ("recall_settled", None),
        ("recall_requested", sender.address),
    ] * 2
    recall = str(seen[0]["recall"]).rpartition("/")[2]
    of_one = administrator.get(f"/admin/audit?recall={recall}").get_json()["records"]
    assert of_one == seen[:2]
    told = page.get_data(as_text=True)
    assert not any(other.address in told for other in others)


@pytest.mark.rule(24, 26, 27)
def test_r24_r26_r27_for_all_others_there_is_nothing_to_see(web, firm, databases):
    stranger = companies.found(databases, people=1)
    somebody = firm.people[1]
    for path in ("/admin/audit", "/admin/holds", f"/admin/accounts/{somebody.address}/hold"):
        problem(web.as_(somebody).get(path), 403, "not_allowed")
        problem(web.as_nobody().get(path), 401, "not_authenticated")
    assert web.as_(stranger.postmaster).get("/admin/audit").get_json() == {"records": [], "next_cursor": None}
    hold = f"/admin/accounts/{somebody.address}/hold"
    problem(web.as_(stranger.postmaster).put(hold, json={"reason": "curious"}), 404, "not_found")
    problem(web.as_(stranger.postmaster).delete(hold), 404, "not_found")
    problem(web.as_(firm.postmaster).get("/admin/audit?recall=1"), 422, "invalid")


@pytest.mark.rule(26, 27)
def test_r26_r27_a_hold_is_placed_once_lifted_and_recorded(web, firm):
    administrator, address = web.as_(firm.postmaster), firm.people[2].address
    hold = f"/admin/accounts/{address}/hold"
    problem(administrator.get(hold), 404, "not_found")
    problem(administrator.put(hold, json={"reason": ""}), 422, "invalid")
    problem(administrator.put("/admin/accounts/nobody/hold", json={"reason": "x"}), 404, "not_found")

    placed = administrator.put(hold, json={"reason": "case 7"})
    again = administrator.put(hold, json={"reason": "another"})

    assert (placed.status_code, again.status_code) == (201, 200)
    assert placed.get_json() == again.get_json() == administrator.get(hold).get_json()
    assert administrator.get("/admin/holds").get_json()["holds"] == [placed.get_json()]
    assert placed.get_json()["reason"] == "case 7"
    assert [administrator.delete(hold).status_code for _ in range(2)] == [204, 204]
    assert administrator.get("/admin/holds").get_json() == {"holds": []}
    records = administrator.get("/admin/audit?limit=2").get_json()["records"]
    assert [(record["event"], record["account"], record["details"]) for record in records] == [
        ("legal_hold_lifted", firm.postmaster.address, {"account": address}),
        ("legal_hold_placed", firm.postmaster.address, {"account": address, "reason": "case 7"}),
    ]
