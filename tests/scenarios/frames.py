"""What the caller gets of the agent, counted frame by frame, while somebody coaches."""

from __future__ import annotations

from tests.scenarios.stage import Scene, Stage, nothing_lost


def coached(stage: Stage, scene: Scene) -> None:
    """Attach, beep, whisper and leave: every frame of the agent's reaches the caller."""
    scene.caller.wait_time(scene.caller.mark() + 100_000_000)  # the call is under way
    since = scene.caller.mark()
    carla = stage.coach("carla", scene)
    carla.mode("whisper")
    scene.caller.wait_time(scene.caller.mark() + 240_000_000)  # beep included
    carla.leave()
    nothing_lost(stage, scene, since)


def test_the_caller_loses_nothing_of_the_agent(stage: Stage) -> None:
    coached(stage, stage.call(counted=True))


def test_an_agents_leg_without_a_jitter_buffer_is_given_one(bare_stage: Stage) -> None:
    """A node that does not do it by itself."""
    coached(bare_stage, bare_stage.call(counted=True))
