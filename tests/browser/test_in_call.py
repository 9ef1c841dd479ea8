"""The page as a phone that has been rung, and what can go wrong with it: the microphone, the connection, the key."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

import pytest
from playwright.sync_api import Page, WebSocketRoute, expect

from tests.browser.centre import Centre, until
from tests.browser.conftest import PHONE, WIDE
from tests.browser.rung import Ringer
from tests.browser.test_browser_phone import device, usable

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
PATIENCE: Final = 15_000
HEARD: Final = -60  # dBFS; the microphone's tone comes with -39, and nothing with less than -100
CONNECTING: Final = "Connecting this browser to the switch"

# Which tracks the page was given, and whether it may have another now.
MICROPHONES: Final = """
() => {
  const whole = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
  window.given = [];
  window.waits = [];
  window.held = false;
  navigator.mediaDevices.getUserMedia = async (wanted) => {
    if (window.held) await new Promise((resolve) => window.waits.push(resolve));
    const stream = await whole(wanted);
    window.given.push(stream.getTracks()[0]);
    const { clone } = stream;
    stream.clone = () => (window.copy = clone.call(stream));
    return stream;
  };
}
"""
UNPLUG: Final = """
() => {
  const track = window.given.at(-1);
  for (const each of [track, ...window.copy.getTracks()]) each.stop();
  track.dispatchEvent(new Event("ended"));
}
"""

STATISTICS: Final = """
([trip, lost]) => {
  const report = [
    { type: "remote-inbound-rtp", roundTripTime: trip, jitter: 0, fractionLost: lost },
    { type: "inbound-rtp", packetsLost: 0, packetsReceived: 0, jitter: 0 },
  ];
  RTCPeerConnection.prototype.getStats = async () => new Map(report.map((each) => [each.type, each]));
}
"""


class Feed:
    """Between a page and the service's Socket.IO: what the page asked for, and connections that are cut."""

    def __init__(self, page: Page) -> None:
        self.asked: list[str] = []
        self.cut = False
        self._now: WebSocketRoute | None = None
        page.route_web_socket(re.compile("/socket.io/"), self._meet)

    def _meet(self, socket: WebSocketRoute) -> None:
        if self.cut:
            socket.close()
            return
        self._now, server = socket, socket.connect_to_server()

        def pass_on(text: str | bytes) -> None:
            self.asked.append(str(text))
            server.send(text)

        socket.on_message(pass_on)

    def tell(self, packet: str) -> None:
        """The page hears this of the service."""
        assert self._now is not None
        self._now.send(packet)

    def lose(self) -> None:
        """The connection is gone, and no other is had."""
        assert self._now is not None
        self.cut = True
        self._now.close()


@pytest.fixture(scope="module")
def whole_centre() -> Any:
    """As of the module that looks at a page before it is rung."""
    centre = Centre()
    centre.switch.browsers_ws_port = 1  # type: ignore[attr-defined]
    with centre:
        yield centre


@pytest.fixture
def open_blank(open_page: Open, centre: Centre) -> Open:
    """A page that has not chosen its device yet, with a relay of the test's own, and its feed."""

    def opened(**more: Any) -> tuple[Page, Ringer, Feed]:
        page = open_page(centre.supervisor(), **more)
        ringer = Ringer(page, f"9001@{centre.switch.domain}")
        feed = Feed(page)
        page.reload()
        page.evaluate(MICROPHONES)
        return page, ringer, feed

    return opened


@pytest.fixture
def open_call(open_blank: Open, centre: Centre) -> Open:
    """A page that listens to agent 1001 as a phone."""

    def opened(before: Callable[[Page], None] = lambda _page: None, **more: Any) -> tuple[Page, Ringer, Feed]:
        centre.call()
        page, ringer, feed = open_blank(**more)
        before(page)
        page.get_by_label("You speak with").select_option("This browser")
        expect(page.get_by_text("This browser can be rung.")).to_be_visible()
        page.get_by_role("button", name="Listen to Agent 1001").click()
        with closing(centre.service.api("grace")) as api:
            session = until(lambda: api.ask("GET", "/sessions")["sessions"])[0]["id"]
        ringer.ring(session)
        expect(page.get_by_text("This browser is in the call.")).to_be_visible()
        expect(dock(page).get_by_role("button", name="Whisper")).to_be_enabled()
        return page, ringer, feed

    return opened


def dock(page: Page) -> Any:
    """Where the call is coached."""
    return page.get_by_role("complementary")


def lamp(page: Page, text: str) -> None:
    expect(dock(page).locator(".lamp")).to_have_text(text)


def whisper(page: Page) -> None:
    """The agent hears the page."""
    page.keyboard.press("w")
    lamp(page, "Agent 1001 hears you")
    heard(page, True)


def heard(page: Page, wanted: bool) -> None:
    """Whether the other end hears the microphone."""
    until(lambda: (page.evaluate("far.heard()") > HEARD) is wanted)


