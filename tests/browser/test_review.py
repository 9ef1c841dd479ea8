"""The review page: recordings are found, heard track by track, jumped in and commented, by mouse and by keys, wide and
on a phone's screen. What is heard is measured where the page's sound leaves it."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Locator, Page, expect

from ccwhisper.coaching.policy import AUDIT, DELETE_RECORDINGS, REVIEW, VIEW
from ccwhisper.recording import mp4
from ccwhisper.recording.result import Problem
from tests.browser.centre import Centre, until
from tests.browser.conftest import PHONE, WIDE
from tests.browser.recorded import Recorder
from tests.e2e.tones import COACH, HERTZ, SECOND, coach, recording
from tests.unit import tapes

pytestmark = pytest.mark.browser

Open = Callable[..., Page]
SCREENS = pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
PATIENCE = 30.0
CALLER, AGENT, GRACE, ALAN = (HERTZ[each] for each in ((0, 0), (0, 1), (1, 0), (2, 0)))

# What the page sends to the loudspeaker goes to an analyser of the test's as well, and its audio elements are kept.
EARS = """
  window.elements = [];
  window.Audio = class extends Audio { constructor(...given) { super(...given); window.elements.push(this); } };
  const connect = AudioNode.prototype.connect;
  AudioNode.prototype.connect = function (to, ...rest) {
    if (to instanceof AudioDestinationNode) {
      const { context } = to;
      if (!context.ear) {
        context.ear = new AnalyserNode(context, { fftSize: 8192, smoothingTimeConstant: 0 });
        window.ear = context.ear;
      }
      connect.call(this, context.ear);
    }
    return connect.call(this, to, ...rest);
  };
