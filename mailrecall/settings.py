"""What a process is told by its environment, parsed once at its start; bad values stop it there with clear words.

Every name is prefixed with `MAILRECALL_`. A value can also come from a file:
`MAILRECALL_CONTROL_URL_FILE=/run/secrets/control_url`.
"""

import errno
import os
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

PREFIX = "MAILRECALL_"

OF_ONE_PROCESS = frozenset(
    {
        *("SESSION_IDLE", "SESSION_LIFETIME"),
        *(
            "GATEWAY_BIND",
            "GATEWAY_WORKERS",
            "GATEWAY_THREADS",
            "GATEWAY_STREAMS",
            "TOKEN_LIFETIME",
            "MAX_UPLOAD",
            "PROXIES",
            "OIDC_ISSUER",
            "OIDC_CLIENT_ID",
            "OIDC_CLIENT_SECRET",
            "OIDC_BUTTON",
            "RATE_LIMIT_ACCOUNT",
            "RATE_LIMIT_ADDRESS",
            "RATE_LIMIT_URL",
        ),
        *("SMTP_BIND", "LMTP_BIND", "POSTMASTER", "MAX_CONNECTIONS", "MAX_LINE_LENGTH", "MAX_HOPS", "IDLE_TIMEOUT"),
        *("POP3_BIND", "POP3_CONNECTIONS", "POP3_TIMEOUT", "POP3_LOGIN_TIMEOUT"),
        *("IMAP_BIND", "IMAPS_BIND", "IMAP_CONNECTIONS", "IMAP_TIMEOUT", "IMAP_LOGIN_TIMEOUT"),
        *("PLAIN_LOGIN", "STOP_TIMEOUT"),
        *("FLOWER_BIND", "FLOWER_LOGIN"),
    }
)
"""Settings that only some kinds of process have: each passes the other's by."""

_NOT_OURS = re.compile(
    # of the command line and of docker-compose.yml
    "API_URL|API_TOKEN|DATA|VERSION|WORKERS|LISTEN|SECRETS|[A-Z0-9]+_PORT"
    # what Kubernetes tells every container of a service whose name begins with mailrecall
    "|([A-Z0-9_]+_)?(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_[0-9]+_[A-Z]+(_(PROTO|PORT|ADDR))?)?)"
)
_HOSTNAME = re.compile(
    r"(?=.{1,255}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*"
)
_PUBLIC_URL = re.compile(r"https?://[!-~]+")
_BROKERS = ("redis", "rediss", "sentinel", "amqp", "amqps")
_DAY = 86_400.0
REMOVED_SHARD = "-"
"""Stands in the list for a shard that was drained and removed: the others keep their numbers."""


class SettingsError(Exception):
    """The environment does not describe a process that can run; the message names each variable and what is wrong."""


