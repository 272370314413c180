"""Who works under load: clerks who take small mails back, administrators who take group mails back, and readers.

`python -m tests.load` runs this with Locust against a system that has the example company. What the system promises is
written to the file that `--promises` names.
"""

import itertools
import random
import signal
import time
from pathlib import Path
from typing import Any

import gevent
from locust import HttpUser, between, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment

from mailrecall.demo import company
from tests.load import promises
from tests.load.promises import Asked, Entry, Failed, Opened, Sent

API = "/api/v1"
SETTLED_WITHIN = 60.0
"""Seconds after which a recall that is not settled counts as a failure."""
UNTIL = "until"
"""In the place of a request's method: the line tells how long something took to become true."""
_PAUSE = 0.2
"""Seconds between two looks at a recall's progress."""

_AURORA = 7
"""Every seventh of the example company is in this project; most mail goes to them, so they have something to read."""
_MEMBERS = 60
_random = random.Random(4)
_SIZES = {company.AURORA: company.PEOPLE // _AURORA, company.EVERYONE: company.PEOPLE}
_NO_ANSWER = (0, 503)
"""Nobody was there, or somebody who says to come back later: what was asked for may or may not have happened."""
_clerks = itertools.count(2_000)
_readers = itertools.cycle(range(_AURORA, _AURORA * (_MEMBERS + 1), _AURORA))


@events.init_command_line_parser.add_listener
def _take_arguments(parser: LocustArgumentParser) -> None:
    parser.add_argument("--promises", type=Path, required=True, help="The file that promises are added to.")


@events.init.add_listener
def _end_early(environment: Environment, **_: Any) -> None:
    # as at the end of its time; Locust's own way breaks whatever some user is at
    assert environment.runner is not None
    gevent.signal_handler(signal.SIGINT, environment.runner.quit)


@events.init.add_listener
def _note_failures(environment: Environment, **_: Any) -> None:
    def note(name: str, exception: BaseException | None = None, response: Any = None, **_: Any) -> None:
        status = 0 if response is None else response.status_code
        if exception is not None:
            why = f"status {status}" if status else type(exception).__name__
            _promised(environment, Failed(name, status in _NO_ANSWER, why))

    environment.events.request.add_listener(note)


def _promised(environment: Environment, entry: Entry) -> None:
    assert environment.parsed_options is not None
    promises.write(environment.parsed_options.promises, entry)


def _granted(answer: Any) -> bool:
    # `ok` raises where nobody answered
    return answer.status_code in range(200, 300)


class Person(HttpUser):
    """Somebody of the example company, signed in."""

    abstract = True
    wait_time = between(0.5, 2.0)

    def sign_in(self, address: str) -> int:
        """Get a token and go on with it; returns the id of the mailbox."""
        answer = self.client.post(f"{API}/tokens", auth=(address, company.PASSWORD), name="sign in")
        answer.raise_for_status()
        self.client.headers["Authorization"] = f"Bearer {answer.json()['token']}"
        account = self.client.get(f"{API}/account", name="who am I")
        account.raise_for_status()
        return int(account.json()["id"])

    def send(self, to: set[str], what: str) -> int | None:
        """Send a message at once; returns the id of the copy in Sent."""
        message = {"to": sorted(to), "subject": f"About {what}", "text": "Good morning.\n" * 20, "delay": 0}
        answer = self.client.post(f"{API}/messages", json=message, name=f"send {what}")
        if not _granted(answer):
            return None
        copy_id = int(answer.json()["id"])
        _promised(self.environment, Sent(copy_id, sum(_SIZES.get(address, 1) for address in to)))
        return copy_id

    def take_back(self, copy_id: int, what: str) -> None:
        """Recall a message and watch until it is settled."""
        began = time.perf_counter()
        asked = {"message_id": copy_id, "reason": "Sent in error"}
        answer = self.client.post(f"{API}/recalls", json=asked, name=f"recall {what}")
        if not _granted(answer):
            return
        progress = answer.json()
        _promised(self.environment, Asked(progress["id"]))
        while progress["state"] != "settled" and time.perf_counter() - began < SETTLED_WITHIN:
            time.sleep(_PAUSE)
            looked = self.client.get(f"{API}/recalls/{progress['id']}", name="look at a recall")
            if _granted(looked):
                progress = looked.json()
        self._note_settled(f"{what} settled", time.perf_counter() - began, in_time=progress["state"] == "settled")

    def _note_settled(self, name: str, seconds: float, *, in_time: bool) -> None:
        # a line of its own: it is no request, so it does not belong in their number or in their percentiles
        line = self.environment.stats.get(name, UNTIL)
        line.log(round(seconds * 1000), 0)
        if not in_time:
            line.log_error(f"not settled within {SETTLED_WITHIN:.0f} s")
            # it has no answer of its own: whether it settles in the end is seen in the books
            _promised(self.environment, Failed(name, True, "TimeoutError"))

    def inbox(self) -> list[dict[str, Any]]:
        """List the newest messages, which is no read (R2)."""
        answer = self.client.get(f"{API}/folders/inbox/messages?limit=20", name="list the inbox")
        return list(answer.json()["messages"]) if _granted(answer) else []


class Clerk(Person):
    """Writes to a few colleagues and takes it back now and then."""

    weight = 6

    def on_start(self) -> None:
        """Sign in."""
        self.sign_in(company.address(next(_clerks)))

    @task
    def write_and_take_back(self) -> None:
        """Send to one to three people; recall half of it."""
        to = {company.address(_AURORA * _random.randint(1, _MEMBERS)) for _ in range(_random.randint(1, 3))}
        copy_id = self.send(to, "a small mail")
        if copy_id is not None and _random.random() < 0.5:
            time.sleep(_random.uniform(0.0, 4.0))
            self.take_back(copy_id, "a small mail")


class Reader(Person):
    """Looks into the inbox and opens what is new."""

    weight = 4
    wait_time = between(0.2, 1.0)

    def on_start(self) -> None:
        """Sign in."""
        self.mailbox_id = self.sign_in(company.address(next(_readers)))

    @task
    def read(self) -> None:
        """Open the newest that is unread, if it is still there: it may have been recalled in between."""
        unread = [message for message in self.inbox() if message["unread"]]
        if unread:
            link = f"{API}/messages/{unread[0]['id']}"
            with self.client.get(link, name="open a message", catch_response=True) as answer:
                if answer.status_code == 404:
                    answer.success()
                elif _granted(answer):
                    _promised(self.environment, Opened(self.mailbox_id, unread[0]["id"]))


class Administrator(Person):
    """Writes to groups and takes that back."""

    fixed_count = 2
    wait_time = between(1.0, 3.0)

    def on_start(self) -> None:
        """Sign in as the postmaster."""
        self.sign_in(company.POSTMASTER)

    @task
    def write_to_a_group_and_take_it_back(self) -> None:
        """Send to more than a thousand, or to all ten thousand, and recall it while some read it."""
        copy_id = self.send({_random.choice([company.AURORA, company.EVERYONE])}, "a group mail")
        if copy_id is not None:
            time.sleep(2.0)
            self.take_back(copy_id, "a group mail")
