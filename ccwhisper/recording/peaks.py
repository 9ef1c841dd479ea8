"""What a waveform is drawn from: for each channel of each track how loud it is, 20 values a second.

The file: a line of JSON, `{"version": 1, "interval": 0.05, "floor": -80, "count": n, "channels": [{"track": 0,
"channel": 0}, …]}`, then for each of these channels `count` bytes. A byte is the highest sample of its interval in dB
below full scale, from 0 (`floor` or less) to 255 (full scale) in even steps: dB = floor * (1 - byte / 255).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ccwhisper.recording.raw import Samples
from ccwhisper.recording.result import Track

INTERVAL: Final = 0.05
FLOOR: Final = -80.0


class Peaks:
    """Takes the tracks in blocks that are whole intervals, the last one excepted."""

    def __init__(self, tracks: Sequence[Track], rate: int) -> None:
        self._size = round(INTERVAL * rate)
        self._names = [(track.index, channel) for track in tracks for channel in range(track.channels)]
        self._values = [bytearray() for _ in self._names]

    def add(self, blocks: Sequence[Samples]) -> None:
        """The next block of each track."""
        channels = (block[:, channel] for block in blocks for channel in range(block.shape[1]))
        for values, samples in zip(self._values, channels, strict=True):
            values.extend(_values(samples, self._size))

    def write(self, path: Path) -> None:
        """Raises OSError."""
        head = {
            "version": 1,
            "interval": INTERVAL,
            "floor": FLOOR,
            "count": len(self._values[0]),
            "channels": [{"track": track, "channel": channel} for track, channel in self._names],
        }
        path.write_bytes(json.dumps(head).encode() + b"\n" + b"".join(self._values))


def _values(samples: Samples, size: int) -> bytes:
    rest = -len(samples) % size
    loud = np.pad(np.abs(samples.astype(np.int32)), (0, rest)).reshape(-1, size).max(axis=1)
    decibels = 20 * np.log10(np.maximum(loud, 1) / 32768)
    return bytes(np.clip(np.rint(255 * (1 - decibels / FLOOR)), 0, 255).astype(np.uint8))
