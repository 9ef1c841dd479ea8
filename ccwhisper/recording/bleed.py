"""The coach's voice where the caller may hear it: sought in the call track by what the coach is known to have said.

Two ways lead there. By routing: a copy of his track, which must not be. And by the air: out of a loud headset into the
agent's microphone, which no routing stops. That echo is 20 to 60 dB below the voice, comes tens or hundreds of
milliseconds later, coloured by the headset, and lies under the agent's own speech, noise and the codec's. Neither ears
nor a meter of levels find it in a recording; but its waveform is known.

The model: y(t) = Σ h(k) x(t - d - k) + n(t), with x the coach, y a channel of the call, h the short answer of headset
and room, n all else. n is far louder than the echo and changes with each syllable of the agent's, so every bin of the
short-time spectrum of y counts as much as it is quiet: with the weights 1/E|Y|², those of the likelihood for a weak
signal in noise of known spectrum (Knapp and Carter, "The generalized correlation method for estimation of time delay",
1976). What the weighted y has in common with x at a lag grows with the seconds of whispering, chance with their root.

An echo comes after what it is the echo of. So the lags at which x would follow y tell what chance, the pitch of voices
and the coach's own headset (which plays him the agent) do to the same sum on the same recording, and a peak counts when
it stands well above those. At the peak h is solved for by least squares, and its energy less what noise has put into it
is the level.

Works through blocks as they come; memory depends on nothing but the number of coaches, and blocks in which a coach is
silent cost next to nothing. numpy, no I/O: for the worker's process.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from ccwhisper.recording.result import Bleed, Span, Trace

RATE: Final = 8000
"""Of every track that is measured, in Hz."""

THRESHOLD: Final = -45.0
"""dB: from here on a trace is flagged. What keeps to ITU-T P.310 gives back at least 45 dB less than it gets."""

Float = NDArray[np.float64]
Channel = Literal["caller", "agent"]
CHANNELS: Final[Mapping[Channel, int]] = {"caller": 0, "agent": 1}

_BLOCK: Final = 8192  # 1.024 s of the coach, correlated with the second before, the same, and the one after
_LONG: Final = 4 * _BLOCK
_FRAME: Final = 512
_HOP: Final = _FRAME // 2
_WINDOW: Final = np.sqrt(np.hanning(_FRAME + 1)[:-1])  # twice, it adds up to one
_FLOOR: Final = _FRAME / 2 * (10 ** (-70 / 20)) ** 2  # E|Y|² of noise: what is quieter counts no more than this
_NOTHING: Final = _FRAME / 2 * (10 ** (-86 / 20)) ** 2  # less than the smallest step of G.711: no microphone is open
_QUIET: Final = 10 ** (-30 / 10)  # of the coach's loudest: below that he does not speak
_SILENT: Final = (10 ** (-65 / 20)) ** 2
_TILT: Final = 0.25  # halfway between the sum as it is and a white one, whose peak is sharper and whose noise is more
_SPARSE: Final = 0.05
_BINS: Final = np.fft.rfftfreq(_FRAME, 1 / RATE)
_FINE: Final = np.fft.rfftfreq(_LONG, 1 / RATE)
_IN_BAND: Final = (_FINE > 200) & (_FINE < 3600)

_ECHO: Final = np.arange(round(0.010 * RATE), round(0.600 * RATE))  # lags of an echo
_COPY: Final = np.arange(-round(0.045 * RATE), _ECHO[0])  # those of a copy besides: tracks may be two frames apart
_CONTROL: Final = np.arange(-round(0.650 * RATE), -round(0.060 * RATE))  # lags that no echo has
_STEP: Final = 64
_LAGS: Final = np.concatenate([np.arange(-21 * _HOP, -2 * _HOP, _HOP), np.arange(-2 * _HOP, 19 * _HOP + 1, _STEP)])
_PHASES: Final = range(0, _HOP, _STEP)
_BEFORE, _TAPS = 16, 96  # of h: 2 ms before the peak, 10 ms after
_MOMENTS: Final = (1, 4, 16)  # blocks with speech that make a moment, and longer ones
_LOUDER: Final = 6.0  # dB: a moment that is so much louder than the whole speaks for itself
_MARGIN: Final = 0.25  # s: a gate's times are a switch's events'

_ENOUGH: Final = ((3, 25.0), (15, 12.0), (sys.maxsize, 6.0))
"""How far a peak must stand above chance, in its standard deviations, in so many blocks: the fewer, the less is chance
what it is in many. `scripts/bench bleed` says how often it is passed by chance."""
_COPY_ENOUGH: Final = 8.0  # the same for a copy in a single block: chance has neither its level nor its shape
_COPY_LEVEL: Final = -12.0  # dB: no headset is as loud as a copy
_COPY_FLAT: Final = 0.9  # so much of its energy is a single moment's: 0.97 of a copy, of an echo at most 0.88


@dataclass(frozen=True, slots=True)
class Voice:
    """A coach to look for. `excused` are the spans (s) in which the caller was to hear him."""

    session: str
    excused: tuple[Span, ...] = ()


@dataclass
class _Sum:
    """What a stretch of whispering has in common with one channel: `common` is Σ X*·Y/E|Y|² at _LONG, `power`
    Σ |X|²/E|Y|² for each of _LAGS, and `own` Σ |X|², both by frames."""

    common: NDArray[np.complex128] = field(default_factory=lambda: np.zeros(_LONG // 2 + 1, complex))
    power: Float = field(default_factory=lambda: np.zeros((len(_LAGS), _FRAME // 2 + 1)))
    own: Float = field(default_factory=lambda: np.zeros(_FRAME // 2 + 1))
    blocks: int = 0
    since: int = sys.maxsize

    def add(self, other: _Sum) -> None:
        self.common += other.common
        self.power += other.power
        self.own += other.own
        self.blocks += other.blocks
        self.since = min(self.since, other.since)


@dataclass(frozen=True, slots=True)
class _Peak:
    """An echo: since when (samples), how late (samples), at which level (dB), how much of it at one time (0 to 1), and
    how far above chance, where the highest peak that is chance stands at `chance`."""

    since: int
    lag: int
    level: float
    flat: float
    height: float
    chance: float

    @property
    def copy(self) -> bool:
        """Whether it is no echo."""
        return self.level >= _COPY_LEVEL and self.flat >= _COPY_FLAT

    @property
    def confidence(self) -> float:
        return 1 - (max(self.chance, 3.0) / self.height) ** 2


class _Search:
    """One coach in one channel: in each moment, in each longer one, and in all that he whispers.

    In the short ones because a leak need not last, and what comes from a quiet agent would outweigh it; in the long
    ones because it may be too weak to be seen in less. The shortest are for copies alone: of a route that is wrong for
    seconds only, while the agent is silent, nothing is left in longer ones.
    """

    def __init__(self) -> None:
        self._sums = [_Sum() for _ in (*_MOMENTS, None)]
        self._loudest: _Peak | None = None

    def add(self, at: int, voice: Float, channel: Float) -> None:
        """A block of the coach, and three of the channel, the middle one of the same time; `at` in samples."""
        sums = self._sums[0]
        sums.since = min(sums.since, at)
        weighted, weights = _weighted(channel)
        sums.common += np.conj(np.fft.rfft(voice, _LONG)) * np.fft.rfft(weighted, _LONG)
        powers = [_power(np.concatenate([np.zeros(_FRAME + phase), voice, np.zeros(_FRAME)])) for phase in _PHASES]
        for row, lag in enumerate(_LAGS):
            power = powers[lag % _HOP // _STEP]
            start = (_BLOCK + int(lag) - _FRAME) // _HOP + 1
            sums.power[row] += np.einsum("tf,tf->f", power, weights[start : start + len(power)])
        sums.own += powers[0].sum(axis=0)
        sums.blocks += 1
        for length, blocks in enumerate(_MOMENTS):
            if self._sums[length].blocks >= blocks:
                self._close(length)

    def _close(self, length: int) -> None:
        """A moment is over."""
        moment, self._sums[length] = self._sums[length], _Sum()
        peak = _peak(moment, copies=not length)
        if peak is not None and (self._loudest is None or peak.level > self._loudest.level):
            self._loudest = peak
        self._sums[length + 1].add(moment)

    def found(self) -> _Peak | None:
        """What there is, at the moment where it is loudest; None where there is nothing."""
        for length in range(len(_MOMENTS)):
            if self._sums[length].blocks:
                self._close(length)
        whole = _peak(self._sums[-1])
        loudest = self._loudest
        if whole is None or loudest is None:
            return whole or loudest
        return loudest if loudest.level > whole.level + _LOUDER else replace(whole, since=loudest.since)


class Meter:
    """Measures while tracks are read. All of them are at RATE, begin together, and are told in blocks of one length. No
    two voices are of one session.

    Raises nothing; a coach who is missing from a block is silent in it.
    """

    def __init__(self, voices: Iterable[Voice], threshold: float = THRESHOLD) -> None:
        self._voices = tuple(voices)
        self._threshold = threshold
        self._searches = {(v.session, channel): _Search() for v in self._voices for channel in CHANNELS}
        self._loudest = dict.fromkeys((v.session for v in self._voices), 0.0)
        self._call = np.zeros((_BLOCK, 2))  # what is not yet done with, a block of silence in front of the first
        self._coaches = {v.session: np.zeros(_BLOCK) for v in self._voices}
        self._done = 0  # samples that were correlated

    def add(self, call: NDArray[np.float32], coaches: Mapping[str, NDArray[np.float32]]) -> None:
        """The next samples: of the call (n, 2), the caller and what he hears, and of each coach (n,)."""
        self._call = np.concatenate([self._call, call])
        for session, before in self._coaches.items():
            said = coaches.get(session)
            self._coaches[session] = np.concatenate([before, np.zeros(len(call)) if said is None else said])
        while len(self._call) >= 3 * _BLOCK:
            self._block()

    def done(self) -> Bleed:
        """What was found. No samples come any more."""
        rest = len(self._call) - _BLOCK
        self.add(np.zeros((2 * _BLOCK - rest % _BLOCK, 2), np.float32), {})
        traces = tuple(
            self._trace(voice.session, channel) for voice in self._voices for channel in CHANNELS
        )  # fmt: skip
        return Bleed(self._threshold, traces)

    def _block(self) -> None:
        for voice in self._voices:
            said = self._speech(voice, self._coaches[voice.session][_BLOCK : 2 * _BLOCK])
            if said is not None:
                for channel, index in CHANNELS.items():
                    search = self._searches[voice.session, channel]
                    search.add(self._done, said, self._call[: 3 * _BLOCK, index])
            self._coaches[voice.session] = self._coaches[voice.session][_BLOCK:]
        self._call = self._call[_BLOCK:]
        self._done += _BLOCK

    def _speech(self, voice: Voice, samples: Float) -> Float | None:
        """A block with nothing but what he said while the caller was not to hear it; None where that is nothing."""
        said = samples.copy()
        for span in voice.excused:
            first = round((span.start - _MARGIN) * RATE) - self._done
            last = round((span.end + _MARGIN) * RATE) - self._done
            if first < _BLOCK and last > 0:
                said[max(first, 0) : last] = 0
        power = np.mean(said.reshape(-1, _HOP) ** 2, axis=1)
        loudest = self._loudest[voice.session] = max(float(power.max()), self._loudest[voice.session] * 0.995)
        speaks = power > max(_SILENT, loudest * _QUIET)
        if not speaks.any():
            return None
        speaks[1:] |= speaks[:-1].copy()
        speaks[:-1] |= speaks[1:].copy()
        return np.asarray(said * np.repeat(speaks, _HOP))

    def _trace(self, session: str, channel: Channel) -> Trace:
        found = self._searches[session, channel].found()
        if found is None:
            return Trace(session, channel, "none")
        return Trace(
            session,
            channel,
            "routing" if found.copy else "acoustic",
            round(found.level, 1),
            round(1000 * found.lag / RATE, 1),
            round(found.since / RATE, 2),
            round(found.confidence, 3),
            found.copy or found.level >= self._threshold,
        )


def measure(
    call: NDArray[np.float32],
    coaches: Mapping[str, NDArray[np.float32]],
    excused: Mapping[str, Sequence[Span]] | None = None,
    threshold: float = THRESHOLD,
) -> Bleed:
    """All of it at once: the call (n, 2) and the coaches' tracks by session, at RATE. For `excused` see `Voice`."""
    meter = Meter((Voice(each, tuple((excused or {}).get(each, ()))) for each in coaches), threshold)
    meter.add(call, {session: track[: len(call)] for session, track in coaches.items()})
    return meter.done()


