"""An OpenID provider that takes connections and says nothing holds up as few as can be."""

import socket
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import pytest

from services.gateway import provider as gateways_provider
from tests import provider as providers
from tests.browsing import Visitor
from tests.company import Company
from tests.gateway import gateway
from tests.provider import Provider
from tests.provider_visits import AWAY, go, refused


def test_a_provider_that_hangs_is_waited_for_once(settings, databases, monkeypatch):
    monkeypatch.setattr(gateways_provider, "_PATIENCE", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        there = Provider(issuer=f"http://127.0.0.1:{silent.getsockname()[1]}")
        visitor = Visitor(gateway(settings, databases, **there.settings).app)
        began = monotonic()
        for _ in range(10):
            refused(visitor.get("/sign-in/provider"), 503, AWAY["en"])
    assert monotonic() - began < 10 * 0.5


def test_while_one_waits_for_a_provider_that_hangs_others_do_not(settings, databases, monkeypatch):
    monkeypatch.setattr(gateways_provider, "_TURN", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as executor:
        there = Provider(issuer=f"http://127.0.0.1:{silent.getsockname()[1]}")
        web = gateway(settings, databases, **there.settings)
        waiting = executor.submit(Visitor(web.app).get, "/sign-in/provider")
        asked, _ = silent.accept()
        with asked:
            refused(Visitor(web.app).get("/sign-in/provider"), 503, AWAY["en"])
            assert not waiting.done()
            refused(waiting.result(), 503, AWAY["en"])


@pytest.mark.parametrize("place", ["token_endpoint", "userinfo_endpoint"])
def test_a_provider_that_hangs_later_is_waited_for_once_too(settings, databases, company: Company, monkeypatch, place):
    monkeypatch.setattr(gateways_provider, "_PATIENCE", 0.5)
    monkeypatch.setattr(gateways_provider, "_PAUSE", 600.0)
    there = Provider(email=company.people[0].address, in_user_info=True)
    with providers.running(there) as provider, socket.create_server(("127.0.0.1", 0)) as silent:
        provider.metadata = {place: f"http://127.0.0.1:{silent.getsockname()[1]}/"}
        visitor = Visitor(gateway(settings, databases, **provider.settings).app)
        refused(visitor.get(go(visitor)), 503, AWAY["en"])
        asked, _ = silent.accept()
        asked.close()
        refused(visitor.get(go(visitor)), 503, AWAY["en"])
        silent.setblocking(False)
        with pytest.raises(BlockingIOError):
            silent.accept()
