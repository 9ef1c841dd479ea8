"""The supervisor's page and the agent's panel in Chromium, in front of a real switch with real phones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ccwhisper.coaching.policy import MONITOR, VIEW
from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.phones import Phone
from ccwhisper.proof.service import Refused
from ccwhisper.proof.stage import BEEP, DEVICES, LEVEL, SILENT, TONES, Scene, Stage
from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.live

PATIENCE = 10_000  # ms: a busy machine
PANEL = {"width": 320, "height": 480}
OWN, OTHER = ["support@default"], ["sales@default"]

Open = Callable[..., Page]
Supervisor = Callable[..., tuple[Page, Phone]]


@pytest.fixture
def open_page(browser: Browser, stage: Stage) -> Iterator[Open]:
    contexts = []

    def opened(token: str, path: str = "/", size: dict[str, int] = WIDE) -> Page:
        context = browser.new_context(viewport=size, has_touch=size is PHONE)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.goto(f"{stage.service.url}{path}#token={token}")
        return page

    expect.set_options(timeout=PATIENCE)
    yield opened
    expect.set_options()
    for context in contexts:
        context.close()


@pytest.fixture
def supervisor(stage: Stage, open_page: Open) -> Supervisor:
    """Opens the dashboard of somebody, and puts his desk phone beside it."""

    def opened(name: str = "carla", size: dict[str, int] = WIDE, **claims: Any) -> tuple[Page, Phone]:
        phone = stage.phone(DEVICES[name], stage.tone(name))
        page = open_page(stage.service.token(name, devices=[stage.device(name)], **claims), size=size)
        expect(page.locator(".bar .status")).to_have_text("Live")
        return page, phone

    return opened


@pytest.fixture
def panel(stage: Stage, open_page: Open) -> Page:
    """That of agent 1001."""
    token = stage.service.token("anna", permissions=[], roles=[], queues=[], agent="1001")
    return open_page(token, "/agent", PANEL)


def answered(phone: Phone) -> PhoneCall:
    """The call to a desk phone, which answers by itself."""
    return phone.wait_call(10).wait("up", 10)


def dock(page: Page) -> Locator:
    return page.get_by_role("complementary")


def mode(page: Page, name: str) -> Locator:
    return dock(page).locator(".modes button", has_text=name)


def lamp(page: Page, text: str) -> None:
    expect(dock(page).locator(".lamp")).to_have_text(text)


def hear(stage: Stage, scene: Scene, **coaches: PhoneCall) -> dict[str, set[str]]:
    """Who is heard by whom, the beep left out: it may still sound. What coaches hear of each other goes through both
    directions of the agent's leg, and is left out, too."""
    listeners = {"caller": scene.caller, "agent": scene.agent, **coaches}
    tones = {name: TONES[name] for name in listeners}
    levels = stage.listen_until_steady(listeners, tones | {"beep": BEEP}, {
        who: [name for name in tones if name not in coaches or who not in coaches] for who in listeners
    })  # fmt: skip
    found = {}
    for who, heard in levels.items():
        judged = {name: level for name, level in heard.items() if name in tones}
        if who in coaches:
            judged = {name: level for name, level in judged.items() if name not in coaches}
        for level in judged.values():
            assert level < SILENT or level == pytest.approx(LEVEL, abs=1), levels
        found[who] = {name for name, level in judged.items() if level > SILENT}
    return found


