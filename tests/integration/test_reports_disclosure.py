"""R23: whom an administrator's report may name, read from the mail as it lies in the mailbox."""

import re
from collections import Counter

import pytest

from mailrecall.domain.copies import Fact
from mailrecall.domain.outcomes import Outcome
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from mailrecall.wiring import Process
from tests import correspondence
from tests.reported import NAMES, everything, inbox, mixed, part, report, settle, totals


@pytest.fixture
def process(settings: Settings, databases: Databases) -> Process[Settings]:
    return Process(settings.model_copy(update={"batch_size": 7}), databases)


@pytest.mark.rule(23, 18)
@pytest.mark.parametrize("people", [12, 70])
def test_r23_an_administrators_report_names_nobody_it_recalled_from(process, databases, people):
    firm, message_id = mixed(process, people=people)
    for person in firm.people[20:]:
        if correspondence.has_copy(databases, person, message_id) and person is not firm.people[-1]:
            correspondence.happen(databases, person, message_id, Fact.READ)
    recall_id = settle(process, firm.postmaster, message_id)
    report(process, recall_id)

    (mail,) = inbox(databases, firm.postmaster)

    said = everything(mail)
    ledger = correspondence.ledger(databases, recall_id)
    names = {person.id: person.address for person in firm.people}
    recalled = [names[mailbox] for mailbox, outcome in ledger.rows if outcome is Outcome.RECALLED]
    kept = [names[mailbox] for mailbox, outcome in ledger.rows if outcome is not Outcome.RECALLED]
    assert recalled
    assert not [address for address in recalled if named(address, said)]
    assert kept
    assert all(named(address, said) for address in kept)
    assert len(list(mail.iter_attachments())) == (people == 70)
    counts = ledger.counts + Counter({Outcome.EXTERNAL: 2})
    assert totals(part(mail, "plain")) == {NAMES[outcome]: n for outcome, n in counts.items()}
    # and the author was not told
    assert inbox(databases, firm.people[0]) == []


@pytest.mark.rule(23)
def test_r23_nobody_is_named_where_the_policy_hides_failed_accounts(process, databases):
    firm, message_id = mixed(process, people=70, admin_sees_failed_accounts=False)
    report(process, settle(process, firm.postmaster, message_id))

    (mail,) = inbox(databases, firm.postmaster)

    said = everything(mail)
    # the author is who the message is from
    assert not [person.address for person in firm.people[1:] if named(person.address, said)]
    assert "elsewhere.example" not in said
    assert not list(mail.iter_attachments())


def named(address: str, text: str) -> bool:
    """Tell whether an address occurs, and not only as the end of a longer one."""
    return re.search(rf"(?<![\w.+-]){re.escape(address)}", text) is not None
