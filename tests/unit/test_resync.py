"""After a gap in what the switch said: a lost connection, or a service that starts anew."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Call, Follow, Phase, call_id
from ccwhisper.coaching.modes import Gate, Mode, Talk
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach, on_switch, restarted

pytestmark = pytest.mark.unit


def test_a_restart_goes_on_where_it_was(world: World, call: Call) -> None:
    sessions = [
        world.coached(call, coach("carla"), mode=Mode.WHISPER),
        world.coached(call, coach("dora"), mode=Mode.BARGE),
        world.coached(call, coach("emil")),
    ]
    fresh = restarted(world)
    assert [fresh.session(each).mode for each in sessions] == [Mode.WHISPER, Mode.BARGE, Mode.LISTEN]
    assert [fresh.gate(each) for each in sessions] == [Gate.AGENT, Gate.EVERYONE, Gate.CLOSED]
    # said again, each of them: what the switch really does is only known once it has been told
    assert sorted(each.gate.value for each in fresh.take(fx.TellGate)) == ["agent", "closed", "everyone"]
    assert fresh.take(fx.Beep) == []


def test_a_restart_releases_push_to_talk(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id))
    fresh = restarted(world)
    assert fresh.gate(session) is Gate.CLOSED
    assert not fresh.session(session).pressed


def test_a_restart_opens_nothing_that_was_closed(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    leg = world.coaches[session.leg]
    leg.record, leg.gate = replace(leg.record, gate=Gate.CLOSED), Gate.CLOSED
    fresh = restarted(world)
    assert fresh.gate(session) is Gate.CLOSED
    assert fresh.session(session).muted


def test_after_a_restart_a_barge_is_not_carried_over(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE, follow=Follow.AGENT)
    del world.legs["c1"]
    world.legs["c2"] = caller_leg("c2", peer="a1")
    world.legs["a1"] = replace(world.legs["a1"], peer="c2")
    fresh = restarted(world)
    assert fresh.gate(session) is Gate.CLOSED
    assert fresh.session(session).call == call_id("a1", "c2")
    assert fresh.session(session).mode is Mode.LISTEN


def test_no_session_without_a_leg_after_a_resync(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(ev.NodeLost(NODE, "gone"))
    assert session.id in world.state.sessions
    world.feed(ev.NodeSynced(NODE, tuple(world.legs.values())))
    assert world.state.sessions == {}
    assert world.endings() == ["lost"]
    assert list(world.state.calls) == [call.id]


def test_calls_that_ended_in_the_gap(world: World, call: Call) -> None:
    session = world.coached(call)
    world.legs.clear()
    legs = on_switch(world)
    world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(legs)))
    assert world.state.calls == {}
    assert world.state.bonds == {}
    assert session.id not in world.state.sessions
    assert session.leg not in world.coaches


def test_a_leg_of_ours_without_a_session_is_hung_up(world: World) -> None:
    stray = caller_leg("stray", outbound=True, is_coach=True)
    effects = world.feed(ev.NodeSynced(NODE, (stray,)))
    assert [each.leg for each in effects if isinstance(each, fx.HangUp)] == ["stray"]


def test_a_session_that_was_still_ringing(world: World, call: Call) -> None:
    session = world.start(call, mode=Mode.WHISPER)
    fresh = restarted(world)
    assert fresh.session(session).phase is Phase.RINGING
    fresh.park(session.leg)
    assert fresh.gate(session) is Gate.AGENT


@pytest.mark.parametrize("muted", [True, False])
def test_a_restart_keeps_the_mode_of_a_coach_who_has_not_spoken(world: World, call: Call, muted: bool) -> None:
    session = world.coached(call, talk=Talk.OPEN if muted else Talk.PUSH)
    world.feed(cmd.SetMuted(session.coach, session.id, muted))
    world.mode(session, Mode.WHISPER)
    fresh = restarted(world)
    assert fresh.session(session).mode is Mode.WHISPER
    assert fresh.session(session).muted is muted
    assert fresh.gate(session) is Gate.CLOSED


def test_a_restart_on_the_second_call_of_an_agent(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, follow=Follow.AGENT)
    world.unbridge("c1", "a1")
    world.bridge(caller_leg("c2"), agent_leg("a1"))
    assert world.coaches[session.leg].record.gate is Gate.AGENT
    fresh = restarted(world)
    assert not fresh.session(session).muted
    assert fresh.gate(session) is Gate.AGENT


def test_a_wish_outlives_a_gap(world: World, call: Call) -> None:
    session = world.start(call, mode=Mode.WHISPER)
    world.feed(ev.Held(NODE, "a1"))
    world.answer(session)
    world.legs["a1"] = replace(world.legs["a1"], held=True)
    fresh = restarted(world)
    fresh.feed(ev.Unheld(NODE, "a1"))
    assert fresh.gate(session) is Gate.AGENT


def test_an_open_gate_on_a_leg_that_is_not_listed_is_shut(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE, follow=Follow.AGENT)
    fresh = World(now=200.0, coaches=world.coaches)
    fresh.feed(ev.NodeSynced(NODE, tuple(leg for leg in on_switch(world) if leg.id != "a1")))
    assert fresh.gate(session) is Gate.CLOSED


def test_a_leg_that_was_not_listed_yet_does_not_stay_behind(world: World, call: Call) -> None:
    """`show channels` is written late: a leg that is missing from it can be there."""
    session = world.coached(call)
    effects = world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(world.legs.values())))
    assert [each.leg for each in effects if isinstance(each, fx.HangUp)] == [session.leg]


def test_what_was_held_when_it_went_is_forgotten(world: World, call: Call) -> None:
    world.feed(ev.Held(NODE, "a1"), ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, ()))
    assert world.state.held == frozenset()


def test_nothing_is_decided_about_a_switch_that_cannot_be_seen(world: World, call: Call) -> None:
    session = world.start(call)
    world.feed(ev.NodeLost(NODE, "gone"))
    assert world.wait(RULES.ring_seconds + 3) == []
    assert world.session(session).phase is Phase.DIALLING


def test_what_happens_on_one_switch_is_nothing_to_the_others(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id))
    world.feed(ev.NodeSynced("n2", ()), ev.NodeLost("n2", "gone"), ev.NodeSynced("n2", ()))
    assert world.session(session).pressed
    assert world.gate(session) is Gate.AGENT
    assert list(world.state.calls) == [call.id]


def test_an_open_gate_is_not_believed_in_while_its_switch_is_away(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    world.take(fx.TellGate)
    world.feed(ev.NodeLost(NODE, "gone"))
    assert world.take(fx.TellGate) == [], "nobody is there to be told"
    assert world.session(session).asked is Gate.CLOSED


def test_a_session_that_was_ending_is_hung_up_again(world: World, call: Call) -> None:
    session = world.coached(call)
    world.prompt = False
    world.feed(cmd.Leave(session.coach, session.id), ev.NodeLost(NODE, "gone"))
    leg = caller_leg(session.leg, outbound=True, is_coach=True, coach=world.take(fx.Attach)[0].record)
    effects = world.feed(ev.NodeSynced(NODE, (leg, *world.legs.values())))
    assert [each.leg for each in effects if isinstance(each, fx.HangUp)] == [session.leg]
    assert world.session(session).phase is Phase.ENDING
    effects = world.wait(60)
    assert [each.leg for each in effects if isinstance(each, fx.HangUp)] == [session.leg]


def test_a_leg_of_ours_without_a_session_is_left_to_whom_it_talks_to(world: World) -> None:
    pair = caller_leg("stray", is_coach=True, peer="c1"), caller_leg("c1", peer="stray")
    assert not [each for each in world.feed(ev.NodeSynced(NODE, pair)) if isinstance(each, fx.HangUp)]
