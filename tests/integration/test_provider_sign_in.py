"""Signing in at an OpenID provider: a real one over HTTP, well-behaved or not."""

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
import structlog
from joserfc import jwt
from joserfc.jwk import OctKey

from mailrecall import clock
from mailrecall.directory import accounts, provider_sign_ins
from mailrecall.domain.addresses import Address
from mailrecall.embedded.ports import free_ports
from services.gateway import provider as gateways_provider
from tests import company as companies
from tests import provider as providers
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import Gateway, gateway
from tests.provider import Provider
from tests.provider_visits import AWAY, SESSION, elsewhere, go, refused

COOKIE = "mailrecall_provider"

UNKNOWN = {"en": "no mailbox here that you can open", "zh": "没有您可以用此方式打开的邮箱"}
STALE = {"en": "took too long", "zh": "已过期"}
UNTRUSTED = {"en": "could not be confirmed", "zh": "无法核实"}
DENIED = {"en": "have not been signed in", "zh": "尚未登录"}


@pytest.fixture
def firm(databases) -> Company:
    return companies.found(databases, people=2)


@pytest.fixture
def provider(firm) -> Iterator[Provider]:
    with providers.running(Provider(email=firm.people[0].address)) as running:
        yield running


@pytest.fixture
def web(settings, databases, provider) -> Gateway:
    return gateway(settings, databases, **provider.settings)


@pytest.fixture
def visitor(web) -> Visitor:
    return Visitor(web.app)


def refused_in_both(visitor: Visitor, status: int, words: dict[str, str]) -> None:
    for language, text in words.items():
        visitor.language = language
        refused(visitor.get(go(visitor)), status, text)
        assert visitor.get("/settings").status_code == 303


def test_whoever_the_provider_vouches_for_is_signed_in_as_after_a_password(visitor, provider, firm, web):
    visitor.get("/mail/sent")
    button = visitor.get("/sign-in?next=/mail/sent").get_data(as_text=True)
    assert 'href="/sign-in/provider?next=/mail/sent"' in button
    assert "Sign in with your organisation" in button
    with structlog.testing.capture_logs() as lines:
        answer = visitor.get(go(visitor, "/sign-in/provider?next=/mail/sent"))
    assert (answer.status_code, answer.location) == (303, "/mail/sent")
    assert {"event": "pages.signed_in", "log_level": "info", "by": "provider"} in lines
    assert firm.domain not in str(lines)
    page = visitor.get("/settings")
    assert firm.people[0].address in page.get_data(as_text=True)

    (cookie,) = [c for c in answer.headers.getlist("Set-Cookie") if c.startswith(SESSION)]
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert visitor.client.get_cookie(COOKIE) is None
    # forms go on to need their token, and the policy lets no more through than before
    assert visitor.post("/sign-out").status_code == 403
    assert page.headers["Content-Security-Policy"] == visitor.get("/help").headers["Content-Security-Policy"]
    assert "form-action 'self'" in page.headers["Content-Security-Policy"]

    (asked,) = provider.asked
    assert asked["response_type"] == "code"
    assert asked["scope"] == "openid email"
    assert asked["code_challenge_method"] == "S256"
    assert asked["redirect_uri"] == "http://localhost:8080/sign-in/provider/back"
    assert len({asked["state"], asked["nonce"], asked["code_challenge"]}) == 3


def test_signing_out_ends_the_session_and_has_the_provider_ask_again(visitor, provider):
    visitor.get(go(visitor))
    session = visitor.client.get_cookie(SESSION)
    assert session is not None
    assert visitor.submit("/sign-out").location == "/sign-in"
    visitor.client.set_cookie(session.key, session.value)
    assert visitor.get("/settings").status_code == 303
    visitor.get(go(visitor))
    assert [asked.get("prompt") for asked in provider.asked] == [None, "login"]
    assert visitor.get("/settings").status_code == 200
    visitor.submit("/sign-out")
    # once somebody has signed in, all is as at the beginning
    visitor.get(go(visitor))
    visitor.get(go(visitor))
    assert provider.asked[-1].get("prompt") is None


def test_a_session_that_was_there_before_ends(visitor, provider, firm):
    visitor.sign_in(firm.people[1].address)
    before = visitor.client.get_cookie(SESSION)
    assert before is not None
    visitor.get(go(visitor))
    after = visitor.client.get_cookie(SESSION)
    assert after is not None
    assert after.value != before.value
    assert firm.people[0].address in visitor.get("/settings").get_data(as_text=True)
    visitor.client.set_cookie(before.key, before.value)
    assert visitor.get("/settings").status_code == 303


def test_behind_tls_the_cookies_never_travel_without_it(settings, databases, provider):
    web = gateway(settings, databases, public_url="https://mail.example", **provider.settings)
    visitor = Visitor(web.app, https=True)
    began = visitor.get("/sign-in/provider")
    (cookie,) = [c for c in began.headers.getlist("Set-Cookie") if COOKIE in c]
    assert cookie.startswith("__Host-")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(cookie.split("; "))
    assert visitor.get(elsewhere(began.location)).location == "/mail/inbox"
    assert visitor.client.get_cookie("__Host-" + SESSION) is not None


