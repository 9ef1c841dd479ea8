"""A small world for tests of the core: it feeds facts as the switch would raise them, and keeps what was told to it.

`World.gates` is what every coach's leg really does, by the rules of the switch: an attach starts closed, a gate command
to a leg without an eavesdrop does nothing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Actor, Agent, Call, CoachRecord, Leg, Session, State
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.coaching.policy import MONITOR, VIEW, Rules
from ccwhisper.coaching.reduce import reduce

NODE = "n1"

RULES = Rules(
    agents={
        "ana": Agent("ana", "Ana", frozenset({"1001@dom"}), frozenset({"sales"})),
        "ben": Agent("ben", "Ben", frozenset({"1002@dom"}), frozenset({"support"})),
    }
)


def coach(name: str = "carla", **changes: Any) -> Actor:
    whole = Actor(
        id=name,
        name=name.title(),
        permissions=frozenset({VIEW, MONITOR}),
        roles=frozenset({"whisper", "barge"}),
        queues=frozenset({"*"}),
        devices=(f"{name}@dom",),
    )
    return replace(whole, **changes)


def agent_leg(name: str, user: str = "1001@dom", **changes: Any) -> Leg:
    base = Leg(name, outbound=True, answered=True, held=False, peer=None, created_at=1.0, dialed_user=user,
               codec="PCMU", buffered=True)  # fmt: skip
    return replace(base, **changes)


def caller_leg(name: str, **changes: Any) -> Leg:
    base = Leg(name, outbound=False, answered=True, held=False, peer=None, created_at=1.0, caller_number="+100",
               caller_name="Caller")  # fmt: skip
    return replace(base, **changes)


@dataclass
class CoachLeg:
    """A coach's leg on the switch."""

    session: str
    record: CoachRecord
    target: str | None = None
    gate: Gate = Gate.CLOSED
    parked: bool = False


@dataclass
class Track:
    """A file that the switch writes."""

    leg: str
    masked: bool = False


