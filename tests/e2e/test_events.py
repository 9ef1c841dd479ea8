"""Following along: what one is told, in order, and what one is not."""

from __future__ import annotations

import threading

import pytest

from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Tap

from .service import Answer, Client, Service, token

pytestmark = pytest.mark.e2e

LISTS = ("calls", "sessions", "coaches", "cues", "hands", "agents", "queues")
EMPTY: dict[str, object] = {"policies": {}, **{name: [] for name in LISTS}}


class Follower:
    """Reads events page by page."""

    def __init__(self, client: Client) -> None:
        self.client = client
        first = client.get("/events").body
        assert first["reset"] is True
        self.snapshot = first["snapshot"]
        self.next = first["next"]

    def read(self, timeout: float = 5) -> list[tuple[str, dict[str, object]]]:
        answer = self.client.get(f"/events?after={self.next}&timeout={timeout}").body
        assert answer["reset"] is False
        assert answer["snapshot"] is None
        seqs = [event["seq"] for event in answer["events"]]
        assert seqs == sorted(set(seqs))
        self.next = answer["next"]
        return [(event["type"], event["data"]) for event in answer["events"]]

    def until(self, kind: str) -> dict[str, object]:
        for _ in range(50):
            for found, data in self.read():
                if found == kind:
                    return data
        raise AssertionError(f"no {kind}")


def test_a_session_in_events(service: Service, coach: Client) -> None:
    follower = Follower(coach)
    assert follower.snapshot | {"policies": {}, "agents": []} == EMPTY
    assert [agent["id"] for agent in follower.snapshot["agents"]] == ["1001"]
    assert follower.snapshot["policies"].keys() == {"", "support@default"}
    call = service.call()
    assert follower.until("call.changed")["id"] == call
    session = coach.post("/sessions", {"call": call, "mode": "whisper"}).body["id"]
    assert follower.until("session.changed")["id"] == session
    coach.get(f"/sessions/{session}?wait=gate")
    service.run(lambda: service.switch.hang_up("a-agent", "a-caller"))
    assert follower.until("call.ended")["id"] == call


def test_a_reader_waits_for_news(service: Service, coach: Client) -> None:
    follower = Follower(coach)
    found: list[list[tuple[str, dict[str, object]]]] = []
    reading = threading.Thread(target=lambda: found.append(follower.read(timeout=9)))
    reading.start()
    call = service.call()
    reading.join(5)
    assert found[0][0][1]["id"] == call


def test_nothing_new(coach: Client) -> None:
    follower = Follower(coach)
    before = follower.next
    assert follower.read(timeout=0) == []
    assert follower.next == before


def test_other_people(service: Service, coach: Client) -> None:
    grace, alan = Client(service, token()), Client(service, token(sub="coach-2", devices=["9003@ccwhisper.local"]))
    call = service.call()
    follower = Follower(alan)
    session = grace.post("/sessions", {"call": call, "mode": "whisper"}).body["id"]
    grace.get(f"/sessions/{session}?wait=gate")
    seen = follower.until("coach.changed")
    assert (seen["session"], seen["name"]) == (session, "Grace")
    assert set(seen) == {"session", "coach", "name", "agent", "call", "mode", "gate", "muted"}  # no device, no reason
    assert Follower(alan).snapshot["coaches"][0]["mode"] == "whisper"
    grace.delete(f"/sessions/{session}")
    assert follower.until("coach.left")["session"] == session


def test_a_coach_who_left_after_his_call_was_over_is_still_reported(service: Service) -> None:
    grace, alan = Client(service, token()), Client(service, token(sub="coach-2"))
    call = service.call(user="1002")  # visible by the call's queue alone: the agent serves another
    session = grace.post("/sessions", {"call": call}).body["id"]
    grace.get(f"/sessions/{session}?wait=listening")
    follower = Follower(alan)
    service.run(lambda: service.switch.hang_up("a-agent", "a-caller"))
    service.until(lambda engine: not engine.state.calls)
    grace.delete(f"/sessions/{session}")
    assert follower.until("coach.left")["session"] == session


