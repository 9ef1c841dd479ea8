"""Line lamps: what the key for an agent shows, who is told when, and what is said on the wire."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Call, Lamp
from ccwhisper.coaching.modes import Mode
from ccwhisper.coaching.policy import EDIT_POLICIES, Lamps, PolicyPart, QueuePolicy
from ccwhisper.switch.errors import UnsafeArgument
from ccwhisper.switch.lamps import show, watched
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach, on_switch

pytestmark = pytest.mark.unit


def lit(world: World) -> list[tuple[str, Lamp]]:
    return [(each.user, each.lamp) for each in world.take(fx.ShowLamp)]


def test_a_call_its_coaching_and_its_end(world: World) -> None:
    lit(world)
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert call
    assert lit(world) == [("1001@dom", Lamp.ON_CALL)]
    session = world.coached(call)
    assert lit(world) == [], "who only listens is not told to agents"
    world.mode(session, Mode.WHISPER)
    assert lit(world) == [("1001@dom", Lamp.COACHED)]
    world.mode(session, Mode.BARGE)
    assert lit(world) == [], "he is coached as before"
    world.mode(session, Mode.LISTEN)
    assert lit(world) == [("1001@dom", Lamp.ON_CALL)]
    world.hang_up("a1")
    assert lit(world) == [("1001@dom", Lamp.IDLE)]


def test_who_only_listens_is_shown_where_the_rules_or_the_queue_want_it() -> None:
    for rules in (replace(RULES, lamps=Lamps.ALL), replace(RULES, default=QueuePolicy(tell_listening=True))):
        world = World(rules=rules).up()
        call = world.bridge(caller_leg("c1"), agent_leg("a1"))
        lit(world)
        session = world.start(call)
        assert lit(world) == [], "his phone only rings"
        session = world.answer(session)
        assert lit(world) == [("1001@dom", Lamp.COACHED)]
        world.feed(cmd.Leave(session.coach, session.id))
        assert lit(world) == [("1001@dom", Lamp.ON_CALL)]


def test_a_policy_that_changes_is_followed(world: World, call: Call) -> None:
    world.coached(call)
    lit(world)
    ada = coach("ada", permissions=frozenset({EDIT_POLICIES}))
    world.feed(cmd.SetPolicy(ada, "default", PolicyPart(tell_listening=True)))
    assert lit(world) == [("1001@dom", Lamp.COACHED)]


def test_no_lamps(call: Call) -> None:
    world = World(rules=replace(RULES, lamps=Lamps.NONE)).up()
    world.coached(world.bridge(caller_leg("c1"), agent_leg("a1")), mode=Mode.WHISPER)
    world.feed(ev.LampProbed(NODE, "1001@dom"))
    assert lit(world) == []


def test_whoever_subscribes_is_told_the_present_state(world: World, call: Call) -> None:
    lit(world)
    world.feed(ev.LampProbed(NODE, "1001@dom"))
    assert lit(world) == [("1001@dom", Lamp.ON_CALL)]
    world.feed(ev.LampProbed(NODE, "1002@dom"), ev.LampProbed(NODE, "nobody@dom"))
    assert lit(world) == [("1002@dom", Lamp.IDLE)]


def test_a_node_that_is_read_is_told_all_and_the_others_what_has_changed(world: World, call: Call) -> None:
    world.feed(ev.NodeSynced("n2", ()), ev.NodeSynced("n3", ()), ev.NodeLost("n3", "lost"))
    world.take(fx.ShowLamp)
    legs = tuple(leg for leg in on_switch(world) if leg.id == "c1")  # the agent has hung up unseen
    world.feed(ev.NodeSynced(NODE, legs))
    told = [(each.node, each.user, each.lamp) for each in world.take(fx.ShowLamp)]
    assert sorted(told, key=str) == [
        (NODE, "1001@dom", Lamp.IDLE), (NODE, "1002@dom", Lamp.IDLE), ("n2", "1001@dom", Lamp.IDLE),
    ]  # fmt: skip


def test_an_agent_of_mod_callcenter_alone_has_no_lamp(world: World) -> None:
    lit(world)
    assert world.bridge(caller_leg("c1"), agent_leg("a1", "", cc_agent="zoe"))
    assert lit(world) == []


# --- on the wire -----------------------------------------------------------------------------------------------------


def test_what_is_said(world: World) -> None:
    said = {lamp: show("1001@dom", lamp).text for lamp in Lamp}
    for lamp, state in ((Lamp.IDLE, "terminated"), (Lamp.ON_CALL, "confirmed"), (Lamp.COACHED, "early")):
        lines = said[lamp].split("\n")
        assert lines[0] == "sendevent PRESENCE_IN"
        assert {"from: coach-1001@dom", f"answer-state: {state}", "caller-username: coach-1001"} <= set(lines)
    ids = {line for text in said.values() for line in text.split("\n") if line.startswith("unique-id: ")}
    assert len(ids) == 1, "one dialog, whatever its state"


@pytest.mark.parametrize("user", ["1001", "10 01@dom", "1001@dom\nunique-id: x", "@dom", "x@"])
def test_what_is_no_user_is_not_said(user: str) -> None:
    with pytest.raises(UnsafeArgument):
        show(user, Lamp.IDLE)


@pytest.mark.parametrize(
    ("name", "user"),
    [("coach-1001@dom", "1001@dom"), ("1001@dom", None), ("coach-@dom", None), ("coach-1 1@dom", None),
     ("coach-1001@dom\n", None), ("coach-1001", None), ("xcoach-1001@dom", None)],
)  # fmt: skip
def test_whose_lamp_it_is(name: str, user: str | None) -> None:
    assert watched(name) == user
