"""The client and its commands, on the public API alone."""

import json
from collections.abc import Iterator

import click
import httpx
import pytest
from click.testing import CliRunner, Result

from mailrecall.cli.main import main
from mailrecall.client import Client, ProblemError, UnreachableError, client
from mailrecall.client.models import Recall
from services.gateway.watching import WATCH
from tests import company
from tests.gateway import Gateway, gateway

URL = "http://gateway.example"


@pytest.fixture(scope="module")
def web(settings, databases) -> Iterator[Gateway]:
    web = gateway(settings, databases)
    yield web
    web.app.extensions[WATCH].stop()


@pytest.fixture(scope="module")
def firm(databases):
    return company.found(databases)


def token_of(web: Gateway, account) -> str:
    return web.as_(account).headers["Authorization"].removeprefix("Bearer ")


@pytest.fixture
def mail(web, firm) -> Iterator[Client]:
    transport = httpx.WSGITransport(web.app)
    with Client(URL, token_of(web, firm.people[0]), transport=transport) as mail:
        yield mail


@pytest.fixture
def run(web, firm, monkeypatch):
    """Type a command, with the token in the environment."""
    transport = httpx.WSGITransport(web.app)
    http = httpx.Client
    monkeypatch.setattr(httpx, "Client", lambda **named: http(**{**named, "transport": transport}))
    monkeypatch.setenv("MAILRECALL_API_URL", URL + "/")
    monkeypatch.setenv("MAILRECALL_API_TOKEN", token_of(web, firm.people[0]))

    def typed(*words: str, stdin: str = "") -> Result:
        return CliRunner().invoke(main, words, input=stdin)

    return typed


def printed(result: Result) -> str:
    """The last line: the gateway runs in this process and logs."""
    return result.stdout.strip().splitlines()[-1]


def send(web: Gateway, firm, *recipients) -> int:
    content = {"to": [person.address for person in recipients], "subject": "Figures"}
    sent: int = web.as_(firm.people[0]).post("/messages", json=content).get_json()["id"]
    web.deliver()
    return sent


@pytest.mark.rule(12, 25)
def test_r12_r25_preview_recall_watch_and_list(web, firm, mail):
    message_id = send(web, firm, *firm.people[1:3])
    foreseen = mail.preview(message_id)
    assert (foreseen.recallable, foreseen.recipients) == (2, 2)
    asked = mail.recall(message_id, "wrong figures")
    assert asked.state == "accepted"
    assert mail.recall(message_id, "again").id == asked.id
    web.deliver()
    *_, last = mail.watch(asked.id)
    assert (last.settled, last.result, last.outcomes) == (True, "succeeded", {"recalled": 2})
    assert mail.show(asked.id) == last
    assert next(mail.recalls()).id == asked.id


def test_where_no_live_view_can_be_had_the_client_polls(settings, databases, firm, monkeypatch):
    web = gateway(settings, databases, gateway_streams=0)
    monkeypatch.setattr(client, "_POLL", 0.01)
    with Client(URL, token_of(web, firm.people[0]), transport=httpx.WSGITransport(web.app)) as mail:
        asked = mail.recall(send(web, firm, firm.people[1]), "wrong")
        seen = mail.watch(asked.id)
        assert next(seen).state == "accepted"
        web.deliver()
        assert [*seen][-1].settled


def test_a_refusal_has_its_code_and_silence_is_told(mail, web, monkeypatch):
    with pytest.raises(ProblemError) as refused:
        mail.recall(2**40, "wrong")
    assert refused.value.code == "not_found"

    monkeypatch.setattr(client, "sleep", lambda _: None)
    attempts = []

    def silent(request):
        attempts.append(request.headers.get("Idempotency-Key"))
        raise httpx.ConnectError("refused")

    with Client(URL, "mr_x", transport=httpx.MockTransport(silent)) as lost, pytest.raises(UnreachableError):
        lost.recall(2, "wrong")
    # the same request each time
    assert len(attempts) == 4
    assert len(set(attempts)) == 1

    other = httpx.MockTransport(lambda _: httpx.Response(200, text="<html>"))
    with Client(URL, "mr_x", transport=other) as elsewhere, pytest.raises(UnreachableError):
        elsewhere.show("x")


