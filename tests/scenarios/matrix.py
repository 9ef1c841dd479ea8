"""Who hears whom, in every mode: the promise of the product."""

from __future__ import annotations

import time

import pytest

from tests.scenarios.stage import (
    DEADMAN,
    LEVEL,
    TONES,
    NotAsExpected,
    Stage,
    holding,
    longest_silence,
    told,
    wait_until,
)

PAIR = {"caller", "agent"}
HELD = DEADMAN + 0.2

TONE = -13 - 3.17
"""dBFS of the beep: -13 dBm0, and a full-scale sine is +3.17 dBm0."""


def test_listen_whisper_barge_and_back(stage: Stage) -> None:
    scene = stage.call()
    stage.expect(scene, label="before anybody coaches", caller={"agent"}, agent={"caller"})
    carla = stage.coach("carla", scene)
    quiet = {"caller": {"agent"}, "agent": {"caller"}}
    stage.expect(scene, [carla], label="listen", **quiet)
    carla.mode("whisper")
    stage.expect(scene, [carla], label="whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    stage.after_beep(scene)
    carla.mode("listen")
    stage.expect(scene, [carla], label="listen again", **quiet)
    carla.mode("barge")
    stage.expect(scene, [carla], label="barge", caller={"agent", "carla"}, agent={"caller", "carla"})
    carla.mode("whisper")
    stage.expect(
        scene, [carla], label="from barge to whisper", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True
    )
    carla.mode("listen")
    stage.expect(scene, [carla], label="back in listen", beep_allowed=True, **quiet)
    carla.leave()
    stage.expect(scene, label="after the coach has left", beep_allowed=True, **quiet)


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
    stage.after_beep(scene)
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
    with holding(stage, carla):
        stage.expect(scene, [carla], label="pressed", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    stage.expect(scene, [carla], label="released again", caller={"agent"}, agent={"caller"}, beep_allowed=True)
    carla.press()  # and never said again: the client is gone
    wait_until("the key is released by itself", lambda: not carla.view()["pressed"], 3)
    stage.expect(scene, [carla], label="a lost client", caller={"agent"}, agent={"caller"})
    carla.mode("barge")
    stage.expect(scene, [carla], label="barge, released", caller={"agent"}, agent={"caller"})
    with holding(stage, carla):
        stage.expect(scene, [carla], label="barge, pressed", caller={"agent", "carla"}, agent={"caller", "carla"})


def test_a_held_key_stays_open_for_as_long_as_it_is_held(stage: Stage) -> None:
    """Longer than the switch's dead-man, so the re-arming is seen to work."""
    scene = stage.call()
    carla = stage.coach("carla", scene, "whisper", talk="push")
    with holding(stage, carla):
        released = time.monotonic() + HELD
        while time.monotonic() < released:
            stage.expect(scene, [carla], label="held", caller={"agent"}, agent={"caller", "carla"}, beep_allowed=True)
    stage.expect(scene, [carla], label="released", caller={"agent"}, agent={"caller"})


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
    stage.after_beep(scene)
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
                 emil={*PAIR, "carla", "dora"}, beep_allowed=True)  # fmt: skip
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
    assert heard["caller"]["carla"] == pytest.approx(LEVEL, abs=1)
    assert heard["carla"]["caller"] == pytest.approx(LEVEL, abs=1)
    # Nothing of coaching is left on the coach's leg: the lease would hang up the customer. It says who talks to him.
    leg = stage.dump(stage.leg_of(carla.heard_by_phone))
    assert leg["Unique-ID"]
    assert [name for name in leg if name.startswith("variable_ccw_")] == ["variable_ccw_party"]
    wait_until("the call is hers", lambda: [each["agents"][0]["agent"] for each in stage.calls()] == ["carla"])
    assert stage.coaches() == []
    scene.caller.hangup()
    carla.heard_by_phone.wait("ended", 5)


def test_the_beep_is_for_the_agent_alone(stage: Stage) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene)
    since = scene.agent.mark()
    carla.mode("whisper")
    calls = {"agent": scene.agent, "caller": scene.caller, "carla": carla.heard_by_phone}
    loudest = {name: max(stage.windows(call, "beep", since, since + 400_000_000, 0.1)) for name, call in calls.items()}
    for call, name in ((scene.agent, "caller"), (scene.caller, "agent"), (carla.heard_by_phone, "caller")):
        silence = longest_silence(stage, call, name, since, since + 400_000_000)
        if silence > 0.1:
            raise NotAsExpected(f"{name} is not heard for {silence:.2f} s around a beep")
    assert loudest["agent"] == pytest.approx(TONE, abs=1)
    assert loudest["caller"] < -75, "the caller must not hear the beep"
    assert loudest["carla"] < -60


def test_two_coaches_who_whisper_within_one_beep_are_one_beep(stage: Stage) -> None:
    """The switch has only one of the same tone on a leg, and refuses a second while it lasts."""
    scene = stage.call()
    carla, dora = stage.coach("carla", scene), stage.coach("dora", scene)
    before = {coach.name: told(coach)[1] for coach in (carla, dora)}
    since = scene.agent.mark()
    for coach in (carla, dora):
        coach.ask_mode("whisper")
    for coach in (carla, dora):
        coach.wait()
    stage.expect(scene, [carla, dora], caller={"agent"}, agent={"caller", "carla", "dora"}, dora={*PAIR, "carla"},
                 beep_allowed=True)  # fmt: skip
    beep = [level > -40 for level in stage.windows(scene.agent, "beep", since, since + 400_000_000, 0.1)]
    starts = sum(now and not before for before, now in zip([False, *beep], beep, strict=False))
    assert starts == 1
    assert 5 <= sum(beep) <= 20, "one tone of 200 ms, looked at through windows of 100"
    for coach in (carla, dora):
        events, _ = told(coach, before[coach.name])
        assert "session.changed" in events
        assert "beep.failed" not in events
