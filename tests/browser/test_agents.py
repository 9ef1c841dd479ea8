"""Queues and agents on the dashboard: who waits, who is there for them, and how to get to an agent's call."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.browser.centre import AGENTS, Centre, until
from tests.browser.conftest import PHONE, WIDE
from tests.browser.test_supervisor import dock, lamp, serious

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SCREENS = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])


def status(centre: Centre, agent: str, word: str) -> None:
    reply = centre.switch.api(f"callcenter_config agent set status {agent}@{centre.switch.domain} '{word}'")
    assert reply.startswith("+OK")


@pytest.fixture
def on_break(centre: Centre) -> Iterator[Centre]:
    """Everybody is on break, until the test says otherwise."""
    for agent in AGENTS:
        status(centre, agent, "On Break")
    yield centre
    centre.clear()
    for agent in AGENTS:
        status(centre, agent, "Available")


def strip(page: Page) -> Any:
    return page.get_by_role("region", name="Queues")


def row(page: Page, agent: str) -> Any:
    return page.get_by_role("row").filter(has_text=f"Agent {agent}")


def counts(page: Page) -> dict[str, str]:
    names = ("available", "call", "break")
    return {each: re.sub(r"\D", "", strip(page).locator(f'[data-count="{each}"]').inner_text()) for each in names}


def since(page: Page, agent: str) -> int:
    """Seconds, as shown."""
    minutes, seconds = row(page, agent).locator(".since").inner_text().split(":")
    return int(minutes) * 60 + int(seconds)


def agents_by_key(page: Page) -> None:
    expect(page.locator(".bar .status")).to_have_text("Live")
    page.keyboard.press("a")


@SCREENS
def test_a_caller_waits_and_is_answered(on_break: Centre, open_page: Open, size: dict[str, int]) -> None:
    page = open_page(on_break.supervisor(), size=size)
    card = strip(page).get_by_role("button")
    expect(card).to_contain_text("support@default")
    expect(card).to_contain_text("Nobody waits")
    on_break.sim("queue +12025550199 Eve+%3Cb%3E")
    expect(card).to_contain_text("1 waiting")
    expect(card.locator(".time")).to_contain_text("0:02")
    card.click()
    callers = page.get_by_role("region", name="Waiting in support@default").get_by_role("listitem")
    expect(callers).to_have_count(1)
    expect(callers).to_contain_text("Eve <b>")
    expect(callers).to_contain_text("+12025550199")
    assert counts(page) == {"available": "0", "call": "0", "break": "8"}
    status(on_break, "1002", "Available")
    expect(card).to_contain_text("Nobody waits")
    expect(callers).to_have_count(0)
    expect(strip(page).locator('[data-count="call"]')).to_contain_text("1")
    assert counts(page) == {"available": "0", "call": "1", "break": "7"}
    card.click()
    expect(page.get_by_role("region", name="Waiting in support@default")).to_have_count(0)


def test_how_agents_are(on_break: Centre, open_page: Open) -> None:
    status(on_break, "1002", "Available")
    status(on_break, "1003", "Logged Out")
    on_break.call("1004", "Jo+Meyer")
    page = open_page(on_break.supervisor())
    page.get_by_role("button", name="Agents").click()
    expect(row(page, "1001").locator(".presence")).to_have_text("On break")
    expect(row(page, "1002").locator(".presence")).to_have_text("Available")
    expect(row(page, "1003").locator(".presence")).to_have_text("Logged out")
    expect(row(page, "1004").locator(".presence")).to_have_text("On a call then a break")
    expect(row(page, "1004")).to_contain_text("Jo Meyer")
    assert counts(page) == {"available": "1", "call": "1", "break": "5"}, "beside the queues is on a call, too"
    until(lambda: since(page, "1001") >= 2)
    status(on_break, "1001", "Available")
    expect(row(page, "1001").locator(".presence")).to_have_text("Available")
    assert since(page, "1001") < since(page, "1005")
    page.get_by_label("Show").select_option("available")
    expect(page.locator(".person[id]")).to_have_count(2)
    page.get_by_label("Show").select_option("all")
    page.get_by_label("Search").fill("meyer")
    expect(page.locator(".person[id]")).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.get_by_role("columnheader", name="Status").get_by_role("button").click()
    expect(page.locator(".person[id]").first).to_contain_text("Agent 1004")
    try:
        for phone in ("1001", "1002"):  # who of them is called is the queue's choice
            on_break.sim(f"phone {phone} ring")
        on_break.sim("queue")
        expect(page.locator(".presence", has_text="Ringing")).to_have_count(1)
    finally:
        for phone in ("1001", "1002"):
            on_break.sim(f"phone {phone} answer")


def test_from_the_agent_to_his_call(centre: Centre, open_page: Open) -> None:
    call = centre.call("1003")
    page = open_page(centre.supervisor())
    page.get_by_role("button", name="Agents").click()
    page.get_by_role("button", name="Listen to Agent 1003").click()
    lamp(page, "Nobody hears you")
    dock(page).get_by_role("button", name="Whisper").click()
    lamp(page, "Agent 1003 hears you")
    expect(row(page, "1003")).to_contain_text("Whispering")
    assert "9001" in centre.hears(call["agent"])
    assert "9001" not in centre.hears(call["caller"])


def test_an_agent_is_followed_into_his_next_call(centre: Centre, open_page: Open) -> None:
    page = open_page(centre.supervisor())
    agents_by_key(page)
    expect(page.locator(".person[id]")).to_have_count(8)
    for _ in range(3):
        page.keyboard.press("ArrowDown")
    expect(page.locator('.person[aria-selected="true"]')).to_contain_text("Agent 1003")
    page.keyboard.press("f")
    expect(dock(page)).to_contain_text("Agent 1003 has no call; you are silent until the next one")
    expect(row(page, "1003")).to_contain_text("Following")
    expect(page.get_by_role("button", name="Follow Agent 1004")).to_be_disabled()
    call = centre.call("1003", "Ana+Sousa")
    expect(dock(page)).to_contain_text("Ana Sousa")
    expect(dock(page).locator(".modes button", has_text="Whisper")).to_be_enabled()
    assert centre.hears(call["caller"]) == {"1003"}
    agents_by_key(page)
    expect(page.locator(".row[id]")).to_contain_text("Ana Sousa")


def test_who_may_only_look_is_offered_nothing(centre: Centre, open_page: Open) -> None:
    centre.call("1003")
    page = open_page(centre.supervisor(permissions=["view_contact_center_dashboard"]))
    agents_by_key(page)
    expect(row(page, "1003")).to_contain_text("On a call")
    expect(page.locator(".person .act button")).to_have_count(0)


def test_queues_of_others_are_not_shown(centre: Centre, open_page: Open) -> None:
    page = open_page(centre.supervisor(queues=["sales@default"]))
    agents_by_key(page)
    expect(page.get_by_text("No agents are known.")).to_be_visible()
    expect(strip(page)).to_have_count(0)


@SCREENS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_shut_out_of_agents_and_queues(
    on_break: Centre, open_page: Open, size: dict[str, int], scheme: str
) -> None:
    """axe-core finds nothing serious, with a caller who waits and every status that there is."""
    status(on_break, "1003", "Logged Out")
    on_break.call("1004")
    on_break.sim("queue")
    page = open_page(on_break.supervisor(), size=size, color_scheme=scheme)
    agents_by_key(page)
    expect(page.locator(".person[id]")).to_have_count(8)
    strip(page).get_by_role("button").click()
    expect(page.get_by_role("region", name="Waiting in support@default").get_by_role("listitem")).to_have_count(1)
    page.get_by_role("button", name="Follow Agent 1001").click()
    expect(row(page, "1001")).to_contain_text("Following")
    assert serious(page) == []
