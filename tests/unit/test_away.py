"""A coach's browser that is not heard of: nobody hears the coach, and his session waits for it."""

from __future__ import annotations

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Call
from ccwhisper.coaching.modes import Gate, Mode, Talk
from tests.unit.world import NODE, World, coach, on_switch

pytestmark = pytest.mark.unit

CARLA = coach("carla").devices[0]


@pytest.mark.parametrize(("mode", "gate"), [(Mode.WHISPER, Gate.AGENT), (Mode.BARGE, Gate.EVERYONE)])
def test_the_gate_is_closed_meanwhile_and_nothing_else_changes(
    world: World, call: Call, mode: Mode, gate: Gate
) -> None:
    session = world.coached(call, mode=mode)
    others = world.coached(call, actor=coach("dora"), mode=mode)
    world.take(fx.Beep)
    world.feed(ev.DeviceWentQuiet(CARLA))
    assert (world.gate(session), world.gate(others)) == (Gate.CLOSED, gate)
    assert world.session(session).mode is mode
    world.feed(ev.DeviceHeard(CARLA))
    assert world.gate(session) is gate
    assert not world.take(fx.Beep), "the agent has been told already"


def test_a_mode_that_is_chosen_meanwhile_is_heard_when_it_is_back(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(ev.DeviceWentQuiet(CARLA), cmd.SetMode(session.coach, session.id, Mode.WHISPER))
    assert world.gate(session) is Gate.CLOSED
    world.feed(ev.DeviceHeard(CARLA))
    assert world.gate(session) is Gate.AGENT


def test_a_key_that_was_held_is_pressed_again_by_hand(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER, talk=Talk.PUSH)
    world.feed(cmd.Press(session.coach, session.id), ev.DeviceWentQuiet(CARLA), ev.DeviceHeard(CARLA))
    assert world.gate(session) is Gate.CLOSED
    world.feed(cmd.Press(session.coach, session.id))
    assert world.gate(session) is Gate.AGENT


def test_the_connection_to_the_switch_brings_nobody_back(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(ev.DeviceWentQuiet(CARLA))
    world.feed(ev.NodeLost(NODE, "gone"), ev.NodeSynced(NODE, tuple(on_switch(world))))
    assert world.session(session).away
    world.feed(ev.DeviceHeard(CARLA), cmd.SetMuted(session.coach, session.id, False))
    assert world.gate(session) is Gate.AGENT


def test_said_twice_it_changes_nothing(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.WHISPER)
    world.feed(ev.DeviceHeard(CARLA))
    world.feed(ev.DeviceWentQuiet(CARLA))
    before = world.state
    world.feed(ev.DeviceWentQuiet(CARLA), ev.DeviceWentQuiet("nobody@browser.invalid"))
    assert world.state.sessions == before.sessions
    assert world.gate(session) is Gate.CLOSED
