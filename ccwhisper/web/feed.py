"""What everybody who is connected is told, as it happens: a snapshot, then deltas.

Whoever may see the same queues gets the same message, made once; what is one person's own is added for him. Notices are
gathered for a moment before they are told, so that a burst is one message and not hundreds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Final

import gevent

from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Actor, AgentId, Phase, Session
from ccwhisper.coaching.modes import Mode
from ccwhisper.coaching.policy import VIEW
from ccwhisper.engine import Engine, Entry
from ccwhisper.web.auth import Principal
from ccwhisper.web.desk import Desk
from ccwhisper.web.journal import Journal
from ccwhisper.web.schemas import PanelCoach, PanelView
from ccwhisper.web.views import call_view, cue_view, hand_view, me_view

logger = logging.getLogger(__name__)

VERSION: Final = 1
GATHER_SECONDS: Final = 0.03
ALIVE_SECONDS: Final = 3.0
"""At least this often everybody hears something; who does not knows that what he sees is stale."""

Tell = Callable[[str, str, dict[str, Any]], None]
"""Send an event with its data to a room."""


@dataclass(frozen=True, slots=True)
class Scope:
    """What somebody may see of what is everybody's."""

    queues: frozenset[str]

    @property
    def room(self) -> str:
        """The room of all who may see the same."""
        return "queues:" + "\n".join(sorted(self.queues))

    @property
    def actor(self) -> Actor:
        """Somebody with these rights who owns nothing: to him every session is another's."""
        return Actor(id="", name="", permissions=frozenset({VIEW}), queues=self.queues)


@dataclass
class Client:
    """One connection. `room` holds it alone."""

    room: str
    who: Principal
    pressed: set[str] = field(default_factory=set)

    @property
    def scope(self) -> Scope | None:
        """What it sees of the dashboard; None when the token does not permit that."""
        return Scope(self.who.actor.queues) if VIEW in self.who.actor.permissions else None


