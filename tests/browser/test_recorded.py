"""That calls are recorded is on every page that shows them; a pause for a card number is loud on all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.browser.centre import Centre
from tests.browser.conftest import PHONE, WIDE
from tests.browser.test_supervisor import dock

pytestmark = pytest.mark.browser

Open = Callable[..., Page]

TOLD = """() => {
  window.told = new Set();
  const look = () => document.querySelectorAll(".whispers").forEach((each) => window.told.add(each.textContent));
  new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
}"""


@pytest.fixture
def recorded(centre: Centre) -> Iterator[Centre]:
    """Calls are recorded, until the test is over."""
    admin = centre.service.api("ada", permissions=["edit_coaching_policies"])
    admin.ask("PUT", "/policies/default", {"record": True, "record_whisper": "separate"})
    yield centre
    centre.clear()
    admin.ask("DELETE", "/policies/default")
    admin.close()


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_an_agent_pauses_and_the_supervisor_sees_it(recorded: Centre, open_page: Open, size: dict[str, int]) -> None:
    recorded.call("1001")
    panel = open_page(recorded.agent("1001"), "/agent")
    page = open_page(recorded.supervisor(), size=size)
    expect(panel.get_by_text("This call is recorded.")).to_be_visible()
    row = page.get_by_role("row").filter(has_text="Agent 1001")
    expect(row.locator("[data-rec]")).to_have_text("Rec")
    panel.keyboard.press("r")
    expect(panel.get_by_role("alert", name="Recording")).to_contain_text("Recording paused")
    expect(row.locator("[data-rec]")).to_have_text("Paused")
    panel.get_by_role("button", name="Go on recording").click()
    expect(panel.get_by_text("This call is recorded.")).to_be_visible()
    expect(row.locator("[data-rec]")).to_have_text("Rec")


def test_the_key_is_for_the_call_in_which_he_speaks(recorded: Centre, open_page: Open) -> None:
    waits, speaks = recorded.call("1001", "Old+Caller"), recorded.call("1001", "New+Caller")
    panel = open_page(recorded.agent("1001"), "/agent")
    expect(panel.get_by_text("This call is recorded.")).to_have_count(2)
    for held, other in ((waits, "New Caller"), (speaks, "Old Caller")):
        recorded.sim(f"hold {held['agent']}")
        expect(panel.locator("[data-hold]")).to_have_count(1)
        panel.keyboard.press("r")
        expect(panel.locator(f".call:has-text('{other}') + .record")).to_contain_text("Recording paused")
        expect(panel.get_by_text("This call is recorded.")).to_have_count(1)
        panel.keyboard.press("r")
        expect(panel.get_by_text("This call is recorded.")).to_have_count(2)
        recorded.sim(f"unhold {held['agent']}")
        expect(panel.locator("[data-hold]")).to_have_count(0)


def test_a_coach_is_told_before_he_says_a_word_and_may_pause(recorded: Centre, open_page: Open) -> None:
    recorded.call("1001")
    page = open_page(recorded.supervisor())
    page.evaluate(TOLD)
    page.get_by_role("button", name="Listen to Agent 1001").click()
    docked = dock(page)
    expect(docked).to_contain_text("Your whisper is recorded, on a track of its own.")
    told = page.evaluate("[...window.told]")
    assert told == ["Your whisper is recorded, on a track of its own."], "also while his phone rings"
    page.keyboard.press("r")
    expect(docked.get_by_role("alert", name="Recording")).to_contain_text("Recording paused by Grace")
    page.keyboard.press("r")
    expect(docked.get_by_text("This call is recorded.")).to_be_visible()


def test_who_took_a_call_over_may_pause_it(recorded: Centre, open_page: Open) -> None:
    recorded.call("1001")
    page = open_page(recorded.supervisor())
    page.get_by_role("button", name="Listen to Agent 1001").click()
    expect(dock(page)).to_contain_text("You hear both")
    for _ in range(2):
        dock(page).locator("#take-over").click()
    expect(page.get_by_text("Your call is recorded.")).to_be_visible()
    expect(dock(page)).to_have_count(0)
    page.keyboard.press("r")
    expect(page.get_by_role("alert", name="Recording")).to_contain_text("Recording paused by Grace")
    expect(page.get_by_role("row").filter(has_text="Grace").locator("[data-rec]")).to_have_text("Paused")
    page.get_by_role("button", name="Go on recording").click()
    expect(page.get_by_text("Your call is recorded.")).to_be_visible()


def test_an_administrator_sets_what_is_recorded(recorded: Centre, open_page: Open) -> None:
    page = open_page(recorded.service.token("ada", permissions=["edit_coaching_policies"]), "/admin")
    page.get_by_label("Never, by anybody").check()
    page.get_by_role("spinbutton", name="Days").fill("30")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_role("status")).to_have_text("Everything is saved and in force.")
    recorded.call("1002")
    coaching = open_page(recorded.supervisor())
    coaching.get_by_role("button", name="Listen to Agent 1002").click()
    expect(dock(coaching)).to_contain_text("Whispers are never recorded here.")
