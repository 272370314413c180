"""What intake is told by its environment, beyond what every process is told."""

from pydantic import Field, field_validator

from mailrecall.domain.addresses import Address, AddressError
from mailrecall.settings import Settings
from services.delivery.plain_login import MEANING, PlainLogin


class IntakeSettings(Settings):
    """Settings of the intake process."""

    smtp_bind: str = Field("127.0.0.1:2587", description="host:port that SMTP submission listens on.")
    lmtp_bind: str = Field(
        "127.0.0.1:2424", description="host:port that LMTP listens on. Whoever reaches it is trusted as a mail server."
    )
    plain_login: PlainLogin = Field("loopback", description=MEANING)
    postmaster: str = Field(
        "", description="Who gets mail to <postmaster> without a domain; empty: postmaster@ the hostname or its domain."
    )
    max_connections: int = Field(200, ge=1, le=10_000, description="Clients that each protocol serves at once.")
    max_line_length: int = Field(
        998,
        ge=998,
        le=1_000_000,
        description="Octets that one line of a message may have without its line end (RFC 5321 section 4.5.3.1.6).",
    )
    max_hops: int = Field(100, ge=30, description="Received fields after which a message is taken to run in a loop.")
    idle_timeout: float = Field(300.0, gt=0, description="Seconds after which a silent client is disconnected.")
    stop_timeout: float = Field(
        10.0, gt=0, description="Seconds that messages on their way in have to arrive when the process is to stop."
    )
    # as many as there are threads, so that no client waits for a connection that another one holds
    pool_size: int = Field(8, ge=1, le=200, description="Connections that one process keeps to one database at most.")

    @field_validator("smtp_bind", "lmtp_bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - the highest port
            raise ValueError("must be host:port")
        return value

    @field_validator("postmaster")
    @classmethod
    def _address(cls, value: str) -> str:
        if value:
            try:
                Address.parse(value)
            except AddressError as error:
                raise ValueError(str(error)) from None
        return value
