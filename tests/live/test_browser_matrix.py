"""Who hears whom, in every mode, where coaches speak from browsers: the scenarios of the matrix once more, with pages
for phones, and with a page and a desk phone on the same call. And the caller, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.sources import Noise
from ccwhisper.proof.stage import BEEP, FLOOR, LEVEL, TONES, wait_until
from tests.live.pages import EAR, PATIENCE, PagesStage
from tests.live.report import Report
from tests.live.test_codecs import nothing_else
from tests.live.test_exact import WHOLE, assert_exact, is_heard, settled
from tests.scenarios.matrix import *
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

EVERYBODY = ("carla", "dora", "emil")
ROUNDS = 10


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Whoever coaches alone does it from a page; where there are more, all of them, the first, or all but the first."""
    if "stage" in metafunc.fixturenames:
        crowd = any(word in metafunc.function.__name__ for word in ("two", "three", "take_over"))
        mixed = {"the first": ("carla",), "the others": ("dora", "emil")} if crowd else {}
        browsers = {"browsers": EVERYBODY, **mixed}
        metafunc.parametrize("stage", browsers.values(), ids=browsers.keys(), indirect=True)


@pytest.fixture(scope="module")
def pages(node: PrivateNode, browser: Browser) -> Iterator[PagesStage]:
    """A service of their own, for it knows its pages."""
    with PagesStage(node, TIMES.replace("press_ttl = 1.3", "press_ttl = 2.6"), browser) as stage:
        yield stage


@pytest.fixture
def stage(pages: PagesStage, report: Report, request: pytest.FixtureRequest) -> Iterator[PagesStage]:
    """The same for all, and for each test those who coach from a page."""
    pages.browsers = request.param
    pages.ears = dict.fromkeys(request.param, EAR)
    pages.floor = FLOOR
    pages.verdicts.clear()
    yield pages
    report.add(pages.node.version, request.node.name, pages.verdicts)
    pages.clear()


def test_the_caller_gets_every_frame_of_the_agent(stage: PagesStage, report: Report) -> None:
    """Attach, beep, whisper, listen, about, leave: with an open microphone or a key that is held, and by the service or
    by the page's own key."""
    scene = stage.call(agent_source=Noise(21))
    begin = settled(scene)
    for number in range(ROUNDS):
        carla = stage.coach("carla", scene, talk="push" if number % 2 else "open")
        before = scene.agent.mark()
        carla.mode("whisper")
        is_heard(scene.agent, BEEP, before)  # or the round proves nothing
        if number % 2:
            carla.press()
            carla.wait()
        heard = stage.listen({"agent": scene.agent}, {"carla": TONES["carla"]})
        assert heard["agent"]["carla"] == pytest.approx(LEVEL, abs=2)
        if number % 2:
            carla.release()
        carla.mode("listen")
        carla.mode("whisper")
        if number % 3:
            carla.leave()
        else:
            stage.page("carla")[0].keyboard.press("x")
            carla.wait("ended")
        scene.caller.wait_received(14)  # a beep lasts ten frames, and none is begun while another sounds
    found = assert_exact(scene, begin)
    report.say(WHOLE, f"a coach's browser, {ROUNDS} rounds of attach, beep, whisper, leave: {found}")


@pytest.mark.parametrize("mode", ["whisper", "barge"])
def test_the_agent_falls_below_a_page(stage: PagesStage, mode: str) -> None:
    """The page is offered another codec, and answers by itself: he goes on in his mode."""
    scene = stage.call(agent_codecs=("G722",))
    stage.floor = EAR.silent  # of a caller whose codec is not the agent's
    carla = stage.coach("carla", scene, mode)
    page: Any = carla.heard_by_phone
    hears = {"agent": {"caller", "carla"}, "caller": {"agent", "carla"} if mode == "barge" else {"agent"}}
    stage.after_beep(scene)
    stage.expect(scene, [carla], label=f"{mode}, the agent on G722", **hears)
    scene.agent.reinvite(["PCMU"])
    wait_until("the page has another codec", lambda: page.spoken == "audio/PCMU", PATIENCE)
    wait_until(f"he is in {mode} again", lambda: carla.view()["mode"] == mode and carla.view()["settled"], PATIENCE)
    stage.after_beep(scene)
    stage.expect(scene, [carla], label=f"{mode}, the agent on PCMU", **hears)
    nothing_else(scene.agent, scene.agent.mark(), scene.agent.mark() + 400_000_000)
