"""What the dashboard offers to whom, and what it says instead: by the token, by the queue's policy, and on the screen
of a phone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from ccwhisper.coaching.policy import EDIT_POLICIES
from tests.browser.centre import Centre
from tests.browser.conftest import PHONE, WIDE
from tests.browser.test_supervisor import dock, lamp

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SCREENS = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


@pytest.fixture
def allow(centre: Centre) -> Iterator[Callable[..., None]]:
    """Sets which ways of coaching a queue allows; None: what the file says."""
    api = centre.service.api("ada", permissions=[EDIT_POLICIES])

    def put(modes: list[str] | None, queue: str = "default") -> None:
        api.ask("PUT", f"/policies/{queue}", {"modes": modes})

    yield put
    for queue in ("default", "support@default"):
        put(None, queue)
    api.close()


@SCREENS
def test_what_a_queue_does_not_allow_is_grey_and_says_why(
    centre: Centre, open_page: Open, allow: Callable[..., None], size: dict[str, int]
) -> None:
    """In both lists, at a raised hand and in the coaching, by finger and by key, and in step with the policy."""
    centre.call()
    page = open_page(centre.supervisor(), size=size)
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    agent.get_by_role("button", name="Raise hand").click()
    hand = page.get_by_role("region", name="Agents who ask for help")
    row = page.get_by_role("button", name="Listen to Agent 1001")
    expect(hand.get_by_role("button", name="Whisper")).to_be_enabled()
    expect(row).to_be_enabled()

    allow(["listen"])
    expect(hand.get_by_role("button", name="Whisper")).to_be_disabled()
    expect(hand.get_by_role("button", name="Whisper")).to_have_attribute("title", "The queue does not allow this.")
    expect(hand.get_by_role("button", name="Listen")).to_be_enabled()
    allow([])
    expect(row).to_be_disabled()
    expect(row).to_have_attribute("title", "The queue does not allow coaching.")
    row.dispatch_event("click")
    expect(page.get_by_role("alert")).to_have_text("The queue does not allow coaching.")
    page.get_by_role("button", name="Dismiss").click()
    page.keyboard.press("h")
    expect(page.get_by_role("alert")).to_have_text("The queue does not allow coaching.")
    page.get_by_role("button", name="Agents").click()
    expect(page.get_by_role("button", name="Listen to Agent 1001")).to_be_disabled()
    expect(page.get_by_role("button", name="Follow Agent 1001")).to_be_disabled()
    expect(page.get_by_role("button", name="Follow Agent 1002")).to_be_enabled()
    page.get_by_role("button", name="Calls").click()

    allow(["listen", "barge"])
    expect(row).to_be_enabled()
    page.get_by_role("button", name="Dismiss").click()
    page.keyboard.press("h")
    expect(hand).to_have_count(0)
    for name, may in (("Listen", True), ("Whisper", False), ("Barge in", True)):
        expect(dock(page).locator(".modes button", has_text=name)).to_be_enabled(enabled=may)
    expect(dock(page).locator("#take-over")).to_be_disabled()
    dock(page).locator(".modes button", has_text="Whisper").dispatch_event("click")
    expect(page.get_by_role("alert")).to_have_text("The queue does not allow this.")
    allow(None)
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    expect(dock(page).locator("#take-over")).to_be_enabled()


def test_who_coaches_is_told_why_another_call_must_wait(centre: Centre, open_page: Open) -> None:
    centre.call()
    centre.call("1002")
    page = open_page(centre.supervisor())
    page.get_by_role("button", name="Listen to Agent 1001").click()
    lamp(page, "Nobody hears you")
    other = page.get_by_role("button", name="Listen to Agent 1002")
    expect(other).to_be_disabled()
    other.dispatch_event("click")
    expect(page.get_by_role("alert")).to_have_text("You are coaching already: leave first.")
    expect(page.get_by_role("complementary", name="Coaching Agent 1001")).to_be_visible()


@pytest.mark.parametrize(
    ("claims", "listen", "whisper", "barge"),
    [
        ({"permissions": ["view_contact_center_dashboard"]}, False, False, False),
        ({"roles": []}, True, False, False),
        ({"roles": ["whisper"]}, True, True, False),
        ({"roles": ["barge"]}, True, False, True),
    ],
    ids=["view", "listen", "whisper", "barge"],
)
def test_only_what_the_token_permits_is_offered(
    centre: Centre, open_page: Open, claims: dict[str, Any], listen: bool, whisper: bool, barge: bool
) -> None:
    centre.call()
    page = open_page(centre.supervisor(**claims))
    expect(page.locator(".row[id]")).to_have_count(1)
    button = page.get_by_role("button", name="Listen to Agent 1001")
    if not listen:
        expect(button).to_have_count(0)
        return
    button.click()
    expect(dock(page).locator(".modes button", has_text="Listen")).to_be_enabled()
    for name, may in (("Whisper", whisper), ("Barge in", barge)):
        expect(dock(page).locator(".modes button", has_text=name)).to_be_enabled(enabled=may)
    expect(dock(page).locator("#take-over")).to_be_enabled(enabled=barge)


def test_who_listens_already_answers_a_hand_by_a_whisper(centre: Centre, open_page: Open) -> None:
    """Until then others see it, too."""
    centre.call()
    page = open_page(centre.supervisor())
    page.get_by_role("button", name="Listen to Agent 1001").click()
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    agent.get_by_role("button", name="Raise hand").click()
    dora = open_page(centre.supervisor("dora", "9002", name="Dora"))
    hands = [each.get_by_role("region", name="Agents who ask for help") for each in (page, dora)]
    expect(hands[1].get_by_role("button", name="Listen")).to_be_enabled()
    expect(hands[0].get_by_role("button")).to_have_text(["Whisper"])
    expect(agent.get_by_role("button", name="Take back")).to_be_visible()
    hands[0].get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1001 hears you")
    for each in hands:
        expect(each).to_have_count(0)
    expect(page.locator(".notice")).to_have_count(0)
    agent.get_by_role("button", name="Raise hand").click()
    expect(page.locator(".notice")).to_contain_text("Agent 1001 asks for help.")
    expect(agent.get_by_role("button", name="Raise hand")).to_be_visible()


def test_every_stage_is_told(centre: Centre, open_page: Open) -> None:
    """While the phone rings there is nothing to press but to leave."""
    centre.call()
    page = open_page(centre.supervisor(device="9003"))
    centre.sim("phone 9003 ring")
    try:
        page.get_by_role("button", name="Listen to Agent 1001").click()
        expect(dock(page).locator(".stage")).to_have_text("Your phone 9003 rings: pick it up")
        expect(page.locator("#announcer")).to_contain_text("Your phone 9003 rings")
        for name in ("Whisper", "Barge in"):
            expect(dock(page).locator(".modes button", has_text=name)).to_be_disabled()
        expect(dock(page).locator("#take-over")).to_be_disabled()
        dock(page).get_by_role("button", name="Leave").click()
        expect(page.get_by_role("status").filter(has_text="You have left.")).to_be_visible()
    finally:
        centre.sim("phone 9003 answer")


def test_on_a_phone_nothing_is_missing(centre: Centre, open_page: Open) -> None:
    """Who coaches and how, the queue, sorting without headings; and while one coaches, who asks for help."""
    for number in ("1001", "1002"):
        centre.call(number)
    page = open_page(centre.supervisor(), size=PHONE)
    dora = open_page(centre.supervisor("dora", "9002", name="Dora"))
    dora.get_by_role("button", name="Listen to Agent 1002").click()
    first = page.locator(".row[id]").first
    expect(first).to_contain_text("Agent 1001")
    page.get_by_label("Sort").select_option(label="Coached")
    expect(first).to_contain_text("Agent 1002")
    expect(first.locator(".chip", has_text="Dora")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Agents").click()
    page.get_by_label("Sort").select_option(label="Status")
    expect(page.locator(".person[id]").first).to_contain_text("On a call")
    expect(page.locator(".person[id]").first.locator(".queue")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Calls").click()
    page.get_by_role("button", name="Listen to Agent 1002").click()
    lamp(page, "Nobody hears you")
    expect(dock(page).locator("#take-over")).to_be_in_viewport(ratio=1)
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    agent.get_by_role("button", name="Raise hand").click()
    expect(page.get_by_role("region", name="Agents who ask for help")).to_be_in_viewport(ratio=1)