"""
HEARD = """(tones) => {
  if (!window.ear) return [];
  const { ear } = window;
  const bins = new Float32Array(ear.frequencyBinCount);
  ear.getFloatFrequencyData(bins);
  const at = (hertz) => Math.round((hertz * ear.fftSize) / ear.context.sampleRate);
  const loud = (hertz) => Math.max(...bins.subarray(at(hertz) - 2, at(hertz) + 3));
  return tones.filter((hertz) => loud(hertz) > -50);
}"""

DECODED = """async ([data, tones]) => {
  const element = new Audio(`data:audio/mp4;base64,${data}`);
  await new Promise((ready, refused) => {
    element.oncanplaythrough = ready;
    element.onerror = () => refused(new Error(element.error.message));
  });
  const bytes = Uint8Array.from(atob(data), (each) => each.charCodeAt(0));
  const sound = await new OfflineAudioContext(2, 1, 8000).decodeAudioData(bytes.buffer);
  const loud = (samples, hertz) => {
    let [re, im] = [0, 0];
    samples.forEach((each, at) => {
      re += each * Math.cos((2 * Math.PI * hertz * at) / 8000);
      im += each * Math.sin((2 * Math.PI * hertz * at) / 8000);
    });
    return 20 * Math.log10((2 * Math.hypot(re, im)) / samples.length + 1e-9);
  };
  const sides = [...Array(sound.numberOfChannels).keys()].map((side) => sound.getChannelData(side).slice(16000, 32000));
  return [element.duration, sides.map((side) => tones.filter((hertz) => loud(side, hertz) > -60))];
}"""


@pytest.fixture
def recorder(centre: Centre) -> Iterator[Recorder]:
    made = Recorder(centre)
    yield made
    made.clear()


@pytest.fixture
def review(centre: Centre, open_page: Open) -> Callable[..., Page]:
    """Opens the page for a reviewer: the list, or one recording."""

    def opened(
        recording: str = "",
        size: dict[str, int] = WIDE,
        sub: str = "rita",
        more: tuple[str, ...] = (),
        scheme: Any = "light",
    ) -> Page:
        token = centre.service.token(sub, name=sub.title(), permissions=[REVIEW, *more], roles=[], queues=["*"])
        page = open_page(token, "/review", size=size, color_scheme=scheme)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()
        page.context.add_init_script(EARS)
        page.reload()
        if recording:
            page.goto(f"{centre.url}/review#{recording}")
            expect(page.locator(".lane").first).to_be_visible()
        return page

    return opened


def heard(page: Page) -> set[float]:
    return set(page.evaluate(HEARD, list(HERTZ.values())))


def hears(page: Page, *tones: float) -> None:
    """These, and no others."""
    until(lambda: heard(page) == set(tones), PATIENCE)


def clock(page: Page) -> str:
    return (page.locator(".clock").text_content() or "").split("/")[0].strip()


def at(page: Page, time: str) -> None:
    expect(page.locator(".clock")).to_contain_text(f"{time} /")


def lane(page: Page, name: str) -> Locator:
    return page.get_by_role("group", name=name, exact=True)


def play(page: Page) -> None:
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("button", name="Pause", exact=True)).to_be_visible()


BOTH = (coach(COACH, [(0.0, 60.0)]), coach(SECOND, [(0.0, 60.0)], "alan", "Alan"))


# --- hearing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_each_track_is_heard_as_the_page_says(recorder: Recorder, review: Callable[..., Page], codec: str) -> None:
    page = review(recorder.keep(seconds=60.0, coaches=BOTH, codec=codec).id)
    play(page)
    hears(page, CALLER, AGENT, GRACE, ALAN)
    until(lambda: clock(page) not in ("0:00", "0:01"), PATIENCE)
    lane(page, "Grace").get_by_role("button", name="Solo").click()
    hears(page, GRACE)
    page.keyboard.press("1")
    hears(page, CALLER, GRACE)
    page.keyboard.press("3")
    hears(page, CALLER)
    page.keyboard.press("1")
    lane(page, "Ada").get_by_role("button", name="Mute").click()
    hears(page, CALLER, GRACE, ALAN)
    page.keyboard.press("Shift+Digit4")
    hears(page, CALLER, GRACE)
    lane(page, "Caller").get_by_role("slider").fill("0")
    hears(page, GRACE)
    page.keyboard.press("m")
    hears(page)
    page.keyboard.press("m")
    hears(page, GRACE)
    page.keyboard.press("k")
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    hears(page)


def test_tracks_are_kept_in_step(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(recorder.keep(seconds=60.0, coaches=BOTH).id)
    play(page)
    hears(page, CALLER, AGENT, GRACE, ALAN)
    spread = """() => {
      const times = elements.map((each) => each.currentTime);
      return Math.max(...times) - Math.min(...times);
    }"""

    def in_step() -> bool:
        return max(page.evaluate(spread) for _ in range(10)) < 0.04

    until(in_step, PATIENCE)
    page.evaluate("() => { elements[1].currentTime += 0.2; }")  # one of them runs ahead
    until(in_step, PATIENCE)
    page.get_by_label("Speed").select_option("1.5 ×")
    until(lambda: page.evaluate("() => elements[0].playbackRate") == 1.5)
    until(in_step, PATIENCE)
    page.keyboard.press("l")
    until(in_step, PATIENCE)


def test_a_coach_is_heard_when_he_could_be(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(recorder.keep(seconds=60.0, coaches=(coach(COACH, [(20.0, 50.0)]),)).id)
    play(page)
    hears(page, CALLER, AGENT)
    for _ in range(3):
        page.keyboard.press("l")
    hears(page, CALLER, AGENT, GRACE)
    expect(lane(page, "Grace").locator(".span")).to_have_count(1)


def test_a_long_one_is_heard_near_its_end(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(f"{recorder.long().id}&t=550")
    statuses: set[int] = set()
    page.on("response", lambda got: statuses.add(got.status) if "/tracks/" in got.url else None)
    at(page, "9:10")
    play(page)
    hears(page, CALLER, AGENT, GRACE)
    assert clock(page).startswith("9:")
    assert statuses == {206}, "it is streamed, and not loaded first"


def test_a_track_that_a_browser_forgets_to_load_is_roused(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(recorder.keep(seconds=60.0, coaches=BOTH).id)
    play(page)
    hears(page, CALLER, AGENT, GRACE, ALAN)
    page.evaluate(  # what Chromium says of itself then, until it is told where it is
        """() => {
          const [, dry] = elements;
          Object.defineProperty(dry, "readyState", { configurable: true, get: () => 2 });
          Object.defineProperty(dry, "networkState", { configurable: true, get: () => 1 });
          dry.addEventListener("seeking", () => { delete dry.readyState; delete dry.networkState; }, { once: true });
          dry.dispatchEvent(new Event("waiting"));
        }"""
    )
    expect(page.get_by_role("status").filter(has_text="Loading")).to_be_visible()
    hears(page)
    hears(page, CALLER, AGENT, GRACE, ALAN)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_page_that_slept_gets_another_ticket(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(recorder.long().id)
    play(page)
    hears(page, CALLER, AGENT, GRACE)
    page.context.clear_cookies()
    # Under another name of theirs, or the browser would take the tracks from its memory.
    page.evaluate("() => elements.forEach((each) => { each.src = each.src.replace(/([0-9]+)$/, '0$1'); })")
    page.get_by_role("region", name="Tracks").get_by_role("group", name="Caller").locator(".track").click()
    until(lambda: clock(page) in {f"5:0{second}" for second in range(10)}, PATIENCE)
    hears(page, CALLER, AGENT, GRACE)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_service_that_is_away_when_a_ticket_is_renewed_stops_nobody(
    recorder: Recorder, review: Callable[..., Page]
) -> None:
    made = recorder.long()
    page = review()
    page.add_init_script(  # what is seconds away is now
        "{ const set = setTimeout; window.setTimeout = (act, ms, ...more) => set(act, Math.min(ms, 500), ...more); }"
    )
    page.goto(f"{page.url.partition('#')[0]}?#{made.id}")
    play(page)
    hears(page, CALLER, AGENT, GRACE)
    page.route("**/media", lambda route: route.abort("connectionrefused"))
    for _ in range(2):
        with page.expect_event("requestfailed", lambda asked: asked.url.endswith("/media"), timeout=PATIENCE * 1000):
            pass
    expect(page.get_by_role("alert")).to_have_count(0)
    hears(page, CALLER, AGENT, GRACE)
    with page.expect_response("**/media", timeout=PATIENCE * 1000) as renewed:
        page.unroute("**/media")
    assert renewed.value.status == 200


@pytest.mark.parametrize("leave", ["Sign out", "List"])
def test_who_leaves_takes_his_ticket_along(recorder: Recorder, review: Callable[..., Page], leave: str) -> None:
    page = review(recorder.keep(seconds=60.0).id)
    play(page)
    hears(page, CALLER, AGENT)
    cookies = page.context.cookies
    assert [each["name"] for each in cookies(f"{page.url.partition('/review')[0]}/api/v1/recordings/x")] == []
    assert len(cookies()) == 1
    page.get_by_role("button", name=leave).or_(page.get_by_role("link", name=leave)).click()
    until(lambda: not cookies(), PATIENCE)


def test_a_key_that_is_held_jumps_no_more_often_than_it_may_ask(
    recorder: Recorder, review: Callable[..., Page]
) -> None:
    page = review(recorder.long().id)
    play(page)
    hears(page, CALLER, AGENT, GRACE)
    jumps, seconds = page.evaluate(
        """async () => {
          let jumps = 0;
          elements[0].addEventListener("seeking", () => { jumps += 1; });
          const began = performance.now();
          for (let count = 0; count < 40; count += 1) {
            dispatchEvent(new KeyboardEvent("keydown", { key: "l" }));
            await new Promise((done) => setTimeout(done, 10));
          }
          return [jumps, (performance.now() - began) / 1000];
        }"""
    )
    assert 1 <= jumps <= seconds / 0.25 + 2
    until(lambda: clock(page).startswith(("6:4", "6:5")), PATIENCE)
    hears(page, CALLER, AGENT, GRACE)
    expect(page.get_by_role("alert")).to_have_count(0)


def test_at_its_end_it_stops_and_begins_anew(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(f"{recorder.keep(seconds=6.0).id}&t=5.2")
    play(page)
    expect(page.get_by_role("button", name="Play", exact=True)).to_be_visible(timeout=PATIENCE * 1000)
    at(page, "0:06")
    play(page)
    until(lambda: clock(page) in ("0:01", "0:02", "0:03"), PATIENCE)


def test_a_file_that_is_gone_is_told(centre: Centre, recorder: Recorder, review: Callable[..., Page]) -> None:
    made = recorder.keep(77)  # nobody has heard it, so that nothing is cut already
    page = review(made.id)
    (centre.service.directory / "var/recordings/archive" / made.file).unlink()
    page.get_by_role("button", name="Play", exact=True).click()
    expect(page.get_by_role("alert")).to_contain_text("The recording's file is not in the archive.")


def test_one_opening_is_one_row_of_the_trail(centre: Centre, recorder: Recorder, review: Callable[..., Page]) -> None:
    made = recorder.keep(seconds=60.0, coaches=BOTH)
    began = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    api = centre.service.api("audrey", permissions=[AUDIT])

    def rows() -> list[Any]:
        found = api.ask("GET", f"/audit?text={made.id}&actor={sub}&from={began}")["rows"]
        return [row["action"] for row in found]

    sub = f"rita-{uuid4()}"
    page = review(made.id, sub=sub)
    expect(page.locator(".wave").first).to_be_visible()
    assert rows() == [], "who only looks at it has not heard it"
    play(page)
    hears(page, CALLER, AGENT, GRACE, ALAN)
    page.keyboard.press("l")
    hears(page, CALLER, AGENT, GRACE, ALAN)
    assert until(rows) == ["play"]
    api.close()


def test_what_a_switch_has_recorded_is_made_and_heard(recorder: Recorder, review: Callable[..., Page]) -> None:
    """From raw tracks and a journal, through the service's own work, to the ear."""
    tape = recorder.tape(seconds=30.0)
    tape.coach("s1", 1.0, [(3.0, 28.0)])
    tape.write()
    page = review()
    row = page.locator("tbody tr")

    def ready() -> bool:
        page.get_by_role("button", name="Search").click()
        return row.count() == 1 and "0:30" in row.inner_text()

    until(ready, 2 * PATIENCE)
    row.get_by_role("link").click()
    expect(page.get_by_role("region", name="What happened")).to_contain_text("Carl")
    play(page)
    page.keyboard.press("3")
    heard_now = [float(tapes.CALLER), float(tapes.AGENT), float(tapes.COACH)]
    until(lambda: page.evaluate(HEARD, heard_now) == [tapes.COACH], PATIENCE)
    page.keyboard.press("3")
    page.keyboard.press("Home")
    page.keyboard.press("1")
    until(lambda: page.evaluate(HEARD, heard_now) == [tapes.CALLER], PATIENCE)
    until(lambda: not tape.call.exists())  # it is not needed any more


