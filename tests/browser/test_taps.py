"""An eavesdrop that is not ours, on the dashboard while it lasts; nothing of it on the agent's panel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.centre import Centre
from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.browser

Open = Callable[..., Page]


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_a_tap_is_seen_as_long_as_it_lasts(centre: Centre, open_page: Open, size: dict[str, int]) -> None:
    call = centre.call()
    page = open_page(centre.supervisor(), size=size)
    agent = open_page(centre.agent("1001"), "/agent", size={"width": 320, "height": 480})
    expect(agent.locator(".call")).to_be_visible()
    notice = page.get_by_role("status", name="Calls that somebody else listens to")
    expect(notice).to_be_empty()
    centre.switch.api(f"originate user/9002@{centre.switch.domain} &eavesdrop({call['agent']})")
    expect(notice).to_contain_text("The call of Agent 1001 is tapped.", timeout=20_000)
    expect(notice).to_contain_text("9002@")
    expect(notice.locator(".tap")).to_be_in_viewport(ratio=1)
    expect(page.locator(".row .chip", has_text="Tapped")).to_be_visible()
    found: Any = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    expect(agent.locator("body")).not_to_contain_text("tapped")
    centre.sim(f"hangup {spy(centre)}")
    expect(notice).to_be_empty(timeout=20_000)


def spy(centre: Centre) -> str:
    return next(row["leg"] for row in centre.sim("legs") if row["party"] == "9002")
