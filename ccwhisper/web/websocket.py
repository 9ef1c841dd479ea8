"""The WebSocket transport of engineio and simple-websocket, hardened for gevent.

simple-websocket hands each frame to `socket.send` once. On a cooperative socket that may take only a part of a large
frame, and what follows is garbage to the client. And whoever does not read would hold a greenlet for ever.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

import gevent
from engineio.async_drivers.gevent import WebSocketWSGI
from gevent.lock import BoundedSemaphore

SEND_SECONDS: Final = 5.0
"""How long a client may take none of a frame."""

RECORD: Final = 16 * 1024
"""Bytes of a TLS record. simple-websocket waits until the socket has something to read; of a record that was read in
part, the socket has nothing more, and the rest would wait for whatever comes next."""


class _Socket(Protocol):
    def sendall(self, data: bytes) -> None: ...

    def shutdown(self, how: int) -> None: ...


class Whole:
    """A socket whose `send` sends all of it, or fails within `SEND_SECONDS` and shuts the connection."""

    def __init__(self, sock: _Socket) -> None:
        self._sock = sock
        self._shut = False
        self._turn = BoundedSemaphore(1)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def send(self, data: bytes) -> int:
        """All of it. Raises BrokenPipeError, which simple-websocket takes for a client that has gone."""
        if self._shut:
            raise BrokenPipeError
        try:
            # One after the other: an answer to a ping must not stand in the middle of a frame.
            with gevent.Timeout(SEND_SECONDS, OSError("the client does not read")), self._turn:
                self._sock.sendall(data)
        except OSError:
            self.shut()
            raise BrokenPipeError from None
        return len(data)

    def shut(self) -> None:
        """End the connection without another word: what waits on the socket wakes up and goes."""
        self._shut = True
        with contextlib.suppress(OSError):  # it has gone by itself
            self._sock.shutdown(socket.SHUT_RDWR)


class Connections:
    """The sockets below the Engine.IO connections, by their ids."""

    def __init__(self) -> None:
        self._whole: dict[str, Whole] = {}

    def shut(self, eio_sid: str) -> None:
        """Drop a client at once, without waiting for it."""
        whole = self._whole.get(eio_sid)
        if whole is not None:
            whole.shut()

    def driver(self, max_message: int) -> type[WebSocketWSGI]:
        """What engineio is to make its WebSockets with. `max_message` is in bytes, of what a client sends."""
        whole_by_id = self._whole

        class HardenedWebSocket(WebSocketWSGI):  # type: ignore[misc]
            def __init__(self, handler: Callable[[Any], Iterable[bytes]], server: object) -> None:
                eio_sid: str = handler.__self__.sid  # type: ignore[attr-defined]

                def whole(it: Any) -> Iterable[bytes]:
                    it.ws.sock = whole_by_id[eio_sid] = Whole(it.ws.sock)
                    try:
                        return handler(it)
                    finally:
                        whole_by_id.pop(eio_sid).shut()

                super().__init__(whole, server)
                self.server_args |= {"max_message_size": max_message, "receive_bytes": RECORD}

            def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
                # Each client would have its own compression of the same message, twenty times a second.
                environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
                try:
                    return super().__call__(environ, start_response)
                finally:
                    # Or gevent's server takes the last frames for another request.
                    start_response.__self__.close_connection = True  # type: ignore[attr-defined]

        return HardenedWebSocket


def converse(
    environ: dict[str, Any],
    start_response: Callable[..., Any],
    handler: Callable[[Any], None],
    subprotocol: str,
    max_message: int,
    ping_seconds: float,
) -> Iterable[bytes]:
    """Upgrade one request, and let `handler` converse with the client: its argument has `send`, `receive` and `close`
    of simple-websocket, which raise ConnectionClosed when the client has gone or has not answered two pings."""

    def whole(it: Any) -> Iterable[bytes]:
        it.ws.sock = sock = Whole(it.ws.sock)
        try:
            handler(it.ws)
        finally:
            sock.shut()
        return []

    driver = WebSocketWSGI(whole, None)
    driver.server_args |= {
        "subprotocols": [subprotocol],
        "max_message_size": max_message,
        "receive_bytes": RECORD,
        "ping_interval": ping_seconds,
    }
    environ.pop("HTTP_SEC_WEBSOCKET_EXTENSIONS", None)
    try:
        answer: Iterable[bytes] = driver(environ, start_response)
        return answer
    finally:
        start_response.__self__.close_connection = True  # type: ignore[attr-defined] # as above
