"""R31: help says what holds for its reader: the switches of their organisation."""

import re

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests import company as companies
from tests.browsing import Visitor
from tests.gateway import Gateway, gateway

EACH = "Each recipient's copy is decided on its own."
ALL = "Your organisation recalls all or nothing"
EACH_MEMBER = "In a group, each member's copy is decided on its own"
ALL_MEMBERS = "In a group as well, every copy goes or none"
SILENT = "Recipients are not told."
NOTICE = "Recipients find a short notice"
OPEN = {"unless your organisation recalls all or nothing", "unless your organisation has a notice left"}
CASES: list[tuple[dict[str, object], set[str]]] = [
    ({}, {EACH, EACH_MEMBER, SILENT}),
    ({"tombstone": True}, {EACH, EACH_MEMBER, NOTICE}),
    ({"group_mode": "all_or_nothing"}, {ALL, ALL_MEMBERS, SILENT}),
    ({"group_mode": "all_or_nothing", "tombstone": True}, {ALL, ALL_MEMBERS, NOTICE}),
]


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


def said(visitor: Visitor) -> set[str]:
    """What the page says of all that depends on an organisation."""
    shown = visitor.get("/help").get_data(as_text=True).replace("&#39;", "'")
    words = re.sub(r"\s+", " ", shown)
    return {text for text in {EACH, ALL, EACH_MEMBER, ALL_MEMBERS, SILENT, NOTICE, *OPEN} if text in words}


@pytest.mark.rule(13, 17, 31)
@pytest.mark.parametrize(("switches", "expected"), CASES)
def test_r31_help_says_what_the_policy_says(web, databases, switches: dict[str, object], expected: set[str]):
    firm = companies.found(databases, people=1, switches=switches)
    visitor = Visitor(web.app)
    visitor.sign_in(firm.people[0].address)
    assert said(visitor) == expected


@pytest.mark.rule(31)
def test_r31_help_promises_nobody_what_it_does_not_know(web):
    """Who is not signed in may be of any organisation."""
    assert said(Visitor(web.app)) == OPEN
