"""A browser as the coach's phone: Chromium with a microphone that hears a known tone, a real switch, real phones for
caller and agent."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ccwhisper.proof.stage import LEVEL, SILENT, TONES, Scene, Stage, wait_until
from ccwhisper.web.sip import Line, Message
from ccwhisper.web.upstream import Upstream
from tests.scenarios.stage import nothing_lost

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

# The space bar, and what has come of it by then: whether the microphone is open, and how often the service was told.
_KEYS = """
() => {
  let released = 0;
  const send = WebSocket.prototype.send;
  WebSocket.prototype.send = function (data) {
    released += String(data).includes('"op":"release"');
    return send.call(this, data);
  };
  window.key = (type) => {
    document.body.dispatchEvent(new KeyboardEvent(type, { key: " ", bubbles: true }));
    return { open: window.peers.at(-1).getSenders()[0].track.enabled, released };
  };
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
        expect(page.get_by_text("This browser can be rung.")).to_be_visible(timeout=PATIENCE * 1000)
        return page

    yield opened
    for context in contexts:
        context.close()


def lamp(page: Page, text: str) -> None:
    expect(page.get_by_role("complementary").locator(".lamp")).to_have_text(text, timeout=PATIENCE * 1000)


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


def listening(page: Page) -> None:
    """The page has been rung, has answered, and listens."""
    whisper = page.get_by_role("complementary").locator(".modes button", has_text="Whisper")
    expect(whisper).to_be_enabled(timeout=PATIENCE * 1000)


def coach_legs(stage: Stage) -> list[str]:
    """The legs of browsers."""
    return [row["uuid"] for row in stage.legs() if row["name"].startswith("sofia/browsers/")]


def test_a_call_through_all_modes_from_the_browser(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call()
    page = open_page(devices=[])
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page_hears(page, "caller", "agent")
    expect(page.get_by_text(re.compile(r"The agent hears you about \d+ ms later · \d+ % lost"))).to_be_visible()
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page.keyboard.press("m")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.press("m")
    page.keyboard.press("b")
    lamp(page, "Agent 1001 and the caller hear you")
    hear(stage, scene, caller={"agent", "carla"}, agent={"caller", "carla"})
    page.keyboard.press("l")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.press("x")
    expect(page.get_by_role("complementary")).to_have_count(0)
    wait_until("the coach's leg is gone", lambda: not coach_legs(stage))


def test_push_to_talk_and_a_page_that_is_closed_in_the_middle_of_it(
    stage: Stage, open_page: Callable[..., Page]
) -> None:
    scene = stage.call()
    page = open_page(devices=[])
    expect(page.locator(".row[id]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page.close()
    wait_until("the coach's leg is gone", lambda: not coach_legs(stage))
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    assert "Total items returned: 0" in stage.node.api("sofia status profile browsers reg")


def test_the_last_word_before_the_key_is_let_go_of_gets_through(stage: Stage, open_page: Callable[..., Page]) -> None:
    """The microphone is closed at once, and the gate when what was said before is through it."""
    scene = stage.call()
    page = open_page(devices=[])
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    page.evaluate(_KEYS)
    assert page.evaluate("() => key('keydown')")["open"]
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    assert page.evaluate("() => key('keyup')") == {"open": False, "released": 0}
    assert page.evaluate("() => { key('keydown'); key('keyup'); return key('keydown'); }") == {
        "open": True,
        "released": 0,
    }
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page.evaluate("() => key('keyup')")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})


def test_the_caller_loses_nothing_of_the_agent(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call(counted=True)
    page = open_page(devices=[])
    since = scene.caller.mark()
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    scene.caller.wait_time(scene.caller.mark() + 400_000_000)
    page.keyboard.press("x")
    wait_until("the coach's leg is gone", lambda: not coach_legs(stage))
    nothing_lost(stage, scene, since)


def test_an_agent_on_a_wide_codec_and_a_colleague_at_a_desk_phone(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call(codecs=("G722",))
    dora = stage.coach("dora", scene)
    page = open_page(devices=[])
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    (leg,) = coach_legs(stage)
    assert stage.dump(leg)["variable_read_rate"] == "16000"
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    dora.mode("whisper")
    names = {name: TONES[name] for name in ("caller", "agent", "carla", "dora")}
    wanted = {"caller": {"agent"}, "agent": {"caller", "carla", "dora"}}

    def right() -> bool:
        levels = stage.listen({"caller": scene.caller, "agent": scene.agent}, names)
        assert all(levels["caller"][name] < SILENT for name in ("carla", "dora")), "the caller must not hear them"
        return all(
            {name for name, level in levels[listener].items() if abs(level - LEVEL) <= 3} == wanted[listener]
            for listener in wanted
        )

    wait_until("both whisper", right, PATIENCE)


def test_the_leg_ends_with_the_token(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call()
    page = open_page(devices=[], exp=int(time.time()) + 12)
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    wait_until("the coach's leg is gone", lambda: not coach_legs(stage), 30)
    hear(stage, scene, caller={"agent"}, agent={"caller"})


def test_who_gets_to_the_profile_past_the_service_calls_nobody(stage: Stage) -> None:
    upstream = Upstream("127.0.0.1", stage.node.browsers_ws_port)
    line = Line("f" * 32, lambda _session: False)
    headers = f"Via: SIP/2.0/WS x.invalid;branch=z9hG4bK1\r\nFrom: <sip:{line.address}>;tag=1\r\nCSeq: 1 INVITE\r\n"
    more = f"Contact: <{line.contact}>\r\nContent-Length: 0\r\n\r\n"
    for number in ("1001", "5000", "9003", "park"):
        where = f"sip:{number}@{stage.node.domain}"
        upstream.send(f"INVITE {where} SIP/2.0\r\nTo: <{where}>\r\nCall-ID: {number}\r\n{headers}{more}")
        while (answer := Message.parse(upstream.receive())).status < 200:
            pass
        assert answer.status in (404, 480, 488), answer.start
    upstream.close()


def test_agents_do_not_depend_on_a_service_that_hangs(stage: Stage) -> None:
    """Nothing of the browsers' is asked of the service by the switch."""
    process = stage.service.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        phone = stage.phone("1002", stage.tone("colleague"))
        phone.unregister()
        phone.register()
        caller = stage.caller_phone("second").dial("2002")
        caller.wait("up", PATIENCE)
        phone.wait_call(PATIENCE).wait("up", PATIENCE)
        caller.hangup()
    finally:
        process.send_signal(signal.SIGCONT)
