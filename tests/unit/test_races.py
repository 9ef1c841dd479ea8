"""Facts in an unlucky order: what is read is already old, what ends is followed before its end is heard of."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Call, Follow, Phase, call_id
from ccwhisper.coaching.modes import Gate, Mode, Talk
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit


# --- what was read is already old ------------------------------------------------------------------------------------


def test_a_hold_while_the_legs_are_being_read_is_not_overwritten(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    before = world.feed(ev.Bridged(NODE, "c1", "a1"))
    after = world.feed(ev.Held(NODE, "a1"))
    world.read(before)
    assert world.gate(session) is Gate.CLOSED
    world.legs["a1"] = replace(world.legs["a1"], held=True)
    world.read(after)
    assert world.gate(session) is Gate.CLOSED
    assert world.state.calls[call.id].held


def test_the_end_of_a_hold_while_the_legs_are_being_read_is_not_lost(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    before = replace(world.legs["a1"], held=True), world.legs["c1"]
    effects = world.feed(ev.Held(NODE, "a1"), ev.Bridged(NODE, "a1", "c1"))
    token = next(each.token for each in effects if isinstance(each, fx.Inspect))
    effects = world.feed(ev.Unheld(NODE, "a1"), ev.Inspected(NODE, token, "a1", "c1", before))
    world.read(effects)
    assert world.gate(session) is Gate.AGENT


def test_a_new_rate_while_the_legs_are_being_read_is_not_lost(world: World) -> None:
    world.legs["c1"], world.legs["a1"] = caller_leg("c1"), agent_leg("a1", rate=16000, codec="G722")
    effects = world.feed(ev.Bridged(NODE, "c1", "a1"))
    old = effects[-1]
    assert isinstance(old, fx.Inspect)
    stale = ev.Inspected(NODE, old.token, "c1", "a1", (world.legs["c1"], world.legs["a1"]))
    effects = world.feed(ev.RateChanged(NODE, "a1", 8000), stale)
    world.legs["a1"] = agent_leg("a1")
    world.read(effects)
    (call,) = world.state.calls.values()
    assert call.agents[0].rate == 8000


def test_a_bridge_that_is_never_read_does_not_keep_a_coach_on_it(world: World, call: Call) -> None:
    world.coached(call)
    world.feed(ev.Bridged(NODE, "c2", "a1"))
    world.wait(RULES.seek_grace)
    assert world.endings() == ["call_ended"]


def test_a_gate_that_was_confirmed_too_late_is_not_shown(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(ev.GateTold(session.id, Gate.AGENT))
    assert world.session(session).gate is Gate.AGENT
    world.mode(session, Mode.LISTEN)
    world.feed(ev.GateTold(session.id, Gate.CLOSED), ev.GateTold(session.id, Gate.AGENT))
    assert world.session(session).gate is Gate.CLOSED


def test_the_end_of_the_bridge_before_does_not_end_the_next(world: World, call: Call) -> None:
    """Each bridge ends in a thread of its own, so the old one's end may be heard of after the new one's beginning."""
    session = world.coached(call, mode=Mode.WHISPER, follow=Follow.AGENT)
    second = world.bridge(caller_leg("c2"), agent_leg("a1"))
    assert second
    for late in (ev.Unbridged(NODE, "c1", "a1"), ev.Unbridged(NODE, "a1", "c1")):
        effects = world.feed(late)
        assert world.gate(session) is Gate.CLOSED, "until it has been read once more"
        world.read(effects)
        assert list(world.state.calls) == [second.id]
        assert world.gate(session) is Gate.AGENT


def test_a_wish_outlives_a_new_rate(world: World, call: Call) -> None:
    session = world.start(call, mode=Mode.WHISPER)
    world.prompt = False
    world.park(session.leg)
    world.feed(ev.RateChanged(NODE, "a1", 16000))
    world.prompt = True
    world.feed(*world.pending)
    assert world.gate(session) is Gate.AGENT


# --- the call is away for a moment -----------------------------------------------------------------------------------


@pytest.mark.parametrize("follow", list(Follow))
def test_a_coach_who_answers_while_the_call_is_away_attaches_when_it_is_back(
    world: World, call: Call, follow: Follow
) -> None:
    session = world.start(call, mode=Mode.WHISPER, follow=follow)
    world.unbridge("c1", "a1")
    world.answer(session)
    assert world.session(session).phase is Phase.WAITING
    world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert world.session(session).phase is Phase.ATTACHED
    assert world.gate(session) is Gate.AGENT
    world.wait(RULES.seek_grace)
    assert session.id in world.state.sessions


def test_a_call_that_was_away_for_a_moment_does_not_stop_the_ringing(world: World, call: Call) -> None:
    session = world.start(call)
    world.unbridge("c1", "a1")
    world.bridge(caller_leg("c1"), agent_leg("a1"))
    world.wait(RULES.seek_grace)
    assert world.answer(session).phase is Phase.ATTACHED


def test_an_eavesdrop_that_comes_alive_when_the_call_is_over_does_not_stay(world: World, call: Call) -> None:
    session = world.start(call)
    world.prompt = False
    world.park(session.leg)
    world.unbridge("c1", "a1")
    world.prompt = True
    world.feed(*world.pending)
    world.wait(RULES.seek_grace)
    assert world.endings() == ["call_ended"]


# --- ends that are heard of in another order -------------------------------------------------------------------------


def test_a_whisper_goes_along_when_the_coach_falls_back_before_the_agents_end_is_known(
    world: World, call: Call
) -> None:
    session = world.coached(call, mode=Mode.WHISPER, follow=Follow.AGENT)
    world.legs.pop("a1")
    world.park(session.leg)
    world.feed(ev.HungUp(NODE, "a1", ""))
    world.park(session.leg)
    world.bridge(caller_leg("c2"), agent_leg("a2"))
    assert world.gate(session) is Gate.AGENT


def test_a_call_that_is_at_the_next_agent_before_the_first_ones_end_is_known(world: World, call: Call) -> None:
    session = world.coached(call)
    moved = world.bridge(caller_leg("c1"), agent_leg("a2", "1002@dom"))
    assert moved
    world.hang_up("a1")
    world.wait(RULES.seek_grace)
    assert world.session(session).call == moved.id
    assert world.session(session).phase is Phase.ATTACHED


def test_a_call_that_leaves_an_agent_who_stays_off_hook(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.unbridge("c1", "a1")
    world.take(fx.Attach)
    moved = world.bridge(caller_leg("c1"), agent_leg("a2", "1002@dom"))
    assert moved
    after = world.session(session)
    assert (after.call, after.target, after.phase) == (moved.id, "a2", Phase.ATTACHED)
    assert [each.target for each in world.take(fx.Attach)] == ["a2"]
    assert world.gate(session) is Gate.CLOSED, "the next agent is listened to first"


def test_the_agents_second_call_is_taken_up_when_the_first_ends(world: World, call: Call) -> None:
    world.prompt = False
    slow, queued = world.start(call), world.start(call, coach("dora"), follow=Follow.AGENT)
    world.park(slow.leg)
    world.park(queued.leg)
    world.pending.clear()
    world.prompt = True
    second = world.bridge(caller_leg("c2"), agent_leg("a2"))
    assert second
    assert world.session(queued).phase is Phase.CONNECTED
    world.hang_up("c1")
    world.hang_up("a1")
    assert (world.session(queued).call, world.session(queued).phase) == (second.id, Phase.ATTACHED)


# --- gates of those who wait -----------------------------------------------------------------------------------------


def test_whoever_waits_to_attach_anew_is_not_heard_meanwhile(world: World) -> None:
    call = world.bridge(caller_leg("c1"), agent_leg("a1", rate=16000, codec="L16"))
    assert call
    one, two = (world.coached(call, coach(name), mode=Mode.BARGE) for name in ("carla", "dora"))
    world.feed(*(ev.RateChanged(NODE, each.leg, 8000) for each in (one, two)))
    world.prompt = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert [world.gate(each) for each in (one, two)] == [Gate.CLOSED] * 2
    world.prompt = True
    world.feed(*world.pending)
    assert [world.gate(each) for each in (one, two)] == [Gate.EVERYONE] * 2


def test_the_dead_man_stands_before_the_gate_opens(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE, talk=Talk.PUSH)
    effects = world.feed(cmd.Press(session.coach, session.id))
    order = [type(each) for each in effects if isinstance(each, fx.ArmDeadman | fx.TellGate)]
    assert order == [fx.ArmDeadman, fx.TellGate]
    effects = world.feed(cmd.Release(session.coach, session.id))
    order = [type(each) for each in effects if isinstance(each, fx.DisarmDeadman | fx.TellGate)]
    assert order == [fx.TellGate, fx.DisarmDeadman]


# --- whose leg it is -------------------------------------------------------------------------------------------------


def test_a_coachs_leg_that_somebody_bridged_is_a_coachs_no_more(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(ev.Bridged(NODE, session.leg, "x"))
    assert world.endings() == ["coach_left"]


def test_a_leg_that_is_another_agents_now_is_not_listened_to(world: World) -> None:
    first = world.bridge(caller_leg("c1"), agent_leg("a1", "", cc_agent="ana"))
    assert first
    world.coached(first, follow=Follow.AGENT)
    world.unbridge("c1", "a1")
    world.bridge(caller_leg("c2"), agent_leg("a1", "", cc_agent="ben"))
    assert world.endings() == ["call_ended"]


def test_a_read_of_another_switch_is_not_lost_with_this_one(world: World) -> None:
    world.feed(ev.NodeSynced("n2", ()))
    effects = world.feed(ev.Bridged("n2", "c9", "a9"))
    (inspect,) = (each for each in effects if isinstance(each, fx.Inspect))
    world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, ()))
    world.feed(ev.Inspected("n2", inspect.token, "c9", "a9", (caller_leg("c9"), agent_leg("a9"))))
    assert list(world.state.calls) == [call_id("c9", "a9")]