def _frames(samples: Float) -> Float:
    return np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]


def _power(samples: Float) -> Float:
    """Of each frame."""
    return np.asarray(np.abs(np.fft.rfft(_frames(samples) * _WINDOW)) ** 2)


def _weighted(channel: Float) -> tuple[Float, Float]:
    """The channel with every bin of every frame divided by the power that is expected there; and those weights."""
    padded = np.concatenate([np.zeros(_HOP), channel, np.zeros(_HOP)])
    spectra = np.fft.rfft(_frames(padded) * _WINDOW)
    power = np.abs(spectra) ** 2
    # The neighbours in time and frequency say what is expected; a single bin of |Y|² says next to nothing.
    wide = np.pad(power, ((1, 1), (4, 4)), mode="edge")
    rows = wide[:-2] + wide[1:-1] + wide[2:]
    sums = np.cumsum(np.pad(rows, ((0, 0), (1, 0))), axis=1)
    expected = (sums[:, 9:] - sums[:, :-9]) / 27
    weights = (power.mean(axis=1, keepdims=True) > _NOTHING) / (expected + _FLOOR)
    pieces = np.fft.irfft(spectra * weights, _FRAME) * _WINDOW
    whole = np.zeros(len(padded))
    for start in (0, 1):
        part = pieces[start::2].ravel()
        whole[start * _HOP : start * _HOP + len(part)] += part
    return whole[_HOP:-_HOP], weights


