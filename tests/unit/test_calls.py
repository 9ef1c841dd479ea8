"""Which bridges are calls, and who in them is the agent."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ccwhisper.coaching import events as ev
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg

pytestmark = pytest.mark.unit


LEGS = [
    (agent_leg("x"), "ana"),
    (agent_leg("x", "9999@dom"), None),
    # mod_dptools writes dialed_user to the calling leg as well
    (caller_leg("x", dialed_user="1001@dom"), None),
    (caller_leg("x", auth_user="1002@dom"), "ben"),
    (agent_leg("x", "", auth_user="1002@dom"), None),
    (caller_leg("x", caller_name="1001@dom", caller_number="1001"), None),
    (agent_leg("x", "", cc_agent="ana"), "ana"),
    (agent_leg("x", "", cc_agent="1002@dom"), "ben"),
    (agent_leg("x", "", cc_agent="zoe@default"), "zoe@default"),
    (agent_leg("x", is_coach=True), None),
]


@pytest.mark.parametrize(("leg", "agent"), LEGS)
def test_the_agents_leg_is_proven_never_guessed(world, leg, agent) -> None:  # type: ignore[no-untyped-def]
    call = world.bridge(leg, caller_leg("other"))
    assert (call.agents[0].agent if call else None) == agent


def test_an_unknown_call_centre_agent_can_be_left_out() -> None:
    world = World(rules=replace(RULES, adopt_unknown_cc_agents=False)).up()
    assert world.bridge(agent_leg("x", "", cc_agent="zoe"), caller_leg("y")) is None


def test_directions_and_parties(world: World) -> None:
    inbound = world.bridge(caller_leg("c1"), agent_leg("a1"))
    outbound = world.bridge(
        caller_leg("a2", auth_user="1002@dom", destination="0301234"), agent_leg("c2", "", caller_number="?")
    )
    assert inbound
    assert outbound
    assert (inbound.direction, inbound.number, inbound.name, inbound.queue) == ("inbound", "+100", "Caller", None)
    assert (outbound.direction, outbound.number, outbound.name) == ("outbound", "0301234", "")
    assert inbound.queues == {"sales"}


def test_an_agent_who_stays_off_hook_has_dialled_in_himself(world: World) -> None:
    off_hook = caller_leg("a1", cc_agent="ana", cc_queue="vip@default", destination="6000")
    call = world.bridge(caller_leg("c1"), off_hook)
    assert call
    assert (call.direction, call.number) == ("inbound", "+100")


def test_a_dialler_calls_both(world: World) -> None:
    call = world.bridge(agent_leg("c1", "", destination="0301234"), agent_leg("a1", destination="1001"))
    assert call
    assert (call.direction, call.number) == ("outbound", "0301234")


def test_a_calls_queue_is_what_counts_when_it_has_one(world: World) -> None:
    call = world.bridge(caller_leg("c1"), agent_leg("a1", cc_agent="ana", cc_queue="vip@default"))
    assert call
    assert call.queues == {"vip@default"}


def test_two_strangers_are_no_call(world: World) -> None:
    assert world.bridge(caller_leg("c1"), caller_leg("c2")) is None
    assert world.state.calls == {}


def test_a_leg_that_was_gone_when_it_was_read(world: World) -> None:
    effects = world.feed(ev.Bridged(NODE, "c1", "a1"))
    world.legs["a1"] = agent_leg("a1")
    world.read(effects)
    assert world.state.calls == {}
    assert world.state.bonds == {}