def test_what_is_asked_to_wait_is_asked_again(monkeypatch):
    waits: list[float] = []
    monkeypatch.setattr(client, "sleep", waits.append)
    answers = iter(
        [
            httpx.Response(503, headers={"Retry-After": "5"}, json={"code": "unavailable"}),
            httpx.Response(200, json={"recalls": [], "next_cursor": None}),
        ]
    )
    with Client(URL, "mr_x", transport=httpx.MockTransport(lambda _: next(answers))) as mail:
        assert list(mail.recalls()) == []
    assert waits == [5.0]


@pytest.mark.rule(22)
@pytest.mark.parametrize("status", [502, 503, 504])
def test_r22_who_watches_waits_for_a_gateway_that_is_away_for_a_moment(web, firm, mail, monkeypatch, status: int):
    """A proxy in front answers with pages of its own, to the live view and to the looks after it."""
    asked = mail.recall(send(web, firm, firm.people[1]), "wrong")
    web.deliver()
    waits: list[float] = []
    monkeypatch.setattr(client, "sleep", waits.append)
    gateway = httpx.WSGITransport(web.app)

    def away_for(times: int) -> Iterator[Recall]:
        pages = iter([httpx.Response(status, html="<h1>Bad gateway</h1>") for _ in range(times)])

        def answer(request: httpx.Request) -> httpx.Response:
            return next(pages, None) or gateway.handle_request(request)

        with Client(URL, token_of(web, firm.people[0]), transport=httpx.MockTransport(answer)) as watching:
            yield from watching.watch(asked.id)

    assert [*away_for(2)][-1].settled
    assert len(waits) == 2
    # longer than the live view is asked for: it looks then, and tries that again as well
    assert [*away_for(6)][-1].settled
    with pytest.raises(UnreachableError):
        [*away_for(100)]


def test_the_commands(web, firm, run):
    message_id = send(web, firm, *firm.people[1:3])
    assert "2 of 2 copies would go" in run("preview", str(message_id)).output
    asked = run("recall", str(message_id), "--reason", "wrong figures", "--no-watch", "--json")
    assert asked.exit_code == 0, asked.output
    recall_id = json.loads(printed(asked))["id"]
    web.deliver()
    watched = run("watch", recall_id)
    assert watched.exit_code == 0, watched.output
    assert "succeeded, 2 of 2 recipients" in watched.output
    assert "recalled: 2" in watched.output
    assert json.loads(printed(run("recalls", "--json", "--limit", "1")))[0]["id"] == recall_id
    assert run("recalls").exit_code == 0


def test_copies_that_stay_show_in_the_exit_code(web, firm, run):
    message_id = send(web, firm, firm.people[1])
    copy = web.as_(firm.people[1]).get("/folders/inbox/messages").get_json()["messages"][0]["id"]
    web.as_(firm.people[1]).get(f"/messages/{copy}")
    asked = json.loads(printed(run("recall", str(message_id), "--reason", "x", "--no-watch", "--json")))
    web.deliver()
    assert run("watch", asked["id"], "--json").exit_code == 3


def test_tokens_are_made_listed_and_revoked(web, firm, run, monkeypatch, tmp_path):
    words = ("token", "create", "export", "--scope", "admin", "--address", firm.people[0].address)
    made = run(*words, "--password-stdin", stdin=company.PASSWORD + "\n")
    assert made.exit_code == 0, made.output
    secret = printed(made)
    assert secret.startswith("mr_")
    monkeypatch.delenv("MAILRECALL_API_TOKEN")
    (tmp_path / "token").write_text(secret + "\n")
    signed_in = ("--token-file", str(tmp_path / "token"))
    (listed,) = json.loads(printed(run("token", "list", "--json", *signed_in)))
    assert listed["name"] == "export"
    assert secret not in str(listed)
    assert run("token", "revoke", str(listed["id"]), *signed_in).exit_code == 0
    ended = run("token", "list", *signed_in)
    assert ended.exit_code == 2
    assert "expired" in ended.output


def test_without_a_token_the_command_says_what_to_do(run, monkeypatch):
    monkeypatch.delenv("MAILRECALL_API_TOKEN")
    asked = run("recalls")
    assert asked.exit_code == 2
    assert "mailrecall token create" in asked.output


def test_no_command_takes_a_secret_in_clear():
    def options(command: click.Command) -> Iterator[str]:
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found
                yield from options(found)
        yield from (option for parameter in command.params for option in parameter.opts)

    assert not {"--token", "--password"} & set(options(main))
