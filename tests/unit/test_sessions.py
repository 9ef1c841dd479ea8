"""Sessions from the first ring to the end."""

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


@pytest.fixture
def world() -> World:
    return World().up()


@pytest.fixture
def call(world: World) -> Call:
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert call
    return call


def test_listen_comes_first_whatever_was_asked_for(world: World, call: Call) -> None:
    session = world.start(call, mode=Mode.WHISPER)
    assert session.phase is Phase.DIALLING
    assert world.gate(session) is Gate.CLOSED
    world.feed(ev.Ringing(NODE, session.leg))
    assert world.session(session).phase is Phase.RINGING
    world.prompt = False
    world.park(session.leg)
    assert world.session(session).phase is Phase.ATTACHING
    assert world.session(session).mode is Mode.LISTEN
    world.prompt = True
    world.feed(*world.pending)
    assert world.session(session).mode is Mode.WHISPER
    assert world.gate(session) is Gate.AGENT


def test_modes_there_and_back(world: World, call: Call) -> None:
    session = world.coached(call)
    seen = []
    for mode in (Mode.WHISPER, Mode.BARGE, Mode.WHISPER, Mode.LISTEN, Mode.BARGE, Mode.LISTEN):
        world.mode(session, mode)
        seen.append(world.gate(session))
    assert seen == [Gate.AGENT, Gate.EVERYONE, Gate.AGENT, Gate.CLOSED, Gate.EVERYONE, Gate.CLOSED]


