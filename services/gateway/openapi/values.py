"""Values and their schemas: what a field of ours, or a part of an address, is in JSON Schema."""

from collections.abc import Collection, Mapping
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from marshmallow import Schema
from marshmallow.fields import Field
from werkzeug.routing import BaseConverter, IntegerConverter, UUIDConverter

from mailrecall.domain.copies import Folder
from mailrecall.domain.outcomes import Outcome
from services.gateway import fields

_MEDIA_NAME = "[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]{0,126}"
_MEDIA_TYPE = f"^{_MEDIA_NAME}/{_MEDIA_NAME}$"
_BASE64 = r"^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
_NO_NUL = r"^[^\u0000]*$"
_ONE_LINE = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"
_SHOWN = r"^[^\u0000-\u001f\u007f-\u009f\u2028\u2029]*[!-~][^\u0000-\u001f\u007f-\u009f\u2028\u2029]*$"

_SLUGS = [outcome.slug for outcome in Outcome]

# a subclass stands before its base
_KINDS: tuple[tuple[type[Field[Any]], Mapping[str, Any]], ...] = (
    (fields.Reason, {"type": "string", "minLength": 1, "maxLength": 500, "pattern": _NO_NUL}),
    (
        fields.MediaType,
        {"type": "string", "pattern": _MEDIA_TYPE, "description": "A media type (RFC 6838), not a multipart one."},
    ),
    (fields.Name, {"type": "string", "minLength": 1, "pattern": _ONE_LINE}),
    (fields.Line, {"type": "string", "pattern": _ONE_LINE}),
    (fields.Text, {"type": "string", "pattern": _NO_NUL}),
    (fields.MailAddress, {"type": "string", "format": "email"}),
    (fields.Base64, {"type": "string", "contentEncoding": "base64", "pattern": _BASE64}),
    (fields.TrueFalse, {"type": "boolean"}),
    (fields.Number, {"type": "integer"}),
    (fields.FolderName, {"type": "string", "enum": [folder.slug for folder in Folder]}),
    (fields.OutcomeName, {"type": "string", "enum": _SLUGS}),
    (
        fields.Outcomes,
        {
            "type": "object",
            "description": "How many recipients had each outcome (R9); outcomes that nobody had are left out.",
            "propertyNames": {"enum": _SLUGS},
            "additionalProperties": {"type": "integer", "minimum": 1},
        },
    ),
    (fields.Link, {"type": ["string", "null"], "format": "uri-reference"}),
)


def teach(plugin: MarshmallowPlugin) -> None:
    """Let the plugin know the fields of ours."""
    converter = plugin.converter
    if converter is None:
        raise AssertionError("the plugin belongs to no document yet")

    def property_of(_converter: object, field: Field[Any], **_: Any) -> dict[str, Any]:
        return of_field(field)

    converter.add_attribute_function(property_of)  # type: ignore[no-untyped-call]


def of_field(field: Field[Any]) -> dict[str, Any]:
    """Return what a field of ours is; nothing of any other."""
    if not isinstance(field, fields.Value):
        return {}
    found: dict[str, Any] = next((dict(schema) for kind, schema in _KINDS if isinstance(field, kind)), {})
    # a field can say it itself, which is how those that come later do
    found.update(getattr(field, "document", {}))
    if isinstance(field, fields.Number):
        found.update(minimum=field.least, maximum=field.most)
    if field.allow_none and isinstance(found.get("type"), str):
        found["type"] = [found["type"], "null"]
        if "enum" in found:
            found["enum"] = [*found["enum"], None]
    return found


def of_converter(converter: BaseConverter | None) -> dict[str, Any]:
    """Return what a part of an address is."""
    if isinstance(converter, IntegerConverter):
        least = converter.min or 0
        most = converter.max if converter.max is not None else 999_999
        return {"type": "integer", "minimum": least, "maximum": most}
    if isinstance(converter, UUIDConverter):
        return {"type": "string", "format": "uuid"}
    return {"type": "string", "minLength": 1}


def complete(schemas: dict[str, dict[str, Any]], kinds: Mapping[str, type[Schema]], taken: Collection[str]) -> None:
    """Say what the classes of the schemas say besides, and mend what the plugin cannot know.

    Of what is only given, never taken, all is always there; and there may be more some day.

    Args:
        schemas: by name, changed in place.
        kinds: the classes that they were made from: `EXAMPLE` and `DOCUMENT` (more of JSON Schema) are looked up there.
        taken: the names of those that a request is read by.
    """
    for name, kind in kinds.items():
        schema = schemas[name]
        schema["description"] = " ".join((kind.__doc__ or "").split())
        schema.update(getattr(kind, "DOCUMENT", {}))
        if hasattr(kind, "EXAMPLE"):
            schema["examples"] = [kind.EXAMPLE]
        for described in schema.get("properties", {}).values():
            _mend(described)
    for name in sorted(_only_given(schemas, taken)):
        schema = schemas[name]
        if "properties" in schema:
            schema["required"] = list(schema["properties"])
            schema.pop("additionalProperties", None)


def _mend(described: dict[str, Any]) -> None:
    """Give a property its type where the plugin left it out, and take away a default that nobody could send."""
    if "enum" in described and "type" not in described:
        described["type"] = ["string", "null"] if None in described["enum"] else "string"
    if described.get("default", ...) is None and "null" not in described.get("type", []):
        del described["default"]


def _only_given(schemas: Mapping[str, dict[str, Any]], taken: Collection[str]) -> set[str]:
    waiting, seen = list(taken), set(taken)
    while waiting:
        for name in _references(schemas.get(waiting.pop(), {})):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return set(schemas) - seen - {"Problem"}


def _references(schema: object) -> list[str]:
    if isinstance(schema, dict):
        found = [schema["$ref"].rpartition("/")[2]] if isinstance(schema.get("$ref"), str) else []
        return found + [name for below in schema.values() for name in _references(below)]
    if isinstance(schema, list):
        return [name for below in schema for name in _references(below)]
    return []
