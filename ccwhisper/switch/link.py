"""A node of the switch, kept connected: one connection for events, one for commands, made again when either is lost.

Two, because an ``api`` command holds up the events of its own connection for as long as it runs.

Events of a gap are gone. So every (re)connect subscribes first and then calls ``on_up``, which reads the state of the
switch through ``api``; what is raised meanwhile waits and is delivered after ``on_up``, in order.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import gevent
from gevent.event import Event as Signal

from ccwhisper.switch.commands import Command, events_subscription
from ccwhisper.switch.errors import AuthenticationFailed, NotConnected, SwitchError
from ccwhisper.switch.frames import Event
from ccwhisper.switch.wire import Connection, Reply, accepted

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential, with full jitter: attempt n waits between 0 and min(cap, first * 2^n) seconds."""

    first: float = 0.2
    cap: float = 10.0

    def delay(self, attempt: int, rng: random.Random) -> float:
        """Seconds to wait before attempt number ``attempt`` (0 is the first repeat)."""
        return rng.uniform(0.0, min(self.cap, self.first * 2.0 ** min(attempt, 32)))


class Link:
    """See the module. Callbacks: ``on_up`` and ``on_down`` on the supervisor's greenlet, ``on_event`` on the event
    connection's, one at a time and never while ``on_up`` runs or after ``on_down`` has been called.

    ``on_down(reason)`` is called once for each outage: when a link that was up is lost, or when the first attempt after
    ``start`` fails; and once more in an outage when the switch refuses the password, which a person must mend. When
    ``on_up`` raises, the link is taken down as if it were lost: state that could not be read is no state.
    A deliberate ``stop`` is no outage.
    """

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        password: str,
        events: Sequence[str],
        subclasses: Sequence[str],
        on_event: Callable[[Event], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        *,
        connect_timeout: float = 5,
        command_timeout: float = 5,
        backoff: Backoff | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self.name = name
        self._address = (host, port, password)
        self._subscription = events_subscription(events, subclasses)
        self._on_event, self._on_up, self._on_down = on_event, on_up, on_down
        self._connect_timeout, self._command_timeout = connect_timeout, command_timeout
        self._backoff = backoff or Backoff()
        self._rng = rng or random.Random()
        self._commands: Connection | None = None
        self._supervisor: gevent.Greenlet[..., None] | None = None
        self._event_greenlet: object = None
        self._stopping = Signal()
        self._drop, self._dropped = Signal(), ""
        self._told_down = False
        self._told_password = False
        self.reason = "not started"
        """Why the link is down; the last reason when it is up."""

    @property
    def up(self) -> bool:
        """Commands can be sent. True from just before ``on_up`` to just before ``on_down``."""
        return self._commands is not None and self._commands.connected

    def start(self) -> None:
        """Start connecting; returns at once."""
        if self._supervisor is None:
            self._supervisor = gevent.spawn(self._supervise)

    def stop(self, timeout: float = 2.0) -> None:
        """Close both connections; ``timeout`` seconds at most. May be called from any callback. Final."""
        self._stopping.set()
        if self._supervisor is None or gevent.getcurrent() in (self._supervisor, self._event_greenlet):
            return  # whoever calls from a callback must return before that greenlet can end
        self._supervisor.join(timeout)
        if not self._supervisor.dead:
            self._supervisor.kill(block=False)

    # --- commands -----------------------------------------------------------------------------------------------

    def api(self, command: Command) -> str:
        """Run an api command, return its output. Raises CommandRefused, CommandTimeout, ConnectionLost."""
        return self._connection().api(command)

    def command(self, command: Command) -> None:
        """Send a command that has no output, such as ``sendevent``. Raises as ``api``."""
        accepted(command, self._connection().send(command))

    def bgapi(self, command: Command, job_uuid: str) -> None:
        """Start an api command in the background (subscribe to BACKGROUND_JOB for its result). Raises as ``api``."""
        self._connection().bgapi(command, job_uuid)

    def pipeline(self, commands: Sequence[Command]) -> list[str | SwitchError]:
        """Send all, then wait for the replies; the switch runs them in order. One result or error for each command.

        ``command_timeout`` bounds the wait for all of them together. An error of one does not keep back the others.
        """
        results: list[str | SwitchError] = []
        waiting: list[Reply | SwitchError] = []
        for command in commands:
            try:
                waiting.append(self._connection().submit(command))
            except SwitchError as error:
                waiting.append(error)
        end = time.monotonic() + self._command_timeout
        for command, reply in zip(commands, waiting, strict=True):
            if isinstance(reply, SwitchError):
                results.append(reply)
                continue
            try:
                results.append(accepted(command, reply.wait(max(end - time.monotonic(), 0))))
            except SwitchError as error:
                results.append(error)
        return results

    def _connection(self) -> Connection:
        if self._commands is None:
            raise NotConnected(f"{self.reason}; nothing was sent")
        return self._commands

    def drop(self, reason: str) -> None:
        """Give both connections up, as if they had been lost: what is true is read again after the next connect."""
        self._dropped = reason
        self._drop.set()

    # --- the supervisor -----------------------------------------------------------------------------------------

    def _supervise(self) -> None:
        attempt = 0
        while not self._stopping.is_set():
            began = time.monotonic()
            try:
                self.reason = self._session()
                wait = None
            except AuthenticationFailed as error:
                self.reason, wait = str(error), self._backoff.cap
                if not self._told_password:
                    self._told_password = True
                    self._told_down = False  # worth a second call: this outage needs a person
            except SwitchError as error:
                self.reason, wait = str(error), None
            if self._stopping.is_set():
                return
            self._tell_down()
            if time.monotonic() - began > self._backoff.cap:
                attempt = 0  # it had been up for a while; a switch that comes and goes is not hammered
            delay = self._backoff.delay(attempt, self._rng) if wait is None else wait
            attempt += 1
            self._stopping.wait(delay)

    def _session(self) -> str:
        """Connect both, subscribe, resync, and stay until one is lost. Returns why."""
        events, commands = (
            Connection(*self._address, timeout=self._connect_timeout, command_timeout=self._command_timeout)
            for _ in range(2)
        )
        ready = Signal()

        def deliver(event: Event) -> None:
            ready.wait()
            if not events.closed.is_set() and self._commands is commands:
                self._on_event(event)

        events.register_handle("*", deliver)
        try:
            commands.connect()
            events.connect()
            accepted(self._subscription, events.send(self._subscription))
            self._event_greenlet = events._process_events_greenlet
            self._commands = commands
            self._drop.clear()
            self._told_down = self._told_password = False
            logger.info("switch %s is up", self.name)
            try:
                self._on_up()
            except SwitchError as error:
                return f"resync failed: {error}"
            except Exception:
                logger.exception("resync with switch %s failed", self.name)
                return "resync failed"
            ready.set()
            gevent.wait([events.closed, commands.closed, self._drop, self._stopping], count=1)
            if self._drop.is_set():
                return self._dropped
            return events.reason if events.closed.is_set() else commands.reason
        finally:
            self._commands = None
            # exit is said only to a connection that still stands; both are bounded
            for connection in (events, commands):
                connection.stop(timeout=0.5)

    def _tell_down(self) -> None:
        if self._told_down:
            return
        self._told_down = True
        logger.warning("switch %s is down: %s", self.name, self.reason)
        try:
            self._on_down(self.reason)
        except Exception:
            logger.exception("on_down of switch %s failed", self.name)
