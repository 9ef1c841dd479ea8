"""Sessions from the first ring to the end."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Call, Follow, Phase, Session
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import QueuePolicy
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit


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
    assert any(isinstance(each, notices.BeepNotHeard) for each in effects)
    assert world.take(fx.Beep) == []


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
    assert [each.reason for each in effects if isinstance(each, notices.SessionEnded)] == [reason]


def test_whose_dialling_fails_late_does_not_keep_the_next_waiting(world: World, call: Call) -> None:
    world.prompt = False
    first, second = world.coached(call), world.coached(call, coach("dora"))
    assert (first.phase, second.phase) == (Phase.ATTACHING, Phase.CONNECTED)
    world.feed(cmd.Leave(first.coach, first.id))
    world.feed(ev.DialFailed(first.id, "NORMAL_CLEARING"))
    assert world.session(second).phase is Phase.ATTACHING


def test_a_phone_that_does_not_answer_before_its_agent_has_a_call(world: World) -> None:
    session = world.start(agent="ana", follow=Follow.AGENT)
    world.feed(ev.DialFailed(session.id, "USER_BUSY"))
    assert world.endings() == ["busy"]


def test_a_phone_that_only_rings(world: World, call: Call) -> None:
    world.start(call)
    effects = world.wait(RULES.ring_seconds + 3)
    assert [each.reason for each in effects if isinstance(each, notices.SessionEnded)] == ["no_answer"]


def test_an_attach_that_never_comes_alive(world: World, call: Call) -> None:
    session = world.start(call)
    world.prompt = False
    world.park(session.leg)
    world.pending.clear()
    world.prompt = True
    effects = world.wait(RULES.attach_timeout)
    assert [each.reason for each in effects if isinstance(each, notices.SessionEnded)] == ["attach_failed"]


def test_an_eavesdrop_that_falls_back_to_park_is_tried_once_more(world: World, call: Call) -> None:
    session = world.start(call)
    world.prompt = False
    for _ in range(2):
        world.park(session.leg)
        world.pending.clear()
    assert len(world.take(fx.Attach)) == 2
    world.park(session.leg)
    assert world.session(session).phase is Phase.ENDING


def test_nobody_is_told_of_timers(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id))
    world.take(notices.SessionChanged)
    world.feed(cmd.Press(session.coach, session.id))
    world.wait(RULES.press_ttl / 2)
    world.feed(cmd.Press(session.coach, session.id))
    world.take(fx.ArmDeadman)
    world.wait(RULES.deadman_rearm / 2)
    assert world.take(fx.ArmDeadman)
    assert world.take(notices.SessionChanged) == []


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


def test_a_browser_is_offered_opus_in_the_rate_of_the_agents_leg(world: World) -> None:
    narrow = world.bridge(caller_leg("c1"), agent_leg("a1", codec="PCMA"))
    wide = world.bridge(caller_leg("c2"), agent_leg("a2", "1002@dom", rate=48000, codec="opus"))
    assert narrow
    assert wide
    actors = [coach(name, devices=(f"{name}@browser.invalid",)) for name in ("carla", "dora", "emil")]
    rates = [
        world.start(narrow, actors[0]).rate,
        world.start(wide, actors[1]).rate,
        world.start(wide, actors[2], follow=Follow.AGENT).rate,
    ]
    offers = [each.codecs for each in world.take(fx.Dial)]
    assert offers == [("opus@8000h@20i",), ("opus@16000h@20i",), ("opus@8000h@20i",)]
    assert rates == [8000, 16000, 8000]


def coached_by(world: World, call: Call, rate: int, mode: Mode = Mode.WHISPER) -> Session:
    """A session whose phone has answered with a codec of this rate."""
    session = world.start(call, mode=mode)
    world.feed(ev.RateChanged(NODE, session.leg, rate, renewed=True))
    world.answer(session)
    world.take(fx.Attach)
    return world.session(session)


@pytest.fixture
def wide(world: World) -> Call:
    """A call whose agent is on G.722."""
    call = world.bridge(caller_leg("c1"), agent_leg("a1", rate=16000, codec="G722"))
    assert call
    return call


@pytest.mark.parametrize("mode", [Mode.LISTEN, Mode.WHISPER, Mode.BARGE])
def test_a_new_rate_of_the_agent_sets_the_eavesdrop_up_again(world: World, wide: Call, mode: Mode) -> None:
    session = coached_by(world, wide, 8000, mode)
    gate = world.gate(session)
    world.prompt = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert len(world.take(fx.Attach)) == 1
    assert (world.gate(session), world.session(session).mode) == (Gate.CLOSED, Mode.LISTEN)
    world.feed(*world.pending)
    assert (world.gate(session), world.session(session).mode) == (gate, mode)


def ends(effects: Iterable[fx.Effect]) -> list[str]:
    """Why sessions have ended."""
    return [each.reason for each in effects if isinstance(each, notices.SessionEnded)]


@pytest.mark.parametrize("mode", [Mode.LISTEN, Mode.WHISPER, Mode.BARGE])
def test_a_coach_above_the_agents_new_rate_is_offered_another_codec(world: World, wide: Call, mode: Mode) -> None:
    session = coached_by(world, wide, 16000, mode)
    gate = world.gate(session)
    world.prompt = False
    effects = world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert [type(each) for each in effects if isinstance(each, fx.Narrow | fx.Attach)] == [fx.Narrow]
    assert world.gate(session) is Gate.CLOSED
    assert ends(world.feed(ev.RateChanged(NODE, "a1", 8000))) == []  # said again: he is given his time
    world.mode(session, mode)
    world.prompt = True
    said, world.pending = world.pending, []
    effects = world.feed(*said)
    assert len([each for each in effects if isinstance(each, fx.Attach)]) == 1
    assert (world.gate(session), world.session(session).mode) == (gate, mode)
    world.wait(10)
    assert world.session(session).phase is Phase.ATTACHED


def test_who_attaches_next_does_not_wait_for_a_phone_that_thinks_it_over(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    other = world.start(wide, coach("dora"))
    world.feed(ev.RateChanged(NODE, other.leg, 8000, renewed=True))
    world.answer(other)
    world.narrows = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert (world.session(session).phase, world.session(other).phase) == (Phase.CONNECTED, Phase.ATTACHED)


def test_a_phone_that_does_not_take_another_codec_is_dropped(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    world.narrows = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    world.feed(ev.RateChanged(NODE, session.leg, 16000))  # something was put on his leg; his phone has not answered
    effects = world.wait(RULES.narrow_timeout)
    assert ends(effects) == ["codec_mismatch"]
    assert fx.HangUp(NODE, session.leg) in effects


def test_a_phone_that_hangs_up_when_it_is_offered_another_codec(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    world.narrows = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert ends(world.feed(ev.HungUp(NODE, session.leg, "NORMAL_CLEARING"))) == ["codec_mismatch"]


def test_a_switch_that_cannot_offer_another_codec(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    world.narrows = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert ends(world.feed(ev.CommandFailed(session.id, "narrow", "-ERR"))) == ["codec_mismatch"]


def test_a_phone_that_insists_is_asked_once(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert world.gate(session) is Gate.AGENT
    effects = world.feed(ev.RateChanged(NODE, session.leg, 16000, renewed=True))
    assert ends(effects) == ["codec_mismatch"]
    assert session.leg not in world.coaches


def test_a_connection_that_is_lost_meanwhile(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    world.narrows = False
    world.feed(ev.RateChanged(NODE, "a1", 8000), ev.NodeLost(NODE, "reset"))
    assert ends(world.wait(RULES.narrow_timeout)) == []
    assert world.session(session).narrow_until is None


def test_a_new_rate_of_the_coach_sets_the_eavesdrop_up_again(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 16000)
    world.feed(ev.RateChanged(NODE, session.leg, 16000))  # said again: nothing has changed
    assert world.take(fx.Attach) == []
    world.feed(ev.RateChanged(NODE, session.leg, 16000, renewed=True))  # another codec of the same rate
    assert len(world.take(fx.Attach)) == 1
    world.prompt = False
    world.feed(ev.RateChanged(NODE, session.leg, 8000))
    assert len(world.take(fx.Attach)) == 1
    assert world.gate(session) is Gate.CLOSED
    world.feed(*world.pending)
    assert world.gate(session) is Gate.AGENT
    world.prompt = True
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    assert world.gate(session) is Gate.AGENT
    world.feed(ev.RateChanged(NODE, session.leg, 16000))  # above the agent's: it is offered 8 kHz
    assert (world.gate(session), world.session(session).rate) == (Gate.AGENT, 8000)


def test_a_mode_asked_for_while_attaching_outlasts_a_new_rate(world: World, wide: Call) -> None:
    session = coached_by(world, wide, 8000, Mode.LISTEN)
    world.prompt = False
    world.feed(ev.RateChanged(NODE, "a1", 8000))
    world.mode(session, Mode.WHISPER)
    world.feed(ev.RateChanged(NODE, "a1", 16000))
    world.feed(*world.pending)
    assert world.gate(session) is Gate.AGENT


def test_a_gate_that_the_switch_refuses_ends_the_session(world: World, call: Call) -> None:
    session = world.coached(call)
    effects = world.feed(ev.CommandFailed(session.id, "gate", "-ERR"))
    assert [each.reason for each in effects if isinstance(each, notices.SessionEnded)] == ["switch_refused"]


def test_the_lease_is_renewed_while_the_service_lives(world: World) -> None:
    for _ in range(4):
        world.wait(RULES.lease_every)
    assert len(world.take(fx.RenewLease)) == 4
    world.feed(ev.NodeLost(NODE, "gone"))
    world.wait(RULES.lease_every)
    assert world.take(fx.RenewLease) == []


def test_the_rate_of_one_call_is_nothing_to_another(world: World, call: Call) -> None:
    session = world.coached(call)
    world.bridge(caller_leg("c2"), agent_leg("a2", "1002@dom"))
    world.take(fx.Attach)
    world.feed(ev.RateChanged(NODE, "a2", 16000), ev.RateChanged(NODE, "a1", 8000))
    assert world.take(fx.Attach) == []
    assert world.session(session).phase is Phase.ATTACHED
