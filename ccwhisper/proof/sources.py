"""What a synthetic phone can say: stretches of int16 samples, looped or not, computed once and cut into frames.

Levels are in dBFS where 0 is the power of a full-scale sine: a tone at -16 has an amplitude of 32768 · 10^(-16/20), and
noise at -16 has the same power as that tone.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.codecs import Codec, Pcm

FULL_SCALE = 32768.0


class Source(Hashable, Protocol):
    """Anything hashable that can give its samples at a rate."""

    @property
    def loop(self) -> bool:
        """Whether the samples start again at their end; otherwise silence follows."""

    def pcm(self, rate: int) -> Pcm:
        """All samples at `rate` Hz."""


@dataclass(frozen=True)
class Tone:
    """A sine of `freq` Hz. The loop is seamless when `freq` · `seconds` is a whole number."""

    freq: float
    level_dbfs: float = -16.0
    seconds: float = 10.0
    loop: bool = True

    def pcm(self, rate: int) -> Pcm:
        """All samples at `rate` Hz."""
        n = np.arange(round(self.seconds * rate))
        wave = FULL_SCALE * 10 ** (self.level_dbfs / 20) * np.sin(2 * np.pi * self.freq * n / rate)
        return _int16(wave)


@dataclass(frozen=True)
class Noise:
    """White noise, the same for the same seed. No 20 ms frame occurs twice within `seconds`."""

    seed: int
    level_dbfs: float = -16.0
    seconds: float = 60.0
    loop: bool = True

    def pcm(self, rate: int) -> Pcm:
        """All samples at `rate` Hz."""
        return _int16(_white(self.seed, round(self.seconds * rate), self.level_dbfs))


@dataclass(frozen=True)
class Silence:
    """Digital silence: every sample is zero (in A-law, which has no zero, the smallest value)."""

    loop: bool = True

    def pcm(self, rate: int) -> Pcm:
        """All samples at `rate` Hz."""
        return np.zeros(rate // 50, dtype=np.int16)


@dataclass(frozen=True)
class Bursts:
    """Short bursts of noise, each different, with silence between them: marks for measuring latency.

    Each burst starts at the start of a frame, so its first sample and its packet leave together.
    """

    seed: int
    every: float = 0.5
    length: float = 0.06
    level_dbfs: float = -10.0
    seconds: float = 60.0
    loop: bool = True

    def pcm(self, rate: int) -> Pcm:
        """All samples at `rate` Hz."""
        frame = rate // 50
        period, length = round(self.every * 50) * frame, round(self.length * 50) * frame
        count = max(1, round(self.seconds * rate) // period)
        wave = np.zeros((count, period))
        wave[:, period - length :] = _white(self.seed, count * length, self.level_dbfs).reshape(count, length)
        return _int16(wave.ravel())


@dataclass(frozen=True, eq=False)
class Samples:
    """Given samples, int16, that are played as they are at whatever rate the codec has."""

    array: Pcm
    loop: bool = False

    def pcm(self, rate: int) -> Pcm:  # noqa: ARG002 - the rate is the giver's business
        """All samples."""
        return np.asarray(self.array, dtype=np.int16)


@lru_cache(maxsize=512)
def frames_of(source: Source, codec: Codec) -> tuple[bytes, ...]:
    """The payloads of a source in a codec, 20 ms each; a last incomplete frame is filled up with silence."""
    size = codec.frame_samples
    pcm = source.pcm(codec.rate)
    if not len(pcm):
        raise ValueError("a source needs at least one sample")
    pcm = np.concatenate([pcm, np.zeros(-len(pcm) % size, dtype=np.int16)])
    # A codec that remembers has heard the end of a loop before its start; without that each turn begins with a click.
    before = pcm[-codec.rate :] if source.loop else pcm[:0]
    wire = codec.encode(np.concatenate([before, pcm]))
    width = len(wire) * size // (len(before) + len(pcm))
    return tuple(wire[at : at + width] for at in range(len(before) // size * width, len(wire), width))


def _white(seed: int, count: int, level_dbfs: float) -> NDArray[np.float64]:
    # Evenly distributed samples: peak = rms · sqrt(3), so that nothing clips up to -5 dBFS.
    peak = FULL_SCALE * 10 ** (level_dbfs / 20) / np.sqrt(2) * np.sqrt(3)
    return np.random.default_rng(seed).uniform(-peak, peak, count)


def _int16(wave: NDArray[np.float64]) -> Pcm:
    samples: Pcm = np.clip(np.rint(wave), -32768, 32767).astype(np.int16)
    return samples
