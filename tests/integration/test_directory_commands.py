"""`mailrecall directory`, as somebody types it."""

import json

import pytest
from click.testing import CliRunner, Result

from mailrecall.cli.main import main
from mailrecall.directory import audit_rules, authentication, lookup
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import HOUR, Policy
from tests import company

WORD = "a password of some length"


@pytest.fixture
def run(settings):
    """Run `mailrecall directory …` against the databases of this module."""
    environment = {
        "MAILRECALL_CONTROL_URL": settings.control_url,
        "MAILRECALL_SHARD_URLS": " ".join(settings.shard_urls),
        "MAILRECALL_BROKER_URL": settings.broker_url,
    }

    def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        result: Result = CliRunner(env=environment).invoke(main, ["directory", *arguments], input=stdin)
        assert (result.exit_code != 0) is fails, result.output
        # an error is a sentence, never a traceback
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.output

    return run


@pytest.fixture
def domain(run) -> str:
    domain = company.unique_domain("typed")
    run("organisation", "add", domain)
    run("domain", "add", domain, domain)
    return domain


def test_an_account_from_its_beginning_to_its_end(run, domain, databases):
    ada, postmaster = f"ada@{domain}", f"postmaster@{domain}"
    added = run("account", "add", ada, "--name", "Ada L", "--language", "zh", "--password-stdin", stdin=WORD + "\n")
    assert added.startswith(f"Added {ada}: mailbox ")
    run("account", "add", postmaster, "--no-password")
    run("account", "alias", ada, f"countess@{domain}")
    shown = run("show", f"countess+x@{domain}").splitlines()
    assert shown[:4] == [f"account       {ada}", "name          Ada L", "language      zh", "administrator no"]
    assert shown[5:] == [f"aliases       countess@{domain}", "member of     -"]
    assert "administrator yes" in run("show", postmaster)
    with databases.control() as connection:
        assert authentication.authenticate(connection, ada, WORD)
        assert not authentication.authenticate(connection, postmaster, "")
    run("account", "password", ada, stdin="typed twice, unseen\ntyped twice, unseen\n")
    with databases.control() as connection:
        assert authentication.authenticate(connection, ada, "typed twice, unseen")
    assert "Aborted" in run("account", "close", ada, stdin="n\n", fails=True)
    run("account", "close", ada, "--yes")
    assert f"{ada} (closed)" in run("show", ada)


def test_groups(run, domain):
    people = [f"p{number}@{domain}" for number in range(2)]
    for person in people:
        run("account", "add", person, "--no-password")
    team, everyone = f"team@{domain}", f"everyone@{domain}"
    run("group", "add", team, "--name", "The team")
    run("group", "add", everyone)
    assert run("group", "member", team, *people) == "Added: 2 of 2.\n"
    assert run("group", "member", everyone, team, people[0], "friend@elsewhere.example", team) == "Added: 3 of 4.\n"
    assert run("group", "show", everyone) == run("show", everyone)
    assert run("show", everyone).splitlines() == [
        f"group   {everyone}",
        "name    ",
        "reaches 2 accounts",
        f"  account  {people[0]}",
        "  external friend@elsewhere.example",
        f"  group    {team}",
    ]
    # all of them or none
    assert "cannot contain itself" in run("group", "member", team, "new@elsewhere.example", everyone, fails=True)
    assert "elsewhere" not in run("show", team)
    assert run("group", "member", "--remove", everyone, team, "stranger@elsewhere.example") == "Removed: 1 of 2.\n"
    assert f"member of     {everyone}, {team}" in run("show", people[0])


@pytest.mark.rule(3)
def test_r3_windows_are_set_in_seconds_hours_or_days(run, domain, databases):
    run("policy", "set", domain, "window_user=48h", "window_admin=15d", "retention=3600", "notify_author=true")
    shown = run("policy", "show", domain)
    assert shown.startswith(f"{domain}: {domain}\n")
    assert "window_user                172800 seconds (2d)\n" in shown
    assert "retention                  3600 seconds (1h)\n" in shown
    assert "notify_author              true\n" in shown
    assert "tombstone                  false  (default)\n" in shown
    with databases.control() as connection:
        owner = connection.execute("SELECT id FROM organisation WHERE name = %s", [domain]).fetchone()
        assert owner is not None
        assert lookup.policy_of(connection, owner[0]) == Policy(
            window_user=48 * HOUR, window_admin=360 * HOUR, retention=HOUR, notify_author=True
        )


