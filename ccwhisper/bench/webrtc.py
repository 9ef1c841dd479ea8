"""Coaching from the browser: Chromium with the product's own dashboard, a private FreeSWITCH, the service, real phones.

1. From a sample at the microphone to the agent's RTP packet that holds it, with 1 browser coach and with 20, each on a
   call of his own; with the browser's filters against echo and noise off, and on; to agents on other codecs than PCMU.
2. Push-to-talk: from the press to the first packet at the agent with sound in it, and from the release to the last; and
   how much of what was said right after the press, or right before the release, was not heard.
3. Bits on the wire at IP level while a coach speaks and while he does not, counted by a relay between page and switch.
4. CPU of the switch and of the service for each coach, and of Chromium for the page.

The microphone is Chromium's own, which plays a file: a made-up voice. What it plays is taken down in the page with the
times of Chromium's audio device, and sought in what the agent's phone got. Both clocks are CLOCK_MONOTONIC; `_browser`
says how they are tied. The agents' callers are silent, so whatever an agent hears is his coach. Of 20 coaches one is
the page that is measured. The others whisper from `_laptops`, which are to service and switch what pages are, without
what it costs to draw them: 20 Chromiums would take more than two cores, and measure themselves. Takes seven minutes;
with CCW_BENCH_QUICK=1 one, which shows that it works, with numbers too few to be figures.
"""

from __future__ import annotations

import os
import random
import tempfile
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np

from ccwhisper.bench import Figure
from ccwhisper.bench._browser import Chromium, Dashboard, chromium
from ccwhisper.bench._crowd import Crowd, configuration, copy_configuration, populate
from ccwhisper.bench._process import busy, cpu_seconds
from ccwhisper.bench._relay import Relay, kbits
from ccwhisper.bench._speech import Edge, Mark, marks, narrowed, onset, tail, voice
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.sources import Silence
from ccwhisper.proof.stage import Scene, Stage

if TYPE_CHECKING:
    from ccwhisper.bench._laptops import Laptops

VOICE_MS: Final = 90.0
"""Microphone sample to the agent's packet, p95."""

WIRE_KBITS: Final = 45.0
"""One way, at IP level, while somebody speaks, in the p95 of seconds."""

CLIPPED_MS: Final = 20.0
"""What may be missing of the first syllable, p95: less than a packet is not noticed."""

CODECS: Final = ("G722", "L16", "opus")
"""Of the agent's phone, besides PCMU, which all else is measured with."""


@dataclass(frozen=True)
class Plan:
    """How much to measure: numbers of coaches; sessions of each, for every session meets the agent's packets at another
    phase; seconds of voice and presses in each; codecs of agents; seconds of counting on the wire and of CPU."""

    levels: tuple[int, ...] = (1, 20)
    sessions: int = 5
    voice: float = 5.0
    presses: int = 8
    codecs: tuple[str, ...] = CODECS
    wire: float = 16.0
    steady: float = 8.0


QUICK: Final = Plan((1, 3), sessions=1, voice=3.0, presses=3, codecs=("opus",), wire=4.0, steady=2.0)


@dataclass
class Heard:
    """What was measured at one level."""

    marks: list[Mark] = field(default_factory=list)
    onsets: list[Edge | None] = field(default_factory=list)
    tails: list[Edge | None] = field(default_factory=list)
    wrong: float = 0.0
    """How wrong the times of microphone and keys can be, in ms."""


def run() -> list[Figure]:
    """All of it. Raises Missing without Playwright, Chromium or aiortc, NodeError without a FreeSWITCH."""
    return Bench(QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()).run()


