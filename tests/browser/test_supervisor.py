"""The supervisor's dashboard and the agent's panel, as people use them: by mouse, by keys, on a phone's screen."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.centre import Centre, until
from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
CLOCK = r"\d\d:\d\d:\d\d"
SCREENS = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


def dock(page: Page) -> Any:
    return page.get_by_role("complementary")


def lamp(page: Page, text: str) -> None:
    expect(dock(page).locator(".lamp")).to_have_text(text)


@SCREENS
def test_a_call_through_all_modes_by_mouse(centre: Centre, open_page: Open, size: dict[str, int]) -> None:
    call = centre.call()
    page = open_page(centre.supervisor(), size=size)
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    expect(agent.locator(".call")).to_contain_text("Jo Meyer")
    page.get_by_role("button", name="Listen to Agent 1001").click()
    lamp(page, "Nobody hears you")
    dock(page).get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1001 hears you")
    assert centre.hears(call["caller"]) == {"1001"}
    assert "9001" in centre.hears(call["agent"])
    expect(agent.locator(".badge")).to_contain_text("Whisper active")
    expect(agent.locator(".badge")).to_contain_text("Grace")
    dock(page).get_by_role("button", name="Barge in").click()
    lamp(page, "Agent 1001 and the caller hear you")
    assert centre.hears(call["caller"]) == {"1001", "9001"}
    expect(agent.locator(".badge")).to_contain_text("Joined the call")
    dock(page).get_by_role("button", name="Listen", exact=False).first.click()
    lamp(page, "Nobody hears you")
    assert centre.hears(call["caller"]) == {"1001"}
    expect(agent.locator(".badge")).to_have_count(0)
    dock(page).get_by_role("button", name="Whisper").click()
    dock(page).get_by_role("button", name="Mute").click()
    lamp(page, "Nobody hears you")
    dock(page).get_by_role("button", name="Muted").click()
    lamp(page, "Agent 1001 hears you")
    take = dock(page).locator("#take-over")
    take.click()
    expect(take).to_have_text("Press again to release the agent")
    take.click()
    expect(page.get_by_role("status").filter(has_text="The call is yours")).to_be_visible()
    expect(dock(page)).to_have_count(0)
    until(lambda: {"9001"} == centre.hears(call["caller"]))
    expect(agent.locator(".empty")).to_have_text("No call at the moment.")


def test_a_call_through_all_modes_by_keys_alone(centre: Centre, open_page: Open) -> None:
    centre.call("1001")
    call = centre.call("1002", "Ana+Sousa")
    page = open_page(centre.supervisor())
    expect(page.locator(".row[id]")).to_have_count(2)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    expect(page.locator('.row[aria-selected="true"]')).to_contain_text("Agent 1002")
    page.keyboard.press("Enter")
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    page.keyboard.press("w")
    lamp(page, "Agent 1002 hears you")
    page.keyboard.press("p")
    expect(dock(page).get_by_role("button", name="Hold to speak")).to_be_visible()
    lamp(page, "Nobody hears you")
    page.keyboard.down(" ")
    lamp(page, "Agent 1002 hears you")
    assert "9001" in centre.hears(call["agent"], 1500), "a key that is held stays held"
    page.keyboard.up(" ")
    lamp(page, "Nobody hears you")
    page.keyboard.press("p")
    page.keyboard.press("b")
    lamp(page, "Agent 1002 and the caller hear you")
    page.keyboard.press("m")
    lamp(page, "Nobody hears you")
    page.keyboard.press("m")
    page.keyboard.press("l")
    lamp(page, "Nobody hears you")
    page.keyboard.press("x")
    expect(dock(page)).to_have_count(0)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("/")
    page.keyboard.type("sousa")
    expect(page.locator(".row[id]")).to_have_count(1)


def test_a_key_on_the_page_does_what_it_would_whisper_from_the_list(centre: Centre, open_page: Open) -> None:
    centre.call()
    page = open_page(centre.supervisor())
    page.locator(".row[id]").click()
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")


@pytest.mark.parametrize("how", ["blur", "gone"])
def test_push_to_talk_that_loses_its_page_closes(centre: Centre, open_page: Open, how: str) -> None:
    call = centre.call()
    page = open_page(centre.supervisor())
    page.get_by_role("button", name="Listen to Agent 1001").click()
    dock(page).get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1001 hears you")
    dock(page).get_by_role("button", name="Open mic").click()
    expect(dock(page).get_by_role("button", name="Hold to speak")).to_be_visible()
    lamp(page, "Nobody hears you")
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    if how == "blur":
        page.evaluate("window.dispatchEvent(new Event('blur'))")
        lamp(page, "Nobody hears you")
    else:
        page.close()
    until(lambda: "9001" not in centre.hears(call["agent"]), 2)


def test_a_key_that_is_stuck_is_let_go(centre: Centre, open_page: Open) -> None:
    """It repeated itself, it does not any more, and that it came up was never told."""
    call = centre.call()
    page = open_page(centre.supervisor())
    page.locator(".row[id]").click()
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    for _ in range(3):
        page.keyboard.down(" ")
    lamp(page, "Nobody hears you")
    expect(dock(page).get_by_role("button", name="Hold to speak")).to_be_visible()
    assert "9001" not in centre.hears(call["agent"])


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("busy", "Your phone is busy."),
        ("reject", "Your phone refused the call."),
        ("away", "Your phone is not registered"),
    ],
)
def test_a_phone_that_is_not_answered(centre: Centre, open_page: Open, behaviour: str, words: str) -> None:
    centre.call()
    centre.sim(f"phone 9003 {behaviour}")
    page = open_page(centre.supervisor(device="9003"))
    try:
        page.get_by_role("button", name="Listen to Agent 1001").click()
        expect(page.get_by_role("alert")).to_contain_text(words)
        centre.sim("phone 9003 answer")
        page.get_by_role("button", name="Try again").click()
        lamp(page, "Nobody hears you")
    finally:
        centre.sim("phone 9003 answer")


def test_two_supervisors_see_each_other(centre: Centre, open_page: Open) -> None:
    centre.call()
    grace = open_page(centre.supervisor())
    dora = open_page(centre.supervisor("dora", "9002", name="Dora"))
    grace.get_by_role("button", name="Listen to Agent 1001").click()
    lamp(grace, "Nobody hears you")
    dora.get_by_role("button", name="Listen to Agent 1001").click()
    dock(dora).get_by_role("button", name="Whisper").click()
    lamp(dora, "Agent 1001 hears you")
    expect(dock(grace).get_by_role("region", name="Also coaching")).to_contain_text("Dora")
    expect(dock(grace).get_by_role("region", name="Also coaching")).to_contain_text("heard now")
    expect(grace.locator(".row[id] .chip", has_text="Dora")).to_be_visible()
    dock(dora).get_by_role("button", name="Leave").click()
    expect(dock(grace).get_by_role("region", name="Also coaching")).to_have_count(0)


def test_a_cue_from_the_coach_to_the_agent_and_back(centre: Centre, open_page: Open) -> None:
    centre.call()
    page = open_page(centre.supervisor())
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    page.get_by_role("button", name="Listen to Agent 1001").click()
    lamp(page, "Nobody hears you")
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    page.keyboard.press("c")
    page.keyboard.type("Ask for the <b>order</b> number")
    page.keyboard.press("Enter")
    cue = dock(page).locator(".cues li")
    steps = cue.locator(".steps > span")
    expect(steps).to_have_text([re.compile(rf"^{each} {CLOCK}$") for each in ("Sent", "Delivered", "Read")])
    newest = agent.locator(".cue[data-newest]")
    expect(newest).to_contain_text("Ask for the <b>order</b> number")
    agent.keyboard.press("2")
    expect(steps.last).to_have_text(re.compile(rf"^Please repeat {CLOCK}$"))
    expect(newest.get_by_role("button")).to_have_count(0)


def test_a_sound_if_the_agent_wants_one(centre: Centre, open_page: Open) -> None:
    """Once when somebody begins to speak to him; not for each key, and not for who only listens."""
    centre.call()
    page = open_page(centre.supervisor())
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    agent.evaluate("""() => {
        window.tones = 0;
        const start = OscillatorNode.prototype.start;
        OscillatorNode.prototype.start = function () { window.tones += 1; start.apply(this, arguments); };
    }""")
    sound = agent.get_by_role("button", name="Sound when whispered to")
    expect(sound).to_have_attribute("aria-pressed", "false")
    sound.click()
    expect(sound).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Listen to Agent 1001").click()
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    until(lambda: agent.evaluate("window.tones") == 1)  # that of the click itself
    page.keyboard.press("w")
    until(lambda: agent.evaluate("window.tones") == 2)
    page.keyboard.press("p")
    expect(agent.locator(".badge .lamp")).to_have_text("silent")
    page.keyboard.down(" ")
    expect(agent.locator(".badge .lamp")).to_have_text("speaks to you")
    page.keyboard.up(" ")
    assert agent.evaluate("window.tones") == 2


def test_cues_above_other_windows(centre: Centre, open_page: Open) -> None:
    centre.call()
    page = open_page(centre.supervisor())
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    page.get_by_role("button", name="Listen to Agent 1001").click()
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    with agent.context.expect_page() as opened:
        agent.get_by_role("button", name="Float the cues").click()
    dock(page).get_by_label("Text for the agent").fill("Slow down")
    page.keyboard.press("Enter")
    floating = opened.value
    expect(floating.locator(".cue")).to_contain_text("Slow down")
    assert floating.locator(".cue").evaluate("each => getComputedStyle(each).borderRadius") == "10px"
    floating.get_by_role("button", name="Got it").click()
    expect(dock(page).locator(".cues li")).to_contain_text("Got it")
    floating.close()
    expect(agent.locator(".cue")).to_contain_text("Slow down")


def test_a_raised_hand_is_answered_with_one_click(centre: Centre, open_page: Open) -> None:
    call = centre.call()
    page = open_page(centre.supervisor())
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    expect(agent.locator(".call")).to_be_visible()
    agent.keyboard.press("h")
    hand = page.get_by_role("region", name="Agents who ask for help")
    expect(hand).to_contain_text("Agent 1001 asks for help")
    agent.get_by_role("button", name="Take back").click()
    expect(hand).to_have_count(0)
    agent.get_by_role("button", name="Raise hand").click()
    hand.get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1001 hears you")
    expect(hand).to_have_count(0)
    expect(agent.get_by_role("button", name="Raise hand")).to_be_visible()
    assert "9001" in centre.hears(call["agent"])


def test_what_a_stranger_calls_himself_is_text(centre: Centre, open_page: Open) -> None:
    centre.call(name="%3Cimg+src=x+onerror=document.title=%22hacked%22%3E")
    page = open_page(centre.supervisor())
    expect(page.locator(".row[id]")).to_contain_text("<img src=x onerror=")
    expect(page).to_have_title("Live calls · ccwhisper")


def test_it_says_so_when_it_is_stale_and_goes_on(centre: Centre, open_page: Open) -> None:
    centre.call()
    page = open_page(centre.supervisor())
    status = page.locator(".bar .status")
    expect(status).to_have_text("Live")
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    page.get_by_role("button", name="Listen to Agent 1001").click()
    dock(page).get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1001 hears you")
    expect(agent.locator(".badge .lamp")).to_have_text("speaks to you")
    assert centre.service.process is not None
    centre.service.process.send_signal(signal.SIGSTOP)
    try:
        expect(status).to_have_text("Not up to date: no connection", timeout=12_000)
        lamp(page, "Not known who hears you")
        expect(agent.locator(".badge .lamp")).to_have_text("not known", timeout=12_000)
    finally:
        centre.service.process.send_signal(signal.SIGCONT)
    expect(status).to_have_text("Live")
    lamp(page, "Agent 1001 hears you")
    expect(agent.locator(".badge .lamp")).to_have_text("speaks to you")
    centre.call("1002")
    expect(page.locator(".row[id]")).to_have_count(2)


def test_a_bad_token_asks_for_another(centre: Centre, open_page: Open) -> None:
    page = open_page("not-a-token")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    page.get_by_label("Token").fill(centre.supervisor())
    page.get_by_role("button", name="Sign in").click()
    expect(page.locator(".bar .status")).to_have_text("Live")
    assert "token" not in page.url
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_label("Token")).to_be_visible()
    expect(page.get_by_text("not valid")).to_have_count(0)
    page.reload()
    expect(page.get_by_label("Token")).to_be_visible()


def test_my_team_and_sorting(centre: Centre, open_page: Open) -> None:
    for agent in ("1001", "1002", "1003"):
        centre.call(agent)
    page = open_page(centre.supervisor())
    expect(page.locator(".row[id]")).to_have_count(3)
    page.get_by_role("button", name="Agent 1002 in my team").click()
    page.get_by_label("Show").select_option("team")
    expect(page.locator(".row[id]")).to_have_count(1)
    page.reload()
    page.get_by_label("Show").select_option("team")
    expect(page.locator(".row[id]")).to_contain_text("Agent 1002")
    page.get_by_label("Show").select_option("all")
    page.get_by_role("columnheader", name="Agent").get_by_role("button").click()
    page.get_by_role("columnheader", name="Agent").get_by_role("button").click()
    expect(page.locator(".row[id]").first).to_contain_text("Agent 1003")


@SCREENS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out(centre: Centre, open_page: Open, size: dict[str, int], scheme: str) -> None:
    """axe-core finds nothing serious, with a call that is coached and the help open."""
    centre.call()
    held = centre.call("1002")
    centre.sim(f"hold {held['agent']}")
    page = open_page(centre.supervisor(), size=size, color_scheme=scheme)
    page.get_by_role("button", name="Listen to Agent 1001").click()
    dock(page).get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1001 hears you")
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480}, color_scheme=scheme)
    expect(agent.locator(".badge")).to_be_visible()
    signed_out = open_page("x", size=size, color_scheme=scheme)
    expect(signed_out.get_by_role("alert")).to_be_visible()
    found = [serious(each) for each in (page, agent, signed_out)]
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert [*found, serious(page)] == [[], [], [], []]


def serious(page: Page) -> list[str]:
    found = Axe().run(page).response["violations"]
    return [
        f"{each['id']}: {json.dumps([node['target'] for node in each['nodes']])}"
        for each in found
        if each["impact"] in ("serious", "critical")
    ]
