"""Forwarding rules as they are set: over HTTP and by command."""

import pytest
from click.testing import CliRunner

from mailrecall.cli.main import main
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company
from tests.gateway import Gateway, gateway, problem


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture
def firm(databases: Databases) -> company.Company:
    return company.found(databases)


@pytest.mark.rule(4)
def test_r4_a_rule_is_set_replaced_and_removed(web, firm):
    one, two, three, _ = firm.people
    client = web.as_(one)
    problem(client.get("/account/forwarding"), 404, "not_found")
    answer = client.put("/account/forwarding", json={"address": two.address})
    assert (answer.status_code, answer.get_json()) == (200, {"address": two.address, "keep_copy": True})
    client.put("/account/forwarding", json={"address": three.address.upper(), "keep_copy": False})
    assert client.get("/account/forwarding").get_json() == {"address": three.address, "keep_copy": False}
    problem(web.as_(two).get("/account/forwarding"), 404, "not_found")
    for _ in range(2):
        assert client.delete("/account/forwarding").status_code == 204
    problem(client.get("/account/forwarding"), 404, "not_found")


def test_a_rule_that_leads_nowhere_is_refused_and_the_old_one_stays(web, databases, firm):
    one, two, *_ = firm.people
    company.group(databases, f"team@{firm.domain}", [two])
    client = web.as_(one)
    client.put("/account/forwarding", json={"address": two.address})
    for nowhere in (f"nobody@{firm.domain}", f"team@{firm.domain}", one.address, "friend@elsewhere.example"):
        answer = client.put("/account/forwarding", json={"address": nowhere})
        (error,) = problem(answer, 422, "invalid")["errors"]
        assert (error["pointer"], error["code"]) == ("#/address", "forwarding_refused")
        assert nowhere in error["detail"]
    for body in ({}, {"address": "nonsense"}, {"address": two.address, "keep_copy": "yes"}, {"to": two.address}):
        problem(client.put("/account/forwarding", json=body), 422, "invalid")
    assert client.get("/account/forwarding").get_json()["address"] == two.address


def test_mail_can_be_forwarded_outside_where_there_is_a_way_out(settings, databases, firm):
    client = gateway(settings, databases, smarthost="smtp.company.example:25").as_(firm.people[0])
    assert client.put("/account/forwarding", json={"address": "friend@elsewhere.example"}).status_code == 200


def test_a_rule_is_set_shown_and_stopped_by_command(settings, firm):
    environment = {
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
    }

    def run(*arguments: str, fails: bool = False) -> str:
        result = CliRunner(env=environment).invoke(main, ["directory", "account", "forward", *arguments])
        assert (result.exit_code != 0) is fails, result.output
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.output

    one, two, *_ = (person.address for person in firm.people)
    assert run(one) == f"{one} forwards no mail.\n"
    assert run(one, two, "--no-copy") == f"{one} forwards to {two} and keeps none.\n"
    assert run(one, "friend@elsewhere.example") == f"{one} forwards to friend@elsewhere.example and keeps a copy.\n"
    assert "nobody has that address" in run(one, f"nobody@{firm.domain}", fails=True)
    assert "not both" in run(one, two, "--stop", fails=True)
    assert run(one) == f"{one} forwards to friend@elsewhere.example and keeps a copy.\n"
    assert run(one, "--stop") == f"{one} forwards no mail.\n"
