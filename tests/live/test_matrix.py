"""Who hears whom, in every mode: the promise of the product, on a real switch with real SIP legs."""

from __future__ import annotations

import pytest

from ccwhisper.proof.stage import BEEP, TONES, Stage, wait_until
from ccwhisper.proof.tones import level_dbfs

pytestmark = pytest.mark.live

PAIR = {"caller", "agent"}


def test_listen_whisper_barge_and_back(stage: Stage) -> None:
    scene = stage.call()
    stage.expect(scene, label="before anybody coaches", caller={"agent"}, agent={"caller"})
    carla = stage.coach("carla", scene)
    quiet = {"caller": {"agent"}, "agent": {"caller"}}
    stage.expect(scene, [carla], label="listen", **quiet)
    carla.mode("whisper")
    stage.expect(scene, [carla], label="whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    carla.mode("listen")
    stage.expect(scene, [carla], label="listen again", **quiet)
    carla.mode("barge")
    stage.expect(scene, [carla], label="barge", caller={"agent", "carla"}, agent={"caller", "carla"})
    carla.mode("whisper")
    stage.expect(
        scene, [carla], label="from barge to whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True
    )
    carla.mode("listen")
    stage.expect(scene, [carla], label="back in listen", **quiet)
    carla.leave()
    stage.expect(scene, label="after the coach has left", **quiet)


def test_a_request_to_whisper_listens_first(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper")
    stage.expect(scene, [carla], caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)


def test_mute(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper")
    carla.mute()
    carla.wait()
    stage.expect(scene, [carla], label="muted", caller={"agent"}, agent={"caller"}, beep_allowed=True)
    carla.mute(False)
    carla.wait()
    stage.expect(scene, [carla], label="unmuted", caller={"agent"}, agent={"caller", "carla"})
    carla.mode("barge")
    carla.mute()
    carla.wait()
    stage.expect(scene, [carla], label="barge, muted", caller={"agent"}, agent={"caller"})


def test_push_to_talk(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper", talk="push")
    stage.expect(scene, [carla], label="released", caller={"agent"}, agent={"caller"}, beep_allowed=True)
    carla.press()
    stage.expect(scene, [carla], label="pressed", caller={"agent"}, agent={"caller", "carla"})
    carla.release()
    stage.expect(scene, [carla], label="released again", caller={"agent"}, agent={"caller"})
    carla.press()  # and never said again: the client is gone
    wait_until("the key is released by itself", lambda: not carla.view()["pressed"], 3)
    stage.expect(scene, [carla], label="a lost client", caller={"agent"}, agent={"caller"})
    carla.mode("barge")
    stage.expect(scene, [carla], label="barge, released", caller={"agent"}, agent={"caller"})
    carla.press()
    stage.expect(scene, [carla], label="barge, pressed", caller={"agent", "carla"}, agent={"caller", "carla"})


def test_a_held_key_stays_open_for_as_long_as_it_is_held(stage: Stage) -> None:
    """Longer than the switch's dead-man, so the re-arming is seen to work."""
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper", talk="push")
    for _ in range(12):
        carla.press()
        stage.expect(scene, [carla], caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    carla.release()
    stage.expect(scene, [carla], caller={"agent"}, agent={"caller"})


def test_two_coaches_in_mixed_modes(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene)
    dora = stage.coach("dora", scene)
    both = [carla, dora]
    carla.mode("whisper")
    # A coach that attached later hears the whisper of the earlier one.
    stage.expect(scene, both, label="carla whispers", caller={"agent"}, agent={"caller", "carla"},
                 dora={*PAIR, "carla"}, beep_allowed=True)  # fmt: skip
    dora.mode("whisper")
    stage.expect(scene, both, label="both whisper", caller={"agent"}, agent={"caller", "carla", "dora"},
                 dora={*PAIR, "carla"}, beep_allowed=True)  # fmt: skip
    carla.mode("barge")
    stage.expect(scene, both, label="carla barges, dora whispers", caller={"agent", "carla"},
                 agent={"caller", "carla", "dora"}, dora={*PAIR, "carla"})  # fmt: skip
    carla.mode("listen")
    stage.expect(scene, both, label="dora whispers", caller={"agent"}, agent={"caller", "dora"})
    dora.mute()
    dora.wait()
    stage.expect(scene, both, label="dora muted", caller={"agent"}, agent={"caller"})
    carla.leave()
    dora.mute(False)
    dora.wait()
    stage.expect(scene, [dora], label="carla has left", caller={"agent"}, agent={"caller", "dora"})


def test_three_coaches_in_mixed_modes(stage: Stage) -> None:
    scene = stage.call()
    carla, dora, emil = (stage.coach(name, scene) for name in ("carla", "dora", "emil"))
    everybody = [carla, dora, emil]
    stage.expect(scene, everybody, label="all listen", caller={"agent"}, agent={"caller"})
    carla.mode("whisper")
    emil.mode("whisper")
    stage.expect(scene, everybody, label="carla and emil whisper, dora listens", caller={"agent"},
                 agent={"caller", "carla", "emil"}, dora={*PAIR, "carla"}, emil={*PAIR, "carla"},
                 beep_allowed=True)  # fmt: skip
    dora.mode("barge")
    stage.expect(scene, everybody, label="dora barges", caller={"agent", "dora"},
                 agent={"caller", "carla", "dora", "emil"}, carla={*PAIR, "dora"}, dora={*PAIR, "carla"},
                 emil={*PAIR, "carla", "dora"})  # fmt: skip
    names = sorted((each["coach"], each["mode"], each["gate"]) for each in stage.coaches())
    assert names == [("carla", "whisper", "agent"), ("dora", "barge", "everyone"), ("emil", "whisper", "agent")]


def test_take_over(stage: Stage) -> None:
    scene = stage.call()
    carla, dora = stage.coach("carla", scene, "barge"), stage.coach("dora", scene, "whisper")
    carla.take_over()
    scene.agent.wait("ended", 5)
    assert dora.wait("ended")["reason"] == "taken_over"
    assert carla.wait("ended")["reason"] == "took_over"
    heard = stage.listen(
        {"caller": scene.caller, "carla": carla.heard_by_phone}, {name: TONES[name] for name in ("caller", "carla")}
    )
    assert heard["caller"]["carla"] == pytest.approx(-16, abs=1)
    assert heard["carla"]["caller"] == pytest.approx(-16, abs=1)
    # Nothing of coaching is left on the coach's leg: the lease would hang up the customer.
    leg = stage.dump(stage.leg_of(carla.heard_by_phone))
    assert [name for name in leg if name.startswith("variable_ccw_")] == []
    assert stage.calls() == []
    assert stage.coaches() == []
    scene.caller.hangup()
    carla.heard_by_phone.wait("ended", 5)


def test_the_beep_is_for_the_agent_alone(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene)
    since = scene.agent.mark()
    carla.mode("whisper")
    scene.agent.wait_time(since + 600_000_000)
    loudest = {}
    for name, call in (("agent", scene.agent), ("caller", scene.caller), ("carla", carla.heard_by_phone)):
        starts = range(since, since + 500_000_000, 20_000_000)
        loudest[name] = max(level_dbfs(call.heard(at, at + 100_000_000), BEEP, call.rate) for at in starts)
    assert loudest["agent"] == pytest.approx(-13 - 3.17, abs=1)  # -13 dBm0; a full-scale sine is +3.17 dBm0
    assert loudest["caller"] < -75
    assert loudest["carla"] < -60


def test_codecs_of_the_coach_follow_the_agents_leg(stage: Stage) -> None:
    for codec in ("PCMU", "PCMA"):
        scene = stage.call(codecs=(codec,))
        carla = stage.coach("carla", scene, "whisper", codecs=("PCMU", "PCMA"))
        assert carla.heard_by_phone.codec
        assert carla.heard_by_phone.codec.name == codec
        stage.expect(scene, [carla], label=codec, caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
        stage.clear()
