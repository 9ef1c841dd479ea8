"""`ccwhisper serve` against the simulator, over HTTP and the Event Socket: who hears whom is asked of the simulator."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from ccwhisper.coaching.policy import AUDIT
from ccwhisper.proof.node import event_socket_api
from ccwhisper.proof.service import Api, ServiceProcess

pytestmark = pytest.mark.e2e

PASSWORD = "a-password-for-the-simulator"
DOMAIN = "ccwhisper.local"
CALLER = "+493023125042"


class Switch:
    """The simulator's process, and what can be asked of it."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "ccwhisper.simulator", "--ring", "0.02", "--domain", DOMAIN],
            env={**os.environ, "CCW_ESL_PASSWORD": PASSWORD},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout
        self.about = json.loads(self.process.stdout.readline())
        self.port = self.about["port"]

    def api(self, command: str) -> str:
        return event_socket_api(self.port, PASSWORD, command)

    def sim(self, command: str) -> Any:
        answer = self.api(f"sim {command}")
        assert not answer.startswith("-ERR"), answer
        return None if answer.startswith("+OK") else json.loads(answer)

    def hears(self, leg: str, ms: int = 100) -> dict[str, float]:
        """What a leg hears for so long, from now on: dBFS by party."""
        time.sleep(ms / 1000 + 0.04)  # a gate moves within a frame
        return {name: each["dbfs"] for name, each in self.sim(f"hears {leg} {ms}")["heard"].items()}

    def legs(self) -> dict[str, dict[str, Any]]:
        return {each["party"]: each for each in self.sim("legs")}

    def close(self) -> None:
        self.process.terminate()
        self.process.wait(5)
        assert self.process.stdout
        self.process.stdout.close()


@dataclass
class Stage:
    switch: Switch
    service: ServiceProcess
    apis: dict[str, Api]

    def api(self, who: str, device: str) -> Api:
        if who not in self.apis:
            self.apis[who] = self.service.api(who, devices=[f"{device}@{DOMAIN}"])
        return self.apis[who]

    def call(self, agent: str = "1001") -> SimpleNamespace:
        legs = self.switch.sim(f"call {agent} {CALLER} Ada+Ahorn")
        desk = self.api("desk", "9009")
        seen = until(lambda: [c for c in desk.ask("GET", "/calls")["calls"] if c["agents"][0]["agent"] == agent])
        return SimpleNamespace(id=seen[0]["id"], caller=legs["caller"], agent=legs["agent"], seen=seen[0])

    def coach(self, who: str, device: str, **body: Any) -> Coach:
        coach = Coach(self.api(who, device), "", "")
        coach.session = coach.api.ask("POST", "/sessions", body)["id"]
        coach.wait("listening")
        coach.leg = self.switch.legs()[device]["leg"]
        return coach


@dataclass
class Coach:
    api: Api
    session: str
    leg: str

    def put(self, what: str, value: Any) -> None:
        self.api.ask("PUT", f"/sessions/{self.session}/{what}", {what: value})
        self.wait("gate")

    def post(self, what: str) -> None:
        self.api.ask("POST", f"/sessions/{self.session}/{what}")

    def view(self) -> dict[str, Any]:
        view: dict[str, Any] = self.api.ask("GET", f"/sessions/{self.session}")
        return view

    def wait(self, what: str) -> dict[str, Any]:
        view: dict[str, Any] = self.api.ask("GET", f"/sessions/{self.session}", wait=what, timeout=5)
        assert {"listening": view["phase"] == "attached", "gate": view["settled"], "ended": view["phase"] == "ended"}[
            what
        ], view
        return view


