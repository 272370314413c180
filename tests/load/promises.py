"""What the users of a load test were promised: a line for each answer that said so, and each request that failed."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from mailrecall.domain.copies import AUTHOR_COPY_BIT


@dataclass(frozen=True, slots=True)
class Sent:
    """A message was accepted."""

    copy_id: int
    """The author's own copy."""
    recipients: int

    @property
    def message_id(self) -> int:
        """The message's own id, which the recipients' copies bear."""
        return self.copy_id & ~AUTHOR_COPY_BIT


@dataclass(frozen=True, slots=True)
class Asked:
    """A recall was accepted, or was there already."""

    recall_id: str


@dataclass(frozen=True, slots=True)
class Opened:
    """Somebody was shown a message, which therefore stays (R2)."""

    mailbox_id: int
    message_id: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A request was not answered, or not as it should be."""

    name: str
    unanswered: bool
    """Whether what was asked for may or may not have happened."""
    why: str


Entry = Sent | Asked | Opened | Failed
_KINDS = {kind.__name__: kind for kind in (Sent, Asked, Opened, Failed)}


def write(path: Path, entry: Entry) -> None:
    """Add an entry to a file; it is there even if the writer dies at the next moment."""
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps({"kind": type(entry).__name__, **asdict(entry)}) + "\n")


@dataclass(slots=True)
class Promises:
    """All that was promised, and what failed."""

    sent: list[Sent] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    opened: list[Opened] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)

    @property
    def unanswered(self) -> int:
        """How many requests nobody answered."""
        return sum(failure.unanswered for failure in self.failed)

    def refusals(self) -> Iterator[str]:
        """Tell what failed although there was an answer, and how often."""
        for (name, why), times in Counter((f.name, f.why) for f in self.failed if not f.unanswered).items():
            yield f"{name}: {why}{f' ({times} times)' if times > 1 else ''}"


def read(path: Path) -> Promises:
    """Read what was written; nothing, if the file is not there."""
    promises = Promises()
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    for line in lines:
        values = json.loads(line)
        match _KINDS[values.pop("kind")](**values):
            case Sent() as sent:
                promises.sent.append(sent)
            case Asked() as asked:
                promises.asked.append(asked)
            case Opened() as opened:
                promises.opened.append(opened)
            case Failed() as failed:
                promises.failed.append(failed)
    return promises