class Feed:
    """Follows the engine's notices, and tells the clients."""

    def __init__(self, engine: Engine, journal: Journal, tell: Tell, browser_phone: bool = False) -> None:
        self._engine, self._journal, self._tell = engine, journal, tell
        self._browser_phone = browser_phone
        self._clients: dict[str, Client] = {}
        self._told: dict[Scope, int] = {}
        self._seq = 0
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Follow."""
        self._seq = self._engine.log.seq
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """No more."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=1)

    def join(self, client: Client) -> None:
        """Somebody has connected: he gets everything as it is now."""
        self._clients[client.room] = client
        if client.scope is not None:
            self._told.setdefault(client.scope, self._seq)
        self.snapshot(client)

    def leave(self, room: str) -> Client | None:
        """Somebody has gone."""
        client = self._clients.pop(room, None)
        scope = client.scope if client else None
        if scope is not None and not any(each.scope == scope for each in self._clients.values()):
            self._told.pop(scope, None)
        return client

    def client(self, room: str) -> Client | None:
        """The connection with this room."""
        return self._clients.get(room)

    def __len__(self) -> int:
        return len(self._clients)

    # --- what is told ------------------------------------------------------------------------------------------------

    def snapshot(self, client: Client) -> None:
        """Everything as it is now."""
        seq = self._engine.log.seq  # before the state: an event told twice does no harm, one not told does
        told: dict[str, Any] = self._head(seq) | {
            "me": me_view(client.who, self._browser_phone).model_dump(mode="json")
        }
        if client.scope is not None:
            shared = Desk(self._engine, self._journal, client.scope.actor)
            mine = Desk(self._engine, self._journal, client.who.actor)
            policies = shared.policies()
            told |= {
                "calls": _dumped(shared.calls()),
                "agents": _dumped(shared.agents()),
                "queues": _dumped(shared.queues()),
                "coaches": _dumped(shared.coaches()),
                "sessions": _dumped(mine.sessions()),
                "hands": _dumped(shared.hands()),
                "cues": _dumped(mine.cues()),
                "policies": {name: each.model_dump(mode="json") for name, each in policies.items()},
                "templates": {name: each.cues for name, each in policies.items()},
                "nodes": [{"name": node.name, "up": node.up} for node in self._engine.state.nodes.values()],
            }
        self._tell(client.room, "snapshot", told)
        if client.who.agent is not None:
            self._tell(client.room, "panel", self._head(seq) | self.panel(client.who.agent))

    def panel(self, agent: AgentId) -> dict[str, Any]:
        """What an agent sees: his own calls, and who speaks to him."""
        state = self._engine.state
        calls = [call for call in state.calls.values() if call.leg_of(agent)]
        coaches = [each for each in state.sessions.values() if each.agent == agent and self._noticed(each)]
        known = self._engine.rules.agents.get(agent)
        hand = state.hands.get(agent)
        return PanelView(
            agent=agent,
            name=known.name if known else agent,
            # Taps are the supervisors' business: a panel says who listens only where the queue's policy wants it.
            calls=[
                call_view(replace(call, taps=())) for call in sorted(calls, key=lambda call: (call.started_at, call.id))
            ],
            coaches=[
                PanelCoach(session=each.id, name=each.coach.name, mode=each.mode, gate=each.gate)
                for each in sorted(coaches, key=lambda each: (each.started_at, each.id))
            ],
            cues=[cue_view(each) for each in state.cues.values() if each.agent == agent],
            hand=hand_view(hand) if hand else None,
        ).model_dump(mode="json")

    def _noticed(self, session: Session) -> bool:
        """Whether the agent is to know of this coach: who only listens is announced where the queue wants it."""
        call = self._engine.state.calls.get(session.call or "")
        told = session.mode is not Mode.LISTEN or self._engine.rules.queue(call.queue if call else None).tell_listening
        return session.phase is Phase.ATTACHED and told

    def _head(self, seq: int) -> dict[str, Any]:
        return {"v": VERSION, "epoch": self._journal.epoch, "seq": seq, "at": time.time()}

    def _run(self) -> None:
        lost = False
        while True:
            try:
                self._step(lost)
                lost = False
            except Exception:
                # A defect in one message must not leave every page behind for ever: they start again from a snapshot.
                logger.exception("the pages were not told")
                lost = True
                gevent.sleep(1)

    def _step(self, lost: bool) -> None:
        entries = None if lost else self._engine.log.wait(self._seq, ALIVE_SECONDS)
        if entries:
            gevent.sleep(GATHER_SECONDS)
            entries = self._engine.log.since(self._seq)
        if entries is None:  # lost, or so many that some are no longer there
            self._seq = self._engine.log.seq
            for client in list(self._clients.values()):
                self.snapshot(client)
        elif entries:
            self._news(entries)
        else:
            for room in list(self._clients):
                self._tell(room, "alive", self._head(self._seq))

    def _news(self, entries: list[Entry]) -> None:
        self._seq = entries[-1].seq
        clients = list(self._clients.values())
        owners = {_owner(each.notice) for each in entries}
        for scope in list(self._told):
            events = _events(Desk(self._engine, self._journal, scope.actor), entries)
            for client in clients:
                if client.scope == scope and client.who.actor.id in owners:
                    self._delta(client.room, scope, [*events, *self._private(client, entries)])
            if events:
                self._delta(scope.room, scope, events)
                self._told[scope] = self._seq
        concerned = {agent for each in entries for agent in _agents(each.notice)}
        # After a change of policy any agent may see who listens, or see it no more.
        everybody = any(isinstance(each.notice, notices.RulesChanged) for each in entries)
        for client in clients:
            if client.who.agent is not None and (everybody or client.who.agent in concerned):
                self._tell(client.room, "panel", self._head(self._seq) | self.panel(client.who.agent))

    def _private(self, client: Client, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        own = [each for each in entries if _owner(each.notice) == client.who.actor.id]
        desk = Desk(self._engine, self._journal, client.who.actor)
        return [each for each in _events(desk, own) if each["type"] in _PRIVATE]

    def _delta(self, room: str, scope: Scope, events: list[dict[str, Any]]) -> None:
        self._tell(room, "delta", self._head(self._seq) | {"from": self._told[scope], "events": events})


_PRIVATE: Final = frozenset({"session.changed", "session.ended", "beep.failed", "cue.changed"})


def _owner(notice: notices.Notice) -> str | None:
    """Whose own business it is, besides everybody's."""
    match notice:
        case notices.SessionChanged() | notices.SessionEnded() | notices.BeepNotHeard():
            return notice.session.coach.id
        case notices.CueChanged():
            return notice.cue.coach
        case _:
            return None


def _dumped(views: Iterable[Any]) -> list[dict[str, Any]]:
    return [each.model_dump(mode="json") for each in views]


def _events(desk: Desk, entries: Iterable[Entry]) -> list[dict[str, Any]]:
    """What somebody is told. Agents and queues are told as they are now, and so each of them once."""
    entries = list(entries)
    standing = notices.AgentChanged | notices.QueueChanged
    last = {each.notice: each.seq for each in entries if isinstance(each.notice, standing)}
    entries = [each for each in entries if not isinstance(each.notice, standing) or last[each.notice] == each.seq]
    return [event.model_dump(mode="json") for event in map(desk.event, entries) if event is not None]


def _agents(notice: notices.Notice) -> frozenset[AgentId]:
    """Whose panels may have changed."""
    match notice:
        case notices.CallChanged() | notices.CallEnded():
            return frozenset(leg.agent for leg in notice.call.agents)
        case notices.SessionChanged() | notices.SessionEnded():
            return frozenset({notice.session.agent})
        case notices.CueChanged():
            return frozenset({notice.cue.agent})
        case notices.HandRaised() | notices.HandLowered():
            return frozenset({notice.hand.agent})
        case _:
            return frozenset()
