"""A coach's browser that is lost, or only its connection: what agent, caller and switch notice of it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.stage import Scene, Stage, wait_until
from ccwhisper.switch.records import GATE
from tests.live.test_browser_phone import coach_legs, hear, lamp, listening, page_hears
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

PATIENCE = 30

# The page's peers, and its connections to the service's relay.
_KEEP = """
() => {
  const [Peer, Socket] = [RTCPeerConnection, WebSocket];
  window.peers = [];
  window.sockets = [];
  window.RTCPeerConnection = class extends Peer {
    constructor(...given) { super(...given); window.peers.push(this); }
  };
  window.WebSocket = class extends Socket {
    constructor(...given) { super(...given); if (this.url.includes("browser-phone")) window.sockets.push(this); }
  };
}
"""
_UFRAG = "window.peers.at(-1).remoteDescription && window.peers.at(-1).localDescription.sdp.match(/ice-ufrag:(.*)/)[1]"
_REACHED = "window.peers.at(-1).iceConnectionState === 'connected' && window.peers.at(-1).signalingState === 'stable'"
_OPEN = "window.sockets.filter(({ readyState }) => readyState === 1).length"
_CUT = "window.sockets.at(-1).close(4000)"  # not as a page does that goes for good
_MOVED = "window.dispatchEvent(new Event('online'))"


@pytest.fixture(scope="module")
def restarted_stage(node: PrivateNode) -> Iterator[Stage]:
    with Stage(node, TIMES) as stage:
        stage.service.keep_address()
        yield stage


@pytest.fixture
def stage(restarted_stage: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    yield from on_stage(restarted_stage)


@pytest.fixture
def open_page(browser: Browser, stage: Stage) -> Iterator[Callable[..., Page]]:
    contexts: list[BrowserContext] = []

    def opened() -> Page:
        context = browser.new_context()
        contexts.append(context)
        context.add_init_script(f"({_KEEP})()")
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{stage.service.url}/#token={stage.service.token('carla', devices=[])}")
        page.get_by_label("You speak with").select_option("This browser")
        page.get_by_label("Take out echo and noise").uncheck()  # to it, a tone is noise
        back(page)
        return page

    yield opened
    for context in contexts:
        context.close()


def back(page: Page) -> None:
    """The page has its connection, again."""
    said = re.compile(r"This browser (can be rung|is in the call)\.")
    expect(page.get_by_text(said)).to_be_visible(timeout=PATIENCE * 1000)


def until(page: Page, what: str) -> None:
    """Wait until something is so in the page."""
    wait_until(what, lambda: page.evaluate(what), PATIENCE)


def whispering(stage: Stage, scene: Scene, page: Page) -> str:
    """The page whispers, and is heard; its leg."""
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    (leg,) = coach_legs(stage)
    return leg


def sessions(stage: Stage) -> list[dict[str, Any]]:
    """Carla's."""
    api = stage.service.api("carla")
    found: list[dict[str, Any]] = api.ask("GET", "/sessions")["sessions"]
    api.close()
    return found


def gate_is(stage: Stage, leg: str, gate: str) -> None:
    """By the record that the switch keeps on the leg, and that is written when the switch has been told."""
    wait_until(f"the gate is {gate}", lambda: stage.dump(leg).get(f"variable_{GATE}") == gate, PATIENCE)


def test_a_socket_that_blinks_ends_nothing(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call()
    page = open_page()
    leg = whispering(stage, scene, page)
    (before,) = sessions(stage)
    page.evaluate(_CUT)
    until(page, f"window.sockets.length === 2 && {_OPEN} === 1")
    back(page)
    lamp(page, "Agent 1001 hears you")
    gate_is(stage, leg, "agent")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page_hears(page, "caller", "agent")
    assert [each["id"] for each in sessions(stage)] == [before["id"]]
    page.keyboard.press("x")
    wait_until("the page's BYE ends the leg", lambda: not coach_legs(stage), PATIENCE)


def test_while_the_page_is_not_heard_of_nobody_hears_it(stage: Stage, open_page: Callable[..., Page]) -> None:
    """Its media go on, as they do when only the way to the service is lost: the gate alone keeps it from the agent."""
    scene = stage.call()
    page = open_page()
    leg = whispering(stage, scene, page)
    page.context.set_offline(True)  # for connections that begin now; media are left alone
    page.evaluate(_CUT)
    gate_is(stage, leg, "closed")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    expect(page.get_by_text("The connection is lost and made again.")).to_be_visible()
    (session,) = sessions(stage)
    assert (session["mode"], session["phase"]) == ("whisper", "attached")
    page.context.set_offline(False)
    back(page)
    gate_is(stage, leg, "agent")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})


