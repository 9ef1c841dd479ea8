"""An open page's messages, over connections that end at the wrong moment."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from simple_websocket import ConnectionClosed
from wsproto.utilities import LocalProtocolError

from ccwhisper.coaching.model import Actor
from ccwhisper.web.auth import Principal
from ccwhisper.web.open_page import MAX_UNREAD, OpenPage

pytestmark = pytest.mark.unit

WHO = Principal(Actor("coach-1", "Grace"), None, time.time() + 60)
GREETING = {"device": "one"}
TRIES = 100  # more than a connection that has gone is ever tried


class Socket:
    """What is sent through it is seen at the WebSocket."""

    def shut(self) -> None:
        """Nothing."""

    def recv(self, size: int) -> bytes:
        """As much as is asked for."""
        return b"x" * size


class WebSocket:
    """A client's, which takes so many messages, and then fails as simple-websocket does."""

    def __init__(self, takes: int, fails: Exception) -> None:
        self.sock: Any = Socket()
        self.input_buffer: list[str] = []
        self.told: list[str] = []
        self.tries = 0
        self._takes = takes
        self._fails = fails

    def send(self, text: str) -> None:
        self.tries += 1
        assert self.tries < TRIES, "it is tried again and again, and nobody else gets a turn"
        if self.tries > self._takes:
            raise self._fails
        self.told.append(text)

    def sip(self) -> list[str]:
        """What it was told in SIP."""
        return [text for text in self.told if not text.startswith("{")]


@pytest.fixture
def page() -> OpenPage:
    return OpenPage(WHO, "0" * 32, lambda _page, _session: True, {}, lambda _page: "key", {})


@pytest.mark.parametrize("fails", [ConnectionClosed(), BrokenPipeError(), LocalProtocolError("it is closing")])
@pytest.mark.parametrize("takes", [0, 1, 3])
def test_a_connection_that_ends_while_it_is_told_what_it_missed(page: OpenPage, fails: Exception, takes: int) -> None:
    missed = ["INVITE", "ACK", "BYE"]
    for text in missed:
        page.tell(text)
    gone = WebSocket(takes, fails)
    page.connect(gone, GREETING)
    assert page.disconnect(gone)
    back = WebSocket(TRIES, fails)
    page.connect(back, GREETING)
    assert gone.sip() + back.sip() == missed, "each once, and in their order"
    assert json.loads(back.told[0]) == GREETING


def test_a_page_that_says_more_than_is_taken_is_not_listened_to(page: OpenPage) -> None:
    """While a switch takes nothing, all that a page says would be kept."""
    ws = WebSocket(TRIES, OSError())
    page.connect(ws, GREETING)
    ws.input_buffer = ["ACK"] * MAX_UNREAD
    assert ws.sock.recv(3) == b"xxx"
    ws.input_buffer.append("ACK")
    with pytest.raises(ConnectionAbortedError):
        ws.sock.recv(3)
