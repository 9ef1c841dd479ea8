"""How surely the coach's voice is found that comes back out of a loud headset, and how often where there is none.

Calls with a known leak are made up (`_leak`: voices, headsets, an office, lines, G.711), and searched as the worker
searches them. Each is a minute long, and the coach whispers in half of it. By level, delay, and how hard the agent
makes it; then calls in which the switch lets the caller hear him for some seconds, and hours without any leak. About
six minutes on two cores; no switch needed.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import Final

import numpy as np

from ccwhisper.bench import Figure
from ccwhisper.bench._leak import Setting, call
from ccwhisper.recording.bleed import THRESHOLD, measure
from ccwhisper.recording.result import Trace

LEVELS: Final = (-20.0, -30.0, -40.0, -45.0, -50.0, -55.0, -60.0)
DELAYS: Final = (0.03, 0.08, 0.15, 0.3)
ROOMS: Final[Mapping[str, Setting]] = {
    "quiet room": Setting(noise=-70.0, share=0.5),
    "office": Setting(noise=-60.0, share=0.5),
    "loud office": Setting(noise=-50.0, share=0.5),
    "office, the agent never stops": Setting(noise=-60.0, share=0.5, pause=0.05),
    "office, 10 s of whispering": Setting(noise=-60.0, share=1 / 6),
}
ROUTED: Final = (1.0, 2.0, 4.0, 8.0)
"""Seconds."""
ROUTES: Final[Mapping[str, Setting]] = {
    "office": Setting(share=0.5),
    "a quiet agent": Setting(share=0.5, noise=-80.0, pause=20.0),
    "office, the agent never stops": Setting(share=0.5, pause=0.05),
}
CLEAN: Final[Mapping[str, Setting]] = {
    "office": Setting(),
    "loud office": Setting(noise=-50.0),
    "a quiet agent": Setting(noise=-80.0, pause=20.0),
    "the agent never stops": Setting(pause=0.05),
    "line echo of the caller": Setting(line=-15.0),
    "music on hold": Setting(held=True),
    "headsets that leak everybody else": Setting(crosstalk=-25.0),
    "the agent says it after the coach": Setting(again=0.3),
}
NEAR_MS: Final = 5.0
"""A find further than this from where the leak is was chance."""

FOUND: Final = 95.0
"""% of leaks at the threshold, in an office, that must be found, and of wrong routes."""

LONG_ENOUGH: Final = 4.0
"""Seconds after which a wrong route must be found."""


@dataclass(frozen=True)
class Plan:
    """How much: calls for each level, delay and room; minutes without a leak for each kind, in calls of so many."""

    calls: int = 5
    minutes: int = 50
    length: int = 5


QUICK: Final = Plan(calls=1, minutes=2, length=1)


@dataclass(frozen=True)
class Trial:
    """One call. `kind` is the room, or what is there instead of a leak."""

    kind: str
    setting: Setting
    seed: int


def run() -> list[Figure]:
    """All of it."""
    plan = QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()
    trials = [
        Trial(room, replace(setting, level=level, delay=delay), 1000 * place + number)
        for place, (room, setting) in enumerate(ROOMS.items())
        for level in LEVELS
        for delay in DELAYS
        for number in range(plan.calls)
    ]
    clean = [
        Trial(kind, replace(setting, seconds=60.0 * plan.length), 90_000 + 1000 * place + number)
        for place, (kind, setting) in enumerate(CLEAN.items())
        for number in range(plan.minutes // plan.length)
    ]
    routed = [
        Trial(kind, replace(setting, routed=seconds), 50_000 + 1000 * place + number)
        for place, (kind, setting) in enumerate(ROUTES.items())
        for seconds in ROUTED
        for number in range(4 * plan.calls)
    ]
    with get_context("spawn").Pool() as pool:
        leaking = list(zip(trials, pool.map(searched, trials, chunksize=4), strict=True))
        copied = list(zip(routed, pool.map(searched, routed, chunksize=4), strict=True))
        without = list(zip(clean, pool.map(searched, clean, chunksize=1), strict=True))
    _show(leaking)
    return _leaks(leaking) + _routes(copied) + _alarms(without)


def searched(trial: Trial) -> tuple[Trace, ...]:
    """What is found in a call."""
    tracks = call(trial.seed, trial.setting)
    return measure(tracks.call, {"coach": tracks.coach}).traces


Done = Sequence[tuple[Trial, tuple[Trace, ...]]]


def hit(trial: Trial, traces: Sequence[Trace]) -> Trace | None:
    """The leak, where it was found."""
    for trace in traces:
        if trace.channel == "agent" and trace.delay is not None and trace.kind == "acoustic":
            near = abs(trace.delay - 1000 * trial.setting.delay) <= NEAR_MS
            return trace if near else None
    return None


def _show(done: Done) -> None:
    """Found of how many, by room and delay, and level."""
    cells: defaultdict[tuple[str, float, float | None], list[bool]] = defaultdict(list)
    for trial, traces in done:
        setting = trial.setting
        cells[trial.kind, setting.delay, setting.level].append(hit(trial, traces) is not None)
    width = max(map(len, ROOMS)) + 10
    print("leak".ljust(width), *(f"{level:>6.0f}" for level in LEVELS))
    for room in ROOMS:
        for delay in DELAYS:
            found = (cells[room, delay, level] for level in LEVELS)
            row = (f"{sum(each)}/{len(each)}".rjust(6) for each in found)
            print(f"{room}, {1000 * delay:.0f} ms".ljust(width), *row)


def _share(name: str, share: float, must: bool) -> Figure:
    """How many % were found; `must` is whether there is a goal for it."""
    if must:
        return Figure(name, round(share, 1), "%", f">= {FOUND:g} %", share >= FOUND)
    return Figure(name, round(share, 1), "%")


def _leaks(done: Done) -> list[Figure]:
    figures = []
    for room in ROOMS:
        for level in LEVELS:
            tried = [(trial, hit(trial, traces)) for trial, traces in done
                     if trial.kind == room and trial.setting.level == level]  # fmt: skip
            found = [(trial, trace) for trial, trace in tried if trace is not None]
            share = 100 * len(found) / len(tried)
            must = room == "office" and level >= THRESHOLD
            name = f"{room}, leak of {level:.0f} dB"
            figures.append(_share(f"{name}, found", share, must))
            if found:
                levels = [abs(trace.level - level) for _, trace in found if trace.level is not None]
                late = [abs(trace.delay - 1000 * trial.setting.delay) for trial, trace in found if trace.delay]
                figures += [
                    Figure(f"{name}, error of the level, p95", round(float(np.percentile(levels, 95)), 1), "dB"),
                    Figure(f"{name}, error of the delay, p95", round(float(np.percentile(late, 95)), 2), "ms"),
                ]
    return figures


def _routes(done: Done) -> list[Figure]:
    figures = []
    for kind in ROUTES:
        for seconds in ROUTED:
            tried = [traces for trial, traces in done if trial.kind == kind and trial.setting.routed == seconds]
            found = sum(any((each.channel, each.kind) == ("agent", "routing") for each in traces) for traces in tried)
            share = 100 * found / len(tried)
            name = f"{kind}, a wrong route for {seconds:.0f} s, found"
            figures.append(_share(name, share, must=seconds >= LONG_ENOUGH))
    return figures


def _alarms(done: Done) -> list[Figure]:
    figures = []
    hours = 0.0
    total = flagged = 0
    for kind in CLEAN:
        of_kind = [(trial, traces) for trial, traces in done if trial.kind == kind]
        found = [trace for _, traces in of_kind for trace in traces if trace.kind != "none"]
        hours += sum(trial.setting.seconds for trial, _ in of_kind) / 3600
        total += len(found)
        flagged += sum(trace.flagged for trace in found)
        figures.append(Figure(f"no leak, {kind}, false finds", len(found), "traces"))
    return [
        *figures,
        Figure("no leak, hours of whispering searched", round(hours, 2), "h"),
        Figure("no leak, false finds per hour", round(total / hours, 3), "1/h", "<= 0.1 1/h", total <= 0.1 * hours),
        Figure("no leak, false finds that were flagged", flagged, "traces", "0", flagged == 0),
    ]
