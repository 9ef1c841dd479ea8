"""One turn of the core: a working copy of the state, and what every rule needs to change it.

A turn ends in `finish`, which compares the gate that each touched session should have with what the switch was last
told. So no rule sends a gate itself: a rule changes the inputs, and the gate follows.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Any

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import notices
from ccwhisper.coaching.calls import call_between
from ccwhisper.coaching.model import (
    AgentId,
    AgentLeg,
    Bond,
    Call,
    CallId,
    CoachRecord,
    Cue,
    CueId,
    Hand,
    Leg,
    LegId,
    Node,
    NodeName,
    Party,
    Phase,
    Session,
    SessionId,
    State,
    Tap,
    call_id,
)
from ccwhisper.coaching.modes import PATHS, Gate, Mode, gate
from ccwhisper.coaching.policy import QueuePolicy, Rules
from ccwhisper.coaching.recorded import Mark, Recording, Whispers
from ccwhisper.coaching.sessions import carried, lasting, shown


class Turn:
    """A working copy of `State`, the effects so far, and which sessions were touched."""

    def __init__(self, state: State, now: float, rules: Rules, origin: str = "") -> None:
        self.before = state
        self.now = now
        self.rules = rules
        self.origin = origin  # where the request came from, for the trail
        self.nodes: dict[NodeName, Node] = dict(state.nodes)
        self.bonds: dict[LegId, Bond] = dict(state.bonds)
        self.held: set[LegId] = set(state.held)
        self.taps: dict[LegId, tuple[Tap, ...]] = dict(state.taps)
        self.calls: dict[CallId, Call] = dict(state.calls)
        self.sessions: dict[SessionId, Session] = dict(state.sessions)
        self.cues: dict[CueId, Cue] = dict(state.cues)
        self.hands: dict[AgentId, Hand] = dict(state.hands)
        self.recordings: dict[LegId, Recording] = dict(state.recordings)
        self.marks: dict[
            LegId, Mark
        ] = {}  # of recordings that are first heard of in this turn, as their legs have them
        self.centre = state.centre
        self.token = state.token
        self.effects: list[fx.Effect] = []
        self._written: dict[SessionId, CoachRecord] = {}  # in this turn, to the coach's leg
        self._touched: dict[SessionId, None] = {}

    # --- sessions ----------------------------------------------------------------------------------------------------

    def touch(self, session: SessionId) -> None:
        """The gate of this session is looked at when the turn ends."""
        self._touched[session] = None

    def change(self, session: Session, **changes: Any) -> Session:
        """Replace fields of a session."""
        changed = replace(session, **changes)
        self.sessions[session.id] = changed
        self.touch(session.id)
        return changed

    def on_target(self, leg: LegId) -> list[Session]:
        """The sessions whose agent's leg this is."""
        return [each for each in self.sessions.values() if each.target == leg]

    def by_leg(self, leg: LegId) -> Session | None:
        """The session whose coach's leg this is."""
        return next((each for each in self.sessions.values() if each.leg == leg), None)

    def crowd(self, agent: AgentId) -> int:
        """How many coach this agent, or are about to."""
        return sum(each.agent == agent and each.phase is not Phase.ENDING for each in self.sessions.values())

    def call_of(self, session: Session) -> Call | None:
        """The call that the session's mode was asked for, if it is up."""
        return self.calls.get(session.call) if session.call else None

    def settled(self, session: Session) -> bool:
        """Whether it is certain who would hear the coach: attached, to a leg that is bridged with the party that the
        mode was asked for, nobody on hold, and all of it read from the switch."""
        return session.phase is Phase.ATTACHED and self.certain(session)

    def certain(self, session: Session) -> bool:
        """The same, whether he is attached or not."""
        call = self.call_of(session)
        if call is None or session.target is None or session.held:
            return False
        bond = self.bonds.get(session.target)
        return (
            bond is not None
            and bond.known
            and call.on(session.target) is not None
            and bond.peer == session.peer
            and session.target not in self.held
            and self.node_up(session.node)
        )

    def desired(self, session: Session) -> Gate:
        """The gate that this session should have now."""
        if session.away or not self.settled(session):
            return Gate.CLOSED
        return gate(session.mode, session.talk, session.muted, session.pressed)

    def end(self, session: Session, reason: str, hang_up: bool = True) -> None:
        """End a session. Its leg is hung up, and remembered until the switch confirms that it is gone."""
        if session.phase is Phase.ENDING:
            return
        self.leave_mode(session)
        if hang_up:
            changed = self.change(
                session,
                phase=Phase.ENDING,
                reason=reason,
                pressed=False,
                press_until=None,
                rearm_at=None,
                refresh_at=None,
                narrow_until=None,
                mode=Mode.LISTEN,
                wanted=Mode.LISTEN,
                deadline=self.now + 3.0,
            )
            self._disarm(session)
            self.tell(changed)  # closed first, then hung up
            self.effects.append(fx.HangUp(session.node, session.leg))
        else:
            self.gone(session, reason)

    def gone(self, session: Session, reason: str) -> None:
        """The session's leg is no more, or no longer a coach's."""
        last = self.sessions.pop(session.id, session)
        self._touched.pop(session.id, None)
        self._disarm(session)
        over = replace(last, gate=Gate.CLOSED, asked=Gate.CLOSED, pressed=False, phase=Phase.ENDING)
        self.effects.append(notices.SessionEnded(over, last.reason or reason))
        self.audit("end", last, last.reason or reason)

    def release(self, session: Session) -> Session:
        """Push-to-talk is let go of."""
        if not session.pressed:
            return session
        self._disarm(session)
        self.audit("release", session)
        return self.change(session, pressed=False, press_until=None, rearm_at=None)

    def _disarm(self, session: Session) -> None:
        if session.pressed:
            self.effects.append(fx.DisarmDeadman(session.node, session.leg))

    def attach_next(self, target: LegId) -> None:
        """Let the next coach attach to this leg. One at a time, for the switch's event does not say whose eavesdrop
        has come alive."""
        waiting = self.on_target(target)
        if any(each.phase is Phase.ATTACHING for each in waiting):
            return
        for each in waiting:
            call = self.call_of(each)
            leg = call.on(target) if call else None
            if each.phase is not Phase.CONNECTED or leg is None:
                continue
            if leg.rate < each.rate:
                self._fit(each)
                continue
            changed = self.change(
                each, phase=Phase.ATTACHING, attempts=each.attempts + 1, deadline=self.now + self.rules.attach_timeout
            )
            changed = self.change(changed, asked=Gate.CLOSED, gate=Gate.CLOSED)  # an eavesdrop starts closed
            self.effects.append(fx.Attach(each.node, each.id, each.leg, target, self.write(changed)))
            return

    def _fit(self, session: Session) -> None:
        """A coach whose rate is above the agent's would whisper garbage. His phone is asked for another codec, without
        being rung, and he attaches when it has it."""
        if session.narrowed and session.narrow_until is None:
            self.end(session, "codec_mismatch")
        elif not session.narrowed:
            self.narrow(session)

    def narrow(self, session: Session) -> None:
        """Ask a coach's phone for G.711."""
        self.change(session, narrowed=True, narrow_until=self.now + self.rules.narrow_timeout)
        self.effects.append(fx.Narrow(session.node, session.id, session.leg))

    def place(self, session: Session, call: Call, leg: AgentLeg) -> Session:
        """Put a session on a call that it was not on before: nothing of a barge comes along, and no whisper to where it
        is not allowed."""
        goes = session.mode is not Mode.BARGE and self.policy(call).allows(session.mode.value)
        mode = session.mode if goes else Mode.LISTEN
        session = self.release(session)
        if not leg.buffered:
            self.buffer(call, leg, session)
        phase = session.phase
        if phase is Phase.WAITING or (phase in (Phase.ATTACHING, Phase.ATTACHED) and session.target != leg.leg):
            phase = Phase.CONNECTED
        attached = phase is Phase.ATTACHED
        changed = self.change(
            session,
            call=call.id,
            peer=leg.peer,
            target=leg.leg,
            agent=leg.agent,
            agent_name=leg.name,
            phase=phase,
            mode=mode if attached else Mode.LISTEN,
            wanted=lasting(session),
            deadline=None if phase in (Phase.ATTACHED, Phase.CONNECTED) else session.deadline,
            attempts=0,
            passed=None,
            again_until=None,
            whispers=self.recording_policy(call).record_whisper,
        )
        if changed.mode is Mode.WHISPER:
            self.beep(changed, "whisper")  # a new call: the agent is told again
        return changed

    def enter(self, session: Session, mode: Mode) -> Session:
        """Be in another mode, with the beep that belongs to it."""
        if mode is Mode.LISTEN:
            self.leave_mode(session)
        session = self.change(session, mode=mode, wanted=mode)
        self.tell(session)  # each mode on the way is told, so that the caller's side shuts before the agent's opens
        session = self.sessions[session.id]
        if mode is not Mode.LISTEN:
            self.beep(session, mode.value)
        self.audit("mode", session, mode.value)
        return session

    def leave_mode(self, session: Session) -> None:
        """The end of a whisper or barge may be audible to the agent too."""
        if session.mode is not Mode.LISTEN and self.settled(session):
            self.beep(session, "end")

    def beep(self, session: Session, occasion: str) -> None:
        """Let the agent hear a tone, if the queue's policy wants it on this occasion."""
        call = self.call_of(session)
        policy = self.policy(call)
        if call and session.target and occasion in policy.beep_on:
            self.effects.append(fx.Beep(session.node, session.id, session.target, policy.tone))

    # --- calls -------------------------------------------------------------------------------------------------------

    def policy(self, call: Call | None) -> QueuePolicy:
        """The policy of the call's queue."""
        return self.rules.queue(call.queue if call else None)

    def recording_policy(self, call: Call) -> QueuePolicy:
        """The policy that a call is recorded by: whoever is transferred out of a queue to an agent's extension is
        recorded on as the queue wants, and what it excludes stays excluded. Nothing begins to be recorded while nobody
        knows whether somebody has forbidden it at run time."""
        policy = self.rules.queue(call.recorded_as)
        if not self.rules.unread:
            return policy
        whispers = Whispers.EXCLUDED if policy.record_whisper is Whispers.EXCLUDED else Whispers.OFF
        return replace(policy, record=False, record_whisper=whispers)

    def node_up(self, name: NodeName) -> bool:
        """Whether the node is connected and read."""
        node = self.nodes.get(name)
        return node is not None and node.up

    def bond(self, node: NodeName, a: LegId, b: LegId) -> None:
        """Two legs are bridged. Who they are is read now, and until then nobody is heard on them."""
        self.token += 1
        self.bonds[a] = Bond(node, b, self.token)
        self.bonds[b] = Bond(node, a, self.token)
        self.effects.append(fx.Inspect(node, self.token, a, b))
        for each in (*self.on_target(a), *self.on_target(b)):
            self.touch(each.id)

    def read(self, node: NodeName, a: Leg, b: Leg) -> Call | None:
        """Two bridged legs have been read. Returns the call that they are, if they are one."""
        for leg, other in ((a, b), (b, a)):
            self.bonds[leg.id] = Bond(node, other.id, token=0, known=True)
            (self.held.add if leg.held else self.held.discard)(leg.id)
        call = call_between(node, a, b, self.rules)
        if call is None:
            return None
        before = self.calls.get(call.id)
        if before:
            call = replace(call, started_at=before.started_at, recorded=before.recorded)
        self.calls[call.id] = call
        return self.calls[call.id]

    def unbond(self, leg: LegId) -> None:
        """Forget whom a leg is bridged with, and the call that this made."""
        bond = self.bonds.pop(leg, None)
        if bond is None:
            return
        self.bonds.pop(bond.peer, None)
        self.held -= {leg, bond.peer}
        call = self.calls.pop(call_id(leg, bond.peer), None)
        if call:
            self.effects.append(notices.CallEnded(call))
        for each in (*self.on_target(leg), *self.on_target(bond.peer)):
            self.release(each)
            self.touch(each.id)

    def connect(self, session: Session, call: Call, caller: LegId) -> None:
        """Bridge a coach's leg with the caller's: he takes the call over."""
        party = Party(session.coach.id, session.coach.name, call.queues)
        self.effects.append(fx.ConnectCaller(session.node, session.id, session.leg, caller, party, session.track))

    def buffer(self, call: Call, leg: AgentLeg, session: Session) -> None:
        """Give the agent's leg its jitter buffer, once: without it every attach and every beep costs the caller about
        40 ms of the agent's voice."""
        self.effects.append(fx.EnableJitterBuffer(call.node, leg.leg, session.id))
        agents = tuple(replace(each, buffered=True) if each.leg == leg.leg else each for each in call.agents)
        self.calls[call.id] = replace(self.calls.get(call.id, call), agents=agents)

    def write(self, session: Session) -> CoachRecord:
        """What an effect of this turn writes to the coach's leg."""
        self._written[session.id] = carried(session)
        return self._written[session.id]

    def audit(self, action: str, session: Session, detail: str = "") -> None:
        """A row of the trail."""
        who, whom = session.coach, (session.id, session.agent, session.call, session.node)
        self.effects.append(fx.Audit(action, who, *whom, detail, self.origin))

    # --- the end of the turn -----------------------------------------------------------------------------------------

    def touched(self) -> list[Session]:
        """The sessions that were touched."""
        return [self.sessions[identifier] for identifier in self._touched if identifier in self.sessions]

    def _remember(self, session: Session) -> None:
        """The leg carries what a service that starts next must know, also when the gate has not moved."""
        before = self.before.sessions.get(session.id)
        there = self._written.get(session.id)
        if there is None and before and before.phase is not Phase.DIALLING:  # when nothing could be written
            there = carried(before)
        record = carried(session)
        unwritable = (Phase.DIALLING, Phase.TAKING_OVER, Phase.ENDING)  # not there yet, or no longer a coach's
        if record != there and session.phase not in unwritable and self.node_up(session.node):
            self.effects.append(fx.Remember(session.node, session.leg, record))

    def tell(self, session: Session) -> None:
        """Tell the switch this session's gate, unless it has been told already. Rules call it where the gate must
        move before the effects that they add next; otherwise the end of the turn does."""
        want = self.desired(session)
        if want is session.asked:
            return
        refresh = self.now + self.rules.refresh_seconds if want is not Gate.CLOSED else None
        changed = replace(session, asked=want, refresh_at=refresh)
        changed = replace(changed, masked=self._masked(changed))
        self.sessions[session.id] = changed
        # In any phase: a coach whose turn to attach anew has not come is still where he was.
        if self.node_up(session.node):
            who = session.node, session.id, session.leg
            paused = self._paused(session)
            self.effects.append(fx.TellGate(*who, want, self.write(changed), session.track, paused))

    def _paused(self, session: Session) -> bool:
        recording = self.recordings.get(session.peer) if session.peer else None
        return recording is not None and recording.paused is not None

    def _masked(self, session: Session) -> bool:
        """Whether a coach's track is to hold silence."""
        return session.asked in (None, Gate.CLOSED) or self._paused(session)

    def _mask(self) -> None:
        """Tracks are silent or not as the gates are, and as somebody has paused them."""
        for session in self.touched():
            masked = self._masked(session)
            if session.track and session.masked is not masked:
                self.effects.append(fx.MaskTrack(session.node, session.leg, session.track, masked))
                self.sessions[session.id] = replace(session, masked=masked)

    def _grant(self) -> None:
        """A mode that was asked for before listening was established, or while somebody was on hold."""
        for session in self.touched():
            if session.wanted is not session.mode and self.settled(session):
                for mode in PATHS[session.mode, session.wanted]:
                    self.enter(self.sessions[session.id], mode)

    def finish(self) -> tuple[State, list[fx.Effect]]:
        """Tell the switch every gate that changed, tell people everything that did. What closes a gate goes before
        everything else, what opens one after it: a dead-man stands when it does."""
        self._grant()
        pending, self.effects = self.effects, []
        for session in self.touched():
            self.tell(session)
        closing = [each for each in self.effects if isinstance(each, fx.TellGate) and each.gate is Gate.CLOSED]
        opening = [each for each in self.effects if each not in closing]
        self.effects = [*closing, *pending, *opening]
        self._mask()
        for session in self.touched():
            self._remember(session)
        for name, node in self.nodes.items():
            old = self.before.nodes.get(name)
            if old is None or (old.up, old.reason) != (node.up, node.reason):
                self.effects.append(notices.NodeChanged(node))
        for identifier, call in self.calls.items():
            if self.before.calls.get(identifier) != call:
                self.effects.append(notices.CallChanged(call))
        for session in self.touched():
            before = self.before.sessions.get(session.id)
            if before is None or shown(before) != shown(session):
                self.effects.append(notices.SessionChanged(session))
        agents, queues = self.centre.changes(self.before.centre)
        self.effects += [notices.AgentChanged(agent, serves) for agent, serves in agents]
        self.effects += [notices.QueueChanged(queue) for queue in queues]
        state = State(
            nodes=MappingProxyType(self.nodes),
            bonds=MappingProxyType(self.bonds),
            held=frozenset(self.held),
            taps=MappingProxyType(self.taps),
            calls=MappingProxyType(self.calls),
            sessions=MappingProxyType(self.sessions),
            cues=MappingProxyType(self.cues),
            hands=MappingProxyType(self.hands),
            centre=self.centre,
            recordings=MappingProxyType(self.recordings),
            token=self.token,
        )
        return state, self.effects
