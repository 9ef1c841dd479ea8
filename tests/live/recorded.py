"""Recordings of a live service: waited for, decoded, and compared with what phones have heard."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np

from ccwhisper.bench._hearing import Hearing
from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.stage import BEEP, TONES, Stage, wait_until
from ccwhisper.proof.tones import level_dbfs
from ccwhisper.recording.result import Result, decoded

RECORDED = """[queue.default]
record = true
record_whisper = "separate"
"""
"""For a service's configuration: calls that came through no queue."""

PATIENCE = 60.0
"""Seconds for the worker, of which the machine may have next to none left."""

EXACT = 0.04
"""Seconds: two frames."""

HEARD = -22.0
"""dBFS: half of what is said is heard."""

FRAME = 0.02
BLUR = 0.15
"""Seconds."""

GAP = 0.15
"""Seconds between two spans that are one: packets come late on a busy machine."""

CLEAN = -80.0
"""dBFS: what there may be of a coach or a beep in a track that must not hold them."""

DISTORTED = -76.0
"""dBFS: what there may be of a party of the call. G.711 makes of one party's tone at -16 up to -78.8 of another's, of a
coach's or the beep at most -81.8."""

BESIDE = (-20.0, -16.0, -12.0, 12.0, 16.0, 20.0)
"""Hz from a tone, where a window of a quarter of a second has next to nothing of it."""

PARTIES = frozenset({"caller", "second", "agent", "colleague"})

Spans = list[tuple[float, float]]


def recording_of(stage: Stage, call: str) -> str:
    """The id of the recording of a call, once the switch has been told."""

    def found() -> str | None:
        view = next((each for each in stage.calls() if each["id"] == call), None)
        return view["recording"] and view["recording"]["id"] if view else None

    return str(wait_until("the call is recorded", found))


def result_of(stage: Stage, recording: str) -> tuple[Result, Path]:
    """What was made of it, and the archive that its file is in. Waits for the worker."""
    archive = stage.service.directory / "var" / "recordings" / "archive"

    def found() -> Path | None:
        return next(archive.rglob(f"{recording}.json"), None)

    path: Path = wait_until("the recording is made", found, PATIENCE)
    return decoded(path.read_bytes()), archive


def decode(file: Path) -> list[tuple[np.ndarray, int]]:
    """Each audio track of a file: samples in ±1.0 by frame and channel, and their rate."""
    found = []
    with av.open(str(file)) as container:
        count = len(container.streams.audio)
    for number in range(count):
        with av.open(str(file)) as container:
            stream = container.streams.audio[number]
            layout = "stereo" if stream.channels == 2 else "mono"
            resampler = av.AudioResampler(format="fltp", layout=layout, rate=stream.rate)
            pieces: list[tuple[int, np.ndarray]] = []
            for frame in container.decode(stream):
                for each in resampler.resample(frame):
                    assert each.pts is not None
                    at = round(float(each.pts * each.time_base) * stream.rate)
                    pieces.append((at, each.to_ndarray().T))
            rate = stream.rate
        whole = np.zeros((max(at + len(piece) for at, piece in pieces), pieces[0][1].shape[1]))
        for at, piece in pieces:
            whole[max(at, 0) : at + len(piece)] = piece[max(-at, 0) :]
        found.append((whole, rate))
    return found


def spans_in(samples: np.ndarray, rate: int, name: str) -> Spans:
    """When somebody's tone sounds in a channel, in seconds."""
    size = round(FRAME * rate)
    step = size // 4
    starts = np.arange(0, len(samples) - size, step)
    turns = np.exp(-2j * np.pi * TONES[name] * np.arange(size) / rate)
    window = np.hanning(size)
    frames = np.lib.stride_tricks.sliding_window_view(samples, size)[::step][: len(starts)]
    levels = 20 * np.log10(np.maximum(2 * np.abs(frames @ (turns * window)) / window.sum(), 1e-6))
    middles = (starts + size / 2) / rate
    return _merged([(at, at) for at in middles[levels > HEARD]])


def spans_heard(call: PhoneCall, name: str, origin: float) -> Spans:
    """When somebody's tone was heard at a phone, in seconds from `origin`, which is a time since the epoch."""
    pitches = {**TONES, "beep": BEEP}
    hearing = Hearing.of(call, pitches.pop(name), list(pitches.values()))
    shift = time.time_ns() - time.monotonic_ns() - int(origin * 1e9)
    times = (hearing.times[hearing.levels > HEARD] + shift) / 1e9
    return _merged([(at - FRAME, at) for at in times])  # what a packet holds was said before it was sent


