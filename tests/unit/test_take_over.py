"""The coach stays with the caller, the agent is released."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import Conflict, NotFound
from ccwhisper.coaching.model import Call, Follow, Session, call_id
from ccwhisper.coaching.modes import Mode
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach, restarted

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


# A browser has another codec before it is bridged


@pytest.fixture
def browser(world: World, call: Call) -> Session:
    """A session of a page, in the middle of a take-over: its codec has been asked for."""
    session = world.coached(call, coach(devices=("f0@browser.invalid",)))
    world.prompt = False
    world.feed(cmd.TakeOver(session.coach, session.id))
    assert [each.leg for each in world.take(fx.Narrow)] == [session.leg]
    assert world.take(fx.ConnectCaller) == []
    return session


def test_a_browser_is_bridged_when_it_has_the_codec_for_it(world: World, browser: Session) -> None:
    world.feed(*world.pending)
    assert [each.caller for each in world.take(fx.ConnectCaller)] == ["c1"]
    world.feed(ev.RateChanged(NODE, browser.leg, 8000, renewed=True))  # said once more
    assert world.take(fx.ConnectCaller) == []


def test_a_browser_that_has_it_already_is_bridged_at_once(world: World, call: Call) -> None:
    world.legs["a1"] = replace(world.legs["a1"], rate=16000)
    session = world.coached(call, coach(devices=("f0@browser.invalid",)))
    world.feed(ev.RateChanged(NODE, session.leg, 16000))
    assert len(world.take(fx.Narrow)) == 1
    world.feed(cmd.TakeOver(session.coach, session.id))
    assert (len(world.take(fx.Narrow)), len(world.take(fx.ConnectCaller))) == (0, 1)


@pytest.mark.parametrize(
    "fact",
    [
        ev.Held(NODE, "a1"),
        ev.Unbridged(NODE, "a1", "c1"),
        ev.HungUp(NODE, "a1", "NORMAL_CLEARING"),
        ev.HungUp(NODE, "c1", "NORMAL_CLEARING"),
    ],
)
def test_a_caller_who_is_elsewhere_by_then_is_left_alone(world: World, browser: Session, fact: ev.Fact) -> None:
    world.feed(fact)
    world.prompt = True
    said, world.pending = world.pending, []
    world.feed(*said)
    assert world.take(fx.ConnectCaller) == []
    assert world.endings() == ["take_over_failed"]


@pytest.mark.parametrize("how", ["silent", "refused", "hung up"])
def test_a_browser_that_does_not_take_it_leaves_the_caller_with_the_agent(
    world: World, browser: Session, how: str
) -> None:
    world.pending.clear()
    world.prompt = True
    match how:
        case "silent":
            world.wait(RULES.narrow_timeout)
        case "refused":
            world.feed(ev.CommandFailed(browser.id, "narrow", "-ERR"))
        case _:
            world.feed(ev.HungUp(NODE, browser.leg, "NORMAL_CLEARING"))
    assert world.endings() == ["take_over_failed"]
    assert world.take(fx.ConnectCaller) == []
    assert {each.leg for each in world.take(fx.HangUp)} <= {browser.leg}


def test_a_take_over_that_the_switch_refuses_ends_the_session(world: World, call: Call) -> None:
    session = world.coached(call, mode=Mode.BARGE)
    effects = world.feed(
        cmd.TakeOver(session.coach, session.id), ev.CommandFailed(session.id, "take_over", "-ERR no such channel")
    )
    assert [each.reason for each in effects if isinstance(each, notices.SessionEnded)] == ["take_over_failed"]


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


def test_his_call_is_still_that_of_its_queue(world: World, call: Call) -> None:
    session = world.coached(call)
    world.feed(cmd.TakeOver(session.coach, session.id), ev.Unbridged(NODE, "a1", "c1"))
    taken = world.bridge(replace(world.legs[session.leg], dialed_user="1002@dom"), world.legs["c1"])
    assert taken
    assert (taken.agents[0].agent, taken.queues) == ("ben", {"sales"})


def test_who_coaches_the_other_party_goes_on(world: World) -> None:
    call = world.bridge(agent_leg("a2", "", outbound=False, auth_user="1002@dom"), agent_leg("a1"))
    assert call
    carla = world.coached(call, agent="ana")
    dora = world.coached(call, coach("dora"), agent="ben", follow=Follow.AGENT)
    world.feed(cmd.TakeOver(carla.coach, carla.id), ev.Unbridged(NODE, "a1", "a2"))
    world.bridge(agent_leg(carla.leg, ""), world.legs["a2"])
    assert world.session(dora).call == call_id(carla.leg, "a2")


def test_who_took_over_is_whom_the_caller_talks_to(world: World, call: Call) -> None:
    """The call is still to be seen, by whom it was before, and whoever may listen to it may coach him in turn."""
    session = world.coached(call, coach(queues=frozenset({"sales"})))
    world.feed(cmd.TakeOver(session.coach, session.id), ev.Unbridged(NODE, "a1", "c1"))
    taken = world.bridge(world.legs[session.leg], world.legs["c1"])
    assert taken
    assert [(leg.agent, leg.name, leg.leg) for leg in taken.agents] == [("carla", "Carla", session.leg)]
    assert taken.queues == call.queues == {"sales"}
    assert world.coached(taken, coach("dora", queues=frozenset({"sales"}))).target == session.leg
    again = restarted(world)
    assert [leg.agent for each in again.state.calls.values() for leg in each.agents] == ["carla"]
    with pytest.raises(NotFound):
        again.start(taken, coach("emil", queues=frozenset({"support"})))
