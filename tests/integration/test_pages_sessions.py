"""Who gets into the pages, for how long, and what no other site can make a browser do there."""

import io
from datetime import timedelta

import pytest

from mailrecall import clock
from mailrecall.directory import accounts, sessions
from mailrecall.directory.sessions import Life
from mailrecall.domain.addresses import Address
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, example_path, gateway

LIFE = Life(idle=timedelta(hours=1), longest=timedelta(days=1))


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.fixture(scope="module")
def firm(databases: Databases) -> Company:
    return companies.found(databases)


@pytest.fixture
def visitor(web: Gateway) -> Visitor:
    return Visitor(web.app)


@pytest.fixture
def person(web: Gateway, firm: Company) -> Visitor:
    visitor = Visitor(web.app)
    assert visitor.sign_in(firm.people[0].address).status_code == 303
    return visitor


def test_who_is_not_signed_in_signs_in_first_and_comes_back(visitor: Visitor, firm: Company):
    answer = visitor.get("/settings")
    assert answer.status_code == 303
    assert answer.location == "/sign-in?next=/settings"
    answer = visitor.sign_in(firm.people[0].address, next="/settings")
    assert (answer.status_code, answer.location) == (303, "/settings")
    assert visitor.get("/settings").status_code == 200


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example", "/a b", "/\n/x", "x"])
def test_signing_in_leads_to_no_other_site(visitor: Visitor, firm: Company, target: str):
    assert visitor.sign_in(firm.people[0].address, next=target).location == "/mail/inbox"


@pytest.mark.parametrize(
    ("address", "password"), [("nobody@nowhere.example", companies.PASSWORD), ("", ""), (None, "x")]
)
def test_a_wrong_password_says_no_more_than_that(visitor: Visitor, firm: Company, address: str | None, password: str):
    answer = visitor.sign_in(firm.people[0].address if address is None else address, password)
    assert answer.status_code == 401
    assert "do not belong together" in answer.get_data(as_text=True)
    assert visitor.get("/settings").status_code == 303


def test_the_cookie_of_a_session_is_for_this_site_and_no_script(visitor: Visitor, firm: Company):
    (cookie,) = [c for c in visitor.sign_in(firm.people[0].address).headers.getlist("Set-Cookie") if "session" in c]
    assert cookie.startswith("mailrecall_session=")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert "Secure" not in cookie


def test_behind_tls_the_cookie_never_travels_without_it(settings: Settings, databases: Databases, firm: Company):
    visitor = Visitor(gateway(settings, databases, public_url="https://mail.example").app, https=True)
    (cookie,) = [c for c in visitor.sign_in(firm.people[0].address).headers.getlist("Set-Cookie") if "session" in c]
    assert cookie.startswith("__Host-mailrecall_session=")
    assert "Secure" in cookie.split("; ")
    assert visitor.get("/settings").status_code == 200


def test_signing_out_ends_the_session(person: Visitor):
    cookie = person.client.get_cookie("mailrecall_session")
    assert cookie is not None
    assert person.submit("/sign-out").location == "/sign-in"
    assert person.get("/settings").status_code == 303
    person.client.set_cookie(cookie.key, cookie.value)
    assert person.get("/settings").status_code == 303


def test_signing_out_everywhere_ends_the_others_too(web: Gateway, firm: Company, person: Visitor):
    other, stranger = Visitor(web.app), Visitor(web.app)
    other.sign_in(firm.people[0].address)
    stranger.sign_in(firm.people[1].address)
    person.submit("/sign-out", {"everywhere": "1"})
    assert other.get("/settings").status_code == 303
    assert stranger.get("/settings").status_code == 200


def test_a_new_password_and_a_closed_account_end_sessions(web: Gateway, databases: Databases, firm: Company):
    for number, change in enumerate(("password", "closed")):
        somebody = companies.hire(databases, f"leaving{number}@{firm.domain}")
        visitor = Visitor(web.app)
        visitor.sign_in(somebody.address)
        assert visitor.get("/settings").status_code == 200
        if change == "password":
            with databases.control() as control:
                accounts.set_password(control, Address.parse(somebody.address), "a new one, long enough")
        else:
            accounts.close_account(databases, Address.parse(somebody.address), now=clock.now())
        assert visitor.get("/settings").status_code == 303