def _peak(found: _Sum, copies: bool = False) -> _Peak | None:
    """The highest peak of a sum at the lags of an echo; None where it is not high enough, or is no copy and only
    `copies` are sought."""
    power = found.power
    if not power.any():
        return None
    mean = np.maximum(power.mean(axis=0), sys.float_info.min)
    tilt = np.where(_IN_BAND, np.interp(_FINE, _BINS, mean) ** -_TILT, 0.0)
    common = np.roll(np.fft.irfft(found.common * tilt, _LONG), -_BLOCK)
    # What chance alone would do at each lag, up to a factor that the lags without echo give.
    usual = np.sqrt((power * mean ** (-2 * _TILT)).sum(axis=1))
    usual = np.maximum(usual, usual.max() * _SPARSE)  # the call is over where there is next to nothing to compare
    noise = common[_CONTROL] / np.interp(_CONTROL, _LAGS, usual)
    scale = float(np.sqrt(np.mean(noise**2)))
    if not scale > 0:
        return None
    chance = float(np.abs(noise).max() / scale)
    usually = next(height for blocks, height in _ENOUGH if found.blocks <= blocks)
    enough = max(chance, _COPY_ENOUGH if copies else usually)
    for lags in (_COPY, _ECHO):
        heights = np.abs(common[lags] / np.interp(lags, _LAGS, usual)) / scale
        best = int(np.argmax(heights))
        if heights[best] < enough:
            continue
        lag = int(lags[best])
        weight = power[int(np.argmin(np.abs(_LAGS - lag)))]
        if weight.any():  # else the channel was closed, and nothing is known
            peak = _Peak(found.since, lag, *_answer(found, weight, lag), float(heights[best]), chance)
            if peak.copy or (lag >= _ECHO[0] and not copies):
                return peak
    return None


