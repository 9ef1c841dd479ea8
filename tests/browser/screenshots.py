"""The pictures of the documentation: `python -m tests.browser.screenshots` makes them anew in docs/images/."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.sync_api import Browser, Page, expect

from ccwhisper.proof.service import Refused
from ccwhisper.recording.result import Agent, Bleed, Chapter, Cue, Trace
from tests.browser.centre import Centre
from tests.browser.chromium import chromium, launched
from tests.browser.conftest import PHONE, WIDE
from tests.browser.recorded import Recorder
from tests.e2e.tones import COACH, SECOND, coach

FOLDER = Path(__file__).parents[2] / "docs/images"
NAMES = ("", "Jo+Meyer", "Ana+Sousa", "M.+Okafor", "", "Lindqvist", "K.+Tanaka", "Dr.+Weber")
TALL = {"width": 1280, "height": 1120}
PANEL = {"width": 360, "height": 580}


class Camera:
    """Opens pages in either colour scheme, and takes their pictures."""

    def __init__(self, browser: Browser, centre: Centre) -> None:
        self._browser, self._centre = browser, centre

    def open(self, token: str, path: str = "/", size: dict[str, int] = WIDE, scheme: str = "light") -> Page:
        context = self._browser.new_context(viewport=size, color_scheme=scheme)  # type: ignore[arg-type]
        page = context.new_page()
        page.goto(f"{self._centre.url}{path}#token={token}")
        return page

    def both(
        self, name: str, token: str, ready: Callable[[Page], object], path: str = "/", size: dict[str, int] = WIDE
    ) -> None:
        """Light and dark."""
        for scheme in ("light", "dark"):
            page = self.open(token, path, size, scheme)
            ready(page)
            self.take(page, f"{name}-{scheme}")
            page.context.close()

    @staticmethod
    def take(page: Page, name: str) -> None:
        page.mouse.move(0, 0)  # nothing lights up under it
        page.wait_for_timeout(300)  # what moves has come to rest
        picture = Image.open(BytesIO(page.screenshot())).convert("RGB")
        # 256 colours are enough for text on plain grounds, and a third of the bytes
        picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE).save(
            FOLDER / f"{name}.png", optimize=True
        )
        print(f"docs/images/{name}.png")  # noqa: T201 - that is what it is run for


def main() -> None:
    """All of them."""
    FOLDER.mkdir(exist_ok=True)
    path = chromium()
    if path is None:
        raise SystemExit("no chromium found")
    with launched(path) as browser:
        for calls in (1, 20, 1000):
            with Centre(agents=tuple(str(1001 + number) for number in range(calls + 8))) as centre:
                if calls > 1:
                    for number in range(8):
                        rest(centre, str(1001 + calls + number), "On Break" if number < 5 else "Logged Out")
                talk(centre, calls)
                camera = Camera(browser, centre)
                many(camera, centre, calls)
                if calls == 20:
                    coaching(camera, centre)
                    reviewing(camera, centre)


def rest(centre: Centre, agent: str, status: str) -> None:
    """He is not there for callers."""
    centre.switch.api(f"callcenter_config agent set status {agent}@{centre.switch.domain} '{status}'")


def talk(centre: Centre, calls: int) -> None:
    """Every third reaches an agent by himself, from the last one on; the others come through the queue, which begins
    with the first. One is on hold."""
    held = None
    for number in range(calls):
        who = f"+49302312{number:04} {NAMES[number % len(NAMES)]}"
        legs = centre.sim(f"queue {who}" if number % 3 else f"call {1000 + calls - number // 3} {who}")
        held = legs["agent"] if number == 6 else held
        time.sleep(0.7 if calls == 20 else 0.03)  # not all of them as long as each other
    if held:
        centre.sim(f"hold {held}")


def many(camera: Camera, centre: Centre, calls: int) -> None:
    """The dashboard of somebody who has nothing to do yet."""
    camera.both(f"dashboard-{calls}", centre.supervisor(), lambda page: shows(page, calls))
    camera.both(f"dashboard-{calls}-phone", centre.supervisor(), lambda page: shows(page, calls), size=PHONE)


def shows(page: Page, calls: int) -> None:
    expect(page.locator(".count")).to_have_text(f"{calls} of {calls}", timeout=20_000)
    expect(page.locator(".row[id]").first).to_be_attached()


def coaching(camera: Camera, centre: Centre) -> None:
    """A whisper with cues, an agent who asks for help, and what the agents and the administrator see."""
    api = centre.service.api("ada", permissions=["edit_coaching_policies"])
    api.ask("PUT", "/policies/default", {"cues": ["Offer a callback", "Slow down"]})
    api.close()
    centre.sim("queue +493023129999 Ida+Blum")
    camera.both("agents", centre.supervisor(), agents)
    agent = camera.open(centre.agent("1001"), "/agent", PANEL)
    grace = camera.open(centre.supervisor())
    shows_calls = grace.locator(".row[id]").first
    expect(shows_calls).to_be_visible()
    grace.get_by_role("button", name="Listen to Agent 1001").click()
    expect(grace.locator(".modes button", has_text="Whisper")).to_be_enabled()
    grace.keyboard.press("w")
    expect(grace.locator(".dock > .lamp")).to_contain_text("Agent 1001 hears you")
    grace.keyboard.press("c")
    grace.keyboard.type("Ask for the order number")
    grace.keyboard.press("Enter")
    expect(agent.locator(".cue")).to_be_visible()
    agent.keyboard.press("1")
    expect(grace.locator(".steps")).to_contain_text("Got it")
    grace.get_by_role("button", name="Offer a callback").click()
    expect(grace.locator(".steps").first).to_contain_text("Read")
    camera.open(centre.supervisor("dora", "9002")).get_by_role("button", name="Listen to Agent 1001").click()
    expect(grace.get_by_role("region", name="Also coaching")).to_be_visible()
    caller = camera.open(centre.agent("1004"), "/agent", PANEL)
    expect(caller.locator(".call")).to_be_visible()
    caller.keyboard.press("h")
    expect(grace.locator(".hand")).to_be_visible()
    grace.locator(":focus").evaluate("each => each.blur()")
    camera.take(grace, "whisper-light")
    grace.emulate_media(color_scheme="dark")
    camera.take(grace, "whisper-dark")
    grace.set_viewport_size(PHONE)  # type: ignore[arg-type]
    camera.take(grace, "whisper-phone")
    newest = "[data-newest] .answers"
    camera.both(
        "panel", centre.agent("1001"), lambda page: expect(page.locator(newest)).to_be_visible(), "/agent", PANEL
    )
    administration(camera, centre)


def agents(page: Page) -> None:
    expect(page.locator(".row[id]").first).to_be_visible()
    page.get_by_role("button", name="Agents").click()
    page.get_by_role("columnheader", name="Status").get_by_role("button").dblclick()  # from the other end


def administration(camera: Camera, centre: Centre) -> None:
    """A policy with something set and something not saved, and the trail."""
    rights = ["view_audit_trail", "edit_coaching_policies"]
    api = centre.service.api("ada", permissions=rights)
    api.ask("PUT", "/policies/default", {"cues": ["Ask for the order number", "Offer a callback"]})
    api.ask("PUT", "/policies/support@default", {"modes": ["listen", "whisper", "barge"], "talk": "push"})
    api.close()
    eve = centre.service.api("eve", permissions=["view_contact_center_dashboard"])
    with contextlib.suppress(Refused):
        eve.ask("POST", "/sessions", {"agent": "1002"})
    eve.close()

    def policy(page: Page) -> None:
        page.get_by_role("link", name="support@default").click()
        page.get_by_label("Show “Listening”").check()
        expect(page.get_by_role("status")).to_have_text("1 change not saved")

    def trail(page: Page) -> None:
        page.get_by_role("link", name="Audit").click()
        expect(page.get_by_role("table")).to_be_visible()

    administrator = centre.supervisor("ada", permissions=rights)
    for size, kind in ((WIDE, ""), (PHONE, "-phone")):
        camera.both(f"policies{kind}", administrator, policy, "/admin", size)
        camera.both(f"audit{kind}", administrator, trail, "/admin", size)


def reviewing(camera: Camera, centre: Centre) -> None:
    """Recordings, one of them being heard, and through which headsets coaches came back."""
    recorder = Recorder(centre)
    agents = (("1001", "Ada"), ("1002", "Ben"), ("1003", "Cem"))
    for number, (agent, name) in enumerate(agents * 3):
        coached = (coach(COACH, [(20.0, 32.0)]),) if number % 2 else ()
        more: dict[str, Any] = {} if number % 4 == 1 else {"bleed": Bleed(-45.0, ()) if coached else None}
        if not coached:
            more |= {"cues": (), "chapters": ()}
        began = time.time() - number * 5400
        who = NAMES[number % len(NAMES)].replace("+", " ")
        recorder.keep(
            number + 10, seconds=75.0 + number, agents=(Agent(agent, name, 0.0, 75.0),), coaches=coached, name=who,
            started_at=began, headset=f"Acme {20 * (1 + number % 3)}", **more,
        )  # fmt: skip
    recorder.failed("disk", "The disk of the archive was full.", time.time() - 3000)
    shown = recorder.keep(
        1, seconds=154.0, talk=True, started_at=time.time() + 60,
        coaches=(coach(COACH, [(38.0, 58.0), (92.0, 104.0)]), coach(SECOND, [(118.0, 131.0)], "alan", "Alan")),
        chapters=(
            Chapter(0.0, "start", "The recording begins"),
            Chapter(30.0, "coach", "Grace listens", "s1"),
            Chapter(37.5, "mode", "Grace whispers", "s1"),
            Chapter(66.0, "hold", "On hold"),
            Chapter(80.0, "unhold", "Off hold"),
            Chapter(110.0, "help", "Ada asks for help"),
            Chapter(117.0, "mode", "Alan barges in", "s2"),
        ),
        cues=(
            Cue(52.0, "s1", "Grace", "Ask for the order number", "got_it"),
            Cue(96.0, "s1", "Grace", "Offer a callback", "need_you"),
        ),
        bleed=Bleed(-45.0, (
            Trace("s1", "caller", "none"), Trace("s1", "agent", "acoustic", -31.4, 118.0, 95.0, 0.93, True),
            Trace("s2", "caller", "none"), Trace("s2", "agent", "none"),
        )),
    )  # fmt: skip
    rights = ["review_recordings", "delete_recordings", "view_contact_center_dashboard"]
    api = centre.service.api("sam", permissions=rights)
    for at, text in ((45.0, "Good: she lets him finish first."), (121.0, "Alan should have waited for the answer.")):
        api.ask("POST", f"/recordings/{shown.id}/comments", {"at": at, "text": text})
    api.close()

    def one(page: Page) -> None:
        page.locator("tbody").get_by_role("link").first.click()
        expect(page.locator(".wave").first).to_be_visible()
        page.get_by_role("region", name="What happened").get_by_role("button", name="Grace whispers").click()
        for _ in range(2):
            page.keyboard.press("ArrowRight")
        page.locator(":focus").evaluate("each => { each.blur(); document.querySelector('main').scrollTo(0, 0); }")

    def echoes(page: Page) -> None:
        page.get_by_role("link", name="Echoes").click()
        expect(page.get_by_role("table")).to_be_visible()

    reviewer = centre.supervisor("rita", permissions=rights)
    for size, kind in ((WIDE, ""), (PHONE, "-phone")):
        camera.both(
            f"recordings{kind}",
            reviewer,
            lambda page: expect(page.get_by_role("table")).to_be_visible(),
            "/review",
            size,
        )
        camera.both(f"review{kind}", reviewer, one, "/review", TALL if kind == "" else size)
    camera.both("echoes", reviewer, echoes, "/review")


if __name__ == "__main__":
    main()
