"""What the engine forgets and readers still ask for: sessions that ended a while ago, and the queues of calls that are
over (an event about such a call must reach those who were allowed to see it, and nobody else)."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from dataclasses import dataclass

import gevent

from ccwhisper.coaching import notices
from ccwhisper.coaching.model import CallId, Session, SessionId
from ccwhisper.engine import Engine


@dataclass(frozen=True, slots=True)
class Ended:
    """A session that is over."""

    session: Session
    reason: str
    at: float


class Journal:
    """Reads the engine's notices along, bounded in memory. `epoch` differs from one start of the service to the
    next, so that a reader's place in the order of one is not taken for a place in that of another."""

    def __init__(self, engine: Engine, size: int = 2048) -> None:
        self.epoch = secrets.token_hex(4)
        self._engine = engine
        self._size = size
        self._seq = 0
        self._ended: OrderedDict[SessionId, Ended] = OrderedDict()
        self._queues: OrderedDict[CallId, frozenset[str]] = OrderedDict()
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Read along, so that nothing is overwritten before it was read."""
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """Stop reading."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=1)

    def ended(self, session: SessionId) -> Ended | None:
        """How this session ended, if it did not long ago."""
        self._catch_up()
        return self._ended.get(session)

    def queues_of(self, session: Session) -> frozenset[str]:
        """What a token's queues are compared with, for somebody else's session."""
        self._catch_up()
        call = self._engine.state.calls.get(session.call) if session.call else None
        if call:
            return call.queues
        if session.call and session.call in self._queues:
            return self._queues[session.call]
        agent = self._engine.rules.agents.get(session.agent)
        return agent.queues if agent else frozenset()

    def _run(self) -> None:
        while True:
            self._catch_up()
            self._engine.log.wait(self._seq, 60.0)

    def _catch_up(self) -> None:
        entries = self._engine.log.since(self._seq)
        self._seq = self._engine.log.seq
        for entry in entries or ():
            notice = entry.notice
            if isinstance(notice, notices.SessionEnded):
                self._ended[notice.session.id] = Ended(notice.session, notice.reason, entry.at)
            elif isinstance(notice, notices.CallChanged | notices.CallEnded):
                self._queues[notice.call.id] = notice.call.queues
                self._queues.move_to_end(notice.call.id)
        for kept in (self._ended, self._queues):
            while len(kept) > self._size:
                kept.popitem(last=False)
