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
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import CoachingError
from ccwhisper.coaching.model import Follow, Leg, Phase
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.reduce import next_timer
from tests.unit.world import NODE, World, agent_leg, caller_leg, coach, on_switch

pytestmark = pytest.mark.unit

CALLERS = [caller_leg(name) for name in ("c1", "c2")]
AGENTS = [agent_leg("a1"), agent_leg("a2", "1002@dom")]
NAMES = [leg.id for leg in (*CALLERS, *AGENTS)]
COACHES = [coach("carla"), coach("dora"), coach("emil", roles=frozenset({"whisper"}))]


class Coaching(RuleBasedStateMachine):
    """The switch's own truth is `World.legs` and `World.coaches`; facts about it may come late (`prompt` off, and
    Inspect answers held back), but in order."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World().up()
        self.unread: list = []  # type: ignore[type-arg]
        self.barged_for: dict[str, str | None] = {}

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
        agent = next(each for each in AGENTS if each.id == target)
        self.join(caller, agent, read)

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

    @rule()
    def blink(self) -> None:
        self.world.pending.clear()
        self.unread.clear()
        legs = on_switch(self.world)
        self.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(legs)))
        if self.world.prompt:
            assert {each.leg for each in self.world.state.sessions.values()} <= {leg.id for leg in legs}

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
