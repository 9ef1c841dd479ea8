"""Did the frames arrive that were sent, each of them, in order, and nothing else? And how long did they take?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.codecs import Codec
from ccwhisper.proof.timeline import Float, RxFrame, Timeline, TxFrame, in_window, timeline

#: A mark counts as found when its correlation with what was heard is at least this; 1 is perfect, speech of others
#: lowers it.
FOUND = 0.3
_TEMPLATE_FRAMES = 3
_LONGEST_S = 0.8


@dataclass(frozen=True)
class ExactReport:
    """What became of a sender's frames between the first and the last one that were heard.

    Counts are frames of 20 ms: `matched` arrived unchanged and in order; `missing` were sent between the first and the
    last match and never arrived; `foreign` arrived and are none of the sender's; `reordered` arrived after a later one;
    `repeated` arrived again. `first` and `last` are indices into the sent frames, `gaps` (index, count) of what is
    missing. `offset_samples` is how far the receiver's frames are shifted against the sender's, 0 when they line up.
    """

    matched: int
    missing: int
    foreign: int
    reordered: int
    repeated: int
    first: int | None
    last: int | None
    gaps: tuple[tuple[int, int], ...]
    offset_samples: int = 0

    @property
    def exact(self) -> bool:
        """Whether nothing at all is amiss, and something was heard."""
        return self.matched > 0 and not (self.missing or self.foreign or self.reordered or self.repeated)

    def __str__(self) -> str:
        total = self.matched + self.missing
        text = f"{self.matched}/{total} frames, {self.foreign} foreign"
        text += f", {self.reordered} reordered, {self.repeated} repeated"
        return text + (f", gaps {list(self.gaps)}" if self.gaps else "")


def frames_exact(sent: Sequence[TxFrame], received: Sequence[RxFrame], codec: Codec) -> ExactReport:
    """Compare after decoding, in the order of arrival. Only unique frames (`Noise`) can tell order.

    When next to nothing lines up, the receiver may have cut the same sound into other frames: then the decoded streams
    are aligned by correlation and compared sample by sample, one sent frame at a time.
    """
    report = _by_frame([codec.canonical(f.payload) for f in sent], [codec.canonical(f.payload) for f in received])
    if len(sent) < 3 or len(received) < 3 or report.matched * 10 > min(len(sent), len(received)):
        return report
    return _by_sample(sent, received, codec) or report


def _by_frame(sent: Sequence[bytes], received: Sequence[bytes], offset: int = 0) -> ExactReport:
    where: dict[bytes, list[int]] = {}
    for index, payload in enumerate(sent):
        where.setdefault(payload, []).append(index)
    seen: set[int] = set()
    top = -1
    foreign = reordered = repeated = 0
    for payload in received:
        places = where.get(payload)
        if places is None:
            foreign += 1
            continue
        fresh = [at for at in places if at not in seen]
        if not fresh:
            repeated += 1
            continue
        ahead = [at for at in fresh if at > top]
        at = ahead[0] if ahead else fresh[-1]
        reordered += not ahead
        seen.add(at)
        top = max(top, at)
    if not seen:
        return ExactReport(0, 0, foreign, 0, repeated, None, None, ())
    first, last = min(seen), max(seen)
    gaps: list[tuple[int, int]] = []
    for at in range(first, last + 1):
        if at in seen:
            continue
        if gaps and sum(gaps[-1]) == at:
            gaps[-1] = (gaps[-1][0], gaps[-1][1] + 1)
        else:
            gaps.append((at, 1))
    missing = sum(count for _, count in gaps)
    return ExactReport(len(seen), missing, foreign, reordered, repeated, first, last, tuple(gaps), offset)


def _by_sample(sent: Sequence[TxFrame], received: Sequence[RxFrame], codec: Codec) -> ExactReport | None:
    ours, theirs = _line(sent, codec), _line(received, codec)
    shift = _shift(ours.samples, theirs.samples)
    size = codec.frame_samples
    if not shift % size:
        return None
    # Cut what was received where the sender's frames begin.
    heard = np.rint(theirs.samples * 32768).astype(np.int16)
    mine = [codec.decode(f.payload).tobytes() for f in sent]
    pieces = [heard[at : at + size].tobytes() for at in range(shift % size, len(heard) - size + 1, size)]
    report = _by_frame(mine, pieces, offset=shift % size)
    return report if report.matched else None


def latencies_ms(
    sender: PhoneCall,
    receiver: PhoneCall,
    since_ns: int | None = None,
    until_ns: int | None = None,
    every: int = 10,
) -> list[float]:
    """How long each mark took from the sender's packet to the receiver's, in ms, without the marks that were not heard.

    A mark is the start of a burst (`Bursts`), or every `every`-th frame of a sound without pauses (`Noise`). It is
    sought by correlation, so it is found although others speak at the same time, as they do when a whisper is mixed in.
    Both ends' codecs need the same rate. The window is one of sending.
    """
    codec = sender.codec
    if codec is None or codec.rate != receiver.rate:
        raise ValueError("latency needs two calls that carry audio at the same rate")
    sent = [
        f for f in sender.sent if (since_ns is None or f.t_ns >= since_ns) and (until_ns is None or f.t_ns < until_ns)
    ]
    if not sent:
        return []
    until = None if until_ns is None else until_ns + int(_LONGEST_S * 1e9)
    frames = in_window(receiver.received, sent[0].t_ns, until)
    heard = timeline(frames, receiver.codec_of, receiver.rate)
    found: list[float] = []
    for start, template in _marks(sent, codec, every):
        arrival = _arrival(heard, sent[start].t_ns, template)
        if arrival is not None:
            found.append((arrival - sent[start].t_ns) / 1e6)
    return found


def _marks(sent: Sequence[TxFrame], codec: Codec, every: int) -> list[tuple[int, np.ndarray]]:
    pcm = [codec.decode(f.payload).astype(np.float64) / 32768 for f in sent]
    loud = [bool(np.abs(frame).max(initial=0.0) > 0.001) for frame in pcm]
    starts = [at for at in range(1, len(pcm)) if loud[at] and not loud[at - 1]]
    if not starts:
        starts = [at for at in range(0, len(pcm), every) if loud[at]]
    marks = []
    for at in starts:
        end = at
        while end < len(pcm) and end < at + _TEMPLATE_FRAMES and loud[end]:
            end += 1
        # A mark that the window cuts short would be found less surely.
        if end < len(pcm):
            marks.append((at, np.concatenate(pcm[at:end])))
    return marks


def _arrival(heard: Timeline, sent_ns: int, template: np.ndarray) -> int | None:
    # Sample numbers of packets that arrived from the moment of sending on: nothing is heard before it is said.
    begin_frame = int(np.searchsorted(heard.times, sent_ns))
    if begin_frame >= len(heard.starts):
        return None
    begin = int(heard.starts[begin_frame])
    stretch = heard.samples[begin : begin + int(_LONGEST_S * heard.rate) + len(template)]
    if len(stretch) < len(template):
        return None
    score = likeness(stretch, template)
    best = int(np.argmax(score))
    return heard.time_of(begin + best) if score[best] >= FOUND else None


def likeness(stretch: Float, template: Float) -> Float:
    """How much each place of a stretch is like the template, which is no longer: the correlation, -1 to 1."""
    products = np.correlate(stretch, template, mode="valid")
    energy = np.concatenate([[0.0], np.cumsum(stretch**2)])
    local = energy[len(template) :] - energy[: -len(template)]
    return np.asarray(products / np.sqrt(np.maximum(local * np.sum(template**2), 1e-12)))


def _line(frames: Sequence[TxFrame] | Sequence[RxFrame], codec: Codec) -> Timeline:
    return timeline(frames, lambda _: codec, codec.rate)


def _shift(ours: np.ndarray, theirs: np.ndarray) -> int:
    # Where our sample 0 lies in what the other side has, by the peak of the circular correlation.
    size = 1 << (len(ours) + len(theirs)).bit_length()
    product = np.fft.rfft(theirs, size) * np.conj(np.fft.rfft(ours, size))
    peak = int(np.argmax(np.fft.irfft(product, size)))
    return peak - size if peak > size // 2 else peak
