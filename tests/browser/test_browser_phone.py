"""The page as a phone, before it is rung: the choice of device, the microphone, and what is said when there is none."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.centre import Centre, until
from tests.browser.conftest import PHONE, WIDE

pytestmark = pytest.mark.browser

BROKEN = """
(name) => {
  window.whole = navigator.mediaDevices.getUserMedia;
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("no", name); };
}
"""


PLAYED = """
() => {
  const Whole = Audio;
  window.played = [];
  window.Audio = class extends Whole {
    constructor(...given) { super(...given); window.played.push(this); }
  };
}
"""

METERED = """
() => {
  const Whole = AudioContext;
  window.AudioContext = class extends Whole {
    constructor(...given) { super(...given); window.metered ??= this; }
  };
  window.show = (shown) => {
    Object.defineProperty(document, "hidden", { value: !shown, configurable: true });
    document.dispatchEvent(new Event("visibilitychange"));
  };
}
"""


@pytest.fixture(scope="module")
def whole_centre() -> Iterator[Centre]:
    """With a profile for browsers that is not there: nobody can be rung, but everything before that can be seen."""
    centre = Centre()
    centre.switch.browsers_ws_port = 1  # type: ignore[attr-defined]
    with centre:
        yield centre


def device(page: Page) -> Page:
    """The part of the page that it is about."""
    return page.get_by_role("region", name="Your device")  # type: ignore[return-value]


def test_the_choice_is_kept_and_the_meter_shows_what_the_microphone_hears(
    centre: Centre, open_page: Callable[..., Page]
) -> None:
    page = open_page(centre.supervisor())
    choice = page.get_by_label("You speak with")
    expect(choice.locator("option")).to_have_text(["Phone 9001", "This browser"])
    expect(choice).to_have_value(f"9001@{centre.switch.domain}")
    expect(page.get_by_role("combobox", name="Microphone")).to_have_count(0)
    page.evaluate(METERED)
    choice.select_option("This browser")
    expect(device(page)).to_contain_text("Connecting this browser to the switch")
    expect(page.get_by_role("combobox", name="Microphone").locator("option")).to_contain_text(["The system's", "Fake"])
    meter = page.get_by_label("Level of the microphone")
    until(lambda: meter.evaluate("(bar) => bar.value") > 30)  # the tone that the browser's microphone hears
    for shown, state in ((False, "suspended"), (True, "running")):
        page.evaluate("(shown) => window.show(shown)", shown)
        until(lambda wanted=state: page.evaluate("() => window.metered.state") == wanted)
    page.evaluate("() => { document.querySelector('.device meter').value = 0; }")
    until(lambda: meter.evaluate("(bar) => bar.value") > 30)
    page.evaluate(PLAYED)
    hear = page.get_by_role("button", name="Hear yourself")
    hear.click()
    expect(hear).to_have_attribute("aria-pressed", "true")
    until(lambda: page.evaluate("() => window.played.length === 1 && !window.played[0].paused"))
    hear.click()
    expect(hear).to_have_attribute("aria-pressed", "false")
    assert page.evaluate("() => window.played[0].paused")
    page.reload()
    expect(choice).to_have_value("browser")
    choice.select_option("Phone 9001")
    expect(meter).to_have_count(0)


def test_a_call_is_not_asked_for_while_the_browser_cannot_be_rung(
    centre: Centre, open_page: Callable[..., Page]
) -> None:
    centre.call()
    page = open_page(centre.supervisor())
    page.get_by_label("You speak with").select_option("This browser")
    page.get_by_role("button", name="Listen to Agent 1001").click()
    expect(page.get_by_role("alert")).to_contain_text("Connecting this browser to the switch")
    expect(page.get_by_role("complementary")).to_have_count(0)


def test_who_may_not_coach_is_asked_for_no_microphone(centre: Centre, open_page: Callable[..., Page]) -> None:
    page = open_page(centre.supervisor(permissions=["view_contact_center_dashboard"]))
    expect(page.get_by_role("status").filter(has_text="Live")).to_be_visible()
    expect(device(page)).to_have_count(0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ("NotFoundError", "There is no microphone. Plug one in"),
        ("NotAllowedError", "does not let this page use the microphone"),
        ("NotReadableError", "another program may have it"),
    ],
)
def test_a_microphone_that_is_not_there_is_told_in_words(
    centre: Centre, open_page: Callable[..., Page], error: str, words: str
) -> None:
    page = open_page(centre.supervisor())
    page.evaluate(BROKEN, error)
    page.get_by_label("You speak with").select_option("This browser")
    expect(device(page)).to_contain_text(words)
    page.evaluate("() => { navigator.mediaDevices.getUserMedia = window.whole; }")
    device(page).get_by_role("button", name="Try again").click()
    expect(device(page)).to_contain_text("Connecting this browser to the switch")


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_anybody_can_use_it(centre: Centre, open_page: Callable[..., Page], scheme: str, size: dict[str, int]) -> None:
    centre.call()
    page = open_page(centre.supervisor(), size=size, color_scheme=scheme)
    choice = page.get_by_label("You speak with")
    choice.select_option("This browser")
    expect(page.get_by_label("Level of the microphone")).to_be_visible()
    expect(page.locator(".row[id]")).to_have_count(1)
    usable(page)
    choice.select_option("Phone 9001")
    page.evaluate(BROKEN, "NotAllowedError")
    choice.select_option("This browser")
    expect(device(page).get_by_role("button", name="Try again")).to_be_visible()
    usable(page)


def usable(page: Page) -> None:
    """Nothing serious for whoever sees or moves badly, and nothing beyond the page's edge."""
    found = Axe().run(page).response["violations"]
    assert [each["id"] for each in found if each["impact"] in ("serious", "critical")] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    places = (
        device(page)
        .locator("select, button, meter, input")
        .filter(visible=True)
        .evaluate_all(
            "(all) => all.map((each) => each.getBoundingClientRect()).map(({ left, right }) => [left, right])"
        )
    )
    width = page.evaluate("innerWidth")
    assert all(0 <= left < right <= width for left, right in places), places
