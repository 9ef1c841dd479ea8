"""The world that most tests of the core start from: one node, one call."""

from __future__ import annotations

import pytest

from ccwhisper.coaching.model import Call
from tests.unit.world import World, agent_leg, caller_leg


@pytest.fixture
def world() -> World:
    """A switch that is connected and idle."""
    return World().up()


@pytest.fixture
def call(world: World) -> Call:
    """A caller, c1, with an agent, a1, who is Ana."""
    call = world.bridge(caller_leg("c1"), agent_leg("a1"))
    assert call
    return call
