"""Cues and raised hands: who may, what is kept, and when it goes."""

from __future__ import annotations

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.cues import MAX_CUES
from ccwhisper.coaching.errors import CoachingError
from ccwhisper.coaching.model import Actor, Call, Cue, Hand, Reply, Session
from ccwhisper.coaching.modes import Gate, Mode

from .world import NODE, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit

ANA = Actor("u1", "Ana")


def on_call(world: World) -> Call:
    call = world.bridge(agent_leg("a"), caller_leg("c"))
    assert call
    return call


def cue(world: World, session: Session, identifier: str = "q1", text: str = "slow down") -> Cue:
    world.feed(cmd.SendCue(session.coach, session.id, identifier, text, 7.0))
    return world.state.cues[identifier]


def refusal(world: World, *asked: cmd.Request) -> str:
    before = world.state
    with pytest.raises(CoachingError) as caught:
        world.feed(*asked)
    assert world.state is before
    return caught.value.code


def test_a_cue_is_sent_delivered_read_and_answered() -> None:
    world = World().up()
    session = world.coached(on_call(world))
    sent = cue(world, session)
    assert (sent.agent, sent.call, sent.name, sent.text) == ("ana", session.call, "Carla", "slow down")
    world.feed(cmd.MarkCue(ANA, "ana", "q1", False, 8.0))
    world.feed(cmd.MarkCue(ANA, "ana", "q1", True, 9.0))
    effects = world.feed(cmd.MarkCue(ANA, "ana", "q1", True, 10.0))
    assert effects == [], "the first time counts"
    effects = world.feed(cmd.ReplyToCue(ANA, "ana", "q1", Reply.NEED_YOU, 11.0))
    after = world.state.cues["q1"]
    assert (after.delivered_at, after.read_at, after.reply, after.replied_at) == (8.0, 9.0, Reply.NEED_YOU, 11.0)
    assert notices.CueChanged(after) in effects


def test_who_answers_has_read_it() -> None:
    world = World().up()
    cue(world, world.coached(on_call(world)))
    world.feed(cmd.ReplyToCue(ANA, "ana", "q1", Reply.GOT_IT, 11.0))
    assert (world.state.cues["q1"].delivered_at, world.state.cues["q1"].read_at) == (11.0, 11.0)


def test_who_may_not() -> None:
    world = World().up()
    session = world.coached(on_call(world))
    cue(world, session)
    assert refusal(world, cmd.SendCue(coach("dora"), session.id, "q2", "x", 1.0)) == "session_not_found"
    lesser = coach(permissions=frozenset())
    assert refusal(world, cmd.SendCue(lesser, session.id, "q2", "x", 1.0)) == "permission_missing"
    assert refusal(world, cmd.MarkCue(ANA, "ben", "q1", True, 1.0)) == "cue_not_found"
    assert refusal(world, cmd.ReplyToCue(ANA, "ana", "q9", Reply.GOT_IT, 1.0)) == "cue_not_found"
    for asked in (
        cmd.MarkCue(ANA, None, "q1", True, 1.0),
        cmd.ReplyToCue(ANA, None, "q1", Reply.GOT_IT, 1.0),
        cmd.RaiseHand(ANA, None, "", 1.0),
        cmd.LowerHand(ANA, None),
    ):
        assert refusal(world, asked) == "not_an_agent"


def test_a_cue_goes_with_its_call_and_not_with_its_coach() -> None:
    world = World().up()
    session = world.coached(on_call(world))
    cue(world, session)
    world.feed(cmd.Leave(session.coach, session.id), ev.HungUp(NODE, session.leg, ""))
    assert session.id not in world.state.sessions
    assert "q1" in world.state.cues
    world.unbridge("a", "c")
    world.feed(ev.HungUp(NODE, "c", ""), ev.HungUp(NODE, "a", ""))
    assert world.state.cues == {}


def test_only_so_many_are_kept() -> None:
    world = World().up()
    session = world.coached(on_call(world))
    for number in range(MAX_CUES + 3):
        cue(world, session, f"q{number}")
    assert list(world.state.cues) == [f"q{number}" for number in range(3, MAX_CUES + 3)]


def test_a_raised_hand_is_answered_by_whoever_listens() -> None:
    world = World().up()
    call = on_call(world)
    world.feed(cmd.RaiseHand(ANA, "ana", "the customer shouts", 5.0))
    hand = Hand("ana", "Ana", call.id, call.queues, "the customer shouts", 5.0)
    assert world.state.hands == {"ana": hand}
    assert refusal(world, cmd.RaiseHand(ANA, "ana", "", 6.0)) == "hand_is_raised"
    world.coached(call)
    assert world.state.hands == {}
    assert notices.HandLowered(hand, "answered") in world.effects


@pytest.mark.parametrize(("mode", "gate"), [(Mode.WHISPER, Gate.AGENT), (Mode.BARGE, Gate.EVERYONE)])
def test_who_listened_before_answers_by_speaking(mode: Mode, gate: Gate) -> None:
    """Else the agent would learn by his hand that somebody listens, and nobody else would learn that he asks."""
    world = World().up()
    session = world.coached(on_call(world))
    world.feed(cmd.RaiseHand(ANA, "ana", "", session.started_at + 1))
    world.feed(cmd.SetMuted(session.coach, session.id, True))
    world.mode(session, mode)
    assert set(world.state.hands) == {"ana"}
    world.feed(cmd.SetMuted(session.coach, session.id, False))
    assert set(world.state.hands) == {"ana"}
    world.feed(ev.GateTold(session.id, gate))
    assert world.state.hands == {}
    assert [each.why for each in world.effects if isinstance(each, notices.HandLowered)] == ["answered"]


def test_a_raised_hand_goes_with_its_call() -> None:
    world = World().up()
    on_call(world)
    world.feed(cmd.RaiseHand(ANA, "ana", "", 5.0))
    world.unbridge("a", "c")
    assert world.state.hands == {}
    assert [each.why for each in world.effects if isinstance(each, notices.HandLowered)] == ["call_ended"]


@pytest.mark.parametrize(("agent", "name", "queues"), [("ana", "Ana", {"sales"}), ("eve", "eve", set())])
def test_a_hand_between_calls_is_of_the_agents_queues(agent: str, name: str, queues: set[str]) -> None:
    world = World().up()
    world.feed(cmd.RaiseHand(ANA, agent, "", 5.0))
    hand = world.state.hands[agent]
    assert (hand.name, hand.call, hand.queues) == (name, None, queues)
    world.feed(cmd.LowerHand(ANA, agent))
    assert world.state.hands == {}
    assert world.feed(cmd.LowerHand(ANA, agent)) == []