@dataclass
class World:
    state: State = field(default_factory=State)
    now: float = 100.0
    rules: Rules = RULES
    legs: dict[str, Leg] = field(default_factory=dict)
    coaches: dict[str, CoachLeg] = field(default_factory=dict)
    tracks: dict[str, Track] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)  # files that are finished
    refuses: bool = False  # to record
    deaf: bool = False  # nothing that it is told arrives any more
    effects: list[fx.Effect] = field(default_factory=list)
    counter: int = 0
    prompt: bool = True  # what the switch says in answer to effects arrives at once; else it waits in `pending`
    pending: list[ev.Fact] = field(default_factory=list)
    narrows: bool = True  # a phone that is offered 8 kHz takes it

    # --- feeding -----------------------------------------------------------------------------------------------------

    def feed(self, *events: ev.Fact | cmd.Request) -> list[fx.Effect]:
        """Feed events one after the other; returns the effects of all of them."""
        out: list[fx.Effect] = []
        queue: deque[ev.Fact | cmd.Request] = deque(events)
        while queue:
            self.state, effects = reduce(self.state, queue.popleft(), self.now, self.rules)
            out += effects
            self.effects += effects
            for effect in effects:
                if isinstance(effect, notices.RulesChanged):
                    self.rules = effect.rules
                if not self.deaf:
                    self._carry_out(effect)
            if self.prompt:
                queue.extend(self.pending)
                self.pending.clear()
        return out

    def up(self) -> World:
        self.feed(ev.NodeSynced(NODE, ()))
        return self

    def bridge(self, a: Leg, b: Leg, read: bool = True) -> Call | None:
        """Two legs are bridged and, unless told otherwise, read at once."""
        self.legs[a.id] = replace(a, peer=b.id)
        self.legs[b.id] = replace(b, peer=a.id)
        effects = self.feed(ev.Bridged(NODE, a.id, b.id))
        if read:
            self.read(effects)
        calls = [call for call in self.state.calls.values() if {a.id, b.id} & {x.leg for x in call.agents}]
        return calls[0] if calls else None

    def read(self, effects: Iterable[fx.Effect]) -> None:
        """Answer every Inspect among the effects."""
        for effect in effects:
            if isinstance(effect, fx.Inspect):
                pair = (self.legs.get(effect.a), self.legs.get(effect.b))
                self.feed(ev.Inspected(NODE, effect.token, effect.a, effect.b, pair))

    def unbridge(self, a: str, b: str) -> None:
        for leg in (a, b):
            if leg in self.legs:
                self.legs[leg] = replace(self.legs[leg], peer=None)
        self.feed(ev.Unbridged(NODE, a, b))

    def hang_up(self, leg: str, cause: str = "NORMAL_CLEARING") -> None:
        self.legs.pop(leg, None)
        self.coaches.pop(leg, None)
        orphans = [name for name, each in self.coaches.items() if each.target == leg]
        self.feed(ev.HungUp(NODE, leg, cause))
        self.feed(*self._closed(leg))
        for name in orphans:
            if name in self.coaches:
                self.park(name)

    def start(self, call: Call | None = None, actor: Actor | None = None, **changes: Any) -> Session:
        """Ask for a session; the phone does not ring yet."""
        self.counter += 1
        actor = actor or coach()
        ask = cmd.Start(actor, f"s{self.counter}", f"coach{self.counter}", 1.7e9, call=call.id if call else None)
        self.feed(replace(ask, **changes))
        return self.state.sessions[ask.session]

    def answer(self, session: Session) -> Session:
        """The coach answers; his leg parks, and if it is told to attach, it does."""
        self.feed(ev.Ringing(NODE, session.leg), ev.Answered(NODE, session.leg))
        self.park(session.leg)
        return self.session(session)

    def park(self, leg: str) -> None:
        self.coaches[leg].target, self.coaches[leg].gate, self.coaches[leg].parked = None, Gate.CLOSED, True
        self.feed(ev.Parked(NODE, leg, ours=True))

    def coached(self, call: Call, actor: Actor | None = None, **changes: Any) -> Session:
        """A session that is attached."""
        return self.answer(self.start(call, actor, **changes))

    def mode(self, session: Session, mode: Mode) -> list[fx.Effect]:
        return self.feed(cmd.SetMode(self.session(session).coach, session.id, mode))

    def wait(self, seconds: float) -> list[fx.Effect]:
        self.now += seconds
        return self.feed(ev.Tick())

    # --- looking -----------------------------------------------------------------------------------------------------

    def session(self, session: Session) -> Session:
        return self.state.sessions[session.id]

    def gate(self, session: Session) -> Gate:
        """What the switch really lets through."""
        return self.coaches[session.leg].gate

    def take(self, kind: type) -> list[Any]:
        """The effects of a kind so far; forgets them."""
        found = [each for each in self.effects if isinstance(each, kind)]
        self.effects = [each for each in self.effects if not isinstance(each, kind)]
        return found

    def endings(self) -> list[str]:
        """Why sessions ended so far; forgets them."""
        return [each.reason for each in self.take(notices.SessionEnded)]

    # --- the switch's part -------------------------------------------------------------------------------------------

    def _carry_out(self, effect: fx.Effect) -> None:
        match effect:
            case fx.Dial():
                self.coaches[effect.leg] = CoachLeg(effect.session, effect.record)
            case fx.Attach():
                leg = self.coaches.get(effect.leg)
                if leg and effect.target in self.legs:
                    leg.target, leg.gate, leg.parked, leg.record = effect.target, Gate.CLOSED, False, effect.record
                    self.pending.append(ev.EavesdropStarted(NODE, effect.target))
            case fx.Narrow() if effect.leg in self.coaches and self.narrows:
                self.pending.append(ev.RateChanged(NODE, effect.leg, 8000, renewed=True))
            case fx.TellGate():
                leg = self.coaches.get(effect.leg)
                if leg:
                    leg.record = effect.record
                    if leg.target:
                        leg.gate = effect.gate
                if effect.track in self.tracks:
                    self.tracks[effect.track].masked = effect.gate is Gate.CLOSED or effect.paused
            case fx.Admit():
                self.legs.pop(effect.leg, None)
                self.coaches[effect.leg] = CoachLeg(effect.session, effect.record, parked=True)
                self.pending.append(ev.Parked(NODE, effect.leg, ours=True))
            case fx.Park():
                leg = self.coaches.get(effect.leg)
                if leg:
                    leg.target, leg.gate, leg.parked = None, Gate.CLOSED, True
                    self.pending.append(ev.Parked(NODE, effect.leg, ours=True))
            case fx.Remember():
                if effect.leg in self.coaches:
                    self.coaches[effect.leg].record = effect.record
            case fx.ConnectCaller():
                if effect.track and self.tracks.pop(effect.track, None):
                    self.closed.add(effect.track)
                if self.coaches.pop(effect.leg, None):  # its marks are taken off: a leg like any other
                    self.legs[effect.leg] = agent_leg(effect.leg, "", party=effect.party)
            case fx.HangUp():
                self.coaches.pop(effect.leg, None)
                self.legs.pop(effect.leg, None)
                self.pending.append(ev.HungUp(NODE, effect.leg, "NORMAL_CLEARING"))
                self.pending += self._closed(effect.leg)
            case _:
                self._tape(effect)

    def _tape(self, effect: fx.Effect) -> None:
        match effect:
            case fx.RecordCall() | fx.RecordCoach():
                self._record(effect)
            case fx.MaskTrack():
                if effect.file in self.tracks:
                    self.tracks[effect.file].masked = effect.masked
            case fx.StopTrack():
                if self.tracks.pop(effect.file, None):
                    self.closed.add(effect.file)
                    self.pending.append(ev.RecordStopped(NODE, effect.leg, effect.file))
            case fx.RememberRecording():
                if effect.leg in self.legs:
                    self.legs[effect.leg] = replace(self.legs[effect.leg], recording=effect.mark)

    def _closed(self, leg: str) -> list[ev.Fact]:
        files = [file for file, track in self.tracks.items() if track.leg == leg]
        for file in files:
            del self.tracks[file]
        self.closed.update(files)
        return [ev.RecordStopped(NODE, leg, file) for file in files]

    def _record(self, effect: fx.RecordCall | fx.RecordCoach) -> None:
        call = isinstance(effect, fx.RecordCall)
        masked = effect.masked if isinstance(effect, fx.RecordCall) else True
        if self.refuses or effect.leg not in (self.legs if call else self.coaches):
            self.pending.append(ev.RecordFailed(NODE, effect.leg, effect.file, "-ERR Cannot record session!"))
            return
        if isinstance(effect, fx.RecordCall):
            self.legs[effect.leg] = replace(self.legs[effect.leg], recording=effect.mark)
        assert effect.file not in self.closed, "the switch would write over it"
        self.tracks.setdefault(effect.file, Track(effect.leg, masked))
        self.pending.append(ev.RecordStarted(NODE, effect.leg, effect.file))


def on_switch(world: World) -> list[Leg]:
    """Every leg that the switch would list now."""
    legs = list(world.legs.values())
    for name, each in world.coaches.items():
        application = "eavesdrop" if each.target else "park" if each.parked else ""
        leg = caller_leg(name, outbound=True, is_coach=True, coach=each.record, answered=bool(application),
                         application=application, application_data=each.target or "")  # fmt: skip
        legs.append(leg)
    return legs


def restarted(world: World) -> World:
    """A service that has just started, on the same switch."""
    fresh = replace(world, now=world.now + 1, state=State(), effects=[], pending=[])
    fresh.feed(ev.NodeSynced(NODE, tuple(on_switch(world))))
    return fresh
