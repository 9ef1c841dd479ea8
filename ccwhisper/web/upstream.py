"""A WebSocket client for SIP to the switch (RFC 7118), on gevent's sockets."""

from __future__ import annotations

import contextlib
import struct
from collections import deque
from typing import Final

import gevent
from gevent import socket
from gevent.lock import BoundedSemaphore
from wsproto import ConnectionType, WSConnection
from wsproto.events import (
    AcceptConnection,
    CloseConnection,
    Event,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.utilities import RemoteProtocolError

CONNECT_SECONDS: Final = 3.0
MAX_MESSAGE: Final = 64 * 1024


_AT_ONCE: Final = struct.pack("ii", 1, 0)
_IN_ORDER: Final = struct.pack("ii", 0, 0)


def _connected(host: str, port: int, near: int) -> socket.socket:
    if near:
        with contextlib.suppress(OSError):  # somebody else has it now
            return socket.create_connection((host, port), source_address=("", near))
    return socket.create_connection((host, port))


class Upstream:
    """One connection. Raises OSError from every method when it is not, or no more.

    `near` is the port that this end had before. The switch sends what it says in a call to the address and port that
    the call was placed to (`route_uri` in mod_sofia's sofia_on_hangup), and to nowhere else: who comes back from the
    same port hears it."""

    def __init__(self, host: str, port: int, near: int = 0) -> None:
        self._waiting: deque[str] = deque()
        self._parts: list[str] = []
        self._accepted = False
        self._writing = BoundedSemaphore(1)
        self._ws = WSConnection(ConnectionType.CLIENT)
        with gevent.Timeout(CONNECT_SECONDS, OSError("the switch does not answer")):
            self._sock = _connected(host, port, near)
            try:
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                # A service that is killed leaves its port at once to the one that comes next.
                self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
                name = f"[{host}]" if ":" in host else host
                self._send(Request(host=f"{name}:{port}", target="/", subprotocols=["sip"]))
                while not self._accepted:
                    self._read()
            except BaseException:
                self._sock.close()
                raise

    @property
    def near(self) -> int:
        """The port of this end."""
        return int(self._sock.getsockname()[1])

    def send(self, text: str) -> None:
        """One SIP message. It is all of it or the last: what would follow a part would be read as the rest."""
        try:
            with gevent.Timeout(CONNECT_SECONDS, OSError("the switch does not read")):
                self._send(TextMessage(data=text))
        except OSError:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)
            raise

    def receive(self) -> str:
        """The next SIP message."""
        while not self._waiting:
            self._read()
        return self._waiting.popleft()

    def close(self) -> None:
        """End it, when all that was sent has arrived."""
        with contextlib.suppress(OSError):
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _IN_ORDER)
            self._sock.shutdown(socket.SHUT_RDWR)
        self._sock.close()

    def drop(self) -> None:
        """End it at once, and leave its port to who comes next."""
        self._sock.close()

    def _send(self, event: Event) -> None:
        with self._writing:  # an answer to a ping must not stand in the middle of a message
            self._sock.sendall(self._ws.send(event))

    def _read(self) -> None:
        data = self._sock.recv(65536)
        if not data:
            raise ConnectionResetError("the switch has closed the connection")
        try:
            self._ws.receive_data(data)
            for event in self._ws.events():
                if isinstance(event, AcceptConnection):
                    self._accepted = True
                elif isinstance(event, TextMessage):
                    self._collect(event)
                elif isinstance(event, Ping):
                    self._send(event.response())
                elif isinstance(event, RejectConnection | CloseConnection):
                    raise ConnectionResetError("the switch has ended the connection")
        except RemoteProtocolError:
            raise ConnectionResetError("the switch does not speak WebSocket") from None

    def _collect(self, event: TextMessage) -> None:
        self._parts.append(event.data)
        if sum(map(len, self._parts)) > MAX_MESSAGE:
            raise ConnectionResetError("a message that is too long")
        if event.message_finished:
            self._waiting.append("".join(self._parts))
            self._parts = []