def _answer(found: _Sum, weight: Float, lag: int) -> tuple[float, float]:
    """Level of the echo in dB, and the share of it that a single moment explains: the squared correlation of the echo
    with a copy. `weight` is the row of `power` for the lag."""
    raw = np.roll(np.fft.irfft(found.common, _LONG), -_BLOCK)
    toeplitz = np.abs(np.subtract.outer(np.arange(_TAPS), np.arange(_TAPS)))
    normal = np.fft.irfft(weight, _FRAME)[toeplitz]
    own = np.fft.irfft(found.own, _FRAME)[toeplitz] / np.fft.irfft(found.own, _FRAME)[0]
    inverse = np.linalg.inv(normal + np.eye(_TAPS) * normal[0, 0] * 1e-4)
    taps = inverse @ raw[np.arange(lag - _BEFORE, lag - _BEFORE + _TAPS)]
    usual = np.fft.irfft(found.power, _FRAME)[:, 0]
    usual = np.maximum(usual, usual.max() * _SPARSE**2)
    scale = float(np.mean(raw[_CONTROL] ** 2 / np.interp(_CONTROL, _LAGS, usual)))
    whole = float(taps @ own @ taps) - scale * float(np.trace(own @ inverse))
    single = float((raw[lag] / normal[0, 0]) ** 2)
    energy = max(whole, single, 1e-12)
    flat = float((own @ taps)[_BEFORE] ** 2 / max(taps @ own @ taps, sys.float_info.min))
    return 10 * float(np.log10(energy)), flat
