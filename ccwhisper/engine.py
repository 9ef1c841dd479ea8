"""One greenlet owns the state. Facts and requests queue up in front of it; effects leave it in order.

Everything else in the service reads `Engine.state`, an immutable snapshot, or waits on `Engine.log`.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Protocol

import gevent
from gevent.event import AsyncResult, Event
from gevent.queue import Empty, Queue

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import CoachingError, Unavailable
from ccwhisper.coaching.model import Node, NodeName, State
from ccwhisper.coaching.moment import Moment
from ccwhisper.coaching.notices import Notice, RulesChanged
from ccwhisper.coaching.policy import Rules
from ccwhisper.coaching.reduce import next_timer, reduce
from ccwhisper.coaching.trail import refused

logger = logging.getLogger(__name__)


class SwitchPort(Protocol):
    """Carries out switch effects, in order for each node, without making the engine wait. What comes of it is posted
    to the engine as facts."""

    def perform(self, effect: fx.SwitchEffect) -> None:
        """Queue one effect."""

    def start(self, post: ev.Post) -> None:
        """Connect; `post` takes facts from any greenlet."""

    def stop(self) -> None:
        """Disconnect, bounded in time."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A notice with its place in the order of all notices since the service started, and the time it was made
    (seconds since the epoch)."""

    seq: int
    at: float
    notice: Notice


class NoticeLog:
    """The last notices, for whoever follows along. Bounded: a reader that falls further behind starts from a
    snapshot again."""

    def __init__(self, size: int = 4096) -> None:
        self._entries: deque[Entry] = deque(maxlen=size)
        self._news = Event()
        self.seq = 0

    def extend(self, notices: Iterable[Notice], at: float) -> None:
        """Append notices and wake every waiting reader."""
        count = 0
        for notice in notices:
            self.seq += 1
            count += 1
            self._entries.append(Entry(self.seq, at, notice))
        if count:
            news, self._news = self._news, Event()
            news.set()

    def since(self, seq: int) -> list[Entry] | None:
        """The notices after number `seq`; None when some of them are no longer here, or never were."""
        if seq > self.seq or (self._entries and seq < self._entries[0].seq - 1):
            return None
        return [entry for entry in self._entries if entry.seq > seq]

    def wait(self, seq: int, timeout: float) -> list[Entry] | None:
        """Like `since`, after waiting up to `timeout` seconds for there to be any."""
        deadline = time.monotonic() + timeout
        while True:
            news = self._news
            entries = self.since(seq)
            left = deadline - time.monotonic()
            if entries is None or entries or left <= 0:
                return entries
            news.wait(left)


class Engine:
    """Runs the core.

    `ask` and `post` may be called from any greenlet of the thread that runs the hub.
    """

    def __init__(
        self,
        rules: Rules,
        port: SwitchPort,
        nodes: Iterable[NodeName],
        audit: Callable[[fx.Audit, float], None] = lambda _row, _at: None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
        scribe: Callable[[Moment], None] = lambda _moment: None,
    ) -> None:
        self.rules = rules
        self.state = State(nodes=MappingProxyType({name: Node(name) for name in nodes}))
        self.log = NoticeLog()
        self._port = port
        self._audit = audit
        self._scribe = scribe
        self._clock = clock
        self._wall = wall
        self._queue: Queue[tuple[ev.Fact | cmd.Request, AsyncResult[State] | None, float | None]] = Queue()
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Start the greenlet, then the port."""
        self._greenlet = gevent.spawn(self._run)
        self._port.start(self.post)

    def stop(self) -> None:
        """Stop both. Coaches' legs are left to the switch's lease, or to the service that starts next."""
        self._port.stop()
        if self._greenlet is not None:
            self._greenlet.kill(timeout=2)

    def post(self, fact: ev.Fact, at: float | None = None) -> None:
        """Queue a fact; `at` is the switch's time of it, in seconds since the epoch."""
        self._queue.put((fact, None, at))

    def ask(self, request: cmd.Request, timeout: float = 5.0) -> State:
        """Make a request and wait until the core has granted it. Returns the state right after it. Raises the
        CoachingError of a refusal, or Unavailable (`engine_busy`) after `timeout` seconds."""
        answer: AsyncResult[State] = AsyncResult()
        self._queue.put((request, answer, None))
        answer.wait(timeout)
        if not answer.ready():  # answered here, so that it is not carried out after all
            busy = Unavailable("engine_busy", "The service did not get to this request in time.")
            answer.set_exception(busy)
            self.record(refused(self.state, request, busy.code))
        state = answer.get_nowait()
        assert state is not None  # noqa: S101 - only ever set to a state
        return state

    def record(self, row: fx.Audit) -> None:
        """A row of the trail, made now; also of what is refused before the core is asked. Never raises."""
        self._keep(row, self._wall())

    def wait_for(self, condition: Callable[[State], bool], timeout: float) -> bool:
        """Wait until a condition on the state holds; False when it did not within `timeout` seconds."""
        deadline = self._clock() + timeout
        while True:
            seq = self.log.seq
            if condition(self.state):
                return True
            left = deadline - self._clock()
            if left <= 0:
                return False
            self.log.wait(seq, left)

    def _run(self) -> None:
        while True:
            due = next_timer(self.state)
            left = None if due is None else max(0.0, due - self._clock())
            if left == 0:  # before what is queued, or a flood of facts would hold up every timer
                self._turn(ev.Tick(), None, None)
            with suppress(Empty):
                event, answer, switch_at = self._queue.get(timeout=left)
                if answer is None or not answer.ready():
                    self._turn(event, answer, switch_at)

    def _turn(self, event: ev.Fact | cmd.Request, answer: AsyncResult[State] | None, switch_at: float | None) -> None:
        try:
            state, effects = reduce(self.state, event, self._clock(), self.rules)
        except CoachingError as refusal:
            if answer is None or not isinstance(event, cmd.Request):
                logger.exception("a fact was refused: %s", type(event).__name__)
            else:
                self.record(refused(self.state, event, refusal.code))
                answer.set_exception(refusal)
            return
        except Exception as error:
            # A defect in the core must not end coaching for everybody: the turn is dropped whole, the state stays.
            logger.exception("a turn failed: %s", type(event).__name__)
            if answer is not None:
                answer.set_exception(error)
            gevent.sleep(0.05)  # a due Tick that fails would come again at once
            return
        before, self.state = self.state, state
        at = self._wall()
        try:
            self._scribe(Moment(before, state, event, effects, at, switch_at))
        except Exception:
            logger.exception("what is recorded was not noted")
        notices: list[Notice] = []
        for effect in effects:
            try:
                if isinstance(effect, RulesChanged):
                    self.rules = effect.rules
                if isinstance(effect, Notice):
                    notices.append(effect)
                elif isinstance(effect, fx.Audit):
                    self._keep(replace(effect, switch_at=switch_at), at)
                else:
                    self._port.perform(effect)
            except Exception:
                # The state is the new one: what follows, a gate that closes perhaps, must not be kept back.
                logger.exception("%s was lost", type(effect).__name__)
        self.log.extend(notices, at)
        if answer is not None:
            answer.set(state)

    def _keep(self, row: fx.Audit, at: float) -> None:
        try:
            self._audit(row, at)
        except Exception:
            logger.exception("%s was lost", type(row).__name__)
