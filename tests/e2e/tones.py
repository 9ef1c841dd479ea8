"""Recordings that are made of tones: small files with the tracks of a call and of its coaches."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import numpy as np

from ccwhisper.recording import mp4
from ccwhisper.recording.peaks import Peaks
from ccwhisper.recording.result import Agent, Bleed, Chapter, Coach, Cue, Result, Span, Trace, Track, encoded

RATE = 8000
CALL = Track(0, "call", "Call", "eng", 2, "aac")
COACH = Track(1, "coach", "Grace", "eng", 1, "aac", "s1")
SECOND = Track(2, "coach", "Alan", "eng", 1, "aac", "s2")
HERTZ = {(0, 0): 440.0, (0, 1): 660.0, (1, 0): 1000.0, (2, 0): 1400.0}
"""By track and channel: the caller, the agent, the coaches."""


def coach(track: Track | None, spans: Sequence[tuple[float, float]], sub: str = "grace", name: str = "Grace") -> Coach:
    session = (track.session if track else None) or "s1"
    return Coach(
        session, sub, name, track.index if track else None, 0.0, 30.0, ("listen", "whisper"),
        tuple(Span(*each) for each in spans),
    )  # fmt: skip


def recording(folder: Path, number: int = 1, seconds: float = 6.0, codec: mp4.Codec = "aac", **more: Any) -> Result:
    """Caller and agent all the time, each with a tone of his own, and each coach with his when he can be heard. With
    `talk` they take turns, and swell and fade as who talks does."""
    talk = bool(more.pop("talk", False))
    coaches: tuple[Coach, ...] = more.pop("coaches", (coach(COACH, [(2.0, 4.0)]),))
    named = {each.session: each.name for each in coaches}
    tracks = [CALL, *(each for each in (COACH, SECOND) if each.session in named)]
    tracks = [dataclasses.replace(each, codec=codec, name=named.get(each.session or "", each.name)) for each in tracks]
    made = Result(
        id=str(uuid5(NAMESPACE_URL, f"recording {number}")), node="fs1", queue="support@default",
        direction="inbound", number=f"+120255{number:04}", name="Jo Meyer", started_at=1_790_000_000.0 + number,
        duration=seconds, agents=(Agent("1001", "Ada", 0.0, seconds),), coaches=coaches,
        chapters=(
            Chapter(0.0, "start", "The recording begins"),
            Chapter(2.0, "mode", "Grace whispers", "s1"),
            Chapter(3.0, "cue", "Ask for the order number", "s1"),
            Chapter(5.0, "hold", "On hold"),
        ),
        cues=(Cue(3.0, "s1", "Grace", "Ask for the order number", "got_it"),),
        tracks=tuple(tracks), file=f"2026/09/{number}.mp4", size=0, sha256="", peaks=f"2026/09/{number}.peaks",
        bleed=Bleed(-45.0, (
            Trace("s1", "caller", "none"),
            Trace("s1", "agent", "acoustic", -32.5, 120.0, 2.5, 0.9, True),
        )),
    )  # fmt: skip
    made = dataclasses.replace(made, **more)
    path = folder / made.file
    path.parent.mkdir(parents=True, exist_ok=True)
    peaks = Peaks(tracks, RATE)
    moments = mp4.moments(made.chapters)
    with mp4.Writer(path, tracks, RATE, codec, 24_000, {"title": "A recording"}, moments, seconds) as writer:
        second = 0.0
        while second < seconds:
            blocks = [_block(track, made, second, min(4.0, seconds - second), talk) for track in tracks]
            writer.add(blocks)
            peaks.add(blocks)
            second += 4.0
    if made.peaks:
        peaks.write(folder / made.peaks)
    data = path.read_bytes()
    made = dataclasses.replace(made, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    path.with_suffix(".json").write_bytes(encoded(made))
    return made


def _block(track: Track, made: Result, start: float, seconds: float, talk: bool) -> Any:
    at = start + np.arange(math.ceil(seconds * RATE)) / RATE
    channels = []
    for channel in range(track.channels):
        tone = 0.25 * np.sin(2 * math.pi * HERTZ[track.index, channel] * at)
        if track.kind == "coach":
            spans = next(each.spans for each in made.coaches if each.session == track.session)
            tone = tone * sum((at >= span.start) & (at < span.end) for span in spans)
        channels.append(tone * _talk(at, track, channel) if talk else tone)
    return np.rint(np.stack(channels, axis=1) * 32767).astype(np.int16)


def _talk(at: Any, track: Track, channel: int) -> Any:
    """How loud somebody is: syllables within phrases within turns."""
    shift = 1.7 * track.index + 0.9 * channel
    syllables = np.abs(np.sin(7.3 * at + shift)) ** 1.5 * (0.6 + 0.4 * np.sin(2.9 * at + 3 * shift))
    phrases = np.clip(1.6 * np.sin(0.83 * at + 2 * shift) + 1.1, 0.0, 1.0)
    turns = np.clip(8 * np.sin(0.19 * at + channel * math.pi), 0.02, 1.0) if track.kind == "call" else 1.0
    return syllables * phrases * turns * 1.4
