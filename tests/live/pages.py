"""Coaches whose phone is an open page: the scenarios' stage, where some people have a browser instead of a desk phone.

What a page hears is taken from the track that it plays, by a worklet, sample by sample, with the time at which it was
heard; so it is judged by the same measure as what reached a synthetic phone. Everybody speaks his own tone: carla into
the browser's microphone, whose sound is a file, the others by an oscillator in its place, for a browser has only one.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import numpy as np
from playwright.sync_api import Browser, Page, WebSocket, expect

from ccwhisper.proof.codecs import OPUS, Codec
from ccwhisper.proof.scene import LEVEL, TONES, Coach, Ear, Scene, wait_until
from ccwhisper.proof.stage import Stage, StageNode
from ccwhisper.proof.timeline import Float
from tests.browser.chromium import SPEAKER

PATIENCE = 15
LATE = 0.3
"""Seconds that what is said may need to a page's ears, or from its microphone to the agent, on a busy machine."""

EAR = Ear(slack=6.0, silent=-40.0)
"""Of a page: Opus at 24 kbit/s moves four tones at once by up to five dB, and leaves up to -46 between them."""

# What a page has in place of its own: peers that say what they hear and, where asked, an oscillator for a microphone.
_EARS = """
({ tone, level }) => {
  const RATE = 48000;
  const ear = `registerProcessor("ear", class extends AudioWorkletProcessor {
    constructor() { super(); this.size = 0; this.kept = new Float32Array(1920); }
    process([[samples]]) {
      if (!samples) return true;
      if (!this.size) this.start = currentFrame;
      this.kept.set(samples, this.size);
      this.size += samples.length;
      if (this.size === this.kept.length) {
        this.port.postMessage([this.start, this.kept.slice()]);
        this.size = 0;
      }
      return true;
    }
  });`;
  let context = null;
  window.heard = [];
  const listen = async (call, track) => {
    if (!context) {
      context = new AudioContext({ sampleRate: RATE });
      context.ready = context.audioWorklet.addModule(URL.createObjectURL(new Blob([ear], { type: "text/javascript" })));
    }
    await context.ready;
    const node = new AudioWorkletNode(context, "ear");
    node.port.onmessage = ({ data: [start, samples] }) => {
      call.blocks.push({ start, samples, at: performance.timeOrigin + performance.now() });
      if (call.blocks.length > 750) call.blocks.shift(); // half a minute
    };
    context.createMediaStreamSource(new MediaStream([track])).connect(node).connect(context.destination);
  };
  const Whole = RTCPeerConnection;
  window.RTCPeerConnection = class extends Whole {
    constructor(...given) {
      super(...given);
      const call = { peer: this, blocks: [] };
      window.heard.push(call);
      this.addEventListener("track", ({ track }) => listen(call, track));
    }
  };
  if (tone) navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext({ sampleRate: RATE });
    const made = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
    const oscillator = new OscillatorNode(context, { frequency: tone });
    oscillator.connect(new GainNode(context, { gain: 10 ** (level / 20) })).connect(made);
    oscillator.start();
    return made.stream;
  };
}
"""

# Everything that a call's page has heard from one moment to another, of the epoch in ms: frames, when, samples.
_HEARD = """
([number, since, until]) => {
  const blocks = window.heard[number].blocks.filter(({ at }) => at > since && at < until);
  const all = new Float32Array(blocks.length * 1920);
  blocks.forEach(({ samples }, n) => all.set(samples, n * 1920));
  let text = "";
  for (const byte of new Uint8Array(all.buffer)) text += String.fromCharCode(byte);
  return { starts: blocks.map(({ start }) => start), at: blocks.map(({ at }) => at), samples: btoa(text) };
}
"""


class PageCall:
    """A call of a page, as `PhoneCall` is one of a phone; what the stage and the scenarios ask of it."""

    rate = OPUS.rate
    codec: Codec | None = OPUS

    def __init__(self, page: Page, number: int) -> None:
        self._page, self._number = page, number

    def __repr__(self) -> str:
        return f"<PageCall {self._number}, {self.state}>"

    @property
    def state(self) -> str:
        """calling, up, ended"""
        state = self._page.evaluate(f"window.heard[{self._number}].peer.connectionState")
        return {"connected": "up", "closed": "ended", "failed": "ended"}.get(state, "calling")

    @property
    def open(self) -> bool:
        """Whether the page lets anything out of its microphone."""
        return bool(self._page.evaluate(f"window.heard[{self._number}].peer.getSenders()[0].track.enabled"))

    @property
    def spoken(self) -> str:
        """The codec that the page sends, as browsers call it."""
        sender = f"window.heard[{self._number}].peer.getSenders()[0]"
        return str(self._page.evaluate(f"{sender}.getParameters().codecs[0]?.mimeType"))

    def wait(self, state: str, timeout: float = PATIENCE) -> PageCall:
        """Wait for a state."""
        wait_until(f"the page's call is {state}", lambda: self.state == state, max(timeout, PATIENCE))
        return self

    @staticmethod
    def mark() -> int:
        """Now."""
        return time.monotonic_ns()

    @staticmethod
    def wait_time(until: int) -> None:
        """Wait until a moment, and for what was on its way then."""
        time.sleep(max(0.0, (until - time.monotonic_ns()) / 1e9 + 0.1))

    def heard(self, since: int, until: int) -> Float:
        """What came out of the page in this time, as samples in ±1.0."""
        epoch = time.time() - time.monotonic()
        begin, end = (epoch * 1e3 + each / 1e6 for each in (since, until))
        found = self._page.evaluate(_HEARD, [self._number, begin - 500, end + 500])
        samples = np.frombuffer(base64.b64decode(found["samples"]), dtype=np.float32).astype(np.float64)
        starts, at = np.array(found["starts"]), np.array(found["at"])
        whole = np.zeros(round((end - begin) * self.rate / 1e3))
        if not len(starts):
            return whole
        # Blocks come late when the page is busy, never early: the one that was quickest tells when its end was heard.
        origin = float(np.min(at - (starts + 1920) / self.rate * 1e3))
        for start, block in zip(starts, samples.reshape(-1, 1920), strict=True):
            first = round((origin - begin) * self.rate / 1e3) + int(start)
            low, high = max(first, 0), min(first + len(block), len(whole))
            if low < high:
                whole[low:high] = block[low - first : high - first]
        return whole


