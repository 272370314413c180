"""Whatever the document allows is answered as it says, and what it does not allow is refused: by schemathesis.

Not part of `make test`, because it takes minutes: `make test-api`. Derandomised: every run sends the same requests.
"""

from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import positive_data_acceptance

from mailrecall import clock
from mailrecall.directory import audit_rules, tokens
from mailrecall.directory.tokens import Scope
from tests import company
from tests.gateway import Gateway, gateway

EXAMPLES = 5
NEVER_ENDING = {"/api/v1/recalls/{public_id}/events"}
"""Live views of what does not end; `tests/integration/test_recall_streams.py` has their tests."""


_REASON = "a reason has to show something and no control characters: more than a portable pattern can say"
BEYOND_A_SCHEMA = {
    "PUT /api/v1/account/forwarding": "whether mail can go to an address",
    "POST /api/v1/audit-rules": "what can be a sender",
    "POST /api/v1/drafts": "what shows of a file's name",
    "PUT /api/v1/drafts/{draft_id}": "which version is the one that is saved",
    "DELETE /api/v1/drafts/{draft_id}": "which version is the one that is saved",
    "POST /api/v1/drafts/{draft_id}/send": "whether a draft has recipients",
    "PATCH /api/v1/messages/{copy_id}": "which folders a message can go to",
    "POST /api/v1/messages": "whether there is anybody of that address",
    "POST /api/v1/messages/{copy_id}/forward": "whether there is anybody of that address",
    "GET /api/v1/recalls/{public_id}/failures": "which cursors were given out",
    "GET /api/v1/admin/messages": "whether a search says what is looked for, and which cursors were given out",
    "POST /api/v1/tokens": "what shows of a name",
    "POST /api/v1/held/{message_id}/reject": _REASON,
    "PUT /api/v1/admin/accounts/{address}/hold": _REASON,
    "POST /api/v1/recalls": _REASON,
    "POST /api/v1/recalls/{public_id}/undo": _REASON,
    "POST /api/v1/admin/recall-batches": _REASON,
}
"""Operations that can refuse what their schema allows, and what that depends on; all other checks hold for them."""


@pytest.fixture(scope="module")
def web(settings, databases) -> Gateway:
    # schemathesis tries wrong passwords with every request, and very many of them: it is not to be told to wait
    return gateway(
        settings, databases, gateway_streams=0, password_guesses=10_000, rate_limit_account="", rate_limit_address=""
    )


@pytest.fixture(scope="module")
def people(web, databases) -> dict[str, dict[str, str]]:
    firm, elsewhere = company.found(databases, people=3), company.found(databases, people=1)
    moderator = firm.people[2]
    with databases.control() as control:
        audit_rules.set_moderator(control, moderator.id, moderator=True)
        read_only, _ = tokens.issue(
            control, firm.people[0].id, "read", {Scope.READ}, lifetime=timedelta(hours=1), now=clock.now()
        )
    content = {
        "to": [firm.people[1].address],
        "subject": "Figures",
        "attachments": [{"filename": "a", "content": "NDIK"}],
    }
    author = web.as_(firm.people[0])
    for _ in range(3):
        sent = author.post("/messages", json=content).get_json()["id"]
    web.deliver()
    author.post("/recalls", json={"message_id": sent, "reason": "wrong"})
    web.deliver()
    author.post("/drafts", json={"subject": "Figures"})
    postmaster = web.as_(firm.postmaster)
    postmaster.post("/audit-rules", json={"name": "Contracts", "keyword": "contract"})
    author.post("/messages", json={**content, "subject": "The contract"})
    return {
        "anonymous": {},
        "user": dict(author.headers),
        # what the token may read, and nothing that it may not
        "reader": {"Authorization": f"Bearer {read_only}"},
        "moderator": dict(web.as_(moderator).headers),
        "administrator": dict(postmaster.headers),
        "stranger": dict(web.as_(elsewhere.postmaster).headers),
    }


@pytest.fixture(scope="module")
def document(web) -> Any:
    schema = schemathesis.openapi.from_wsgi("/api/v1/openapi.json", web.app)
    return schema.exclude(path=list(NEVER_ENDING))


def test_every_exception_is_an_operation_of_the_document(document):
    labels = {found.ok().label for found in document.get_all_operations()}
    assert BEYOND_A_SCHEMA.keys() - labels == set()


@pytest.mark.parametrize("role", ["anonymous", "user", "reader", "moderator", "administrator", "stranger"])
@pytest.mark.parametrize("mode", list(GenerationMode), ids=lambda mode: mode.value)
def test_every_operation_keeps_its_word(document, people, role, mode):
    """All of them before the test fails, so that one run tells everything."""
    headers, failures = people[role], []
    for found in document.get_all_operations():
        operation = found.ok()
        try:
            keep_its_word(operation, headers, mode)
        except Unsatisfiable:
            # nothing that this operation takes can be wrong
            continue
        except (AssertionError, FailureGroup) as failure:
            failures.append(f"{operation.label}: {failure}")
    assert not failures, "\n\n".join(failures)


def keep_its_word(operation: Any, headers: dict[str, str], mode: GenerationMode) -> None:
    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(
        max_examples=EXAMPLES, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    def run(case: Any) -> None:
        response = case.call(headers=headers)
        assert response.status_code < 500, response.text
        excluded = [positive_data_acceptance] if operation.label in BEYOND_A_SCHEMA else []
        case.validate_response(response, headers=headers, excluded_checks=excluded)

    run()
