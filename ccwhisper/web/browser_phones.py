"""Coaches' browsers as phones: each open page has a WebSocket here, and the service relays SIP between it and every
switch. docs/browser-phone.md has the protocol, and why it is not a password in the page.

The page's token is checked at the upgrade, and the connection ends with it. `sip` says what a page may say.
"""

from __future__ import annotations

import contextlib
import json
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import gevent
from simple_websocket import ConnectionClosed

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching.errors import CoachingError, Forbidden, Invalid
from ccwhisper.coaching.model import BROWSERS, Actor, Phase, is_browser
from ccwhisper.coaching.policy import MONITOR
from ccwhisper.engine import Engine
from ccwhisper.web import sip
from ccwhisper.web.auth import Auth, Principal
from ccwhisper.web.errors import STATUS, Unauthorised, detail, refusal
from ccwhisper.web.upstream import Upstream
from ccwhisper.web.websocket import converse

logger = logging.getLogger(__name__)

PATH: Final = "/browser-phone"
PROTOCOL: Final = "ccwhisper.phone"
BEARER: Final = "bearer."
"""A browser cannot send a header with a WebSocket, but it can offer subprotocols: one that is ours, one that is the
token. So the token is in no address, and in no log of addresses."""

MAX_MESSAGE: Final = 64 * 1024
PING_SECONDS: Final = 4.0
RETRY_SECONDS: Final = 2.0
TALK_SECONDS: Final = 0.5
"""How often it is looked whether a call that was taken over is still up."""

LOST_SECONDS: Final = 4.0
"""How long a session may be without its page. There is none when the service was started after the session."""

MAX_PAGES: Final = 8
"""Open pages of one person."""

EXPIRED: Final = 4401
MALFORMED: Final = 4400

_ICE: Final = "ice_servers"


@dataclass(frozen=True, slots=True)
class BrowserSettings:
    """`switches`: by the node's name, where its profile for browsers listens. `ice_servers` are handed to the pages as
    they are (RTCIceServer of WebRTC)."""

    switches: Mapping[str, tuple[str, int]]
    ice_servers: Sequence[Mapping[str, Any]] = ()


@dataclass
class _Page:
    """An open page."""

    who: Principal
    user: str
    tell: Callable[[str], None]
    lines: dict[str, tuple[sip.Line, Upstream]] = field(default_factory=dict)

    @property
    def device(self) -> str:
        return f"{self.user}@{BROWSERS}"

    @property
    def talks(self) -> bool:
        """Whether a call is up."""
        return any(line.busy for line, _ in self.lines.values())

    def announce(self) -> None:
        """Tell the page at which switches it can be rung."""
        nodes = sorted(name for name, (line, _) in self.lines.items() if line.registered)
        self.tell(json.dumps({"registered": nodes}))


