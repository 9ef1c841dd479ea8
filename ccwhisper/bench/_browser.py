"""Chromium with the product's own dashboard in it, and a microphone that hears a known voice.

What the microphone hears is taken down from a copy of the stream that the page gets, with the time at which Chromium's
audio device gave out each 10 ms. Nothing of what the page does with its stream is touched.
"""

from __future__ import annotations

import base64
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ccwhisper.bench import Missing
from ccwhisper.bench._process import descendants
from ccwhisper.bench._relay import Relay
from ccwhisper.bench._speech import Spoken, write
from ccwhisper.proof.service import ServiceProcess
from ccwhisper.proof.timeline import Float

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE: Final = 60.0
"""Seconds until a page that does nothing is given up."""

# A browser that keeps to itself, may use the microphone, and plays without a click.
_FLAGS: Final = (
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--mute-audio",
)  # fmt: skip

_HOOK: Final = """
() => {
  const bench = (window.bench = { on: false, chunks: [], keys: [] });
  const devices = navigator.mediaDevices;
  const open = devices.getUserMedia.bind(devices);
  devices.getUserMedia = async (want) => {
    const stream = await open(want);
    bench.copy?.stop();
    bench.copy = stream.getAudioTracks()[0].clone();
    follow(new MediaStreamTrackProcessor({ track: bench.copy }).readable.getReader());
    return stream;
  };
  async function follow(reader) {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      if (bench.on) {
        const samples = new Float32Array(value.numberOfFrames);
        value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
        bench.chunks.push({ at: value.timestamp, read: performance.now(), rate: value.sampleRate, samples });
      }
      value.close();
    }
  }
  bench.take = () => {
    const { chunks } = bench;
    bench.chunks = [];
    const bytes = chunks.map(({ samples }) => new Uint8Array(samples.buffer));
    const text = bytes.map((each) => String.fromCharCode(...each)).join("");
    return { at: chunks.map((each) => each.at), read: chunks.map((each) => each.read), rate: chunks[0]?.rate ?? 0,
      sizes: chunks.map((each) => each.samples.length), samples: btoa(text) };
  };
  for (const type of ["keydown", "keyup"]) {
    addEventListener(type, (event) => event.repeat || bench.keys.push([type, event.key, event.timeStamp]), true);
  }
  if (!window.relayed) return;
  const Peer = RTCPeerConnection;
  let ports = null;
  const led = (sdp, port) => sdp
    .replace(/^c=IN IP4 .*$/gm, "c=IN IP4 127.0.0.1").replace(/^m=audio \\d+/gm, `m=audio ${port}`)
    .replace(/^a=candidate:.*\\r\\n/gm, "").replace(/^a=rtcp:.*\\r\\n/gm, "")
    .replace(/^(a=ice-ufrag.*)$/m, `a=candidate:1 1 udp 2130706431 127.0.0.1 ${port} typ host generation 0\\r\\n$1`);
  window.RTCPeerConnection = class extends Peer {
    async setRemoteDescription(description) {
      ports = await window.relayed(+/^m=audio (\\d+)/m.exec(description.sdp)[1]);
      return super.setRemoteDescription({ type: description.type, sdp: led(description.sdp, ports[0]) });
    }
    get localDescription() {
      const found = super.localDescription;
      return found && ports ? { type: found.type, sdp: led(found.sdp, ports[1]) } : found;
    }
  };
}
"""


@contextmanager
def chromium(sound: Float) -> Iterator[Chromium]:
    """Chromium whose microphone hears this for ever. Raises Missing."""
    try:
        from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only this benchmark needs it
    except ImportError as error:
        raise Missing("Playwright is not installed: pip install 'ccwhisper[dev]'") from error
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise Missing("Chromium is not installed: apt-get install chromium, or name one in CHROMIUM")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium's own does not work for root
    with tempfile.TemporaryDirectory(prefix="ccwhisper-sound-") as folder, sync_playwright() as playwright:
        microphone = Path(folder, "microphone.wav")
        write(sound, microphone)
        flags = [*_FLAGS, *sandbox, f"--use-file-for-fake-audio-capture={microphone}"]
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        try:
            yield Chromium(browser, str(microphone))
        finally:
            browser.close()


