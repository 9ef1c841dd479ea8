"""Random facts and requests in any order; what must never happen does not."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import Phase as Phases
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.dialin import CODES
from ccwhisper.coaching.errors import CoachingError
from ccwhisper.coaching.model import Actor, Follow, Leg, Phase, Session, call_id
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policies import layered
from ccwhisper.coaching.policy import DEFAULT_QUEUE, EDIT_POLICIES, WAYS, PolicyPart, agent_of
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.coaching.reduce import next_timer
from ccwhisper.coaching.sessions import carried
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach, on_switch, restarted

pytestmark = pytest.mark.unit

CALLERS = [caller_leg(name) for name in ("c1", "c2")]
AGENTS = [agent_leg("a1"), agent_leg("a2", "1002@dom"), agent_leg("a3", cc_agent="ana", cc_queue="another")]
"""Ana has two phones, one of them for the calls of a queue."""
PARTIES = [*CALLERS, *AGENTS]
NUMBER = st.integers(0, 7)
USUALLY = st.sampled_from([True, True, True, True, False])
COACHES = [coach("carla"), coach("dora"), coach("emil", roles=frozenset({"whisper"}))]
ADMIN = coach("ada", permissions=frozenset({EDIT_POLICIES}))
NOT_THERE = (Phase.DIALLING, Phase.TAKING_OVER, Phase.ENDING)  # phases in which a leg carries no record, or a last one


def a_session(machine: Coaching) -> bool:
    return bool(machine.world.state.sessions)


@dataclass
class Slow(World):
    """What is read of two legs is what they were when that was asked, or anything later."""

    asked: list[tuple[fx.Inspect, tuple[Leg | None, Leg | None]]] = field(default_factory=list)

    def _carry_out(self, effect: fx.Effect) -> None:
        super()._carry_out(effect)
        if isinstance(effect, fx.Inspect):
            self.asked.append((effect, self.pair(effect)))

    def pair(self, effect: fx.Inspect) -> tuple[Leg | None, Leg | None]:
        return self.legs.get(effect.a), self.legs.get(effect.b)

    def answer_all(self, stale: bool) -> None:
        asked, self.asked = self.asked, []
        for effect, then in asked:
            pair = then if stale else self.pair(effect)
            self.feed(ev.Inspected(NODE, effect.token, effect.a, effect.b, pair))


class Coaching(RuleBasedStateMachine):
    """The switch's own truth is `World.legs` and `World.coaches`; facts about it may come late (`prompt` off, and
    Inspect answers held back), but in order; only the end of a bridge may come after the beginning of the next."""

    def __init__(self) -> None:
        super().__init__()
        people = {each.devices[0]: each for each in COACHES}
        wanted = {DEFAULT_QUEUE: PolicyPart(record=True, record_whisper=Whispers.SEPARATE)}
        self.world = Slow(rules=layered(replace(RULES, supervisors=people, file=wanted), {}))
        self.world.up()
        self.dialled = 0
        self.barged_for: dict[str, str | None] = {}
        self.parties: set[str] = set()  # legs of coaches who took over
        self.over: list[tuple[str, str]] = []  # bridges
        self.lives: dict[str, int] = {}  # a leg that is gone does not come back: its party's next one has another name

    def leg(self, party: Leg) -> Leg:
        """The leg of a party now."""
        name = f"{party.id}-{self.lives.get(party.id, 0)}"
        return self.world.legs.get(name, replace(party, id=name))

    @initialize(modes=st.lists(st.sampled_from(Mode), min_size=1, max_size=2), talk=st.sampled_from(Talk),
                follow=st.sampled_from(Follow))  # fmt: skip
    def a_call_is_coached(self, modes: list[Mode], talk: Talk, follow: Follow) -> None:
        """Most of what can go wrong needs this first."""
        self.join(self.leg(CALLERS[0]), self.leg(AGENTS[0]), read=True)
        for who, mode in zip(COACHES, modes, strict=False):
            self.start(who, mode, talk, follow, "ana", answer=True)

    # --- the switch --------------------------------------------------------------------------------------------------

    @rule(caller=st.sampled_from([*CALLERS, AGENTS[1]]), agent=st.sampled_from([*AGENTS, *CALLERS]), read=st.booleans())
    def bridge(self, caller: Leg, agent: Leg, read: bool) -> None:
        if caller.id != agent.id:
            self.join(self.leg(caller), self.leg(agent), read)

    def join(self, caller: Leg, agent: Leg, read: bool, gap: bool = True) -> None:
        """Bridge two legs. Without a gap the end of their bridges before comes late, or never."""
        world = self.world
        for leg in (caller.id, agent.id):
            peer = world.legs[leg].peer if leg in world.legs else None
            if peer and gap:
                world.unbridge(leg, peer)
            elif peer and peer in world.legs:
                world.legs[peer] = replace(world.legs[peer], peer=None)
        self.over.append((caller.id, agent.id))
        world.legs[caller.id], world.legs[agent.id] = replace(caller, peer=agent.id), replace(agent, peer=caller.id)
        self.world.feed(ev.Bridged(NODE, caller.id, agent.id))
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
        self.join(next(each for each in map(self.leg, CALLERS) if each.id != leg.peer), leg, read, gap)

    @rule(stale=st.booleans())
    def read(self, stale: bool = False) -> None:
        self.world.answer_all(stale)

    @rule(party=st.sampled_from(AGENTS), parks=st.booleans(), read=st.booleans())
    def away_for_a_moment(self, party: Leg, parks: bool, read: bool) -> None:
        """The agent looks after something else; his coaches' legs may fall back meanwhile."""
        leg = self.leg(party)
        other = self.world.legs.get(leg.peer or "")
        if other:
            self.world.unbridge(leg.id, other.id)
            for name in [name for name, each in self.world.coaches.items() if parks and each.target == leg.id]:
                self.world.park(name)
            self.join(other, leg, read)

    @rule(party=st.sampled_from(PARTIES))
    def unbridge(self, party: Leg) -> None:
        leg = self.leg(party)
        if leg.peer:
            self.world.unbridge(leg.id, leg.peer)

    @rule(party=st.sampled_from(PARTIES))
    def hang_up(self, party: Leg) -> None:
        leg = self.leg(party)
        if leg.id in self.world.legs:
            if leg.peer and leg.peer in self.world.legs:
                self.world.legs[leg.peer] = replace(self.world.legs[leg.peer], peer=None)
            self.lives[party.id] = self.lives.get(party.id, 0) + 1
            self.world.hang_up(leg.id)

    @rule(party=st.sampled_from(PARTIES), on=st.booleans())
    def hold(self, party: Leg, on: bool) -> None:
        leg = self.leg(party)
        if leg.id in self.world.legs:
            self.world.legs[leg.id] = replace(leg, held=on)
            self.world.feed((ev.Held if on else ev.Unheld)(NODE, leg.id))

    @precondition(a_session)
    @rule(number=NUMBER, on=st.booleans())
    def coach_holds(self, number: int, on: bool) -> None:
        self.world.feed((ev.Held if on else ev.Unheld)(NODE, self.some(number).leg))

    @precondition(a_session)
    @rule(number=NUMBER, quiet=st.booleans())
    def browser_of_a_coach(self, number: int, quiet: bool) -> None:
        self.world.feed((ev.DeviceWentQuiet if quiet else ev.DeviceHeard)(self.some(number).device))

    @precondition(a_session)
    @rule(number=NUMBER, parks=st.booleans())
    def coach_leg_moves(self, number: int, parks: bool) -> None:
        leg = self.some(number).leg
        if leg in self.world.coaches:
            (self.world.park if parks else self.world.hang_up)(leg)

    @rule(on=st.booleans())
    def promptness(self, on: bool) -> None:
        self.world.prompt = on
        waiting = list(self.world.pending)
        self.world.pending.clear()
        self.world.feed(*waiting)

    @precondition(lambda self: self.over)
    @rule(number=NUMBER, turned=st.booleans())
    def late_end_of_a_bridge(self, number: int, turned: bool) -> None:
        a, b = self.over[number % len(self.over)]
        if (self.world.legs[a].peer if a in self.world.legs else None) != b:
            self.world.feed(ev.Unbridged(NODE, *((b, a) if turned else (a, b))))

    @rule(party=st.sampled_from(AGENTS), rate=st.sampled_from([8000, 16000]))
    def new_rate(self, party: Leg, rate: int) -> None:
        leg = self.leg(party)
        if leg.id in self.world.legs:
            self.world.legs[leg.id] = replace(leg, rate=rate)
            self.world.feed(ev.RateChanged(NODE, leg.id, rate))

    @precondition(a_session)
    @rule(number=NUMBER, rate=st.sampled_from([8000, 16000]), what=st.sampled_from(
        [ev.GateTold, ev.BeepFailed, ev.DialFailed, ev.Ringing, ev.RateChanged, "dead-man", "attach", "gate"]),
        gate=st.sampled_from(Gate))  # fmt: skip
    def about_a_session(self, number: int, rate: int, what, gate: Gate) -> None:  # type: ignore[no-untyped-def]
        session = self.some(number)
        leg = self.world.coaches.get(session.leg)
        if what is ev.GateTold:
            self.world.feed(ev.GateTold(session.id, gate))
        elif what is ev.BeepFailed:
            self.world.feed(ev.BeepFailed(session.id, "-ERR"))
        elif what is ev.DialFailed:
            if session.phase in (Phase.DIALLING, Phase.RINGING):
                self.world.coaches.pop(session.leg, None)
            self.world.feed(ev.DialFailed(session.id, "USER_BUSY"))
        elif what is ev.Ringing:
            self.world.feed(ev.Ringing(NODE, session.leg))
        elif what is ev.RateChanged:
            self.world.feed(ev.RateChanged(NODE, session.leg, rate))
        elif what != "dead-man":
            self.world.feed(ev.CommandFailed(session.id, what, "-ERR"))
        elif leg and leg.target and session.pressed:
            leg.gate = Gate.CLOSED
            self.world.feed(ev.EavesdropStarted(NODE, leg.target))

    @precondition(lambda self: any(
        each.phase is Phase.TAKING_OVER and each.leg in self.world.legs for each in self.world.state.sessions.values()
    ))  # fmt: skip
    @rule(bridged=USUALLY, read=st.booleans(), seen=st.booleans())
    def end_of_a_take_over(self, bridged: bool, read: bool, seen: bool) -> None:
        session = next(each for each in self.world.state.sessions.values() if each.phase is Phase.TAKING_OVER)
        caller = self.world.legs.get(str(session.peer))
        leg = self.world.legs.get(session.leg)
        if not (bridged and caller and leg):
            self.world.feed(ev.CommandFailed(session.id, "take_over", "-ERR"))
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

    @rule(late=st.booleans(), gone=st.sampled_from([None, *PARTIES]), anew=st.booleans())
    def blink(self, late: bool = False, gone: Leg | None = None, anew: bool = False) -> None:
        """The connection is lost and made again, and a leg ends in between; or the service starts `anew`. `late`: some
        legs are not listed yet. Before it, that to another switch, which changes nothing here."""
        before = self.world.state
        self.world.feed(ev.NodeLost("n2", "gone"), ev.NodeSynced("n2", ()))
        after = self.world.state
        assert (after.calls, after.bonds, after.held) == (before.calls, before.bonds, before.held)
        assert after.sessions == before.sessions
        replies = [each for each in self.world.pending if isinstance(each, ev.RecordFailed)]
        self.world.pending.clear()
        self.world.asked.clear()
        self.world.feed(*replies)  # a refusal is no event: the service has it, or dies in the middle of a command
        if gone:
            leg = self.world.legs.pop(self.leg(gone).id, None)
            self.lives[gone.id] = self.lives.get(gone.id, 0) + 1
            if leg and leg.peer in self.world.legs:
                self.world.legs[leg.peer] = replace(self.world.legs[leg.peer], peer=None)
            for each in self.world.coaches.values():
                if leg and each.target == leg.id:
                    each.target, each.gate, each.parked = None, Gate.CLOSED, True
        if anew:
            self.world = restarted(self.world)  # type: ignore[assignment]
            return
        legs = [leg for number, leg in enumerate(on_switch(self.world)) if not (late and leg.is_coach and number % 2)]
        self.world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(legs)))
        if self.world.prompt:
            assert {each.leg for each in self.world.state.sessions.values()} <= {leg.id for leg in legs}

    @rule(caller=st.sampled_from(CALLERS), agent=st.sampled_from(AGENTS), paused=st.booleans(), moves=st.booleans(),
          record=USUALLY, whispers=st.sampled_from([None, None, *Whispers]), anew=st.booleans())  # fmt: skip
    def cut_off(self, caller, agent, paused, moves, record, whispers, anew) -> None:  # type: ignore[no-untyped-def]
        """The connection still brings what happens, and takes no command any more: then it is made anew."""
        self.world.deaf = True
        self.pause(COACHES[0], paused)
        self.set_policy(WAYS, True, record, whispers)
        if moves:
            self.join(self.leg(caller), self.leg(agent), read=True)
        self.world.deaf = False
        self.blink(anew=anew)

    @rule(party=st.sampled_from(CALLERS))
    def becomes_an_agent(self, party: Leg) -> None:
        """He has dialled in, and gets calls from a queue from now on."""
        leg = self.leg(party)
        if leg.id in self.world.legs and leg.peer is None:
            self.world.legs[leg.id] = replace(leg, cc_agent="ben", cc_queue="another")

    @rule(seconds=st.sampled_from([0.1, 0.6, 2.5, 12.0, 40.0]))
    def wait(self, seconds: float) -> None:
        self.world.wait(seconds)

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

    def ask(self, kind, number: int, *details, rights: bool = True, barge: bool = False) -> None:  # type: ignore[no-untyped-def]
        session = self.some(number)
        who = next(each for each in COACHES if each.id == session.coach.id)
        before = self.world.state
        try:
            self.world.feed(kind(who if rights else replace(who, roles=frozenset()), session.id, *details))
        except CoachingError:
            assert self.world.state is before
            return
        if barge:
            self.barged_for[session.id] = session.call

    def some(self, number: int) -> Session:
        names = sorted(self.world.state.sessions)
        return self.world.state.sessions[names[number % len(names)]]

    @precondition(a_session)
    @rule(number=NUMBER, mode=st.sampled_from(Mode), rights=USUALLY)
    def set_mode(self, number: int, mode: Mode, rights: bool) -> None:
        self.ask(cmd.SetMode, number, mode, rights=rights, barge=mode is Mode.BARGE)

    @precondition(a_session)
    @rule(number=NUMBER, talk=st.sampled_from(Talk), rights=USUALLY)
    def set_talk(self, number: int, talk: Talk, rights: bool) -> None:
        self.ask(cmd.SetTalk, number, talk, rights=rights)

    @precondition(a_session)
    @rule(number=NUMBER, muted=st.booleans(), rights=USUALLY)
    def set_muted(self, number: int, muted: bool, rights: bool) -> None:
        self.ask(cmd.SetMuted, number, muted, rights=rights)

    @precondition(a_session)
    @rule(number=NUMBER, rights=USUALLY, held=st.sampled_from([0.0, 0.7, 3.5]))
    def press(self, number: int, rights: bool, held: float) -> None:
        self.ask(cmd.SetTalk, number, Talk.PUSH)
        self.ask(cmd.Press, number, rights=rights)
        self.world.wait(held)

    @precondition(a_session)
    @rule(number=NUMBER)
    def release(self, number: int) -> None:
        self.ask(cmd.Release, number)

    @precondition(a_session)
    @rule(number=NUMBER, rights=USUALLY)
    def take_over(self, number: int, rights: bool) -> None:
        self.ask(cmd.TakeOver, number, rights=rights)

    @rule(who=st.sampled_from([*COACHES, coach("eve")]), code=st.sampled_from([*CODES, "nonsense"]),
          wanted=st.sampled_from(["1001", "1002", "4711"]))  # fmt: skip
    def dial_in(self, who, code, wanted) -> None:  # type: ignore[no-untyped-def]
        self.dialled += 1
        name = f"phone{self.dialled}"
        leg = caller_leg(name, auth_user=who.devices[0], dialin=code, wanted=wanted)
        self.world.feed(ev.DialedIn(NODE, name), ev.DialInRead(NODE, leg, f"d{self.dialled}", 1.7e9))

    @precondition(a_session)
    @rule(number=NUMBER, keys=st.sampled_from([*"01245679#*", "33", "333", "3", "2#", "33#"]), pause=USUALLY)
    def press_keys(self, number: int, keys: str, pause: bool) -> None:
        session = self.some(number)
        for key in keys:
            now = self.world.state.sessions.get(session.id)
            if now and key == "3":
                self.barged_for[session.id] = now.call
            self.world.feed(ev.KeyPressed(NODE, session.leg, key))
            self.world.wait(0.5 if pause else 2.5)

    @precondition(a_session)
    @rule(number=NUMBER)
    def leave(self, number: int) -> None:
        self.ask(cmd.Leave, number)

    @rule(ways=st.sampled_from([WAYS, WAYS, WAYS[:2], ("listen", "barge"), ("listen",), ()]), queue=USUALLY,
          record=USUALLY, whispers=st.sampled_from([None, None, *Whispers]))  # fmt: skip
    def set_policy(self, ways: tuple[str, ...], queue: bool, record: bool, whispers: Whispers | None) -> None:
        part = PolicyPart(modes=frozenset(ways), record=record, record_whisper=whispers)
        self.world.feed(cmd.SetPolicy(ADMIN, DEFAULT_QUEUE if queue else "another", part))

    @rule(who=st.sampled_from([*COACHES, coach("eve", permissions=frozenset())]), paused=st.booleans())
    def pause(self, who: Actor, paused: bool) -> None:
        for call in list(self.world.state.calls):
            with contextlib.suppress(CoachingError):
                self.world.feed(cmd.PauseRecording(who, call, paused))

    @rule(on=st.booleans())
    def disk(self, on: bool) -> None:
        self.world.refuses = not on

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
            assert not self.world.legs[str(session.target)].held
            assert session.target not in state.held
            assert not session.held
            assert not session.away
            assert session.talk is Talk.OPEN or session.pressed
            assert leg == session.leg

    @invariant()
    def what_is_believed_is_true(self) -> None:
        """A gate that is open stands in the state, and on the leg for whoever starts next."""
        for leg, each in self.world.coaches.items():
            session = self.world.state.sessions[each.session]
            assert each.gate is (session.asked or Gate.CLOSED)
            if session.phase not in NOT_THERE:
                assert each.record == carried(session)
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
                    assert Phase.ATTACHING in others or Phase.ENDING in others or session.narrow_until is not None
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
    def no_call_is_missed(self) -> None:
        state = self.world.state
        for leg in self.world.legs.values():
            if leg.id.startswith("a") and leg.peer and not self.world.asked:
                assert call_id(leg.id, leg.peer) in state.calls

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
    def nobody_is_in_a_mode_that_is_not_allowed(self) -> None:
        state = self.world.state
        for session in state.sessions.values():
            call = state.calls.get(str(session.call))
            if call and session.phase not in (Phase.TAKING_OVER, Phase.ENDING):
                policy = self.world.rules.queue(call.queue)
                assert policy.allows(session.mode.value)
                assert policy.allows(session.wanted.value)

    @invariant()
    def nothing_is_recorded_where_whispers_are_heard(self) -> None:
        for effect in self.world.take(fx.RecordCall):
            leg = self.world.legs.get(effect.leg)
            assert leg is None or agent_of(leg, self.world.rules) is None

    @invariant()
    def what_is_said_to_be_recorded_is(self) -> None:
        """And what is said to be paused or over, is silent or not written."""
        state, tracks = self.world.state, self.world.tracks
        if self.world.pending:
            return
        for leg, recording in state.recordings.items():
            if recording.live and recording.problem is None:
                assert tracks[recording.file].masked is (recording.paused is not None)
            elif recording.over != "call_ended":
                assert recording.file not in tracks
            assert {file for file, track in tracks.items() if track.leg == leg} <= {recording.file}
        for session in state.sessions.values():
            paused = any(each.paused and each.id == session.recording for each in state.recordings.values())
            assert session.track not in tracks or not paused or tracks[str(session.track)].masked

    @invariant()
    def nobody_who_may_hear_whispers_is_recorded(self) -> None:
        """But by his own microphone."""
        state = self.world.state
        agents = {leg.leg for call in state.calls.values() for leg in call.agents}
        assert not [each for each in state.recordings.values() if each.live and each.leg in agents]

    @invariant()
    def a_recording_is_of_one_queue(self) -> None:
        state = self.world.state
        for call in state.calls.values():
            recording = state.recordings.get(call.agents[0].peer)
            if recording and recording.live and len(call.agents) == 1:
                assert recording.queue == call.queue

    @invariant()
    def a_coach_is_recorded_while_he_is_heard(self) -> None:
        state = self.world.state
        for session in state.sessions.values():
            track = self.world.tracks.get(session.track or "")
            if track is None or self.world.pending:
                continue
            recording = state.recordings[str(session.peer)]
            heard = self.world.coaches[session.leg].gate is not Gate.CLOSED
            assert track.masked is not (heard and recording.paused is None)

    @invariant()
    def nobody_else_is_recorded(self) -> None:
        """What is excluded, or is no session's track any more, is not."""
        state = self.world.state
        known = {session.track for session in state.sessions.values()}
        for file, track in self.world.tracks.items():
            if track.leg in self.world.coaches:
                assert file in known
                session = next(each for each in state.sessions.values() if each.track == file)
                assert session.phase in (Phase.ATTACHED, Phase.ENDING, Phase.TAKING_OVER), "he is with nobody"
        for session in state.sessions.values():
            call = state.calls.get(str(session.call))
            if call and session.track and session.phase is Phase.ATTACHED:
                assert self.world.rules.queue(call.recorded_as).record_whisper is not Whispers.EXCLUDED
                assert session.recording == state.recordings[str(session.peer)].id

    @invariant()
    def whoever_rings_or_ends_has_a_deadline(self) -> None:
        state = self.world.state
        for session in state.sessions.values():
            if session.phase not in (Phase.ATTACHED, Phase.WAITING, Phase.CONNECTED):
                assert session.deadline is not None
        assert next_timer(state) is not None


# Explaining what it found takes Hypothesis minutes more than finding it, and ends in the timeout.
Coaching.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None, derandomize=True,
                                      phases=set(Phases) - {Phases.explain})  # fmt: skip
TestCoaching = pytest.mark.timeout(600)(Coaching.TestCase)