def test_nothing_leaves_the_microphone_while_nobody_is_to_hear_it(open_call: Open) -> None:
    page, _, _ = open_call()
    heard(page, False)
    whisper(page)
    for key in ("m", "p"):
        page.keyboard.press(key)
        heard(page, False)
        page.keyboard.press(key)
        heard(page, True)
    page.keyboard.press("l")
    heard(page, False)


def test_a_microphone_that_is_unplugged_in_a_call_and_another(open_call: Open) -> None:
    page, _, _ = open_call()
    whisper(page)
    page.evaluate(UNPLUG)
    expect(device(page)).to_contain_text("There is no microphone.")
    heard(page, False)
    device(page).get_by_role("button", name="Try again").click()
    expect(page.get_by_text("This browser is in the call.")).to_be_visible()
    assert page.evaluate("() => window.given.map((each) => each.readyState)") == ["ended", "live"]
    heard(page, True)


def test_another_microphone_in_a_call(open_call: Open) -> None:
    page, _, _ = open_call()
    whisper(page)
    page.get_by_label("Take out echo and noise").uncheck()
    until(lambda: page.evaluate("() => window.given.map((each) => each.readyState)") == ["ended", "live"])
    heard(page, True)
    page.keyboard.press("m")
    heard(page, False)


def test_of_several_microphones_that_are_asked_for_at_once_one_is_opened(open_blank: Open) -> None:
    page, _, _ = open_blank()
    page.evaluate("() => { window.held = true; }")
    choice = page.get_by_label("You speak with")
    for chosen in ("This browser", "Phone 9001", "This browser"):
        choice.select_option(chosen)
    expect(device(page)).to_contain_text("The browser asks")
    page.get_by_label("Take out echo and noise").uncheck()
    until(lambda: page.evaluate("() => window.waits.length") == 3)
    page.evaluate("() => window.waits.forEach((each) => each())")
    expect(page.get_by_text("This browser can be rung.")).to_be_visible()
    until(lambda: page.evaluate("() => window.given.length") == 3)
    until(lambda: page.evaluate("() => window.given.filter((each) => each.readyState === 'live').length") == 1)
    choice.select_option("Phone 9001")
    until(lambda: page.evaluate("() => window.given.filter((each) => each.readyState === 'live').length") == 0)


def test_hearing_oneself_is_switched_off_and_on_faster_than_a_browser_is(open_blank: Open) -> None:
    page, _, _ = open_blank()
    page.get_by_label("You speak with").select_option("This browser")
    expect(page.get_by_text("This browser can be rung.")).to_be_visible()
    hear = page.get_by_role("button", name="Hear yourself")
    hear.click()
    expect(hear).to_have_attribute("aria-pressed", "true")
    hear.evaluate("(button) => { button.click(); button.click(); button.click(); }")
    expect(hear).to_have_attribute("aria-pressed", "false")


def test_devices_that_come_and_go(open_blank: Open) -> None:
    page, _, _ = open_blank()
    page.evaluate("() => localStorage.setItem('ccwhisper.phone', JSON.stringify({ input: 'of-last-week' }))")
    page.reload()
    page.get_by_label("You speak with").select_option("This browser")
    microphones = page.get_by_role("combobox", name="Microphone")
    expect(microphones.locator("option")).to_contain_text(["The system's", "Fake"])
    expect(microphones).to_have_value("")
    page.evaluate(
        """() => {
          const headset = { kind: "audioinput", deviceId: "h", label: "Headset" };
          navigator.mediaDevices.enumerateDevices = async () => [headset];
          navigator.mediaDevices.dispatchEvent(new Event("devicechange"));
        }"""
    )
    expect(microphones.locator("option")).to_have_text(["The system's", "Headset"])


@pytest.mark.parametrize(("size", "scheme", "amber"), [(WIDE, "light", "143, 86, 0"), (PHONE, "dark", "240, 192, 105")])
def test_how_good_the_way_is_and_what_helps(open_call: Open, size: dict[str, int], scheme: str, amber: str) -> None:
    page, _, _ = open_call(size=size, color_scheme=scheme)
    quality = dock(page).locator(".quality")
    advised = quality.get_by_role("status")
    for trip, lost, figures, advice in (
        (0.18, 0, "about 150 ms later · 0 % lost", None),
        (0.182, 0, "about 151 ms later · 0 % lost", "The agent hears you late"),
        (0.01, 0.1, "about 65 ms later · 10 % lost", "Packets are lost"),
    ):
        page.evaluate(STATISTICS, [trip, lost])
        expect(quality).to_contain_text(figures)
        expect(quality).to_contain_text(f"There and back {trip * 1000:.0f} ms · jitter 0 ms")
        expect(advised).to_have_count(1 if advice else 0)
        if advice:
            expect(advised).to_contain_text(advice)
        colour = quality.evaluate("(each) => getComputedStyle(each).color")
        assert (colour == f"rgb({amber})") is bool(advice)
        usable(page)


