"""What coaching costs and how fast it is, on a private FreeSWITCH with real SIP and RTP, over loopback.

1. From an HTTP request, over a kept connection, to the first RTP packet at the agent's phone that holds the coach's
   tone, or holds it no more; with 1, 20 and 50 coached calls up, all of them whispering.
2. From a coach's RTP packet to the agent's that carries it; on fresh calls, and on one whose microphone has been open
   for ten minutes.
3. CPU and memory of the service with 50 coached calls that nobody touches.
4. For how long the next caller hears a coach who was barging in when the agent's leg was bridged anew.

Everything runs on one machine: the switch, the service, the phones that measure, and those of the load in a process of
their own. Takes about fourteen minutes; with CCW_BENCH_QUICK=1 one and a half, which shows that it
works, with numbers too few to be figures.
"""

from __future__ import annotations

import gc
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from ccwhisper.bench import Figure
from ccwhisper.bench._crowd import Crowd, configuration, copy_configuration, populate
from ccwhisper.bench._hearing import Delays
from ccwhisper.bench._process import cpu_seconds, resident_mib
from ccwhisper.bench._rebridge import Rebridging
from ccwhisper.bench._takes import OpenMic, Script, Take, take
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.stage import Stage

AUDIBLE_MS: Final = 80.0
"""Request to audible, p99."""

VOICE_MS: Final = 45.0
"""The coach's packet to the agent's, p95."""

OPEN_MIC_MS: Final = 90.0
"""The same with a microphone that has been open for ten minutes."""

EXPOSED_MS: Final = 200.0
"""The longest that a next caller may hear of a barge."""


@dataclass(frozen=True)
class Plan:
    """How much to measure. `levels` are numbers of coached calls; at each, `takes` calls are measured, one after the
    other. `steady` and `open_mic` are in seconds."""

    levels: tuple[int, ...] = (50, 20, 1)
    takes: int = 5
    script: Script = field(default_factory=Script)
    steady: float = 60.0
    open_mic: float = 600.0
    rebridges: int = 20


QUICK: Final = Plan((6, 1), takes=1, script=Script(8, 4, 4), steady=3.0, open_mic=20.0, rebridges=3)


def run() -> list[Figure]:
    """All of it. Raises NodeError without a FreeSWITCH."""
    return Bench(QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()).run()