def test_another_network(stage: Stage, open_page: Callable[..., Page]) -> None:
    """The page's own way: a new connection, and an ICE restart in a re-INVITE."""
    scene = stage.call()
    page = open_page()
    leg = whispering(stage, scene, page)
    before = page.evaluate(_UFRAG)
    page.evaluate(_MOVED)
    until(page, f"{_UFRAG} !== '{before}' && {_REACHED} && {_OPEN} === 1")
    back(page)
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page_hears(page, "caller", "agent")
    assert coach_legs(stage) == [leg]
    page.keyboard.press("l")
    lamp(page, "Nobody hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller"})


def renderers(browser: Browser) -> set[int]:
    """The processes of pages."""
    session = browser.new_browser_cdp_session()
    found = session.send("SystemInfo.getProcessInfo")["processInfo"]
    session.detach()
    return {process["id"] for process in found if process["type"] == "renderer"}


def crash(browser: Browser, others: set[int]) -> None:
    """Kill the pages that were opened since."""
    new = renderers(browser) - others
    assert new
    for process in new:
        os.kill(process, signal.SIGKILL)


def test_a_tab_that_crashes_in_a_whisper(stage: Stage, browser: Browser, open_page: Callable[..., Page]) -> None:
    others = renderers(browser)
    scene = stage.call(counted=True)
    page = open_page()
    page.get_by_role("button", name="Listen to Agent 1001").click()
    listening(page)
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    (leg,) = coach_legs(stage)
    gate_is(stage, leg, "agent")
    since = scene.caller.mark()
    crash(browser, others)
    gate_is(stage, leg, "closed")
    wait_until("the leg is gone", lambda: not coach_legs(stage), PATIENCE)
    assert sessions(stage) == []
    lasted = scene.caller.mark() - since
    found = stage.frames(scene, since)
    assert found.missing == 0, found
    assert found.matched >= lasted // 20_000_000 - 10, "silence is no success"


def test_a_tab_that_crashes_in_a_barge(stage: Stage, browser: Browser, open_page: Callable[..., Page]) -> None:
    others = renderers(browser)
    scene = stage.call()
    page = open_page()
    leg = whispering(stage, scene, page)
    page.keyboard.press("b")
    lamp(page, "Agent 1001 and the caller hear you")
    hear(stage, scene, caller={"agent", "carla"}, agent={"caller", "carla"})
    crash(browser, others)
    gate_is(stage, leg, "closed")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    wait_until("the leg is gone", lambda: not coach_legs(stage), PATIENCE)
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    assert "Total items returned: 0" in stage.node.api("sofia status profile browsers reg")


@pytest.mark.parametrize("end", ["kill", "stop"])
def test_a_restart_of_the_service_in_a_whisper(stage: Stage, open_page: Callable[..., Page], end: str) -> None:
    scene = stage.call()
    page = open_page()
    leg = whispering(stage, scene, page)
    (before,) = sessions(stage)
    getattr(stage.service, end)()
    expect(page.get_by_text("The connection is lost and made again.")).to_be_visible()
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    stage.service.start()
    stage.forget_connections()
    back(page)
    listening(page)
    (after,) = sessions(stage)
    assert (after["id"], after["mode"], coach_legs(stage)) == (before["id"], "whisper", [leg])
    page_hears(page, "caller", "agent")
    page.keyboard.press("l")
    lamp(page, "Nobody hears you")
    gate_is(stage, leg, "closed")
    hear(stage, scene, caller={"agent"}, agent={"caller"})
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    hear(stage, scene, caller={"agent"}, agent={"caller", "carla"})
    page.keyboard.press("x")
    wait_until("the page's BYE ends the leg", lambda: not coach_legs(stage), PATIENCE)


def test_a_customer_who_was_taken_over_notices_no_restart(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call()
    page = open_page()
    whispering(stage, scene, page)
    page.get_by_role("button", name="Take over").click()
    page.get_by_role("button", name="Press again to release the agent").click()
    hang_up = page.get_by_role("button", name="Hang up")
    expect(hang_up).to_be_visible()
    (leg,) = coach_legs(stage)
    stage.service.kill()
    stage.service.start()
    stage.forget_connections()
    until(page, f"window.sockets.length > 1 && {_OPEN} === 1")
    page_hears(page, "caller")
    assert coach_legs(stage) == [leg]
    scene.caller.hangup()
    until(page, "window.peers.at(-1).connectionState === 'closed'")  # the switch's BYE has found the page
    expect(hang_up).to_have_count(0)
    back(page)