@pytest.mark.parametrize("by", ["mouse", "keys", "finger"])
def test_a_call_through_all_modes_from_the_page(stage: Stage, supervisor: Supervisor, panel: Page, by: str) -> None:
    """With a finger: on the screen of a phone."""
    scene = stage.call()
    page, phone = supervisor(size=PHONE if by == "finger" else WIDE)
    expect(panel.locator(".call")).to_contain_text("+4930123")

    def press(target: Locator) -> None:
        if by == "finger":
            target.tap()
        else:
            target.click()

    def do(button: str, key: str) -> None:
        if by == "keys":
            page.keyboard.press(key)
        else:
            press(dock(page).get_by_role("button", name=button))

    expect(page.locator(".row[id]")).to_have_count(1)
    if by == "keys":
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
    else:
        press(page.get_by_role("button", name="Listen to Agent 1001"))
    coach = answered(phone)
    expect(mode(page, "Whisper")).to_be_enabled()
    assert hear(stage, scene, carla=coach) == {"caller": {"agent"}, "agent": {"caller"}, "carla": {"caller", "agent"}}
    do("Whisper", "w")
    lamp(page, "Agent 1001 hears you")
    expect(panel.locator(".badge")).to_contain_text("Whisper active")
    now = hear(stage, scene, carla=coach)
    assert (now["agent"], now["caller"]) == ({"caller", "carla"}, {"agent"})
    do("Mute", "m")
    lamp(page, "Nobody hears you")
    assert hear(stage, scene, carla=coach)["agent"] == {"caller"}
    do("Muted", "m")
    do("Barge in", "b")
    lamp(page, "Agent 1001 and the caller hear you")
    assert hear(stage, scene, carla=coach)["caller"] == {"agent", "carla"}
    do("Listen", "l")
    lamp(page, "Nobody hears you")
    expect(panel.locator(".badge")).to_have_count(0)
    assert hear(stage, scene, carla=coach)["caller"] == {"agent"}
    if by == "mouse":
        do("Leave", "x")
        coach.wait("ended", 10)
    else:
        do("Take over", "t")
        do("Press again to release the agent", "t")
        expect(page.get_by_role("status").filter(has_text="The call is yours")).to_be_visible()
        scene.agent.wait("ended", 10)
        taken = stage.listen_until_steady({"caller": scene.caller}, {"carla": TONES["carla"]}, {"caller": {"carla"}})
        assert taken["caller"]["carla"] == pytest.approx(LEVEL, abs=1)
    expect(dock(page)).to_have_count(0)


def test_push_to_talk_of_a_page_that_is_gone_closes_at_the_switch(stage: Stage, supervisor: Supervisor) -> None:
    scene = stage.call()
    page, phone = supervisor()
    expect(page.locator(".row[id]")).to_have_count(1)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("w")
    coach = answered(phone)
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    expect(page.get_by_role("button", name="Hold to speak")).to_be_visible()
    page.keyboard.down(" ")
    lamp(page, "Agent 1001 hears you")
    assert hear(stage, scene, carla=coach)["agent"] == {"caller", "carla"}
    page.close()
    since = scene.agent.mark()
    scene.agent.wait_time(since + 1_000_000_000)
    assert hear(stage, scene, carla=coach)["agent"] == {"caller"}


def test_two_supervisors_on_one_call(stage: Stage, supervisor: Supervisor, panel: Page) -> None:
    """Each sees that the other is there, in which mode, and whose gate is open; and so it is in the phones."""
    scene = stage.call()
    calls: dict[str, PhoneCall] = {}
    pages: list[Page] = []
    for name in ("carla", "dora"):
        page, phone = supervisor(name)
        page.get_by_role("button", name="Listen to Agent 1001").click()
        calls[name] = answered(phone)
        pages.append(page)
        expect(mode(page, "Whisper")).to_be_enabled()
    carla, dora = pages
    beside_carla, beside_dora = (page.get_by_role("region", name="Also coaching") for page in pages)
    expect(beside_carla).to_contain_text("Dora Listening")
    expect(beside_dora).to_contain_text("Carla Listening")
    mode(dora, "Whisper").click()
    lamp(dora, "Agent 1001 hears you")
    lamp(carla, "Nobody hears you")
    expect(beside_carla).to_contain_text("Dora Whispering, heard now")
    expect(panel.locator(".badge")).to_have_count(1)
    now = hear(stage, scene, **calls)
    assert (now["agent"], now["caller"]) == ({"caller", "dora"}, {"agent"})
    mode(carla, "Whisper").click()
    lamp(carla, "Agent 1001 hears you")
    expect(beside_dora).to_contain_text("Carla Whispering, heard now")
    expect(panel.locator(".badge")).to_have_count(2)
    dora.keyboard.press("m")
    expect(beside_carla).to_contain_text("Dora Whispering, muted")
    now = hear(stage, scene, **calls)
    assert (now["agent"], now["caller"]) == ({"caller", "carla"}, {"agent"})
    dora.keyboard.press("x")
    calls["dora"].wait("ended", 10)
    expect(beside_carla).to_have_count(0)
    lamp(carla, "Agent 1001 hears you")