def test_an_alias_signs_in_and_case_does_not_matter(visitor, provider, databases, firm):
    somebody = companies.hire(databases, f"chen@{firm.domain}", aliases=[f"c.chen@{firm.domain}"])
    provider.email = f"C.Chen@{firm.domain.upper()}"
    visitor.get(go(visitor))
    assert somebody.address in visitor.get("/settings").get_data(as_text=True)


def test_an_address_from_the_user_info_counts_if_it_is_of_the_same_person(visitor, provider):
    provider.in_user_info = True
    assert visitor.get(go(visitor)).location == "/mail/inbox"
    visitor.submit("/sign-out")
    provider.claims = {"sub_elsewhere": "18"}
    refused_in_both(visitor, 403, UNTRUSTED)


def test_a_provider_that_wants_the_secret_in_the_body_gets_it_there(visitor, provider):
    provider.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
    assert visitor.get(go(visitor)).location == "/mail/inbox"


@pytest.mark.parametrize("case", ["unknown", "closed", "unverified", "verified in words", "no address", "not one"])
def test_who_has_no_open_account_here_gets_one_and_the_same_page(visitor, provider, databases, firm, case):
    match case:
        case "unknown":
            provider.email = f"nobody@{firm.domain}"
        case "closed":
            accounts.close_account(databases, Address.parse(str(provider.email)), now=clock.now())
        case "unverified":
            provider.verified = False
        case "verified in words":
            provider.verified = "true"
        case "no address":
            provider.email = None
        case "not one":
            provider.email = ["a"]
    with databases.control() as control:
        before = control.execute("SELECT count(*) FROM account").fetchone()
    with structlog.testing.capture_logs() as lines:
        refused_in_both(visitor, 403, UNKNOWN)
    told = [line for line in lines if line["event"] == "pages.provider_sign_in_refused"]
    assert [line["reason"] for line in told] == ["unknown", "unknown"]
    assert firm.domain not in str(lines)
    with databases.control() as control:
        assert control.execute("SELECT count(*) FROM account").fetchone() == before


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "somebody else"},
        {"aud": ["mail recall", "another"], "azp": "another"},
        {"iss": "https://elsewhere.example"},
        {"nonce": "another"},
        {"nonce": None},
        {"exp": 1_000_000_000},
        {"exp": "soon"},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"at_hash": "AAAA"},
    ],
    ids=str,
)
def test_an_id_token_that_says_what_it_should_not_signs_nobody_in(visitor, provider, claims):
    provider.claims = claims
    refused_in_both(visitor, 403, UNTRUSTED)


@pytest.mark.parametrize("case", ["another key", "none", "a shared secret", "no token", "another issuer's answer"])
def test_an_answer_that_the_provider_did_not_sign_signs_nobody_in(visitor, provider, case, monkeypatch):
    match case:
        case "another key":
            provider.signing = providers.new_key()
        case "none":
            provider.algorithm = "none"
        case "a shared secret":
            secret = OctKey.import_key(providers.CLIENT_SECRET.encode())
            forged = jwt.encode({"alg": "HS256"}, {"sub": "17"}, secret, algorithms=["HS256"])
            monkeypatch.setattr(provider, "id_token", lambda _nonce: forged)
        case "no token":
            monkeypatch.setattr(provider, "id_token", lambda _nonce: None)
        case "another issuer's answer":
            provider.answers_as = "https://elsewhere.example"
    refused_in_both(visitor, 403, UNTRUSTED)


def test_new_keys_of_the_providers_are_noticed_at_once(visitor, provider):
    visitor.get(go(visitor))
    visitor.submit("/sign-out")
    provider.key = providers.new_key()
    assert visitor.get(go(visitor)).location == "/mail/inbox"


def test_what_the_provider_says_of_itself_is_fetched_once(visitor, provider):
    for _ in range(3):
        visitor.get(go(visitor))
    assert provider.fetched == ["/.well-known/openid-configuration", "/keys"]


def test_an_answer_is_good_once_and_in_its_own_browser_only(visitor, web, provider, databases):
    back = go(visitor)
    for language, words in STALE.items():
        stranger = Visitor(web.app, language=language)
        refused(stranger.get(back), 400, words)
        stranger.client.set_cookie(COOKIE, "x" * 43)
        refused(stranger.get(back), 400, words)
    cookie = visitor.client.get_cookie(COOKIE)
    assert cookie is not None
    assert visitor.get(back).status_code == 303
    # the same answer again, with the cookie that belonged to it: state, code and nonce are used up
    again = Visitor(web.app)
    again.client.set_cookie(COOKIE, cookie.value)
    refused(again.get(back), 400, STALE["en"])


def test_a_nonce_of_another_sign_in_is_refused(visitor, provider, monkeypatch):
    visitor.get(go(visitor))
    (first,) = provider.asked
    token = provider.id_token(first["nonce"])
    visitor.submit("/sign-out")
    monkeypatch.setattr(provider, "id_token", lambda _nonce: token)
    refused(visitor.get(go(visitor)), 403, UNTRUSTED["en"])


