"""What one principal may see of the engine's state and of its notices."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Literal, cast

from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import NotFound
from ccwhisper.coaching.model import Actor, Session, SessionId, State
from ccwhisper.coaching.policy import VIEW, may_see, visible
from ccwhisper.engine import Engine, Entry
from ccwhisper.web import centre
from ccwhisper.web.happenings import (
    AgentChangedEvent,
    BeepFailedEvent,
    BeepFailure,
    CallChangedEvent,
    CallEndedEvent,
    CallTap,
    CoachChangedEvent,
    CoachLeftEvent,
    CueChangedEvent,
    EventList,
    EventView,
    HandLoweredEvent,
    HandRaisedEvent,
    NodeChangedEvent,
    PoliciesChangedEvent,
    QueueChangedEvent,
    QueueGoneEvent,
    QueueName,
    QueueRules,
    SessionChangedEvent,
    SessionEndedEvent,
    Snapshot,
    TapGoneEvent,
    TapNoticedEvent,
)
from ccwhisper.web.journal import Ended, Journal
from ccwhisper.web.schemas import AgentView, CallView, CoachView, CueView, HandView, NodeView, QueueView, SessionView
from ccwhisper.web.views import call_view, coach_view, cue_view, hand_view, rules_view, session_view, tap_view

_PAGE = 500


class Desk:
    """One principal's view."""

    def __init__(self, engine: Engine, journal: Journal, actor: Actor) -> None:
        self._engine = engine
        self._journal = journal
        self._actor = actor

    # --- now ---------------------------------------------------------------------------------------------------------

    def calls(self, agent: str | None = None, queue: str | None = None) -> list[CallView]:
        """Calls, oldest first."""
        found = (call for call in self._engine.state.calls.values() if visible(self._actor, call))
        return [
            call_view(call)
            for call in sorted(found, key=lambda call: (call.started_at, call.id))
            if (agent is None or call.leg_of(agent)) and (queue is None or queue in call.queues)
        ]

    def call(self, identifier: str) -> CallView:
        """One call."""
        call = self._engine.state.calls.get(identifier)
        if call is None or not visible(self._actor, call):
            raise NotFound("call_not_found", "There is no such call.")
        return call_view(call)

    def agents(self) -> list[AgentView]:
        """The agents of one's queues, and those whom a visible call shows."""
        return centre.agents(self._engine.state, self._engine.rules, self._actor)

    def queues(self) -> list[QueueView]:
        """One's queues of mod_callcenter."""
        return centre.queues(self._engine.state.centre, self._actor)

    def sessions(self) -> list[SessionView]:
        """One's own that are not over."""
        return [session_view(each) for each in self._engine.state.sessions.values() if self._is_mine(each)]

    def coaches(self) -> list[CoachView]:
        """Other people's, where the token may see the call."""
        return [coach_view(each) for each in self._engine.state.sessions.values() if self._may_see(each)]

    def cues(self) -> list[CueView]:
        """One's own, oldest first."""
        return [cue_view(each) for each in self._engine.state.cues.values() if each.coach == self._actor.id]

    def hands(self) -> list[HandView]:
        """The agents of one's queues who ask for help, who asked first first."""
        found = (each for each in self._engine.state.hands.values() if may_see(self._actor, each.queues))
        return [hand_view(each) for each in sorted(found, key=lambda each: (each.raised_at, each.agent))]

    def policies(self) -> dict[str, QueueRules]:
        """What coaches must know of the queues' policies."""
        return rules_view(self._engine.rules, self._actor) if VIEW in self._actor.permissions else {}

    def session(self, identifier: SessionId) -> SessionView:
        """One of one's own, also a while after its end."""
        session, ended = self._find(self._engine.state, identifier)
        return session_view(session, ended)

    def wait(self, identifier: SessionId, condition: Callable[[Session], bool], timeout: float) -> SessionView:
        """Like `session`, when the condition holds, the session has ended, or the time is over."""
        self._find(self._engine.state, identifier)

        def done(state: State) -> bool:
            session = state.sessions.get(identifier)
            return session is None or condition(session)

        self._engine.wait_for(done, timeout)
        return self.session(identifier)

    def _find(self, state: State, identifier: SessionId) -> tuple[Session, Ended | None]:
        session = state.sessions.get(identifier)
        ended = None if session else self._journal.ended(identifier)
        session = session or (ended.session if ended else None)
        if session is None or not self._is_mine(session):
            raise NotFound("session_not_found", "There is no such session, or it is not yours.")
        return session, ended

    def _is_mine(self, session: Session) -> bool:
        return session.coach.id == self._actor.id

    def _may_see(self, session: Session) -> bool:
        return not self._is_mine(session) and may_see(self._actor, self._journal.queues_of(session))

    # --- what happens ------------------------------------------------------------------------------------------------

    def events(self, after: str | None, timeout: float) -> EventList:
        """What happened after a place in the order, waiting for it if need be; or a snapshot."""
        seq = self._place(after)
        if seq is None:
            return self._reset()
        deadline = time.monotonic() + timeout
        while True:
            entries = self._engine.log.wait(seq, deadline - time.monotonic())
            if entries is None:
                return self._reset()
            events, seq = self._page(entries, seq)
            if events or time.monotonic() >= deadline:
                return EventList(reset=False, next=self._cursor(seq), events=events, snapshot=None)

    def _place(self, after: str | None) -> int | None:
        epoch, _, number = (after or "").partition(".")
        if epoch != self._journal.epoch or not number.isascii() or not number.isdigit():
            return None
        return int(number)

    def _cursor(self, seq: int) -> str:
        return f"{self._journal.epoch}.{seq}"

    def _reset(self) -> EventList:
        seq = self._engine.log.seq  # before the state: an event told twice does no harm, one not told does
        snapshot = Snapshot(calls=self.calls(), sessions=self.sessions(), coaches=self.coaches(),
                            cues=self.cues(), hands=self.hands(), agents=self.agents(), queues=self.queues(),
                            policies=self.policies())  # fmt: skip
        return EventList(reset=True, next=self._cursor(seq), events=[], snapshot=snapshot)

    def _page(self, entries: Iterable[Entry], seq: int) -> tuple[list[EventView], int]:
        events: list[EventView] = []
        for entry in entries:
            seq = entry.seq
            event = self.event(entry)
            if event is not None:
                events.append(event)
            if len(events) >= _PAGE:
                break
        return events, seq

    def event(self, entry: Entry) -> EventView | None:
        """What this principal is told of a notice; None when it is not his business."""
        notice, seq, at = entry.notice, entry.seq, entry.at
        match notice:
            case notices.CallChanged() if visible(self._actor, notice.call):
                return CallChangedEvent(seq=seq, at=at, data=call_view(notice.call))
            case notices.CallEnded() if visible(self._actor, notice.call):
                return CallEndedEvent(seq=seq, at=at, data=call_view(notice.call))
            case notices.TapNoticed() if visible(self._actor, notice.call):
                return TapNoticedEvent(seq=seq, at=at, data=_call_tap(notice))
            case notices.TapGone() if visible(self._actor, notice.call):
                return TapGoneEvent(seq=seq, at=at, data=_call_tap(notice))
            case notices.SessionChanged() if self._is_mine(notice.session):
                return SessionChangedEvent(seq=seq, at=at, data=session_view(notice.session))
            case notices.SessionChanged() if self._may_see(notice.session):
                return CoachChangedEvent(seq=seq, at=at, data=coach_view(notice.session))
            case notices.SessionEnded() if self._is_mine(notice.session):
                view = session_view(notice.session, Ended(notice.session, notice.reason, at))
                return SessionEndedEvent(seq=seq, at=at, data=view)
            case notices.SessionEnded() if self._may_see(notice.session):
                return CoachLeftEvent(seq=seq, at=at, data=coach_view(notice.session))
            case notices.NodeChanged() if VIEW in self._actor.permissions:
                return NodeChangedEvent(seq=seq, at=at, data=NodeView(name=notice.node.name, up=notice.node.up))
            case notices.BeepNotHeard() if self._is_mine(notice.session):
                return BeepFailedEvent(seq=seq, at=at, data=BeepFailure(session=notice.session.id, why=notice.why))
            case notices.CueChanged() if notice.cue.coach == self._actor.id:
                return CueChangedEvent(seq=seq, at=at, data=cue_view(notice.cue))
            case notices.HandRaised() if may_see(self._actor, notice.hand.queues):
                return HandRaisedEvent(seq=seq, at=at, data=hand_view(notice.hand))
            case notices.HandLowered() if may_see(self._actor, notice.hand.queues):
                why = cast(Literal["answered", "call_ended", "taken_back"], notice.why)
                return HandLoweredEvent(seq=seq, at=at, data=hand_view(notice.hand), why=why)
            case notices.RulesChanged() if VIEW in self._actor.permissions:
                return PoliciesChangedEvent(seq=seq, at=at, data=rules_view(notice.rules, self._actor))
            case notices.AgentChanged():
                agent = centre.agent(self._engine.state, self._engine.rules, self._actor, notice.agent, notice.queues)
                return AgentChangedEvent(seq=seq, at=at, data=agent) if agent else None
            case notices.QueueChanged() if may_see(self._actor, frozenset({notice.queue})):
                queue = centre.queue(self._engine.state.centre, notice.queue)
                if queue is None:
                    return QueueGoneEvent(seq=seq, at=at, data=QueueName(name=notice.queue))
                return QueueChangedEvent(seq=seq, at=at, data=queue)
            case _:
                return None


def _call_tap(notice: notices.TapNoticed | notices.TapGone) -> CallTap:
    return CallTap(call=notice.call.id, **tap_view(notice.call, notice.tap).model_dump())