class Bench:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.figures: list[Figure] = []
        self.takes: list[Take] = []
        self._switch = 0

    def run(self) -> list[Figure]:
        """Measure, then reckon."""
        count = max(self.plan.levels)
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccwhisper-bench-")))
            node = PrivateNode(conf=copy_configuration(directory / "conf"))
            populate(node, count)
            self._switch = stack.enter_context(node).pid
            stage = stack.enter_context(Stage(node, configuration(node.domain, count)))
            crowd = stack.enter_context(Crowd(node, stage.service, count))
            stack.enter_context(_no_collector())
            self._measure(stage, crowd)
        return self.figures

    def _measure(self, stage: Stage, crowd: Crowd) -> None:
        mic = OpenMic.begin(stage)
        rebridged: list[tuple[int, list[float]]] = []
        rebridging = Rebridging(stage)
        busiest = max(self.plan.levels)
        for level in (each for each in self.plan.levels if each > 1):
            say(f"{level} coached calls")
            if level == busiest:
                crowd.be(level - 1)
                self._steady(stage, crowd, level)
            crowd.be(level - 2)
            self._level(stage, level)
            if level == busiest:
                rebridged.append((level, rebridging.run(self.plan.rebridges)))
        counts = crowd.be(0)
        rebridged.append((2, rebridging.run(self.plan.rebridges)))
        say("the open microphone")
        while mic.seconds < self.plan.open_mic:
            time.sleep(0.5)
        seconds, since = mic.seconds, time.monotonic_ns()
        mic.scene.agent.wait_time(since + 11_500_000_000)
        mic.coach.leave()
        mic.scene.hang_up()
        mic.scene.agent.wait("ended")
        if 1 in self.plan.levels:
            say("1 coached call")
            self._level(stage, 1)
        say("reckoning")
        for level in sorted(self.plan.levels):
            self._delays(level)
        for level in sorted(self.plan.levels):
            self._voice(level)
        self._percentiles("open microphone, first 10 s, coach → agent", mic.latencies(mic.since + 500_000_000))
        after = f"open microphone, after {seconds / 60:.1f} min, coach → agent"
        self._percentiles(after, mic.latencies(since), 95, OPEN_MIC_MS)
        for level, exposed in sorted(rebridged):
            self._rebridged(level, exposed)
        self.figures += [
            Figure("load phones, packets received", counts["received"], "packets"),
            Figure("load phones, packets lost on the way to them", counts["lost"], "packets"),
            Figure("load phones, latest packet of theirs", round(counts["late_ms"], 1), "ms"),
            Figure("measuring phones, latest packet of theirs", round(stage.bank.worst_lateness_ms, 1), "ms"),
        ]

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _level(self, stage: Stage, level: int) -> None:
        for _ in range(self.plan.takes):
            self.takes.append(take(stage, level, self.plan.script))

    def _steady(self, stage: Stage, crowd: Crowd, calls: int) -> None:
        """Nobody asks for anything: what remains are leases, refreshes, and the events of the switch."""
        process = stage.service.process
        if process is None:
            raise RuntimeError("the service does not run")
        pids = {
            "service": process.pid,
            "switch": self._switch,
            "load phones": crowd.pid,
            "measuring phones": os.getpid(),
        }
        time.sleep(2)
        before, began = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
        time.sleep(self.plan.steady)
        used = {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}
        share = {name: 100 * seconds / (time.monotonic() - began) for name, seconds in used.items()}
        with_calls = f"{calls} coached calls"
        for name, percent in share.items():
            self.figures.append(Figure(f"{name}, {with_calls}, CPU", round(percent, 2), "% of a core"))
        self.figures += [
            Figure(f"service, CPU per coached call of {calls}", round(share["service"] / calls, 4), "% of a core"),
            Figure(f"switch, CPU per coached call of {calls}", round(share["switch"] / calls, 3), "% of a core"),
            Figure(f"service, {with_calls}, resident memory", round(resident_mib(process.pid), 1), "MiB"),
        ]

    # --- reckoning ---------------------------------------------------------------------------------------------------

    def _delays(self, level: int) -> None:
        found: defaultdict[str, Delays] = defaultdict(Delays)
        for each in self.takes:
            if each.level == level:
                hearing = each.hearing()
                for change in each.changes:
                    found[change.kind].add(change, hearing)
        calls = _calls(level)
        for kind, delays in found.items():
            self._percentiles(f"{kind}, {calls}, request → audible", delays.audible, 99, AUDIBLE_MS)
        everything = list(found.values())
        unseen = sum(each.unseen for each in everything)
        self.figures += [
            Figure(f"{calls}, requests measured", sum(len(each.audible) for each in everything), "requests"),
            Figure(f"{calls}, requests without the effect", unseen, "requests", "0", unseen == 0),
        ]
        self._percentiles(f"{calls}, request → HTTP answer", [ms for each in everything for ms in each.answered])
        self._percentiles(f"{calls}, request → switch confirmed", [ms for each in everything for ms in each.confirmed])

    def _voice(self, level: int) -> None:
        takes = [each for each in self.takes if each.level == level]
        found = [ms for each in takes for ms in each.latencies()]
        marks = sum(each.marks for each in takes)
        name = f"whisper, {_calls(level)}, coach → agent"
        self._percentiles(name, found, 95, VOICE_MS)
        share = round(100 * len(found) / marks, 1)
        self.figures.append(Figure(f"{name}, marks that were heard", share, "%", ">= 95 %", share >= 95))

    def _rebridged(self, level: int, exposed: Sequence[float]) -> None:
        name = f"re-bridged during a barge, {_calls(level)}, next caller hears the coach"
        worst = max(exposed)
        self.figures += [
            Figure(f"{name}, p50", round(float(np.median(exposed)), 1), "ms"),
            Figure(f"{name}, max of {len(exposed)}", worst, "ms", f"<= {EXPOSED_MS:g} ms", worst <= EXPOSED_MS),
        ]

    def _percentiles(self, name: str, values: list[float], which: int = 0, limit: float = 0.0) -> None:
        """p50, p95 and p99; `which` of them has a goal."""
        if not values:
            self.figures.append(Figure(f"{name}, nothing was heard", 0, "", "to be heard", False))
            return
        for percent in (50, 95, 99):
            value = round(float(np.percentile(values, percent)), 1)
            if percent == which:
                self.figures.append(Figure(f"{name}, p{percent}", value, "ms", f"<= {limit:g} ms", value <= limit))
            else:
                self.figures.append(Figure(f"{name}, p{percent}", value, "ms"))


def say(what: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", flush=True)


def _calls(level: int) -> str:
    return f"{level} coached call{'s' if level > 1 else ''}"


@contextmanager
def _no_collector() -> Iterator[None]:
    """A pause for garbage collection would be measured as the product's. A run makes a few hundred MB of packets."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
