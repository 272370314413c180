"""Signing in at an OpenID provider, with a browser that goes there and comes back."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from playwright.sync_api import expect

from mailrecall.embedded.ports import HOST, free_ports
from tests import company as companies
from tests import listening
from tests import provider as providers
from tests.browser.visits import LANGUAGES, Language, Visits
from tests.company import Company
from tests.provider import Provider
from tests.stack import Stack

ASKED = re.compile(r"/sign-in\?next=/mail/")
BUTTONS = {"en": "Sign in with your organisation", "zh": "使用单位账号登录"}
REFUSALS = {"en": "no mailbox here", "zh": "没有您可以用此方式打开的邮箱"}


@dataclass(frozen=True)
class Place:
    """A gateway on the stack's databases, and the provider that it knows."""

    url: str
    provider: Provider


@pytest.fixture(scope="module")
def place(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    (port,) = free_ports(1)
    url = f"http://{HOST}:{port}"
    own = {"gateway_bind": f"{HOST}:{port}", "gateway_workers": 1, "public_url": url}
    command = ["--config=python:services.gateway.gunicorn_conf", "services.gateway.wsgi:application"]
    log = tmp_path_factory.mktemp("gateway") / "log"
    with providers.running() as provider:
        variables = listening.environment(stack.settings, **own, **provider.settings)
        with listening.listening("gunicorn", variables, log, (HOST, port), arguments=command):
            yield Place(url, provider)


@pytest.mark.parametrize("language", LANGUAGES)
def test_somebody_signs_in_at_the_provider_and_out_again(
    visit: Visits, stack: Stack, company: Company, place: Place, language: Language
):
    somebody = companies.hire(stack.databases, f"at-the-provider-{language}@{company.domain}")
    place.provider.email = somebody.address
    window = visit(language=language)
    window.url = place.url
    page = window.go("/mail/sent")
    page.wait_for_url(ASKED)
    window.speaks()
    window.is_accessible()
    window.fits()
    page.get_by_role("link", name=BUTTONS[language]).click()
    page.wait_for_url("**/mail/sent")
    window.speaks()
    page.click(".account summary")
    expect(page.locator(".menu-head")).to_contain_text(somebody.address)
    page.click(".account button[type=submit]:has(use[href='#icon-sign-out'])")
    page.wait_for_url("**/sign-in")
    page.goto(place.url + "/mail/inbox")
    page.wait_for_url(ASKED)


@pytest.mark.parametrize("language", LANGUAGES)
def test_who_has_no_mailbox_here_is_told_so(visit: Visits, company: Company, place: Place, language: Language):
    place.provider.email = f"nobody@{company.domain}"
    window = visit(language=language)
    window.url, window.expects_refusals = place.url, True
    page = window.go("/sign-in")
    page.click("#provider")
    expect(page.get_by_role("alert").first).to_contain_text(REFUSALS[language])
    window.speaks()
    window.is_accessible()
    window.fits()
