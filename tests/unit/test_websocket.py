"""The socket below a WebSocket: all of a frame, or the end."""

from __future__ import annotations

import gevent
import pytest
from gevent import socket

from ccwhisper.web import websocket
from ccwhisper.web.websocket import Whole

pytestmark = pytest.mark.unit

FRAME = b"x" * 4_000_000  # more than any socket takes at once


def test_a_large_frame_is_sent_whole() -> None:
    ours, theirs = socket.socketpair()
    got = bytearray()

    def read() -> None:
        while data := theirs.recv(65536):
            got.extend(data)

    reader = gevent.spawn(read)
    assert Whole(ours).send(FRAME) == len(FRAME)
    ours.close()
    reader.join(5)
    assert bytes(got) == FRAME
    theirs.close()


def test_frames_of_two_who_send_at_once_do_not_mix() -> None:
    ours, theirs = socket.socketpair()
    whole = Whole(ours)
    senders = [gevent.spawn(whole.send, letter * len(FRAME)) for letter in (b"a", b"b")]
    got = bytearray()
    while len(got) < 2 * len(FRAME):
        got += theirs.recv(65536)
    gevent.joinall(senders, 5)
    assert bytes(got) == b"a" * len(FRAME) + b"b" * len(FRAME)
    ours.close()
    theirs.close()


def test_who_does_not_read_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(websocket, "SEND_SECONDS", 0.05)
    ours, theirs = socket.socketpair()
    whole = Whole(ours)
    with pytest.raises(BrokenPipeError):
        whole.send(FRAME)
    with pytest.raises(BrokenPipeError):
        whole.send(b"more")
    assert ours.recv(1) == b""  # whoever waits for something from it wakes up
    ours.close()
    theirs.close()
