"""Coaches' browsers over https: the service's own certificate, TURN servers, the choice between desk phone and browser,
and a service that hangs under all that."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.stage import SILENT, TONES, Scene, Stage, wait_until
from tests.live.test_browser_phone import PATIENCE, coach_legs, hear, lamp, listening
from tests.scenarios.stage import DEADMAN

pytestmark = pytest.mark.live

TURN = "a-password-for-turn-alone"
URL = "turn:127.0.0.1:9?transport=tcp"  # nobody is there
CONFIG = f"""
[coaching]
lease_seconds = 120
deadman_seconds = {DEADMAN}
deadman_rearm = 0.5
press_ttl = 1.3

[[browser_phone.ice_servers]]
urls = ["{URL}"]
username = "ccwhisper"
credential_env = "TEST_TURN_PASSWORD"
"""

_PEERS = """
() => {
  const Whole = RTCPeerConnection;
  window.peers = [];
  window.RTCPeerConnection = class extends Whole {
    constructor(...given) { super(...given); window.peers.push(this); }
  };
}
"""


@pytest.fixture(scope="module")
def secure_stage(node: PrivateNode) -> Iterator[Stage]:
    """A service with a certificate and a TURN server, on the shared node."""
    os.environ["TEST_TURN_PASSWORD"] = TURN
    stage = Stage(node, CONFIG)
    stage.service.secure()
    try:
        with stage:
            yield stage
    finally:
        del os.environ["TEST_TURN_PASSWORD"]


@pytest.fixture
def stage(secure_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    yield from on_stage(secure_stage)


@pytest.fixture
def open_page(browser: Browser, stage: Stage) -> Iterator[Callable[..., Page]]:
    contexts = []

    def opened(**claims: Any) -> Page:
        context = browser.new_context(ignore_https_errors=True)
        contexts.append(context)
        context.add_init_script(f"({_PEERS})()")
        page = context.new_page()
        page.sockets = []  # type: ignore[attr-defined]
        page.on("websocket", lambda socket: page.sockets.append(socket.url))  # type: ignore[attr-defined]
        page.goto(f"{stage.service.url}/#token={stage.service.token('carla', **claims)}")
        return page

    yield opened
    for context in contexts:
        context.close()


def speak_with(page: Page, device: str) -> None:
    page.get_by_label("You speak with").select_option(device)
    if device == "This browser":
        page.get_by_label("Take out echo and noise").uncheck()  # to it, a tone is noise
        expect(page.get_by_text("This browser can be rung.")).to_be_visible(timeout=PATIENCE * 1000)


def pushing(stage: Stage, scene: Scene, page: Page) -> None:
    """Listen, and hold the key to speak."""
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})


def pushed(stage: Stage, scene: Scene, page: Page) -> None:
    """The same, and let go of it."""
    pushing(stage, scene, page)
    page.keyboard.up(" ")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})


def left(page: Page) -> None:
    page.keyboard.press("x")
    expect(page.get_by_role("complementary")).to_have_count(0)


def test_the_same_control_drives_the_desk_phone_and_the_browser(stage: Stage, open_page: Callable[..., Page]) -> None:
    """Over https and wss; and the browser gets the TURN server with its password, which is written nowhere."""
    desk = stage.device("carla")
    stage.phone_of("9001", "carla")
    scene = stage.call()
    page = open_page(devices=[desk])
    speak_with(page, "Phone 9001")
    pushed(stage, scene, page)
    assert coach_legs(stage) == []
    expect(page.get_by_label("You speak with")).to_be_disabled()
    left(page)
    speak_with(page, "This browser")
    pushed(stage, scene, page)
    assert len(coach_legs(stage)) == 1

    assert page.url.startswith("https://")
    assert {each.partition(":")[0] for each in page.sockets} == {"wss"}  # type: ignore[attr-defined]
    assert {"/browser-phone", "/socket.io/"} <= {"/" + each.split("/", 3)[3].split("?")[0] for each in page.sockets}  # type: ignore[attr-defined]
    (config,) = page.evaluate("window.peers.map((peer) => peer.getConfiguration().iceServers)")
    assert [(each["urls"], each["username"], each["credential"]) for each in config] == [([URL], "ccwhisper", TURN)]
    kept = page.evaluate("JSON.stringify([localStorage, sessionStorage, location.href])")
    assert TURN not in kept
    left(page)
    wait_until("the coach's leg is gone", lambda: not coach_legs(stage))
    assert TURN not in stage.service.output.read_text()
    for file in stage.service.directory.rglob("*"):
        assert not file.is_file() or TURN.encode() not in file.read_bytes(), file
    speak_with(page, "Phone 9001")
    expect(page.get_by_label("Level of the microphone")).to_have_count(0)


def test_every_open_page_has_one_registration(stage: Stage, open_page: Callable[..., Page]) -> None:
    def registered(count: int) -> Callable[[], bool]:
        return lambda: f"Total items returned: {count}\n" in stage.node.api("sofia status profile browsers reg") + "\n"

    pages = [open_page(devices=[]) for _ in range(2)]
    for page in pages:
        speak_with(page, "This browser")
    wait_until("each has one", registered(2), PATIENCE)
    pages[0].close()
    wait_until("the other has one", registered(1), PATIENCE)
    pages[1].close()
    wait_until("nobody has one", registered(0), PATIENCE)


def test_a_service_that_hangs_under_a_browser_is_noticed_by_no_agent(
    stage: Stage, open_page: Callable[..., Page]
) -> None:
    """Stopped in a push-to-talk that is held: agents register and call as before, the switch closes the gate by itself,
    and afterwards everything goes on."""
    scene = stage.call()
    page = open_page(devices=[])
    speak_with(page, "This browser")
    pushing(stage, scene, page)
    (leg,) = coach_legs(stage)
    phone = stage.phone("1002", stage.tone("colleague"))
    before = registered_and_called(stage, phone)
    process = stage.service.process
    assert process is not None
    process.send_signal(signal.SIGSTOP)
    try:
        during = registered_and_called(stage, phone)
        wait_until("the switch closes the gate", lambda: not agent_hears(stage, scene, "carla"), PATIENCE)
        hear(stage, scene, caller={"agent"}, agent={"caller"})
    finally:
        process.send_signal(signal.SIGCONT)
    page.keyboard.up(" ")
    stage.said.append(f"agent registers and is called, ms: {before} with the service, {during} with a stopped one")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page.keyboard.up(" ")
    assert coach_legs(stage) == [leg]
    left(page)


def agent_hears(stage: Stage, scene: Scene, name: str) -> bool:
    return stage.listen({"agent": scene.agent}, {name: TONES[name]})["agent"][name] > SILENT


def registered_and_called(stage: Stage, phone: Any) -> tuple[int, int]:
    """An agent signs out and in, and gets a call: how long each took, in ms."""
    phone.unregister()
    began = time.monotonic()
    phone.register()
    signed_in = time.monotonic()
    caller = stage.caller_phone("second").dial("2002")
    caller.wait("up", PATIENCE)
    phone.wait_call(PATIENCE).wait("up", PATIENCE)
    called = time.monotonic()
    caller.hangup()
    return round((signed_in - began) * 1e3), round((called - signed_in) * 1e3)
