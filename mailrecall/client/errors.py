"""What can go wrong between a client and the gateway."""

from collections.abc import Mapping
from typing import Any


class ClientError(Exception):
    """Something did not work; the message says what, and what to do about it."""


class UnreachableError(ClientError):
    """The gateway did not answer, or what answered is no gateway."""


class ProblemError(ClientError):
    """The gateway refused, with a problem document (RFC 9457)."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        """Keep the document; `code` is stable, `detail` is for people."""
        self.document = document
        self.code = str(document.get("code", ""))
        self.status = int(document.get("status", 0))
        super().__init__(str(document.get("detail") or document.get("title") or self.code))
