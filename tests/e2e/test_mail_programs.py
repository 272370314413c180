"""Numbered scenarios with real mail programs: POP3 clients that fetch, and programs that send."""

import os
import poplib
import re
import shutil
import ssl

import pytest

from mailrecall.demo.client import wait_for
from tests import company
from tests.company import PASSWORD
from tests.e2e.people import PDF, receive, settled
from tests.e2e.programs import needs, private, run, succeed
from tests.servers import new_folder

ORDINARY = 65534
"""An unprivileged user that exists on every Linux."""

TEXT = "Hello\n.a line with a dot\n..and one with two\n"


@pytest.fixture
def firm(stack):
    return company.found(stack.databases, people=4)


@pytest.fixture
def sent(firm, webmail):
    """Send a message from the first of the firm to all others; returns how it is recalled."""
    author = webmail(firm.people[0])
    others = firm.people[1:]
    copy_id = author.send([person.address for person in others], cc=[], subject="Plans", text=TEXT, attachment=PDF)
    for person in others:
        receive(webmail(person), "Plans")

    def recall():
        view = settled(author, author.recall(copy_id, "The wrong plans")["id"])
        return view["outcomes"]

    return recall


@pytest.fixture
def plain_home(tmp_path_factory):
    """A home, and what runs a program there as an ordinary user: some refuse to be root's."""
    if os.geteuid() != 0:
        yield tmp_path_factory.mktemp("home"), ()
        return
    home = new_folder("mail-program")
    home.mkdir(mode=0o700)
    os.chown(home, ORDINARY, ORDINARY)
    yield home, ("setpriv", f"--reuid={ORDINARY}", f"--regid={ORDINARY}", "--clear-groups")
    shutil.rmtree(home)


def source_of(webmail, person):
    """What is to arrive: the message as webmail shows its source."""
    reader = webmail(person)
    return reader.source(receive(reader, "Plans"))


@pytest.mark.rule(7)
def test_r7_01_a_library_fetches_looks_and_deletes(stack, firm, sent):
    _, fetcher, looker, deleter = firm.people
    host, port = stack.pop3

    def session(who):
        mailbox = poplib.POP3("localhost", port)
        mailbox.stls(context=ssl.create_default_context(cafile=stack.settings.tls_certificate))
        mailbox.user(who.address)
        mailbox.pass_(PASSWORD)
        return mailbox

    assert host == "127.0.0.1"
    mailbox = session(fetcher)
    mailbox.retr(1)
    mailbox.quit()
    mailbox = session(looker)
    assert (mailbox.stat()[0], len(mailbox.list()[1]), len(mailbox.uidl()[1])) == (1, 1, 1)
    assert b"Subject: Plans" in mailbox.top(1, 0)[1]
    mailbox.quit()
    mailbox = session(deleter)
    mailbox.dele(1)
    mailbox.quit()

    assert sent() == {"fetched_by_pop3": 1, "recalled": 1, "gone": 1}


@needs("fetchmail")
@pytest.mark.rule(7)
def test_r7_02_fetchmail_keeps_mail_on_the_server(stack, firm, sent, webmail, tmp_path):
    reader = firm.people[1]
    fetched = tmp_path / "fetched"
    settings = private(
        tmp_path / "fetchmailrc",
        f"""
        set no bouncemail
        set invisible
        poll localhost service {stack.pop3[1]} protocol pop3 uidl no dns
          user "{reader.address}" password "{PASSWORD}"
          sslproto "tls1.2+" sslcertck sslcertfile "{stack.settings.tls_certificate}"
          keep no rewrite stripcr
          mda "cat >> {fetched}"
        """,
    )
    command = ("fetchmail", "--fetchmailrc", settings, "--idfile", tmp_path / "ids", "--pidfile", tmp_path / "pid")
    environment = {"FETCHMAILHOME": str(tmp_path)}

    succeed(*command, "--nodetach", "--nosyslog", "-v", home=tmp_path, environment=environment)
    first = fetched.read_bytes()
    again = run(*command, "--nodetach", "--nosyslog", home=tmp_path, environment=environment)

    assert again.returncode == 1, "there is no new mail"
    assert fetched.read_bytes() == first
    assert first.replace(b"\r\n", b"\n") == source_of(webmail, firm.people[2]).replace(b"\r\n", b"\n")
    outcomes = sent()
    assert outcomes["fetched_by_pop3"] == 1
    assert outcomes["recalled"] == 1