class Chromium:
    """One browser."""

    def __init__(self, browser: Browser, microphone: str) -> None:
        self._browser = browser
        self._microphone = microphone
        self.version = browser.version

    def open(
        self,
        service: ServiceProcess,
        who: str,
        *,
        filters: bool = False,
        relay: Relay | None = None,
        heard: bool = True,
    ) -> Dashboard:
        """Somebody's dashboard, ready to be rung. `filters`: with the browser's own against echo and noise. `heard`:
        what its microphone hears can be taken down."""
        context = self._browser.new_context()
        context.add_init_script(
            "localStorage.setItem('ccwhisper.device', 'browser');"
            f"localStorage.setItem('ccwhisper.phone', JSON.stringify({{filter: {'true' if filters else 'false'}}}));"
        )
        if relay is not None:
            context.expose_function("relayed", relay.lead)
        if heard:
            context.add_init_script(f"({_HOOK})()")
        page = context.new_page()
        page.set_default_timeout(PATIENCE * 1000)
        page.goto(f"{service.url}/#token={service.token(who, devices=[])}")
        page.get_by_text("This browser can be rung.").wait_for()
        return Dashboard(page)

    def pids(self) -> list[int]:
        """Its processes: the one that has our microphone among its arguments, and those below it."""
        found = []
        for pid in descendants(os.getpid()):
            try:
                arguments = Path(f"/proc/{pid}/cmdline").read_bytes()
            except OSError:
                continue
            if self._microphone.encode() in arguments and b"--type=" not in arguments:
                found += [pid, *descendants(pid)]
        return found


class Dashboard:
    """One page, and what its person does with it."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def listen(self, agent: str) -> None:
        """Listen to an agent's call, until the page has been rung and listens."""
        self.page.locator("input[type=search]").fill(agent)  # rows out of sight are not there
        self.page.get_by_role("button", name=f"Listen to Agent {agent}").click()
        self.page.locator(".modes button:not([disabled])", has_text="Whisper").wait_for()

    def whisper(self) -> None:
        """Whisper, until the agent hears."""
        self.page.keyboard.press("w")
        self.lamp("Agent ")

    def push_to_talk(self) -> None:
        """Speak while the key is held, from now on."""
        self.page.keyboard.press("p")
        self.lamp("Nobody hears you")

    def lamp(self, text: str) -> None:
        """Wait until the light says this."""
        self.page.locator(".lamp", has_text=text).wait_for()

    def leave(self) -> None:
        """End the session."""
        self.page.keyboard.press("x")
        self.page.locator(".lamp").wait_for(state="detached")

    def close(self) -> None:
        """Close the page."""
        self.page.context.close()

    # --- times -------------------------------------------------------------------------------------------------------

    def clock(self) -> tuple[float, float]:
        """What `performance.now()` of the page is 0 at, in ns of CLOCK_MONOTONIC, and how wrong that can be, in ms.

        Chromium's clock is CLOCK_MONOTONIC on Linux (base/time/time_now_posix.cc), so one number ties the two together
        for as long as the page is open. It is asked often, and the quickest answer is believed: it was read some time
        between question and answer, hence the error of half of that.
        """
        best: tuple[int, float] | None = None
        for _ in range(60):
            asked = time.monotonic_ns()
            now = self.page.evaluate("performance.now()")
            took = time.monotonic_ns() - asked
            if best is None or took < best[0]:
                best = took, asked + took / 2 - now * 1e6
        assert best is not None
        return best[1], best[0] / 2e6

    def record(self) -> None:
        """Take down what the microphone hears, and which keys are pressed, from now on."""
        self.page.evaluate("() => { bench.chunks = []; bench.keys = []; bench.on = true; }")

    def recorded(self) -> tuple[Spoken, list[tuple[str, int]]]:
        """What the microphone has heard since `record`; keydown and keyup of the space bar, in ns of
        CLOCK_MONOTONIC."""
        zero, _ = self.clock()
        self.page.evaluate("() => { bench.on = false; }")
        got: dict[str, Any] = self.page.evaluate("bench.take()")
        samples = np.frombuffer(base64.b64decode(got["samples"]), "<f4").astype(np.float64)
        at, read = np.array(got["at"], np.float64) * 1e3, np.array(got["read"], np.float64) * 1e6
        # Chunks carry the device's time, from a zero of their own; none can be read before it is there.
        times = (at + np.min(read - at) + zero).astype(np.int64)
        spoken = Spoken.of(samples, int(got["rate"]), np.cumsum(got["sizes"]), times)
        keys: Sequence[tuple[str, str, float]] = self.page.evaluate("bench.keys")
        return spoken, [(kind, int(stamp * 1e6 + zero)) for kind, key, stamp in keys if key == " "]