@dataclass
class PageCoach(Coach):
    """A coach with a page. What is confirmed of his gate, his page hears of a moment later."""

    def wait(self, what: str = "gate", timeout: float = 10.0) -> dict[str, Any]:
        """As of a coach with a phone; and the page's own microphone is as the gate is."""
        view = super().wait(what, timeout)
        page: Any = self.heard_by_phone
        if what == "gate":
            wait_until("the page's microphone follows", lambda: page.open is (view["gate"] != "closed"), PATIENCE)
        elif view["reason"] == "took_over":
            wait_until("the page talks with the caller", lambda: page.open and page.spoken == "audio/PCMU", PATIENCE)
        return view


class PagesStage(Stage):
    """A stage on which those named in `browsers` coach from a page. Pages are opened once, and kept."""

    def __init__(self, node: StageNode, extra_config: str, browser: Browser) -> None:
        super().__init__(node, extra_config)
        self.browsers: Collection[str] = ()
        self._browser = browser
        self._pages: dict[str, tuple[Page, dict[str, str]]] = {}

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            for page, _ in self._pages.values():
                page.context.close()
        finally:
            super().__exit__(kind, error, trace)

    def page(self, name: str) -> tuple[Page, str]:
        """Somebody's page, which can be rung, and its address as a device."""
        if name not in self._pages:
            page, told = self._pages[name] = self._opened(name)
            page.goto(f"{self.service.url}/#token={self.service.token(name, devices=[])}")
            page.get_by_label("Take out echo and noise").uncheck()  # to it, a tone is noise
        page, told = self._pages[name]
        expect(page.get_by_text(re.compile("This browser (can be rung|is in the call)"))).to_be_visible(
            timeout=PATIENCE * 1000
        )
        return page, told["device"]

    def _opened(self, name: str) -> tuple[Page, dict[str, str]]:
        context = self._browser.new_context(bypass_csp=True)  # the page's own policy has no worklets of others
        tone = None if name == SPEAKER else TONES[name]
        context.add_init_script(f"({_EARS})({json.dumps({'tone': tone, 'level': LEVEL})})")
        page = context.new_page()
        told: dict[str, str] = {}

        def read(frame: str | bytes) -> None:
            if isinstance(frame, str) and frame.startswith("{"):
                told.update(json.loads(frame))

        def watch(socket: WebSocket) -> None:
            socket.on("framereceived", read)

        page.on("websocket", watch)
        return page, told

    def coach(self, name: str, scene: Scene | str, mode: str = "listen", **body: Any) -> Coach:  # type: ignore[override]
        """Somebody starts to coach, from his page or his desk phone, and listens."""
        if name not in self.browsers:
            return super().coach(name, scene, mode, **body)
        page, device = self.page(name)
        number = page.evaluate("window.heard.length")
        started = self._start(name, scene, mode, {**body, "device": device})
        wait_until(f"the page of {name} is rung", lambda: page.evaluate("window.heard.length") > number, PATIENCE)
        coach = PageCoach(name, started.api, started.session)
        coach.call = PageCall(page, number).wait("up")  # type: ignore[assignment]
        if isinstance(scene, Scene):
            coach.wait("listening")
            coach.wait("gate")
        return coach

    def leg_of(self, call: Any) -> str:
        """The uuid of a leg: of a page's, that of the one coach on the profile for browsers."""
        if not isinstance(call, PageCall):
            return super().leg_of(call)
        return str(wait_until("the node shows the page's leg", self.legs_of_pages, PATIENCE)[0])

    def legs_of_pages(self) -> list[str]:
        """The legs of browsers."""
        return [row["uuid"] for row in self.legs() if row["name"].startswith("sofia/browsers/")]

    def listen(  # type: ignore[override]
        self,
        listeners: Mapping[str, Any],
        tones: Mapping[str, float],
        seconds: float = 0.36,
        settle: float = LATE,
    ) -> dict[str, dict[str, float]]:
        """As on the other stages; a page is some tenths of a second behind."""
        return super().listen(listeners, tones, seconds, settle)

    def clear(self) -> None:
        """Everybody hangs up; pages can be rung again."""
        super().clear()
        idle = "window.heard.every(({ peer }) => peer.connectionState === 'closed')"
        open_pages = [page for page, _ in self._pages.values()]
        wait_until("the pages have hung up", lambda: all(page.evaluate(idle) for page in open_pages), PATIENCE)
