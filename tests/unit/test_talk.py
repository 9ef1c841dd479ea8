"""Push-to-talk, mute, and what else moves the gate of a coach who stays in his mode."""

from __future__ import annotations

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import Conflict, Forbidden
from ccwhisper.coaching.model import Call
from ccwhisper.coaching.modes import Gate, Mode, Talk
from tests.unit.world import NODE, RULES, World, coach

pytestmark = pytest.mark.unit


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


def test_a_coach_on_hold_is_shut_out_with_his_music(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id), ev.Held(NODE, session.leg))
    assert world.gate(session) is Gate.CLOSED
    world.feed(ev.Unheld(NODE, session.leg))
    assert world.gate(session) is Gate.CLOSED, "the key counts as released"


OPENERS = [
    cmd.Press,
    lambda who, session: cmd.SetMuted(who, session, False),
    lambda who, session: cmd.SetTalk(who, session, Talk.OPEN),
]


@pytest.mark.parametrize("opener", OPENERS, ids=["press", "unmute", "open"])
def test_what_opens_the_gate_needs_the_right_to_the_mode_again(world, call, opener) -> None:  # type: ignore[no-untyped-def]
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.SetMuted(session.coach, session.id, False))
    with pytest.raises(Forbidden, match="role"):
        world.feed(opener(coach(roles=frozenset()), session.id))
    assert world.gate(session) is Gate.CLOSED


def test_what_closes_the_gate_needs_no_role(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    nobody = coach(roles=frozenset())
    world.feed(cmd.SetMuted(nobody, session.id, True), cmd.SetTalk(nobody, session.id, Talk.PUSH))
    world.feed(cmd.Release(nobody, session.id))
    assert world.gate(session) is Gate.CLOSED


def test_a_key_is_not_held_long_enough_to_need_it(world: World, call: Call) -> None:
    """Each press starts with an empty buffer."""
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    for _ in range(30):
        world.feed(cmd.Press(session.coach, session.id))
        world.wait(RULES.refresh_seconds / 25)
    assert world.gate(session) is Gate.AGENT
    assert world.take(fx.RefreshGate) == []
