"""The Flask app, and the server that runs it."""

from __future__ import annotations

import json
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from flask import Flask, Response, request
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer
from gevent.ssl import SSLContext

from ccwhisper.coaching.errors import Invalid
from ccwhisper.engine import Engine
from ccwhisper.web import errors
from ccwhisper.web.api import TABLE
from ccwhisper.web.auth import Auth
from ccwhisper.web.browser_phones import BrowserPhones, BrowserSettings
from ccwhisper.web.journal import Journal
from ccwhisper.web.limits import Limits
from ccwhisper.web.openapi import document
from ccwhisper.web.operations import PREFIX, Counter, blueprint
from ccwhisper.web.pages import pages
from ccwhisper.web.policies import Policies
from ccwhisper.web.secured import Secured
from ccwhisper.web.shelf import Shelf
from ccwhisper.web.sockets import Sockets
from ccwhisper.web.trail import Trail

MAX_BODY: Final = 16 * 1024
MAX_CONNECTIONS: Final = 2000

# An API has no business in a frame, a script or a cache.
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


_CORS: Final = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
    "Access-Control-Allow-Headers": "authorization, content-type",
    "Access-Control-Max-Age": "600",
}
"""What a page of a listed origin may ask. No credentials: a token is sent on purpose, never by the browser itself."""


@dataclass(frozen=True, slots=True)
class Web:
    """The app, and what pushes to its clients; whoever made it starts and stops that."""

    app: Flask
    sockets: Sockets
    phones: BrowserPhones | None = None

    def start(self) -> None:
        """Push from now on."""
        self.sockets.start()
        if self.phones:
            self.phones.start()

    def stop(self) -> None:
        """Push no more."""
        if self.phones:
            self.phones.stop()
        self.sockets.stop()


def create_web(
    engine: Engine,
    auth: Auth,
    journal: Journal,
    trail: Trail,
    policies: Policies,
    shelf: Shelf,
    limits: Limits | None = None,
    origins: Sequence[str] = (),
    frames: Sequence[str] = (),
    browsers: BrowserSettings | None = None,
) -> Web:
    """The app over a running engine, and a journal that whoever made it has started. `origins` are the other origins
    whose pages may connect by Socket.IO and use the API, `frames` those whose pages may hold the agent's panel. With
    `browsers`, pages may be phones."""
    limits = limits or Limits()
    phones = BrowserPhones(engine, auth, browsers, limits, origins) if browsers else None
    counter = Counter(engine, journal, auth, limits, trail, policies, shelf, phones)
    app = _app(counter, frames, frozenset(origins))
    sockets = Sockets(app, counter, TABLE, origins)
    if phones:
        app.wsgi_app = phones.middleware(app.wsgi_app)  # type: ignore[method-assign]
    return Web(app, sockets, phones)


def _app(counter: Counter, frames: Sequence[str], origins: frozenset[str]) -> Flask:
    app = Flask("ccwhisper.web", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    errors.install(app)
    app.register_blueprint(blueprint(TABLE, counter))
    app.register_blueprint(pages(frames))
    described = json.dumps(document(TABLE), separators=(",", ":"))

    @app.get(f"{PREFIX}/openapi.json", provide_automatic_options=False)
    def openapi() -> Response:
        return Response(described, mimetype="application/json")

    @app.before_request
    def refuse_odd_text() -> None:
        # A lone surrogate or a control character is in no id or name of ours; it would only wait to break a log.
        if any(not char.isprintable() for char in request.path):
            raise Invalid("request_malformed", "The address holds characters that no address has.")

    def is_welcome() -> bool:
        return request.path.startswith(PREFIX) and request.headers.get("Origin") in origins

    @app.before_request
    def preflight() -> Response | None:
        if request.method == "OPTIONS" and is_welcome() and "Access-Control-Request-Method" in request.headers:
            return Response(status=204, headers=_CORS)
        return None

    @app.after_request
    def harden(response: Response) -> Response:
        if is_welcome():
            response.headers["Access-Control-Allow-Origin"] = request.headers["Origin"]
            response.headers["Access-Control-Expose-Headers"] = "Location, Retry-After"
            response.vary.add("Origin")
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)
            if not response.headers[name]:
                del response.headers[name]
        return response

    return app


def make_server(app: Flask, host: str, port: int, tls: SSLContext | None = None) -> WSGIServer:
    """A server that is bound but not serving yet; `serve_forever` or `start` makes it. With `tls` it is `Secured`."""
    where, pool = (host, port), Pool(MAX_CONNECTIONS)
    server = Secured(where, app, pool, tls) if tls else WSGIServer(where, app, spawn=pool, log=None)
    server.init_socket()
    # Connections inherit it. Head and body of an answer are two writes, and the second would wait until the client has
    # acknowledged the first: 40 ms on Linux, at every answer with a body.
    server.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server