class Bench:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.figures: list[Figure] = []

    def run(self) -> list[Figure]:
        """Measure, level after level."""
        from ccwhisper.bench._laptops import Laptops  # noqa: PLC0415 - only this benchmark needs aiortc

        count = max(self.plan.levels)
        with ExitStack() as stack:
            browser = stack.enter_context(chromium(voice(seed=5, seconds=60.0)))
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccwhisper-bench-")))
            node = stack.enter_context(prepared(directory, count))
            stage = stack.enter_context(Stage(node, configuration(node.domain, count)))
            crowd = stack.enter_context(Crowd(node, stage.service, count, coached=False))
            laptops = stack.enter_context(Laptops(stage.service, node.host, count))
            relay = stack.enter_context(Relay())
            for level in self.plan.levels:
                crowd.be(level - 1)
                self._level(stage, browser, laptops, level)
                if level == 1:
                    self._filters(stage, browser)
                    self._codecs(stage, browser)
                    self._wire(stage, browser, relay)
            self.figures.append(Figure("measuring phones, latest packet", round(stage.bank.worst_lateness_ms, 1), "ms"))
        return self.figures

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _level(self, stage: Stage, browser: Chromium, laptops: Laptops, level: int) -> None:
        say(coaches(level))
        scene = silent_call(stage)
        processes = Processes(stage, browser, laptops)
        before = processes.shares(self.plan.steady)
        laptops.be(level - 1)
        dashboard = browser.open(stage.service, "carla")
        heard = Heard()
        for _ in range(self.plan.sessions):
            self._session(dashboard, scene, heard)
        dashboard.listen("1001")
        dashboard.whisper()
        got = laptops.be(level - 1)
        use = busy(self.plan.steady)
        got = laptops.be(level - 1) - got
        after = processes.shares(self.plan.steady)
        dashboard.leave()
        dashboard.close()
        laptops.be(0)
        scene.hang_up()
        self._reckon(coaches(level), heard)
        name = coaches(level)
        for who in ("switch", "service"):
            share = round((after[who] - before[who]) / level, 2)
            self.figures.append(Figure(f"{name}, {who}, CPU per coach", share, "% of a core"))
        self.figures.append(Figure(f"{name}, Chromium, CPU of the page", round(after["Chromium"], 1), "% of a core"))
        if level > 1:
            share, rate = round(after["laptops"] / (level - 1), 2), round(got / self.plan.steady, 1)
            self.figures += [
                Figure(f"{name}, each of the others, CPU", share, "% of a core"),
                Figure(f"{name}, each of the others hears", rate, "packets/s", ">= 45", rate >= 45),
            ]
        self.figures.append(Figure(f"{name}, the whole machine is busy", round(100 * use, 1), "% of its time"))

    def _session(self, dashboard: Dashboard, scene: Scene, heard: Heard) -> None:
        """Listen, whisper for a while, press and release some times, leave."""
        dashboard.listen("1001")
        dashboard.whisper()
        heard.marks += spoken_marks(dashboard, scene, self.plan.voice)
        if self.plan.presses:
            dashboard.push_to_talk()
            dashboard.page.wait_for_timeout(300)
            dashboard.record()
            for _ in range(self.plan.presses):
                dashboard.page.keyboard.down(" ")
                dashboard.page.wait_for_timeout(500 + random.uniform(0, 20))
                dashboard.page.keyboard.up(" ")
                dashboard.page.wait_for_timeout(500 + random.uniform(0, 20))
            _edges(dashboard, scene, heard)
        heard.wrong = max(heard.wrong, dashboard.clock()[1])
        dashboard.leave()

    def _filters(self, stage: Stage, browser: Chromium) -> None:
        say("with the browser's filters")
        scene = silent_call(stage)
        dashboard = browser.open(stage.service, "carla", filters=True)
        found = []
        for _ in range(max(1, self.plan.sessions // 2)):
            dashboard.listen("1001")
            dashboard.whisper()
            found += spoken_marks(dashboard, scene, self.plan.voice)
            dashboard.leave()
        dashboard.close()
        scene.hang_up()
        self._late("1 coach, filters against echo and noise on", found)

    def _codecs(self, stage: Stage, browser: Chromium) -> None:
        dashboard = browser.open(stage.service, "carla")
        for codec in self.plan.codecs:
            say(f"an agent on {codec}")
            scene = silent_call(stage, codec)
            found = []
            for _ in range(max(1, self.plan.sessions // 2)):
                dashboard.listen("1001")
                dashboard.whisper()
                found += spoken_marks(dashboard, scene, self.plan.voice)
                dashboard.leave()
            scene.hang_up()
            self._late(f"1 coach, agent on {codec}", found)
        dashboard.close()

    def _wire(self, stage: Stage, browser: Chromium, relay: Relay) -> None:
        say("the wire")
        scene = silent_call(stage)
        dashboard = browser.open(stage.service, "carla", relay=relay)
        dashboard.listen("1001")
        dashboard.whisper()
        spans = {"speaking": self._span(dashboard)}
        dashboard.page.keyboard.press("l")
        dashboard.lamp("Nobody hears you")
        spans["listening"] = self._span(dashboard)
        up, down = relay.counts()
        dashboard.leave()
        dashboard.close()
        scene.hang_up()
        for what, (since, until) in spans.items():
            for way, counts in (("to the switch", up), ("to the page", down)):
                rates = kbits(counts.sizes, since, until)
                p95 = round(float(np.percentile(rates, 95)), 1)
                name = f"on the wire {way}, coach {what}"
                self.figures += [
                    Figure(f"{name}, mean", round(float(np.mean(rates)), 1), "kbit/s"),
                    Figure(f"{name}, p95 of seconds", p95, "kbit/s", f"<= {WIRE_KBITS:g} kbit/s", p95 <= WIRE_KBITS),
                ]

    def _span(self, dashboard: Dashboard) -> tuple[int, int]:
        dashboard.page.wait_for_timeout(1000)
        since = time.monotonic_ns()
        dashboard.page.wait_for_timeout(self.plan.wire * 1000)
        return since, time.monotonic_ns()

    # --- reckoning ---------------------------------------------------------------------------------------------------

    def _late(self, name: str, found: list[Mark]) -> None:
        late = [each.late for each in found if each.late is not None]
        share = round(100 * len(late) / max(1, len(found)), 1)
        self.figures.append(Figure(f"{name}, stretches of voice recognised", share, "%", ">= 95 %", share >= 95))
        self._percentiles(f"{name}, microphone → agent", late, VOICE_MS)

    def _reckon(self, name: str, heard: Heard) -> None:
        self._late(name, heard.marks)
        for what, edges, where in (("press", heard.onsets, "first"), ("release", heard.tails, "last")):
            seen = [each for each in edges if each is not None]
            lost = [each.lost for each in seen if each.lost is not None]
            gone = len(edges) - len(seen)
            self.figures.append(Figure(f"{name}, {what} without a sound", gone, "times", "0", gone == 0))
            self._percentiles(f"{name}, {what} → {where} packet with sound", [each.audible for each in seen])
            beside = "after the press" if what == "press" else "before the release"
            self._percentiles(f"{name}, speech {beside} that was lost", lost, CLIPPED_MS)
        self.figures.append(Figure(f"{name}, error of the clocks at most", round(heard.wrong, 2), "ms"))

    def _percentiles(self, name: str, values: list[float], limit: float = 0.0) -> None:
        """p50 and p95, of which the latter may have a goal."""
        if not values:
            self.figures.append(Figure(f"{name}, nothing was heard", 0, "", "to be heard", False))
            return
        p50, p95 = (round(float(np.percentile(values, percent)), 1) for percent in (50, 95))
        self.figures.append(Figure(f"{name}, p50", p50, "ms"))
        goal = (f"<= {limit:g} ms", p95 <= limit) if limit else (None, None)
        self.figures.append(Figure(f"{name}, p95", p95, "ms", *goal))


class Processes:
    """How much of a core switch, service, browser and the other coaches take."""

    def __init__(self, stage: Stage, browser: Chromium, laptops: Laptops) -> None:
        if stage.service.process is None:
            raise RuntimeError("the service has not started")
        node = stage.node
        if not isinstance(node, PrivateNode):
            raise TypeError("the node is not ours")
        self._pids = {
            "switch": [node.pid],
            "service": [stage.service.process.pid],
            "laptops": [laptops.pid],
        }
        self._browser = browser

    def shares(self, seconds: float) -> dict[str, float]:
        """In the next `seconds`, in % of a core. Chromium ends a process now and then: it does not count."""
        pids = {**self._pids, "Chromium": self._browser.pids()}
        began = time.monotonic()
        before = {who: _used(each) for who, each in pids.items()}
        time.sleep(seconds)
        lasted = time.monotonic() - began
        after = {who: _used(each) for who, each in pids.items()}
        return {
            who: 100 * sum(used - before[who].get(pid, used) for pid, used in each.items()) / lasted
            for who, each in after.items()
        }


def _used(pids: list[int]) -> dict[int, float]:
    found = {}
    for pid in pids:
        with suppress(OSError):
            found[pid] = cpu_seconds(pid)
    return found


_SHIPPED: Final = "PCMU,PCMA,OPUS,G722"


def prepared(directory: Path, count: int) -> PrivateNode:
    """A node with so many agents more, and with L16 for phones that want it, not yet started."""
    conf = copy_configuration(directory / "conf")
    for name in ("phones", "trunk"):
        profile = conf / "sip_profiles" / f"{name}.xml"
        text = profile.read_text()
        if _SHIPPED not in text:
            raise ValueError(f"{profile} has no {_SHIPPED}")
        profile.write_text(text.replace(_SHIPPED, f"{_SHIPPED},L16@16000h"))
    node = PrivateNode(conf=conf)
    populate(node, count)
    return node


def silent_call(stage: Stage, codec: str = "PCMU") -> Scene:
    """A call of agent 1001 in this codec, whose caller says nothing."""
    return stage.call("1001", codecs=(codec,), caller_source=Silence())


def spoken_marks(dashboard: Dashboard, scene: Scene, seconds: float) -> list[Mark]:
    """What became of the voice of the next `seconds`, when the beep that tells the agent of his coach is over."""
    dashboard.page.wait_for_timeout(1000)
    since = time.monotonic_ns()
    dashboard.record()
    dashboard.page.wait_for_timeout(seconds * 1000)
    spoken, _ = dashboard.recorded()
    scene.agent.wait_time(time.monotonic_ns() + 1_000_000_000)
    return marks(spoken, narrowed(scene.agent.timeline(since)))


def _edges(dashboard: Dashboard, scene: Scene, heard: Heard) -> None:
    """What each press and each release did. What is heard is looked at from a packet before the press to the release,
    and from well within the press to the next one."""
    scene.agent.wait_time(time.monotonic_ns() + 300_000_000)
    spoken, keys = dashboard.recorded()
    ends = [at for _, at in keys[1:]] + [time.monotonic_ns()]
    for (kind, at), end in zip(keys, ends, strict=True):
        if kind == "keydown":
            heard.onsets.append(onset(at, spoken, scene.agent.timeline(at - 20_000_000, end)))
        else:
            heard.tails.append(tail(at, spoken, scene.agent.timeline(at - 300_000_000, end)))


def say(what: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", flush=True)


def coaches(level: int) -> str:
    """In words."""
    return f"{level} coach{'es' if level > 1 else ''}"
