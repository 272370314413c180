"""What the gateway is told by its environment, beyond what every process is told."""

from urllib.parse import urlsplit

import limits
from pydantic import Field, ValidationInfo, field_validator

from mailrecall.settings import PREFIX, Settings

_LOOPBACK = ("localhost", "127.0.0.1", "::1")


class GatewaySettings(Settings):
    """Settings of the gateway's processes."""

    gateway_bind: str = Field("127.0.0.1:8080", description="host:port that the gateway listens on.")
    gateway_workers: int = Field(2, ge=1, le=64, description="Processes of the gateway.")
    gateway_threads: int = Field(8, ge=1, le=256, description="Requests that one process serves at once.")
    gateway_streams: int = Field(
        250,
        ge=0,
        le=2000,
        description="Live views of recalls that one process serves at once; others are told to poll.",
    )
    # as many as there are threads, so that no request waits for a connection that another one holds
    pool_size: int = Field(8, ge=1, le=200, description="Connections that one process keeps to one database at most.")
    token_lifetime: int = Field(
        12 * 3600, ge=60, le=366 * 86_400, description="Seconds after which an API token must be asked for again."
    )
    session_idle: int = Field(
        12 * 3600, ge=60, le=366 * 86_400, description="Seconds without a request after which people sign in again."
    )
    session_lifetime: int = Field(
        30 * 86_400, ge=60, le=366 * 86_400, description="Seconds after which people sign in again in any case."
    )
    proxies: int = Field(
        0,
        ge=0,
        le=10,
        description="Proxies in front that each add to X-Forwarded-For; with 0 nobody's word is taken for "
        "where a request comes from.",
    )
    rate_limit_account: str = Field(
        "6000/minute",
        description="Requests that one account may make, to the API and to pages each: as 100/second, or several "
        "with ; between; empty: as many as it likes.",
    )
    rate_limit_address: str = Field(
        "3000/minute",
        description="Requests that may come from one network address without a valid sign-in; written likewise.",
    )
    rate_limit_url: str = Field(
        "",
        description="Where requests are counted, as redis://, rediss:// or sentinel:// URL; empty: with the broker, "
        "and nowhere if that is RabbitMQ.",
    )
    oidc_issuer: str = Field(
        "",
        description="Issuer URL of an OpenID provider that people can sign in to the pages with; empty: none.",
    )
    oidc_client_id: str = Field(
        "", validate_default=True, description="What the provider knows this gateway by; set with the issuer."
    )
    oidc_client_secret: str = Field(
        "", validate_default=True, description="The secret that the provider gave this gateway; set with the issuer."
    )
    oidc_button: str = Field(
        "",
        max_length=60,
        description="What the sign-in page calls the provider; empty: Sign in with your organisation, in the "
        "reader's language.",
    )
    max_upload: int = Field(
        72 * 1024 * 1024,
        ge=1024,
        description="Octets that one request may have; base64 makes a message a third larger than its attachments.",
    )

    @field_validator("rate_limit_account", "rate_limit_address")
    @classmethod
    def _limit(cls, value: str) -> str:
        try:
            given = limits.parse_many(value) if value else []
        except ValueError:
            given = None
        if given is None or any(limit.amount < 1 for limit in given):
            raise ValueError("must be a limit such as 600/minute, or several with ; between, or empty")
        return value

    @field_validator("rate_limit_url")
    @classmethod
    def _counted_at(cls, value: str) -> str:
        try:
            for url in value.split(";"):
                _ = urlsplit(url).port
        except ValueError:
            known = False
        else:
            known = value.startswith(("redis://", "rediss://", "sentinel://"))
        if value and not known:
            raise ValueError("must be a redis://, rediss:// or sentinel:// URL such as redis://localhost:6379/1")
        return value

    @field_validator("oidc_issuer")
    @classmethod
    def _provider(cls, value: str) -> str:
        there = urlsplit(value)
        # OpenID Connect Discovery 1.0 section 2; what stays on this machine needs no TLS
        safe = there.scheme == "https" or (there.scheme == "http" and there.hostname in _LOOPBACK)
        if value and not (safe and there.hostname and value.isascii() and value.isprintable() and " " not in value):
            raise ValueError("must be an https:// URL such as https://sso.example.org/realms/company")
        if there.query or there.fragment:
            raise ValueError("must have neither a query nor a fragment")
        return value

    @field_validator("oidc_client_id", "oidc_client_secret")
    @classmethod
    def _with_issuer(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) != bool(info.data.get("oidc_issuer")):
            raise ValueError(f"set {PREFIX}OIDC_ISSUER, _CLIENT_ID and _CLIENT_SECRET all, or none")
        return value

    @field_validator("gateway_bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - the highest port
            raise ValueError("must be host:port")
        return value
