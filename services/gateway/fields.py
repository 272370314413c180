"""The kinds of values that go in and out, read strictly: what is not plainly right is refused, never guessed at."""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, TypeVar

from marshmallow import ValidationError
from marshmallow.fields import Field

from mailrecall.domain.addresses import Address, AddressError
from mailrecall.domain.copies import Folder
from mailrecall.domain.outcomes import Outcome, Tally
from mailrecall.domain.recalls import ReasonError, clean_reason
from mailrecall.mailstore.reading import HIGHEST_ID
from mailrecall.recalls import failures
from mailrecall.recalls.search import Place

T = TypeVar("T")

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# RFC 6838 section 4.2
_MEDIA_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}")
_DIGITS = re.compile(r"[0-9]{1,19}")


class Value(Field[T]):
    """A field that needs nothing but its value."""

    def read(self, value: Any) -> T:
        """Return the value as it came in, checked.

        Raises:
            ValidationError: it is not what it has to be.
            NotImplementedError: it is of a kind that is only ever written, such as a link.
        """
        raise NotImplementedError

    def write(self, value: T) -> Any:
        """Return the value as JSON has it: as it is, unless a kind says otherwise."""
        return value

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **_: Any) -> T:  # noqa: ARG002
        return self.read(value)

    def _serialize(self, value: T | None, attr: str | None, obj: Any, **_: Any) -> Any:  # noqa: ARG002
        return None if value is None else self.write(value)


class Text(Value[str]):
    """Text of any number of lines that UTF-8 and PostgreSQL can hold."""

    def read(self, value: Any) -> str:
        """Return the text."""
        if not isinstance(value, str):
            raise ValidationError("Must be text.")
        # JSON can spell half a character (a lone surrogate), which no mail can carry
        if "\0" in value or any("\ud800" <= character <= "\udfff" for character in value):
            raise ValidationError("Has characters that cannot be stored.")
        return value


class Line(Text):
    """Text that stands in a header field: without line breaks, which would begin a field of the sender's own."""

    def read(self, value: Any) -> str:
        """Return the line."""
        line = super().read(value)
        if _CONTROL.search(line):
            raise ValidationError("Must be one line without control characters.")
        return line


class Name(Line):
    """A line that says something."""

    def read(self, value: Any) -> str:
        """Return the name."""
        name = super().read(value)
        if not name.strip():
            raise ValidationError("Must not be empty.")
        return name


class MediaType(Line):
    """The type of an attachment. A multipart is none: it would be read as part of the message around it."""

    def read(self, value: Any) -> str:
        """Return the type in lower case."""
        media_type = super().read(value).lower()
        if not _MEDIA_TYPE.fullmatch(media_type) or media_type.startswith("multipart/"):
            raise ValidationError("Must be a media type such as application/pdf.")
        return media_type


class MailAddress(Value[Address]):
    """A mail address without a display name."""

    def read(self, value: Any) -> Address:
        """Return the address."""
        if not isinstance(value, str):
            raise ValidationError("Must be a mail address.")
        try:
            address = Address.parse(value)
            str(address).encode()
        except AddressError as error:
            raise ValidationError(str(error)) from None
        except UnicodeEncodeError:
            raise ValidationError("That mail address has characters that cannot be sent.") from None
        return address

    def write(self, value: Address | str) -> str:
        """Return the address as text."""
        return str(value)


class Base64(Value[bytes]):
    """Octets in base64 (RFC 4648 section 4); line breaks in it are taken."""

    def read(self, value: Any) -> bytes:
        """Return the octets."""
        if not isinstance(value, str):
            raise ValidationError("Must be base64 text.")
        try:
            return base64.b64decode("".join(value.split()), validate=True)
        except (binascii.Error, ValueError):
            raise ValidationError("Is not base64.") from None


class TrueFalse(Value[bool]):
    """JSON's true or false, or these words in a query; not 1, "yes" or the like."""

    def read(self, value: Any) -> bool:
        """Return which of the two."""
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value in ("true", "false"):
            return value == "true"
        raise ValidationError("Must be true or false.")

    def write(self, value: bool) -> bool:
        """Return which of the two."""
        return value


