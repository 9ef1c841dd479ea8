"""The coach stays with the caller, the agent is released."""

from __future__ import annotations

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.errors import Conflict
from ccwhisper.coaching.model import Call, Follow, call_id
from ccwhisper.coaching.modes import Mode
from tests.unit.world import NODE, World, agent_leg, caller_leg, coach

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


REQUESTS = [
    lambda who, session: cmd.SetMode(who, session, Mode.BARGE),
    lambda who, session: cmd.SetMuted(who, session, False),
    cmd.Leave,
    cmd.TakeOver,
]


@pytest.mark.parametrize("request_of", REQUESTS, ids=["mode", "mute", "leave", "twice"])
def test_nothing_else_is_asked_of_a_leg_that_is_being_bridged(world, call, request_of) -> None:  # type: ignore[no-untyped-def]
    session = world.coached(call)
    world.feed(cmd.TakeOver(session.coach, session.id))
    with pytest.raises(Conflict, match="taken over"):
        world.feed(request_of(session.coach, session.id))


def test_a_take_over_that_is_seen_after_a_gap_only(world: World, call: Call) -> None:
    """The bridge came about, its event did not: the leg is a party now, and hanging it up would drop the caller."""
    session = world.coached(call, mode=Mode.BARGE)
    world.feed(cmd.TakeOver(session.coach, session.id), ev.NodeLost(NODE, "gone"))
    world.wait(60)
    world.take(fx.HangUp)
    party = agent_leg(session.leg, "", peer="c1")
    world.feed(ev.NodeSynced(NODE, (party, caller_leg("c1", peer=session.leg))))
    world.wait(60)
    assert world.endings() == ["took_over"]
    assert world.take(fx.HangUp) == []


def test_a_take_over_that_is_not_seen_after_a_gap(world: World, call: Call) -> None:
    """Its marks are gone and it is bridged with nobody: the lease does not watch over it any more."""
    session = world.coached(call)
    world.feed(cmd.TakeOver(session.coach, session.id), ev.NodeLost(NODE, "gone"))
    world.feed(ev.NodeSynced(NODE, (agent_leg(session.leg, ""), caller_leg("c1"))))
    assert world.take(fx.HangUp) == [], "the list of bridges is half a second late"
    world.wait(60)
    assert [each.leg for each in world.take(fx.HangUp)] == [session.leg]
    assert world.endings() == ["take_over_failed"]


def test_a_supervisor_who_is_an_agent_too_is_one_after_he_took_over(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(cmd.TakeOver(session.coach, session.id), ev.Unbridged(NODE, "a1", "c1"))
    world.bridge(agent_leg(session.leg, "1002@dom"), caller_leg("c1"))
    assert [leg.agent for each in world.state.calls.values() for leg in each.agents] == ["ben"]


def test_who_coaches_the_other_party_goes_on(world: World) -> None:
    call = world.bridge(agent_leg("a2", "", outbound=False, auth_user="1002@dom"), agent_leg("a1"))
    assert call
    carla = world.coached(call, agent="ana")
    dora = world.coached(call, coach("dora"), agent="ben", follow=Follow.AGENT)
    world.feed(cmd.TakeOver(carla.coach, carla.id), ev.Unbridged(NODE, "a1", "a2"))
    world.bridge(agent_leg(carla.leg, ""), world.legs["a2"])
    assert world.session(dora).call == call_id(carla.leg, "a2")
