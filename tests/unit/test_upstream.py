"""The relay's connection to a switch that does not read."""

from __future__ import annotations

import base64
import hashlib

import gevent
import pytest
from gevent import socket

from ccwhisper.web import upstream
from ccwhisper.web.upstream import Upstream

pytestmark = pytest.mark.unit

MESSAGE = "x" * 60_000
MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, 1.3


def accepted(listener: socket.socket) -> socket.socket:
    """A client's connection, upgraded, of which nothing more is read."""
    connection, _ = listener.accept()
    asked = b""
    while b"\r\n\r\n" not in asked:
        asked += connection.recv(4096)
    key = next(line.split(b": ")[1] for line in asked.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
    answer = base64.b64encode(hashlib.sha1(key + MAGIC, usedforsecurity=False).digest())
    connection.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Protocol: sip\r\nSec-WebSocket-Accept: " + answer + b"\r\n\r\n"
    )
    return connection


def test_a_message_that_was_sent_in_part_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """What follows would be read as its rest; and who waits to hear something has to know that he will not."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    switch = gevent.spawn(accepted, listener)
    line = Upstream(*listener.getsockname())
    monkeypatch.setattr(upstream, "CONNECT_SECONDS", 0.05)
    hears = gevent.spawn(line.receive)

    def flood() -> None:
        for _ in range(1000):  # 60 MB: more than two sockets take
            line.send(MESSAGE)

    with pytest.raises(OSError, match="does not read"):
        flood()
    with pytest.raises(OSError, match="closed"):
        hears.get(timeout=5)
    with pytest.raises(BrokenPipeError):
        line.send("BYE")
    for each in (switch.get(), listener):
        each.close()
    line.drop()