def test_sessions_end_when_unused_and_in_any_case(databases: Databases, firm: Company):
    began = clock.now()
    with databases.control() as control:
        secret = sessions.begin(control, firm.people[0].id, LIFE, now=began)
        used = began
        for _ in range(25):
            used += timedelta(minutes=57)
            if used - began < LIFE.longest:
                assert sessions.find(control, secret, LIFE, now=used) is not None
        assert sessions.find(control, secret, LIFE, now=began + LIFE.longest) is None
        idle = sessions.begin(control, firm.people[0].id, LIFE, now=began)
        assert sessions.find(control, idle, LIFE, now=began + LIFE.idle) is None
        assert sessions.find(control, "x", LIFE, now=began) is None


def test_without_the_token_nothing_changes(person: Visitor):
    for form in ({}, {"csrf_token": "0" * 64}, {"csrf_token": "é"}):
        assert person.post("/sign-out", form).status_code == 403
    assert person.get("/settings").status_code == 200
    assert person.post("/sign-out", headers={"X-CSRF-Token": person.token()}).status_code == 303


def test_signing_in_needs_a_token_too(visitor: Visitor, firm: Company):
    assert (
        visitor.post("/sign-in", {"address": firm.people[0].address, "password": companies.PASSWORD}).status_code == 403
    )


@pytest.mark.parametrize(
    ("path", "status"),
    [("/sign-in", 413), ("/language", 413), ("/compose/save", 303)],
    ids=["sign-in", "language", "compose"],
)
@pytest.mark.parametrize("kind", ["multipart/form-data; boundary=b", "application/x-www-form-urlencoded"])
def test_who_is_not_signed_in_sends_little(visitor: Visitor, path: str, status: int, kind: str):
    body = io.BytesIO(b"x" * 70_000)
    answer = visitor.client.post(path, input_stream=body, content_type=kind, headers={"Accept": "text/html"})
    assert answer.status_code == status
    # nothing of it was read
    assert body.tell() == 0


def test_who_is_signed_in_may_send_more(person: Visitor):
    form = {"files": (io.BytesIO(b"x" * 200_000), "large.txt"), "subject": "Large"}
    assert person.submit("/compose/save", form).status_code == 303


def test_a_token_is_good_for_one_session_only(web: Gateway, firm: Company, person: Visitor):
    other = Visitor(web.app)
    other.sign_in(firm.people[1].address)
    assert person.post("/sign-out", {"csrf_token": other.token()}).status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_another_site_cannot_send_forms_here(person: Visitor, site: str):
    assert person.submit("/sign-out", headers={"Sec-Fetch-Site": site}).status_code == 403


def test_a_part_of_a_page_that_needs_signing_in_sends_the_whole_page_there(visitor: Visitor):
    shown = {"HX-Request": "true", "HX-Current-URL": "http://localhost/mail/sent"}
    answer = visitor.get("/mail/inbox", headers=shown)
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"] == "/sign-in?next=/mail/sent"


