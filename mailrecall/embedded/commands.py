"""A child process as it is started: the same for the supervisor and for the tests that start a server alone."""

import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field

from mailrecall.embedded.unprivileged import User


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """How to start and stop one process. Secrets are in the environment or in files, never among the arguments."""

    name: str
    arguments: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    """What is added to the environment of the one who starts it."""
    user: User | None = None
    """Whom it runs as, if not as the one who starts it."""
    stop_signal: signal.Signals = signal.SIGTERM
    """The signal for a clean end; also sent by the kernel when the supervisor dies (Linux)."""
    stop_timeout: float = 15.0
    """Seconds a clean end may take; after them it is killed."""

    def launched(self) -> tuple[str, ...]:
        """Return the arguments that start it as a child of this process, through `mailrecall.embedded.launch`."""
        user = (str(self.user.uid), str(self.user.gid)) if self.user else ("-", "-")
        return (
            sys.executable,
            "-m",
            "mailrecall.embedded.launch",
            str(os.getpid()),
            str(int(self.stop_signal)),
            *user,
            *self.arguments,
        )