class Number(Value[int]):
    """A whole number, in JSON or in a query, within bounds."""

    def __init__(self, *, least: int, most: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.least, self.most = least, most

    def read(self, value: Any) -> int:
        """Return the number."""
        number = int(value) if isinstance(value, str) and _DIGITS.fullmatch(value) else value
        if isinstance(number, float) and number.is_integer():
            # JSON knows numbers, not kinds of them: 5.0 is the whole number 5
            number = int(number)
        # a bool is an int in Python, and must not pass for one here
        if type(number) is not int or not self.least <= number <= self.most:
            raise ValidationError(f"Must be a whole number from {self.least} to {self.most}.")
        return number

    def write(self, value: int) -> int:
        """Return the number."""
        return value


_PLACE = re.compile(r"([0-9]{1,17})-([0-9]{1,19})")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOO_HIGH = 2**31
_LATEST_PLACE = datetime(9999, 1, 1, tzinfo=UTC) - _EPOCH


class PlaceCursor(Value[Place]):
    """Where a page of messages ended: the answer's to give, and nobody's to make up."""

    document: ClassVar[Mapping[str, Any]] = {"type": "string", "pattern": "^[0-9]{1,17}-[0-9]{1,19}$"}

    def read(self, value: Any) -> Place:
        """Return the place."""
        found = _PLACE.fullmatch(value) if isinstance(value, str) else None
        elapsed = timedelta(microseconds=int(found[1])) if found else _LATEST_PLACE
        if found is None or elapsed >= _LATEST_PLACE or int(found[2]) > HIGHEST_ID:
            raise ValidationError("Must be the next_cursor of an answer.")
        return Place(_EPOCH + elapsed, int(found[2]))

    def write(self, value: Place) -> str:
        """Return the place as text."""
        return f"{(value.accepted_at - _EPOCH) // timedelta(microseconds=1)}-{value.message_id}"


class FailureCursor(Value[failures.Place]):
    """Where a page of failed accounts ended: the answer's to give, and nobody's to make up."""

    document: ClassVar[Mapping[str, Any]] = {"type": "string", "pattern": "^[A-Za-z0-9_-]{4,1500}$"}

    def read(self, value: Any) -> failures.Place:
        """Return the place."""
        try:
            octets = base64.b64decode(value + "=" * (-len(value) % 4), altchars=b"-_", validate=True)
            part, number, after = json.loads(octets)
            place = failures.Place(failures.Part(part), number, after)
        except (AttributeError, ValueError, TypeError, RecursionError):
            place = None
        if place is None or not _is_place(place):
            raise ValidationError("Must be the next_cursor of an answer.")
        return place

    def write(self, value: failures.Place) -> str:
        """Return the place as text."""
        octets = json.dumps([value.part.value, value.number, value.after], separators=(",", ":")).encode()
        return base64.urlsafe_b64encode(octets).decode().rstrip("=")


def _is_place(place: failures.Place) -> bool:
    """Tell whether a database can be asked for what comes after a place that somebody may have made up."""
    if type(place.number) is not int or not 0 <= place.number < _TOO_HIGH:
        return False
    if place.part is failures.Part.OUTSIDE:
        return isinstance(place.after, str) and place.after.isprintable()
    return type(place.after) is int and 0 <= place.after < _TOO_HIGH


class Reason(Text):
    """R11: why a message is recalled."""

    def read(self, value: Any) -> str:
        """Return the reason, trimmed."""
        try:
            return clean_reason(super().read(value))
        except ReasonError as error:
            raise ValidationError(str(error)) from None


class FolderName(Value[Folder]):
    """A folder by its slug."""

    def read(self, value: Any) -> Folder:
        """Return the folder."""
        try:
            return Folder.from_slug(value if isinstance(value, str) else "")
        except ValueError as error:
            raise ValidationError(str(error)) from None

    def write(self, value: Folder) -> str:
        """Return the slug."""
        return value.slug


class Outcomes(Value[Tally]):
    """R9: how many recipients ended with each outcome; outcomes that nobody had are left out."""

    def write(self, value: Tally) -> dict[str, int]:
        """Return the counts by slug."""
        return value.as_slugs()


class OutcomeName(Value[Outcome]):
    """R9: an outcome by its slug."""

    def write(self, value: Outcome) -> str:
        """Return the slug."""
        return value.slug


class Link(Value[Any]):
    """Where a thing is to be found, made from its id: a reference without host, so that it holds behind any proxy."""

    def __init__(self, template: str, **kwargs: Any) -> None:
        super().__init__(dump_only=True, **kwargs)
        self.template = template

    def write(self, value: Any) -> str:
        """Return the link."""
        return self.template.format(value)
