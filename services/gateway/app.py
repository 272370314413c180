"""The gateway as a Flask application."""

from flask import Flask
from werkzeug.middleware.proxy_fix import ProxyFix
from werkzeug.routing import IntegerConverter, Map

from mailrecall.mailstore.reading import HIGHEST_ID
from mailrecall.wiring import Process
from services.gateway import api, limiting, observing, pages, problems
from services.gateway.batching import BATCH_WATCH, BatchWatch
from services.gateway.current import EXTENSION
from services.gateway.formdata import FormRequest
from services.gateway.places import Places
from services.gateway.settings import GatewaySettings
from services.gateway.watching import WATCH, Watch

_LONGEST_FORM_TEXT = 16 * 1024 * 1024
"""Octets that the text fields of a form may have together. Files are bounded with the request: it is read into memory
whole, and what each of them holds then goes to disk if it is large."""


class CopyIdConverter(IntegerConverter):
    """A copy's id in an address; a number that cannot be one is an address that does not exist."""

    regex = r"[0-9]{1,19}"

    def __init__(self, url_map: Map) -> None:
        """Bound what the converter takes."""
        super().__init__(url_map, min=1, max=HIGHEST_ID)


class IndexConverter(IntegerConverter):
    """The place of a thing among others of its kind, from 0."""

    regex = r"[0-9]{1,6}"


class DirectoryIdConverter(IntegerConverter):
    """The id of an account or a group: an `int` of the control database."""

    regex = r"[0-9]{1,10}"

    def __init__(self, url_map: Map) -> None:
        """Bound what the converter takes."""
        super().__init__(url_map, min=1, max=2**31 - 1)


def create_app(process: Process[GatewaySettings]) -> Flask:
    """Build the application that serves one process's databases."""
    app = Flask("services.gateway", static_folder=None)
    app.request_class = FormRequest
    app.config.update(
        MAX_CONTENT_LENGTH=process.settings.max_upload,
        MAX_FORM_MEMORY_SIZE=min(process.settings.max_upload, _LONGEST_FORM_TEXT),
        MAX_FORM_PARTS=process.settings.max_recipients + 1000,
    )
    app.json.sort_keys = False  # type: ignore[attr-defined]
    app.url_map.converters["copy_id"] = CopyIdConverter
    app.url_map.converters["index"] = IndexConverter
    app.url_map.converters["directory_id"] = DirectoryIdConverter
    app.url_map.strict_slashes = False
    app.extensions[EXTENSION] = process
    app.extensions[WATCH] = Watch(process.databases, most=process.settings.gateway_streams)
    app.extensions[BATCH_WATCH] = BatchWatch(process.databases, most=process.settings.gateway_streams)
    app.wsgi_app = Places(app.wsgi_app, process.settings.gateway_threads)  # type: ignore[method-assign]
    if process.settings.proxies:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=process.settings.proxies, x_proto=0)  # type: ignore[method-assign]
    observing.register(app, https=process.settings.public_url.startswith("https://"))
    problems.register(app)
    limiting.register(app, process.settings)
    api.register(app)
    pages.register(app, process.settings)
    return app