# --- finding ---------------------------------------------------------------------------------------------------------


@SCREENS
def test_recordings_are_searched_and_opened(
    recorder: Recorder, review: Callable[..., Page], size: dict[str, int]
) -> None:
    recorder.keep(1)
    recorder.keep(2, name="Ana Sousa", coaches=(), bleed=None, cues=())
    recorder.failed("r3", "The disk is full.")
    page = review(size=size)
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(3)
    expect(rows.first).to_contain_text("Failed")
    expect(rows.first).to_contain_text("The disk is full.")
    page.keyboard.press("/")
    page.keyboard.type("order number")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Jo Meyer")
    expect(rows).to_contain_text("Echo")
    page.get_by_role("button", name="Clear").click()
    expect(rows).to_have_count(3)
    if size is PHONE:
        page.get_by_role("button", name="Filters").click()
    page.get_by_label("State").select_option("Failed")
    page.get_by_role("button", name="Search").click()
    expect(rows).to_have_count(1)
    page.get_by_label("State").select_option("Ready")
    page.get_by_label("Coached by").select_option("Barge in")
    page.get_by_role("button", name="Search").click()
    expect(page.locator(".empty")).to_have_text("There are no such recordings.")
    page.get_by_label("Coached by").select_option("Whisper")
    page.get_by_role("button", name="Search").click()
    rows.get_by_role("link").click()
    expect(page.get_by_role("heading", level=2).first).to_have_text("Ada and Jo Meyer")
    page.get_by_role("link", name="List").click()
    expect(rows).to_have_count(1)
    expect(page.get_by_label("State")).to_have_value("ready")


