"""docs/api.md: what it shows can be typed as it stands, but for the ids, against the stack that `make up` starts."""

import re
import subprocess
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from mailrecall import clock
from mailrecall.demo import company
from mailrecall.demo.client import Person, wait_for
from mailrecall.directory import lookup
from mailrecall.domain.addresses import Address
from mailrecall.domain.policy import Policy
from mailrecall.domain.recalls import Requester
from mailrecall.recalls import batches
from tests import company as companies
from tests.stack import Stack

DOCUMENT = (Path(__file__).parents[2] / "docs" / "api.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```sh\n(.*?)```", DOCUMENT, re.DOTALL)
SET_UP, SIGN_IN, *REQUESTS = EXAMPLES
BATCH = "0195c1a4-9d20-4b6c-8a41-6d0a3f9d1077"
"""The request for many recalls of the examples."""
SECOND = f"second@{company.DOMAIN}"
APPROVAL = "0195c1a4-aa07-4e0e-b7f4-2f1f6e6f7a10"
"""What waits for a second administrator in the examples."""
RECALL = "0195c1a4-7f4e-4c5e-9a51-3f6f0f3f9d10"
"""The recall of the examples."""

CAREFUL = 'set -euo pipefail; curl() { command curl --silent --show-error --fail-with-body "$@"; }'


@pytest.fixture(scope="module")
def people(stack: Stack) -> Iterator[dict[str, Person]]:
    company.found(stack.databases)
    with (
        Person(stack.gateway_url, company.SENDER, company.PASSWORD) as ada,
        Person(stack.gateway_url, company.DIRECT, company.PASSWORD) as chen,
        Person(stack.gateway_url, company.POSTMASTER, company.PASSWORD) as postmaster,
    ):
        everybody = {"ada": ada, "chen": chen, "postmaster": postmaster}
        for person in everybody.values():
            person.sign_in()
        # what the first example shows; the last one of that kind ends it
        ada.ask("PUT", "/account/forwarding", json={"address": company.DIRECT})
        yield everybody


def send(sender: Person, to: str, subject: str, delay: int = 0) -> int:
    message = {
        "to": [to],
        "subject": subject,
        "delay": delay,
        "attachments": [{"filename": "figures.pdf", "content": "NDIK"}],
    }
    sent: int = sender.ask("POST", "/messages", json=message).json()["id"]
    return sent


def received(people: dict[str, Person]) -> int:
    """A message that Ada has got and nobody has read."""
    message_id = send(people["chen"], company.SENDER, "Figures") & ~1
    wait_for(
        "The delivery",
        lambda: people["ada"].try_to("HEAD", f"/messages/{message_id}").is_success or None,
    )
    return message_id


def held(people: dict[str, Person]) -> int:
    """A message that waits for a moderator; the rule is what the examples make before."""
    return send(people["ada"], company.DIRECT, "The contract") & ~1


def rule(people: dict[str, Person]) -> int:
    made = people["postmaster"].ask("POST", "/audit-rules", json={"name": "Nobody's", "sender": "@nowhere.example"})
    found: int = made.json()["id"]
    return found


def token(people: dict[str, Person]) -> int:
    wanted = {"name": "nightly export", "scopes": ["read"]}
    credentials = httpx.BasicAuth(company.SENDER, company.PASSWORD)
    made = people["ada"].ask("POST", "/tokens", json=wanted, auth=credentials).json()
    found: int = made["id"]
    return found


def draft(people: dict[str, Person], versions: int) -> int:
    content = {"to": [company.DIRECT], "subject": "Figures"}
    made: dict[str, Any] = people["ada"].ask("POST", "/drafts", json=content).json()
    for version in range(1, versions):
        people["ada"].ask("PUT", f"/drafts/{made['id']}", json=content, headers={"If-Match": f'"{version}"'})
    found: int = made["id"]
    return found


def recall(people: dict[str, Person]) -> str:
    asked: dict[str, Any] = people["ada"].recall(send(people["ada"], company.DIRECT, "Figures"), "wrong figures")
    for _view in people["ada"].progress(asked["id"]):
        pass
    public_id: str = asked["id"]
    return public_id


def batch(people: dict[str, Person]) -> str:
    asked = {"message_ids": [send(people["ada"], company.DIRECT, "Figures")], "reason": "sent by mistake"}
    made: str = people["postmaster"].ask("POST", "/admin/recall-batches", json=asked).json()["id"]
    return made


def waiting(people: dict[str, Person], stack: Stack) -> str:
    """A request that somebody else made and that the postmaster can decide on."""
    message_id = send(people["ada"], company.DIRECT, "Figures") & ~1
    with stack.databases.control() as control:
        second = lookup.account_by_address(control, Address.parse(SECOND))
    if second is None:
        second = companies.hire(stack.databases, SECOND, administrator=True)
    with stack.databases.control() as control:
        made = batches.request(
            control,
            Requester(second.id, second.organisation_id, administrator=True),
            [message_id],
            "sent by mistake",
            Policy(approval_above=0),
            only_unread=False,
            now=clock.now(),
            deadline=timedelta(hours=1),
        )
    return str(made.public_id)


MADE: dict[str, Callable[[dict[str, Person]], object]] = {
    r"(?<=/messages/)64\b": received,
    r"(?<=/messages/)65\b": lambda people: send(people["ada"], company.DIRECT, "Figures", delay=60),
    r'(?<="message_id": )65\b': lambda people: send(people["ada"], company.DIRECT, "Figures"),
    r"(?<=/held/)64\b": held,
    r"(?<=/audit-rules/)3\b": rule,
    r"(?<=/drafts/)71\b(?=/send)": lambda people: draft(people, versions=2),
    r"(?<=/drafts/)71\b": lambda people: draft(people, versions=1),
    r"(?<=/tokens/)12\b": token,
    RECALL: recall,
    BATCH: batch,
}
"""What the examples take for there, and how it comes about here."""


@pytest.mark.parametrize("example", REQUESTS, ids=lambda example: " ".join(example.split())[-60:])
def test_an_example_runs(example: str, people: dict[str, Person], stack: Stack, tmp_path: Path):
    if "@figures.pdf" in example:
        (tmp_path / "figures.pdf").write_bytes(b"%PDF-1.4")
    for pattern, make in MADE.items():
        if re.search(pattern, example):
            example = re.sub(pattern, str(make(people)), example)
    if APPROVAL in example:
        example = example.replace(APPROVAL, waiting(people, stack))
    as_moderator = re.search(r"/(held|audit-rules|admin|undo)\b", example)
    sign_in = SIGN_IN.replace(company.SENDER, company.POSTMASTER) if as_moderator else SIGN_IN
    script = f"{CAREFUL}\n{SET_UP}\n{sign_in}\n{example}".replace("http://localhost:8080", stack.gateway_url)

    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 0, done.stdout + done.stderr


def test_every_address_of_the_document_is_one_of_the_example_company():
    addresses = set(re.findall(r"[\w.]+@[\w-]+(?:\.[\w-]+)+", DOCUMENT))
    assert {address.partition("@")[2] for address in addresses} <= {company.DOMAIN, "elsewhere.example"}
