"""The report of `ccwhisper prove` in Chromium: offline, light and dark, on a phone's screen, on paper."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from ccwhisper.prove.page import page as page_of
from tests.browser.conftest import PHONE, WIDE
from tests.unit.sample_record import pictures, sample

pytestmark = pytest.mark.browser

Opened = Callable[..., Page]


@pytest.fixture
def opened(browser: Browser, tmp_path: Path) -> Iterator[Opened]:
    """Opens a report as a file, with no network. What the console says fails the test: there is nothing to say."""
    contexts = []
    said: list[str] = []

    def opened(leaky: bool = False, size: dict[str, int] = WIDE, scheme: str = "light") -> Page:
        context = browser.new_context(viewport=size, color_scheme=scheme, offline=True)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: request.url.startswith(("file:", "data:")) or said.append(request.url))
        path = tmp_path / "proof.html"
        path.write_text(page_of(sample(leaky).plain(), pictures()))
        page.goto(path.as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert said == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("leaky", [False, True], ids=["passed", "leaks"])
def test_it_can_be_read(opened: Opened, scheme: str, size: dict[str, int], leaky: bool) -> None:
    page = opened(leaky, size, scheme)
    assert page.locator("h1").inner_text() == ("It leaks" if leaky else "Nothing leaked, and nothing failed")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")  # what is wider scrolls by itself
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    pictures = page.locator("img").evaluate_all("all => all.map(each => each.complete && each.naturalWidth)")
    assert pictures == [300, 300, 300]


def test_a_leak_stands_out_in_the_table(opened: Opened) -> None:
    page = opened(leaky=True)
    cell = page.locator('td[data-step="whisper"][data-listener="caller"][data-speaker="coach"]')
    assert cell.inner_text() == "-16.3"
    assert "bad" in (cell.get_attribute("class") or "")
    quiet = page.locator('td[data-step="talk"][data-listener="caller"][data-speaker="coach"]')
    assert quiet.get_attribute("class") == "silent"


def test_names_of_steps_do_not_stand_upon_each_other(opened: Opened) -> None:
    page = opened()
    boxes = page.locator("svg").first.locator("text.step").evaluate_all(
        "all => all.map(each => { const box = each.getBoundingClientRect(); return [box.left, box.right, box.top] })"
    )  # fmt: skip
    assert len(boxes) == 11
    for index, (left, right, top) in enumerate(boxes):
        for other_left, other_right, other_top in boxes[index + 1 :]:
            assert top != other_top or right <= other_left or other_right <= left


def test_on_paper_it_is_light_and_whole(opened: Opened) -> None:
    page = opened(scheme="dark")
    page.emulate_media(media="print")
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "light"
    page.set_viewport_size({"width": 700, "height": 1000})
    assert page.locator(".wide").evaluate_all("all => all.every(each => each.scrollWidth <= each.clientWidth)")
