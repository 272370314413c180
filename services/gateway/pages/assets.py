"""Style sheets, scripts and pictures of the pages, at addresses that change with their content and so never expire."""

import hashlib
from functools import cache
from importlib.resources import files
from pathlib import Path

from flask import Blueprint, Flask, Response, send_from_directory, url_for

_FOLDER = Path(str(files(__package__))) / "static"
_SERVED = {".css", ".js", ".svg", ".png", ".ico"}
_FOREVER = "public, max-age=31536000, immutable"

blueprint = Blueprint("assets", __name__)


def register(app: Flask) -> None:
    """Serve the files and let templates name them."""
    app.register_blueprint(blueprint)
    app.jinja_env.globals["asset"] = asset


@blueprint.get("/static/<version>/<path:name>")
def file(version: str, name: str) -> Response:
    """Return a file; an address of another version gets the one there is, and may not keep it."""
    if Path(name).suffix not in _SERVED:
        name = "-"
    response = send_from_directory(_FOLDER, name)
    response.headers["Cache-Control"] = _FOREVER if version == _version() else "no-cache"
    return response


def asset(name: str) -> str:
    """Return the address of a file."""
    return url_for("assets.file", version=_version(), name=name)


@cache
def _version() -> str:
    digest = hashlib.sha256()
    for path in sorted(_FOLDER.rglob("*")):
        if path.suffix in _SERVED:
            digest.update(path.relative_to(_FOLDER).as_posix().encode())
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
