"""A voice for Chromium's fake microphone, and finding it again in what an agent's phone got.

The voice is made up: harmonics of a pitch that wanders, under formants that change with each syllable, and a hiss at
the start of every third. It is the same for the same seed, and never the same twice within itself, so a stretch of it
tells when it was said, as a tone does not; a codec for voices has no trouble with it, as with white noise.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.exact import likeness
from ccwhisper.proof.timeline import Float, Timeline

RATE: Final = 48_000
"""Of the microphone, in Hz."""

HEARD_RATE: Final = 8000
"""Of the agent's phone, in Hz."""

MARK_SECONDS: Final = 0.2
"""A stretch of voice that is sought: a syllable."""

STEP_SECONDS: Final = 0.213
"""From one to the next: no whole number of packets, so that they begin in every part of one."""

LONGEST_SECONDS: Final = 0.8
"""What takes longer is not found."""

FOUND: Final = 0.5
"""A stretch is recognised when its correlation with what was heard is at least this."""

_SYLLABLE: Final = 0.2
_HARMONICS: Final = 28
_LOUD: Final = 0.17  # rms of ±1.0 while it speaks: -12 dBFS, where a headset's gain control brings a voice


def voice(seed: int, seconds: float, pauses: tuple[float, float] | None = None, valley: float = 0.25) -> Float:
    """Samples in ±1.0 at RATE. `pauses`: so many seconds of speech, then so many of silence, again and again; `valley`:
    how quiet it gets between two syllables, 1 being not at all."""
    random = np.random.default_rng(seed)
    count = round(seconds * RATE)
    time = np.arange(count) / RATE
    knots = np.arange(0, seconds + 2 * _SYLLABLE, _SYLLABLE)
    pitch = np.interp(time, knots, random.uniform(95, 190, len(knots)))
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    formants = [(random.uniform(*span, len(knots)), width) for span, width in _FORMANTS]
    whole = np.zeros(count)
    for number in range(1, _HARMONICS + 1):
        hertz = number * pitch
        gain = sum(np.exp(-(((hertz - np.interp(time, knots, middle)) / width) ** 2)) for middle, width in formants)
        whole += (gain + 0.02) * np.cos(number * phase + random.uniform(0, 2 * np.pi))
    within = time / _SYLLABLE % 1
    hiss = random.normal(0, 0.5, count) * ((time // _SYLLABLE) % 3 == 0) * np.clip(1 - within * 3, 0, 1)
    whole = (whole + hiss) * (valley + (1 - valley) * np.sin(np.pi * within) ** 2)
    if pauses:
        whole *= time % sum(pauses) < pauses[0]
    spoken = whole[whole != 0]
    return np.asarray(np.clip(whole * _LOUD / np.sqrt(np.mean(spoken**2)), -1, 1))


# Between which frequencies each formant wanders, and how wide it is, in Hz.
_FORMANTS: Final = (((280.0, 750.0), 130.0), ((900.0, 2100.0), 190.0), ((2300.0, 2900.0), 260.0))


def write(samples: Float, file: Path) -> None:
    """A WAV file for `--use-file-for-fake-audio-capture`."""
    with wave.open(str(file), "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(RATE)
        sound.writeframes(np.rint(samples * 32767).astype("<i2").tobytes())


@dataclass(frozen=True)
class Spoken:
    """What a microphone heard: samples in ±1.0 at HEARD_RATE, and when each of them was spoken, in ns of
    CLOCK_MONOTONIC."""

    samples: Float
    times: Float

    @classmethod
    def of(cls, samples: Float, rate: int, ends: NDArray[np.int64], times: NDArray[np.int64]) -> Spoken:
        """From what the page recorded: `samples` at `rate`, in chunks of which the `ends[i]`-th sample came at
        `times[i]` ns. A sound card gives out a chunk when it is full, so that is when its last sample was spoken."""
        narrow, at = _narrowed(samples, rate)
        return cls(narrow, np.interp(at, ends, times))

    def index(self, moment: float) -> int:
        """The sample that was spoken at a moment, in ns."""
        return int(np.searchsorted(self.times, moment))

    def between(self, since: float, until: float) -> Spoken:
        """Spoken in [since, until) ns."""
        cut = slice(self.index(since), self.index(until))
        return Spoken(self.samples[cut], self.times[cut])


def _narrowed(samples: Float, rate: int) -> tuple[Float, Float]:
    """At HEARD_RATE, and of which sample each was made."""
    step = rate / HEARD_RATE
    taps = np.arange(-round(12 * step), round(12 * step) + 1)
    low = np.sinc(taps * 0.92 / step) * np.hamming(len(taps))  # the telephone's band: what G.711 can carry
    smooth = np.convolve(samples, low / low.sum(), mode="same")
    at = np.arange(int(len(samples) / step), dtype=np.float64) * step
    return np.interp(at, np.arange(len(smooth)), smooth), at


def narrowed(heard: Timeline) -> Timeline:
    """What an agent on a wide codec hears, at HEARD_RATE."""
    if heard.rate == HEARD_RATE:
        return heard
    samples, _ = _narrowed(heard.samples, heard.rate)
    return Timeline(samples, HEARD_RATE, heard.starts * HEARD_RATE // heard.rate, heard.times)


@dataclass(frozen=True)
class Mark:
    """A stretch of voice: when its first sample was spoken (ns), how long it took until the packet that held it was at
    the agent's phone (ms), and how much of it was as it had been (correlation, 0 to 1). Not heard: None and 0."""

    spoken: float
    late: float | None
    like: float


def marks(spoken: Spoken, heard: Timeline, quiet: float = 0.02) -> list[Mark]:
    """Stretches of MARK_SECONDS in which something was said, one after the other."""
    size, step = round(MARK_SECONDS * HEARD_RATE), round(STEP_SECONDS * HEARD_RATE)
    found = []
    for start in range(0, len(spoken.samples) - size + 1, step):
        piece = spoken.samples[start : start + size]
        if np.sqrt(np.mean(piece**2)) < quiet:
            continue
        moment = float(spoken.times[start])
        found.append(_sought(heard, moment, piece))
    return found


def starts(spoken: Spoken, heard: Timeline, quiet: float = 0.003) -> list[Mark]:
    """The first 150 ms of every phrase that follows on a silence of half a second."""
    size, pause = round(0.15 * HEARD_RATE), HEARD_RATE // 2
    loud = np.abs(spoken.samples) > quiet
    found = []
    for at in np.flatnonzero(loud):
        if at >= pause and not loud[at - pause : at].any() and at + size <= len(loud):
            found.append(_sought(heard, float(spoken.times[at]), spoken.samples[at : at + size]))
    return found


def _sought(heard: Timeline, moment: float, piece: Float) -> Mark:
    """Nothing is heard before it is said, nor later than LONGEST_SECONDS."""
    frame = int(np.searchsorted(heard.times, moment))
    begin = int(heard.starts[frame]) if frame < len(heard.starts) else len(heard.samples)
    stretch = heard.samples[begin : begin + round(LONGEST_SECONDS * HEARD_RATE) + len(piece)]
    if len(stretch) < len(piece):
        return Mark(moment, None, 0.0)
    score = likeness(stretch, piece)
    best = int(np.argmax(score))
    at = heard.time_of(begin + best)
    if at is None or score[best] < FOUND:
        return Mark(moment, None, max(0.0, float(score[best])))
    return Mark(moment, (at - moment) / 1e6, float(score[best]))


@dataclass(frozen=True)
class Edge:
    """One press or release: how long until the first packet with sound, or the last, was at the agent's phone (ms), and
    how much of what was said after the press, or before the release, never got there (ms). Less than nothing: so much
    that was said before the press, or after the release, did."""

    audible: float
    lost: float | None


"""`lost` is None when the sound at the edge was not recognised."""


AUDIBLE: Final = 10 ** (-45 / 20)
"""A packet with samples above this is heard: 33 dB below the voice."""


def _loud(heard: Timeline) -> NDArray[np.int64]:
    return np.flatnonzero(np.abs(heard.samples) > AUDIBLE)


def onset(press: int, spoken: Spoken, heard: Timeline) -> Edge | None:
    """What a press at this moment (ns) let through; `heard` begins while nothing is, and ends before the release."""
    loud = _loud(heard)
    if not len(loud):
        return None
    first = int(loud[0])
    lost = _said(spoken, heard, first, press, 1)
    return Edge(((heard.time_of(first) or press) - press) / 1e6, None if lost is None else (lost - press) / 1e6)


def tail(release: int, spoken: Spoken, heard: Timeline) -> Edge | None:
    """What was heard after a release at this moment (ns); `heard` begins before it, and ends while nothing is."""
    loud = _loud(heard)
    if not len(loud):
        return None
    last = int(loud[-1])
    lost = _said(spoken, heard, last, release, -1)
    return Edge(((heard.time_of(last) or release) - release) / 1e6, None if lost is None else (release - lost) / 1e6)


def _said(spoken: Spoken, heard: Timeline, at: int, around: int, way: int) -> float | None:
    """When the sample `at` of what was heard was spoken, by the 150 ms that follow it (`way` 1) or precede it (-1)."""
    size = round(0.15 * HEARD_RATE)
    begin = at if way > 0 else at - size + 1
    piece = heard.samples[max(0, begin) : begin + size]
    near = spoken.between(around - 600e6, around + 600e6)
    if begin < 0 or len(piece) < size or len(near.samples) < size:
        return None
    score = likeness(near.samples, piece)
    best = int(np.argmax(score))
    if score[best] < FOUND:
        return None
    return float(near.times[min(best + at - begin, len(near.times) - 1)])
