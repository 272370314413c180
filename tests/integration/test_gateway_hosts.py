"""Requests for hosts that cannot exist: no address of any page can be written for them."""

import pytest

from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from tests.gateway import Gateway, gateway


@pytest.fixture(scope="module")
def web(settings: Settings, databases: Databases) -> Gateway:
    return gateway(settings, databases)


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("path", ["/mail/inbox", "/help", "/nowhere", "/api/v1/account"])
@pytest.mark.parametrize("host", ["a" * 100, "a..b", "\xff" * 70, "a b", "[::1", "a:b"])
def test_a_host_that_cannot_be_one_is_no_failure_of_ours(web: Gateway, host: str, path: str, accept: str):
    client = web.app.test_client()
    answer = client.get(path, headers={"Accept": accept}, environ_overrides={"HTTP_HOST": host})
    assert answer.status_code < 500, answer.get_data(as_text=True)
