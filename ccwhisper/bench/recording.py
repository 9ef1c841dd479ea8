"""What recording costs.

1. The worker, on raw tracks that are made up, of a minute, an hour and eight hours, of which a coach whispers a fifth:
   seconds of CPU for each hour, the peak of its memory, the size of the file. As the service runs it: a process, bleed
   measured, the file verified.
2. Fifty calls recorded at once on a private FreeSWITCH, each with a coach who whispers and has a track of his own:
   whether the callers of two more, on which coaches come and go, get every frame of their agents', and how long it
   takes until all files are there.

About seven minutes and 1.5 GB of disk for the while; with CCW_BENCH_QUICK=1 one and a half, with numbers too few to be
figures.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ccwhisper.bench import Figure
from ccwhisper.bench._crowd import Crowd, configuration, copy_configuration, populate
from ccwhisper.bench._leak import RATE, Setting, call
from ccwhisper.bench._process import cpu_seconds
from ccwhisper.coaching.policy import REVIEW
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.sources import Noise
from ccwhisper.proof.stage import Scene, Stage
from ccwhisper.recording import journal as log
from ccwhisper.recording.bleed import THRESHOLD

ID: Final = "0e7f6c1e-6f0c-5a5e-8f3d-6b1d1a0c7d52"
WHISPERS: Final = 0.2
"""How much of each minute the coach whispers."""

FLAT_MIB: Final = 32.0
"""By how much the peak of memory may differ between the shortest call and the longest."""

EACH: Final = 10.0
"""Seconds that a coach stays on the calls that are measured."""

RECORDED: Final = '[queue.default]\nrecord = true\nrecord_whisper = "separate"\n'


@dataclass(frozen=True)
class Plan:
    """How long the made-up calls are (minutes), how many real ones are recorded at once, and for how long those that
    are measured are (s)."""

    minutes: tuple[int, ...] = (1, 60, 480)
    calls: int = 50
    measured: float = 60.0


QUICK: Final = Plan((1, 5), calls=4, measured=20.0)


def run() -> list[Figure]:
    """All of it. Raises NodeError without a FreeSWITCH."""
    plan = QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()
    return worker(plan) + at_once(plan)


def say(what: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", flush=True)


# --- the worker ----------------------------------------------------------------------------------------------------


def worker(plan: Plan) -> list[Figure]:
    """What the worker's process needs."""
    figures: list[Figure] = []
    peaks = []
    for minutes in plan.minutes:
        say(f"the file of a call of {minutes} min")
        with tempfile.TemporaryDirectory(prefix="ccwhisper-bench-") as name:
            folder = Path(name)
            taped(folder, minutes)
            used = made(folder)
        hours, title = minutes / 60, _length(minutes)
        peaks.append(used.peak_mib)
        if minutes > 1:  # of a minute most is Python's start
            figures += [
                Figure(f"{title}, CPU for an hour of call", round(used.cpu / hours, 1), "s"),
                Figure(f"{title}, done in", round(used.seconds, 1), "s"),
                Figure(f"{title}, size of the file for an hour", round(used.size / 1e6 / hours, 1), "MB"),
            ]
        figures.append(Figure(f"{title}, peak of memory", round(used.peak_mib, 1), "MiB"))
    grown = max(peaks) - peaks[0]
    figures.append(
        Figure("peak of memory, how much more for the longest call", round(grown, 1), "MiB", f"<= {FLAT_MIB:g} MiB",
               grown <= FLAT_MIB)
    )  # fmt: skip
    return figures


def _length(minutes: int) -> str:
    return f"call of {minutes // 60} h" if minutes >= 60 else f"call of {minutes} min"


def taped(folder: Path, minutes: int) -> None:
    """Raw tracks and journal of a call: the same minute, again and again."""
    minute = call(1, Setting(seconds=60.0, level=-50.0, share=WHISPERS))
    at = 1_800_000_000.0
    end = at + 60.0 * minutes
    whole, coach = f"{ID}-call.wav", f"{ID}-carla.wav"
    lines: list[log.Line] = [
        log.Start(at, ID, "fs1", "leg", whole, None, "inbound", "+4930123", "Caller", "separate"),
        log.Begun(at, whole),
        log.Party(at, "1001", "Agent", "call"),
        log.Coach(at, "carla", "carla", "Carla", coach),
        log.Begun(at, coach),
    ]
    for number in range(minutes):
        begin = at + 60.0 * number
        lines += [
            log.Mode(begin, "carla", "whisper"),
            log.Gate(begin, "carla", "agent"),
            log.Mode(begin + 60 * WHISPERS, "carla", "listen"),
            log.Gate(begin + 60 * WHISPERS, "carla", "closed"),
        ]
    lines += [log.Left(end, "carla", "left"), log.Ended(end, coach), log.Ended(end, whole), log.Stop(end, "call_ended")]
    for name in ("raw", "archive"):
        (folder / name).mkdir()
    (folder / f"{ID}.jsonl").write_bytes(b"".join(map(log.encoded, lines)))
    _wav(folder / "raw" / whole, minute.call, minutes)
    _wav(folder / "raw" / coach, minute.coach.reshape(-1, 1), minutes)


