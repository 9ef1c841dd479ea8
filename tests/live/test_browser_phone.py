"""A browser as the coach's phone: Chromium with a microphone that hears a known tone, a real switch, real phones for
caller and agent."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ccwhisper.proof.stage import LEVEL, SILENT, TONES, Scene, Stage, wait_until

pytestmark = pytest.mark.live

PATIENCE = 15

# What the page hears, measured at the track that it plays: the level of each tone in dBFS.
_LISTEN = """
() => {
  const Whole = RTCPeerConnection;
  window.peers = [];
  window.RTCPeerConnection = class extends Whole {
    constructor(...given) { super(...given); window.peers.push(this); }
  };
}
"""
_LEVELS = """
async (tones) => {
  const peer = window.peers.at(-1);
  const [receiver] = peer.getReceivers();
  const context = new AudioContext();
  const analyser = new AnalyserNode(context, { fftSize: 16384, smoothingTimeConstant: 0 });
  context.createMediaStreamSource(new MediaStream([receiver.track])).connect(analyser);
  await new Promise((resolve) => setTimeout(resolve, 700));
  const samples = new Float32Array(analyser.fftSize);
  analyser.getFloatTimeDomainData(samples);
  const levels = {};
  for (const [name, hertz] of Object.entries(tones)) {
    let re = 0, im = 0, weight = 0;
    samples.forEach((each, n) => {
      const window = 0.5 - 0.5 * Math.cos((2 * Math.PI * n) / samples.length);
      const turn = (2 * Math.PI * hertz * n) / context.sampleRate;
      re += each * window * Math.cos(turn);
      im -= each * window * Math.sin(turn);
      weight += window;
    });
    levels[name] = 20 * Math.log10(Math.max(1e-6, (2 * Math.hypot(re, im)) / weight));
  }
  await context.close();
  return levels;
}
"""


@pytest.fixture
def open_page(browser: Browser, stage: Stage) -> Iterator[Callable[..., Page]]:
    contexts = []

    def opened(**claims: Any) -> Page:
        context = browser.new_context()
        contexts.append(context)
        context.add_init_script(f"({_LISTEN})()")
        page = context.new_page()
        page.goto(f"{stage.service.url}/#token={stage.service.token('carla', **claims)}")
        page.get_by_label("You speak with").select_option("This browser")
        page.get_by_label("Take out echo and noise").uncheck()  # to it, a tone is noise
        expect(page.get_by_text("This browser can be rung.")).to_be_visible()
        return page

    yield opened
    for context in contexts:
        context.close()


def lamp(page: Page, text: str) -> None:
    expect(page.get_by_role("complementary").locator(".lamp")).to_have_text(text)


def hear(stage: Stage, scene: Scene, *, caller: set[str], agent: set[str]) -> None:
    """Who is heard by caller and agent."""
    names = ("caller", "agent", "carla")
    wanted = {"caller": caller, "agent": agent}
    levels = stage.listen_until_steady(
        {"caller": scene.caller, "agent": scene.agent}, {name: TONES[name] for name in names}, wanted
    )
    for listener, heard in levels.items():
        for name, level in heard.items():
            right = abs(level - LEVEL) <= 2 if name in wanted[listener] else level < SILENT
            assert right, f"{listener} hears {name} at {level:.1f} dBFS: {levels}"


def page_hears(page: Page, *names: str) -> None:
    """Who is heard in the browser."""

    def right() -> bool:
        levels = page.evaluate(_LEVELS, {name: TONES[name] for name in ("caller", "agent")})
        return {name for name, level in levels.items() if level > LEVEL - 10} == set(names)

    wait_until(f"the page hears {names}", right, PATIENCE)


def test_a_call_through_all_modes_from_the_browser(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call()
    page = open_page(devices=[])
    page.get_by_role("button", name="Listen to Agent 1001").click()
    dock = page.get_by_role("complementary")
    expect(dock.locator(".modes button", has_text="Whisper")).to_be_enabled(timeout=PATIENCE * 1000)
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page_hears(page, "caller", "agent")
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page.keyboard.press("b")
    lamp(page, "Agent 1001 and the caller hear you")
    hear(stage, scene, caller={"agent", "carla"}, agent={"caller", "carla"})
    page.keyboard.press("l")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.press("x")
    expect(dock).to_have_count(0)
    wait_until("the coach's leg is gone", lambda: len(stage.legs()) == 2)
