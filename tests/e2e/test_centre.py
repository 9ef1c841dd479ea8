"""Agents with their status and queues with their callers, over HTTP and Socket.IO, and who gets to see them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ccwhisper.coaching import events as ev
from ccwhisper.coaching.centre import Doing, Member, Presence, Roster, Status

from .fake_switch import NODE
from .service import Client, Service, token
from .test_sockets import Page

pytestmark = pytest.mark.e2e

SUPPORT, SALES = "support@default", "sales@default"
ADA, BEN, ZOE = "1001@ccwhisper.local", "1002", "zoe@default"  # a user, an id, and one whom nobody has configured
ROSTER = Roster(
    agents=(
        Presence(NODE, ADA, Status.AVAILABLE, Doing.WAITING, 50),
        Presence(NODE, BEN, Status.ON_BREAK, Doing.WAITING, 60),
        Presence(NODE, ZOE, Status.ON_DEMAND, Doing.IN_CALL, 70),
    ),
    queues=((SUPPORT, frozenset({ADA, ZOE})), (SALES, frozenset({BEN, ZOE}))),
)


def caller(number: int, queue: str = SUPPORT) -> Member:
    return Member(f"m{number}", NODE, queue, f"c{number}", "Eve <b>", f"+{number}", 1000.0 + number)


@pytest.fixture
def staffed(service: Service) -> Service:
    service.run(lambda: service.switch.say(ev.NodeSynced(NODE, (), ROSTER)))
    service.until(lambda engine: bool(engine.state.centre.agents))
    return service


@pytest.fixture
def page(service: Service) -> Iterator[Callable[..., Page]]:
    pages: list[Page] = []

    def opened(**claims: Any) -> Page:
        made = Page(service, **claims)
        pages.append(made)
        made.until(lambda: made.snapshots)
        return made

    yield opened
    for each in pages:
        each.io.disconnect()


def say(service: Service, *facts: ev.Fact) -> None:
    service.run(lambda: service.switch.say(*facts))


def counts(available: int = 0, on_call: int = 0, on_break: int = 0) -> dict[str, int]:
    return {"available": available, "on_call": on_call, "on_break": on_break}


def test_agents_have_their_status(staffed: Service, coach: Client) -> None:
    everything = Client(staffed, token(queues=["*"]))
    ada, ben, zoe = everything.get("/agents").body["agents"]
    assert ada == {"id": "1001", "name": "Ada", "queues": [SUPPORT], "calls": [], "status": "available",
                   "state": "waiting", "since": 50}  # fmt: skip
    assert (ben["id"], ben["status"], ben["queues"]) == ("1002", "on_break", [SALES])
    assert (zoe["id"], zoe["state"], zoe["queues"]) == (ZOE, "in_a_queue_call", [SALES, SUPPORT])
    ours = coach.get("/agents").body["agents"]
    assert [(agent["id"], agent["queues"]) for agent in ours] == [("1001", [SUPPORT]), (ZOE, [SUPPORT])]


def test_an_agent_whom_the_call_centre_does_not_know_has_no_status(service: Service, coach: Client) -> None:
    [ada] = coach.get("/agents").body["agents"]
    assert (ada["status"], ada["state"], ada["since"]) == (None, None, None)
    assert coach.get("/queues").body == {"queues": []}


def test_queues_have_callers_and_agents(staffed: Service, coach: Client) -> None:
    say(staffed, *(ev.CallerQueued(caller(number)) for number in range(30, 0, -1)), ev.CallerQueued(caller(99, SALES)))
    staffed.until(lambda engine: len(engine.state.centre.members) == 31)
    [queue] = coach.get("/queues").body["queues"]
    callers = queue.pop("callers")
    assert queue == {"name": SUPPORT, "waiting": 30, "longest_waiting_since": 1001, "agents": counts(1, 1)}
    assert [each["since"] for each in callers] == [1000 + number for number in range(1, 21)]
    assert callers[0] == {"name": "Eve <b>", "number": "+1", "since": 1001}
    both = Client(staffed, token(queues=["*"])).get("/queues").body["queues"]
    assert [(each["name"], each["waiting"], each["agents"]) for each in both] == [
        (SALES, 1, counts(on_call=1, on_break=1)),
        (SUPPORT, 30, counts(1, 1)),
    ]


def test_it_is_told_as_it_happens_to_those_who_may_see_it(staffed: Service, page: Callable[..., Page]) -> None:
    carla, emil = page(), page(sub="emil", queues=[SALES])
    assert (sorted(carla.queues), sorted(emil.queues)) == ([SUPPORT], [SALES])
    assert (sorted(carla.agents), sorted(emil.agents)) == (["1001", ZOE], ["1002", ZOE])
    say(staffed, ev.AgentReported(NODE, ADA, 80, Status.ON_BREAK), ev.CallerQueued(caller(1)))
    carla.until(lambda: carla.agents["1001"]["status"] == "on_break" and carla.queues[SUPPORT]["waiting"])
    assert carla.agents["1001"]["since"] == 80
    assert carla.queues[SUPPORT]["agents"] == counts(on_call=1, on_break=1)
    say(staffed, ev.CallerAnswered(NODE, "m1", answered=True), ev.AgentReported(NODE, ZOE, 90, doing=Doing.WAITING))
    for each in (carla, emil):
        each.until(lambda each=each: each.agents[ZOE]["state"] == "waiting")
    carla.until(lambda: not carla.queues[SUPPORT]["waiting"])
    assert emil.queues[SALES]["agents"] == counts(available=1, on_break=1)
    assert emil.queues.keys() == {SALES}
    assert emil.agents.keys() == {"1002", ZOE}


def test_a_burst_is_told_once(staffed: Service, page: Callable[..., Page]) -> None:
    carla = page()
    say(staffed, *(ev.CallerQueued(caller(number)) for number in range(1, 101)))
    carla.until(lambda: carla.queues[SUPPORT]["waiting"] == 100)
    assert carla.told.count("queue.changed") < 20


def test_agents_and_queues_that_are_gone(staffed: Service, page: Callable[..., Page], coach: Client) -> None:
    carla = page()
    at = coach.get("/events").body
    assert [each["id"] for each in at["snapshot"]["agents"]] == ["1001", ZOE]
    assert [each["name"] for each in at["snapshot"]["queues"]] == [SUPPORT]
    say(staffed, ev.NodeSynced(NODE, (), Roster()))
    carla.until(lambda: not carla.queues)
    carla.until(lambda: {each["status"] for each in carla.agents.values()} == {None})
    events = coach.get(f"/events?after={at['next']}&timeout=5").body["events"]
    assert {each["type"]: each["data"] for each in events}["queue.gone"] == {"name": SUPPORT}


def test_who_may_not_see_the_dashboard(staffed: Service) -> None:
    blind = Client(staffed, token(permissions=["monitor_live_calls"]))
    assert blind.get("/queues").code == "permission_missing"
    assert blind.get("/events").body["snapshot"]["agents"] == []
    assert blind.get("/events").body["snapshot"]["queues"] == []
