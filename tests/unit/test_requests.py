"""What people may ask for, and what they are told when they may not."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import Conflict, Forbidden, NotFound, Unavailable
from ccwhisper.coaching.model import Call, Follow, Phase
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import MONITOR, VIEW, QueuePolicy
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit


def test_the_trail_says_where_a_request_came_from(world: World, call: Call) -> None:
    session = world.start(call, origin="10.0.0.1")
    world.feed(cmd.SetMode(session.coach, session.id, Mode.WHISPER, "10.0.0.2"))
    world.answer(session)
    world.feed(
        cmd.SetMode(session.coach, session.id, Mode.LISTEN, "10.0.0.3"),
        cmd.SetTalk(session.coach, session.id, Talk.PUSH, "10.0.0.4"),
        cmd.Press(session.coach, session.id, "10.0.0.5"),
        cmd.Press(session.coach, session.id, "10.0.0.6"),
        cmd.Release(session.coach, session.id, "10.0.0.7"),
        cmd.Leave(session.coach, session.id, "10.0.0.8"),
    )
    assert [(row.action, row.detail, row.origin) for row in world.take(fx.Audit)] == [
        ("start", "listen", "10.0.0.1"),
        ("ask", "whisper", "10.0.0.2"),
        ("listen", "", ""),
        ("mode", "whisper", ""),
        ("mode", "listen", "10.0.0.3"),
        ("talk", "push", "10.0.0.4"),
        ("press", "", "10.0.0.5"),
        ("release", "", "10.0.0.7"),
        ("end", "coach_left", ""),
    ]


def test_a_queue_limits_its_coaches(call: Call) -> None:
    world = World(rules=replace(RULES, default=QueuePolicy(max_coaches=1))).up()
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))  # type: ignore[assignment]
    world.start(call, coach("carla"))
    with pytest.raises(Conflict, match="as many coaches"):
        world.start(call, coach("dora"))


def test_followers_count_among_the_coaches_of_a_call(world: World) -> None:
    world.rules = replace(RULES, default=QueuePolicy(max_coaches=1))
    world.start(None, agent="ana", follow=Follow.AGENT)
    with pytest.raises(Conflict, match="as many coaches"):
        world.start(None, coach("dora"), agent="ana", follow=Follow.AGENT)


def test_both_legs_agents_the_target_must_be_named(world: World) -> None:
    call = world.bridge(agent_leg("a2", "", outbound=False, auth_user="1002@dom"), agent_leg("a1"))
    assert call
    assert call.direction == "internal"
    with pytest.raises(Conflict, match="Both"):
        world.start(call)
    assert world.start(call, agent="ben").target == "a2"


REFUSALS = [
    ({"permissions": frozenset({VIEW})}, Mode.LISTEN, Forbidden, "permission_missing"),
    ({"permissions": frozenset({MONITOR})}, Mode.LISTEN, NotFound, "call_not_found"),
    ({"roles": frozenset({"barge"})}, Mode.WHISPER, Forbidden, "role_missing"),
    ({"roles": frozenset({"whisper"})}, Mode.BARGE, Forbidden, "role_missing"),
    ({"queues": frozenset({"billing"})}, Mode.LISTEN, NotFound, "call_not_found"),
    ({"devices": ()}, Mode.LISTEN, NotFound, "device_unknown"),
]


@pytest.mark.parametrize(("changes", "mode", "kind", "code"), REFUSALS)
def test_refusals_change_nothing(world, call, changes, mode, kind, code) -> None:  # type: ignore[no-untyped-def]
    before, count = world.state, len(world.effects)
    with pytest.raises(kind) as refusal:
        world.start(call, coach(**changes), mode=mode)
    assert refusal.value.code == code
    assert world.state is before
    assert len(world.effects) == count


def test_more_refusals(world: World, call: Call) -> None:
    carla = coach()
    session = world.coached(call, carla)
    cases = [
        (cmd.Start(carla, "x", "y", 0.0, call=call.id), "already_coaching"),
        (cmd.Start(coach("dora", devices=carla.devices), "x", "y", 0.0, call=call.id), "device_busy"),
        (cmd.Start(coach("dora"), "x", "y", 0.0, call=call.id, device="pstn@dom"), "device_not_yours"),
        (cmd.Start(coach("dora"), "x", "y", 0.0), "target_missing"),
        (cmd.Start(coach("dora"), "x", "y", 0.0, call="nope"), "call_not_found"),
        (cmd.Start(coach("dora"), "x", "y", 0.0, call=call.id, agent="ben"), "agent_not_found"),
        (cmd.Start(coach("dora"), "x", "y", 0.0, agent="nobody"), "agent_not_found"),
        (cmd.Start(coach("dora"), "x", "y", 0.0, agent="ben"), "agent_has_no_call"),
        (cmd.Start(coach("dora"), "x", "y", 0.0, agent="ben", follow=Follow.AGENT, mode=Mode.BARGE), "not_listening"),
        (cmd.SetMode(coach("dora"), session.id, Mode.WHISPER), "session_not_found"),
        (cmd.Press(carla, session.id), "not_push_to_talk"),
    ]
    for request, code in cases:
        before = world.state
        with pytest.raises((Conflict, Forbidden, NotFound, Exception)) as refusal:
            world.feed(request)
        assert refusal.value.code == code  # type: ignore[attr-defined]
        assert world.state is before


def test_media_that_bypass_the_switch_cannot_be_coached(world: World) -> None:
    call = world.bridge(caller_leg("c1", media_in_switch=False), agent_leg("a1"))
    assert call
    with pytest.raises(Conflict, match="do not pass"):
        world.start(call)


def test_nothing_is_asked_of_a_switch_that_is_away(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(ev.NodeLost(NODE, "gone"))
    for request in (
        cmd.SetMode(session.coach, session.id, Mode.WHISPER),
        cmd.Start(coach("dora"), "x", "y", 0.0, call=call.id),
    ):
        with pytest.raises(Unavailable):
            world.feed(request)


def test_nothing_is_asked_of_a_session_that_is_ending(world: World, call: Call) -> None:
    session = world.coached(call)
    world.prompt = False
    world.feed(cmd.Leave(session.coach, session.id))
    with pytest.raises(Conflict) as refusal:
        world.feed(cmd.SetMode(session.coach, session.id, Mode.WHISPER))
    assert (refusal.value.code, refusal.value.retry) == ("session_ended", False)


def test_an_agent_on_two_calls(world: World, call: Call) -> None:
    second = world.bridge(caller_leg("c2"), agent_leg("a2"))
    assert second
    with pytest.raises(Conflict) as refusal:
        world.start(agent="ana")
    assert refusal.value.code == "target_ambiguous"
    assert world.start(second, agent="ana").target == "a2"


def test_without_any_switch_no_agent_is_waited_for() -> None:
    with pytest.raises(Unavailable) as refusal:
        World().start(agent="ana", follow=Follow.AGENT)
    assert refusal.value.code == "node_unavailable"


def test_no_mode_without_a_call(world: World, call: Call) -> None:
    between, waiting = (
        world.coached(call, follow=Follow.AGENT),
        world.start(None, coach("dora"), agent="ben", follow=Follow.AGENT),
    )
    world.unbridge("c1", "a1")
    world.answer(waiting)
    for session in (between, waiting):
        with pytest.raises(Conflict) as refusal:
            world.mode(session, Mode.WHISPER)
        assert refusal.value.code == "not_listening"
        world.mode(session, Mode.LISTEN)
    assert world.session(between).phase is Phase.ATTACHED


def test_between_calls_the_queues_are_the_agents_own(world: World) -> None:
    world.rules = replace(RULES, agents={})
    call = world.bridge(caller_leg("c1"), agent_leg("a1", cc_agent="zoe", cc_queue="vip"))
    session = world.coached(call, coach(queues=frozenset({"vip"})), follow=Follow.AGENT)
    world.unbridge("c1", "a1")
    with pytest.raises(Forbidden) as refusal:  # nobody knows which queues Zoe serves
        world.mode(session, Mode.LISTEN)
    assert refusal.value.code == "queue_out_of_scope"


def test_facts_about_a_session_that_is_gone(world: World, call: Call) -> None:
    before = world.state
    effects = world.feed(
        ev.GateTold("gone", Gate.AGENT),
        ev.DialFailed("gone", "USER_BUSY"),
        ev.BeepFailed("gone", "-ERR"),
        ev.CommandFailed("gone", "gate", "-ERR"),
    )
    assert effects == []
    assert world.state == before


def test_whose_session_is_ending_may_start_the_next_one_with_the_same_phone(world: World, call: Call) -> None:
    session = world.coached(call)
    world.prompt = False
    world.feed(cmd.Leave(session.coach, session.id))
    assert world.start(call).phase is Phase.DIALLING


def test_an_agent_is_enough_to_find_his_call(world: World, call: Call) -> None:
    assert world.start(agent="ana").call == call.id


def test_what_would_open_no_gate_now_needs_no_role(world: World, call: Call) -> None:
    """Between calls; where the next one is met, the rights that the session has are checked again."""
    session = world.coached(call, mode=Mode.WHISPER, follow=Follow.AGENT)
    world.unbridge("c1", "a1")
    world.feed(cmd.SetMuted(coach(roles=frozenset()), session.id, False))
    assert world.gate(session) is Gate.CLOSED
