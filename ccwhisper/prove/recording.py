"""Is a recording clean? The one that the proof makes of the caller's leg, and those that the dialplan makes."""

from __future__ import annotations

import contextlib
import secrets
import wave
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from ccwhisper.proof.scene import BEEP, SILENT, TONES, NotAsExpected, wait_until
from ccwhisper.proof.timeline import Float
from ccwhisper.proof.tones import level_dbfs
from ccwhisper.prove.calls import COACH
from ccwhisper.prove.own import OwnLegs

RECORDER: Final = "session_record"
"""What the switch calls the media bug of a recording."""

_WINDOW, _STEP = 0.1, 0.05
_TONES: Final = {name: TONES[name] for name in ("caller", "agent", COACH)} | {"beep": BEEP}


@dataclass(frozen=True, slots=True)
class Heard:
    """What a recording holds: the loudest tenth of a second of each tone in any track, in dBFS, and for how many
    seconds each is there. `tracks` is the same track by track."""

    loudest: Mapping[str, float]
    seconds: Mapping[str, float]
    tracks: tuple[Mapping[str, float], ...]


def read(path: Path, seconds: float | None = None) -> Heard:
    """Its first `seconds`, or all. Raises OSError, EOFError or wave.Error when it cannot be read here, or is empty."""
    with contextlib.closing(wave.open(str(path), "rb")) as file:
        rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
        content = file.readframes(file.getnframes() if seconds is None else int(seconds * rate))
    if width != 2 or not content:
        raise wave.Error("not 16 bits, or empty")
    samples = np.frombuffer(content, dtype="<i2").astype(np.float64) / 32768
    tracks = samples[: len(samples) // channels * channels].reshape(-1, channels).T
    levels = [{name: _levels(track, freq, rate) for name, freq in _TONES.items()} for track in tracks]
    loudest = {name: max(max(track[name], default=-120.0) for track in levels) for name in _TONES}
    there = {name: _STEP * max(sum(level > SILENT for level in track[name]) for track in levels) for name in _TONES}
    return Heard(loudest, there, tuple({name: max(track[name], default=-120.0) for name in _TONES} for track in levels))


def when_readable(path: Path, seconds: float | None = None) -> Heard:
    """As `read`, when the switch has closed it. Raises NotAsExpected when it cannot be read here."""
    found: list[Heard] = []

    def readable() -> bool:
        with contextlib.suppress(OSError, EOFError, wave.Error):
            found.append(read(path, seconds))
        return bool(found)

    wait_until(f"{path} can be read here", readable)
    return found[0]


def _levels(track: Float, freq: float, rate: int) -> list[float]:
    size, step = int(_WINDOW * rate), int(_STEP * rate)
    return [level_dbfs(track[at : at + size], freq, rate) for at in range(0, len(track) - size + 1, step)]


class CallRecording:
    """A stereo recording of the caller's leg, made for the proof. `folder` is the switch's."""

    def __init__(self, own: OwnLegs, leg: str, folder: str) -> None:
        self._own, self._leg = own, leg
        self.path = Path(folder) / f"ccwhisper-prove-{secrets.token_hex(6)}.wav"

    def start(self) -> None:
        """Raises NotAsExpected when the switch refuses."""
        self._own.tell("uuid_setvar", self._leg, "RECORD_STEREO", "true")
        answer = self._own.tell("uuid_record", self._leg, "start", str(self.path))
        if not answer.startswith("+OK"):
            raise NotAsExpected(f"the switch does not record: {answer.strip()}")

    def stop(self) -> Heard:
        """End it and read it. Raises NotAsExpected when it cannot be read here."""
        self._own.tell("uuid_record", self._leg, "stop", str(self.path))
        return when_readable(self.path)
