"""RTP frames as they were sent and received, and the sound that they add up to.

Times are nanoseconds of CLOCK_MONOTONIC, `seq` and `ts` are the 16 and 32 bits of the wire (RFC 3550, section 5.1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.codecs import Codec

Float = NDArray[np.float64]


class RxFrame(NamedTuple):
    """A received packet; `t_ns` is when the kernel got it."""

    t_ns: int
    seq: int
    ts: int
    pt: int
    payload: bytes


class TxFrame(NamedTuple):
    """A sent packet; `t_ns` is when it was handed to the kernel."""

    t_ns: int
    seq: int
    ts: int
    payload: bytes


@dataclass(frozen=True)
class Timeline:
    """A continuous stretch of sound: samples in ±1.0 at `rate` Hz; gaps between frames are zeros.

    `starts[i]` is the index of the first sample of the frame that left or arrived at `times[i]`.
    """

    samples: Float
    rate: int
    starts: NDArray[np.int64]
    times: NDArray[np.int64]

    def time_of(self, sample: int) -> int | None:
        """When the packet that holds this sample left or arrived, in ns; None when no packet holds it."""
        at = int(np.searchsorted(self.starts, sample, side="right")) - 1
        if at < 0:
            return None
        return int(self.times[at])


def timeline(
    frames: Sequence[RxFrame] | Sequence[TxFrame],
    codec_of: Callable[[int], Codec | None],
    rate: int,
    before: Sequence[RxFrame] = (),
) -> Timeline:
    """Put frames on one line by their RTP timestamps.

    `codec_of` tells the codec of a payload type (of 0 for sent frames). Frames that it does not know, or whose rate is
    not `rate`, are left out. Where a sender starts a new timestamp sequence (a switch does so when it bridges anew),
    the line goes on at the place that the arrival time says. A codec that remembers is played `before` first.
    """
    placed: list[tuple[int, int, Codec, bytes]] = []
    base_ts = base_at = first_t = 0
    for frame in frames:
        codec = codec_of(frame.pt if isinstance(frame, RxFrame) else 0)
        if codec is None or codec.rate != rate:
            continue
        if not placed:
            base_ts, first_t = frame.ts, frame.t_ns
        expected = (frame.t_ns - first_t) * rate // 1_000_000_000
        at = base_at + _signed32(frame.ts - base_ts) * (rate // codec.clock)
        if abs(at - expected) > rate // 2:
            base_ts, base_at = frame.ts, int(expected)
            at = base_at
        placed.append((at, frame.t_ns, codec, frame.payload))
    if not placed:
        empty = np.zeros(0, dtype=np.int64)
        return Timeline(np.zeros(0), rate, empty, empty)
    placed.sort(key=lambda item: item[0])
    decoders = {codec: codec.decoder() for _, _, codec, _ in placed}
    for frame in before:
        known = codec_of(frame.pt)
        if known in decoders:
            decoders[known](frame.payload)
    decoded = [decoders[codec](payload) for _, _, codec, payload in placed]
    starts = np.array([at for at, _, _, _ in placed], dtype=np.int64) - placed[0][0]
    samples = np.zeros(max(int(at) + len(pcm) for at, pcm in zip(starts, decoded, strict=True)))
    for at, pcm in zip(starts, decoded, strict=True):
        samples[at : at + len(pcm)] = pcm / 32768.0
    return Timeline(samples, rate, starts, np.array([t for _, t, _, _ in placed], dtype=np.int64))


def in_window(frames: Iterable[RxFrame], since_ns: int | None, until_ns: int | None) -> list[RxFrame]:
    """The frames that arrived in [since_ns, until_ns)."""
    return [f for f in frames if (since_ns is None or f.t_ns >= since_ns) and (until_ns is None or f.t_ns < until_ns)]


def _signed32(difference: int) -> int:
    return (difference + 0x80000000 & 0xFFFFFFFF) - 0x80000000
