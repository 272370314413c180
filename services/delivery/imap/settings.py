"""What the IMAP server is told by its environment, beyond what every process is told."""

from pydantic import Field, ValidationInfo, field_validator

from mailrecall.settings import PREFIX, Settings
from services.delivery.plain_login import MEANING, PlainLogin


class ImapSettings(Settings):
    """Settings of the IMAP server."""

    imap_bind: str = Field("127.0.0.1:2143", description="host:port that IMAP listens on, with STARTTLS.")
    imaps_bind: str = Field(
        "", description="host:port that IMAP listens on with TLS from the start; empty: nowhere. Needs a certificate."
    )
    plain_login: PlainLogin = Field("loopback", description=MEANING)
    imap_connections: int = Field(1000, ge=1, le=100_000, description="Clients that IMAP serves at once.")
    imap_timeout: float = Field(
        1860.0,
        gt=0,
        description="Seconds after which a silent IMAP client is disconnected; 1800 at least by RFC 3501 section 5.4.",
    )
    imap_login_timeout: float = Field(
        60.0, gt=0, description="Seconds after which a silent IMAP client that has not signed in is disconnected."
    )
    # as many as there are threads, so that no client waits for a connection that another one holds
    pool_size: int = Field(8, ge=1, le=200, description="Connections that one process keeps to one database at most.")

    @field_validator("imap_bind", "imaps_bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if value and not (host and colon and port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - highest port
            raise ValueError("must be host:port")
        return value

    @field_validator("imaps_bind")
    @classmethod
    def _encrypted(cls, value: str, info: ValidationInfo) -> str:
        if value and not info.data.get("tls_certificate"):
            raise ValueError(f"set {PREFIX}TLS_CERTIFICATE and {PREFIX}TLS_KEY too")
        return value
