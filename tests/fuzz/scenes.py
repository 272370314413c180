"""Companies in which there is something of everything that a request can name."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mailrecall.directory import audit_rules
from mailrecall.directory.lookup import Account
from mailrecall.domain.audit import Criteria
from mailrecall.domain.policy import MOST_RECALLS_PER_HOUR
from tests import company
from tests.company import Company
from tests.fuzz.inputs import INPUTS
from tests.gateway import Gateway
from tests.pop3 import deliver

SCENES = max(1, INPUTS // 2_000)
"""How many the inputs are about in turn: what they leave behind is not to slow down the rest."""

_FILES = (Path(__file__).parents[1] / "messages" / "attachments.eml").read_bytes()


@dataclass(frozen=True, slots=True)
class Scene:
    """A company, and the ids of what is there."""

    firm: Company
    user: Account
    other: Account
    administrator: Account
    second: Account
    """Another administrator."""
    group_id: int
    received: tuple[int, ...]
    """Messages with files, in the user's inbox."""
    sent: int
    drafts: tuple[int, ...]
    recall: str
    """Of another message the user sent; settled."""
    batch: str
    """Of the administrator's; waits for the second one."""
    held: tuple[int, ...]
    """Messages that wait for a moderator."""


def scene(web: Gateway) -> Scene:
    """Found a company, and have everything in it happen once."""
    firm = company.found(web.databases, people=2, switches={"recalls_per_hour": MOST_RECALLS_PER_HOUR})
    user, other = firm.people
    second = company.hire(web.databases, f"second@{firm.domain}", administrator=True)
    group = company.group(web.databases, f"all@{firm.domain}", [user, other, "someone@elsewhere.example"])
    with web.databases.control() as control:
        audit_rules.add_rule(control, firm.organisation_id, "Contracts", Criteria(keyword="contract"))
    received = tuple(deliver(web.process.settings, web.databases, other, user, content=_FILES) for _ in range(5))
    sent, recalled, asked, *held = (
        _made(web, user, "/messages", {"to": [other.address], "subject": subject, "text": "Hello"})
        for subject in ("Figures", "Other figures", "More figures", "A contract", "Another contract")
    )
    web.deliver()
    draft = {"to": [other.address], "subject": "A draft", "text": "Hello"}
    drafts = tuple(_made(web, user, "/drafts", draft) for _ in range(2))
    recall = _made(web, user, "/recalls", {"message_id": recalled, "reason": "Wrong group"})
    admin = web.as_(firm.postmaster)
    assert admin.patch("/admin/policy", json={"approval_above": 0}).status_code == 200
    batch = _made(web, firm.postmaster, "/admin/recall-batches", {"message_ids": [asked & ~1], "reason": "Wrong group"})
    web.deliver()
    return Scene(
        *(firm, user, other, firm.postmaster, second, group.id, received, sent, drafts, str(recall), str(batch)),
        held=tuple(number & ~1 for number in held),
    )


def _made(web: Gateway, who: Account, path: str, document: Mapping[str, object]) -> int:
    answer = web.as_(who).post(path, json=document)
    assert answer.status_code in (201, 202), answer.get_data(as_text=True)
    made: int = answer.get_json()["id"]
    return made