@needs("getmail", "getmail6")
@pytest.mark.rule(7)
def test_r7_03_getmail_takes_mail_away(stack, firm, sent, webmail, plain_home):
    reader = firm.people[1]
    home, launcher = plain_home
    maildir = home / "Mail"
    succeed(*launcher, "mkdir", maildir, *(maildir / folder for folder in ("cur", "new", "tmp")), home=home)
    settings = private(
        home / "getmailrc",
        f"""[retriever]
type = SimplePOP3Retriever
server = {stack.pop3[0]}
port = {stack.pop3[1]}
username = {reader.address}
password = {PASSWORD}

[destination]
type = Maildir
path = {maildir}/

[options]
delete = true
delivered_to = false
received = false
""",
    )
    os.chown(settings, home.stat().st_uid, home.stat().st_gid)

    succeed(*launcher, "getmail", "--getmaildir", home, "--rcfile", settings, home=home)

    (arrived,) = (maildir / "new").iterdir()
    return_path, *lines = arrived.read_bytes().splitlines()
    assert return_path == b"Return-Path: <unknown>"
    assert lines == source_of(webmail, firm.people[2]).splitlines()
    assert webmail(reader).find("Plans") is None
    outcomes = sent()
    assert outcomes["fetched_by_pop3"] == 1, "it was fetched before it was deleted"
    assert outcomes["recalled"] == 1


@needs("curl")
@pytest.mark.rule(7)
def test_r7_04_curl_lists_looks_and_fetches(stack, firm, sent, webmail, tmp_path):
    _, fetcher, looker, _ = firm.people

    def curl(who, path, *options):
        login = private(tmp_path / "login", f'user = "{who.address}:{PASSWORD}"\n')
        url = f"pop3://localhost:{stack.pop3[1]}/{path}"
        common = (
            "--silent",
            "--show-error",
            "--ssl-reqd",
            "--cacert",
            stack.settings.tls_certificate,
            "--config",
            login,
        )
        return succeed("curl", *common, url, *options, home=tmp_path)

    assert re.fullmatch(rb"1 \d+\r\n", curl(looker, ""))
    assert re.fullmatch(rb"1 \d+\r\n", curl(looker, "", "--request", "UIDL"))
    assert b"Subject: Plans" in curl(looker, "", "--request", "TOP 1 0")
    arrived = curl(fetcher, "1")

    assert arrived == source_of(webmail, firm.people[3])
    outcomes = sent()
    assert outcomes["fetched_by_pop3"] == 1
    assert outcomes["recalled"] == 1


@needs("curl")
def test_05_curl_is_told_that_a_password_is_wrong(stack, firm, tmp_path):
    login = private(tmp_path / "login", f'user = "{firm.people[0].address}:wrong"\n')
    done = run("curl", "--silent", "--config", login, f"pop3://localhost:{stack.pop3[1]}/", home=tmp_path)
    assert done.returncode == 67, "login denied"


@needs("swaks")
@pytest.mark.rule(6)
def test_r6_06_swaks_submits_encrypted(stack, firm, webmail, tmp_path):
    sender, recipient, *_ = firm.people
    printed = succeed(
        *("swaks", "--server", "localhost", "--port", str(stack.smtp[1]), "--tls", "--tls-verify"),
        *("--tls-ca-path", stack.settings.tls_certificate, "--auth", "PLAIN", "--auth-user", sender.address),
        *("--auth-password", PASSWORD, "--from", sender.address, "--to", recipient.address),
        *("--header", "Subject: By swaks", "--body", ".a dot first"),
        home=tmp_path,
    )

    assert b"TLS started" in printed
    assert b"250 2.0.0 Accepted as" in printed
    reader = webmail(recipient)
    assert reader.read(receive(reader, "By swaks"))["text"].strip() == ".a dot first"
    author = webmail(sender)
    own = wait_for("The Sent copy", lambda: author.find("By swaks", "sent"))
    assert author.try_to("POST", "/recalls", json={"message_id": own, "reason": "x"}).json()["code"] == (
        "not_sent_from_webmail"
    )


@needs("swaks")
def test_07_swaks_hands_over_by_lmtp(stack, firm, webmail, tmp_path):
    first, second, *_ = firm.people
    printed = succeed(
        *("swaks", "--protocol", "LMTP", "--server", stack.lmtp[0], "--port", str(stack.lmtp[1])),
        *("--from", "stranger@elsewhere.example", "--to", f"{first.address},{second.address}"),
        *("--header", "Subject: From outside"),
        home=tmp_path,
    )
    assert printed.count(b"250 2.0.0 Accepted as") == 2, "one reply for each recipient"
    for person in (first, second):
        receive(webmail(person), "From outside")
