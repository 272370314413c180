"""HTML that came by mail, made harmless: what strangers wrote is shown in a sandbox of its own, and fetches nothing."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import nh3
from flask import Response, render_template

from services.gateway.pages import bounding

_PRESENTATION = {"align", "valign", "bgcolor", "color", "width", "height", "dir", "lang", "title", "style"}
_TABLE = {"border", "cellpadding", "cellspacing", "colspan", "rowspan", "role"}
_ATTRIBUTES: Final[Mapping[str, set[str]]] = {
    "*": _PRESENTATION,
    "a": {"href", "name"},
    "img": {"src", "alt"},
    "font": {"face", "size"},
    "ol": {"start", "type"},
    "ul": {"type"},
    "table": _TABLE,
    "td": _TABLE,
    "th": _TABLE | {"scope"},
    "blockquote": {"cite"},
}
_TAGS = nh3.ALLOWED_TAGS | {"font", "center", "tt", "big", "u", "ins", "strike", "section", "article"}
_STYLES = {
    *("color", "background-color", "text-align", "text-decoration", "text-transform", "vertical-align", "white-space"),
    *("font", "font-family", "font-size", "font-style", "font-weight", "line-height", "letter-spacing", "direction"),
    *("margin", "margin-top", "margin-right", "margin-bottom", "margin-left"),
    *("padding", "padding-top", "padding-right", "padding-bottom", "padding-left"),
    *("border", "border-top", "border-right", "border-bottom", "border-left", "border-color", "border-style"),
    *("border-width", "border-radius", "border-collapse", "border-spacing", "table-layout"),
    *("width", "height", "max-width", "min-width", "max-height", "min-height", "display", "overflow", "float", "clear"),
    *("word-break", "overflow-wrap", "word-wrap", "list-style-type"),
}
"""None of them can fetch anything or leave its place; `url()` is in none."""

_PICTURES = {"image/png", "image/jpeg", "image/gif", "image/webp"}
_MOST_INLINE = 8 * 1024 * 1024
"""Octets of pictures that a message can bring along and have shown."""

_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:{remote}; form-action 'none'; base-uri 'none'; "
    "frame-ancestors 'self'; sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox"
)
"""No script runs in there. The same origin, so that the page around it can measure how tall the message is."""


@dataclass(frozen=True, slots=True)
class Cleaned:
    """A message's HTML as it can be shown."""

    html: str
    remote_images: int
    """Pictures that lie elsewhere: to fetch them tells the sender that, when and where the message was read."""


def clean(html: str, pictures: Mapping[str, tuple[str, bytes]], *, remote: bool = False) -> Cleaned:
    """Take everything out that is not for reading.

    Args:
        html: as it came.
        pictures: those that the message brings along, by Content-ID.
        remote: whether pictures from elsewhere may stay.
    """
    found_remote = 0
    left = _MOST_INLINE

    def attribute(tag: str, name: str, value: str) -> str | None:
        nonlocal found_remote, left
        address = value.strip()
        scheme = address.partition(":")[0].lower() if ":" in address else ""
        if name in ("href", "cite"):
            return address if scheme in ("http", "https", "mailto", "tel") else None
        if (tag, name) != ("img", "src"):
            return value
        if scheme in ("http", "https"):
            found_remote += 1
            return address if remote else None
        if scheme == "cid":
            kind, octets = pictures.get(address[4:], ("", b""))
            left -= len(octets)
            return _as_data(kind, octets) if kind in _PICTURES and left >= 0 else None
        return address if address.startswith(tuple(f"data:{kind};base64," for kind in _PICTURES)) else None

    cleaned = nh3.clean(
        bounding.bounded(html),
        tags=_TAGS,
        clean_content_tags={"script", "style", "title", "template"},
        attributes={tag: set(names) for tag, names in _ATTRIBUTES.items()},
        attribute_filter=attribute,
        filter_style_properties=_STYLES,
        url_schemes={"http", "https", "mailto", "tel", "cid", "data"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
    return Cleaned(cleaned, found_remote)


def framed(cleaned: Cleaned, *, remote: bool) -> Response:
    """Return what the frame around a message's HTML shows."""
    response = Response(render_template("message_body.html", html=cleaned.html))
    response.headers["Content-Security-Policy"] = _POLICY.format(remote=" https: http:" if remote else "")
    response.headers["X-Frame-Options"] = "SAMEORIGIN"
    return response


def _as_data(kind: str, octets: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(octets).decode()}"
