"""Random facts and requests in any order; what must never happen does not."""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import CoachingError
from ccwhisper.coaching.model import Follow, Leg, Phase
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.reduce import next_timer
from ccwhisper.coaching.turn import Turn
from tests.unit.world import NODE, World, agent_leg, caller_leg, coach, on_switch, restarted

pytestmark = pytest.mark.unit

CALLERS = [caller_leg(name) for name in ("c1", "c2")]
AGENTS = [agent_leg("a1"), agent_leg("a2", "1002@dom"), agent_leg("a3")]  # Ana has two phones
NAMES = [leg.id for leg in (*CALLERS, *AGENTS)]
COACHES = [coach("carla"), coach("dora"), coach("emil", roles=frozenset({"whisper"}))]
NOT_THERE = (Phase.DIALLING, Phase.TAKING_OVER, Phase.ENDING)  # phases in which a leg carries no record, or a last one


class Coaching(RuleBasedStateMachine):
    """The switch's own truth is `World.legs` and `World.coaches`; facts about it may come late (`prompt` off, and
    Inspect answers held back), but in order; only the end of a bridge may come after the beginning of the next."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World().up()
        self.unread: list = []  # type: ignore[type-arg]
        self.barged_for: dict[str, str | None] = {}
        self.parties: set[str] = set()  # legs of coaches who took over
        self.over: list[tuple[str, str]] = []  # bridges

    def feed(self, *events) -> None:  # type: ignore[no-untyped-def]
        self.unread += self.world.feed(*events)

    # --- the switch --------------------------------------------------------------------------------------------------

    @rule(caller=st.sampled_from(CALLERS), agent=st.sampled_from([*AGENTS, *CALLERS]), read=st.booleans())
    def bridge(self, caller, agent, read) -> None:  # type: ignore[no-untyped-def]
        if caller.id != agent.id:
            self.join(caller, agent, read)

    def join(self, caller: Leg, agent: Leg, read: bool) -> None:
        world = self.world
        for leg in (caller.id, agent.id):
            peer = world.legs[leg].peer if leg in world.legs else None
            if peer:
                world.unbridge(leg, peer)
        self.over.append((caller.id, agent.id))
        world.legs[caller.id], world.legs[agent.id] = replace(caller, peer=agent.id), replace(agent, peer=caller.id)
        self.feed(ev.Bridged(NODE, caller.id, agent.id))
        if read:
            self.read()

    @precondition(lambda self: any(each.target for each in self.world.state.sessions.values()))
    @rule(read=st.booleans(), gap=st.booleans())
    def next_caller(self, read: bool, gap: bool) -> None:
        """The agent of some session gets the other caller, on the same leg."""
        target = next(each.target for each in self.world.state.sessions.values() if each.target)
        leg = self.world.legs.get(target)
        if leg is None:
            return
        caller = CALLERS[0] if leg.peer != "c1" else CALLERS[1]
        if gap and leg.peer:
            self.world.unbridge(target, leg.peer)
        self.join(caller, leg, read)

    @rule()
    def read(self) -> None:
        unread, self.unread = self.unread, []
        self.world.read(unread)

    @rule(leg=st.sampled_from(NAMES))
    def unbridge(self, leg: str) -> None:
        peer = self.world.legs[leg].peer if leg in self.world.legs else None
        if peer:
            self.world.unbridge(leg, peer)

    @rule(leg=st.sampled_from(NAMES))
    def hang_up(self, leg: str) -> None:
        if leg in self.world.legs:
            peer = self.world.legs[leg].peer
            if peer and peer in self.world.legs:
                self.world.legs[peer] = replace(self.world.legs[peer], peer=None)
            self.world.hang_up(leg)

    @rule(leg=st.sampled_from(NAMES), on=st.booleans())
    def hold(self, leg: str, on: bool) -> None:
        if leg in self.world.legs:
            self.world.legs[leg] = replace(self.world.legs[leg], held=on)
            self.feed((ev.Held if on else ev.Unheld)(NODE, leg))

    @rule(choice=st.randoms(use_true_random=False), on=st.booleans())
    def coach_holds(self, choice: random.Random, on: bool) -> None:
        if self.world.coaches:
            self.feed((ev.Held if on else ev.Unheld)(NODE, choice.choice(sorted(self.world.coaches))))

    @rule(choice=st.randoms(use_true_random=False))
    def coach_leg_moves(self, choice: random.Random) -> None:
        if self.world.coaches:
            leg = choice.choice(sorted(self.world.coaches))
            if choice.random() < 0.7:
                self.world.park(leg)
            else:
                self.world.hang_up(leg)

    @rule(on=st.booleans())
    def promptness(self, on: bool) -> None:
        self.world.prompt = on
        waiting = list(self.world.pending)
        self.world.pending.clear()
        self.feed(*waiting)

    @precondition(lambda self: self.over)
    @rule(choice=st.randoms(use_true_random=False), turned=st.booleans())
    def late_end_of_a_bridge(self, choice: random.Random, turned: bool) -> None:
        a, b = choice.choice(self.over)
        if (self.world.legs[a].peer if a in self.world.legs else None) != b:
            self.feed(ev.Unbridged(NODE, *((b, a) if turned else (a, b))))

    @rule(leg=st.sampled_from(AGENTS), rate=st.sampled_from([8000, 16000]))
    def new_rate(self, leg: Leg, rate: int) -> None:
        if leg.id in self.world.legs:
            self.world.legs[leg.id] = replace(self.world.legs[leg.id], rate=rate)
            self.feed(ev.RateChanged(NODE, leg.id, rate))

    @precondition(lambda self: self.world.state.sessions)
    @rule(choice=st.randoms(use_true_random=False), what=st.sampled_from(
        [ev.GateTold, ev.BeepFailed, ev.DialFailed, ev.Ringing, ev.RateChanged, "dead-man", "attach", "gate"]),
        gate=st.sampled_from(Gate))  # fmt: skip
    def about_a_session(self, choice: random.Random, what, gate: Gate) -> None:  # type: ignore[no-untyped-def]
        session = self.world.state.sessions[choice.choice(sorted(self.world.state.sessions))]
        leg = self.world.coaches.get(session.leg)
        if what is ev.GateTold:
            self.feed(ev.GateTold(session.id, gate))
        elif what is ev.BeepFailed:
            self.feed(ev.BeepFailed(session.id, "-ERR"))
        elif what is ev.DialFailed:
            if session.phase in (Phase.DIALLING, Phase.RINGING):
                self.world.coaches.pop(session.leg, None)
            self.feed(ev.DialFailed(session.id, "USER_BUSY"))
        elif what is ev.Ringing:
            self.feed(ev.Ringing(NODE, session.leg))
        elif what is ev.RateChanged:
            self.feed(ev.RateChanged(NODE, session.leg, choice.choice([8000, 16000])))
        elif what != "dead-man":
            self.feed(ev.CommandFailed(session.id, what, "-ERR"))
        elif leg and leg.target and session.pressed:
            leg.gate = Gate.CLOSED
            self.feed(ev.EavesdropStarted(NODE, leg.target))

    @precondition(lambda self: any(
        each.phase is Phase.TAKING_OVER and each.leg in self.world.legs for each in self.world.state.sessions.values()
    ))  # fmt: skip
    @rule(bridged=st.booleans(), read=st.booleans(), seen=st.booleans())
    def end_of_a_take_over(self, bridged: bool, read: bool, seen: bool) -> None:
        session = next(each for each in self.world.state.sessions.values() if each.phase is Phase.TAKING_OVER)
        caller = self.world.legs.get(str(session.peer))
        leg = self.world.legs.get(session.leg)
        if not (bridged and caller and leg):
            self.feed(ev.CommandFailed(session.id, "take_over", "-ERR"))
            return
        self.parties.add(leg.id)
        if seen:
            self.join(caller, leg, read)
            assert session.id not in self.world.state.sessions
            return
        if caller.peer in self.world.legs:
            self.world.legs[str(caller.peer)] = replace(self.world.legs[str(caller.peer)], peer=None)
        self.world.legs |= {leg.id: replace(leg, peer=caller.id), caller.id: replace(caller, peer=leg.id)}
        self.blink()

    @rule(late=st.booleans())
    def blink(self, late: bool = False) -> None:
        """The connection is lost and made again. `late`: some legs are not in the list of the switch yet."""
        self.world.pending.clear()
        self.unread.clear()
        legs = [leg for number, leg in enumerate(on_switch(self.world)) if not (late and leg.is_coach and number % 2)]
        self.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(legs)))
        if self.world.prompt:
            assert {each.leg for each in self.world.state.sessions.values()} <= {leg.id for leg in legs}

    @rule()
    def another_switch_blinks(self) -> None:
        before = self.world.state
        self.feed(ev.NodeLost("n2", "gone"), ev.NodeSynced("n2", ()))
        after = self.world.state
        assert (after.calls, after.bonds, after.held) == (before.calls, before.bonds, before.held)
        assert after.sessions == before.sessions

    @rule()
    def restart(self) -> None:
        self.unread.clear()
        self.world = restarted(self.world)

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.5, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.unread += self.world.wait(seconds)

    # --- people ------------------------------------------------------------------------------------------------------

    @rule(who=st.sampled_from(COACHES), mode=st.sampled_from(Mode), talk=st.sampled_from(Talk),
          follow=st.sampled_from(Follow), agent=st.sampled_from(["ana", "ben"]), answer=st.booleans())  # fmt: skip
    def start(self, who, mode, talk, follow, agent, answer) -> None:  # type: ignore[no-untyped-def]
        with contextlib.suppress(CoachingError):
            session = self.world.start(None, who, agent=agent, mode=mode, talk=talk, follow=follow)
            if mode is Mode.BARGE:
                self.barged_for[session.id] = session.call
            if answer:
                self.world.park(session.leg)

    @precondition(lambda self: self.world.state.sessions)
    @rule(choice=st.randoms(use_true_random=False), what=st.sampled_from(
        [*Mode, *Talk, True, False, cmd.Press, cmd.Release, cmd.TakeOver, cmd.Leave]))  # fmt: skip
    def act(self, choice: random.Random, what) -> None:  # type: ignore[no-untyped-def]
        session = self.world.state.sessions[choice.choice(sorted(self.world.state.sessions))]
        who = next(each for each in COACHES if each.id == session.coach.id)
        if choice.random() < 0.1:
            who = replace(who, roles=frozenset())  # another token of his
        before = self.world.state
        if isinstance(what, Mode):
            request = cmd.SetMode(who, session.id, what)
        elif isinstance(what, Talk):
            request = cmd.SetTalk(who, session.id, what)
        elif isinstance(what, bool):
            request = cmd.SetMuted(who, session.id, what)
        else:
            request = what(who, session.id)
        try:
            self.feed(request)
        except CoachingError:
            assert self.world.state is before
            return
        if what is Mode.BARGE:
            self.barged_for[session.id] = session.call

    # --- what must always hold ---------------------------------------------------------------------------------------

    @invariant()
    def everyone_only_in_a_barge_on_its_call(self) -> None:
        for leg, each in self.world.coaches.items():
            if each.gate is not Gate.EVERYONE:
                continue
            session = self.world.state.sessions[each.session]
            assert session.leg == leg
            assert session.mode is Mode.BARGE
            assert not session.muted
            assert session.call == self.barged_for[session.id]
            target = self.world.legs[str(session.target)]
            assert target.peer == session.peer, "another caller would hear the coach"

    @invariant()
    def closed_while_unsettled(self) -> None:
        state = self.world.state
        for leg, each in self.world.coaches.items():
            if each.gate is Gate.CLOSED:
                continue
            session = state.sessions[each.session]
            bond = state.bonds[str(session.target)]
            assert session.phase is Phase.ATTACHED
            assert bond.known
            assert session.target not in state.held
            assert not session.held
            assert session.talk is Talk.OPEN or session.pressed
            assert leg == session.leg

    @invariant()
    def what_is_believed_is_true(self) -> None:
        """A gate that is open stands in the state, and on the leg for whoever starts next."""
        for leg, each in self.world.coaches.items():
            session = self.world.state.sessions[each.session]
            assert each.gate is (session.asked or Gate.CLOSED)
            if session.phase not in NOT_THERE:
                assert each.record == Turn(self.world.state, 0.0, self.world.rules).record(session)
            assert leg == session.leg

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        sessions = self.world.state.sessions.values()
        for session in sessions:
            call = self.world.state.calls.get(str(session.call))
            if call and session.target and call.on(session.target):
                assert session.phase is not Phase.WAITING
                if session.phase is Phase.CONNECTED:
                    others = [each.phase for each in sessions if each.target == session.target]
                    assert Phase.ATTACHING in others or Phase.ENDING in others
            elif session.follow is Follow.CALL:
                assert session.deadline is not None

    @invariant()
    def whoever_took_over_is_left_alone(self) -> None:
        assert not [each for each in self.world.take(fx.HangUp) if each.leg in self.parties]

    @invariant()
    def nothing_is_kept_of_what_is_gone(self) -> None:
        state = self.world.state
        assert state.bonds.keys() <= self.world.legs.keys()
        assert state.held <= state.bonds.keys()
        assert {leg.leg for call in state.calls.values() for leg in call.agents} <= state.bonds.keys()

    @invariant()
    def calls_are_bridges(self) -> None:
        for call in self.world.state.calls.values():
            for leg in call.agents:
                assert self.world.state.bonds[leg.leg].peer == leg.peer

    @invariant()
    def roles_are_kept(self) -> None:
        for session in self.world.state.sessions.values():
            assert session.mode is not Mode.BARGE or "barge" in session.coach.roles

    @invariant()
    def whoever_rings_or_ends_has_a_deadline(self) -> None:
        state = self.world.state
        for session in state.sessions.values():
            if session.phase not in (Phase.ATTACHED, Phase.WAITING, Phase.CONNECTED):
                assert session.deadline is not None
        assert next_timer(state) is not None


Coaching.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True)
TestCoaching = Coaching.TestCase
