"""The supervisor's page and the agent's panel in Chromium, in front of a real switch with real phones."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import closing
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from ccwhisper.coaching.policy import MONITOR, VIEW
from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.phones import Phone
from ccwhisper.proof.service import Refused
from ccwhisper.proof.stage import BEEP, DEVICES, LEVEL, LOOKS, SILENT, TONES, Scene, Stage
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


def hear(
    stage: Stage, scene: Scene, coaches: Mapping[str, PhoneCall], *, caller: Collection[str], agent: Collection[str]
) -> None:
    """These, and nobody else, are heard by caller and agent, as loud as they speak; and both by every coach. The beep
    is left out, which may still sound, and so is what coaches hear of each other. Who is not heard yet is given time;
    who is heard and must not be is not."""
    listeners = {"caller": scene.caller, "agent": scene.agent, **coaches}
    tones = {name: TONES[name] for name in listeners}
    wanted = {"caller": set(caller), "agent": set(agent)} | {name: {"caller", "agent"} for name in coaches}
    judged = {who: set(tones) - (set(coaches) if who in coaches else set()) for who in listeners}
    for _ in range(LOOKS):
        levels = stage.listen_until_steady(listeners, tones | {"beep": BEEP}, wanted)
        found = {who: {name for name in names if levels[who][name] > SILENT} for who, names in judged.items()}
        leaks = {who: found[who] - wanted[who] for who in found if found[who] - wanted[who]}
        assert not leaks, f"heard and must not be: {leaks} in {levels}"
        if found == wanted:
            break
    for who, names in wanted.items():
        assert {name: levels[who][name] for name in names} == dict.fromkeys(names, pytest.approx(LEVEL, abs=1)), who


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
    hear(stage, scene, {"carla": coach}, caller={"agent"}, agent={"caller"})
    do("Whisper", "w")
    lamp(page, "Agent 1001 hears you")
    expect(panel.locator(".badge")).to_contain_text("Whisper active")
    hear(stage, scene, {"carla": coach}, caller={"agent"}, agent={"caller", "carla"})
    do("Mute", "m")
    lamp(page, "Nobody hears you")
    hear(stage, scene, {"carla": coach}, caller={"agent"}, agent={"caller"})
    do("Muted", "m")
    do("Barge in", "b")
    lamp(page, "Agent 1001 and the caller hear you")
    hear(stage, scene, {"carla": coach}, caller={"agent", "carla"}, agent={"caller", "carla"})
    do("Listen", "l")
    lamp(page, "Nobody hears you")
    expect(panel.locator(".badge")).to_have_count(0)
    hear(stage, scene, {"carla": coach}, caller={"agent"}, agent={"caller"})
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
    hear(stage, scene, {"carla": coach}, caller={"agent"}, agent={"caller", "carla"})
    page.close()
    since = scene.agent.mark()
    scene.agent.wait_time(since + 1_000_000_000)
    hear(stage, scene, {"carla": coach}, caller={"agent"}, agent={"caller"})


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
    hear(stage, scene, calls, caller={"agent"}, agent={"caller", "dora"})
    mode(carla, "Whisper").click()
    lamp(carla, "Agent 1001 hears you")
    expect(beside_dora).to_contain_text("Carla Whispering, heard now")
    expect(panel.locator(".badge")).to_have_count(2)
    dora.keyboard.press("m")
    expect(beside_carla).to_contain_text("Dora Whispering, muted")
    hear(stage, scene, calls, caller={"agent"}, agent={"caller", "carla"})
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
        hear(stage, scene, {"carla": coach}, caller={"agent"}, agent=heard)
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
            hear(stage, scene, {}, caller={"agent"}, agent={"caller"})
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
            spoken = {"carla"} if each in may else set()
            hear(stage, scene, {"carla": coach}, agent={"caller"} | spoken,
                 caller={"agent"} | (spoken if each == "barge" else set()))  # fmt: skip
            if each in may:  # a click that changes nothing might come after what is asked next
                mode(page, "Listen").click()
                lamp(page, "Nobody hears you")
        expect(dock(page).locator("#take-over")).to_be_enabled(enabled="barge" in may)
        if "barge" not in may:
            assert refusal("POST", f"/sessions/{session['id']}/take-over") == "role_missing"
