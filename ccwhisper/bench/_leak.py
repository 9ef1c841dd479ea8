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


def at_level(part: Float, whole: Float, level: float) -> Float:
    """`part` made so loud that its energy is `level` dB below that of `whole`."""
    energy = float(np.sum(part**2))
    return part * np.sqrt(np.sum(whole**2) * 10 ** (level / 10) / energy) if energy else part


@dataclass(frozen=True)
class Setting:
    """A call. `level` of the leak is in dB below the coach's voice (None: no leak), `delay` in s, `noise` of the
    agent's room in dBFS; `pause` is how long the agent is silent between two phrases (s); the coach whispers for the
    first `share` of the call. For `routed` s of that, from a word of his on, a wrong route lets the caller hear him.

    What makes it harder: `line`, the caller's phone gives back what he hears (dB); `held`, music on hold in the middle;
    `crosstalk`, the headsets of coach and agent give back everybody whom they play (dB), the coach to the coach only;
    `again`, the agent says nothing but what the coach says, so many seconds later, and a semitone higher.
    """

    seconds: float = 60.0
    level: float | None = None
    delay: float = 0.15
    noise: float = -60.0
    pause: float = 2.0
    share: float = 1.0
    routed: float | None = None
    line: float | None = None
    held: bool = False
    crosstalk: float | None = None
    again: float | None = None


@dataclass(frozen=True)
class Call:
    """The tracks of a call, at RATE: the caller and what he hears (n, 2), and the coach (n,)."""

    call: NDArray[np.float32]
    coach: NDArray[np.float32]


def call(seed: int, setting: Setting) -> Call:
    """The tracks that a switch would write of it."""
    random = np.random.default_rng(seed)
    seconds, count = setting.seconds, round(setting.seconds * RATE)
    says = voice(random, seconds, random.uniform(-26, -18))
    says[round(setting.share * count) :] = 0
    spoken = voice(random, seconds, random.uniform(-24, -18), setting.pause)
    if setting.again is not None:
        spoken = said_again(says, setting.again)
    agent = spoken + noise(random, count, setting.noise)
    caller = voice(random, seconds, random.uniform(-26, -18), 3.0) + noise(random, count, -62)
    if setting.crosstalk is not None:  # what everybody says is in the coach's headset, the caller in the agent's
        far = agent + caller
        says = says + at_level(echo(far, headset(random, random.uniform(0.08, 0.2))), far, setting.crosstalk)
        agent = agent + at_level(echo(caller, headset(random, random.uniform(0.05, 0.15))), caller, setting.crosstalk)
    coach = coded(says + noise(random, count, -66))
    if setting.level is not None:
        heard = coach.astype(np.float64)
        agent = agent + at_level(echo(heard, headset(random, setting.delay)), heard, setting.level)
    if setting.routed is not None:
        length = round(setting.routed * RATE)
        starts = np.flatnonzero(np.abs(says[: round(setting.share * count) - length]) > 0.05)
        first = int(random.choice(starts))
        agent[first : first + length] += np.roll(coach, RATE // 50)[first : first + length]
    right = coded(agent)
    if setting.held:
        right[count // 3 : count // 2] = coded(music(random, count // 2 - count // 3))
    if setting.line is not None:
        back = right.astype(np.float64)
        caller = caller + at_level(echo(back, headset(random, random.uniform(0.02, 0.3))), back, setting.line)
    return Call(np.stack([coded(caller), right], axis=1), coach)


def said_again(says: Float, later: float) -> Float:
    """The same words at the same pace, in a voice that is a semitone higher; `later` is in s."""
    at = np.arange(len(says))
    return np.interp(at + 0.06 * (at % RATE) - later * RATE, at, says, left=0.0, right=0.0)


def music(random: Random, count: int) -> Float:
    """Chords, four a second."""
    time = np.arange(count) / RATE
    whole = np.zeros(count)
    beats = int(count / RATE * 4) + 1
    for ratio in (1.0, 1.25, 1.5, 2.0):
        notes = 220 * 2 ** (random.integers(0, 12, beats) / 12) * ratio
        whole += np.sin(2 * np.pi * np.cumsum(notes[(time * 4).astype(int)]) / RATE)
    return whole * (0.4 + 0.6 * np.exp(-(time * 4 % 1) * 3)) * 0.04
