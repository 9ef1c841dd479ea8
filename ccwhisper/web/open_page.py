"""One open page that is a phone: its line to every switch, over any number of connections of its own and of theirs.

The page outlives its WebSocket. What is said to it meanwhile waits, and so does what it says to a switch whose
connection is being made again.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import gevent
from gevent.event import Event
from simple_websocket import ConnectionClosed
from wsproto.events import Ping
from wsproto.utilities import LocalProtocolError

from ccwhisper.coaching.model import BROWSERS
from ccwhisper.web import sip
from ccwhisper.web.auth import Principal
from ccwhisper.web.resume import Kept
from ccwhisper.web.upstream import Upstream

RETRY_SECONDS: Final = 2.0
"""Between tries to reach a switch."""

SOON_SECONDS: Final = 0.1
"""The same, while a call is up."""

MAX_UNREAD: Final = 256
"""Messages of a page that nobody has looked at yet; one with more is hung up on. simple-websocket reads whatever comes,
also while the switch takes nothing."""

MAX_WAITING: Final = 32
"""Messages that wait for a connection; the oldest are lost first."""


def device_of(user: str) -> str:
    """The device that a page with this address is."""
    return f"{user}@{BROWSERS}"


class _Heard:
    """The socket of a WebSocket, which says when something has arrived. An answer to a ping is something, and no
    message."""

    def __init__(self, ws: Any, hear: Callable[[], None]) -> None:
        self._ws = ws
        self._sock = ws.sock
        self._hear = hear

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def recv(self, size: int) -> bytes:
        """As of the socket. Raises OSError, too, for a client that says more than is taken."""
        if len(self._ws.input_buffer) > MAX_UNREAD:
            raise ConnectionAbortedError
        data: bytes = self._sock.recv(size)
        if data:
            self._hear()
        return data


class _Trunk:
    """A page's line to one switch."""

    def __init__(self, line: sip.Line, kept: Kept) -> None:
        self.line = line
        self.port = kept.port
        self.upstream: Upstream | None = None
        self.waiting: deque[str] = deque(maxlen=MAX_WAITING)
        with contextlib.suppress(KeyError, ValueError, TypeError):  # of a version that wrote it otherwise
            line.take_up(kept.calls)

    def connect(self, where: tuple[str, int]) -> Upstream:
        """Raises OSError."""
        upstream = Upstream(*where, self.port)
        self.upstream, self.port = upstream, upstream.near
        while self.waiting:
            upstream.send(self.waiting.popleft())
        return upstream

    def say(self, text: str) -> None:
        """To the switch, now or when it can be reached again."""
        try:
            if self.upstream is None:
                raise OSError
            self.upstream.send(text)
        except OSError:
            self.waiting.append(text)


