"""Mixes as 20 ms of PCM: for recordings, and for people who want to listen."""

from __future__ import annotations

import array
import math
import wave
import zlib
from collections.abc import Iterable
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path

from ccwhisper.simulator.media import BEEP, Mix, Piece

RATE = 8000
SAMPLES = 160


def frequency(name: str) -> int:
    """The tone of a source, in Hz: a multiple of 50, so that every frame of it is the same 160 samples."""
    return 1400 if name == BEEP else 300 + 50 * (zlib.crc32(name.encode()) % 60)


@lru_cache(maxsize=4096)
def _frame(mix: tuple[tuple[str, float], ...]) -> array.array[int]:
    samples = [0.0] * SAMPLES
    for name, level in mix:
        step = 2 * math.pi * frequency(name) / RATE
        for at in range(SAMPLES):
            samples[at] += level * math.sin(step * at)
    return array.array("h", (max(-32768, min(32767, round(each * 32767))) for each in samples))


def frame(mix: Mix) -> array.array[int]:
    """160 samples of a mix."""
    return _frame(tuple(sorted(mix.items())))


def write_wav(path: Path, channels: list[list[Mix]]) -> None:
    """One or two channels, frame by frame. Raises OSError."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(len(channels))
        file.setsampwidth(2)
        file.setframerate(RATE)
        for mixes in zip_longest(*channels, fillvalue={}):
            parts = [frame(mix) for mix in mixes]
            if len(parts) == 1:
                file.writeframesraw(parts[0].tobytes())
                continue
            both = array.array("h", bytes(4 * SAMPLES))
            for index, part in enumerate(parts):
                both[index :: len(parts)] = part
            file.writeframesraw(both.tobytes())


def per_frame(pieces: Iterable[Piece]) -> list[Mix]:
    """One mix for each frame."""
    return [piece.mix for piece in pieces for _ in range(piece.frames)]
