"""Somebody who goes to the OpenID provider and comes back, and what they see where that is in vain."""

import re
from urllib.parse import urlsplit

import httpx
from werkzeug.test import TestResponse

from tests.browsing import Visitor

SESSION = "mailrecall_session"
AWAY = {"en": "does not answer right now", "zh": "暂时没有响应"}
"""The words of the page while the provider is away."""


def go(visitor: Visitor, path: str = "/sign-in/provider") -> str:
    """Click the button; return where the provider sends one back to."""
    answer = visitor.get(path)
    assert answer.status_code == 303, answer.get_data(as_text=True)
    return elsewhere(answer.location)


def elsewhere(url: str) -> str:
    there = httpx.get(url, trust_env=False, timeout=30)
    assert there.status_code == 303, there.text
    back = urlsplit(there.headers["Location"])
    assert back.path == "/sign-in/provider/back"
    return f"{back.path}?{back.query}"


def refused(answer: TestResponse, status: int, words: str) -> None:
    """The sign-in page, with the words; nobody is signed in, and nothing of the provider's is shown."""
    text = answer.get_data(as_text=True)
    assert (answer.status_code, answer.mimetype) == (status, "text/html"), text
    assert words in text
    assert 'role="alert"' in text
    assert "@" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL)
    assert not [c for c in answer.headers.getlist("Set-Cookie") if c.startswith(SESSION)]
