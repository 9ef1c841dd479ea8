"""Agents and queues of mod_callcenter: what is known of them, and who is told when it changes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.centre import Centre, Doing, Member, Presence, Roster, Status
from tests.unit.world import NODE, World, caller_leg

pytestmark = pytest.mark.unit

HELP, SALES = ("help", frozenset({"ana", "ben"})), ("sales", frozenset({"ben"}))
ANA = Presence(NODE, "ana", Status.AVAILABLE, Doing.WAITING, 50)
BEN = Presence(NODE, "ben", Status.ON_BREAK, Doing.WAITING, 60)


def member(name: str = "m1", since: float = 10, **changes: object) -> Member:
    return Member(**{"id": name, "node": NODE, "queue": "help", "leg": f"leg-{name}", "name": "Eve", "number": "+1",
                     "since": since, **changes})  # type: ignore[arg-type]  # fmt: skip


def read(*members: Member, node: str = NODE, agents: Sequence[Presence] = (ANA, BEN)) -> ev.NodeSynced:
    return ev.NodeSynced(node, (), Roster(tuple(agents), (HELP, SALES), members))


@pytest.fixture
def centre() -> World:
    world = World()
    world.feed(read())
    world.effects.clear()
    return world


def told(world: World) -> list[tuple[str, frozenset[str]] | str]:
    """Who and what has changed; forgets it."""
    agents = [(each.agent, each.queues) for each in world.take(notices.AgentChanged)]
    return [*agents, *(each.queue for each in world.take(notices.QueueChanged))]


def report(world: World, agent: str, at: float, status: Status | None = None, doing: Doing | None = None) -> Presence:
    world.feed(ev.AgentReported(NODE, agent, at, status, doing))
    return world.state.centre.everybody()[agent]


def test_an_agent_takes_a_break_in_the_middle_of_a_call(centre: World) -> None:
    assert report(centre, "ana", 100, doing=Doing.IN_CALL) == Presence(
        NODE, "ana", Status.AVAILABLE, Doing.IN_CALL, 100
    )
    assert report(centre, "ana", 110, Status.ON_BREAK) == Presence(NODE, "ana", Status.ON_BREAK, Doing.IN_CALL, 110)
    assert told(centre) == [("ana", frozenset({"help"}))] * 2 + ["help"] * 2


def test_who_is_as_he_was_has_been_so_all_the_time(centre: World) -> None:
    assert report(centre, "ana", 100, Status.AVAILABLE) == ANA
    assert report(centre, "ana", 110) == ANA
    assert told(centre) == []


def test_an_agent_who_was_added_is_known_from_what_he_does(centre: World) -> None:
    assert report(centre, "zoe", 100, Status.AVAILABLE) == Presence(NODE, "zoe", Status.AVAILABLE, None, 100)
    assert told(centre) == [("zoe", frozenset())], "and the queues that he serves are not known"


def test_a_caller_waits_and_is_served(centre: World) -> None:
    state = centre.state.centre
    assert state.waiting("help") == []
    centre.feed(ev.CallerQueued(member("m2", 20)), ev.CallerQueued(member("m1", 10)))
    assert [each.id for each in centre.state.centre.waiting("help")] == ["m1", "m2"], "who has waited longest is first"
    assert centre.state.centre.waiting("sales") == []
    centre.feed(ev.CallerAnswered(NODE, "m1", answered=True))
    assert [each.id for each in centre.state.centre.waiting("help")] == ["m2"]
    assert told(centre) == ["help"] * 3
    centre.feed(ev.CallerLeft(NODE, "m1"), ev.CallerLeft(NODE, "m2"))
    assert centre.state.centre.members == {}


def test_a_caller_whose_bridge_fails_waits_on(centre: World) -> None:
    centre.feed(ev.CallerQueued(member()), ev.CallerAnswered(NODE, "m1", answered=True))
    centre.feed(ev.CallerAnswered(NODE, "m1", answered=False))
    assert centre.state.centre.waiting("help") == [member()], "and has waited since he came"


def test_a_caller_who_has_gone_does_not_come_back(centre: World) -> None:
    """The bridge with him fails because his leg has ended, and the queue says so last."""
    centre.feed(ev.CallerQueued(member()), ev.CallerAnswered(NODE, "m1", answered=True))
    centre.feed(ev.HungUp("another", "leg-m1", ""))
    assert "m1" in {each.id for each in centre.state.centre.members.values()}
    centre.feed(ev.HungUp(NODE, "leg-m1", ""), ev.CallerAnswered(NODE, "m1", answered=False))
    assert centre.state.centre.members == {}
    centre.feed(ev.CallerLeft(NODE, "m1"))
    assert centre.state.centre.members == {}


def test_what_was_raised_while_a_node_was_read_says_nothing_new(centre: World) -> None:
    centre.feed(read(member(answered=True)))
    centre.effects.clear()
    centre.feed(ev.CallerQueued(member(since=11)), ev.CallerAnswered(NODE, "m1", answered=True))
    assert centre.state.centre.members[NODE, "m1"] == member(answered=True)
    assert told(centre) == []


def test_a_queue_that_was_loaded_later_has_callers_and_no_agents(centre: World) -> None:
    centre.feed(ev.CallerQueued(member(queue="new")))
    assert centre.state.centre.queue_names() == {"help", "sales", "new"}
    assert centre.state.centre.serving("new") == []
    assert told(centre) == ["new"]


def test_a_node_that_is_read_again_replaces_what_was_known(centre: World) -> None:
    centre.feed(ev.CallerQueued(member()), ev.AgentReported(NODE, "ana", 90, Status.ON_BREAK))
    centre.feed(read(node="second", agents=[Presence("second", "ben", Status.AVAILABLE, Doing.WAITING, 99)]))
    centre.effects.clear()
    only_ana = Roster((ANA,), (("help", frozenset({"ana"})),))
    centre.feed(ev.NodeSynced(NODE, (), only_ana))
    state = centre.state.centre
    assert state.members == {}
    assert state.everybody() == {"ana": ANA, "ben": Presence("second", "ben", Status.AVAILABLE, Doing.WAITING, 99)}
    assert told(centre) == [("ana", frozenset({"help"})), ("ben", frozenset({"help", "sales"})), "help", "sales"]


def test_who_serves_a_queue_on_several_nodes_is_as_he_was_last_heard_of(centre: World) -> None:
    later = Presence("second", "ana", Status.LOGGED_OUT, Doing.WAITING, 70)
    centre.feed(read(node="second", agents=[later]))
    assert centre.state.centre.serving("help") == [later, BEN]
    assert centre.state.centre.queues_of("ben") == {"help", "sales"}


def test_an_agent_who_serves_another_queue_is_told_to_both(centre: World) -> None:
    centre.feed(ev.NodeSynced(NODE, (), Roster((ANA, BEN), (("help", frozenset({"ben"})), SALES))))
    assert told(centre) == [("ana", frozenset({"help"})), "help"]


def test_a_turn_that_is_about_something_else_tells_nothing(centre: World) -> None:
    before = centre.state.centre
    centre.feed(ev.Held(NODE, caller_leg("x").id))
    assert centre.state.centre is before
    assert told(centre) == []
    assert Centre().changes(Centre()) == ([], [])