@pytest.mark.parametrize("path", ["", "?state=x", "?state=x&code=y", "?error=access_denied", "?state=%00&code=%ff"])
def test_what_nobody_began_ends_with_words(visitor, path):
    refused(visitor.get("/sign-in/provider/back" + path), 400, STALE["en"])


@pytest.mark.parametrize("change", ["state", "code"])
def test_a_changed_answer_signs_nobody_in(visitor, change):
    back = go(visitor)
    (value,) = parse_qs(urlsplit(back).query)[change]
    refused(visitor.get(back.replace(value, value[:-3] + "xyz")), 400, STALE["en"])
    assert visitor.get("/settings").status_code == 303


def test_a_code_that_has_expired_begins_anew(visitor, provider):
    provider.forgetful = True
    refused_in_both(visitor, 400, STALE)


def test_a_sign_in_that_takes_too_long_is_over(databases):
    began = clock.now()
    with databases.control() as control:
        late = provider_sign_ins.begin(control, None, now=began)
        just = provider_sign_ins.begin(control, "/mail/sent", now=began + timedelta(seconds=1))
        over = began + provider_sign_ins.PATIENCE
        assert provider_sign_ins.take(control, late.state, late.browser, now=over) is None
        assert provider_sign_ins.take(control, just.state, late.browser, now=over) is None
        taken = provider_sign_ins.take(control, just.state, just.browser, now=over)
        assert taken == provider_sign_ins.Taken(just.nonce, just.verifier, "/mail/sent")
        assert provider_sign_ins.take(control, just.state, just.browser, now=over) is None
        provider_sign_ins.begin(control, None, now=over)
        assert control.execute("SELECT count(*) FROM provider_sign_in").fetchone() == (1,)


def test_nothing_that_is_stored_lets_anybody_finish_a_sign_in(databases):
    with databases.control() as control:
        begun = provider_sign_ins.begin(control, None, now=clock.now())
        stored = str(control.execute("SELECT * FROM provider_sign_in").fetchall())
    assert begun.state not in stored
    assert begun.browser not in stored


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [("access_denied", 403, DENIED), ("login_required", 403, DENIED), ("temporarily_unavailable", 503, AWAY)],
)
def test_a_provider_that_says_no_is_passed_on_in_words_of_ours(visitor, provider, error, status, words):
    provider.error = error
    refused_in_both(visitor, status, words)


def test_answers_that_make_no_sense_end_with_words(visitor, provider, monkeypatch):
    monkeypatch.setattr(gateways_provider, "_PAUSE", 0.0)
    provider.metadata = {"jwks_uri": None}
    refused(visitor.get("/sign-in/provider"), 503, AWAY["en"])
    provider.metadata = {"issuer": "https://elsewhere.example"}
    refused(visitor.get("/sign-in/provider"), 403, UNTRUSTED["en"])
    provider.metadata = {}
    provider.garbage = True
    refused(visitor.get(go(visitor)), 503, AWAY["en"])


def test_the_gateway_starts_without_the_provider_and_passwords_go_on_working(settings, databases, firm, monkeypatch):
    monkeypatch.setattr(gateways_provider, "_PAUSE", 0.0)
    (port,) = free_ports(1)
    there = Provider(issuer=f"http://127.0.0.1:{port}", email=firm.people[0].address)
    web = gateway(settings, databases, **there.settings)
    visitor = Visitor(web.app)
    for language, words in AWAY.items():
        visitor.language = language
        refused(visitor.get("/sign-in/provider"), 503, words)
    with providers.running(there, port):
        back = go(visitor)
    # it goes away while somebody is there
    refused(visitor.get(back), 503, AWAY["zh"])
    assert visitor.sign_in(firm.people[0].address).status_code == 303


def test_no_other_site_signs_anybody_in(visitor, provider):
    for site in ("cross-site", "same-site"):
        answer = visitor.get("/sign-in/provider?next=/mail/sent", headers={"Sec-Fetch-Site": site})
        assert (answer.status_code, answer.location) == (303, "/sign-in?next=/mail/sent")
    assert provider.asked == []
    # and it leads to no other site
    assert visitor.get(go(visitor, "/sign-in/provider?next=//evil.example")).location == "/mail/inbox"


def test_without_a_provider_there_is_no_such_way(settings, databases):
    visitor = Visitor(gateway(settings, databases).app)
    assert "/sign-in/provider" not in visitor.get("/sign-in").get_data(as_text=True)
    for path in ("/sign-in/provider", "/sign-in/provider/back?state=x&code=y"):
        assert visitor.get(path).status_code == 404


def test_the_button_bears_the_settings_words(settings, databases, provider):
    web = gateway(settings, databases, oidc_button="Firma & <Co>", **provider.settings)
    assert "Firma &amp; &lt;Co&gt;" in Visitor(web.app).get("/sign-in").get_data(as_text=True)
