"""The document of this API, and a page to read it and try it out."""

from importlib.metadata import version
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, current_app, json, request, send_from_directory, url_for
from markupsafe import Markup
from werkzeug.exceptions import NotFound

from services.gateway.describing import Answer, SignIn, describe
from services.gateway.openapi import document
from services.gateway.problems import not_found

blueprint = Blueprint("reference", __name__)

_ASSETS = Path(document.__file__).parent / "swagger-ui"
_SERVED = {"swagger-ui-bundle.js", "swagger-ui.css", "start.js", "page.css"}
_MEDIA_TYPE = "application/vnd.oai.openapi+json"
_KEPT = "mailrecall.openapi"
_A_DAY = "public, max-age=86400"

# the reference page sets style attributes; nothing of what anybody mailed is ever shown on it
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_PAGE = Markup("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Mail Recall: HTTP API</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
<link rel="stylesheet" href="{own_style}">
<script src="{bundle}" defer></script>
<script src="{start}" defer></script>
</head>
<body>
<main id="reference" data-document="{document}"><a href="{document}">openapi.json</a></main>
</body>
</html>
""")


@blueprint.get("/openapi.json")
@describe(
    answers={200: Answer(says="OpenAPI 3.1.", media_type=_MEDIA_TYPE), 304: Answer(says="It is what you have.")},
    headers={"If-None-Match": "The ETag of the document that you have."},
    sign_in=SignIn.NOBODY,
)
def show_openapi() -> Any:
    """Return this document."""
    app = current_app
    if _KEPT not in app.extensions:
        # two requests that both find none make the same twice
        app.extensions[_KEPT] = json.dumps(document.build(app, version("mailrecall")))
    response = Response(app.extensions[_KEPT], mimetype=_MEDIA_TYPE)
    response.add_etag()
    response.headers["Cache-Control"] = "no-cache"
    return response.make_conditional(request)


@blueprint.get("/docs")
@describe(answers={200: Answer(says="A page.", media_type="text/html")}, sign_in=SignIn.NOBODY)
def show_reference() -> Any:
    """Return the reference as a page on which requests can be tried out."""
    page = _PAGE.format(
        document=url_for(".show_openapi"),
        style=_asset("swagger-ui.css"),
        own_style=_asset("page.css"),
        bundle=_asset("swagger-ui-bundle.js"),
        start=_asset("start.js"),
    )
    return Response(page, mimetype="text/html", headers={"Content-Security-Policy": _POLICY})


@blueprint.get("/docs/<name>")
@describe(answers={200: Answer(says="A file that the reference page needs.", media_type="*/*")}, sign_in=SignIn.NOBODY)
def show_asset(name: str) -> Any:
    """Return a file of the reference page."""
    if name not in _SERVED:
        raise not_found("file")
    try:
        response = send_from_directory(_ASSETS, name)
    except NotFound:
        raise not_found("file") from None
    response.headers["Cache-Control"] = _A_DAY
    return response


def _asset(name: str) -> str:
    return url_for(".show_asset", name=name)
