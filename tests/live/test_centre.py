"""Agents' status and queues' callers, as a real mod_callcenter has them: told as they change, and read again.

A service of its own, so that it can be restarted and its cable be cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import LEVEL, TONES, Stage, wait_until
from tests.scenarios.cable import Cable

pytestmark = pytest.mark.live

CALLERS = ("1001", "1002")  # the agents whom callers reach by themselves
FORGED = b'"Eve|x%0Asupport@default|single_box|forged" '
"""A name that would be a second caller in a list of rows between bars."""


@pytest.fixture
def stage(own_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """Everybody is on break."""
    for agent in CALLERS:
        status(own_stage, agent, "On Break")

    def restored() -> None:
        for agent in CALLERS:
            status(own_stage, agent, "Available")

    yield from on_stage(own_stage, restored)


def status(stage: Stage, agent: str, word: str) -> None:
    assert stage.node.api(f"callcenter_config agent set status {agent}@{stage.node.domain} '{word}'") == "+OK\n"


def listed(stage: Stage, what: str) -> list[dict[str, str]]:
    """What the switch itself lists."""
    answer = stage.node.api(f'json {{"command":"callcenter_config","data":{{"arguments":"{what} list"}}}}')
    found: list[dict[str, str]] = json.loads(answer)["response"]
    return found


def agents(stage: Stage) -> dict[str, dict[str, Any]]:
    return {each["id"]: each for each in stage.desk().ask("GET", "/agents")["agents"]}


def agent(stage: Stage, name: str) -> tuple[str, str]:
    """His status and state, as the API shows them."""
    found = agents(stage)[name]
    return found["status"], found["state"]


def queue(stage: Stage) -> dict[str, Any]:
    [found] = stage.desk().ask("GET", "/queues")["queues"]
    assert found["name"] == "support@default"
    return dict(found)


def shown(stage: Stage) -> Any:
    """All of it."""
    return agents(stage), queue(stage)


def restart(stage: Stage) -> None:
    stage.service.kill()
    stage.service.start()
    stage.forget_connections()


def test_an_agent_takes_a_break(stage: Stage) -> None:
    wait_until("he is on break", lambda: agent(stage, "1001") == ("on_break", "waiting"))
    [row] = [each for each in listed(stage, "agent") if each["name"].startswith("1001@")]
    assert abs(agents(stage)["1001"]["since"] - int(row["last_status_change"])) <= 1
    for word, shows in (("Available (On Demand)", "available_on_demand"), ("Logged Out", "logged_out")):
        status(stage, "1001", word)
        wait_until(word, lambda shows=shows: agent(stage, "1001") == (shows, "waiting"))
    assert queue(stage)["agents"] == {"available": 0, "on_call": 0, "on_break": 1}


def test_a_caller_waits_is_answered_and_goes(stage: Stage) -> None:
    wait_until("nobody is there", lambda: queue(stage)["agents"]["on_break"] == 2)
    phone = stage.phone("1001", Tone(TONES["agent"], LEVEL))
    caller = stage.caller_phone().dial("5000", display_name=FORGED).wait("up", 10)
    waiting = wait_until("he waits", lambda: queue(stage) if queue(stage)["waiting"] else None)
    [member] = [each for each in listed(stage, "member") if each["state"] != "Abandoned"]
    assert waiting["waiting"] == 1
    assert waiting["callers"] == [
        {"name": member["cid_name"], "number": "+4930123", "since": waiting["longest_waiting_since"]}
    ]
    assert "|single_box|forged" in member["cid_name"]
    assert abs(waiting["longest_waiting_since"] - int(member["joined_epoch"])) <= 1
    before = shown(stage)
    restart(stage)
    assert shown(stage) == before, "what is read is what was told"

    status(stage, "1001", "Available")
    answered = phone.wait_call(5).wait("up")
    wait_until("he is served", lambda: queue(stage)["waiting"] == 0)
    wait_until("by this agent", lambda: agent(stage, "1001") == ("available", "in_a_queue_call"))
    assert queue(stage) == {**waiting, "waiting": 0, "callers": [], "longest_waiting_since": None,
                            "agents": {"available": 0, "on_call": 1, "on_break": 1}}  # fmt: skip
    wait_until("his call is shown", lambda: agents(stage)["1001"]["calls"])
    before = shown(stage)
    restart(stage)
    assert shown(stage) == before

    caller.hangup()
    answered.wait("ended")
    wait_until("he is free", lambda: agent(stage, "1001") == ("available", "waiting"))
    wait_until("the queue is empty", lambda: queue(stage)["agents"]["available"] == 1)
    assert queue(stage)["waiting"] == 0


def test_a_caller_who_gives_up_waits_no_more(stage: Stage) -> None:
    caller = stage.caller_phone().dial("5000").wait("up", 10)
    wait_until("he waits", lambda: queue(stage)["waiting"] == 1)
    caller.hangup()
    wait_until("he is gone", lambda: queue(stage)["waiting"] == 0)
    assert {each["state"] for each in listed(stage, "member")} == {"Abandoned"}, "the switch keeps him for a while"
    restart(stage)
    assert queue(stage)["waiting"] == 0


def test_an_event_that_a_client_raised_changes_nothing(stage: Stage) -> None:
    wait_until("he is on break", lambda: agent(stage, "1001")[0] == "on_break")
    name = f"1001@{stage.node.domain}"
    whole = ("Event-Subclass: callcenter::info", f"CC-Agent: {name}", "CC-Action: agent-status-change")
    stage.node.send_event("CUSTOM", *whole, "CC-Agent-Status: Available")
    status(stage, "1002", "Logged Out")  # told after it
    wait_until("the next is heard", lambda: agent(stage, "1002")[0] == "logged_out")
    assert agent(stage, "1001")[0] == "on_break"


def test_a_switch_without_a_call_centre(stage: Stage, cable: Cable) -> None:
    """Calls are shown and coached, agents have no status, and there is no queue; when it is back, so is all of it."""
    before = agents(stage)["1001"]
    assert stage.node.api("unload mod_callcenter").startswith("+OK")
    try:
        reconnect(stage, cable)
        assert stage.desk().ask("GET", "/queues")["queues"] == []
        assert agents(stage)["1001"] == {**before, "status": None, "state": None, "since": None}
        scene = stage.call()
        carla = stage.coach("carla", scene, "whisper")
        assert carla.view()["settled"]
    finally:
        assert stage.node.api("load mod_callcenter").startswith("+OK")
    reconnect(stage, cable)
    assert queue(stage)["waiting"] == 0
    assert agent(stage, "1001") == ("available", "waiting")


def reconnect(stage: Stage, cable: Cable) -> None:
    cable.cut()
    wait_until("the service knows", lambda: not healthy(stage))
    cable.mend()
    wait_until("the service is back", lambda: healthy(stage), 10)


def healthy(stage: Stage) -> bool:
    return bool(stage.desk().ask("GET", "/health")["status"] == "ok")
