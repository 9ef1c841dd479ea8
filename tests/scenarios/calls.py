"""Every kind of call that an agent can be on: inbound, through the call centre, outbound, between agents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.scenarios.stage import NUMBERS, Refused, Scene, Stage, wait_until


@contextmanager
def alone_in_the_queue(stage: Stage) -> Iterator[None]:
    """Only agent 1001 is there for the call centre's callers."""
    other = f"1002@{stage.node.domain}"
    stage.node.api(f"callcenter_config agent set status {other} 'On Break'")
    try:
        yield
    finally:
        stage.node.api(f"callcenter_config agent set status {other} Available")


def test_a_call_through_the_call_centre(stage: Stage) -> None:
    with alone_in_the_queue(stage):
        scene = stage.call("1001", number="5000")
    [call] = stage.calls()
    assert (call["direction"], call["queue"], call["number"]) == ("inbound", "support@default", NUMBERS["caller"])
    assert [each["agent"] for each in call["agents"]] == ["1001"]
    carla = stage.coach("carla", scene, "whisper")
    stage.expect(scene, [carla], label="whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    carla.mode("barge")
    stage.expect(scene, [carla], label="barge", caller={"agent", "carla"}, agent={"caller", "carla"},
                 beep_allowed=True)  # fmt: skip


def test_an_outbound_call(stage: Stage) -> None:
    agent = stage.phone_of("1002", "agent").dial("95551234").wait("up")
    far = stage.carrier.wait_call().wait("up")
    [call] = wait_until("the API shows the call", stage.calls)
    assert (call["direction"], call["number"], call["agents"]) == (
        "outbound", "95551234", [{"agent": "1002", "name": "Agent 1002"}]
    )  # fmt: skip
    scene = Scene(call["id"], far, agent, "1002")
    carla = stage.coach("carla", scene, "whisper")
    stage.expect(scene, [carla], label="whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    carla.mode("barge")
    stage.expect(scene, [carla], label="barge", caller={"agent", "carla"}, agent={"caller", "carla"},
                 beep_allowed=True)  # fmt: skip
    carla.mode("listen")
    stage.expect(scene, [carla], label="listen", caller={"agent"}, agent={"caller"}, beep_allowed=True)


def test_a_token_for_another_queue_neither_sees_nor_coaches_it(stage: Stage) -> None:
    with alone_in_the_queue(stage):
        scene = stage.call("1001", number="5000")
    stranger = stage.service.api("stranger", queues=["sales@default"], devices=[stage.device("dora")])
    try:
        assert stranger.ask("GET", "/calls")["calls"] == []
        with pytest.raises(Refused, match="call_not_found"):
            stranger.ask("POST", "/sessions", {"call": scene.id})
    finally:
        stranger.close()


def test_between_two_agents_the_one_who_is_coached_is_named(stage: Stage) -> None:
    phone = stage.phone_of("1001", "agent")
    other = stage.phone_of("1002", "caller").dial("1001").wait("up")
    agent = phone.wait_call().wait("up")
    [call] = wait_until("the API shows the call", stage.calls)
    assert call["direction"] == "internal"
    assert sorted(each["agent"] for each in call["agents"]) == ["1001", "1002"]
    with pytest.raises(Refused, match="target_must_be_named"):
        stage.coach("carla", Scene(call["id"], other, agent, ""))
    # For a coach of 1001 the other one is as a caller is, and the other way round.
    for target, here, there in (("1001", agent, other), ("1002", other, agent)):
        names = ("caller", "agent") if target == "1001" else ("agent", "caller")
        scene = Scene(call["id"], there, here, target, *names)
        carla = stage.coach("carla", scene, "whisper", agent=target)
        stage.expect(scene, [carla], label=f"whisper to {target}", caller={names[1]}, agent={names[0], "carla"},
                     beep_allowed=True)  # fmt: skip
        carla.leave()
        if target == "1001":
            stage.after_beep(scene)


def test_a_follower_is_there_from_the_first_call(stage: Stage) -> None:
    carla = stage.coach("carla", "1001", follow="agent")
    wait_until("carla waits", lambda: carla.view()["phase"] == "waiting")
    with alone_in_the_queue(stage):
        for number in ("2001", "5000"):
            scene = stage.call("1001", number=number)
            wait_until("carla listens", lambda: carla.view()["settled"])
            stage.expect(scene, [carla], label=f"listening, {number}", caller={"agent"}, agent={"caller"})
            scene.caller.hangup()
            wait_until("carla waits", lambda: carla.view()["phase"] == "waiting")
    carla.leave()