def _wav(path: Path, samples: NDArray[np.float32], times: int) -> None:
    block = np.rint(samples * 32767).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(RATE)
        for _ in range(times):
            file.writeframes(block)


@dataclass(frozen=True)
class Used:
    """What a process needed: seconds, of which `cpu` on a processor, memory; and the size of what it made."""

    seconds: float
    cpu: float
    peak_mib: float
    size: int


def made(folder: Path) -> Used:
    """Run the worker as the service does."""
    (folder / "archive").mkdir(exist_ok=True)
    job = {
        "do": "make", "raws": [str(folder / "raw")], "access": {}, "archive": str(folder / "archive"),
        "journal": str(folder / f"{ID}.jsonl"), "recording": ID, "room": str(folder / "room"),
        "wish": {"threshold": THRESHOLD},
    }  # fmt: skip
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "ccwhisper.recording.work"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process.stdin as asked:
        asked.write(json.dumps(job).encode())
    with process.stdout as told:
        outcome = json.loads(told.read())
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if not outcome["ok"]:
        raise RuntimeError(f"the file was not made: {outcome['text']} ({outcome['code']})")
    return Used(
        time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, outcome["result"]["size"]
    )


# --- many at once --------------------------------------------------------------------------------------------------


def at_once(plan: Plan) -> list[Figure]:
    """Real calls."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ccwhisper-bench-")))
        node = PrivateNode(conf=copy_configuration(directory / "conf"))
        populate(node, plan.calls)
        switch = stack.enter_context(node).pid
        stage = stack.enter_context(Stage(node, RECORDED + configuration(node.domain, plan.calls)))
        crowd = stack.enter_context(Crowd(node, stage.service, plan.calls))
        say(f"{plan.calls} recorded calls, and two that are measured")
        crowd.be(plan.calls)
        scenes = [stage.call("1001", agent_source=Noise(11)), stage.call("1002", agent_source=Noise(12))]
        for scene in scenes:
            scene.caller.wait_received(50)
        since = [scene.caller.mark() for scene in scenes]
        process = stage.service.process
        assert process is not None
        before, began = (cpu_seconds(switch), cpu_seconds(process.pid)), time.monotonic()
        _coached(stage, scenes, plan.measured)
        used = cpu_seconds(switch) - before[0], cpu_seconds(process.pid) - before[1]
        elapsed = time.monotonic() - began
        recorded = sum(view["recording"] is not None and not view["recording"]["failed"] for view in stage.calls())
        reports = [stage.frames(scene, at) for scene, at in zip(scenes, since, strict=True)]
        for scene in scenes:
            scene.hang_up()
        counts = crowd.be(0)
        say("their files")
        ended = time.monotonic()
        states = _states(stage, plan.calls + 2)
        drained = time.monotonic() - ended
    lost = sum(each.missing for each in reports)
    wrong = sum(each.foreign + each.reordered + each.repeated for each in reports)
    ready = states.get("ready", 0)
    wanted = plan.calls + 2
    title = f"{wanted} recorded calls"
    return [
        Figure(f"{title}, recorded at once", recorded, "calls", f">= {wanted}", recorded >= wanted),
        Figure(f"{title}, frames that two callers got", sum(each.matched for each in reports), "frames"),
        Figure(f"{title}, of their agents' frames lost", lost, "frames", "0", lost == 0),
        Figure(f"{title}, frames that are none of their agents'", wrong, "frames", "0", wrong == 0),
        Figure(f"{title}, packets lost on the way to the load's phones", counts["lost"], "packets"),
        Figure(f"{title}, switch, CPU", round(100 * used[0] / elapsed, 1), "% of a core"),
        Figure(f"{title}, service, CPU", round(100 * used[1] / elapsed, 1), "% of a core"),
        Figure(f"{title}, files made", ready, "files", f"{wanted}", ready == wanted),
        Figure(f"{title}, seconds until all files were there", round(drained, 1), "s"),
        Figure("measuring phones, packets more than 10 ms late", stage.bank.stumbles, "packets"),
    ]


def _coached(stage: Stage, scenes: Sequence[Scene], seconds: float) -> None:
    """Coaches come, whisper and go, on both calls, again and again."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        coaches = [stage.coach(name, scene) for name, scene in zip(("carla", "dora"), scenes, strict=True)]
        for coach in coaches:
            coach.mode("whisper")
        wait = min(EACH, max(end - time.monotonic(), 1.0))
        scenes[0].caller.wait_time(scenes[0].caller.mark() + int(wait * 1e9))
        for coach in coaches:
            coach.leave()
            coach.api.close()


def _states(stage: Stage, wanted: int) -> dict[str, int]:
    """How many recordings are in which state, once nothing more is to be done."""
    api = stage.service.api("reviewer", permissions=[REVIEW])
    deadline = time.monotonic() + 300
    while True:
        rows: list[dict[str, Any]] = api.ask("GET", "/recordings", limit=200)["recordings"]
        states: dict[str, int] = {}
        for row in rows:
            states[row["state"]] = states.get(row["state"], 0) + 1
        if states.get("ready", 0) + states.get("failed", 0) >= wanted or time.monotonic() > deadline:
            api.close()
            return states
        time.sleep(0.5)