def until(what: Callable[[], Any], seconds: float = 5.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
    return value


@pytest.fixture(scope="module")
def whole() -> Iterator[Stage]:
    switch = Switch()
    node = SimpleNamespace(host="127.0.0.1", esl_port=switch.port, esl_password=PASSWORD, domain=DOMAIN)
    apis: dict[str, Api] = {}
    try:
        with ServiceProcess(node) as service:  # type: ignore[arg-type]  # it asks for nothing else of a node
            yield Stage(switch, service, apis)
    finally:
        for api in apis.values():
            api.close()
        switch.close()


@pytest.fixture
def stage(whole: Stage) -> Iterator[Stage]:
    yield whole
    whole.switch.sim("clear")
    desk = whole.api("desk", "9009")
    until(lambda: not desk.ask("GET", "/calls")["calls"] and not desk.ask("GET", "/sessions")["coaches"])
    assert whole.switch.legs() == {}


def test_it_says_that_it_is_a_simulator(stage: Stage) -> None:
    assert stage.switch.about["simulator"] is True
    assert "simulator" in stage.switch.api("version")
    assert "not for production" in stage.switch.api("status")


def test_every_mode_and_every_hand_on_the_gate(stage: Stage) -> None:
    call = stage.call()
    assert call.seen["number"] == CALLER
    assert call.seen["name"] == "Ada Ahorn"
    carla = stage.coach("carla", "9001", call=call.id)
    switch = stage.switch

    def who(leg: str) -> set[str]:
        return {name for name in switch.hears(leg) if name != "beep"}

    def told(*, agent: bool, caller: bool) -> None:
        assert who(call.agent) == {CALLER} | ({"9001"} if agent else set())
        assert who(call.caller) == {"1001"} | ({"9001"} if caller else set())
        assert who(carla.leg) == {CALLER, "1001"}

    told(agent=False, caller=False)
    carla.put("mode", "whisper")
    told(agent=True, caller=False)
    assert switch.hears(call.agent)["9001"] == pytest.approx(-16, abs=0.5)
    carla.put("muted", True)
    told(agent=False, caller=False)
    carla.put("muted", False)
    carla.put("mode", "barge")
    told(agent=True, caller=True)
    carla.put("talk", "push")
    told(agent=False, caller=False)
    carla.post("press")
    carla.wait("gate")
    told(agent=True, caller=True)
    carla.post("release")
    carla.wait("gate")
    told(agent=False, caller=False)
    carla.post("press")  # and never again: the client is gone
    until(lambda: not carla.view()["pressed"])
    carla.wait("gate")
    told(agent=False, caller=False)
    carla.put("talk", "open")
    carla.put("mode", "listen")
    told(agent=False, caller=False)
    # Nothing of the agent's speech was lost for the caller by attaching, beeping and switching.
    lasted = 1000
    assert switch.sim(f"frames {call.caller} 1001 {lasted}")["missing"] == 0
    carla.api.ask("DELETE", f"/sessions/{carla.session}")
    assert carla.wait("ended")["reason"]
    assert {call.caller, call.agent} == {leg["leg"] for leg in switch.legs().values()}


def test_take_over(stage: Stage) -> None:
    call = stage.call()
    carla = stage.coach("carla", "9001", call=call.id, mode="whisper")
    dora = stage.coach("dora", "9002", call=call.id)
    carla.post("take-over")
    assert carla.wait("ended")["reason"] == "took_over"
    assert dora.wait("ended")["reason"] == "taken_over"
    until(lambda: set(stage.switch.legs()) == {CALLER, "9001"})
    until(lambda: stage.switch.legs()["9001"]["peer"] == call.caller)
    assert set(stage.switch.hears(call.caller)) == {"9001"}
    assert set(stage.switch.hears(carla.leg)) == {CALLER}
    assert "variable_ccw_" not in stage.switch.api(f"uuid_dump {carla.leg} json")
    stage.switch.sim(f"hangup {call.caller}")
    until(lambda: not stage.switch.legs())


def test_the_next_caller_of_an_agent_who_stays_off_hook_does_not_hear_the_barge(stage: Stage) -> None:
    agent = stage.switch.sim("offhook 1004")["leg"]
    for other in set(range(1001, 1009)) - {1004}:
        stage.switch.api(f"callcenter_config agent set status {other}@{DOMAIN} 'On Break'")
    first = stage.switch.sim("queue")["caller"]
    desk = stage.api("desk", "9009")
    until(lambda: desk.ask("GET", "/calls")["calls"])
    carla = stage.coach("carla", "9001", agent="1004", mode="barge", follow="agent")
    until(lambda: carla.view()["gate"] == "everyone")
    assert "9001" in stage.switch.hears(first)
    stage.switch.sim(f"hangup {first}")
    second = stage.switch.sim("queue")["caller"]
    until(lambda: stage.switch.legs()["1004"]["peer"] == second)
    until(lambda: carla.view()["mode"] == "listen")
    assert set(stage.switch.hears(second, 60)) == {"1004"}
    heard = stage.switch.sim(f"hears {second} 3000")["heard"]
    assert "9001" not in heard, "not even for a frame"
    assert stage.switch.legs()["1004"]["leg"] == agent


def test_a_transfer_and_a_hold(stage: Stage) -> None:
    call = stage.call()
    carla = stage.coach("carla", "9001", call=call.id, mode="whisper")
    until(lambda: carla.view()["gate"] == "agent")
    stage.switch.sim(f"hold {call.agent}")
    until(lambda: carla.view()["gate"] == "closed")
    assert stage.switch.hears(carla.leg, 60) == {}
    stage.switch.sim(f"unhold {call.agent}")
    until(lambda: carla.view()["gate"] == "agent")
    stage.switch.sim(f"transfer {call.agent} 1002")
    until(lambda: stage.switch.legs().get("1002", {}).get("coaches") == [carla.leg])
    assert set(stage.switch.hears(carla.leg, 60)) == {CALLER, "1002"}
    assert "9001" not in stage.switch.hears(call.caller, 60)


# --- the trail -------------------------------------------------------------------------------------------------------


def test_the_trail_outlives_a_crash_and_has_the_switch_s_time_of_what_happened_there(stage: Stage) -> None:
    call = stage.call()
    coach = stage.coach("carla", "9001", call=call.id)

    def rows(action: str) -> list[dict[str, Any]]:
        with contextlib.closing(stage.service.api("audrey", permissions=[AUDIT])) as auditor:
            found: list[dict[str, Any]] = auditor.ask("GET", "/audit", session=coach.session, action=action)["rows"]
        return found

    until(lambda: rows("listen"))
    assert rows("start")[0]["switch_at"] is None
    stage.service.kill()
    stage.service.start()
    while stage.apis:
        stage.apis.popitem()[1].close()  # it answers on another port now
    assert len(rows("listen")) == 1
    stage.switch.sim(f"hangup {call.caller}")
    (end,) = until(lambda: rows("end"))
    for row in (*rows("listen"), end):
        apart = datetime.fromisoformat(row["at"]) - datetime.fromisoformat(row["switch_at"])
        assert abs(apart) < timedelta(seconds=60), "the same moment, by two clocks"
    assert end["epoch"] != rows("listen")[0]["epoch"]
    assert end["installation"] == rows("listen")[0]["installation"]
    assert end["name"] == "Carla"
