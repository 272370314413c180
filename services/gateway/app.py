"""The gateway as a Flask application."""

from flask import Flask
from werkzeug.routing import IntegerConverter, Map

from mailrecall.mailstore.reading import HIGHEST_ID
from mailrecall.wiring import Process
from services.gateway import api, observing, problems
from services.gateway.current import EXTENSION
from services.gateway.settings import GatewaySettings

_LONGEST_FORM_TEXT = 16 * 1024 * 1024
"""Octets that the text fields of a form may have together; files are kept on disk and bounded by the request's size."""


class CopyIdConverter(IntegerConverter):
    """A copy's id in an address; a number that cannot be one is an address that does not exist."""

    regex = r"[0-9]{1,19}"

    def __init__(self, url_map: Map) -> None:
        """Bound what the converter takes."""
        super().__init__(url_map, min=1, max=HIGHEST_ID)


class IndexConverter(IntegerConverter):
    """The place of a thing among others of its kind, from 0."""

    regex = r"[0-9]{1,6}"


def create_app(process: Process[GatewaySettings]) -> Flask:
    """Build the application that serves one process's databases."""
    app = Flask("services.gateway", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=process.settings.max_upload,
        MAX_FORM_MEMORY_SIZE=min(process.settings.max_upload, _LONGEST_FORM_TEXT),
        MAX_FORM_PARTS=process.settings.max_recipients + 1000,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["copy_id"] = CopyIdConverter
    app.url_map.converters["index"] = IndexConverter
    app.url_map.strict_slashes = False
    app.extensions[EXTENSION] = process
    observing.register(app, https=process.settings.public_url.startswith("https://"))
    problems.register(app)
    api.register(app)
    return app
