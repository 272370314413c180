"""How many passwords IMAP checks at once."""

import asyncio
import threading
from unittest.mock import Mock

import pytest
from pymap.exceptions import InvalidAuth
from pysasl.creds.plain import PlainCredentials

from mailrecall.directory.lookup import Account
from mailrecall.postgres.databases import Databases
from mailrecall.settings import Settings
from services.delivery.imap.connection import Config, State
from services.delivery.imap.desk import Desk
from services.delivery.imap.login import Login
from services.delivery.imap.settings import ImapSettings
from services.delivery.imap.watch import Watch

AT_ONCE = 2
NOWHERE = "postgresql://nobody@127.0.0.1:1/none"


class CountingDesk(Desk):
    """Refuses everybody, and counts who is at the desk."""

    def __init__(self, databases: Databases) -> None:
        super().__init__(databases, 8, password_guesses=10)
        self.full = threading.Barrier(AT_ONCE)
        self.crowded = threading.Event()
        self._here = threading.Semaphore(AT_ONCE)

    def sign_in(self, login: str, password: str, *, origin: str) -> Account | None:  # noqa: ARG002
        if not self._here.acquire(blocking=False):
            self.crowded.set()
            return None
        self.full.wait(20)
        # time for a third to come, if one may
        self.crowded.wait(0.2)
        self._here.release()
        return None


def test_passwords_are_checked_two_at_a_time_so_that_guessing_leaves_threads_for_the_mail():
    settings = Settings.model_validate(
        {"control_url": NOWHERE, "shard_urls": NOWHERE, "broker_url": "redis://127.0.0.1:1"}
    )
    databases = Databases(settings, "tests")
    desk = CountingDesk(databases)

    async def guess() -> None:
        login = Login(desk, Watch(settings))
        guesses = [login.authenticate(PlainCredentials("anna@example.org", "guess")) for _ in range(8)]
        for refused in await asyncio.gather(*guesses, return_exceptions=True):
            with pytest.raises(InvalidAuth):
                raise refused if isinstance(refused, BaseException) else AssertionError(refused)

    asyncio.run(guess())
    desk.close()
    databases.close()

    assert not desk.crowded.is_set()


def test_a_connection_does_not_look_through_all_installed_packages_for_ways_to_sign_in(monkeypatch):
    settings = ImapSettings.model_validate(
        {"control_url": NOWHERE, "shard_urls": NOWHERE, "broker_url": "redis://127.0.0.1:1"}
    )
    config = Config(settings, None, offers_tls=False)
    looking = Mock(return_value=[])
    monkeypatch.setattr("pysasl.entry_points", looking)
    databases = Databases(settings, "tests")
    desk = CountingDesk(databases)
    state = State(Login(desk, Watch(settings)), config, may_sign_in=True)
    desk.close()
    databases.close()
    assert [mechanism.name for mechanism in state.auth.server_mechanisms] == [b"PLAIN", b"LOGIN"]
    looking.assert_not_called()