def test_escape_leads_back_to_what_was_searched_for(recorder: Recorder, review: Callable[..., Page]) -> None:
    recorder.keep(1)
    recorder.keep(2, name="Ana Sousa")
    page = review()
    rows = page.locator("tbody tr")
    expect(rows).to_have_count(2)
    page.keyboard.press("/")
    page.keyboard.type("Ana")
    page.keyboard.press("Enter")
    expect(rows).to_have_count(1)
    rows.get_by_role("link").click()
    expect(page.locator(".lane").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(rows).to_have_count(1)
    expect(page.get_by_label("Anywhere")).to_have_value("Ana")


@SCREENS
def test_a_caller_who_calls_himself_a_book_takes_no_room(
    recorder: Recorder, review: Callable[..., Page], size: dict[str, int]
) -> None:
    tall = recorder.keep(1, name="<b>x</b>" * 60, queue="q" * 120)
    recorder.keep(2)
    page = review(size=size)
    fits = "() => document.querySelector('main').scrollWidth <= innerWidth"
    queue = page.locator("tbody .queue .clip")
    expect(queue).to_have_count(2)
    assert page.evaluate(fits)
    whole = "each => each.scrollWidth <= each.clientWidth && each.getClientRects().length === 1"
    assert queue.filter(has_text="support@default").evaluate(whole), "on one line, and all of it"
    heights = page.locator("tbody tr").evaluate_all("rows => rows.map((row) => row.offsetHeight)")
    assert max(heights) < 2 * min(heights)
    page.goto(f"{page.url.partition('#')[0]}#{tall.id}")
    expect(page.locator(".lane").first).to_be_visible()
    assert page.evaluate(fits)


def test_what_is_to_be_known_of_it_is_said_once(recorder: Recorder, review: Callable[..., Page]) -> None:
    none = coach(None, [])
    problems = (Problem("cut_short", "One track ends early."), Problem("cut_short", "Another one does."))
    made = recorder.keep(coaches=(none, replace(none, session="s9")), problems=problems)
    page = review(made.id)
    expect(page.get_by_text("Whispers of Grace were not recorded.", exact=True)).to_be_visible()
    for each in problems:
        expect(page.get_by_text(each.text)).to_have_count(1)


def test_one_that_could_not_be_made_says_why(recorder: Recorder, review: Callable[..., Page]) -> None:
    recorder.failed("r3", "The disk is full.")
    page = review()
    page.locator("tbody").get_by_role("link").click()
    expect(page.locator(".empty")).to_contain_text("The recording could not be made.")
    expect(page.locator(".empty")).to_contain_text("The disk is full.")
    page.get_by_role("button", name="Try again now").click()
    expect(page.get_by_role("alert")).to_contain_text("There are no raw tracks of such a recording.")


# --- jumping ---------------------------------------------------------------------------------------------------------


@SCREENS
def test_moments_are_jumped_to(recorder: Recorder, review: Callable[..., Page], size: dict[str, int]) -> None:
    page = review(recorder.keep(seconds=60.0, coaches=BOTH).id, size=size)
    what = page.get_by_role("region", name="What happened")
    what.get_by_role("button", name="Grace whispers").click()
    at(page, "0:02")
    expect(what).to_contain_text("Grace: Ask for the order number (Got it)")
    page.keyboard.press(".")
    at(page, "0:03")
    page.keyboard.press(".")
    at(page, "0:05")
    page.keyboard.press(",")
    at(page, "0:03")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("l")
    at(page, "0:18")
    page.keyboard.press("j")
    page.keyboard.press("ArrowLeft")
    at(page, "0:03")
    page.get_by_role("button", name="10 seconds on").click()
    page.get_by_role("button", name="10 seconds back").click()
    at(page, "0:03")
    lane(page, "Caller").locator(".track").click()  # in its middle
    at(page, "0:30")
    page.get_by_role("region", name="Tracks").get_by_text("Grace: Ask for the order number").click()
    at(page, "0:03")


def test_the_picture_is_drawn_and_zoomed(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(recorder.keep(seconds=60.0, coaches=(coach(COACH, [(0.0, 30.0)]),)).id)
    drawn = """(side) => {
      const canvas = document.querySelector('.wave[data-kind="coach"]');
      const { width, height } = canvas;
      const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
      copy.drawImage(canvas, 0, 0);
      const { data } = copy.getImageData(Math.round(width * side), 0, 1, height);
      return Array.from({ length: height }, (_, y) => data[y * 4 + 3]).filter((alpha) => alpha > 0).length / height;
    }"""
    until(lambda: page.evaluate(drawn, 0.25) > 0.5)
    assert page.evaluate(drawn, 0.75) < 0.1, "he was silent then"
    ticks = page.locator(".tick")
    before = ticks.all_text_contents()
    for _ in range(2):
        page.keyboard.press("+")
    until(lambda: ticks.all_text_contents() != before)
    assert page.evaluate(drawn, 0.75) > 0.5, "in sight is the beginning"
    page.get_by_role("button", name="Zoom out").click()
    page.keyboard.press("-")
    until(lambda: ticks.all_text_contents() == before)
    page.keyboard.press("+")
    page.keyboard.press("+")
    page.get_by_role("region", name="What happened").get_by_role("button", name="On hold").click()
    for _ in range(4):
        page.keyboard.press("l")
    expect(page.locator(".now")).to_be_visible()


def test_a_link_leads_to_a_moment(recorder: Recorder, review: Callable[..., Page]) -> None:
    made = recorder.keep(seconds=60.0)
    page = review(f"{made.id}&t=17.5")
    at(page, "0:17")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.keyboard.press("j")
    page.keyboard.press("y")
    expect(page.get_by_role("status").filter(has_text="0:07")).to_be_visible()
    link = page.evaluate("() => navigator.clipboard.readText()")
    assert link.endswith(f"/review#{made.id}&t=7.5")
    page.goto(f"{page.url.partition('#')[0]}#{made.id}&t=40")
    at(page, "0:40")


# --- comments --------------------------------------------------------------------------------------------------------


@SCREENS
def test_comments_are_made_changed_and_taken_back(
    recorder: Recorder, review: Callable[..., Page], size: dict[str, int]
) -> None:
    made = recorder.keep(seconds=60.0)
    page = review(f"{made.id}&t=12", size=size)
    comments = page.get_by_role("region", name="Comments")
    page.keyboard.press("c")
    expect(comments.get_by_role("textbox")).to_be_focused()
    page.keyboard.type("<b>Calm</b> m 1 ?")
    page.keyboard.press("Control+Enter")
    said = comments.locator("li")
    expect(said).to_contain_text("<b>Calm</b> m 1 ?")
    expect(said).to_contain_text("Rita")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    said.get_by_role("button", name="Edit").click()
    said.get_by_role("textbox").fill("Well handled")
    said.get_by_role("button", name="Save").click()
    expect(said).to_contain_text("edited")
    other = review(made.id, size=size, sub="sam")
    theirs = other.get_by_role("region", name="Comments").locator("li")
    expect(theirs).to_contain_text("Well handled")
    expect(theirs.get_by_role("button", name="Edit")).to_have_count(0)
    theirs.get_by_role("button", name="0:12", exact=True).click()
    at(other, "0:12")
    said.get_by_role("button", name="Delete").click()
    expect(comments).to_contain_text("Nobody has said anything yet.")


def test_a_comment_is_of_the_moment_at_which_it_was_begun(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(f"{recorder.keep(seconds=60.0).id}&t=12")
    comments = page.get_by_role("region", name="Comments")
    for text, then in (("Well", "0:12"), ("Later", "0:32")):
        page.keyboard.press("c")
        page.keyboard.type(text)
        page.keyboard.press("Escape")
        page.keyboard.press("l")  # it goes on while he writes
        page.keyboard.press("l")
        expect(comments.get_by_text(f"Comment at {then}")).to_be_visible()
        page.keyboard.press("c")
        page.keyboard.type(" done")
        page.keyboard.press("Control+Enter")
        expect(comments.locator("li").filter(has_text=f"{text} done").locator(".at")).to_have_text(then)
        page.keyboard.press("Escape")


# --- echoes ----------------------------------------------------------------------------------------------------------


def test_echoes_are_reported_and_counted(recorder: Recorder, review: Callable[..., Page]) -> None:
    recorder.keep(2, bleed=None)
    page = review(recorder.keep(seconds=60.0).id)
    report = page.get_by_role("region", name="Echoes")
    row = report.get_by_role("row").filter(has_text="microphone")
    for text in ("Grace", "echo", "-33 dB", "120 ms"):
        expect(row).to_contain_text(text)
    expect(report).to_contain_text("Ada: 1 flagged")
    row.get_by_role("button", name="0:02").click()
    at(page, "0:02")
    page.get_by_role("link", name="Echoes").click()
    page.get_by_label("Calls of").select_option("Ever")
    counted = page.get_by_role("table").get_by_role("row").nth(1)
    for text in ("Ada", "Acme 40", "100 %", "-33 dB"):
        expect(counted).to_contain_text(text)
    counted.get_by_role("link").click()
    listed = page.get_by_role("table", name="Recordings").locator("tbody tr")
    expect(listed).to_have_count(1)
    expect(listed).to_contain_text("Echo")


# --- files and rights ------------------------------------------------------------------------------------------------


def test_files_are_taken_away(recorder: Recorder, review: Callable[..., Page], tmp_path: Any) -> None:
    page = review(recorder.keep().id)
    for name, coaches in (("Download", True), ("Download without coaches", False)):
        with page.expect_download() as taken:
            page.get_by_role("button", name=name, exact=True).click()
        file = tmp_path / taken.value.suggested_filename
        taken.value.save_as(file)
        assert (b"Grace" in file.read_bytes()) is coaches
        assert file.name.endswith("-call.mp4") is not coaches


@pytest.mark.parametrize("codec", ["aac", "opus"])
def test_a_file_plays_where_nothing_is_known_of_it(browser: Browser, tmp_path: Path, codec: mp4.Codec) -> None:
    """A player begins with the call, and that holds no coach."""
    made = recording(tmp_path, coaches=BOTH, codec=codec)
    with browser.new_context() as context:
        data = base64.b64encode((tmp_path / made.file).read_bytes()).decode()
        duration, sides = context.new_page().evaluate(DECODED, [data, list(HERTZ.values())])
    assert duration == pytest.approx(made.duration, abs=0.1)
    assert sides == [[CALLER], [AGENT]]


def test_who_may_delete_does_after_he_was_asked(recorder: Recorder, review: Callable[..., Page]) -> None:
    made = recorder.keep()
    expect(review(made.id).get_by_role("button", name="Delete …")).to_have_count(0)
    page = review(made.id, sub="dora", more=(DELETE_RECORDINGS,))
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Keep it").click()
    expect(page.locator(".lane").first).to_be_visible()
    page.get_by_role("button", name="Delete …").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.locator(".empty")).to_contain_text("has been deleted")
    page.get_by_role("link", name="List").click()
    expect(page.locator(".empty")).to_have_text("There are no such recordings.")


def test_who_may_not_review_is_told_and_not_led_there(centre: Centre, open_page: Open) -> None:
    page = open_page(centre.service.token("nina", permissions=[VIEW]), "/review")
    expect(page.locator(".empty")).to_have_text("This token does not permit to review recordings.")
    page.goto(centre.url)
    expect(page.get_by_role("button", name="Sign out")).to_be_visible()
    expect(page.get_by_role("link", name="Recordings")).to_have_count(0)
    page = open_page(centre.service.token("rita", permissions=[VIEW, REVIEW]))
    page.get_by_role("link", name="Recordings").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Recordings")


def test_a_service_that_cannot_be_reached_takes_no_token_away(review: Callable[..., Page]) -> None:
    page = review()
    page.route("**/api/v1/me", lambda route: route.abort("connectionrefused"))
    page.reload()
    expect(page.get_by_role("alert")).to_have_text("The service cannot be reached.")
    page.unroute("**/api/v1/me")
    page.reload()
    expect(page.locator(".empty")).to_have_text("There are no such recordings.")


def test_keys_are_told(recorder: Recorder, review: Callable[..., Page]) -> None:
    page = review(recorder.keep().id)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Hear one track alone")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("Escape")
    expect(page.locator("tbody tr")).to_have_count(1)


@SCREENS
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_accessible(recorder: Recorder, review: Callable[..., Page], size: dict[str, int], scheme: Any) -> None:
    made = recorder.keep(seconds=60.0, coaches=BOTH, started_at=time.time())
    recorder.failed("r3", "The disk is full.")
    page = review(size=size, scheme=scheme)
    # The list has fields, too: what is looked for is in one view only, or a page is judged while it changes.
    for where, ready in (("", "tbody tr"), ("#echoes", ".echoes table"), (f"#{made.id}", ".wave")):
        page.goto(f"{page.url.partition('#')[0]}{where}")
        expect(page.locator(ready).first).to_be_visible(timeout=PATIENCE * 1000)
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth"), "nothing is cut off"
