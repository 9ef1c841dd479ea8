"""Keys of a coach's phone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.keys import SOUNDS
from ccwhisper.coaching.model import Call, Follow, Phase, Session
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import QueuePolicy

from .world import NODE, World, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit


def scene(**changes: object) -> tuple[World, Call, Session]:
    world = World().up()
    call = world.bridge(agent_leg("a"), caller_leg("c"))
    assert call
    return world, call, world.coached(call, coach(**changes) if changes else None)


def press(world: World, session: Session, *keys: str) -> list[str]:
    """Press keys one after the other; the names of the sounds that the coach heard."""
    for key in keys:
        world.feed(ev.KeyPressed(NODE, session.leg, key))
    names = {tone: name for name, tone in SOUNDS.items()}
    return [names[each.tone] for each in world.take(fx.Sound)]


def test_each_key_does_what_it_says() -> None:
    world, _, session = scene()
    assert press(world, session, "2") == ["whisper"]
    assert world.gate(session) is Gate.AGENT
    assert press(world, session, "4") == ["muted"]
    assert world.gate(session) is Gate.CLOSED
    assert press(world, session, "4") == ["unmuted"]
    assert world.gate(session) is Gate.AGENT
    assert press(world, session, "0") == ["listen"]
    assert world.gate(session) is Gate.CLOSED
    assert {each.origin for each in world.take(fx.Audit) if each.action in ("mode", "mute", "unmute")} == {"phone"}
    assert press(world, session, "*") == []
    assert world.endings() == ["coach_left"]


def test_keys_that_are_switched_off_do_nothing() -> None:
    world, _, session = scene()
    world.rules = replace(world.rules, keys=False)
    assert press(world, session, *"0123456789*#") == []
    assert world.gate(session) is Gate.CLOSED
    assert world.endings() == []


def test_a_barge_takes_two() -> None:
    world, _, session = scene()
    assert press(world, session, "3") == ["again"]
    assert world.gate(session) is Gate.CLOSED
    world.wait(2.1)
    assert press(world, session, "3") == ["again"], "too late: as if for the first time"
    assert world.gate(session) is Gate.CLOSED
    assert press(world, session, "9", "3") == ["refused", "again"], "with another key between them"
    assert press(world, session, "2", "3") == ["whisper", "again"]
    world.wait(1.9)
    assert press(world, session, "3") == ["barge"]
    assert world.gate(session) is Gate.EVERYONE
    assert press(world, session, "3") == ["barge"], "who is in it needs no second one"
    assert press(world, session, "2") == ["whisper"]
    assert world.gate(session) is Gate.AGENT


def test_a_barge_takes_two_on_the_same_call() -> None:
    world = World().up()
    call = world.bridge(agent_leg("a"), caller_leg("c"))
    session = world.answer(world.start(call, follow=Follow.AGENT))
    assert press(world, session, "3") == ["again"]
    world.feed(ev.Unbridged(NODE, "a", "c"), ev.HungUp(NODE, "c", ""))
    next_call = world.bridge(agent_leg("a"), caller_leg("c2"))
    assert next_call
    assert world.session(session).call == next_call.id
    assert press(world, session, "3") == ["again"], "it was the caller before"
    assert world.gate(session) is Gate.CLOSED


def test_push_to_talk_by_key() -> None:
    world, _, session = scene()
    press(world, session, "2")
    assert press(world, session, "1") == ["refused"], "an open microphone has no talk key"
    assert press(world, session, "5") == ["push"]
    assert world.gate(session) is Gate.CLOSED
    assert press(world, session, "1") == ["talking"]
    assert world.gate(session) is Gate.AGENT
    assert world.take(fx.ArmDeadman)
    world.wait(1.1)
    assert world.take(fx.ArmDeadman), "the switch watches over it for as long as it lasts"
    world.wait(50)
    assert world.gate(session) is Gate.AGENT
    assert press(world, session, "1") == ["released"]
    assert world.gate(session) is Gate.CLOSED
    press(world, session, "1")
    world.wait(60.1)
    assert world.gate(session) is Gate.CLOSED, "a key that was forgotten"
    press(world, session, "1")
    assert press(world, session, "5") == ["open"]
    assert world.gate(session) is Gate.AGENT


def test_keys_have_the_rights_of_the_session() -> None:
    world, _, session = scene(roles=frozenset())
    assert press(world, session, "2", "3", "3") == ["refused", "again", "refused"]
    assert world.gate(session) is Gate.CLOSED
    rows = [(each.action, each.detail, each.refusal) for each in world.take(fx.Audit) if each.refusal]
    assert rows == [("mode", "whisper", "role_missing"), ("mode", "barge", "role_missing")]
    world, _, session = scene()
    world.rules = replace(world.rules, default=QueuePolicy(modes=frozenset({"listen"})))
    assert press(world, session, "2") == ["refused"]


def test_keys_of_nobody() -> None:
    world, _, session = scene()
    before = world.state
    world.feed(
        ev.KeyPressed(NODE, "a", "2"), ev.KeyPressed(NODE, "unknown", "2"), ev.KeyPressed("n2", session.leg, "2")
    )
    assert world.state == before
    world.prompt = False
    world.feed(cmd.Leave(session.coach, session.id))
    assert press(world, session, "2") == []


def test_keys_while_waiting() -> None:
    world = World().up()
    session = world.answer(world.start(None, agent="ana", follow=Follow.AGENT))
    assert press(world, session, "2") == ["refused"]
    assert press(world, session, "#") == ["refused"], "no other call, and none to go on from"
    [one, two] = [ev.KeyPressed(NODE, session.leg, key) for key in "57"]
    assert [each.attached for each in world.feed(one, two) if isinstance(each, fx.Sound)] == [False, False]
    assert world.session(session).talk is Talk.PUSH


def test_keys_while_the_leg_is_on_its_way() -> None:
    """What is asked for is kept, and heard of when it is granted: into a leg that is moved no tone goes."""
    world = World().up()
    call = world.bridge(agent_leg("a"), caller_leg("c"))
    assert call
    session = world.start(call)
    assert press(world, session, "2") == []
    assert press(world, session, "#") == []
    world.answer(session)
    assert world.gate(session) is Gate.AGENT


# --- the next call ---------------------------------------------------------------------------------------------------


def other_call(world: World, name: str, at: float = 5.0, **changes: object) -> Call:
    whole = {"user": "1002@dom", "cc_agent": f"{name}@dom", "cc_queue": "sales", "created_at": at, **changes}
    call = world.bridge(agent_leg(f"a-{name}", **whole), caller_leg(f"c-{name}", created_at=at))
    assert call
    return call


def test_on_to_the_next_call_of_the_queue_and_round_again() -> None:
    world, first, session = scene()  # of ana's queue, sales
    other_call(world, "zoe", cc_queue="support")
    third = other_call(world, "eve", 9.0)
    second = other_call(world, "bob", 7.0)
    press(world, session, "2")
    seen = []
    for _ in range(3):
        assert press(world, session, "#") == [], "he hears who it is"
        now = world.session(session)
        assert (now.phase, now.mode, world.gate(session)) == (Phase.ATTACHED, Mode.LISTEN, Gate.CLOSED)
        seen.append(now.call)
    assert seen == [second.id, third.id, first.id]
    assert [each.detail for each in world.take(fx.Audit) if each.action == "next"] == seen


@pytest.mark.parametrize(
    "obstacle",
    ["node", "media", "policy", "queue", "rate", "mine", "crowd"],
)
def test_calls_that_are_passed_over(obstacle: str) -> None:
    world, first, session = scene(queues=frozenset({"sales"})) if obstacle == "queue" else scene()
    changes: dict[str, object] = {}
    if obstacle == "media":
        changes = {"media_in_switch": False}
    if obstacle == "queue":
        changes = {"cc_queue": "support"}
    other = other_call(world, "bob", **changes)
    if obstacle == "queue":  # one that shares a queue, and that he may not listen to all the same
        both = replace(first, queues=frozenset({"sales", "support"}))
        world.state = replace(world.state, calls={**world.state.calls, first.id: both})
    if obstacle == "node":
        world.state = replace(world.state, calls={**world.state.calls, other.id: replace(other, node="n2")})
    if obstacle == "policy":
        world.rules = replace(world.rules, queues={"sales": QueuePolicy(modes=frozenset())})
    if obstacle == "rate":
        wide = replace(world.session(session), rate=16000)
        world.state = replace(world.state, sessions={session.id: wide})
    if obstacle == "mine":
        world.coached(other, replace(session.coach, devices=("other@dom",)))
    if obstacle == "crowd":
        world.rules = replace(world.rules, queues={"sales": QueuePolicy(max_coaches=1)})
        world.coached(other, coach("dora"))
    press(world, session, "#")
    assert (world.session(session).phase, world.session(session).call) == (Phase.WAITING, None)


def test_without_another_call_the_agents_next_one_is_waited_for() -> None:
    world, first, session = scene()
    press(world, session, "2", "#")
    now = world.session(session)
    assert (now.phase, now.follow, now.target, now.passed) == (Phase.WAITING, Follow.AGENT, None, first.id)
    assert world.gate(session) is Gate.CLOSED
    world.feed(ev.Held(NODE, "c"), ev.Unheld(NODE, "c"))
    world.bridge(agent_leg("a"), caller_leg("c"))
    assert world.session(session).phase is Phase.WAITING, "not back to the one that he has moved on from"
    assert press(world, session, "#") == ["refused"]
    world.unbridge("a", "c")
    second = world.bridge(agent_leg("a"), caller_leg("d"))
    assert second
    assert (world.session(session).call, world.session(session).mode) == (second.id, Mode.LISTEN)
    assert world.session(session).passed is None


def test_from_waiting_on_to_another_call() -> None:
    world, _, session = scene()
    press(world, session, "#")
    second = other_call(world, "bob")
    press(world, session, "#")
    assert (world.session(session).call, world.session(session).phase) == (second.id, Phase.ATTACHED)


def test_who_was_about_to_attach_lets_another_go_first() -> None:
    world, call, session = scene()
    other = world.start(call, coach("dora"))
    world.prompt = False
    world.feed(ev.Parked(NODE, session.leg, ours=True))  # he is to attach anew
    world.answer(other)
    assert world.session(other).phase is Phase.CONNECTED
    world.feed(cmd.Next(session.coach, session.id))
    assert world.session(other).phase is Phase.ATTACHING
