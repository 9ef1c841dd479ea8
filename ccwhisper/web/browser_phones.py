"""Coaches' browsers as phones: each open page has a WebSocket here, and the service relays SIP between it and every
switch. docs/browser-phone.md has the protocol, and why it is not a password in the page.

The page's token is checked at the upgrade, and the connection ends with it. `sip` says what a page may say.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import gevent
from gevent.event import Event
from simple_websocket import ConnectionClosed
from wsproto.utilities import LocalProtocolError, RemoteProtocolError

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import CoachingError, Forbidden, Invalid
from ccwhisper.coaching.model import Actor, Phase, is_browser
from ccwhisper.coaching.policy import MONITOR
from ccwhisper.engine import Engine
from ccwhisper.web import resume, sip
from ccwhisper.web.auth import Auth, Principal
from ccwhisper.web.errors import STATUS, Unauthorised, detail, refusal
from ccwhisper.web.limits import Limits, TooMany
from ccwhisper.web.open_page import OpenPage, device_of
from ccwhisper.web.resume import ResumeKeys
from ccwhisper.web.websocket import converse

logger = logging.getLogger(__name__)

PATH: Final = "/browser-phone"
PROTOCOL: Final = "ccwhisper.phone"
BEARER: Final = "bearer."
RESUME: Final = "resume."
"""A browser cannot send a header with a WebSocket, but it can offer subprotocols: one that is ours, one that is the
token, and one that is the resume key of a page that has lost its connection. So they are in no address, and in no log
of addresses."""

MAX_MESSAGE: Final = 64 * 1024
PING_SECONDS: Final = 4.0
TALK_SECONDS: Final = 0.5
"""How often it is looked whether a call that was taken over is still up."""

BEAT_SECONDS: Final = 0.2
QUIET_BEATS: Final = 4
"""A page with a session or a call is asked for a sign of life at every beat, and after so many without one nobody hears
its coach. Beats and not seconds: a service that was busy itself has not listened either."""

GRACE_SECONDS: Final = 8.0
"""How long a session may be without its page, and a page that was lost is waited for."""

ANSWER_SECONDS: Final = 0.5
"""What a connection has to prove that it is alive, when another wants to take its page up."""

MAX_PAGES: Final = 8
"""Open pages of one person."""

CLOSED: Final = 1000
"""What a page closes with that is not coming back. Browsers and proxies say otherwise, or nothing at all."""

EXPIRED: Final = 4401
REFUSED: Final = 4403
MALFORMED: Final = 4400

_ICE: Final = "ice_servers"


@dataclass(frozen=True, slots=True)
class BrowserSettings:
    """`switches`: by the node's name, where its profile for browsers listens. `ice_servers` are handed to the pages as
    they are (RTCIceServer of WebRTC). `secret` signs resume keys."""

    switches: Mapping[str, tuple[str, int]]
    ice_servers: Sequence[Mapping[str, Any]] = ()
    secret: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)


class BrowserPhones:
    """All open pages. `origins` are other origins whose pages may connect, `limits` say how often somebody opens one
    and how often a page speaks: each message is work for a switch that has calls to carry."""

    def __init__(
        self, engine: Engine, auth: Auth, settings: BrowserSettings, limits: Limits, origins: Iterable[str] = ()
    ) -> None:
        self._engine = engine
        self._auth = auth
        self._settings = settings
        self._limits = limits
        self._keys = ResumeKeys(settings.secret)
        self._origins = frozenset(origins)
        self._pages: dict[str, OpenPage] = {}
        self._over: dict[str, float] = {}  # addresses that are not taken up again, and since when
        self._missed: dict[str, int] = {}  # devices of sessions without a page, by beats
        self._watch: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Look after the pages, and after sessions whose page is gone."""
        self._watch = gevent.spawn(self._look_after)

    def stop(self) -> None:
        """No more. Calls stay up for the service that starts next."""
        if self._watch is not None:
            self._watch.kill(timeout=1)
        for page in self._pages.values():
            page.let_go()

    def devices(self, coach: str) -> tuple[str, ...]:
        """The addresses of somebody's open pages."""
        return tuple(each.device for each in self._of(coach) if each.ws and not each.expired)

    def _of(self, coach: str) -> list[OpenPage]:
        return [page for page in self._pages.values() if page.who.actor.id == coach]

    def widened(self, actor: Actor) -> Actor:
        """Somebody whose open pages are devices of his, too."""
        return Actor(
            actor.id, actor.name, actor.permissions, actor.roles, actor.queues, actor.devices + self.devices(actor.id)
        )

    # --- who is there ------------------------------------------------------------------------------------------------

    def _look_after(self) -> None:
        while True:
            gevent.sleep(BEAT_SECONDS)
            try:
                self._beat()
            except Exception:
                logger.exception("a beat was lost")

    def _beat(self) -> None:
        now = time.monotonic()
        self._over = {device: since for device, since in self._over.items() if now - since < resume.SECONDS}
        sessions = [each for each in self._engine.state.sessions.values() if is_browser(each.device)]
        used = {session.device for session in sessions}
        self._missed = {device: self._missed.get(device, 0) + 1 for device in used - self._pages.keys()}
        quiet = {device for device, beats in self._missed.items() if beats >= QUIET_BEATS}
        for page in list(self._pages.values()):
            page.used = page.device in used or page.talks
            if page.used or page.ws is None:
                page.silent += 1
            else:
                page.silent = 0
            if page.silent >= QUIET_BEATS:
                quiet.add(page.device)
            if page.ws is None and page.silent * BEAT_SECONDS >= GRACE_SECONDS:
                gevent.spawn(self._end, page)  # a switch that does not read must not keep the others waiting
        for device, beats in self._missed.items():
            if beats * BEAT_SECONDS >= GRACE_SECONDS:
                self._leave(device)
        # What is so and not what has changed: a session may have begun, or have been read from the switch, since then.
        for device in {session.device for session in sessions if session.away is not (session.device in quiet)}:
            self._engine.post(ev.DeviceWentQuiet(device) if device in quiet else ev.DeviceHeard(device))

    # --- the upgrade -------------------------------------------------------------------------------------------------

    def middleware(self, app: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
        """A WSGI app that answers `PATH` here and all else as before."""

        def answer(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
            if environ.get("PATH_INFO") != PATH:
                return app(environ, start_response)
            try:
                who, key = self._admitted(environ)
                return converse(
                    environ, start_response, lambda ws: self._serve(ws, who, key), PROTOCOL, MAX_MESSAGE, PING_SECONDS
                )
            except CoachingError as error:
                why = error
            except RemoteProtocolError:
                why = Invalid("request_malformed", "This is no handshake of a WebSocket.")
            return refusal(STATUS[type(why)], detail(why))(environ, start_response)

        return answer

    def _admitted(self, environ: Mapping[str, Any]) -> tuple[Principal, str]:
        """Who asks, and the resume key that he has, if any."""
        if environ.get("REQUEST_METHOD") != "GET" or environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            raise Invalid("request_malformed", "This address is for WebSockets.")
        origin = environ.get("HTTP_ORIGIN", "")
        ours = {environ.get("HTTP_HOST"), environ.get("HTTP_X_FORWARDED_HOST", "").split(",")[0].strip()}
        host = origin.partition("://")[2]
        if origin and not (host and host in ours) and origin not in self._origins:
            raise Forbidden("origin_not_allowed", "Pages of this origin may not connect.")
        offered = [each.strip() for each in environ.get("HTTP_SEC_WEBSOCKET_PROTOCOL", "").split(",")]
        token = next((each.removeprefix(BEARER) for each in offered if each.startswith(BEARER)), None)
        key = next((each.removeprefix(RESUME) for each in offered if each.startswith(RESUME)), "")
        if PROTOCOL not in offered or token is None:
            raise Unauthorised("token_missing", "Offer the subprotocols that the documentation names.")
        who = self._auth.identify(f"Bearer {token}")
        if MONITOR not in who.actor.permissions:
            raise Forbidden("permission_missing", f"The token lacks the permission {MONITOR}.")
        again = self._keys.read(key, who.actor.id) if key else None
        others = [page for page in self._of(who.actor.id) if not (again and page.user == again.user)]
        if len(others) >= MAX_PAGES:
            raise Forbidden("too_many_pages", "There are too many open pages.")
        self._limits.spend(f"{who.actor.id} opens")
        return who, key

    # --- an open page ------------------------------------------------------------------------------------------------

    def _serve(self, ws: Any, who: Principal, key: str) -> None:
        page = self._again(who, key) if key else None
        again = page is not None
        if page is None:
            if len(self._of(who.actor.id)) >= MAX_PAGES:  # the key was for a page that is open
                return _close(ws, REFUSED)
            page = self._new(who, secrets.token_hex(16), {})
        page.who = who
        greeting = {"device": page.device, "resumed": again, _ICE: list(self._settings.ice_servers)}
        page.connect(ws, greeting)
        left = max(who.expires_at - time.time(), 0.0)
        over = Event()
        helpers: list[gevent.Greenlet[..., Any]] = [
            gevent.spawn_later(left, self._expire, page, ws, over),
            gevent.spawn(self._attend, page, ws),
        ]
        try:
            while True:
                text = ws.receive()
                self._limits.spend(f"{page.user} speaks")
                page.from_page(text)
        except (ConnectionClosed, OSError):
            if ws.close_reason == CLOSED:
                over.set()
        except (sip.Refused, TooMany) as error:
            logger.warning("a page of %s has been cut off: %s", who.actor.id, error)
            _close(ws, MALFORMED)
            over.set()
        finally:
            gevent.killall(helpers)
            if page.disconnect(ws) and over.is_set():
                self._end(page)

    def _new(self, who: Principal, user: str, kept: Mapping[str, resume.Kept]) -> OpenPage:
        page = OpenPage(who, user, self._welcome, self._settings.switches, self._key, kept)
        self._pages[page.device] = page
        return page

    def _key(self, page: OpenPage) -> str:
        return self._keys.make(page.who.actor.id, page.user, page.kept)

    def _again(self, who: Principal, key: str) -> OpenPage | None:
        """The page that a resume key is for; None where it is not a good one, or the page is open."""
        known = self._keys.read(key, who.actor.id)
        if known is None:
            logger.warning("a resume key of %s is not a good one, or too old", who.actor.id)
            return None
        page = self._pages.get(device_of(known.user))
        before = page.ws if page else None
        if page and before and (page.answers(ANSWER_SECONDS) or page.ws not in (before, None)):
            logger.warning("a resume key of %s is for a page that is open", who.actor.id)
            return None
        page = self._pages.get(device_of(known.user))
        if page is None and device_of(known.user) not in self._over:
            page = self._new(who, known.user, known.lines)
        return page

    @staticmethod
    def _attend(page: OpenPage, ws: Any) -> None:
        """Ask the page for signs of life while it matters, and renew its resume key."""
        renewed = time.monotonic()
        while page.ws is ws:
            gevent.sleep(BEAT_SECONDS)
            if page.used:
                page.ping()
            if time.monotonic() - renewed >= resume.RENEW_SECONDS:
                renewed = time.monotonic()
                page.renew_key()

    def _expire(self, page: OpenPage, ws: Any, over: Event) -> None:
        """The token is over. A customer whose call was taken over is not cut off for that: his call may end first."""
        while page.talks and not any(each.device == page.device for each in self._engine.state.sessions.values()):
            gevent.sleep(TALK_SECONDS)
        over.set()
        _close(ws, EXPIRED)

    def _welcome(self, page: OpenPage, session: str) -> bool:
        known = self._engine.state.sessions.get(session)
        if known is None or page.expired:
            return False
        return known.device == page.device and known.phase in (Phase.DIALLING, Phase.RINGING)

    def _end(self, page: OpenPage) -> None:
        """The page has gone for good."""
        if self._pages.pop(page.device, None) is not None:
            self._over[page.device] = time.monotonic()
            page.end()
            self._leave(page.device)

    def _leave(self, device: str) -> None:
        for session in list(self._engine.state.sessions.values()):
            if session.device == device and session.phase is not Phase.ENDING:
                with contextlib.suppress(CoachingError):  # it may be over
                    self._engine.ask(cmd.Leave(session.coach, session.id, "browser phone closed"))


def _close(ws: Any, code: int) -> None:
    with contextlib.suppress(ConnectionClosed, OSError, LocalProtocolError):
        ws.close(code)
    ws.event.set()  # simple-websocket does not wake up who waits in `receive` when it is closed from this side
