"""The demo's desk, against a real service: what it refuses, what others do, and what happens to calls meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest

from ccwhisper.cli.client import Client, Refused
from ccwhisper.cli.demo.desk import Desk
from ccwhisper.cli.demo.ears import Hearing
from ccwhisper.cli.demo.picture import Picture, hint_of
from ccwhisper.cli.screen import Screen

from .service import Service, token
from .traces import until

pytestmark = pytest.mark.e2e


class Recording(Client):
    """Remembers what was posted."""

    posted: list[str]

    def post(self, *path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        self.posted.append(path[-1])
        return super().post(*path, body=body)


NOW = 1000.0  # the desk's time is an argument


@contextmanager
def desk_of(service: Service, bearer: str) -> Iterator[Desk]:
    client = Recording(service.url, bearer)
    client.posted = []
    try:
        yield Desk(client)
    finally:
        client.close()


def settled(desk: Desk, condition: Callable[[], object], now: float = NOW) -> None:
    def refreshed() -> object:
        desk.refresh(now)
        return condition()

    until(refreshed)


def recorded(desk: Desk) -> list[str]:
    client = desk._client
    assert isinstance(client, Recording)
    return client.posted


def picture(desk: Desk, now: float = NOW) -> str:
    shown = Picture(Screen(environ={}), "http://here", "9001", "/tmp/env")
    return "\n".join(shown.lines(desk, Hearing({}, on_phone=False), (100, 24), now))


def test_what_is_refused_is_said_and_for_a_while(service: Service) -> None:
    service.call()
    with desk_of(service, token(roles=[])) as desk:
        settled(desk, lambda: desk.call)
        desk.coach("whisper", NOW)
        assert "[role_missing]" in desk.message(NOW + 4.9)
        assert desk.message(NOW + 5.1) == ""
        desk.coach("listen", NOW)
        settled(desk, lambda: desk.live and desk.live["settled"])
        assert not desk.restless
        desk.coach("barge", NOW + 10)
        assert "[role_missing]" in picture(desk, NOW + 10)
        assert hint_of(desk) in picture(desk, NOW + 20)
        desk.leave(NOW)
        settled(desk, lambda: desk.live is None)
        desk.leave(NOW)
        assert desk.message(NOW) == "You are on no call."


def test_nobody_there_is_an_error() -> None:
    service = Service().start()
    service.call()
    with desk_of(service, token()) as desk:
        settled(desk, lambda: desk.call)
        service.stop()
        with pytest.raises(Refused, match="cannot be reached"):
            desk.coach("listen", NOW)


def test_others_on_the_call_are_shown(service: Service) -> None:
    call = service.call()
    with desk_of(service, token()) as desk, desk_of(service, token(sub="coach-2", name="Alan")) as other:
        settled(other, lambda: other.call)
        other.coach("listen", NOW)
        settled(desk, lambda: desk.coaches)
        assert "Alan" in next(line for line in picture(desk).splitlines() if "▸" in line)
        assert [each["call"] for each in desk.coaches.values()] == [call]
        other.leave(NOW)
        settled(desk, lambda: not desk.coaches)
        assert any("Alan left" in line for _, line in desk.lately)


def test_the_selection_stays_in_its_place(service: Service) -> None:
    with desk_of(service, token(queues=["*"])) as desk:
        first, second = service.call("a", user="1001"), service.call("b", user="1002")
        settled(desk, lambda: len(desk.calls) == 2)
        listed = [call["id"] for call in desk.listed]
        assert sorted(listed) == sorted([first, second])
        assert desk.selected == listed[0]
        desk.move(1)
        desk.move(1)
        assert desk.selected == listed[1]
        desk.move(-5)
        assert desk.selected == listed[0]
        name = {first: "a", second: "b"}[listed[0]]
        service.run(lambda: service.switch.hang_up(f"{name}-agent", f"{name}-caller"))
        settled(desk, lambda: desk.selected == listed[1])
        name = {"a": "b", "b": "a"}[name]
        service.run(lambda: service.switch.hang_up(f"{name}-agent", f"{name}-caller"))
        settled(desk, lambda: desk.selected is None)
        desk.move(1)
        desk.coach("listen", NOW)
        assert desk.message(NOW).startswith("There is no call.")
        assert "Waiting for a call" in picture(desk, NOW + 60)


def test_a_beep_that_failed_and_a_lost_switch(service: Service) -> None:
    service.call()
    service.switch.beeps = False
    with desk_of(service, token()) as desk:
        settled(desk, lambda: desk.call)
        desk.coach("whisper", NOW)
        settled(desk, lambda: desk.message(NOW))
        assert desk.message(NOW) == "The agent did not hear the beep: no such file"
        service.run(service.switch.lose)
        settled(desk, lambda: any("switch fs1 lost" in line for _, line in desk.lately))


def test_push_to_talk_is_said_again_in_time_and_let_go_of(service: Service) -> None:
    service.call()
    with desk_of(service, token()) as desk:
        settled(desk, lambda: desk.call)
        desk.coach("whisper", NOW)
        settled(desk, lambda: desk.live and desk.live["settled"])
        desk.talk(NOW)
        settled(desk, lambda: desk.live and desk.live["gate"] == "closed")
        desk.press(NOW)
        settled(desk, lambda: desk.live and desk.live["gate"] == "agent")
        assert "push-to-talk, held" in picture(desk)
        desk.hold(NOW + 0.1)  # not yet
        desk.hold(NOW + 0.7)  # the first repetition of a key takes its time
        desk.hold(NOW + 0.9)
        desk.hold(NOW + 1.0)
        assert recorded(desk) == ["sessions", "press", "press", "release"]
        settled(desk, lambda: desk.live and not desk.live["pressed"])
        settled(desk, lambda: desk.live and desk.live["gate"] == "closed")
