"""What the API's document says of a route, and what a token needs for it: declared beside the route, once.

    @blueprint.post("")
    @describe(body=AskingSchema, answers={202: ProgressSchema}, problems=[Code.WINDOW_EXPIRED], scope=Scope.RECALL)
    def ask_for_recall() -> Any:
        "R11: ask for a message to be recalled."

The declaration is what is enforced, too: how one signs in, the scope, and that parameters nobody declared are refused.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, TypeVar

from marshmallow import Schema

from mailrecall.directory.tokens import Scope
from services.gateway.problems import Code

Example = dict[str, Any]
"""What a schema shows as `EXAMPLE`, or says of itself besides as `DOCUMENT`, in JSON's own types."""

View = TypeVar("View", bound=Callable[..., Any])


class SignIn(Enum):
    """How one has to say who one is."""

    ANY = auto()
    """By password or by token."""
    PASSWORD = auto()
    """A token does not do: it must not give birth to another one."""
    TOKEN = auto()
    NOBODY = auto()
    """The route is open to everybody."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer that needs more words than its schema; without one it has no body."""

    schema: type[Schema] | tuple[type[Schema], ...] | None = None
    """One, or several: of which it is one, or all together."""
    together: bool = False
    says: str = ""
    media_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)
    """Headers by name, with what they say."""


@dataclass(frozen=True, slots=True)
class Description:
    """What is declared of a route."""

    answers: Mapping[int, Answer]
    body: type[Schema] | None
    body_may_be_left_out: bool
    form: type[Schema] | None
    query: type[Schema] | None
    headers: Mapping[str, str]
    problems: tuple[Code, ...]
    scope: Scope | None
    sign_in: SignIn


UNCHANGED = Answer(says="It is what you have.")
"""For 304, where `If-None-Match` names what would be answered."""
IF_NONE_MATCH = {"If-None-Match": "The ETag of what you have."}
WITH_ETAG = {"ETag": "Names this version of the answer."}

_DESCRIPTIONS: dict[Callable[..., Any], Description] = {}


def describe(
    *,
    answers: Mapping[int, type[Schema] | Answer | None],
    body: type[Schema] | None = None,
    body_may_be_left_out: bool = False,
    form: type[Schema] | None = None,
    query: type[Schema] | None = None,
    headers: Mapping[str, str] | None = None,
    problems: Iterable[Code] = (),
    scope: Scope | None = None,
    sign_in: SignIn = SignIn.ANY,
) -> Callable[[View], View]:
    """Declare what a route takes and gives.

    Args:
        answers: what it gives when all goes well, by status; None where it has no body.
        body: its JSON body.
        body_may_be_left_out: whether it can do without.
        form: its body as multipart/form-data, where it takes that too.
        query: its query parameters; without any, every parameter is refused.
        headers: request headers that mean something here, with what they say.
        problems: its own ones, besides those that every route of its kind can answer with.
        scope: what a token needs; without one, `read` for GET and `admin` for all else, which is the safe guess.
        sign_in: how one says who one is.
    """
    described = Description(
        {status: given if isinstance(given, Answer) else Answer(given) for status, given in answers.items()},
        body,
        body_may_be_left_out,
        form,
        query,
        headers or {},
        tuple(problems),
        scope,
        sign_in,
    )

    def keep(view: View) -> View:
        _DESCRIPTIONS[view] = described
        return view

    return keep


def description_of(view: Callable[..., Any] | None) -> Description | None:
    """Return what was declared of a route's function."""
    return _DESCRIPTIONS.get(view) if view else None
