"""What becomes of sessions when calls move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Call, Follow, Phase
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.coaching.policy import QueuePolicy
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit


# --- the gate while topology moves -----------------------------------------------------------------------------------


def test_a_bridge_closes_the_gate_until_it_has_been_read(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    effects = world.feed(ev.Bridged(NODE, "c1", "a1"))
    assert isinstance(effects[0], fx.TellGate)
    assert world.gate(session) is Gate.CLOSED
    world.read(effects)
    assert world.gate(session) is Gate.AGENT


def test_an_answer_that_is_out_of_date_opens_nothing(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    old = world.feed(ev.Bridged(NODE, "c1", "a1"))
    new = world.feed(ev.Unbridged(NODE, "c1", "a1"), ev.Bridged(NODE, "c2", "a1"))
    world.read(old)
    assert world.gate(session) is Gate.CLOSED
    world.legs["c2"] = caller_leg("c2", peer="a1")
    world.read(new)
    assert world.endings() == ["call_ended"]


@pytest.mark.parametrize("mode", [Mode.WHISPER, Mode.BARGE])
def test_hold_closes_and_unhold_opens_again(world: World, call: Call, mode: Mode) -> None:
    session = world.coached(call, mode=mode)
    was = world.gate(session)
    world.feed(ev.Held(NODE, "a1"))
    assert world.gate(session) is Gate.CLOSED
    assert world.state.calls[call.id].held
    world.feed(ev.Unheld(NODE, "a1"))
    assert world.gate(session) is was
    assert not world.state.calls[call.id].held


def test_a_mode_that_was_asked_for_during_hold_is_granted_when_the_call_is_back(world: World, call: Call) -> None:
    session = world.start(call, mode=Mode.WHISPER)
    world.feed(ev.Held(NODE, "a1"))
    world.answer(session)
    assert (world.session(session).phase, world.session(session).mode) == (Phase.ATTACHED, Mode.LISTEN)
    world.feed(ev.Unheld(NODE, "a1"))
    assert world.session(session).mode is Mode.WHISPER
    assert world.gate(session) is Gate.AGENT
    assert len(world.take(fx.Beep)) == 1


# --- the next caller -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gap", [True, False])
@pytest.mark.parametrize("follow", list(Follow))
def test_a_barge_is_never_carried_over_to_another_caller(world: World, call: Call, follow: Follow, gap: bool) -> None:
    session = world.coached(call, mode=Mode.BARGE, follow=follow)
    assert world.gate(session) is Gate.EVERYONE
    if gap:
        world.unbridge("c1", "a1")
        assert world.gate(session) is Gate.CLOSED
    second = world.bridge(caller_leg("c2"), agent_leg("a1"))
    assert second
    if follow is Follow.CALL:
        assert session.id not in world.state.sessions
    else:
        after = world.session(session)
        assert (after.call, after.mode, world.gate(session)) == (second.id, Mode.LISTEN, Gate.CLOSED)


def test_a_whisper_goes_along_with_the_agent_and_he_is_told_again(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, follow=Follow.AGENT)
    world.unbridge("c1", "a1")
    assert world.gate(session) is Gate.CLOSED
    world.take(fx.Beep)
    world.bridge(caller_leg("c2"), agent_leg("a1"))
    assert world.gate(session) is Gate.AGENT
    assert len(world.take(fx.Beep)) == 1


def test_the_same_call_again_within_a_moment_goes_on(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    world.unbridge("c1", "a1")
    world.now += RULES.seek_grace / 2
    world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert world.gate(session) is Gate.EVERYONE
    world.wait(RULES.seek_grace * 2)
    assert session.id in world.state.sessions


def test_a_call_that_does_not_come_back_ends_the_session(world: World, call: Call) -> None:
    world.coached(call)
    world.unbridge("c1", "a1")
    world.wait(RULES.seek_grace)
    assert world.endings() == ["call_ended"]


def test_an_agent_whose_other_party_goes_over_to_a_caller(world: World) -> None:
    between = world.bridge(agent_leg("a2", "1002@dom"), agent_leg("a1"))
    session = world.coached(between, agent="ana")
    assert session.target == "a1"
    world.bridge(caller_leg("c1"), agent_leg("a2", "1002@dom"))  # and nothing more is said of a1
    world.wait(RULES.seek_grace)
    assert world.endings() == ["call_ended"]


def test_when_the_caller_hangs_up(world: World, call: Call) -> None:
    stays, goes = world.coached(call, follow=Follow.AGENT), world.coached(call, coach("dora"))
    world.hang_up("c1")
    assert goes.id not in world.state.sessions
    assert world.session(stays).phase is Phase.ATTACHED
    world.hang_up("a1")
    assert world.session(stays).phase is Phase.WAITING


def test_following_the_agent_over_calls(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, follow=Follow.AGENT)
    world.hang_up("a1")
    world.hang_up("c1")
    assert world.session(session).phase is Phase.WAITING
    assert world.state.calls == {}
    world.take(fx.Attach)
    second = world.bridge(caller_leg("c2"), agent_leg("a2"))
    assert second
    assert world.session(session).call == second.id
    assert world.session(session).mode is Mode.WHISPER
    assert world.gate(session) is Gate.AGENT
    assert [each.target for each in world.take(fx.Attach)] == ["a2"]


def test_coaches_who_come_along_find_the_call_full(world: World, call: Call) -> None:
    world.rules = replace(RULES, default=QueuePolicy(max_coaches=1))
    kept = world.coached(call, follow=Follow.AGENT)
    moved = world.coached(world.bridge(caller_leg("c2"), agent_leg("a2", "1002@dom")), coach("dora"))
    world.hang_up("a2")
    world.bridge(caller_leg("c2"), agent_leg("a1"))
    assert moved.id not in world.state.sessions
    assert world.endings() == ["too_many_coaches"]
    assert kept.id in world.state.sessions


def test_following_the_agent_ends_where_the_rights_end(world: World) -> None:
    first = world.bridge(caller_leg("c1"), agent_leg("a1", cc_agent="ana", cc_queue="vip"))
    assert first
    world.coached(first, coach(queues=frozenset({"vip"})), follow=Follow.AGENT)
    world.hang_up("a1")
    world.bridge(caller_leg("c2"), agent_leg("a2", cc_agent="ana", cc_queue="secret"))
    assert world.endings() == ["queue_out_of_scope"]


def test_waiting_for_an_agents_first_call(world: World) -> None:
    session = world.start(agent="ana", follow=Follow.AGENT)
    world.answer(session)
    assert world.session(session).phase is Phase.WAITING
    world.feed(ev.RateChanged(NODE, session.leg, 16000), ev.RateChanged(NODE, session.leg, 8000))
    world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert world.session(session).phase is Phase.ATTACHED


def test_the_call_moves_to_another_agent(world: World, call: Call) -> None:
    follows = world.coached(call, mode=Mode.WHISPER)
    world.hang_up("a1")
    moved = world.bridge(caller_leg("c1"), agent_leg("a2", "1002@dom"))
    assert moved
    after = world.session(follows)
    assert (after.agent, after.target, after.call) == ("ben", "a2", moved.id)
    assert world.gate(follows) is Gate.CLOSED, "the next agent is listened to first"


def test_the_call_moves_to_somebody_who_is_no_agent(world: World, call: Call) -> None:
    world.coached(call)
    world.hang_up("a1")
    world.bridge(caller_leg("c1"), caller_leg("x"))
    world.wait(RULES.seek_grace)
    assert world.endings() == ["call_ended"]


@pytest.mark.parametrize("mode", list(Mode))
@pytest.mark.parametrize("who", ["c1", "a1", "coach"])
def test_any_party_may_hang_up_in_any_mode(world: World, call: Call, mode: Mode, who: str) -> None:
    session = world.coached(call, mode=mode)
    world.hang_up(session.leg if who == "coach" else who)
    if who != "coach":
        world.hang_up("c1" if who == "a1" else "a1")
        world.wait(RULES.seek_grace)
    assert world.state.sessions == {}
    assert bool(world.state.calls) is (who == "coach")


def test_a_call_that_ends_while_the_coachs_phone_rings(world: World, call: Call) -> None:
    session = world.start(call)
    world.hang_up("c1")
    assert session.id not in world.state.sessions
    assert session.leg not in world.coaches


def test_a_coachs_leg_that_no_session_is_for_does_not_stay(world: World) -> None:
    effects = world.feed(ev.Parked(NODE, "stray", ours=True), ev.Parked(NODE, "theirs", ours=False))
    assert [each.leg for each in effects if isinstance(each, fx.HangUp)] == ["stray"]


def test_whoever_comes_along_gives_the_next_leg_its_jitter_buffer(world: World, call: Call) -> None:
    world.coached(call, follow=Follow.AGENT)
    world.hang_up("a1")
    world.take(fx.EnableJitterBuffer)
    world.bridge(caller_leg("c2"), agent_leg("a2", buffered=False))
    order = [type(each) for each in world.effects if isinstance(each, fx.EnableJitterBuffer | fx.Attach)]
    assert order[-2:] == [fx.EnableJitterBuffer, fx.Attach]


def test_nobody_comes_along_to_media_that_bypass_the_switch(world: World, call: Call) -> None:
    world.coached(call, follow=Follow.AGENT)
    world.hang_up("a1")
    world.bridge(caller_leg("c2", media_in_switch=False), agent_leg("a2"))
    assert world.endings() == ["media_not_in_switch"]


def test_a_session_that_ends_is_not_moved_any_more(world: World, call: Call) -> None:
    session = world.coached(call, follow=Follow.AGENT)
    world.prompt = False
    world.feed(cmd.Leave(session.coach, session.id))
    world.bridge(caller_leg("c2"), agent_leg("a1"))
    world.feed(ev.Parked(NODE, session.leg, ours=True))
    after = world.session(session)
    assert (after.phase, after.call) == (Phase.ENDING, call.id)
    assert world.take(fx.Attach)[1:] == []


def test_a_coach_whose_turn_has_not_come_waits_for_a_call_that_comes_back(world: World, call: Call) -> None:
    world.prompt = False
    slow, queued = world.start(call), world.start(call, coach("dora"))
    world.park(slow.leg)
    world.park(queued.leg)
    world.unbridge("c1", "a1")
    assert world.session(queued).deadline is not None
    world.bridge(caller_leg("c1"), agent_leg("a1"))
    world.wait(RULES.seek_grace)
    assert (world.session(queued).phase, world.session(queued).deadline) == (Phase.CONNECTED, None)
