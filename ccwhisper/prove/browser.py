"""The coach's browser: Chromium with the product's own dashboard, whose microphone is a tone, and whose ears are read.

What a page hears is taken from the track that it plays, with the time at which each piece was there, so it is judged by
the same measure as what reached a synthetic phone.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ccwhisper.proof.codecs import Codec
from ccwhisper.proof.scene import LEVEL, TONES, NotAsExpected, wait_until
from ccwhisper.proof.timeline import Float

if TYPE_CHECKING:
    from playwright.sync_api import Page, WebSocket

PATIENCE: Final = 30.0
RATE: Final = 48_000

# It keeps to itself, has a microphone to be asked for, and plays without a click.
_FLAGS: Final = (
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--no-first-run",
    "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream",
    "--autoplay-policy=no-user-gesture-required", "--mute-audio",
)  # fmt: skip

_PAGE: Final = """
({ tone, level }) => {
  localStorage.setItem("ccwhisper.device", "browser");
  localStorage.setItem("ccwhisper.phone", JSON.stringify({ filter: false }));  // to it, a tone is noise
  const proof = (window.proof = { voices: [], heard: [] });
  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext({ sampleRate: 48000 });
    const made = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    const gain = new GainNode(context, { gain: level });
    const oscillator = new OscillatorNode(context, { frequency: tone });
    oscillator.connect(gain).connect(made);
    oscillator.start();
    proof.voices.push({ context, gain });
    return made.stream;
  };
  proof.speak = (on) => proof.voices.forEach(({ gain }) => (gain.gain.value = on ? level : 0));
  // When a sound that begins a tenth of a second from now leaves the microphone, in ms of the epoch.
  proof.burst = (seconds) => Math.min(...proof.voices.map(({ context, gain }) => {
    const at = context.currentTime + 0.1;
    gain.gain.setValueAtTime(level, at);
    gain.gain.setValueAtTime(0, at + seconds);
    return performance.timeOrigin + performance.now() + 100;
  }));
  const Whole = RTCPeerConnection;
  window.RTCPeerConnection = class extends Whole {
    constructor(...given) {
      super(...given);
      const pieces = [];
      proof.heard.push(pieces);
      this.addEventListener("track", async ({ track }) => {
        const reader = new MediaStreamTrackProcessor({ track: track.clone() }).readable.getReader();
        for (;;) {
          const { done, value } = await reader.read();
          if (done) return;
          const samples = new Float32Array(value.numberOfFrames);
          value.copyTo(samples, { planeIndex: 0, format: "f32-planar" });
          const at = performance.timeOrigin + performance.now();
          pieces.push({ at, stamp: value.timestamp / 1e3, rate: value.sampleRate, samples });
          if (pieces.length > 3000) pieces.shift();  // half a minute
          value.close();
        }
      });
    }
  };
}
"""

_HEARD: Final = """
([number, since, until]) => {
  const pieces = proof.heard[number].filter(({ at }) => at > since && at < until);
  const all = new Float32Array(pieces.reduce((sum, { samples }) => sum + samples.length, 0));
  let size = 0;
  for (const { samples } of pieces) { all.set(samples, size); size += samples.length; }
  let text = "";
  for (const byte of new Uint8Array(all.buffer)) text += String.fromCharCode(byte);
  const rate = pieces.length ? pieces[0].rate : 0;
  return { rate, at: pieces.map(({ at }) => at), stamps: pieces.map(({ stamp }) => stamp),
    sizes: pieces.map(({ samples }) => samples.length), samples: btoa(text) };
}
"""


class NoBrowser(Exception):
    """There is none on this machine; the message says what is missing."""


class NotReady(NotAsExpected):
    """The page cannot be rung; the message is what it says to its coach."""


class PageCall:
    """A call of a page, as `PhoneCall` is one of a phone: what is asked of it to tell whom it hears."""

    rate = RATE
    codec: Codec | None = None

    def __init__(self, page: Page, number: int, call_id: str) -> None:
        self._page, self._number = page, number
        self.call_id = call_id

    @staticmethod
    def mark() -> int:
        """Now, in ns of the monotonic clock."""
        return time.monotonic_ns()

    @staticmethod
    def wait_time(until: int) -> None:
        """Wait until a moment, and for what was on its way then."""
        time.sleep(max(0.0, (until - time.monotonic_ns()) / 1e9 + 0.2))

    def heard(self, since: int, until: int) -> Float:
        """What the page played in this time, as samples in ±1.0; zeros where it played nothing."""
        begin, end = (_epoch_ms(each) for each in (since, until))
        found: dict[str, Any] = self._page.evaluate(_HEARD, [self._number, begin - 1000, end + 1000])
        whole = np.zeros(round((end - begin) * RATE / 1e3))
        if not found["at"] or found["rate"] != RATE:
            return whole
        samples = np.frombuffer(base64.b64decode(found["samples"]), "<f4").astype(np.float64)
        stamps = np.array(found["stamps"])
        # Pieces are read late when the page is busy, and never early: the quickest one tells when all were there.
        times = stamps + float(np.min(np.array(found["at"]) - stamps))
        for at, piece in zip(times, np.split(samples, np.cumsum(found["sizes"])[:-1]), strict=True):
            first = round((at - begin) * RATE / 1e3) - len(piece)
            low, high = max(first, 0), min(first + len(piece), len(whole))
            if low < high:
                whole[low:high] = piece[low - first : high - first]
        return whole


def _epoch_ms(mark: int) -> float:
    return (time.time() - time.monotonic()) * 1e3 + mark / 1e6


class CoachPage:
    """The open dashboard of the synthetic coach."""

    def __init__(self, page: Page) -> None:
        self._page = page
        self._call_ids: list[str] = []
        self.device = ""
        page.on("websocket", self._follow)

    def _follow(self, ws: WebSocket) -> None:
        ws.on("framereceived", lambda text: self._take(text) if isinstance(text, str) else None)

    def _take(self, text: str) -> None:
        if text.startswith("{"):
            self.device = json.loads(text).get("device", self.device)
        elif text.startswith("INVITE "):
            self._call_ids += re.findall(r"(?im)^call-id: *(\S+)", text)[:1]

    def go(self, url: str) -> None:
        """Open it, until it can be rung. Raises NotReady."""
        from playwright.sync_api import Error  # noqa: PLC0415 - as in `opened`

        self._page.goto(url)
        try:
            self._page.get_by_text("This browser can be rung.").wait_for(timeout=PATIENCE * 1e3)
            wait_until("the page is told its address", lambda: self._turn() and self.device, PATIENCE)
        except Error:
            said = self._page.get_by_role("region", name="Your device").inner_text()
            raise NotReady(" ".join(said.split())[-160:] or "the page says nothing") from None

    def _turn(self) -> bool:
        return self._page.evaluate("true") is True  # while it is asked for something, it tells what has come

    @property
    def calls(self) -> int:
        """How many have rung here."""
        return len(self._call_ids)

    def wait_call(self, after: int) -> PageCall:
        """The next call after so many. It is answered without anybody's doing. Raises NotAsExpected."""

        def answered() -> bool:
            return self._turn() and self.calls > after and self._page.evaluate("proof.heard.length") > after

        wait_until("the page is rung and answers", answered, PATIENCE)
        return PageCall(self._page, after, self._call_ids[after])

    def speak(self, on: bool) -> None:
        """Whether the microphone hears the tone, or silence."""
        self._page.evaluate("(on) => proof.speak(on)", on)

    def burst(self, seconds: float) -> int:
        """The microphone hears the tone for so long; when it begins, in ns of the monotonic clock."""
        at: float = self._page.evaluate("(seconds) => proof.burst(seconds)", seconds)
        return int((at - (time.time() - time.monotonic()) * 1e3) * 1e6)


@contextmanager
def opened(tone: str, url: str) -> Iterator[CoachPage]:
    """A page whose microphone hears somebody's tone. Raises NoBrowser, NotReady."""
    try:
        from playwright.sync_api import Error, sync_playwright  # noqa: PLC0415 - a machine may do without
    except ImportError:
        raise NoBrowser("Playwright is not installed: pip install playwright") from None
    path = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        raise NoBrowser("there is no Chromium: apt-get install chromium, or name one in CHROMIUM")
    sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium's own does not work for root
    with sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=path, args=[*_FLAGS, *sandbox])
        except Error as error:
            raise NoBrowser(f"{path} does not start: {error.message.partition(chr(10))[0]}") from None
        try:
            page = browser.new_page()
            given = {"tone": TONES[tone], "level": 10 ** (LEVEL / 20)}
            page.add_init_script(f"({_PAGE})({json.dumps(given)})")
            coach = CoachPage(page)
            coach.go(url)
            yield coach
        except Error as error:
            raise NotReady(f"the browser gave up: {error.message.partition(chr(10))[0]}") from None
        finally:
            browser.close()
