"""An agent whose codec becomes a narrower one than his coach's, on the simulator."""

from __future__ import annotations

import pytest

from ccwhisper.proof.scene import BEEP
from tests.scenarios.simulated import SimStage
from tests.scenarios.stage import SILENT, TONES, Coach, Scene, wait_until

pytestmark = pytest.mark.protocol


def in_mode(stage: SimStage, scene: Scene, carla: Coach, mode: str) -> bool:
    """He is in this mode, as the service says and as the agent hears; and no beep is left."""
    view = carla.view()
    heard = stage.listen({"agent": scene.agent}, {"carla": TONES["carla"], "beep": BEEP})["agent"]
    said = view["phase"] == "attached" and view["mode"] == mode and view["settled"]
    return bool(said and heard["carla"] > SILENT and heard["beep"] < SILENT)


@pytest.mark.parametrize("mode", ["whisper", "barge"])
def test_the_coachs_phone_is_given_another_codec_and_does_not_ring(stage: SimStage, mode: str) -> None:
    scene = stage.call()
    agent = stage.leg_of(scene.agent)
    stage.node.sim(f"codec {agent} 16000")
    scene.agent.hold()  # what is said of it comes after the codec
    wait_until("the call is shown on hold", lambda: stage.calls()[0]["held"])
    scene.agent.unhold()
    wait_until("and is not any more", lambda: not stage.calls()[0]["held"])
    carla = stage.coach("carla", scene, mode)
    leg = stage.leg_of(carla.heard_by_phone)
    stage.node.sim(f"codec {leg} 16000")
    heard = {"caller": {"agent", "carla"} if mode == "barge" else {"agent"}, "agent": {"caller", "carla"}}
    wait_until("he is in his mode on G.722", lambda: in_mode(stage, scene, carla, mode))
    stage.expect(scene, [carla], label="both on G.722", **heard)
    assert stage.dump(leg)["Channel-Write-Codec-Name"] == "G722"
    stage.node.sim(f"codec {agent} 8000")
    wait_until("his phone has another codec", lambda: stage.dump(leg)["Channel-Write-Codec-Name"] == "PCMU")
    wait_until("he is in his mode again", lambda: in_mode(stage, scene, carla, mode))
    stage.expect(scene, [carla], label="both on G.711", **heard)