@pytest.mark.parametrize(
    ("switch", "complaint"),
    [
        ("window_user=16d", "15 days is the most"),
        ("window_user=soon", "must be a whole number"),
        ("approval_above=5d", "must be a whole number"),
        ("windows=1", "There is no policy switch 'windows'"),
        ("tombstone", "is no switch with a value"),
        ("tombstone=1", "must be true or false"),
    ],
)
@pytest.mark.rule(3)
def test_r3_a_bad_switch_is_explained_and_changes_nothing(run, domain, switch, complaint):
    before = run("policy", "show", domain)
    assert complaint in run("policy", "set", domain, "notify_author=true", switch, fails=True)
    assert run("policy", "show", domain) == before


def test_loading(run, tmp_path, databases):
    domain = company.unique_domain("loaded")
    lists = {
        "organisations": [{"name": domain}],
        "domains": [{"domain": domain, "organisation": domain}],
        "accounts": [{"address": f"ada@{domain}"}, {"address": f"bob@{domain}"}],
    }
    path = tmp_path / "company.json"
    path.write_text(json.dumps(lists))
    assert run("load", str(path)) == "Added: 1 organisations, 1 domains, 2 accounts.\n"
    assert run("load", str(path)) == "Nothing to add: everything is there already.\n"
    path.write_text(json.dumps({"accounts": [{"address": f"eve@{domain}"}, {"address": "nonsense"}]}))
    told = run("load", str(path), fails=True)
    assert "Nothing was loaded" in told
    assert "company.json:1: 'nonsense' is no mail address" in told
    with databases.control() as connection:
        assert lookup.account_by_address(connection, Address.parse(f"eve@{domain}")) is None
    assert "Cannot read" in run("load", str(tmp_path / "missing.json"), fails=True)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("show", "nonsense"), "is no mail address"),
        (("show", "somebody@elsewhere.example"), "outside this platform"),
        (("show", "nobody@{domain}"), "nobody's"),
        (("organisation", "add", "{domain}"), "There is an organisation"),
        (("domain", "add", "Nobody & Sons", "x.example"), "There is no organisation 'Nobody & Sons'"),
        (("account", "add", "ada@elsewhere.example", "--no-password"), "is no domain of this platform"),
        (("account", "add", "ada@{domain}", "--password-stdin"), "8 to 1024 characters"),
        (("account", "password", "nobody@{domain}", "--password-stdin"), "There is no account"),
        (("account", "close", "nobody@{domain}", "--yes"), "There is no account"),
        (("group", "show", "nobody@{domain}"), "There is no group"),
        (("policy", "show", "Nobody & Sons"), "There is no organisation"),
    ],
)
def test_what_cannot_be_is_explained(run, domain, arguments, complaint):
    assert complaint in run(*(argument.format(domain=domain) for argument in arguments), fails=True)


def test_without_settings_it_says_where_it_looked(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("MAILRECALL_CONTROL_URL", "MAILRECALL_CONTROL_URL_FILE", "MAILRECALL_DATA"):
        monkeypatch.delenv(name, raising=False)
    result = CliRunner().invoke(main, ["directory", "show", "ada@x.example"])
    assert result.exit_code == 2
    assert str(tmp_path / ".mailrecall") in result.output


def test_the_role_of_moderator_is_given_and_taken(run, domain, databases):
    ada = f"ada@{domain}"
    run("account", "add", ada, "--no-password")
    assert run("account", "moderator", ada) == f"{ada} is a moderator now.\n"
    with databases.control() as connection:
        account = lookup.account_by_address(connection, Address.parse(ada))
        assert account is not None
        assert audit_rules.is_moderator(connection, account)
    assert "no moderator" in run("account", "moderator", ada, "--remove")
    with databases.control() as connection:
        assert not audit_rules.is_moderator(connection, account)
    assert "There is no account" in run("account", "moderator", f"nobody@{domain}", fails=True)


@pytest.mark.rule(26)
def test_r26_a_legal_hold_is_placed_listed_and_lifted(run, domain):
    ada = f"ada@{domain}"
    run("account", "add", ada, "--no-password")

    assert run("hold", "place", ada, "--reason", "case 7") == f"{ada} is held.\n"
    assert run("hold", "place", ada, "--reason", "case 8") == f"{ada} is held already.\n"
    assert run("hold", "list", domain).startswith(f"{ada}  since ")
    assert run("hold", "list", domain).endswith(": case 7\n")
    assert run("hold", "lift", ada) == f"{ada} is held no longer.\n"
    assert run("hold", "lift", ada) == f"{ada} is not held.\n"
    assert run("hold", "list", domain) == ""
    assert "There is no account" in run("hold", "place", f"nobody@{domain}", "--reason", "case 7", fails=True)
    assert "1 to 500" in run("hold", "place", ada, "--reason", " ", fails=True)
