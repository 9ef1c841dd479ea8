"""One inbound Event Socket connection: greenswitch's, with its reading and writing replaced.

What stays greenswitch's: the constructor, ``register_handle``, ``authenticate``, the context manager, ``connected``,
handlers called one by one on one greenlet with an object that has ``headers`` and ``data``, ``*`` as the handler of
what has no handler of its own, ``DISCONNECT``, ``before_handle`` and ``after_handle``. What differs: bytes are cut
before they are decoded, every wait has an end, and a loss is told once to everybody who waits. tests/protocol shows
each defect of the original beside its cure.

Replies carry no id; the switch answers in order. So a command that timed out keeps its place in the queue, and its late
reply is thrown away instead of being taken for the next one's.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import gevent
from gevent import socket
from gevent.event import AsyncResult
from gevent.event import Event as Signal
from gevent.lock import BoundedSemaphore
from greenswitch import InboundESL

from ccwhisper.switch import grammar
from ccwhisper.switch.commands import Command
from ccwhisper.switch.errors import (
    AuthenticationFailed,
    CommandRefused,
    CommandTimeout,
    ConnectionLost,
    NotConnected,
    SwitchError,
)
from ccwhisper.switch.frames import Event, Frame, Splitter, parse_event_json, parse_event_plain

logger = logging.getLogger(__name__)

RECEIVE_BYTES = 256 * 1024
YIELD_EVERY = 64
"""Events handled before other greenlets get a turn."""

MAX_BACKLOG = 100_000
"""Events that may wait for handlers. FreeSWITCH drops a listener that falls as far behind (MAX_QUEUE_LEN); so do we."""

# A peer that vanished without FIN is noticed after 10 + 3 * 5 s at the latest. TCP_USER_TIMEOUT is in milliseconds.
_KEEPALIVE = (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 3), ("TCP_USER_TIMEOUT", 20_000))


class Reply:
    """A command's place in the queue of replies."""

    __slots__ = ("_result", "label")

    def __init__(self, label: str) -> None:
        self.label = label
        self._result: AsyncResult[Event] = AsyncResult()

    def wait(self, timeout: float) -> Event:
        """The reply. Raises CommandTimeout after ``timeout`` seconds, ConnectionLost when the connection ends first."""
        self._result.wait(timeout)
        if not self._result.ready():
            raise CommandTimeout(f"no reply to {self.label} in {timeout:g} s")
        return cast(Event, self._result.get_nowait())

    def resolve(self, event: Event) -> None:
        self._result.set(event)

    def fail(self, error: SwitchError) -> None:
        self._result.set_exception(error)


