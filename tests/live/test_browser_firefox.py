"""Firefox as the coach's phone: a stock one, with a microphone that hears a tone."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ccwhisper.proof.stage import SILENT, TONES, Scene, Stage, wait_until
from tests.live.firefox import HERTZ, Firefox, firefox, launched

pytestmark = pytest.mark.live

PATIENCE = 30
HEARD = -40.0
"""dBFS. Its tone wavers by some decibels around -23."""


_LISTENING = (
    "[...document.querySelectorAll('aside .modes button')]"
    ".some((each) => each.innerText.includes('Whisper') && !each.disabled && each.ariaDisabled !== 'true')"
)


@pytest.fixture
def page(stage: Stage) -> Iterator[Firefox]:
    """A page that can be rung. Skips where there is no Firefox, or fails when live tests are required."""
    path = firefox()
    if path is None:
        if os.environ.get("CCW_REQUIRE_LIVE") == "1":
            pytest.fail("live tests are required and no firefox was found", pytrace=False)
        pytest.skip("no firefox found: apt-get install firefox-esr, or set FIREFOX")
    with launched(path) as found:
        found.goto(f"{stage.service.url}/#token={stage.service.token('carla', devices=[])}")
        found.see(".device", "This browser can be rung.")
        found.run(
            "const filter = document.querySelector('.device input[type=checkbox]'); if (filter.checked) filter.click();"
        )
        yield found


def hear(stage: Stage, scene: Scene, coach_is_heard_by: set[str]) -> None:
    """The parties hear each other, and the coach is heard by these and by nobody else."""
    tones = {"caller": TONES["caller"], "agent": TONES["agent"], "coach": float(HERTZ)}
    calls = {"caller": scene.caller, "agent": scene.agent}

    def right() -> bool:
        levels = stage.listen(calls, tones)
        for who, levels_of in levels.items():
            leaks = who not in coach_is_heard_by and levels_of["coach"] > SILENT
            assert not leaks, f"{who} must not hear the coach: {levels}"
        parties = levels["caller"]["agent"] > HEARD and levels["agent"]["caller"] > HEARD
        return parties and all(levels[who]["coach"] > HEARD for who in coach_is_heard_by)

    wait_until(f"the coach is heard by {coach_is_heard_by or 'nobody'}", right, PATIENCE)


def test_a_call_from_firefox(stage: Stage, page: Firefox) -> None:
    scene = stage.call()
    page.click("button[aria-label^='Listen to Agent 1001']")
    page.until(_LISTENING)
    page.key("w")
    page.see("aside .lamp", "Agent 1001 hears you")
    hear(stage, scene, {"agent"})
    page.key("b")
    page.see("aside .lamp", "Agent 1001 and the caller hear you")
    hear(stage, scene, {"agent", "caller"})
    page.key("l")
    page.see("aside .lamp", "Nobody hears you")
    hear(stage, scene, set())
    page.key("w")
    page.key("p")
    page.see("aside .lamp", "Nobody hears you")
    hear(stage, scene, set())
    page.key(" ", up=False)
    page.see("aside .lamp", "Agent 1001 hears you")
    hear(stage, scene, {"agent"})
    page.key(" ", down=False)
    page.see("aside .lamp", "Nobody hears you")
    hear(stage, scene, set())
    page.key("p")
    page.see("aside .lamp", "Agent 1001 hears you")
    page.run("window.dispatchEvent(new Event('online'))")  # another network: a new connection, and an ICE restart
    page.see(".device", "This browser is in the call.")
    hear(stage, scene, {"agent"})
    page.key("x")
    page.until("document.querySelector('aside') === null")
    wait_until("the leg is gone", lambda: all("browsers" not in row["name"] for row in stage.legs()), PATIENCE)
    hear(stage, scene, set())