def test_from_barge_to_whisper_through_listen(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    world.take(fx.TellGate)
    world.mode(session, Mode.WHISPER)
    assert [each.gate for each in world.take(fx.TellGate)] == [Gate.CLOSED, Gate.AGENT]


def test_the_beep_comes_once_for_each_entry_and_not_for_keys(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    for _ in range(3):
        world.feed(cmd.Press(session.coach, session.id), cmd.Release(session.coach, session.id))
    world.feed(cmd.SetMuted(session.coach, session.id, True), cmd.SetMuted(session.coach, session.id, False))
    assert len(world.take(fx.Beep)) == 1
    world.mode(session, Mode.LISTEN)
    world.mode(session, Mode.WHISPER)
    assert len(world.take(fx.Beep)) == 1


def test_each_queue_says_when_it_beeps() -> None:
    everything = QueuePolicy(beep_on=frozenset({"listen", "whisper", "barge", "end"}))
    world = World(rules=replace(RULES, queues={"support@default": everything})).up()
    call = world.bridge(caller_leg("c1"), agent_leg("a1", cc_agent="ana", cc_queue="support@default"))
    assert call
    session = world.coached(call)
    counts = [len(world.take(fx.Beep))]
    for mode in (Mode.WHISPER, Mode.BARGE, Mode.LISTEN):
        world.mode(session, mode)
        counts.append(len(world.take(fx.Beep)))
    assert counts == [1, 1, 1, 1]


def test_a_beep_that_fails_is_reported_and_not_tried_again(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.take(fx.Beep)
    effects = world.feed(ev.BeepFailed(session.id, "-ERR"))
    assert any(isinstance(each, fx.BeepNotHeard) for each in effects)
    assert world.take(fx.Beep) == []


def test_push_to_talk(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    assert world.gate(session) is Gate.CLOSED
    world.feed(cmd.Press(session.coach, session.id))
    assert world.gate(session) is Gate.AGENT
    world.feed(cmd.Release(session.coach, session.id))
    assert world.gate(session) is Gate.CLOSED
    assert len(world.take(fx.ArmDeadman)) == len(world.take(fx.DisarmDeadman)) == 1


def test_a_key_that_is_no_longer_reported_closes_by_itself(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id))
    world.wait(RULES.press_ttl / 2)
    world.feed(cmd.Press(session.coach, session.id))
    world.wait(RULES.press_ttl / 2)
    assert world.gate(session) is Gate.EVERYONE
    world.wait(RULES.press_ttl / 2)
    assert world.gate(session) is Gate.CLOSED


def test_the_switchs_dead_man_is_armed_again_while_the_key_is_held(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    for _ in range(5):
        world.feed(cmd.Press(session.coach, session.id))
        world.wait(RULES.deadman_rearm / 2)
    assert len(world.take(fx.ArmDeadman)) == 3


def test_the_switchs_dead_man_releases_the_key_here_too(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id))
    world.coaches[session.leg].gate = Gate.CLOSED
    world.feed(ev.EavesdropStarted(NODE, "a1"))
    assert not world.session(session).pressed
    assert world.gate(session) is Gate.CLOSED


def test_mute(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(cmd.SetMuted(session.coach, session.id, True))
    assert world.gate(session) is Gate.CLOSED
    assert world.coaches[session.leg].record.muted
    world.feed(cmd.SetMuted(session.coach, session.id, False))
    assert world.gate(session) is Gate.AGENT


def test_changing_to_push_to_talk_closes_the_gate(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(cmd.SetTalk(session.coach, session.id, Talk.PUSH))
    assert world.gate(session) is Gate.CLOSED
    with pytest.raises(Conflict, match="open microphone"):
        world.feed(cmd.SetTalk(session.coach, session.id, Talk.OPEN), cmd.Press(session.coach, session.id))


def test_an_open_microphones_buffer_is_emptied_now_and_then(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.wait(RULES.refresh_seconds)
    world.wait(RULES.refresh_seconds)
    assert [each.gate for each in world.take(fx.RefreshGate)] == [Gate.AGENT] * 2
    world.mode(session, Mode.LISTEN)
    world.wait(RULES.refresh_seconds)
    assert world.take(fx.RefreshGate) == []


def test_leaving_shuts_the_gate_before_the_leg_is_hung_up(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    world.effects.clear()
    world.feed(cmd.Leave(session.coach, session.id))
    order = [type(each) for each in world.effects if isinstance(each, fx.TellGate | fx.HangUp)]
    assert order == [fx.TellGate, fx.HangUp]
    assert world.state.sessions == {}


@pytest.mark.parametrize(
    ("cause", "reason"),
    [("USER_BUSY", "busy"), ("CALL_REJECTED", "refused"), ("NO_ANSWER", "no_answer"), ("WEIRD", "device_unreachable")],
)
def test_a_phone_that_does_not_answer(world: World, call: Call, cause: str, reason: str) -> None:
    session = world.start(call)
    effects = world.feed(ev.DialFailed(session.id, cause), ev.HungUp(NODE, session.leg, cause))
    assert [each.reason for each in effects if isinstance(each, fx.SessionEnded)] == [reason]


def test_a_phone_that_only_rings(world: World, call: Call) -> None:
    world.start(call)
    effects = world.wait(RULES.ring_seconds + 3)
    assert [each.reason for each in effects if isinstance(each, fx.SessionEnded)] == ["no_answer"]


def test_an_attach_that_never_comes_alive(world: World, call: Call) -> None:
    session = world.start(call)
    world.prompt = False
    world.park(session.leg)
    world.pending.clear()
    world.prompt = True
    effects = world.wait(RULES.attach_timeout)
    assert [each.reason for each in effects if isinstance(each, fx.SessionEnded)] == ["attach_failed"]


def test_an_eavesdrop_that_falls_back_to_park_is_tried_once_more(world: World, call: Call) -> None:
    session = world.start(call)
    world.prompt = False
    for _ in range(2):
        world.park(session.leg)
        world.pending.clear()
    assert len(world.take(fx.Attach)) == 2
    world.park(session.leg)
    assert world.session(session).phase is Phase.ENDING


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


def test_nobody_is_told_of_timers(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id))
    world.take(fx.SessionChanged)
    world.feed(cmd.Press(session.coach, session.id))
    world.wait(RULES.press_ttl / 2)
    world.feed(cmd.Press(session.coach, session.id))
    world.take(fx.ArmDeadman)
    world.wait(RULES.deadman_rearm / 2)
    assert world.take(fx.ArmDeadman)
    assert world.take(fx.SessionChanged) == []


def test_several_coaches_attach_one_after_the_other(world: World, call: Call) -> None:
    one, two = world.start(call, coach("carla")), world.start(call, coach("dora"))
    world.prompt = False
    world.park(one.leg)
    world.park(two.leg)
    assert (world.session(one).phase, world.session(two).phase) == (Phase.ATTACHING, Phase.CONNECTED)
    world.prompt = True
    world.feed(*world.pending)
    assert (world.session(one).phase, world.session(two).phase) == (Phase.ATTACHED, Phase.ATTACHED)
    world.mode(one, Mode.WHISPER)
    world.mode(two, Mode.BARGE)
    assert (world.gate(one), world.gate(two)) == (Gate.AGENT, Gate.EVERYONE)


def test_a_queue_limits_its_coaches(call: Call) -> None:
    world = World(rules=replace(RULES, default=QueuePolicy(max_coaches=1))).up()
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))  # type: ignore[assignment]
    world.start(call, coach("carla"))
    with pytest.raises(Conflict, match="as many coaches"):
        world.start(call, coach("dora"))


def test_the_jitter_buffer_comes_before_the_dial_and_only_once(world: World) -> None:
    call = world.bridge(caller_leg("c1"), agent_leg("a1", buffered=False))
    assert call
    world.start(call, coach("carla"))
    world.start(call, coach("dora"))
    order = [type(each) for each in world.effects if isinstance(each, fx.EnableJitterBuffer | fx.Dial)]
    assert order == [fx.EnableJitterBuffer, fx.Dial, fx.Dial]


def test_codecs_fit_the_agents_leg(world: World) -> None:
    narrow = world.bridge(caller_leg("c1"), agent_leg("a1", codec="PCMA"))
    wide = world.bridge(caller_leg("c2"), agent_leg("a2", "1002@dom", rate=16000, codec="G722"))
    assert narrow
    assert wide
    world.start(narrow, coach("carla"))
    world.start(wide, coach("dora"))
    world.start(wide, coach("emil"), follow=Follow.AGENT)
    offers = [[name.split("@")[0] for name in each.codecs] for each in world.take(fx.Dial)]
    assert offers == [["PCMA", "PCMU"], ["G722", "PCMU", "PCMA"], ["PCMU", "PCMA"]]


def test_a_new_rate_of_the_agent_sets_the_eavesdrop_up_again(world: World) -> None:
    call = world.bridge(caller_leg("c1"), agent_leg("a1", rate=16000, codec="L16"))
    assert call
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(ev.RateChanged(NODE, session.leg, 8000))
    world.take(fx.Attach)
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert len(world.take(fx.Attach)) == 1
    assert world.gate(session) is Gate.AGENT


def test_a_coach_above_the_agents_new_rate_is_dropped(world: World) -> None:
    call = world.bridge(caller_leg("c1"), agent_leg("a1", rate=16000, codec="G722"))
    assert call
    world.coached(call)
    effects = world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert [each.reason for each in effects if isinstance(each, fx.SessionEnded)] == ["codec_mismatch"]


def test_take_over(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    other = world.coached(call, coach("dora"), mode=Mode.WHISPER)
    world.effects.clear()
    world.prompt = False
    world.feed(cmd.TakeOver(session.coach, session.id))
    kinds = [type(each) for each in world.effects if isinstance(each, fx.TellGate | fx.HangUp | fx.ConnectCaller)]
    assert kinds == [fx.TellGate, fx.HangUp, fx.TellGate, fx.ConnectCaller]
    world.prompt = True
    world.feed(*world.pending, ev.Unbridged(NODE, "c1", "a1"), ev.Bridged(NODE, session.leg, "c1"))
    world.hang_up("a1")
    assert other.id not in world.state.sessions
    assert session.id not in world.state.sessions
    assert not [each for each in world.take(fx.HangUp) if each.leg == session.leg]


def test_a_take_over_that_the_switch_refuses_ends_the_session(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    effects = world.feed(
        cmd.TakeOver(session.coach, session.id), ev.CommandFailed(session.id, "take_over", "-ERR no such channel")
    )
    assert [each.reason for each in effects if isinstance(each, fx.SessionEnded)] == ["take_over_failed"]


def test_a_gate_that_the_switch_refuses_ends_the_session(world: World, call: Call) -> None:
    session = world.coached(call)
    effects = world.feed(ev.CommandFailed(session.id, "gate", "-ERR"))
    assert [each.reason for each in effects if isinstance(each, fx.SessionEnded)] == ["switch_refused"]


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


def test_the_lease_is_renewed_while_the_service_lives(world: World) -> None:
    for _ in range(4):
        world.wait(RULES.lease_every)
    assert len(world.take(fx.RenewLease)) == 4
    world.feed(ev.NodeLost(NODE, "gone"))
    world.wait(RULES.lease_every)
    assert world.take(fx.RenewLease) == []
