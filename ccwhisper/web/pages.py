"""The pages: static files, no build step, nothing inline, nothing from another host."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from flask import Blueprint, Response, send_from_directory

STATIC: Final = Path(__file__).parent / "static"

_PAGE: Final = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<link rel="icon" href="/static/icon.svg" type="image/svg+xml">
{styles}
<script type="module" src="/static/{script}"></script>
</head>
<body>
<div id="announcer" class="sr" aria-live="polite"></div>
<div id="app"><noscript>This page needs JavaScript.</noscript></div>
</body>
</html>
"""


def pages(frames: Sequence[str] = ()) -> Blueprint:
    """The supervisor's dashboard at ``/``, the agent's panel at ``/agent``, the administrator's pages at ``/admin``,
    recordings at ``/review``. `frames` are the origins that may show the panel in a frame of theirs; the others are
    shown in nobody's."""
    made = Blueprint("pages", __name__)

    @made.get("/", provide_automatic_options=False)
    def supervisor() -> Response:
        return _page("Live calls · ccwhisper", "supervisor.js")

    @made.get("/agent", provide_automatic_options=False)
    def agent() -> Response:
        return _page("Coaching · ccwhisper", "agent.js", frames)

    @made.get("/admin", provide_automatic_options=False)
    def admin() -> Response:
        return _page("Administration · ccwhisper", "admin.js", styles=("app.css", "admin.css"))

    @made.get("/review", provide_automatic_options=False)
    def review() -> Response:
        styles = "app.css", "admin.css", "review.css"
        response = _page("Recordings · ccwhisper", "review.js", styles=styles)
        response.headers["Content-Security-Policy"] += "; media-src 'self'"
        return response

    @made.get("/static/<path:name>", provide_automatic_options=False)
    def static(name: str) -> Response:
        response = send_from_directory(STATIC, name, conditional=True)
        response.headers["Cache-Control"] = "no-cache"  # asked for again, and answered with 304
        if name.endswith(".html"):
            response.headers["Content-Security-Policy"] = _policy()
        return response

    return made


def _page(title: str, script: str, frames: Sequence[str] = (), styles: Sequence[str] = ("app.css",)) -> Response:
    links = "\n".join(f'<link rel="stylesheet" href="/static/{name}">' for name in styles)
    response = Response(_PAGE.format(title=html.escape(title), script=script, styles=links), mimetype="text/html")
    response.headers["Content-Security-Policy"] = _policy(frames)
    if frames:
        response.headers["X-Frame-Options"] = ""  # it cannot name origins; the policy above does
    return response


def _policy(frames: Sequence[str] = ()) -> str:
    ancestors = " ".join(frames) or "'none'"
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        f"base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}"
    )
