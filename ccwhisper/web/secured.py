"""The server over TLS."""

from __future__ import annotations

import ssl
from typing import Any, Final

import gevent
from flask import Flask
from gevent.pool import Pool
from gevent.pywsgi import WSGIHandler, WSGIServer
from gevent.socket import socket
from gevent.ssl import SSLContext

HANDSHAKE_SECONDS: Final = 10.0
"""How long a client may take for it. Who connects and says nothing would hold a connection for ever."""


class _Handler(WSGIHandler):
    # How a connection ends without its last word: nobody's fault here, and no line in the log.
    ignored_socket_errors = (
        *WSGIHandler.ignored_socket_errors, ssl.SSL_ERROR_SSL, ssl.SSL_ERROR_EOF, ssl.SSL_ERROR_ZERO_RETURN,
    )  # fmt: skip


class Secured(WSGIServer):
    """gevent's, without a traceback for every client that does not trust the certificate or speaks plain http."""

    handler_class = _Handler

    def __init__(self, listener: tuple[str, int], app: Flask, spawn: Pool, tls: SSLContext) -> None:
        super().__init__(listener, app, spawn=spawn, log=None, ssl_context=tls)
        self._tls = tls

    def secure(self, tls: SSLContext) -> None:
        """With this certificate from now on; who is connected stays."""
        self._tls = tls

    def wrap_socket_and_handle(self, client_socket: socket, address: Any) -> None:
        """One client."""
        try:
            with gevent.Timeout(HANDSHAKE_SECONDS, OSError("no handshake")):
                secured = self._tls.wrap_socket(client_socket, server_side=True)
        except OSError:
            client_socket.close()
            return
        try:
            self.handle(secured, address)
        finally:
            secured.close()
