"""What coaching costs and how fast it is, on a private FreeSWITCH with real SIP and RTP, over loopback.

1. From an HTTP request, over a kept connection, to the first RTP packet at the agent's phone that holds the coach's
   tone, or holds it no more; with 1, 20 and 50 coached calls up, all of them whispering.
2. From a coach's RTP packet to the agent's that carries it; on fresh calls, and on one whose microphone has been open
   for ten minutes.
3. CPU and memory of the service with 50 coached calls that nobody touches.
4. For how long the next caller hears a coach who was barging in when the agent's leg was bridged anew.

Everything runs on one machine: the switch, the service, the phones that measure, and those of the load in a process of
their own. Takes about fourteen minutes; with CCW_BENCH_QUICK=1 one, which shows that it works and measures nothing.
"""

from __future__ import annotations

import gc
import os
import random
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np

from ccwhisper.bench import Figure
from ccwhisper.bench._crowd import Crowd, configuration, copy_configuration, populate
from ccwhisper.bench._hearing import Change, Delays, Hearing
from ccwhisper.bench._process import cpu_seconds, idle_share, machine_ticks, resident_mib
from ccwhisper.bench._rebridge import Rebridging
from ccwhisper.proof.exact import latencies_ms
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.sources import Noise
from ccwhisper.proof.stage import BEEP, LEVEL, TONES, Coach, Scene, Stage

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
    """How much to measure. `levels` are numbers of coached calls; each is measured on `takes` calls, one after the
    other: on each, so many changes of mode, mute and key, each there and back, and `voice` seconds of noise. `steady`
    is in seconds, `open_mic` in minutes."""

    levels: tuple[int, ...] = (50, 20, 1)
    takes: int = 5
    modes: int = 40
    mutes: int = 20
    keys: int = 20
    voice: float = 5.0
    steady: float = 60.0
    open_mic: float = 10.0
    rebridges: int = 20


QUICK: Final = Plan(levels=(6, 1), takes=1, modes=8, mutes=4, keys=4, voice=3.0, steady=3.0, open_mic=0.3, rebridges=3)


@dataclass
class Take:
    """One call that was measured."""

    level: int
    agent: PhoneCall
    coach: PhoneCall
    changes: list[Change] = field(default_factory=list)
    voice: tuple[int, int] = (0, 0)

    def hearing(self) -> Hearing:
        """What the agent heard of the coach."""
        return Hearing.of(self.agent, TONES["carla"], (TONES["caller"], BEEP))


class Changer:
    """Changes one coach's mode, mute or key, and notes the times."""

    def __init__(self, coach: Coach, take: Take) -> None:
        self._coach, self._take = coach, take
        self._path = f"/sessions/{coach.session}"
        self._open: Change | None = None

    def change(
        self, kind: str, opens: bool, method: str, what: str, body: Mapping[str, Any] | None, pause: float
    ) -> None:
        """Ask, wait for the switch's confirmation, and then for `pause` seconds and up to a packet's time more, so that
        requests meet every phase of the media."""
        api = self._coach.api
        sent = time.monotonic_ns()
        api.ask(method, f"{self._path}/{what}", body)
        answered = time.monotonic_ns()
        api.ask("GET", self._path, wait="gate", timeout=5)
        confirmed = time.monotonic_ns()
        time.sleep(pause + random.uniform(0, 0.02))
        self._take.changes.append(Change(kind, opens, sent, answered, confirmed, time.monotonic_ns()))

    def modes(self, rounds: int) -> None:
        """Listen → whisper → listen. The first pause outlasts the beep, which cannot be started again meanwhile."""
        for _ in range(rounds):
            self.change("listen → whisper", True, "PUT", "mode", {"mode": "whisper"}, 0.2)
            self.change("whisper → listen", False, "PUT", "mode", {"mode": "listen"}, 0.1)

    def mutes(self, rounds: int) -> None:
        """Mute → unmute, of a coach who whispers."""
        for _ in range(rounds):
            self.change("mute", False, "PUT", "muted", {"muted": True}, 0.1)
            self.change("unmute", True, "PUT", "muted", {"muted": False}, 0.1)

    def keys(self, rounds: int) -> None:
        """Push-to-talk: press → release, of a coach who whispers."""
        for _ in range(rounds):
            self.change("press", True, "POST", "press", None, 0.1)
            self.change("release", False, "POST", "release", None, 0.1)


@dataclass
class OpenMic:
    """A call whose coach whispers without a pause, from `since` on."""

    scene: Scene
    coach: Coach
    since: int

    @classmethod
    def begin(cls, stage: Stage) -> OpenMic:
        """Agent 1002, coached by dora."""
        scene = stage.call("1002")
        coach = stage.coach("dora", scene, "whisper", source=Noise(seed=7, level_dbfs=LEVEL))
        return cls(scene, coach, time.monotonic_ns())

    @property
    def minutes(self) -> float:
        """How long it has been open."""
        return (time.monotonic_ns() - self.since) / 60e9

    def latencies(self, since: int, until: int) -> list[float]:
        """Of the voice that was sent in this time."""
        return latencies_ms(self.coach.heard_by_phone, self.scene.agent, since, until, every=5)


def run() -> list[Figure]:
    """All of it. Raises NodeError without a FreeSWITCH."""
    return Bench(QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()).run()


