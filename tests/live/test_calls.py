"""Every kind of call that an agent can be on: inbound, through the call centre, outbound, between agents."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import Phone, PhoneBank
from ccwhisper.proof.stage import Refused, Scene, Stage, wait_until
from tests.live.report import Report

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def carrier() -> Iterator[Phone]:
    """The far end of the trunk; it answers every number."""
    with PhoneBank() as bank:
        yield bank.phone("carrier", registrar=None, source=Stage.tone("caller"))


@pytest.fixture(scope="module")
def own_stage(freeswitch: Path, carrier: Phone) -> Iterator[Stage]:
    """A node whose trunk leads somewhere."""
    with PrivateNode(binary=freeswitch, trunk_peer=carrier.uri.split("@")[1]) as node, Stage(node) as stage:
        yield stage


@pytest.fixture
def outside(own_stage: Stage, report: Report, request: pytest.FixtureRequest) -> Iterator[Stage]:
    own_stage.verdicts.clear()
    yield own_stage
    report.add(own_stage.node.version, request.node.name, own_stage.verdicts)
    own_stage.clear()


def test_a_call_through_the_call_centre(outside: Stage) -> None:
    outside.node.api(f"callcenter_config agent set status 1002@{outside.node.domain} 'On Break'")
    scene = outside.call("1001", number="5000")
    [call] = outside.calls()
    assert (call["direction"], call["queue"], call["number"]) == ("inbound", "support@default", "+4930123")
    assert [each["agent"] for each in call["agents"]] == ["1001"]
    carla = outside.coach("carla", scene, "whisper")
    outside.expect(scene, [carla], label="whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    carla.mode("barge")
    outside.expect(scene, [carla], label="barge", caller={"agent", "carla"}, agent={"caller", "carla"})


def test_a_token_for_another_queue_neither_sees_nor_coaches_it(outside: Stage) -> None:
    scene = outside.call("1001", number="5000")
    stranger = outside.service.api("stranger", queues=["sales@default"], devices=[outside.device("dora")])
    try:
        assert stranger.ask("GET", "/calls")["calls"] == []
        with pytest.raises(Refused, match="call_not_found"):
            stranger.ask("POST", "/sessions", {"call": scene.id})
    finally:
        stranger.close()


def test_an_outbound_call(outside: Stage, carrier: Phone) -> None:
    agent = outside.phone("1002", outside.tone("agent")).dial("95551234").wait("up")
    far = carrier.wait_call().wait("up")
    [call] = wait_until("the API shows the call", outside.calls)
    assert (call["direction"], call["number"], call["agents"]) == (
        "outbound", "95551234", [{"agent": "1002", "name": "Agent 1002"}]
    )  # fmt: skip
    scene = Scene(call["id"], far, agent, "1002")
    carla = outside.coach("carla", scene, "whisper")
    outside.expect(scene, [carla], label="whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    carla.mode("barge")
    outside.expect(scene, [carla], label="barge", caller={"agent", "carla"}, agent={"caller", "carla"})
    carla.mode("listen")
    outside.expect(scene, [carla], label="listen", caller={"agent"}, agent={"caller"})


def test_between_two_agents_the_one_who_is_coached_is_named(outside: Stage) -> None:
    phone = outside.phone("1001", outside.tone("agent"))
    other = outside.phone("1002", outside.tone("caller")).dial("1001").wait("up")
    agent = phone.wait_call().wait("up")
    [call] = wait_until("the API shows the call", outside.calls)
    assert call["direction"] == "internal"
    assert sorted(each["agent"] for each in call["agents"]) == ["1001", "1002"]
    with pytest.raises(Refused, match="target_must_be_named"):
        outside.coach("carla", Scene(call["id"], other, agent, ""))
    # For a coach of 1001 the other one is as a caller is, and the other way round.
    for target, here, there in (("1001", agent, other), ("1002", other, agent)):
        names = ("caller", "agent") if target == "1001" else ("agent", "caller")
        scene = Scene(call["id"], there, here, target, *names)
        carla = outside.coach("carla", scene, "whisper", agent=target)
        outside.expect(scene, [carla], label=f"whisper to {target}", caller={names[1]}, agent={names[0], "carla"},
                       beep_allowed=True)  # fmt: skip
        carla.leave()


def test_a_follower_is_there_from_the_first_call(outside: Stage) -> None:
    carla = outside.coach("carla", "1001", follow="agent")
    wait_until("carla waits", lambda: carla.view()["phase"] == "waiting")
    for number in ("2001", "5000"):
        scene = outside.call("1001", number=number)
        wait_until("carla listens", lambda: carla.view()["settled"])
        outside.expect(scene, [carla], label=f"listening, {number}", caller={"agent"}, agent={"caller"})
        scene.caller.hangup()
        wait_until("carla waits", lambda: carla.view()["phase"] == "waiting")
    carla.leave()
