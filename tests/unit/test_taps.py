"""The guard: eavesdrops that are not ours are noticed, kept by leg, told and audited."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.model import Actor, Call, Tap
from tests.unit.world import NODE, World, agent_leg, caller_leg, on_switch

pytestmark = pytest.mark.unit

SPY = Tap(NODE, "a1", "x1", "9003@dom")


def told(world: World) -> list[Any]:
    return world.take((notices.TapNoticed, notices.TapGone))


def rows(world: World) -> list[tuple[str, str, str | None, str]]:
    audit = world.take(fx.Audit)
    return [(row.action, row.who.name, row.agent, row.detail) for row in audit if row.action.startswith("tap")]


def test_whatever_begins_or_ends_on_a_leg_is_looked_at(world: World, call: Call) -> None:
    session = world.coached(call)
    world.take(fx.LookForTaps)
    world.feed(ev.EavesdropStarted(NODE, "a1"), ev.EavesdropStopped(NODE, "c1"))
    assert world.take(fx.LookForTaps) == [
        fx.LookForTaps(NODE, "a1", frozenset({session.leg})),
        fx.LookForTaps(NODE, "c1", frozenset()),
    ]


def test_a_tap_is_shown_told_and_audited_until_it_is_gone(world: World, call: Call) -> None:
    effects = world.feed(ev.Tapped(NODE, "a1", (SPY,)))
    tapped = replace(call, taps=(SPY,))
    assert notices.CallChanged(tapped) in effects
    assert told(world) == [notices.TapNoticed(tapped, SPY)]
    [row] = [each for each in world.take(fx.Audit) if each.action == "tap"]
    assert row == fx.Audit("tap", Actor("", "9003@dom"), None, "ana", call.id, NODE,
                           "on the agent's leg a1, by leg x1", "")  # fmt: skip
    assert world.feed(ev.Tapped(NODE, "a1", (SPY,))) == [], "seen once more is nothing new"
    effects = world.feed(ev.Tapped(NODE, "a1", ()))
    assert notices.CallChanged(call) in effects
    assert told(world) == [notices.TapGone(call, SPY)]
    assert rows(world) == [("tap_end", "9003@dom", "ana", "on the agent's leg a1, by leg x1")]
    assert world.feed(ev.Tapped(NODE, "a1", ())) == []


def test_on_the_other_partys_leg_by_somebody_who_was_not_found(world: World, call: Call) -> None:
    world.feed(ev.Tapped(NODE, "c1", (Tap(NODE, "c1", None),)))
    assert rows(world) == [("tap", "", "ana", "on the other party's leg c1")]
    world.feed(ev.Tapped(NODE, "a1", (SPY,)))
    assert set(world.state.calls[call.id].taps) == {SPY, Tap(NODE, "c1", None)}


def test_what_is_on_a_leg_between_two_calls_is_told_with_the_next(world: World, call: Call) -> None:
    world.feed(ev.Tapped(NODE, "a1", (SPY,)))
    world.take(fx.Audit), told(world)
    world.unbridge("a1", "c1")
    assert [(type(each), each.call.id) for each in told(world)] == [(notices.TapGone, call.id)]
    after = world.bridge(world.legs["a1"], caller_leg("c2"))
    assert after
    assert after.taps == (SPY,)
    assert told(world) == [notices.TapNoticed(after, SPY)]
    world.hang_up("a1")
    assert world.state.taps == {}


def test_a_call_that_is_read_once_more_keeps_its_taps(world: World, call: Call) -> None:
    world.feed(ev.Tapped(NODE, "a1", (SPY,)))
    told(world)
    world.feed(ev.NodeSynced(NODE, tuple(on_switch(world))))
    assert world.state.calls[call.id].taps == (SPY,)
    assert told(world) == []


def test_a_leg_of_no_call_is_nobodys_business(world: World) -> None:
    assert world.feed(ev.Tapped(NODE, "lost", (replace(SPY, leg="lost"),))) == []
    world.bridge(caller_leg("c1"), caller_leg("c2"))
    assert world.feed(ev.Tapped(NODE, "c1", (replace(SPY, leg="c1"),))) == []


def test_a_node_that_is_read_is_looked_at_whole(world: World, call: Call) -> None:
    world.coached(call)
    away = replace(SPY, node="n2", leg="b1")
    world.feed(ev.Tapped(NODE, "a1", (SPY,)), ev.Tapped("n2", "b1", (away,)))
    world.feed(ev.Tapped(NODE, "gone", (replace(SPY, leg="gone"),)))
    world.take(fx.LookForTaps)
    world.feed(ev.NodeSynced(NODE, tuple(on_switch(world))))
    assert {each.leg for each in world.take(fx.LookForTaps)} == {"a1", "c1"}, "not on our own coach's"
    assert world.state.taps == {"a1": (SPY,), "b1": (away,)}


def test_between_two_agents_it_is_the_one_whose_leg_it_is(world: World) -> None:
    world.bridge(agent_leg("a1"), agent_leg("b1", "1002@dom"))
    world.feed(ev.Tapped(NODE, "b1", (replace(SPY, leg="b1"),)))
    assert rows(world) == [("tap", "9003@dom", "ben", "on the agent's leg b1, by leg x1")]
