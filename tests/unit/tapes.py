"""Raw tracks and journals as a switch and a service leave them, made here: tones in known spans."""

from __future__ import annotations

import wave
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from ccwhisper.recording import journal as log

ID = "7c9e6679-7425-50de-944b-e07fc1f90ae7"
ORIGIN = 1795258967.25
CALLER, AGENT, COACH = 600, 1000, 1500
"""Hz: who speaks with which tone."""

Samples = NDArray[np.int16]


def tone(hertz: float, spans: Sequence[tuple[float, float]], seconds: float, rate: int = 8000) -> Samples:
    """One channel: a tone in these spans, and nothing else."""
    at = np.arange(round(seconds * rate)) / rate
    on = np.zeros(len(at), dtype=bool)
    for start, end in spans:
        on |= (at >= start) & (at < end)
    return np.where(on, 12000 * np.sin(2 * np.pi * hertz * at), 0).astype(np.int16)


def wav(path: Path, samples: Samples, rate: int = 8000) -> Path:
    """A finished WAV file; samples by frame, or by frame and channel."""
    samples = samples.reshape(len(samples), -1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(samples.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.astype("<i2").tobytes())
    return path


def killed(path: Path) -> Path:
    """What is left of it when the switch dies: a header that knows no sizes."""
    content = bytearray(path.read_bytes())
    content[4:8] = content[40:44] = bytes(4)
    path.write_bytes(content)
    return path


class Tape:
    """A call of `seconds`, recorded in `folder`: the caller speaks in the odd seconds, the agent in the even ones."""

    def __init__(self, folder: Path, seconds: float = 12.0, name: str = ID, rate: int = 8000) -> None:
        self.name = name
        self.seconds = seconds
        self.raws = folder / "raw"
        self.journal = folder / "journal" / f"{name}.jsonl"
        self.raws.mkdir(exist_ok=True, parents=True)
        self.journal.parent.mkdir(exist_ok=True)
        self.lines: list[log.Line] = [
            log.Start(
                ORIGIN - 0.2, name, "fs1", "leg-1", f"{name}-call.wav", "sales", "inbound", "+49171", "Bo", "separate"
            ),
            log.Begun(ORIGIN, f"{name}-call.wav"),
            log.Party(ORIGIN + 0.1, "1001", "Ada", "call-1", "sales"),
        ]
        odd = [(second, second + 0.5) for second in range(1, int(seconds), 2)]
        even = [(second, second + 0.5) for second in range(0, int(seconds), 2)]
        both = [tone(CALLER, odd, seconds, rate), tone(AGENT, even, seconds, rate)]
        self.call = wav(self.raws / f"{name}-call.wav", np.stack(both, axis=1), rate)

    def say(self, *lines: log.Line) -> None:
        """Lines with times from the recording's start."""
        self.lines += [replace(line, at=ORIGIN + line.at) for line in lines]

    def coach(
        self,
        session: str,
        begin: float,
        spans: Sequence[tuple[float, float]],
        gates: Sequence[tuple[float, float]] | None = None,
        rate: int = 8000,
        hertz: float = COACH,
    ) -> Path:
        """A coach whose track begins at `begin`. He is heard on it in `spans`, the gates are open in `gates` (the same
        unless they are named); both from the recording's start."""
        file = f"{self.name}-{session}.wav"
        self.say(
            log.Coach(begin - 0.05, session, "2001", "Carl", file),
            log.Begun(begin, file),
            log.Mode(begin, session, "listen"),
        )
        for start, end in spans if gates is None else gates:
            self.say(
                log.Mode(start, session, "whisper"),
                log.Gate(start, session, "agent"),
                log.Gate(end, session, "closed"),
                log.Mode(end, session, "listen"),
            )
        moved = [(start - begin, end - begin) for start, end in spans]
        self.say(log.Ended(self.seconds, file))
        return wav(self.raws / file, tone(hertz, moved, self.seconds - begin, rate), rate)

    def write(self, over: bool = True) -> Path:
        """The journal, with an end or without."""
        if over:
            self.say(log.Ended(self.seconds, self.call.name), log.Stop(self.seconds, "call_ended"))
        self.journal.write_bytes(b"".join(log.encoded(line) for line in self.lines))
        return self.journal


def decoded(path: Path, track: int) -> tuple[NDArray[np.float32], int]:
    """A track of a file as players hear it, by channel and sample, and its rate. Time zero is the first sample."""
    with av.open(str(path)) as container:
        stream = container.streams.audio[track]
        rate = stream.codec_context.sample_rate
        pieces = []
        for frame in container.decode(stream):
            assert isinstance(frame, av.AudioFrame)
            assert frame.pts is not None
            assert frame.time_base is not None
            before = round(float(frame.pts * frame.time_base) * rate)
            sound = frame.to_ndarray().astype(np.float32)
            pieces.append(sound[:, -before:] if before < 0 else sound)
    return np.concatenate(pieces, axis=1), rate


def heard(samples: NDArray[np.float32], rate: int, level: float = 0.1) -> list[tuple[float, float]]:
    """Spans (s) in which something is louder than `level`; gaps below 30 ms do not count."""
    loud = np.flatnonzero(np.abs(samples) > level)
    if not len(loud):
        return []
    cuts = np.flatnonzero(np.diff(loud) > 0.03 * rate)
    starts, ends = [loud[0], *loud[cuts + 1]], [*loud[cuts], loud[-1]]
    return [(float(start / rate), float(end / rate)) for start, end in zip(starts, ends, strict=True)]


def near(found: Sequence[tuple[float, float]], wanted: Sequence[tuple[float, float]], by: float = 0.04) -> bool:
    """Whether these are the same spans, two frames more or less."""
    close: Callable[[float, float], bool] = lambda one, other: abs(one - other) <= by  # noqa: E731
    return len(found) == len(wanted) and all(
        close(mine[0], other[0]) and close(mine[1], other[1]) for mine, other in zip(found, wanted, strict=True)
    )


def level(samples: NDArray[np.float32], hertz: float, rate: int) -> float:
    """How loud a tone is in it, in dB below full scale."""
    at = np.arange(len(samples)) / rate
    window = np.hanning(len(samples))
    found = abs(np.sum(samples * window * np.exp(-2j * np.pi * hertz * at))) / (np.sum(window) / 2)
    return float(20 * np.log10(max(found, 1e-9)))
