"""A record as a proof leaves it, for what is made from one. `leaky` holds a finding of each gravity."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ccwhisper.prove.record import Look, Record
from ccwhisper.prove.script import STEP_S

QUIET = {"caller": {"agent": -16.0, "coach": -98.7}, "agent": {"caller": -16.1, "coach": -85.2}}


def sample(leaky: bool = False) -> Record:
    """Two looks, a check with figures, a course."""
    record = Record()
    record.about = {
        "ccwhisper": "0.1.0",
        "began": "2026-11-21T11:04:58+00:00",
        "switch": {"version": "1.11.3", "host": "127.0.0.1", "private": False},
        "call": {
            "number": "5000", "caller": "+4930123", "agent": "1001", "coach": "9001",
            "codecs": {"caller": "PCMU/8000", "agent": "PCMU/8000"},
        },
        "seconds": 24.7,
    }  # fmt: skip
    wanted = {"caller": ["agent"], "agent": ["caller"]}
    record.looks = [
        Look("talk", "caller and agent talk, nobody coaches", {**QUIET}, wanted),
        Look("whisper", "the agent hears the coach, the caller does not", {**QUIET}, {**wanted, "agent": ["coach"]}),
    ]
    if leaky:
        record.looks[1].levels = {**QUIET, "caller": {"agent": -16.0, "coach": -16.3}}
        record.looks[1].faults.append("caller hears coach at -16.3 dBFS, must not (limit -80)")
        record.find("leak.caller-hears-coach", "whisper", "caller hears carla at -16.3 dBFS <must not>")
        record.find("frames.lost", "speech", "12 of 400 frames of 20 ms")
        record.find("jitter-buffer.missing", "call", "not set")
    record.check(
        "whisper", "Whisper and beep", "the agent alone hears both", 0, beep_dbfs={"agent": -16.2}, late_ms=None
    )
    seconds = 12.3
    points = int(seconds / STEP_S)
    steps = ["talk", "attach", "listen", "whisper", "listen again", "barge", "back", "muted", "keypad", "hold", "leave"]
    record.course = {
        "step_s": STEP_S,
        "seconds": seconds,
        "marks": [{"at": round(index * seconds / len(steps), 2), "step": step} for index, step in enumerate(steps)],
        "levels_dbfs": {
            who: {name: [-16.0 if name != "coach" else -95.0] * points for name in ("caller", "agent", "coach", "beep")}
            for who in ("caller", "agent", "coach")
        },
    }
    return record


def pictures() -> dict[str, NDArray[np.float64]]:
    """A spectrogram that has every shade."""
    return {who: np.tile(np.linspace(-120, 0, 128)[:, None], (1, 300)) for who in ("caller", "agent", "coach")}
