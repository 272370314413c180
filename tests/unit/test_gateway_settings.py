"""What the gateway is told and cannot be right ends it at its start with clear words."""

import pytest

from mailrecall.settings import SettingsError, load
from services.gateway.settings import GatewaySettings
from tests.unit.test_settings import RIGHT

PROVIDER = {
    "OIDC_ISSUER": "https://sso.example.org/realms/company",
    "OIDC_CLIENT_ID": "mailrecall",
    "OIDC_CLIENT_SECRET": "secret",
}


def loaded(**given: str) -> GatewaySettings:
    return load(GatewaySettings, {**RIGHT, **{f"MAILRECALL_{name}": value for name, value in given.items()}})


@pytest.mark.parametrize("issuer", [PROVIDER["OIDC_ISSUER"], "http://localhost:8081", "http://127.0.0.1:1/x/"])
def test_a_provider_is_taken(issuer):
    assert loaded(**{**PROVIDER, "OIDC_ISSUER": issuer}).oidc_issuer == issuer


@pytest.mark.parametrize(
    "issuer",
    [
        "sso.example.org",
        "http://sso.example.org",
        "https://",
        "ftp://localhost",
        "https://a b",
        "https://x/?y",
        "https://x#y",
    ],
)
def test_a_provider_without_tls_or_that_is_no_issuer_is_refused(issuer):
    with pytest.raises(SettingsError, match=r"^MAILRECALL_OIDC_ISSUER: "):
        loaded(**{**PROVIDER, "OIDC_ISSUER": issuer})


@pytest.mark.parametrize("left_out", PROVIDER)
def test_a_provider_needs_all_three(left_out):
    with pytest.raises(SettingsError, match=r"set MAILRECALL_OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET all, or none"):
        loaded(**{**PROVIDER, left_out: ""})


def test_the_secret_can_come_from_a_file(tmp_path):
    path = tmp_path / "oidc_client_secret"
    path.write_text("from a file\n")
    given = {name: value for name, value in PROVIDER.items() if name != "OIDC_CLIENT_SECRET"}
    assert loaded(**given, OIDC_CLIENT_SECRET_FILE=str(path)).oidc_client_secret == "from a file"


@pytest.mark.parametrize("limit", ["", "600/minute", "100 per second", "10/second;1000/hour"])
def test_a_limit_is_taken(limit):
    assert loaded(RATE_LIMIT_ACCOUNT=limit).rate_limit_account == limit


@pytest.mark.parametrize(
    "url", ["memory://", "localhost:6379", "redis://localhost:port/0", "sentinel://a;sentinel://b:c"]
)
def test_a_place_to_count_that_is_none_is_refused(url):
    with pytest.raises(SettingsError, match=r"^MAILRECALL_RATE_LIMIT_URL: .*must be a redis://"):
        loaded(RATE_LIMIT_URL=url)


@pytest.mark.parametrize("limit", ["many", "0/minute", "10/fortnight", "-1/minute", "10/second;0/hour"])
def test_a_limit_that_is_none_is_refused(limit):
    with pytest.raises(SettingsError, match=r"^MAILRECALL_RATE_LIMIT_ADDRESS: .*such as 600/minute"):
        loaded(RATE_LIMIT_ADDRESS=limit)