def test_a_form_of_a_session_that_is_over_leads_to_signing_in(person: Visitor):
    form = {"csrf_token": person.token(), "text": "Too late"}
    person.client.delete_cookie("mailrecall_session")
    answer = person.post("/compose/save", form)
    assert (answer.status_code, answer.location) == (303, "/sign-in")
    answer = person.post("/compose/save", form, headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert answer.headers["HX-Redirect"].startswith("/sign-in")


def test_pages_let_nothing_run_that_is_not_ours(visitor: Visitor):
    policy = visitor.get("/sign-in").headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "style-src 'self';" in policy
    assert "unsafe" not in policy


def test_the_language_is_the_browsers_and_can_be_changed(visitor: Visitor, firm: Company):
    visitor.language = "zh-CN,zh;q=0.9,en;q=0.5"
    assert 'lang="zh-Hans"' in visitor.get("/sign-in").get_data(as_text=True)
    visitor.language = "fr,en;q=0.8"
    assert 'lang="en"' in visitor.get("/sign-in").get_data(as_text=True)
    assert visitor.submit("/language", {"language": "zh", "next": "/help"}).location == "/help"
    assert 'lang="zh-Hans"' in visitor.get("/help").get_data(as_text=True)


def test_a_language_chosen_signed_in_holds_in_another_browser(web: Gateway, databases: Databases, firm: Company):
    somebody = companies.hire(databases, f"reader@{firm.domain}")
    here, there = Visitor(web.app), Visitor(web.app)
    here.sign_in(somebody.address)
    here.submit("/settings", {"language": "zh", "time_zone": "Asia/Shanghai", "delay": "20"})
    there.sign_in(somebody.address)
    shown = there.get("/settings").get_data(as_text=True)
    assert 'lang="zh-Hans"' in shown
    assert "<option selected>Asia/Shanghai" in shown
    assert 'value="20" selected' in shown


def test_settings_that_do_not_exist_change_nothing(person: Visitor):
    before = person.get("/settings").get_data(as_text=True)
    person.submit("/settings", {"language": "xx", "time_zone": "../etc/passwd", "delay": "61", "theme": "pink"})
    person.get("/settings")  # tells that they are saved
    assert person.get("/settings").get_data(as_text=True) == before


@pytest.mark.parametrize(
    ("path", "accept", "mimetype"),
    [
        ("/nothing", "text/html", "text/html"),
        ("/mail/nothing", "text/html", "text/html"),
        ("/nothing", "application/json", "application/problem+json"),
        ("/api/v1/nothing", "text/html", "application/problem+json"),
    ],
)
def test_an_address_that_leads_nowhere_answers_in_the_askers_form(
    person: Visitor, path: str, accept: str, mimetype: str
):
    answer = person.get(path, headers={"Accept": accept})
    assert (answer.status_code, answer.mimetype) == (404, mimetype)


def test_assets_are_kept_for_good_under_their_versions_address_only(visitor: Visitor):
    page = visitor.get("/sign-in").get_data(as_text=True)
    address = page.partition('rel="stylesheet" href="')[2].partition('"')[0]
    answer = visitor.get(address)
    assert answer.status_code == 200
    assert "immutable" in answer.headers["Cache-Control"]
    assert visitor.get("/static/0/tokens.css").headers["Cache-Control"] == "no-cache"
    for path in ("/static/0/../app.py", "/static/0/vendor/README.md", "/static/0/%2e%2e/sessions.py"):
        assert visitor.get(path).status_code == 404


def test_every_page_but_a_few_asks_who_is_there(web: Gateway, visitor: Visitor):
    """Made from the routes themselves, so that a new one cannot be forgotten."""
    open_to_all = {"/", "/sign-in", "/sign-in/provider", "/sign-in/provider/back", "/sign-out", "/language", "/help"}
    asked = 0
    for rule in web.app.url_map.iter_rules():
        if not rule.endpoint.startswith("pages.") or rule.rule in open_to_all:
            continue
        path = example_path(web.app, rule)
        for method in (rule.methods or set()) & {"GET", "POST"}:
            for answer in [visitor.get(path)] if method == "GET" else [visitor.submit(path), visitor.post(path)]:
                assert answer.status_code == 303, (method, path)
                assert answer.location.startswith("/sign-in"), (method, path)
                asked += 1
    assert asked >= 3


def test_what_no_page_tells_does_not_pile_up(databases: Databases, firm: Company):
    now = clock.now()
    with databases.control() as control:
        secret = sessions.begin(control, firm.people[0].id, LIFE, now=now)
        for number in range(sessions.MOST_NOTICES + 5):
            sessions.add_notice(control, secret, sessions.Notice("done", str(number)))
        found = sessions.find(control, secret, LIFE, now=now)
    assert found is not None
    assert [notice.text for notice in found.notices] == [str(number) for number in range(5, sessions.MOST_NOTICES + 5)]
