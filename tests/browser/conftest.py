"""A real Chromium in front of the service, on the simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page

from tests.browser.centre import Centre

WIDE = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="session")
def whole_centre() -> Iterator[Centre]:
    with Centre() as centre:
        yield centre


@pytest.fixture
def centre(whole_centre: Centre) -> Centre:
    whole_centre.clear()
    return whole_centre


@pytest.fixture
def open_page(browser: Browser, centre: Centre) -> Iterator[Callable[..., Page]]:
    """Opens a page for a token, each in a browser profile of its own. What the console complains of fails the test."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def complain(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(message.text)

    def opened(token: str, path: str = "/", size: dict[str, int] = WIDE, **more: Any) -> Page:
        context = browser.new_context(viewport=size, **more)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(8000)
        page.on("console", complain)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(f"{centre.url}{path}#token={token}")
        return page

    yield opened
    for context in contexts:
        context.close()
    # The connection's end is what some tests are about, and refusals.
    expected = ("WebSocket", "ERR_CONNECTION", "the server responded with a status of")
    assert [each for each in complaints if not any(part in each for part in expected)] == []
