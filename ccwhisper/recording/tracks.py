"""A raw track on the time line: asked for a block of it at the recording's rate, it gives the sound that belongs there.

All in blocks, one after the other: what is held does not grow with the call.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Final

import av
import numpy as np

from ccwhisper.recording.plan import Placed
from ccwhisper.recording.raw import Raw, Samples
from ccwhisper.recording.result import Problem, Span

DRIFT: Final = 300e-6
"""How far two clocks may run apart. Quartz keeps to 100 parts in a million; a track that is further from what the
switch's clock says has lost frames, and where, nobody knows."""

TOLERANCE: Final = 0.04
"""Seconds: two frames."""

LOST: Final = 0.2
"""Seconds that the end of a raw track may be away from when the switch closed it: what it had read it wrote, and the
moment of the event is that of its thread."""

GATE_MARGIN: Final = 0.1
"""Seconds around a span in which a coach could be heard that are kept. The switch masks by itself; this is a second
lock, for what it did not come to mask."""

PAUSE_MARGIN: Final = TOLERANCE
"""Seconds around a pause that are silent, too."""

_BLOCK: Final = 1.0  # s, read at once


class Timed:
    """A raw track on the time line, with `channels` channels at `rate` Hz. `kept` are the spans outside which it is
    silent (None: it is kept everywhere), `pauses` those in which it is silent in any case. `problems` says what was
    found."""

    def __init__(
        self, raw: Raw, placed: Placed, rate: int, channels: int, kept: Sequence[Span] | None, pauses: Sequence[Span]
    ) -> None:
        self._raw = raw
        self._rate = rate
        self._channels = channels
        self._kept = None if kept is None else _frames(kept, rate, GATE_MARGIN)
        self._pauses = _frames(pauses, rate, PAUSE_MARGIN)
        self.problems: list[Problem] = []
        self._excess = self._measured(placed)
        self._at = 0  # frames of the time line that were given
        self._first = round(placed.offset * rate)
        self._source = self._resampled() if raw.rate != rate else self._steady()
        self._waiting: list[Samples] = []
        if self._first < 0:  # begun before the call track: that part is nowhere
            self._skip(-self._first)
            self._first = 0
        self.end = max(0.0, placed.offset + (raw.frames - self._excess) / raw.rate)

    def take(self, count: int) -> Samples:
        """The next `count` frames of the time line."""
        found = np.zeros((count, self._channels), dtype=np.int16)
        at = max(0, self._first - self._at)
        while at < count and (piece := self._next(count - at)) is not None:
            found[at : at + len(piece)] = _channels(piece, self._channels)
            at += len(piece)
        begin, end = self._at, self._at + count
        if self._kept is not None:
            keep = np.zeros(count, dtype=bool)
            for start, stop in self._kept:
                if start < end and stop > begin:
                    keep[max(0, start - begin) : stop - begin] = True
            found[~keep] = 0
        for start, stop in self._pauses:
            if start < end and stop > begin:
                found[max(0, start - begin) : stop - begin] = 0
        self._at = end
        return found

    # --- what the raw track says, by the switch's clock --------------------------------------------------------------

    def _measured(self, placed: Placed) -> int:
        """Frames that the raw track has too many of by the switch's clock, where that is a clock's running; else 0."""
        raw = self._raw
        if not raw.closed:
            self._problem(
                "track_unfinished", f"the switch did not finish {placed.file}: its last seconds may be missing"
            )
        if placed.length is None or not raw.closed:
            return 0
        excess = raw.frames - placed.length * raw.rate
        seconds = excess / raw.rate
        if abs(seconds) <= TOLERANCE:
            return 0
        if abs(excess) <= DRIFT * raw.frames:
            millionths = round(excess / raw.frames * 1e6)
            self._problem(
                "clock_drift", f"{placed.file} ran {millionths:+d} ppm off the switch's clock, and is evened out"
            )
            return round(excess)
        if abs(seconds) > LOST:
            code, word = ("track_short", "shorter") if seconds < 0 else ("track_long", "longer")
            self._problem(code, f"{placed.file} is {abs(seconds):.2f} s {word} than the time that it was written")
        return 0

    def _problem(self, code: str, text: str) -> None:
        self.problems.append(Problem(code, text))

    def _blocks(self, size: int) -> Iterator[Samples]:
        at = 0
        while len(block := self._raw.read(at, size)):
            yield block
            at += len(block)

    def _steady(self) -> Iterator[Samples]:
        """The raw track by the switch's clock: a frame too many in so many is left out where it is heard least."""
        if not self._excess:
            yield from self._blocks(round(_BLOCK * self._raw.rate))
            return
        step = self._raw.frames / abs(self._excess)
        at = 0
        for number in range(abs(self._excess)):
            until = round((number + 1) * step)
            block = self._raw.read(at, until - at)
            at = until
            if not len(block):
                return
            place = _quietest(block)
            more = [] if self._excess > 0 else [block[place : place + 1]]
            rest = block[place + 1 :] if self._excess > 0 else block[place:]
            yield np.concatenate([block[:place], *more, rest])
        while len(block := self._raw.read(at, round(_BLOCK * self._raw.rate))):
            at += len(block)
            yield block

    def _resampled(self) -> Iterator[Samples]:
        layout = "stereo" if self._raw.channels == 2 else "mono"
        resampler = av.AudioResampler(format="s16", layout=layout, rate=self._rate)
        at = 0
        for block in self._steady():
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="s16", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = self._raw.rate, at, Fraction(1, self._raw.rate)
            at += len(block)
            for each in resampler.resample(frame):
                yield samples_of(each, self._raw.channels)
        for each in resampler.resample(None):
            yield samples_of(each, self._raw.channels)

    def _next(self, most: int) -> Samples | None:
        piece = self._waiting.pop() if self._waiting else next(self._source, None)
        if piece is not None and len(piece) > most:
            self._waiting.append(piece[most:])
            piece = piece[:most]
        return piece

    def _skip(self, count: int) -> None:
        while count and (piece := self._next(count)) is not None:
            count -= len(piece)


