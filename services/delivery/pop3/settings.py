"""What the POP3 server is told by its environment, beyond what every process is told."""

from pydantic import Field, field_validator

from mailrecall.settings import Settings
from services.delivery.plain_login import MEANING, PlainLogin


class Pop3Settings(Settings):
    """Settings of the POP3 process."""

    pop3_bind: str = Field("127.0.0.1:2110", description="host:port that POP3 listens on.")
    plain_login: PlainLogin = Field("loopback", description=MEANING)
    pop3_connections: int = Field(300, ge=1, le=10_000, description="Clients that POP3 serves at once.")
    pop3_timeout: int = Field(
        600,
        ge=1,
        description="Seconds after which a silent POP3 client is disconnected; ten minutes at least by RFC 1939.",
    )
    pop3_login_timeout: int = Field(
        60, ge=1, description="Seconds after which a silent POP3 client that has not signed in is disconnected."
    )
    stop_timeout: float = Field(
        10.0, gt=0, description="Seconds that messages on their way out have to arrive when the process is to stop."
    )
    # as many as there are threads, so that no client waits for a connection that another one holds
    pool_size: int = Field(8, ge=1, le=200, description="Connections that one process keeps to one database at most.")

    @field_validator("pop3_bind")
    @classmethod
    def _bind(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - the highest port
            raise ValueError("must be host:port")
        return value
