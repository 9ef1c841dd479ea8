"""What discontinuous transmission (DTX), forward error correction (FEC), a jitter buffer and the bit rate of the
browser's leg cost and bring.

For each combination a node of its own, with `opus.conf.xml` and the profile of the browsers changed; a coach whose
microphone hears phrases of 1.2 s with 0.8 s of silence between them, whispers through a relay that counts what is on
the wire, and that loses nothing at first, then 2 %, then 5 % of his packets. Said is, of what his agent hears:

- how late a stretch of 200 ms is, and how much like what was said (correlation: 1 is the same; the codec alone costs
  some 0.04);
- the same of the first 150 ms after each silence, without loss: the syllable that a codec which has slept may spoil.

Takes eight minutes; with CCW_BENCH_QUICK=1 one, which shows that it works, with numbers too few to be figures. It has
no goals: docs/browser-phone.md says what was made of them.
"""

from __future__ import annotations

import os
import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ccwhisper.bench import Figure
from ccwhisper.bench._browser import Chromium, Dashboard, chromium
from ccwhisper.bench._crowd import copy_configuration
from ccwhisper.bench._relay import Relay
from ccwhisper.bench._speech import Mark, marks, starts, voice
from ccwhisper.bench.webrtc import say, silent_call
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.stage import Scene, Stage

PHRASES: Final = (1.2, 0.8)
"""Seconds of speech, seconds of silence."""


@dataclass(frozen=True)
class Way:
    """A combination. `buffer` in ms, 0 for none; `rate` in bit/s, None for that of the configuration."""

    dtx: bool = False
    fec: bool = False
    buffer: int = 0
    rate: int | None = None

    def __str__(self) -> str:
        on = [name for name, chosen in (("DTX", self.dtx), ("FEC", self.fec)) if chosen] or ["neither"]
        buffer = [f"buffer {self.buffer} ms"] if self.buffer else []
        rate = [f"{self.rate / 1000:g} kbit/s"] if self.rate else []
        return ", ".join([" and ".join(on), *buffer, *rate])

    def configure(self, conf: Path) -> None:
        """Change a copy of `freeswitch-conf/`."""
        opus = conf / "autoload_configs" / "opus.conf.xml"
        wanted = {"use-dtx": int(self.dtx), "advertise-useinbandfec": int(self.fec)}
        if self.rate is not None:
            wanted["maxaveragebitrate"] = self.rate
        text = opus.read_text()
        for name in wanted:
            text = re.sub(rf' *<param name="{name}".*\n', "", text)
        lines = "".join(f'    <param name="{name}" value="{value}"/>\n' for name, value in wanted.items())
        opus.write_text(text.replace("  </settings>", f"{lines}  </settings>"))
        if self.buffer:
            profile = conf / "sip_profiles" / "browsers.xml"
            line = f'    <param name="auto-jitterbuffer-msec" value="{self.buffer}"/>\n'
            profile.write_text(profile.read_text().replace("  </settings>", f"{line}  </settings>"))


@dataclass(frozen=True)
class Plan:
    """What to measure: combinations; shares of loss; seconds of voice without and with loss, seconds of silence."""

    ways: tuple[Way, ...] = (
        Way(), Way(fec=True), Way(dtx=True), Way(dtx=True, fec=True),
        Way(buffer=60), Way(fec=True, buffer=60), Way(dtx=True, fec=True, buffer=60),
        Way(rate=16000), Way(rate=32000),
    )  # fmt: skip
    losses: tuple[float, ...] = (0.02, 0.05)
    clean: float = 10.0
    lossy: float = 10.0
    silent: float = 4.0


QUICK: Final = Plan((Way(dtx=True, fec=True, buffer=60),), (0.05,), clean=6.0, lossy=6.0, silent=3.0)


def run() -> list[Figure]:
    """All of it. Raises Missing without Playwright or Chromium, NodeError without a FreeSWITCH."""
    plan = QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()
    figures: list[Figure] = []
    with chromium(voice(seed=9, seconds=60.0, pauses=PHRASES)) as browser, Relay() as relay:
        for way in plan.ways:
            say(str(way))
            with tempfile.TemporaryDirectory(prefix="ccwhisper-bench-") as directory:
                conf = copy_configuration(Path(directory) / "conf")
                way.configure(conf)
                with PrivateNode(conf=conf) as node, Stage(node) as stage:
                    figures += measure(plan, way, stage, browser, relay)
    return figures


def measure(plan: Plan, way: Way, stage: Stage, browser: Chromium, relay: Relay) -> list[Figure]:
    """One combination."""
    with ExitStack() as stack:
        scene = silent_call(stage)
        stack.callback(scene.hang_up)
        dashboard = browser.open(stage.service, "carla", relay=relay)
        stack.callback(dashboard.close)
        relay.lose(0)
        dashboard.listen("1001")
        since = _pause(dashboard, plan.silent)
        silent = relay.rates(since)
        dashboard.whisper()
        dashboard.page.wait_for_timeout(1000)
        since = time.monotonic_ns()
        clean, first = _said(dashboard, scene, plan.clean)
        figures = [
            Figure(f"{way}: on the wire, in phrases", _mean(relay.rates(since)), "kbit/s"),
            Figure(f"{way}: on the wire, nothing said", _mean(silent), "kbit/s"),
            *_late(f"{way}: no loss", clean),
            Figure(f"{way}: no loss, first syllable, like what was said", _like(first), ""),
        ]
        for share in plan.losses:
            relay.lose(share)
            dashboard.page.wait_for_timeout(2000)  # until the receiver has told Chromium of it
            lossy, _ = _said(dashboard, scene, plan.lossy)
            figures += _late(f"{way}: {share:.0%} lost", lossy)
    return figures


def _pause(dashboard: Dashboard, seconds: float) -> int:
    dashboard.page.wait_for_timeout(1000)
    since = time.monotonic_ns()
    dashboard.page.wait_for_timeout(seconds * 1000)
    return since


def _said(dashboard: Dashboard, scene: Scene, seconds: float) -> tuple[list[Mark], list[Mark]]:
    """All stretches of what was said in so many seconds, and those that began a phrase."""
    since = time.monotonic_ns()
    dashboard.record()
    dashboard.page.wait_for_timeout(seconds * 1000)
    spoken, _ = dashboard.recorded()
    scene.agent.wait_time(time.monotonic_ns() + 1_000_000_000)
    heard = scene.agent.timeline(since)
    return marks(spoken, heard), starts(spoken, heard)


def _late(name: str, found: list[Mark]) -> list[Figure]:
    late = [each.late for each in found if each.late is not None]
    if not late:
        return [Figure(f"{name}, nothing was heard", 0, "", "to be heard", False)]
    return [
        Figure(f"{name}, recognised", round(100 * len(late) / len(found), 1), "%"),
        Figure(f"{name}, like what was said", _like(found), ""),
        Figure(f"{name}, microphone → agent, p50", round(float(np.percentile(late, 50)), 1), "ms"),
        Figure(f"{name}, microphone → agent, p95", round(float(np.percentile(late, 95)), 1), "ms"),
    ]


def _like(found: list[Mark]) -> float:
    return round(float(np.mean([each.like for each in found])), 3) if found else 0.0


def _mean(values: list[float]) -> float:
    return round(float(np.mean(values)), 1) if values else 0.0