class Joined:
    """Several on one line, of which no two sound at once."""

    def __init__(self, parts: Sequence[Timed]) -> None:
        self._parts = parts
        self.end = max(part.end for part in parts)

    @property
    def problems(self) -> list[Problem]:
        """Of all of them."""
        return [problem for part in self._parts for problem in part.problems]

    def take(self, count: int) -> Samples:
        """The next `count` frames of the time line."""
        blocks = [part.take(count) for part in self._parts]
        found = blocks[0]
        for block in blocks[1:]:
            found = np.where(block != 0, block, found)
        return found


def _frames(spans: Sequence[Span], rate: int, margin: float) -> list[tuple[int, int]]:
    return [(max(0, int((each.start - margin) * rate)), int(min((each.end + margin) * rate, 2**62))) for each in spans]


def samples_of(frame: av.AudioFrame, channels: int) -> Samples:
    """What a frame of 16 bits, its channels side by side, holds."""
    return frame.to_ndarray().reshape(-1, channels).astype(np.int16, copy=False)


def _channels(piece: Samples, channels: int) -> Samples:
    """One channel is heard on both sides; of two, one is made by mixing them."""
    if piece.shape[1] == channels:
        return piece
    if channels == 2:
        return np.repeat(piece, 2, axis=1)
    mixed: Samples = (piece.astype(np.int32).sum(axis=1, keepdims=True) // 2).astype(np.int16)
    return mixed


def _quietest(block: Samples) -> int:
    """Where a frame more or less is heard least: it is like the one before, and so is the one after."""
    middle = len(block) // 2
    low, high = max(1, middle - 400), min(len(block) - 1, middle + 400)
    if high <= low:
        return middle
    near = block[low - 1 : high + 1].astype(np.int32)
    change = np.abs(near[2:] - near[:-2]).sum(axis=1) + np.abs(near[1:-1] - near[:-2]).sum(axis=1)
    return low + int(np.argmin(change))
