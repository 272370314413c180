"""What holds for every way in: acknowledged means stored, refused means nothing is stored."""

import pytest

from mailrecall.demo.client import Person, wait_for
from tests import company
from tests.e2e.people import receive


@pytest.fixture
def firm(stack):
    return company.found(stack.databases, people=3)


@pytest.fixture
def inbox(stack):
    people = []

    def sign_in(who) -> Person:
        person = Person(stack.gateway_url, who.address, company.PASSWORD)
        person.sign_in()
        people.append(person)
        return person

    yield sign_in
    for person in people:
        person.__exit__()


def stored(stack, subject) -> int:
    with stack.databases.control() as connection:
        (count,) = connection.execute("SELECT count(*) FROM message WHERE subject = %s", (subject,)).fetchone()
    return int(count)


def test_what_is_accepted_arrives(way_in, firm, inbox):
    subject = f"Accepted by {firm.domain}"
    assert way_in.send(firm.people[0], [firm.people[1].address, firm.people[2].address], subject) == set()

    for person in map(inbox, firm.people[1:]):
        assert person.read(receive(person, subject))["text"].strip() == "Hello"


@pytest.mark.rule(13)
def test_r13_a_group_within_a_group_is_its_members(way_in, firm, inbox, stack):
    inner = company.group(stack.databases, f"inner@{firm.domain}", [firm.people[1]])
    outer = company.group(stack.databases, f"outer@{firm.domain}", [inner, firm.people[2]])
    subject = f"To the groups of {firm.domain}"

    assert way_in.send(firm.people[0], [outer.address], subject) == set()

    for person in map(inbox, firm.people[1:]):
        receive(person, subject)


@pytest.mark.rule(1)
def test_r1_aliases_and_tags_are_their_account(way_in, firm, inbox, stack):
    aliased = company.hire(stack.databases, f"long.name@{firm.domain}", aliases=[f"ln@{firm.domain}"])
    subject = f"Twice to one of {firm.domain}"

    recipients = [f"LN@{firm.domain}", f"long.name+list@{firm.domain}"]
    assert way_in.send(firm.people[0], recipients, subject) == set()

    person = inbox(aliased)
    receive(person, subject)
    with stack.databases.control() as connection:
        wait_for(
            "The delivery",
            lambda: connection.execute(
                "SELECT 1 FROM message WHERE subject = %s AND delivered_at IS NOT NULL", (subject,)
            ).fetchone(),
        )
    listed = person.ask("GET", "/folders/inbox/messages").json()["messages"]
    assert [message["subject"] for message in listed] == [subject]


@pytest.mark.parametrize("local", ["nobody", "closed"])
def test_who_is_not_there_is_refused_and_nothing_stored(way_in, firm, stack, local):
    closed = company.hire(stack.databases, f"closed@{firm.domain}")
    with stack.databases.control() as connection:
        connection.execute("UPDATE account SET closed_at = now() WHERE id = %s", (closed.id,))
    subject = f"To {local} of {firm.domain}"
    recipient = f"{local}@{firm.domain}"

    assert way_in.send(firm.people[0], [recipient], subject) == {recipient}

    assert stored(stack, subject) == 0


def test_what_is_too_large_is_refused_and_nothing_stored(way_in, firm, stack):
    subject = f"Too large for {firm.domain}"
    text = "All work and no play makes a dull mail.\n" * (stack.settings.max_message_size // 40 + 1)
    recipient = firm.people[1].address

    assert way_in.send(firm.people[0], [recipient], subject, text=text) == {recipient}

    assert stored(stack, subject) == 0
