"""The coach stays with the caller, the agent is released."""

from __future__ import annotations

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import Conflict
from ccwhisper.coaching.model import Call
from ccwhisper.coaching.modes import Mode
from tests.unit.world import NODE, World, coach

pytestmark = pytest.mark.unit


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


def test_take_over_waits_until_it_is_clear_who_is_there(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(ev.Held(NODE, "a1"))
    with pytest.raises(Conflict, match="hold"):
        world.feed(cmd.TakeOver(session.coach, session.id))