def test_a_call_that_was_taken_over_outlives_the_token(open_call: Open) -> None:
    page, ringer, feed = open_call()
    page.keyboard.press("t")
    page.keyboard.press("t")
    expect(device(page)).to_contain_text("You talk with the caller. The microphone is open.")
    heard(page, True)
    feed.tell('42["expired",{"code":"token_expired","message":"The token has expired.","retry":false}]')
    expect(page.get_by_role("alert")).to_have_text("The token has expired.")
    expect(page.get_by_text("You talk with the caller.")).to_be_visible()
    heard(page, True)
    assert page.evaluate("() => window.given.at(-1).readyState") == "live"
    page.get_by_role("button", name="Hang up").click()
    ringer.hear("BYE")
    expect(page.get_by_role("button", name="Hang up")).to_have_count(0)
    until(lambda: page.evaluate("() => window.given.at(-1).readyState") == "ended")


def test_a_call_can_be_hung_up_while_the_service_is_away(open_call: Open) -> None:
    page, ringer, feed = open_call()
    whisper(page)
    hang_up = page.get_by_role("button", name="Hang up")
    expect(hang_up).to_have_count(0)
    feed.lose()
    hang_up.click()
    ringer.hear("BYE")
    heard(page, False)


def test_a_key_that_is_pressed_without_a_connection_is_not_heard_of_later(open_call: Open) -> None:
    page, _, feed = open_call()
    whisper(page)
    page.keyboard.press("p")
    lamp(page, "Nobody hears you")
    feed.lose()
    expect(page.locator(".bar .status")).to_have_text("Not up to date: no connection")
    page.keyboard.down(" ")
    page.keyboard.up(" ")
    feed.cut = False
    expect(page.locator(".bar .status")).to_have_text("Live", timeout=PATIENCE)
    lamp(page, "Nobody hears you")
    heard(page, False)
    assert not [each for each in feed.asked if '"op":"press"' in each]


def test_a_button_that_goes_away_under_the_finger_is_let_go_of(open_call: Open) -> None:
    page, _, _ = open_call()
    whisper(page)
    page.keyboard.press("p")
    hold = dock(page).locator(".hold")
    hold.hover()
    page.mouse.down()
    expect(hold).to_contain_text("Speaking")
    lamp(page, "Agent 1001 hears you")
    page.keyboard.press("l")
    expect(hold).to_have_count(0)
    page.mouse.up()
    page.keyboard.press("w")
    expect(dock(page).get_by_role("button", name="Whisper")).to_have_attribute("aria-pressed", "true")
    expect(hold).to_contain_text("Hold to speak")
    lamp(page, "Nobody hears you")
    heard(page, False)


def test_a_browser_that_plays_nothing_before_it_is_touched_says_so(open_call: Open) -> None:
    def untouched(page: Page) -> None:
        page.evaluate(
            """() => {
              window.whole = HTMLMediaElement.prototype.play;
              HTMLMediaElement.prototype.play = async function () {
                if (!this.muted) throw new DOMException("no", "NotAllowedError");
                return window.whole.call(this);
              };
            }"""
        )

    page, _, _ = open_call(before=untouched)
    expect(device(page)).to_contain_text("plays no sound before this page has been touched")
    page.evaluate("() => { HTMLMediaElement.prototype.play = window.whole; }")
    page.locator("h1").click()
    expect(device(page)).not_to_contain_text("plays no sound")


def test_a_service_that_cuts_the_connection_again_and_again(open_blank: Open) -> None:
    """It is tried more and more seldom, and it says what may be the matter."""
    page, ringer, _ = open_blank()
    ringer.cuts = True
    page.get_by_label("You speak with").select_option("This browser")
    expect(device(page)).to_contain_text(CONNECTING)
    expect(device(page)).to_contain_text("The service does not answer", timeout=PATIENCE)
    ringer.cuts = False
    expect(page.get_by_text("This browser can be rung.")).to_be_visible(timeout=PATIENCE)


def test_a_connection_that_is_never_greeted_is_given_up(open_blank: Open) -> None:
    page, ringer, _ = open_blank()
    ringer.mute = 1
    page.get_by_label("You speak with").select_option("This browser")
    expect(page.get_by_text("This browser can be rung.")).to_be_visible(timeout=PATIENCE)
    assert len(ringer.sockets) == 2


def test_a_page_that_lost_the_service_before_it_had_all_of_itself(open_blank: Open) -> None:
    page, _, _ = open_blank()
    page.route("**/jssip.js", lambda route: route.abort("connectionrefused"), times=1)
    page.get_by_label("You speak with").select_option("This browser")
    expect(page.get_by_text("This browser can be rung.")).to_be_visible(timeout=PATIENCE)


def test_a_switch_that_browsers_do_not_reach(centre: Centre, open_page: Open) -> None:
    page = open_page(centre.supervisor())
    page.get_by_label("You speak with").select_option("This browser")
    expect(device(page)).to_contain_text("The service does not reach it", timeout=PATIENCE)
