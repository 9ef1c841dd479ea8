"""A policy that is changed during a call, heard on a real switch: who loses his mode is heard no more, at once and over
a crash of the service."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from ccwhisper.coaching.policy import EDIT_POLICIES
from ccwhisper.proof.service import Refused
from ccwhisper.proof.stage import Stage

pytestmark = pytest.mark.live


@pytest.fixture
def stage(own_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    """A service that may be killed."""
    yield from on_stage(own_stage, lambda: allow(own_stage, None))


def allow(stage: Stage, modes: tuple[str, ...] | None) -> None:
    """On calls that came through no queue; None: what the file says."""
    admin = stage.service.api("ada", permissions=[EDIT_POLICIES])
    admin.ask("PUT", "/policies/default", {"modes": modes})
    admin.close()


@pytest.mark.parametrize(("mode", "left"), [("barge", ("listen", "whisper")), ("whisper", ("listen", "barge"))])
def test_a_mode_that_is_taken_away_is_heard_no_more(stage: Stage, mode: str, left: tuple[str, ...]) -> None:
    scene = stage.call()
    carla = stage.coach("carla", scene, mode)
    caller = {"agent", "carla"} if mode == "barge" else {"agent"}
    stage.expect(scene, [carla], label=mode, caller=caller, agent={"caller", "carla"}, beep_allowed=True)
    allow(stage, left)
    assert carla.wait()["mode"] == "listen"
    quiet = {"caller": {"agent"}, "agent": {"caller"}}
    stage.expect(scene, [carla], label="taken away", beep_allowed=True, **quiet)
    with pytest.raises(Refused, match="mode_not_allowed"):
        carla.ask_mode(mode)
    stage.service.kill()
    stage.service.start()
    stage.forget_connections()
    with pytest.raises(Refused, match="mode_not_allowed"):
        carla.ask_mode(mode)
    stage.expect(scene, [carla], label="after a crash", beep_allowed=True, **quiet)
    allow(stage, ("listen", mode))
    carla.mode(mode)
    stage.expect(scene, [carla], label="given back", caller=caller, agent={"caller", "carla"}, beep_allowed=True)
    allow(stage, ())
    assert carla.wait("ended")["reason"] == "mode_not_allowed"
    stage.expect(scene, label="no coaching at all", beep_allowed=True, **quiet)