class BrowserPhones:
    """All open pages. `origins` are other origins whose pages may connect."""

    def __init__(self, engine: Engine, auth: Auth, settings: BrowserSettings, origins: Iterable[str] = ()) -> None:
        self._engine = engine
        self._auth = auth
        self._settings = settings
        self._origins = frozenset(origins)
        self._pages: dict[str, _Page] = {}
        self._missed: dict[str, float] = {}
        self._watch: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Look after sessions whose page is gone."""
        self._watch = gevent.spawn(self._look_after)

    def stop(self) -> None:
        """No more."""
        if self._watch is not None:
            self._watch.kill(timeout=1)

    def _look_after(self) -> None:
        while True:
            gevent.sleep(LOST_SECONDS / 4)
            lost = {
                session.device
                for session in self._engine.state.sessions.values()
                if is_browser(session.device) and session.device not in self._pages
            }
            now = time.monotonic()
            self._missed = {device: self._missed.get(device, now) for device in lost}
            for device, since in self._missed.items():
                if now - since >= LOST_SECONDS:
                    self._leave(device)

    def devices(self, coach: str) -> tuple[str, ...]:
        """The addresses of somebody's open pages."""
        return tuple(device for device, page in self._pages.items() if page.who.actor.id == coach)

    def widened(self, actor: Actor) -> Actor:
        """Somebody whose open pages are devices of his, too."""
        return Actor(
            actor.id, actor.name, actor.permissions, actor.roles, actor.queues, actor.devices + self.devices(actor.id)
        )

    # --- the upgrade -------------------------------------------------------------------------------------------------

    def middleware(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """A WSGI app that answers `PATH` here and all else as before."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ.get("PATH_INFO") != PATH:
                return app(environ, start_response)
            try:
                who = self._admitted(environ)
            except CoachingError as error:
                return refusal(STATUS[type(error)], detail(error))(environ, start_response)
            return converse(
                environ, start_response, lambda ws: self._serve(ws, who), PROTOCOL, MAX_MESSAGE, PING_SECONDS
            )

        return answer

    def _admitted(self, environ: Mapping[str, Any]) -> Principal:
        if environ.get("REQUEST_METHOD") != "GET" or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            raise Invalid("request_malformed", "This address is for WebSockets.")
        origin = environ.get("HTTP_ORIGIN", "")
        ours = {environ.get("HTTP_HOST"), environ.get("HTTP_X_FORWARDED_HOST", "").split(",")[0].strip()}
        host = origin.partition("://")[2]
        if origin and not (host and host in ours) and origin not in self._origins:
            raise Forbidden("origin_not_allowed", "Pages of this origin may not connect.")
        offered = [each.strip() for each in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
        token = next((each.removeprefix(BEARER) for each in offered if each.startswith(BEARER)), None)
        if PROTOCOL not in offered or token is None:
            raise Unauthorised("token_missing", "Offer the subprotocols that the documentation names.")
        who = self._auth.identify(f"Bearer {token}")
        if MONITOR not in who.actor.permissions:
            raise Forbidden("permission_missing", f"The token lacks the permission {MONITOR}.")
        if len(self.devices(who.actor.id)) >= MAX_PAGES:
            raise Forbidden("too_many_pages", "There are too many open pages.")
        return who

    # --- an open page ------------------------------------------------------------------------------------------------

    def _serve(self, ws: Any, who: Principal) -> None:
        def tell(text: str) -> None:
            with contextlib.suppress(ConnectionClosed, OSError):
                ws.send(text)

        page = _Page(who, secrets.token_hex(16), tell)
        self._pages[page.device] = page
        left = max(who.expires_at - time.time(), 0.0)
        helpers: list[gevent.Greenlet[..., Any]] = [gevent.spawn_later(left, self._expire, page, ws)]
        helpers += [gevent.spawn(self._hold, page, node, at) for node, at in self._settings.switches.items()]
        tell(json.dumps({"device": page.device, _ICE: list(self._settings.ice_servers)}))
        try:
            while True:
                self._pass_on(page, ws.receive())
        except (ConnectionClosed, OSError):
            pass
        except sip.Refused as error:
            logger.warning("a page of %s has been cut off: %s", who.actor.id, error)
            _close(ws, MALFORMED)
        finally:
            del self._pages[page.device]
            gevent.killall(helpers)
            self._end(page)

    def _expire(self, page: _Page, ws: Any) -> None:
        """The token is over. A customer whose call was taken over is not cut off for that: his call may end first."""
        while page.talks and not any(each.device == page.device for each in self._engine.state.sessions.values()):
            gevent.sleep(TALK_SECONDS)
        _close(ws, EXPIRED)

    @staticmethod
    def _pass_on(page: _Page, text: object) -> None:
        if not isinstance(text, str):
            raise sip.Refused("no text")
        for line, upstream in page.lines.values():
            if line.knows(text):
                allowed = line.from_page(text)
                if allowed is not None:
                    with contextlib.suppress(OSError):  # its own greenlet finds out, and tells the page
                        upstream.send(allowed)
                return
        if page.lines:
            raise sip.Refused("a message of no call")

    def _hold(self, page: _Page, node: str, where: tuple[str, int]) -> None:
        """Keep the page registered at one switch, over any number of connections."""
        while True:
            try:
                upstream = Upstream(*where)
            except OSError:
                gevent.sleep(RETRY_SECONDS)
                continue
            line = sip.Line(page.user, lambda session: self._welcome(page, session))
            page.lines[node] = line, upstream
            renewal = gevent.spawn(_renew, line, upstream)
            try:
                while True:
                    self._deliver(page, line, upstream, upstream.receive())
            except OSError:
                del page.lines[node]
                page.announce()
                gevent.sleep(RETRY_SECONDS)
            finally:
                renewal.kill()
                if node not in page.lines:
                    upstream.close()

    @staticmethod
    def _deliver(page: _Page, line: sip.Line, upstream: Upstream, text: str) -> None:
        before = line.registered
        for_page, answer = line.from_switch(text)
        if answer is not None:
            upstream.send(answer)
        if for_page is not None:
            page.tell(for_page)
        if line.registered != before:
            page.announce()

    def _welcome(self, page: _Page, session: str) -> bool:
        known = self._engine.state.sessions.get(session)
        return known is not None and known.device == page.device and known.phase in (Phase.DIALLING, Phase.RINGING)

    def _end(self, page: _Page) -> None:
        """The page has gone: so are its calls, at once, and not when the switch misses its audio."""
        for line, upstream in page.lines.values():
            with contextlib.suppress(OSError):
                for text in line.farewell():
                    upstream.send(text)
            upstream.close()
        self._leave(page.device)

    def _leave(self, device: str) -> None:
        for session in list(self._engine.state.sessions.values()):
            if session.device == device and session.phase is not Phase.ENDING:
                with contextlib.suppress(CoachingError):  # it may be over
                    self._engine.ask(cmd.Leave(session.coach, session.id, "browser phone closed"))


def _renew(line: sip.Line, upstream: Upstream) -> None:
    with contextlib.suppress(OSError):
        while True:
            upstream.send(line.register())
            gevent.sleep(sip.REGISTER_SECONDS / 2)


def _close(ws: Any, code: int) -> None:
    with contextlib.suppress(ConnectionClosed, OSError):
        ws.close(code)
    ws.event.set()  # simple-websocket does not wake up who waits in `receive` when it is closed from this side
