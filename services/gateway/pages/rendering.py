"""Pages made of templates, and the headers that keep everything out of them that is not ours."""

from typing import Any, Final

from flask import Flask, Response, current_app, make_response, render_template, request

from mailrecall import clock
from services.gateway.pages import csrf, languages, sessions, wording

THEME_COOKIE: Final = "mailrecall_theme"
THEMES: Final = ("auto", "light", "dark")

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Neither inline script nor inline style: what slips through a template's escaping does nothing."""


def register(app: Flask) -> None:
    """Let templates be written plainly."""
    app.jinja_env.trim_blocks = True
    app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(subject=wording.unsubjected, names=wording.names, addresses=wording.addresses)
    app.jinja_env.filters.update(label=wording.label, pointed=wording.outcome_class, headline=wording.headline)
    app.jinja_env.globals.update(notices=sessions.take_notices, languages=languages.LANGUAGES)

    @app.context_processor
    def everywhere() -> dict[str, Any]:
        session = sessions.current()
        return {
            "account": session.account if session else None,
            "moderator": session.moderator if session else False,
            "csrf_token": csrf.token,
            "theme": theme(),
            "now": clock.now(),
            "has_console": "pages.console.home" in current_app.view_functions,
            "is_htmx": "HX-Request" in request.headers,
        }


def page(template: str, /, status: int = 200, **values: Any) -> Response:
    """Return a page, or the part of one that htmx asked for."""
    response = make_response(render_template(template, **values), status)
    response.headers["Content-Security-Policy"] = _POLICY
    # the same address has a page and a part of it, in each language
    response.vary.update(("HX-Request", "Cookie", "Accept-Language"))
    csrf.keep_visitor(response)
    return response


def theme() -> str:
    """Return whether the page is light or dark, or as the system is."""
    chosen = request.cookies.get(THEME_COOKIE, THEMES[0])
    return chosen if chosen in THEMES else THEMES[0]