# greenswitch has no types, so its class is Any to the type checker.
class Connection(InboundESL):  # type: ignore[misc]
    """A hardened ``greenswitch.InboundESL``. It connects once; for the next connection make the next object.

    ``timeout`` (seconds) bounds the whole of ``connect``: name look-up, TCP, banner, password. ``command_timeout``
    (seconds, the same unless given) bounds a command whose caller names no timeout.
    """

    sock: Any
    event_handlers: dict[str, list[Callable[[Event], object]]]

    def __init__(
        self, host: str, port: int, password: str, timeout: float = 5, *, command_timeout: float | None = None
    ) -> None:
        super().__init__(host, port, password, timeout)
        self.command_timeout = timeout if command_timeout is None else command_timeout
        self.closed = Signal()
        """Set the moment the connection is lost or stopped, before the handlers of DISCONNECT run."""
        self.reason = "never connected"
        """Why the connection is not up."""
        self.dropped = 0
        """Events that could not be read and were thrown away."""
        self._banner = Signal()
        self._replies: deque[Reply] = deque()
        self._inbox: deque[Frame | None] = deque()  # None: the connection is lost
        self._wake = Signal()
        self._writing = BoundedSemaphore(1)
        self._started = False
        self._established = False
        self._stopping = False
        self._lost = False

    # --- life ---------------------------------------------------------------------------------------------------

    def connect(self) -> None:
        """Connect, wait for the banner, authenticate.

        Raises NotConnected (no connection, no banner in time, refused by access list), AuthenticationFailed.
        """
        if self._started:
            raise SwitchError("a Connection connects once")
        self._started = True
        deadline = gevent.Timeout(self.timeout)
        try:
            with deadline:
                # The deadline is around create_connection because its own timeout leaves the name look-up out.
                self.sock = socket.create_connection((self.host, self.port))
                self._tune()
                self.connected = True
                self.start_event_handlers()
                self._banner.wait()
                if not self.connected:
                    raise NotConnected(f"the switch closed the connection: {self.reason}")
                self.authenticate()
        except gevent.Timeout as error:
            self._close("no connection in time")
            if error is not deadline:
                raise
            raise NotConnected(f"no connection within {self.timeout:g} s") from None
        except OSError as error:
            self._close("no connection")
            raise NotConnected(f"no connection: {error.strerror or type(error).__name__}") from error
        except BaseException:
            self._close("authentication did not succeed")
            raise
        self._established = True

    def authenticate(self) -> None:
        """Send the password. Raises AuthenticationFailed, which is a ValueError as with greenswitch."""
        grammar.line(f"auth {self.password}")
        reply = self._write(f"auth {self.password}\n\n".encode(), "auth", self.timeout).wait(self.timeout)
        if reply.headers.get("Reply-Text") != "+OK accepted":
            raise AuthenticationFailed("the switch refused the Event Socket password")

    def stop(self, timeout: float = 1.0) -> None:
        """Say ``exit``, close, and wait for the greenlets, ``timeout`` seconds in all; what still runs then is killed.

        May be called from a handler, twice, and without ``connect``. It is no loss: DISCONNECT is not dispatched.
        """
        end = time.monotonic() + timeout
        if self.connected and not self._stopping:
            self._stopping = True
            with suppress(SwitchError):  # the peer may be hung or gone, and we are leaving
                self._write(b"exit\n\n", "exit", timeout / 2).wait(timeout / 2)
        self._stopping = True
        self._close("stopped")
        own = [self._receive_events_greenlet, self._process_events_greenlet]
        greenlets = [one for one in own if one is not None and one is not gevent.getcurrent()]
        gevent.joinall(greenlets, timeout=max(end - time.monotonic(), 0))
        gevent.killall(greenlets, block=False)

    def _tune(self) -> None:
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in _KEEPALIVE:
            if hasattr(socket, option):  # not all are known everywhere
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    def _close(self, reason: str) -> None:
        """The one place where a connection ends. Does not block; the second call does nothing."""
        if self.closed.is_set():
            return
        self.reason = reason
        self._lost = not self._stopping
        self.connected = False
        self._run = False
        self.closed.set()
        self._banner.set()
        if hasattr(self, "sock"):
            self.sock.close()  # wakes a greenlet that waits in recv or sendall
        replies, self._replies = self._replies, deque()
        for reply in replies:
            reply.fail(ConnectionLost(f"{reason}; {reply.label} may have run"))
        self._inbox.append(None)
        self._wake.set()
        logger.debug("event socket connection ended: %s", reason)

    # --- commands -----------------------------------------------------------------------------------------------

    def submit(self, command: Command | str) -> Reply:
        """Write a command and return the place of its reply, without waiting for it.

        A Command of the api kind gets its ``api``; a string goes as it is, if it is one safe line.
        Raises UnsafeArgument, NotConnected, ConnectionLost.
        """
        if isinstance(command, Command):
            text = f"api {command.text}" if command.api else command.text
            label = command.label
        else:
            text = grammar.line(command)
            label = " ".join(text.split(" ", 2)[: 2 if text.startswith(("api ", "bgapi ")) else 1])
        return self._write(f"{text}\n\n".encode(), label, self.command_timeout)

    def send(self, data: Command | str, timeout: float | None = None) -> Event:
        """Send a command and wait for its reply, whatever it says (``headers``, ``data``).

        Raises UnsafeArgument, NotConnected, ConnectionLost, CommandTimeout.
        """
        return self.submit(data).wait(self.command_timeout if timeout is None else timeout)

    def api(self, command: Command | str, timeout: float | None = None) -> str:
        """Run an api command (a string comes without the word ``api``) and return its output, stripped.

        Raises CommandRefused when that begins with ``-ERR`` or ``-USAGE``, and what ``send`` raises.
        """
        if isinstance(command, str):
            grammar.line(command)
            command = Command(command, command.split(" ", 1)[0])
        return accepted(command, self.send(command, timeout))

    def bgapi(self, command: Command, job_uuid: str, timeout: float | None = None) -> None:
        """Start an api command in the background; its BACKGROUND_JOB event carries ``job_uuid``. Raises as ``api``."""
        job = command.background(job_uuid)
        accepted(job, self.send(job, timeout))

    def _write(self, data: bytes, label: str, timeout: float) -> Reply:
        if not self._writing.acquire(timeout=timeout):
            raise CommandTimeout(f"{label} was not sent: an earlier command is stuck")
        try:
            if not self.connected:
                raise NotConnected(f"{self.reason}; {label} was not sent")
            reply = Reply(label)
            self._replies.append(reply)  # before the bytes: the answer may be here when sendall returns
            try:
                with gevent.Timeout(timeout, TimeoutError()):
                    self.sock.sendall(data)
            except OSError as error:  # TimeoutError is one: the peer does not read
                self._close("the switch does not take commands")
                raise ConnectionLost(f"{self.reason}; {label} may have run") from error
            except BaseException:  # killed in the middle of a command: the rest of it must not be glued to the next
                self._close("a command was interrupted")
                raise
            return reply
        finally:
            self._writing.release()

    # --- reading (a greenlet of its own) ------------------------------------------------------------------------

    def receive_events(self) -> None:
        """Read, cut, hand out replies, queue events. Ends with the connection."""
        splitter = Splitter()
        receive = self.sock.recv
        reason = "the switch closed the connection"
        try:
            while self._run:
                data = receive(RECEIVE_BYTES)
                if not data:
                    splitter.eof()
                    break
                queued = len(self._inbox)
                for frame in splitter.feed(data):
                    self._sort(frame)
                if splitter.broken is not None:
                    break
                if len(self._inbox) > queued:
                    self._wake.set()
                    if len(self._inbox) > MAX_BACKLOG:
                        reason = "handlers are too slow for the events"
                        break
                gevent.sleep(0)  # a socket that always has data would never let the handlers run
        except OSError as error:
            reason = f"read failed: {error.strerror or type(error).__name__}"
        self._close(splitter.broken or reason)

    def _sort(self, frame: Frame) -> None:
        kind = frame.content_type
        if kind.startswith("text/event-") or kind == "log/data":
            self._inbox.append(frame)
        elif kind == "command/reply":
            self._answer(Event(frame.headers, frame.headers.get("Reply-Text", "")))
        elif kind == "api/response":
            self._answer(Event(frame.headers, frame.body.decode("utf-8", "replace")))
        elif kind == "auth/request":
            self._banner.set()
        elif kind == "text/rude-rejection":
            self._close("refused by the switch's access list")
        elif kind == "text/disconnect-notice" and frame.headers.get("Content-Disposition") != "linger":
            self._close("the switch ended the connection")

    def _answer(self, event: Event) -> None:
        if self._replies:
            self._replies.popleft().resolve(event)
        elif self.connected:
            self._close("a reply that nobody asked for")  # the order of replies cannot be trusted any more

    # --- handlers (a greenlet of its own) -----------------------------------------------------------------------

    def process_events(self) -> None:
        """Parse queued events and run their handlers, in order; after a loss run DISCONNECT, once, and end."""
        inbox = self._inbox
        handled = 0
        while True:
            if not inbox:
                self._wake.clear()
                self._wake.wait()
                continue
            frame = inbox.popleft()
            if frame is None:
                if self._established and self._lost:
                    notice = {"Content-Type": "text/disconnect-notice", "Content-Disposition": "disconnect"}
                    self._run_handlers(self.event_handlers.get("DISCONNECT"), Event(notice, self.reason))
                return
            if self._stopping:
                continue
            event = self._parse(frame)
            if event is not None:
                self._dispatch(event, frame.content_type)
            handled += 1
            if handled % YIELD_EVERY == 0:
                gevent.sleep(0)

    def _parse(self, frame: Frame) -> Event | None:
        kind = frame.content_type
        try:
            if kind == "text/event-json":
                return parse_event_json(frame.body)
            if kind == "text/event-plain":
                headers = parse_event_plain(frame.body)
                return Event(headers, headers.pop("_body", None))
            if kind == "log/data":
                return Event(frame.headers, frame.body.decode("utf-8", "replace"))
        except ValueError:
            pass
        self.dropped += 1
        logger.warning("an event that cannot be read was dropped (%d so far on this connection)", self.dropped)
        return None

    def _dispatch(self, event: Event, kind: str) -> None:
        handlers = self.event_handlers
        name = event.name
        found = handlers.get((event.subclass or "") if name == "CUSTOM" else name)
        if not found and kind == "log/data":
            found = handlers.get("log")
        self._run_handlers(found or handlers.get("*"), event)

    def _run_handlers(self, handlers: list[Callable[[Event], object]] | None, event: Event) -> None:
        if not handlers:
            return
        before: Any = getattr(self, "before_handle", None)
        after: Any = getattr(self, "after_handle", None)
        if before is not None:
            self._safe_exec_handler(before, event)
        for handler in tuple(handlers):  # a handler may unregister itself
            self._safe_exec_handler(handler, event)
        if after is not None:
            self._safe_exec_handler(after, event)

    def _safe_exec_handler(self, handler: Callable[[Event], object], event: Event) -> None:
        try:
            handler(event)
        except Exception:
            # The event stays out of the log: its headers are people's names and numbers.
            logger.exception("a handler of %s failed", event.name or "DISCONNECT")


def accepted(command: Command, reply: Event) -> str:
    """The text of a reply, stripped, or CommandRefused."""
    text = (reply.body or "").strip(" \r\n\t")
    if text.startswith(("-ERR", "-USAGE")):
        raise CommandRefused(command.label, text)
    return text