def test_help_is_answered_with_one_click(stage: Stage, supervisor: Supervisor, panel: Page) -> None:
    """With a whisper; and again by listening only."""
    scene = stage.call()
    page, phone = supervisor()
    expect(panel.locator(".call")).to_be_visible()
    hand = page.get_by_role("region", name="Agents who ask for help")
    for how, words, heard in (("Whisper", "Agent 1001 hears you", {"caller", "carla"}),
                              ("Listen", "Nobody hears you", {"caller"})):  # fmt: skip
        panel.get_by_role("button", name="Raise hand").click()
        expect(hand).to_contain_text("Agent 1001 asks for help support@default")
        hand.get_by_role("button", name=how).click()
        coach = answered(phone)
        expect(hand).to_have_count(0)
        expect(mode(page, how)).to_have_attribute("aria-pressed", "true")
        expect(mode(page, how)).to_be_enabled()
        lamp(page, words)
        now = hear(stage, scene, carla=coach)
        assert (now["agent"], now["caller"]) == (heard, {"agent"})
        page.keyboard.press("x")
        coach.wait("ended", 10)
        expect(dock(page)).to_have_count(0)


@pytest.mark.parametrize(
    ("claims", "may"),
    [
        ({"queues": OTHER}, None),
        ({"queues": OWN, "permissions": [MONITOR]}, None),
        ({"queues": OWN, "permissions": [VIEW]}, set()),
        ({"queues": OWN, "roles": []}, {"listen"}),
        ({"queues": OWN, "roles": ["whisper"]}, {"listen", "whisper"}),
        ({"queues": OWN, "roles": ["barge"]}, {"listen", "barge"}),
        ({"queues": OWN}, {"listen", "whisper", "barge"}),
    ],
    ids=["another-queue", "no-view", "view", "listen", "whisper", "barge", "all"],
)
def test_who_may_do_what(stage: Stage, supervisor: Supervisor, claims: dict[str, Any], may: set[str] | None) -> None:
    """What the page offers is what the service grants, asked without the page, and what the phones then hear. None:
    not even that there is a call."""
    scene = stage.call()
    page, phone = supervisor(**claims)
    listen = page.get_by_role("button", name="Listen to Agent 1001")
    with closing(stage.service.api("carla", devices=[stage.device("carla")], **claims)) as api:

        def refusal(method: str, path: str, body: dict[str, Any] | None = None) -> str | None:
            try:
                api.ask(method, path, body)
            except Refused as error:
                return error.code
            return None

        if not may:
            expect(page.locator(".row[id]")).to_have_count(0 if may is None else 1)
            expect(listen).to_have_count(0)
            code = "call_not_found" if may is None else "permission_missing"
            for each in ("listen", "whisper", "barge"):
                assert refusal("POST", "/sessions", {"call": scene.id, "mode": each}) == code
            assert hear(stage, scene) == {"caller": {"agent"}, "agent": {"caller"}}
            return
        listen.click()
        coach = answered(phone)
        expect(mode(page, "Listen")).to_be_enabled()
        [session] = api.ask("GET", "/sessions")["sessions"]
        for name, each in (("Barge in", "barge"), ("Whisper", "whisper")):
            expect(mode(page, name)).to_be_enabled(enabled=each in may)
            answer = refusal("PUT", f"/sessions/{session['id']}/mode", {"mode": each})
            assert answer == (None if each in may else "role_missing")
            expect(mode(page, name if each in may else "Listen")).to_have_attribute("aria-pressed", "true")
            lamp(page, {"barge": "Agent 1001 and the caller hear you", "whisper": "Agent 1001 hears you"}[each]
                 if each in may else "Nobody hears you")  # fmt: skip
            now = hear(stage, scene, carla=coach)
            assert ("carla" in now["agent"]) == (each in may)
            assert ("carla" in now["caller"]) == (each == "barge" and each in may)
            mode(page, "Listen").click()
            lamp(page, "Nobody hears you")
        expect(dock(page).locator("#take-over")).to_be_enabled(enabled="barge" in may)
        if "barge" not in may:
            assert refusal("POST", f"/sessions/{session['id']}/take-over") == "role_missing"
