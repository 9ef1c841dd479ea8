"""The supervisor's page and the agent's panel in Chromium, in front of a real switch with real phones."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.stage import BEEP, DEVICES, LEVEL, SILENT, TONES, Scene, Stage

pytestmark = pytest.mark.live


@pytest.fixture
def open_page(browser: Browser, stage: Stage) -> Iterator[Callable[..., Page]]:
    contexts = []

    def opened(token: str, path: str = "/") -> Page:
        context = browser.new_context()
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{stage.service.url}{path}#token={token}")
        return page

    yield opened
    for context in contexts:
        context.close()


def lamp(page: Page, text: str) -> None:
    expect(page.get_by_role("complementary").locator(".lamp")).to_have_text(text)


def hear(stage: Stage, scene: Scene, coach: PhoneCall) -> dict[str, set[str]]:
    """Who is heard by whom, the beep left out: it may still sound."""
    listeners = {"caller": scene.caller, "agent": scene.agent, "carla": coach}
    tones = {name: TONES[name] for name in listeners}
    levels = stage.listen_until_steady(listeners, tones | {"beep": BEEP}, dict.fromkeys(listeners, tones))
    for heard in levels.values():
        for name, level in heard.items():
            assert name == "beep" or level < SILENT or level == pytest.approx(LEVEL, abs=1), levels
    return {
        who: {name for name, level in heard.items() if level > SILENT and name != "beep"}
        for who, heard in levels.items()
    }


@pytest.mark.parametrize("by", ["mouse", "keys"])
def test_a_call_through_all_modes_from_the_page(stage: Stage, open_page: Callable[..., Page], by: str) -> None:
    scene = stage.call()
    phone = stage.phone(DEVICES["carla"], stage.tone("carla"))
    page = open_page(stage.service.token("carla", devices=[stage.device("carla")]))
    panel = open_page(stage.service.token("anna", permissions=[], roles=[], queues=[], agent="1001"), "/agent")
    expect(panel.locator(".call")).to_contain_text("+4930123")
    dock = page.get_by_role("complementary")

    def do(button: str, key: str) -> None:
        if by == "keys":
            page.keyboard.press(key)
        else:
            dock.get_by_role("button", name=button).click()

    expect(page.locator(".row[id]")).to_have_count(1)
    if by == "keys":
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    else:
        page.get_by_role("button", name="Listen to Agent 1001").click()
    coach = phone.wait_call(5).wait("up", 5)
    expect(dock.locator(".modes button", has_text="Whisper")).to_be_enabled()
    assert hear(stage, scene, coach) == {"caller": {"agent"}, "agent": {"caller"}, "carla": {"caller", "agent"}}
    do("Whisper", "w")
    lamp(page, "Agent 1001 hears you")
    expect(panel.locator(".badge")).to_contain_text("Whisper active")
    assert hear(stage, scene, coach)["agent"] == {"caller", "carla"}
    assert hear(stage, scene, coach)["caller"] == {"agent"}
    do("Mute", "m")
    lamp(page, "Nobody hears you")
    assert hear(stage, scene, coach)["agent"] == {"caller"}
    do("Muted", "m")
    do("Barge in", "b")
    lamp(page, "Agent 1001 and the caller hear you")
    assert hear(stage, scene, coach)["caller"] == {"agent", "carla"}
    do("Listen", "l")
    lamp(page, "Nobody hears you")
    expect(panel.locator(".badge")).to_have_count(0)
    assert hear(stage, scene, coach)["caller"] == {"agent"}
    do("Leave", "x")
    coach.wait("ended", 5)
    expect(dock).to_have_count(0)


def test_push_to_talk_of_a_page_that_is_gone_closes_at_the_switch(stage: Stage, open_page: Callable[..., Page]) -> None:
    scene = stage.call()
    phone = stage.phone(DEVICES["carla"], stage.tone("carla"))
    page = open_page(stage.service.token("carla", devices=[stage.device("carla")]))
    expect(page.locator(".row[id]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("w")
    coach = phone.wait_call(5).wait("up", 5)
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    expect(page.get_by_role("button", name="Hold to speak")).to_be_visible()
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    assert hear(stage, scene, coach)["agent"] == {"caller", "carla"}
    page.close()
    since = scene.agent.mark()
    scene.agent.wait_time(since + 1_000_000_000)
    assert hear(stage, scene, coach)["agent"] == {"caller"}