class Settings(BaseModel):
    """What every process of Mail Recall needs to know."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)

    control_url: str = Field(description="The control database, as a PostgreSQL URL.")
    shard_urls: tuple[str, ...] = Field(
        min_length=1,
        description="The mailbox shards in their order, as PostgreSQL URLs separated by white space; - if removed.",
    )
    broker_url: str = Field(
        description="The Celery broker, as redis://, rediss://, sentinel://, amqp:// or amqps:// URL."
    )
    sentinel_master: str = Field(
        "mailrecall", min_length=1, description="What the Sentinels of a sentinel:// broker call the master."
    )
    sentinel_password: str = Field(
        "", description="The password of the Sentinels themselves; that of Redis stands in the URL. Empty: none."
    )
    hostname: str = Field("localhost", description="The host name that trace headers and bounces carry.")
    public_url: str = Field(
        "http://localhost:8080",
        description="Where people reach the gateway; used in report mails, and to come back from an OpenID provider.",
    )
    log_format: str = Field("json", pattern="^(json|console)$", description="json, or console for people.")
    log_level: str = Field(
        "INFO", pattern="^(DEBUG|INFO|WARNING|ERROR)$", description="The least level that is logged."
    )
    heartbeat_file: str = Field(
        "", description="A file that workers, beat and relay touch while they work, for health checks; empty: none."
    )

    metrics_bind: str = Field(
        "", description="host:port that this process's Prometheus metrics and its health are read from; empty: nowhere."
    )
    metrics_folder: str = Field(
        "",
        description="A folder that processes on one machine share their numbers in, read by one of them; empty: one of "
        "its own for each process and its children.",
    )
    otlp_endpoint: str = Field(
        "", description="Base URL of an OpenTelemetry collector that traces go to (OTLP over HTTP); empty: no traces."
    )
    trace_ratio: float = Field(
        1.0, ge=0, le=1, description="The part of requests that are traced, where nobody before has decided it."
    )

    fault_points: str = Field(
        "",
        description="For tests only: a folder of files that name the points at which a process is to die; empty: none.",
    )

    statement_timeout: float = Field(
        # below a millisecond it would mean none
        60.0,
        ge=0.1,
        le=_DAY,
        description="Seconds after which PostgreSQL ends a statement.",
    )
    connect_timeout: float = Field(5.0, ge=1, le=_DAY, description="Seconds to wait for a database connection.")
    # two at the least: whoever relays holds a lock on one connection while it works on another
    pool_size: int = Field(4, ge=2, le=200, description="Connections that one process keeps to one database at most.")

    batch_size: int = Field(
        15_000, ge=1, le=100_000, description="Recipients that one deposit or withdrawal task handles at most."
    )
    outbox_lease: float = Field(
        20.0,
        ge=0.5,
        le=_DAY,
        description="Seconds after which published work that nobody finished is published again; doubles.",
    )
    outbox_failures: int = Field(
        12,
        ge=1,
        description="Failures, outages aside, after which work is put aside for an operator;"
        " tries in a row whose workers died are one.",
    )
    reconcile_every: float = Field(5.0, ge=0.5, le=_DAY, description="Seconds between two runs of the reconciler.")
    purge_every: float = Field(
        300.0, ge=0.5, le=_DAY, description="Seconds between two runs of the purge of what cannot be restored any more."
    )
    recall_deadline: float = Field(
        3600.0,
        ge=1,
        le=366 * _DAY,
        description="Seconds that a shard has to answer a recall before its copies count as unreachable.",
    )
    decision_wait: float = Field(
        2.0,
        ge=0,
        le=60,
        description="Seconds after which an undecided all-or-nothing recall gives way to whoever opens a copy.",
    )
    smarthost: str = Field(
        "", description="host:port that external mail is handed to; empty: external mail is refused."
    )
    relay_give_up: float = Field(
        2 * 86_400.0,
        ge=0,
        le=30 * 86_400,
        description="Seconds after which mail that the smarthost keeps putting off bounces to its sender.",
    )
    tls_certificate: str = Field(
        "", description="PEM file of the certificate, with its chain, that clients are shown; empty: no encryption."
    )
    tls_key: str = Field(
        "",
        validate_default=True,
        description="PEM file of the certificate's key, without a passphrase; set both or neither.",
    )
    password_guesses: int = Field(
        10,
        ge=1,
        le=10_000,
        description="Wrong passwords for one account from one network address before it has to wait, up to 15 minutes; "
        "ten times as many from one address for all accounts, and for one account from everywhere.",
    )
    max_message_size: int = Field(50 * 1024 * 1024, ge=1024, description="Octets that one message may have.")
    max_recipients: int = Field(10_000, ge=1, le=30_000, description="Addresses that one envelope may name.")

    @property
    def removed_shards(self) -> frozenset[int]:
        """The numbers of shards that there were."""
        return frozenset(number for number, url in enumerate(self.shard_urls) if url == REMOVED_SHARD)

    @property
    def shard_numbers(self) -> tuple[int, ...]:
        """The numbers of the shards that there are: their places in the list, without those that were removed."""
        return tuple(number for number, url in enumerate(self.shard_urls) if url != REMOVED_SHARD)

    @field_validator("shard_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return tuple(value.split()) if isinstance(value, str) else value

    @field_validator("control_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        if not value.startswith(("postgresql://", "postgres://")):
            raise ValueError("must be a postgresql:// URL")
        return value

    @field_validator("shard_urls")
    @classmethod
    def _all_postgres(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if url != REMOVED_SHARD:
                cls._postgres(url)
        if all(url == REMOVED_SHARD for url in value):
            raise ValueError("must name a shard")
        return value

    @field_validator("broker_url")
    @classmethod
    def _broker(cls, value: str) -> str:
        if value.partition("://")[0] not in _BROKERS or "://" not in value:
            raise ValueError(
                "must be a redis://, rediss://, sentinel://, amqp:// or amqps:// URL such as redis://localhost:6379/0"
            )
        return value

    @field_validator("hostname")
    @classmethod
    def _host(cls, value: str) -> str:
        if not _HOSTNAME.fullmatch(value):
            raise ValueError("must be a host name such as mail.example.org: letters, digits, hyphens and dots")
        return value

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str) -> str:
        if not (_PUBLIC_URL.fullmatch(value) and urlsplit(value).hostname):
            raise ValueError("must be a URL such as https://mail.example.org")
        return value

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector(cls, value: str) -> str:
        return cls._reachable(value) if value else value

    @field_validator("smarthost", "metrics_bind")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        _host, colon, port = value.rpartition(":")
        if value and not (colon and port.isdecimal() and 0 < int(port) < 65536):  # noqa: PLR2004 - the highest port
            raise ValueError("must be host:port")
        return value

    @field_validator("tls_key")
    @classmethod
    def _both_or_neither(cls, value: str, info: ValidationInfo) -> str:
        if bool(value) != bool(info.data.get("tls_certificate")):
            raise ValueError(f"set {PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY both, or neither")
        return value


S = TypeVar("S", bound=Settings)


def load(kind: type[S], environment: Mapping[str, str] = os.environ) -> S:
    """Read the settings of one kind of process.

    Raises:
        SettingsError: a variable is missing, has a value that it cannot have, or is one that no process knows.
    """
    if strange := list(_strange(kind, environment)):
        raise SettingsError("\n".join(strange))
    values: dict[str, str] = {}
    for name in kind.model_fields:
        variable = PREFIX + name.upper()
        if variable + "_FILE" in environment:
            path = Path(environment[variable + "_FILE"])
            try:
                values[name] = path.read_text(encoding="utf-8").strip()
            except OSError as error:
                # in a container the file has the owner and the mode that it has outside
                cure = f"; let the user with the id {os.geteuid()} read it" if error.errno == errno.EACCES else ""
                raise SettingsError(f"{variable}_FILE: cannot read {path}: {error.strerror}{cure}") from None
            except UnicodeDecodeError:
                raise SettingsError(f"{variable}_FILE: {path} must be text in UTF-8") from None
        elif variable in environment:
            values[name] = environment[variable]
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        problems = [f"{PREFIX}{'_'.join(map(str, e['loc'][:1])).upper()}: {e['msg']}" for e in error.errors()]
        raise SettingsError("\n".join(problems)) from None


def _strange(kind: type[Settings], environment: Mapping[str, str]) -> Iterator[str]:
    """Name the variables that nobody reads: whoever misspells one must not run with its default."""
    known = {PREFIX + name for name in OF_ONE_PROCESS | {name.upper() for name in kind.model_fields}}
    for variable in sorted(environment):
        name = variable.removesuffix("_FILE")
        # a setting's own name may end in _FILE, as HEARTBEAT_FILE does
        if not known.isdisjoint({variable, name}):
            continue
        if not name.startswith(PREFIX) or _NOT_OURS.fullmatch(name.removeprefix(PREFIX)):
            continue
        near = get_close_matches(name, known, 1)
        yield f"{variable}: there is no such setting{f'; {near[0]} was meant?' if near else ''}"