def test_what_one_may_not_see_is_not_told(service: Service, coach: Client) -> None:
    blind = Client(service, token(sub="coach-3", permissions=[]))
    sales = Client(service, token(sub="coach-4", queues=["sales@default"]))
    followers = [Follower(blind), Follower(sales)]
    call = service.call()
    session = coach.post("/sessions", {"call": call, "mode": "barge"}).body["id"]
    coach.get(f"/sessions/{session}?wait=gate")
    coach.delete(f"/sessions/{session}")
    coach.get(f"/sessions/{session}?wait=ended")
    for follower in followers:
        assert follower.read(timeout=0) == []
        snapshot = follower.client.get("/events").body["snapshot"]
        assert snapshot | {"policies": {}, "agents": []} == EMPTY
        assert "1001" not in {agent["id"] for agent in snapshot["agents"]}


def test_a_tap_is_told_to_who_may_see_the_call(service: Service, coach: Client) -> None:
    call = service.call()
    sales = Client(service, token(sub="coach-4", queues=["sales@default"]))
    follower, other = Follower(coach), Follower(sales)
    spy = Tap("fs1", "a-caller", "x1", "Eve\ud800")
    service.run(lambda: service.switch.say(ev.Tapped("fs1", "a-caller", (spy,))))
    tap = {"who": "Eve?", "kind": "unknown", "on": None, "leg": "x1"}
    assert follower.until("tap.noticed") == {"call": call, **tap}
    assert coach.get(f"/calls/{call}").body["taps"] == [tap]
    [row] = [row for row in service.audit if row.action == "tap"]
    assert (row.who.id, row.call, row.agent) == ("", call, "1001")
    service.run(lambda: service.switch.say(ev.Tapped("fs1", "a-caller", ())))
    assert follower.until("tap.gone") == {"call": call, **tap}
    assert coach.get(f"/calls/{call}").body["taps"] == []
    assert other.read(timeout=0) == []


def test_the_switch_is_lost(service: Service, coach: Client) -> None:
    follower = Follower(coach)
    service.run(service.switch.lose)
    assert follower.until("node.changed") == {"name": "fs1", "up": False}


def test_a_beep_that_failed_is_told_to_the_coach(service: Service, coach: Client) -> None:
    service.switch.beeps = False
    service.call()
    follower = Follower(coach)
    session = coach.post("/sessions", {"agent": "1001", "mode": "whisper"}).body["id"]
    assert follower.until("beep.failed") == {"session": session, "why": "no such file"}


@pytest.mark.parametrize("after", ["0", "ffffffff.0", "x.y", "", "{epoch}.99999", "{epoch}.-1"])
def test_a_place_that_is_not_in_this_services_order_starts_anew(coach: Client, after: str) -> None:
    epoch = coach.get("/events").body["next"].partition(".")[0]
    answer = coach.get(f"/events?timeout=0&after={after.format(epoch=epoch)}").body
    assert answer["reset"] is True
    assert answer["snapshot"] is not None


def test_a_reader_who_is_too_far_behind_starts_anew(service: Service, coach: Client) -> None:
    follower = Follower(coach)
    call = service.call()

    def flood() -> None:
        notice = service.engine.log.since(0)
        assert notice
        service.engine.log.extend([notice[-1].notice] * 5000, 0.0)

    service.run(flood)
    answer: Answer = coach.get(f"/events?after={follower.next}")
    assert answer.body["reset"] is True
    assert answer.body["snapshot"]["calls"][0]["id"] == call


def test_a_page_is_bounded(service: Service, coach: Client) -> None:
    follower = Follower(coach)
    service.call()

    def flood() -> None:
        notice = service.engine.log.since(0)
        assert notice
        service.engine.log.extend([notice[-1].notice] * 1000, 0.0)

    service.run(flood)
    assert [len(follower.read(timeout=0)) for _ in range(3)] == [500, 500, 1]
