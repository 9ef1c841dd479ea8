"""Eavesdrops of others, on a real switch: noticed, shown and audited while they last, and ours never taken for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.service import ServiceProcess
from ccwhisper.proof.stage import DEVICES, Scene, Stage, wait_until
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

SPY = "emil"  # whose phone a program on the switch lets listen


@pytest.fixture(scope="module")
def whole(node: PrivateNode) -> Iterator[Stage]:
    """With a service of its own, which is started anew."""
    with Stage(node, TIMES) as stage:
        yield stage


@pytest.fixture
def stage(whole: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    yield from on_stage(whole)


def listens(stage: Stage, how: str) -> PhoneCall:
    """Somebody with access to the switch has a phone ring, and lets it run an application."""
    phone = stage.phone_of(DEVICES[SPY], SPY)
    stage.node.api(f"bgapi originate user/{stage.device(SPY)} {how}")
    return phone.wait_call(10).wait("up", 10)


def taps(api: Any, scene: Scene) -> list[dict[str, Any]]:
    return [tap for call in api.ask("GET", "/calls")["calls"] if call["id"] == scene.id for tap in call["taps"]]


def shown(api: Any, scene: Scene) -> list[dict[str, Any]]:
    """The taps of a call, once there are any."""
    found: list[dict[str, Any]] = wait_until("the tap is shown", lambda: taps(api, scene), 15)
    return found


def rows(stage: Stage, scene: Scene) -> list[tuple[str, str]]:
    """What the trail has of taps on a call, oldest first."""
    reader = stage.service.api("auditor", permissions=["view_audit_trail"])
    try:
        found = reader.ask("GET", "/audit", call=scene.id)["rows"]
    finally:
        reader.close()
    return [(row["action"], row["name"]) for row in reversed(found) if row["action"].startswith("tap")]


def written(stage: Stage, scene: Scene, wanted: list[tuple[str, str]]) -> None:
    """Waits until the trail has as many rows as are wanted, and they are those."""
    wait_until("it is in the trail", lambda: len(rows(stage, scene)) >= len(wanted), 15)
    assert rows(stage, scene) == wanted


def test_an_eavesdrop_of_another_application_is_noticed(stage: Stage) -> None:
    """On either leg, beside a coach of ours who goes on as he was; known again after a restart."""
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper")
    device = stage.device(SPY)
    wanted = [(action, device) for action in ("tap", "tap_end", "tap", "tap", "tap_end")]
    for application, party, on in (("eavesdrop", scene.agent, "1001"), ("three_way", scene.caller, None)):
        spy = listens(stage, f"&{application}({stage.leg_of(party)})")
        leg = stage.leg_of(spy)
        assert shown(stage.desk(), scene) == [{"who": device, "kind": "unknown", "on": on, "leg": leg}]
        assert carla.view()["settled"]
        if application == "three_way":
            written(stage, scene, wanted[:3])  # what is on its way to the disk dies with the service
            stage.service.kill()
            stage.service.start()
            stage.forget_connections()
            assert [tap["leg"] for tap in shown(stage.desk(), scene)] == [leg]
        spy.hangup()
        wait_until("the tap is gone", lambda: not taps(stage.desk(), scene), 10)
    written(stage, scene, wanted)


def test_coaches_of_ours_are_no_taps(stage: Stage) -> None:
    """Attaching, changing modes, attached anew, leaving: the first tap of the trail is that of somebody else."""
    scene = stage.call()
    carla, dora = stage.coach("carla", scene, "whisper"), stage.coach("dora", scene)
    dora.mode("barge")
    moved = f"'eavesdrop:{stage.leg_of(scene.agent)},park' inline"
    stage.node.api(f"uuid_transfer {stage.leg_of(carla.call)} {moved}")  # as the switch's dead-man does
    dora.leave()
    listens(stage, f"&eavesdrop({stage.leg_of(scene.agent)})")
    shown(stage.desk(), scene)
    carla.leave()
    written(stage, scene, [("tap", stage.device(SPY))])


def test_a_coach_of_another_installation_is_told_apart(stage: Stage) -> None:
    scene = stage.call()
    stage.coach("carla", scene)
    with ServiceProcess(stage.node) as other:
        dora = other.api("dora", devices=[stage.device("dora")])
        wait_until("the other one knows the call", lambda: dora.ask("GET", "/calls")["calls"], 10)
        phone = stage.phone_of(DEVICES["dora"], "dora")
        session = dora.ask("POST", "/sessions", {"call": scene.id})["id"]
        phone.wait_call(10)
        dora.ask("GET", f"/sessions/{session}", wait="listening")
        for api, name in ((stage.desk(), "Dora"), (dora, "Carla")):
            seen = [(tap["who"], tap["kind"], tap["on"]) for tap in shown(api, scene)]
            assert seen == [(name, "other_installation", "1001")]
        dora.ask("DELETE", f"/sessions/{session}")
        dora.close()
        wait_until("she is gone", lambda: not taps(stage.desk(), scene), 10)
