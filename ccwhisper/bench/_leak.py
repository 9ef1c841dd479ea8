"""Calls with a known leak: voices that are made up, a headset that gives back some of what it plays, lines and codecs.

A voice is bursts of voiced and unvoiced sound under formants that change with every syllable, in phrases with pauses.
The same seed gives the same call.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.codecs import PCMU
from ccwhisper.proof.timeline import Float

RATE: Final = 8000

Random = np.random.Generator


def voice(random: Random, seconds: float, level: float, pause: float = 1.0) -> Float:
    """Speech-like sound: `level` is the rms of the phrases in dBFS of ±1.0, `pause` the mean pause between them (s)."""
    count = round(seconds * RATE)
    said = np.zeros(count + RATE)
    spoken = np.zeros(count + RATE, bool)
    at = int(random.uniform(0, 0.5) * RATE)
    pitch = random.uniform(90, 220)
    while at < count:
        for _ in range(int(random.integers(4, 14))):
            length = int(random.uniform(0.09, 0.26) * RATE)
            if at + length > len(said):
                break
            said[at : at + length] += _syllable(random, length, pitch * random.uniform(0.8, 1.25))
            spoken[at : at + length] = True
            at += int(length * random.uniform(0.85, 1.1))
        at += int(random.exponential(pause) * RATE) + RATE // 10
    said, spoken = said[:count], spoken[:count]
    rms = float(np.sqrt(np.mean(said[spoken] ** 2))) if spoken.any() else 1.0
    return np.clip(said * 10 ** (level / 20) / rms, -0.99, 0.99)


def _syllable(random: Random, length: int, pitch: float) -> Float:
    envelope = np.hanning(length) ** 0.6 * random.uniform(0.4, 1.0)
    if random.random() < 0.25:  # a fricative: hiss, mostly above 2 kHz
        source = random.normal(0, 0.35, length)
        middles, widths = [random.uniform(2000, 3200)], [700.0]
    else:
        phase = np.cumsum(np.full(length, pitch) * np.linspace(1, random.uniform(0.8, 1.2), length)) / RATE
        source = np.diff(np.floor(phase), prepend=0.0) * 8 + random.normal(0, 0.05, length)
        middles = [random.uniform(250, 800), random.uniform(900, 2300), random.uniform(2300, 3100)]
        widths = [60.0, 110.0, 160.0]
    hertz = np.fft.rfftfreq(2 * length, 1 / RATE)
    gain = sum(1 / (1 + ((hertz - middle) / width) ** 2) for middle, width in zip(middles, widths, strict=True))
    gain = gain * (hertz > 150) * np.minimum(1.0, (300 / np.maximum(hertz, 300)) ** 0.5)
    return np.asarray(np.fft.irfft(np.fft.rfft(source, 2 * length) * gain)[:length] * envelope)


def headset(random: Random, delay: float) -> Float:
    """How a microphone answers its earpiece: `delay` s late, strongest at the beginning, a few milliseconds long, and
    with little below 300 and above 3000 Hz."""
    first = delay * RATE
    count = int(first) + 200
    time = (np.arange(count) - first) / RATE
    answer = np.where(time >= 0, random.normal(0, 1, count) * np.exp(-time / random.uniform(0.0005, 0.003)), 0.0)
    hertz = np.fft.rfftfreq(2 * count, 1 / RATE)
    low, high = random.uniform(150, 500), random.uniform(2800, 3600)
    gain = 1 / np.sqrt((1 + (low / np.maximum(hertz, 1)) ** 4) * (1 + (hertz / high) ** 8))
    return np.asarray(np.fft.irfft(np.fft.rfft(answer, 2 * count) * gain)[:count])


def noise(random: Random, count: int, level: float) -> Float:
    """Of an office: pink above 100 Hz, `level` in dBFS (rms of ±1.0)."""
    spectrum = np.fft.rfft(random.normal(0, 1, count))
    hertz = np.maximum(np.fft.rfftfreq(count, 1 / RATE), 100.0)
    pink = np.fft.irfft(spectrum / np.sqrt(hertz), count)
    return np.asarray(pink * 10 ** (level / 20) / np.sqrt(np.mean(pink**2)))


def echo(sound: Float, answer: Float) -> Float:
    """What comes back of a sound."""
    size = 1 << int(np.ceil(np.log2(len(sound) + len(answer))))
    return np.asarray(np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(answer, size), size)[: len(sound)])


def coded(sound: Float) -> NDArray[np.float32]:
    """Through G.711 µ-law and back."""
    pcm = np.clip(np.rint(sound * 32768), -32768, 32767).astype(np.int16)
    return (PCMU.decode(PCMU.encode(pcm)) / 32768.0).astype(np.float32)


@dataclass(frozen=True)
class Call:
    """The tracks of a call, at RATE: the caller and what he hears (n, 2), and the coach (n,)."""

    call: NDArray[np.float32]
    coach: NDArray[np.float32]


def at_level(part: Float, whole: Float, level: float) -> Float:
    """`part` made so loud that its energy is `level` dB below that of `whole`."""
    energy = float(np.sum(part**2))
    return part * np.sqrt(np.sum(whole**2) * 10 ** (level / 10) / energy) if energy else part