class Bench:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.figures: list[Figure] = []
        self.takes: list[Take] = []

    def run(self) -> list[Figure]:
        """Measure, then reckon."""
        count = max(self.plan.levels)
        with ExitStack() as stack:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccwhisper-bench-")))
            node = PrivateNode(conf=copy_configuration(directory / "conf"))
            populate(node, count)
            stack.enter_context(node)
            stage = stack.enter_context(Stage(node, configuration(node.domain, count)))
            crowd = stack.enter_context(Crowd(node, stage.service, count))
            stack.enter_context(_no_collector())
            self._measure(stage, crowd)
        return self.figures

    def _measure(self, stage: Stage, crowd: Crowd) -> None:
        mic = OpenMic.begin(stage)
        early = (mic.since + 1_000_000_000, mic.since + int(self.plan.voice * 1e9))
        rebridged: dict[int, list[float]] = {}
        for level in (each for each in self.plan.levels if each > 1):
            say(f"{level} coached calls")
            crowd.be(level - 1)
            if level == max(self.plan.levels):
                self._steady(stage, crowd, level)
            crowd.be(level - 2)
            self._level(stage, level)
            if level == max(self.plan.levels):
                rebridged[level] = Rebridging(stage).run(self.plan.rebridges)
        say("the open microphone")
        while mic.minutes < self.plan.open_mic:
            time.sleep(1)
        now = time.monotonic_ns()
        minutes = mic.minutes
        mic.scene.agent.wait_time(now + 30_000_000_000 if self.plan.open_mic > 1 else now + 3_000_000_000)
        late = (now, time.monotonic_ns() - 1_000_000_000)
        mic.coach.leave()
        mic.scene.hang_up()
        counts = crowd.be(0)
        if 1 in self.plan.levels:
            say("1 coached call")
            self._level(stage, 1)
            rebridged[1] = Rebridging(stage).run(self.plan.rebridges)
        say("reckoning")
        for level in sorted(self.plan.levels):
            self._delays(level)
        for level in sorted(self.plan.levels):
            self._voice(level)
        self._open_mic(mic, early, late, minutes)
        for level, exposed in sorted(rebridged.items()):
            self._rebridged(level, exposed)
        self.figures += [
            Figure("load phones: packets lost by the switch or the machine", counts["lost"], "packets"),
            Figure("load phones: packets received", counts["received"], "packets"),
            Figure("load phones: latest packet", round(counts["late_ms"], 1), "ms"),
            Figure("measuring phones: latest packet", round(stage.bank.worst_lateness_ms, 1), "ms"),
        ]

    # --- measuring ---------------------------------------------------------------------------------------------------

    def _level(self, stage: Stage, level: int) -> None:
        for _ in range(self.plan.takes):
            self.takes.append(self._take(stage, level))

    def _take(self, stage: Stage, level: int) -> Take:
        scene = stage.call("1001")
        coach = stage.coach("carla", scene)
        take = Take(level, scene.agent, coach.heard_by_phone)
        changer = Changer(coach, take)
        time.sleep(0.3)
        changer.modes(self.plan.modes)
        coach.mode("whisper")
        time.sleep(0.3)
        changer.mutes(self.plan.mutes)
        coach.talk("push")
        coach.wait()
        time.sleep(0.2)
        changer.keys(self.plan.keys)
        coach.talk("open")
        coach.wait()
        coach.heard_by_phone.play(Noise(seed=3, level_dbfs=LEVEL))
        since = time.monotonic_ns() + 500_000_000
        until = since + int(self.plan.voice * 1e9)
        scene.agent.wait_time(until + 1_000_000_000)
        take.voice = (since, until)
        coach.leave()
        coach.api.close()
        scene.hang_up()
        scene.agent.wait("ended")
        return take

    def _steady(self, stage: Stage, crowd: Crowd, calls: int) -> None:
        """Nobody asks for anything: what remains are leases, refreshes, and the events of the switch."""
        process = stage.service.process
        if process is None:
            raise RuntimeError("the service does not run")
        pids = {"service": process.pid, "switch": stage.node.pid, "load phones": crowd.pid, "this": os.getpid()}
        time.sleep(2)
        before = {name: cpu_seconds(pid) for name, pid in pids.items()}
        began, ticks = time.monotonic(), machine_ticks()
        time.sleep(self.plan.steady)
        seconds, idle = time.monotonic() - began, idle_share(ticks)
        share = {name: 100 * (cpu_seconds(pid) - before[name]) / seconds for name, pid in pids.items()}
        with_calls = f"{calls} coached calls"
        self.figures += [
            Figure(f"service, {with_calls}, CPU per call", round(share["service"] / calls, 4), "% of a core"),
            Figure(f"service, {with_calls}, CPU", round(share["service"], 2), "% of a core"),
            Figure(f"service, {with_calls}, resident memory", round(resident_mib(process.pid), 1), "MiB"),
            Figure(f"switch, {with_calls}, CPU per call", round(share["switch"] / calls, 2), "% of a core"),
            Figure(f"load phones, {with_calls}, CPU", round(share["load phones"], 1), "% of a core"),
            Figure(f"whole machine, {with_calls}, busy", round(100 * (1 - idle), 1), "%"),
        ]

    # --- reckoning ---------------------------------------------------------------------------------------------------

    def _delays(self, level: int) -> None:
        found: defaultdict[str, Delays] = defaultdict(Delays)
        for take in self.takes:
            if take.level == level:
                hearing = take.hearing()
                for change in take.changes:
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
        found: list[float] = []
        for take in self.takes:
            if take.level == level:
                found += latencies_ms(take.coach, take.agent, *take.voice, every=5)
        self._percentiles(f"whisper, {_calls(level)}, coach → agent", found, 95, VOICE_MS)

    def _open_mic(self, mic: OpenMic, early: tuple[int, int], late: tuple[int, int], minutes: float) -> None:
        self._percentiles("open microphone, first seconds, coach → agent", mic.latencies(*early))
        after = f"open microphone, after {minutes:.1f} min, coach → agent"
        self._percentiles(after, mic.latencies(*late), 95, OPEN_MIC_MS)

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