class OpenPage:
    """`welcome` is asked whether a session's call may ring here, `switches` are where the profiles for browsers listen,
    `kept` is what a page that is known again had. `key` makes a resume key of what it has now."""

    def __init__(
        self,
        who: Principal,
        user: str,
        welcome: Callable[[OpenPage, str], bool],
        switches: Mapping[str, tuple[str, int]],
        key: Callable[[OpenPage], str],
        kept: Mapping[str, Kept],
    ) -> None:
        self.who = who
        self.user = user
        self.device = device_of(user)
        self.ws: Any = None
        self.used = False
        """Whether a session or a call is on it: then it is asked again and again whether it is still there."""
        self.silent = 0
        """How many beats it has not been heard of; who counts them decides what follows."""
        self._news = Event()
        self._unsaid: deque[str] = deque(maxlen=MAX_WAITING)
        self._key = key
        self._kept: Mapping[str, Kept] = {}
        self._trunks = {
            node: _Trunk(sip.Line(user, lambda session: welcome(self, session)), kept.get(node, Kept()))
            for node in switches
        }
        self._held = [gevent.spawn(self._hold, self._trunks[node], at) for node, at in switches.items()]

    @property
    def talks(self) -> bool:
        """Whether a call is up."""
        return any(trunk.line.busy for trunk in self._trunks.values())

    @property
    def expired(self) -> bool:
        """Whether its token is over: then it keeps the call that it has, and gets no other."""
        return time.time() >= self.who.expires_at

    @property
    def kept(self) -> Mapping[str, Kept]:
        """What a service that starts next must know of it."""
        return {node: Kept(trunk.port, trunk.line.calls()) for node, trunk in self._trunks.items()}

    # --- its connection ----------------------------------------------------------------------------------------------

    def connect(self, ws: Any, greeting: Mapping[str, Any]) -> None:
        """It speaks through this WebSocket from now on; one that it had before is dropped. It is told the greeting
        first, and then what it has missed."""
        before, self.ws = self.ws, ws
        if before is not None:
            before.sock.shut()
        ws.sock = _Heard(ws, self._hear)
        self._hear()
        self.tell(json.dumps(greeting))
        self.renew_key()
        if any(trunk.line.registered for trunk in self._trunks.values()):
            self.announce()
        while self._unsaid and self.ws is ws:
            text = self._unsaid.popleft()
            if not self._said(text):  # it has gone again: the rest is for the next
                self._unsaid.appendleft(text)
                break

    def disconnect(self, ws: Any) -> bool:
        """This WebSocket is no more. False when it was not the page's any longer."""
        if self.ws is not ws:
            return False
        self.ws = None
        return True

    def tell(self, text: str) -> None:
        """To the page, now or when it is back."""
        if not self._said(text) and not text.startswith("{"):  # what is ours is told anew when it is back
            self._unsaid.append(text)

    def _said(self, text: str) -> bool:
        try:
            if self.ws is not None:
                self.ws.send(text)
                return True
        except (ConnectionClosed, OSError, LocalProtocolError):
            pass
        return False

    def announce(self) -> None:
        """Tell the page at which switches it can be rung."""
        self.tell(json.dumps({"registered": sorted(n for n, each in self._trunks.items() if each.line.registered)}))

    def renew_key(self) -> None:
        """Tell the page a fresh resume key."""
        self._kept = self.kept
        self.tell(json.dumps({"resume": self._key(self)}))

    def _keep(self) -> None:
        if self.kept != self._kept:
            self.renew_key()

    # --- whether it is there -----------------------------------------------------------------------------------------

    def _hear(self) -> None:
        self.silent = 0
        self._news.set()

    def ping(self) -> None:
        """Ask for a sign of life. The browser answers by itself, whatever the page is busy with."""
        ws = self.ws
        with contextlib.suppress(ConnectionClosed, OSError, LocalProtocolError):
            if ws is not None:
                ws.sock.send(ws.ws.send(Ping()))

    def answers(self, seconds: float) -> bool:
        """Whether its connection gives a sign of life within this time."""
        self._news.clear()
        self.ping()
        return self._news.wait(seconds) and self.ws is not None

    # --- between the page and the switches ---------------------------------------------------------------------------

    def from_page(self, text: object) -> None:
        """Pass on what the page says. Raises `sip.Refused` for what it must not."""
        if not isinstance(text, str):
            raise sip.Refused("no text")
        for trunk in self._trunks.values():
            if trunk.line.knows(text):
                allowed = trunk.line.from_page(text)
                if allowed is not None:
                    trunk.say(allowed)
                self._keep()
                return
        raise sip.Refused("a message of no call")

    def _hold(self, trunk: _Trunk, where: tuple[str, int]) -> None:
        """Keep the page registered at one switch, over any number of connections."""
        while True:
            renewal = None
            try:
                upstream = trunk.connect(where)
                renewal = gevent.spawn(_renew, trunk.line, upstream)
                while True:
                    self._deliver(trunk, upstream, upstream.receive())
            except OSError:
                if trunk.line.registered:
                    trunk.line.registered = False
                    self.announce()
            finally:
                if renewal is not None:
                    renewal.kill()
                if trunk.upstream is not None:
                    trunk.upstream.drop()
                    trunk.upstream = None
            gevent.sleep(SOON_SECONDS if trunk.line.busy else RETRY_SECONDS)

    def _deliver(self, trunk: _Trunk, upstream: Upstream, text: str) -> None:
        before = trunk.line.registered
        for_page, answer = trunk.line.from_switch(text)
        if answer is not None:
            upstream.send(answer)
        if for_page is not None:
            self.tell(for_page)
        self._keep()
        if trunk.line.registered != before:
            self.announce()

    def end(self) -> None:
        """The page has gone: so are its calls, at once, and not when the switch misses its audio."""
        for trunk in self._trunks.values():
            for text in trunk.line.farewell():
                trunk.say(text)
            if trunk.upstream is not None:
                trunk.upstream.close()
        self.let_go()

    def let_go(self) -> None:
        """Relay no more. Its calls stay up for whoever takes them up next."""
        gevent.killall(self._held)


def _renew(line: sip.Line, upstream: Upstream) -> None:
    with contextlib.suppress(OSError):
        while True:
            upstream.send(line.register())
            gevent.sleep(sip.REGISTER_SECONDS / 2)