def _merged(spans: Sequence[tuple[float, float]]) -> Spans:
    """Without the gaps that a packet leaves that came late."""
    found: Spans = []
    for start, end in spans:
        if found and start - found[-1][1] < GAP:
            found[-1] = (found[-1][0], end)
        else:
            found.append((float(start), float(end)))
    return [each for each in found if each[1] - each[0] > 2 * FRAME]


def strange(channel: np.ndarray, said: Iterable[bytes]) -> list[tuple[float, float]]:
    """What of a raw channel of 8 kHz, 16 bits, is neither silence nor a whole frame of these (decoded), in seconds: no
    moment is left out, and nothing is too short or too soft."""
    size = round(FRAME * 8000)
    whole, known = channel.tobytes(), set(said)
    found: list[tuple[int, int]] = []
    at = 0
    while at < len(channel):
        if whole[2 * at : 2 * (at + size)] in known:
            at += size
            continue
        if channel[at]:
            begins = found.pop()[0] if found and found[-1][1] == at else at
            found.append((begins, at + 1))
        at += 1
    return [(start / 8000, end / 8000) for start, end in found]


def without(spans: Spans, cut: Spans) -> Spans:
    """Spans without others."""
    for first, last in cut:
        spans = [
            piece
            for start, end in spans
            for piece in ((start, min(end, first)), (max(start, last), end))
            if piece[1] - piece[0] > 2 * FRAME
        ]
    return spans


def joined(*several: Spans) -> Spans:
    """All of them as one."""
    found: Spans = []
    for start, end in sorted(span for spans in several for span in spans):
        if found and start < found[-1][1] + GAP:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def offset(seen: Spans, wanted: Spans) -> float:
    """By how many seconds the file says all of it earlier than it was heard."""
    assert len(seen) == len(wanted), f"{_text(seen)} and not {_text(wanted)}"
    return float(np.median(np.array(wanted) - np.array(seen)))


def within(spans: Spans, start: float, end: float) -> Spans:
    """What of spans lies in a stretch."""
    return [(max(a, start), min(b, end)) for a, b in spans if b - FRAME > start and a + FRAME < end]


def assert_alike(seen: Spans, wanted: Spans, what: str) -> float:
    """The same spans, each edge within two frames. Gives back by how much the worst is off, in seconds."""
    said = f"{what}: {_text(seen)} and not {_text(wanted)}"
    assert len(seen) == len(wanted), said
    off = [abs(a - b) for one, other in zip(seen, wanted, strict=True) for a, b in zip(one, other, strict=True)]
    assert max(off, default=0.0) <= EXACT, f"{said}, off by {1000 * max(off):.0f} ms"
    return max(off, default=0.0)


def _text(spans: Spans) -> str:
    return " ".join(f"{start:.2f}–{end:.2f}" for start, end in spans) or "nothing"


def trace(samples: np.ndarray, rate: int, freq: float, apart: Spans) -> float:
    """dBFS of a tone where it is loudest for half a second, but for windows that touch `apart`. A packet that came late
    sounds like other tones, too, but no louder at this one than beside it: such a window tells nothing."""
    size = rate // 4
    found = []
    for at in range(0, len(samples) - size + 1, size // 2):
        piece, level = samples[at : at + size], np.inf
        if not any(start < (at + size) / rate and at / rate < end for start, end in apart):
            level = level_dbfs(piece, freq, rate)
            if level >= CLEAN and level < 10 + np.median([level_dbfs(piece, freq + off, rate) for off in BESIDE]):
                level = np.nan
        found.append(level)
    three = [each for each in zip(found, found[1:], found[2:], strict=False) if np.inf not in each]
    lasting = [min(each) for each in three if not np.isnan(each).any()]
    assert len(lasting) > len(three) / 2, f"packets came late: {len(lasting)} of {len(three)} tell something"
    return max(lasting)


def assert_no_trace(samples: np.ndarray, rate: int, names: Iterable[str], apart: Spans) -> None:
    """Nobody of these is in a channel; the beep counts as somebody."""
    for name in names:
        found = trace(samples, rate, BEEP if name == "beep" else TONES[name], apart)
        assert found < (DISTORTED if name in PARTIES else CLEAN), f"{name} is there, at {found:.1f} dBFS"


def edges(*several: Spans) -> Spans:
    """Around the beginnings and ends of spans: a tone that is cut sounds like others there, and the codec of the file,
    with frames of 128 ms, spreads it."""
    return [(at - BLUR, at + BLUR) for spans in several for span in spans for at in span]


def forgotten(stage: Stage, recording: str) -> Callable[[], Any]:
    """Whether nothing of it is left among the raw tracks and journals."""
    folder = stage.service.directory / "var" / "recordings"
    return lambda: not [*folder.glob(f"raw/{recording}*"), *folder.glob(f"journal/{recording}*")]
