"""G.722 at 64 kbit/s (ITU-T G.722, mode 1): 16 kHz speech in two bands, each coded as the error of a prediction.

Written after the block diagrams of the recommendation, whose names stand beside the steps. Exact to the bit, as it has
to be: encoder and decoder stay in step by computing the same. It goes sample by sample: a second
of sound takes some 60 ms, so sources should be short loops.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pcm = NDArray[np.int16]

_TAPS = np.array([3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11], dtype=np.int64)

# Decision levels of the lower band's quantizer (Q6), and what its 6 and 4 bit codes stand for.
_Q6 = (
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023, 1121, 1219, 1339,
    1458, 1612, 1765, 1980, 2195, 2557, 2919,
)  # fmt: skip
_QM6 = (
    136, 432, 728, 1040, 1360, 1688, 2032, 2400, 2776, 3168, 3576, 4008, 4464, 4944, 5456, 6000, 6576, 7192, 7856, 8576,
    9360, 10232, 11192, 12280, 13512, 14984, 16704, 19008, 21904, 24808,
)  # fmt: skip
_QM4 = (0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584, 1200, 0)
_QM2 = (-7408, -1616, 7408, 1616)
# How the logarithm of a band's step size moves with each code, and the table to get back from the logarithm.
_WL = (-60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60)
_WH = (798, -214, 798, -214)
_ILB = (
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834, 2896, 2960, 3025,
    3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
)  # fmt: skip


def _low_codes() -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    # Positive values count down from 61, negative ones from 63, 62 and then from 31; both end at the loudest.
    positive = tuple(range(61, 31, -1))
    negative = (63, 62, *range(31, 3, -1))
    values = [-136] * 64  # the four codes that no encoder sends
    for code, value in zip(positive, _QM6, strict=True):
        values[code] = value
    for code, value in zip(negative, _QM6, strict=True):
        values[code] = -value
    return positive, negative, tuple(values)


_POSITIVE, _NEGATIVE, _LOW_VALUES = _low_codes()


def _clip(value: int) -> int:
    return -32768 if value < -32768 else 32767 if value > 32767 else value


class _Band:
    """The adaptive predictor and step size of one band: two poles, six zeros."""

    def __init__(self, step: int, shift: int, highest: int) -> None:
        self.step = step
        self.predicted = 0
        self._shift, self._highest = shift, highest
        self._log = 0
        self._from_zeros = 0
        self._pole1 = self._pole2 = 0
        self._last1 = self._last2 = 0  # what the poles have seen: the band as rebuilt
        self._part1 = self._part2 = 0
        self._zeros = [0] * 6
        self._seen = [0] * 6  # what the zeros have seen: the errors of the prediction

    def rescale(self, move: int) -> None:
        """LOGSCL/LOGSCH and SCALEL/SCALEH: the step size of the next sample."""
        log = (self._log * 127 >> 7) + move
        self._log = log = 0 if log < 0 else self._highest if log > self._highest else log
        down = self._shift - (log >> 11)
        linear = _ILB[log >> 6 & 31]
        self.step = (linear >> down if down >= 0 else linear << -down) << 2

    def adapt(self, error: int) -> None:
        """UPPOL1, UPPOL2, UPZERO, FILTEP, FILTEZ, PREDIC: take the error of this sample and predict the next one."""
        rebuilt = _clip(self.predicted + error)
        part = _clip(self._from_zeros + error)
        same1 = (part < 0) == (self._part1 < 0)
        same2 = (part < 0) == (self._part2 < 0)
        turn = _clip(self._pole1 << 2)
        turn = min(-turn if same1 else turn, 32767)
        pole2 = (turn >> 7) + (128 if same2 else -128) + (self._pole2 * 32512 >> 15)
        pole2 = -12288 if pole2 < -12288 else 12288 if pole2 > 12288 else pole2
        limit = 15360 - pole2
        pole1 = _clip((192 if same1 else -192) + (self._pole1 * 32640 >> 15))
        pole1 = -limit if pole1 < -limit else limit if pole1 > limit else pole1
        move = 128 if error else 0
        negative = error < 0
        seen = self._seen
        zeros = self._zeros = [
            _clip((move if (old < 0) == negative else -move) + (zero * 32640 >> 15))
            for zero, old in zip(self._zeros, seen, strict=True)
        ]
        seen.pop()
        seen.insert(0, error)
        self._pole1, self._pole2 = pole1, pole2
        self._part2, self._part1 = self._part1, part
        self._last2, self._last1 = self._last1, rebuilt
        from_poles = (pole1 * _clip(2 * rebuilt) >> 15) + (pole2 * _clip(2 * self._last2) >> 15)
        from_zeros = sum([zero * _clip(2 * each) >> 15 for zero, each in zip(zeros, seen, strict=True)])
        self._from_zeros = _clip(from_zeros)
        self.predicted = _clip(_clip(from_poles) + self._from_zeros)


def _bands() -> tuple[_Band, _Band]:
    return _Band(32, 8, 18432), _Band(8, 10, 22528)


def encode(pcm: Pcm) -> bytes:
    """One byte for each two samples at 16 kHz; the coder starts anew."""
    padded = np.concatenate([np.zeros(22, dtype=np.int64), pcm[: len(pcm) // 2 * 2].astype(np.int64)])
    odd = np.correlate(padded[0::2], _TAPS, "valid")
    even = np.convolve(padded[1::2], _TAPS, "valid")
    lows, highs = (even + odd >> 14).tolist(), (even - odd >> 14).tolist()
    low, high = _bands()
    out = bytearray(len(lows))
    for at, (x_low, x_high) in enumerate(zip(lows, highs, strict=True)):
        error = _clip(x_low - low.predicted)
        size = error if error >= 0 else ~error
        rank = 0
        for level in _Q6:
            if size < level * low.step >> 12:
                break
            rank += 1
        code = (_NEGATIVE if error < 0 else _POSITIVE)[rank]
        coarse = code >> 2
        low_error = low.step * _QM4[coarse] >> 15
        low.rescale(_WL[coarse])
        low.adapt(low_error)
        error = _clip(x_high - high.predicted)
        size = error if error >= 0 else ~error
        loud = size >= 564 * high.step >> 12
        bits = (0 if loud else 1) if error < 0 else (2 if loud else 3)
        high_error = high.step * _QM2[bits] >> 15
        high.rescale(_WH[bits])
        high.adapt(high_error)
        out[at] = bits << 6 | code
    return bytes(out)


class Decoder:
    """Payloads in, in order; samples at 16 kHz out. What came before shapes what comes next."""

    def __init__(self) -> None:
        self._low, self._high = _bands()
        self._history = np.zeros((2, 11), dtype=np.int64)

    def __call__(self, payload: bytes) -> Pcm:
        """The samples of the next payload."""
        low, high = self._low, self._high
        sums, differences = [], []
        for code in payload:
            fine, bits = code & 63, code >> 6
            x_low = low.predicted + (low.step * _LOW_VALUES[fine] >> 15)
            x_low = -16384 if x_low < -16384 else 16383 if x_low > 16383 else x_low
            coarse = fine >> 2
            low_error = low.step * _QM4[coarse] >> 15
            low.rescale(_WL[coarse])
            low.adapt(low_error)
            high_error = high.step * _QM2[bits] >> 15
            x_high = high.predicted + high_error
            x_high = -16384 if x_high < -16384 else 16383 if x_high > 16383 else x_high
            high.rescale(_WH[bits])
            high.adapt(high_error)
            sums.append(x_low + x_high)
            differences.append(x_low - x_high)
        line = np.concatenate([self._history, np.array([sums, differences], dtype=np.int64)], axis=1)
        self._history = line[:, len(line[0]) - 11 :]
        out = np.empty(2 * len(payload), dtype=np.int64)
        out[0::2] = np.convolve(line[1], _TAPS, "valid") >> 11
        out[1::2] = np.correlate(line[0], _TAPS, "valid") >> 11
        heard: Pcm = out.clip(-32768, 32767).astype(np.int16)
        return heard
