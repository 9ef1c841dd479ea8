"""Calls, and what becomes of sessions when calls move."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import Conflict
from ccwhisper.coaching.model import Call, Follow, Phase, call_id
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import QueuePolicy
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit


@pytest.fixture
def world() -> World:
    return World().up()


@pytest.fixture
def call(world: World) -> Call:
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert call
    return call


def reasons(world: World) -> list[str]:
    return [each.reason for each in world.take(fx.SessionEnded)]


# --- who is the agent ------------------------------------------------------------------------------------------------

LEGS = [
    (agent_leg("x"), "ana"),
    (agent_leg("x", "9999@dom"), None),
    # mod_dptools writes dialed_user to the calling leg as well
    (caller_leg("x", dialed_user="1001@dom"), None),
    (caller_leg("x", auth_user="1002@dom"), "ben"),
    (agent_leg("x", "", auth_user="1002@dom"), None),
    (caller_leg("x", caller_name="1001@dom", caller_number="1001"), None),
    (agent_leg("x", "", cc_agent="ana"), "ana"),
    (agent_leg("x", "", cc_agent="1002@dom"), "ben"),
    (agent_leg("x", "", cc_agent="zoe@default"), "zoe@default"),
    (agent_leg("x", is_coach=True), None),
]


@pytest.mark.parametrize(("leg", "agent"), LEGS)
def test_the_agents_leg_is_proven_never_guessed(world, leg, agent) -> None:  # type: ignore[no-untyped-def]
    call = world.bridge(leg, caller_leg("other"))
    assert (call.agents[0].agent if call else None) == agent


def test_an_unknown_call_centre_agent_can_be_left_out() -> None:
    world = World(rules=replace(RULES, adopt_unknown_cc_agents=False)).up()
    assert world.bridge(agent_leg("x", "", cc_agent="zoe"), caller_leg("y")) is None


def test_directions_and_parties(world: World) -> None:
    inbound = world.bridge(caller_leg("c1"), agent_leg("a1"))
    outbound = world.bridge(
        caller_leg("a2", auth_user="1002@dom", destination="0301234"), agent_leg("c2", "", caller_number="?")
    )
    assert inbound
    assert outbound
    assert (inbound.direction, inbound.number, inbound.name, inbound.queue) == ("inbound", "+100", "Caller", None)
    assert (outbound.direction, outbound.number, outbound.name) == ("outbound", "0301234", "")
    assert inbound.queues == {"sales"}


def test_a_calls_queue_is_what_counts_when_it_has_one(world: World) -> None:
    call = world.bridge(caller_leg("c1"), agent_leg("a1", cc_agent="ana", cc_queue="vip@default"))
    assert call
    assert call.queues == {"vip@default"}


def test_two_strangers_are_no_call(world: World) -> None:
    assert world.bridge(caller_leg("c1"), caller_leg("c2")) is None
    assert world.state.calls == {}


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
    assert reasons(world) == ["call_ended"]


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


def test_a_coach_on_hold_is_shut_out_with_his_music(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id), ev.Held(NODE, session.leg))
    assert world.gate(session) is Gate.CLOSED
    world.feed(ev.Unheld(NODE, session.leg))
    assert world.gate(session) is Gate.CLOSED, "the key counts as released"


def test_take_over_waits_until_it_is_clear_who_is_there(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(ev.Held(NODE, "a1"))
    with pytest.raises(Conflict, match="hold"):
        world.feed(cmd.TakeOver(session.coach, session.id))


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
    assert reasons(world) == ["call_ended"]


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


def test_followers_count_among_the_coaches_of_a_call(world: World) -> None:
    world.rules = replace(RULES, default=QueuePolicy(max_coaches=1))
    world.start(None, agent="ana", follow=Follow.AGENT)
    with pytest.raises(Conflict, match="as many coaches"):
        world.start(None, coach("dora"), agent="ana", follow=Follow.AGENT)


def test_coaches_who_come_along_find_the_call_full(world: World, call: Call) -> None:
    world.rules = replace(RULES, default=QueuePolicy(max_coaches=1))
    kept = world.coached(call, follow=Follow.AGENT)
    moved = world.coached(world.bridge(caller_leg("c2"), agent_leg("a2", "1002@dom")), coach("dora"))
    world.hang_up("a2")
    world.bridge(caller_leg("c2"), agent_leg("a1"))
    assert moved.id not in world.state.sessions
    assert [each.reason for each in world.take(fx.SessionEnded)] == ["too_many_coaches"]
    assert kept.id in world.state.sessions


def test_following_the_agent_ends_where_the_rights_end(world: World) -> None:
    first = world.bridge(caller_leg("c1"), agent_leg("a1", cc_agent="ana", cc_queue="vip"))
    assert first
    world.coached(first, coach(queues=frozenset({"vip"})), follow=Follow.AGENT)
    world.hang_up("a1")
    world.bridge(caller_leg("c2"), agent_leg("a2", cc_agent="ana", cc_queue="secret"))
    assert reasons(world) == ["queue_out_of_scope"]


def test_waiting_for_an_agents_first_call(world: World) -> None:
    session = world.start(agent="ana", follow=Follow.AGENT)
    world.answer(session)
    assert world.session(session).phase is Phase.WAITING
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
    assert reasons(world) == ["call_ended"]


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


def test_a_leg_that_was_gone_when_it_was_read(world: World) -> None:
    effects = world.feed(ev.Bridged(NODE, "c1", "a1"))
    world.legs["a1"] = agent_leg("a1")
    world.read(effects)
    assert world.state.calls == {}
    assert world.state.bonds == {}


# --- after a gap -----------------------------------------------------------------------------------------------------


def on_switch(world: World) -> tuple[list, dict]:  # type: ignore[type-arg]
    """What the switch would show of this world, and a fresh service that reads it."""
    legs = list(world.legs.values())
    for name, each in world.coaches.items():
        application = ("eavesdrop", each.target) if each.target else ("park", "")
        leg = caller_leg(name, outbound=True, is_coach=True, coach=each.record, application=application[0],
                         application_data=application[1] or "")  # fmt: skip
        legs.append(leg)
    return legs, world.coaches


def restarted(world: World) -> World:
    legs, coaches = on_switch(world)
    fresh = World(now=world.now + 1, legs=world.legs, coaches=coaches)
    fresh.feed(ev.NodeSynced(NODE, tuple(legs)))
    return fresh


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
    assert reasons(world) == ["lost"]
    assert list(world.state.calls) == [call.id]


def test_calls_that_ended_in_the_gap(world: World, call: Call) -> None:
    session = world.coached(call)
    world.legs.clear()
    legs, _ = on_switch(world)
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
    legs, _ = on_switch(world)
    legs = [replace(each, answered=False, application="") if each.is_coach else each for each in legs]
    fresh = World(now=200.0, legs=world.legs, coaches=world.coaches)
    fresh.feed(ev.NodeSynced(NODE, tuple(legs)))
    assert fresh.session(session).phase is Phase.RINGING
    fresh.park(session.leg)
    assert fresh.gate(session) is Gate.AGENT
