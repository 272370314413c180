"""What the gateway is told by its environment, beyond what every process is told."""

from pydantic import Field, field_validator

from mailrecall.settings import Settings


class GatewaySettings(Settings):
    """Settings of the gateway's processes."""

    gateway_bind: str = Field("127.0.0.1:8080", description="host:port that the gateway listens on.")
    gateway_workers: int = Field(2, ge=1, le=64, description="Processes of the gateway.")
    gateway_threads: int = Field(8, ge=1, le=256, description="Requests that one process serves at once.")
    # as many as there are threads, so that no request waits for a connection that another one holds
    pool_size: int = Field(8, ge=1, le=200, description="Connections that one process keeps to one database at most.")
    token_lifetime: int = Field(
        12 * 3600, ge=60, le=366 * 86_400, description="Seconds after which an API token must be asked for again."
    )
    max_upload: int = Field(
        72 * 1024 * 1024,
        ge=1024,
        description="Octets that one request may have; base64 makes a message a third larger than its attachments.",
    )

    @field_validator("gateway_bind")
    @classmethod
    def _host_and_port(cls, value: str) -> str:
        host, colon, port = value.rpartition(":")
        if not (host and colon and port.isdecimal() and int(port) < 65536):  # noqa: PLR2004 - the highest port
            raise ValueError("must be host:port")
        return value
