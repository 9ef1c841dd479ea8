"""When did a tone begin or end in what a phone got, packet by packet? Reckoned after the call, so that no analysis
competes with the phones while they measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.timeline import Float, RxFrame

#: dBFS: a packet above it holds the tone, which is sent at -16. Half a packet of the tone is at -22; what the beep of
#: 1,400 Hz leaves at a coach's frequency when it begins in the middle of a packet is below -33.
HOLDS = -28.0


@dataclass(frozen=True)
class Hearing:
    """The packets of one call: when each arrived (ns), in order, and the level of one tone in it (dBFS)."""

    times: NDArray[np.int64]
    levels: Float

    @classmethod
    def of(cls, call: PhoneCall, freq: float, others: Sequence[float] = ()) -> Hearing:
        """The level of `freq` Hz in every packet of the call, told apart from `others` by least squares."""
        frames = call.received
        codec = next((call.codec_of(frame.pt) for frame in frames), None)
        if codec is None:
            return cls(np.zeros(0, np.int64), np.zeros(0))
        size = codec.frame_samples
        whole = [frame for frame in frames if _plays(call, frame, size)]
        waves = np.array([codec.decode(frame.payload) for frame in whole]).T / 32768.0
        angles = 2 * np.pi * np.outer(np.arange(size) / codec.rate, [freq, *others])
        fit = np.linalg.pinv(np.hstack([np.cos(angles), np.sin(angles)]))
        amplitude = np.hypot(fit[0] @ waves, fit[1 + len(others)] @ waves)
        levels = 20 * np.log10(np.maximum(amplitude, 1e-6))
        return cls(np.array([frame.t_ns for frame in whole], np.int64), levels)

    def between(self, since_ns: int, until_ns: int) -> Hearing:
        """The packets of [since_ns, until_ns)."""
        first, last = np.searchsorted(self.times, [since_ns, until_ns])
        return Hearing(self.times[first:last], self.levels[first:last])

    @property
    def holding(self) -> NDArray[np.bool_]:
        """Which packets hold the tone."""
        return np.asarray(self.levels > HOLDS)


def _plays(call: PhoneCall, frame: RxFrame, size: int) -> bool:
    codec = call.codec_of(frame.pt)
    return codec is not None and len(frame.payload) == size  # G.711: a byte a sample


@dataclass(frozen=True)
class Change:
    """One request that opens or closes the gate. Times in ns: when it was sent, answered, confirmed by the switch, and
    when the next request was sent."""

    kind: str
    opens: bool
    sent: int
    answered: int
    confirmed: int
    until: int


@dataclass
class Delays:
    """What became of the changes of one kind, in ms from the moment of sending; `unseen` counts those whose effect did
    not come before the next request, or stood already."""

    answered: list[float] = field(default_factory=list)
    confirmed: list[float] = field(default_factory=list)
    audible: list[float] = field(default_factory=list)
    unseen: int = 0

    def add(self, change: Change, hearing: Hearing) -> None:
        """Count one change by what was heard."""
        self.answered.append((change.answered - change.sent) / 1e6)
        self.confirmed.append((change.confirmed - change.sent) / 1e6)
        effect = effect_ns(change, hearing)
        if effect is None:
            self.unseen += 1
        else:
            self.audible.append((effect - change.sent) / 1e6)


def effect_ns(change: Change, hearing: Hearing) -> int | None:
    """When the first packet arrived that holds the tone, or that holds no more of it: the one after the last that does.
    None when there is none, or when it was like that before."""
    before = hearing.between(change.sent - 50_000_000, change.sent).holding
    after = hearing.between(change.sent, change.until)
    holding = after.holding
    if not len(before) or not len(holding) or before[-1] == change.opens or holding[-1] != change.opens:
        return None
    at = int(np.argmax(holding)) if change.opens else len(holding) - int(np.argmax(holding[::-1]))
    if not change.opens and not holding.any():
        at = 0
    return int(after.times[at])
