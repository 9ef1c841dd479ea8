"""Makes the file of a recording from its journal and raw tracks, in a folder of its own, and looks whether it is whole.
What is done with it then is `work`'s."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import av
import numpy as np
from numpy.typing import NDArray

from ccwhisper.recording import journal as log
from ccwhisper.recording import mp4
from ccwhisper.recording.bleed import RATE, Meter, Voice
from ccwhisper.recording.peaks import Peaks
from ccwhisper.recording.places import digest, sync
from ccwhisper.recording.plan import Placed, Plan, plan
from ccwhisper.recording.raw import Raw, RawBroken, Samples
from ccwhisper.recording.result import Bleed, Problem, Result, Track
from ccwhisper.recording.tracks import Joined, Timed, samples_of

BLOCK_SECONDS: Final = 4
"""What is held of each track at a time."""

SHORT: Final = 0.25
"""Seconds by which a track of the finished file may be off: the encoder's last frame and what it puts in front."""


ASTRAY: Final = 86400.0
"""Seconds after the call's track: what begins so late was not written then, but a clock was set. The file would be
silence for as long."""


class NotWhole(Exception):
    """The file that was made is not what it was to be."""

    code: Final = "not_verified"


@dataclass(frozen=True, slots=True)
class Wish:
    """How the file is to be. `bitrate` is in bit/s and channel, `language` a code of ISO 639-2. `threshold` is the
    level (dB) from which on bleed is flagged, None: not measured."""

    codec: mp4.Codec = "aac"
    bitrate: int = 24_000
    language: str = "und"
    threshold: float | None = None


def make(path: Path, raws: Mapping[str, Path], folder: Path, wish: Wish) -> Result:
    """The recording of a journal. `raws` is where each raw track is, by its name. In `folder` there are then
    `<id>.mp4` and `<id>.peaks`, both on the disk. Raises JournalBroken, RawBroken for the call track, NotWhole, OSError
    and av.FFmpegError."""
    journal = log.read(path)
    planned = plan(journal)
    problems = list(planned.problems)
    with ExitStack() as stack:
        call = stack.enter_context(Raw(raws[planned.call.file]))
        opened: list[tuple[Placed, Raw]] = []
        for placed in planned.whispers:
            try:
                raw = stack.enter_context(Raw(raws[placed.file]))
            except RawBroken as error:
                problems.append(Problem(error.code, str(error)))
                continue
            if -raw.seconds < placed.offset < call.seconds + ASTRAY:
                opened.append((placed, raw))
            else:
                text = (
                    f"by the switch's clock, {placed.file} begins {placed.offset:+.0f} s from the call: it is left out"
                )
                problems.append(Problem("track_astray", text, placed.file))
        return _Making(planned, call, opened, wish, folder).made(problems)


class _Making:
    def __init__(
        self, planned: Plan, call: Raw, opened: Sequence[tuple[Placed, Raw]], wish: Wish, folder: Path
    ) -> None:
        self._wish = wish
        self._rate = _rate([call, *(raw for _, raw in opened)])
        pauses = planned.pauses
        self._timed: list[Timed | Joined] = [Timed(call, planned.call, self._rate, 2, None, pauses)]
        # A coach who has gone along to another call has a file for each.
        parts: dict[str, list[tuple[Placed, Raw]]] = {}
        for placed, raw in opened:
            parts.setdefault(placed.session or "", []).append((placed, raw))
        self._timed += [
            Joined([Timed(raw, placed, self._rate, 1, placed.spans, pauses) for placed, raw in each])
            for each in parts.values()
        ]
        self._duration = max(each.end for each in self._timed)
        self._plan = planned.ended(self._duration)
        names = {each.session: each.name for each in planned.coaches}
        encoded = "aac" if wish.codec == "aac" else "opus"
        self._tracks = [Track(0, "call", "Call", wish.language, 2, encoded)]
        self._index = {placed.file: number for number, each in enumerate(parts.values(), 1) for placed, _ in each}
        for number, session in enumerate(parts, 1):
            name = f"Coach {names.get(session, '')}".strip()
            self._tracks.append(Track(number, "coach", name, wish.language, 1, encoded, session))
        self._file = folder / f"{planned.start.id}.mp4"
        self._peaks = folder / f"{planned.start.id}.peaks"

    def made(self, problems: list[Problem]) -> Result:
        meter = self._meter()
        peaks = Peaks(self._tracks, self._rate)
        self._write(peaks, meter)
        peaks.write(self._peaks)
        self._verify()
        for path in (self._file, self._peaks):
            sync(path)
        for timed in self._timed:
            problems += timed.problems
        bleed = meter.done() if meter else None
        if meter and meter.failure:
            problems.append(Problem("bleed_not_measured", meter.failure))
        return self._result(problems, bleed)

    def _write(self, peaks: Peaks, meter: _Meter | None) -> None:
        chapters = mp4.moments(self._plan.chapters)
        total = round(self._duration * self._rate)
        size = BLOCK_SECONDS * self._rate
        wish = self._wish
        with mp4.Writer(
            self._file, self._tracks, self._rate, wish.codec, wish.bitrate, self._tags(), chapters, self._duration
        ) as writer:
            for at in range(0, total, size):
                blocks = [each.take(min(size, total - at)) for each in self._timed]
                writer.add(blocks)
                peaks.add(blocks)
                if meter:
                    meter.add(blocks)

    def _verify(self) -> None:
        found = mp4.verify(self._file)
        if len(found) != len(self._tracks):
            raise NotWhole(f"the file has {len(found)} tracks, and should have {len(self._tracks)}")
        for track, seen in zip(self._tracks, found, strict=True):
            if abs(seen.seconds - self._duration) > SHORT or seen.channels != track.channels:
                text = f"{seen.channels} channels and {seen.seconds:.2f} s"
                raise NotWhole(f"track {track.index} has {text}, not {track.channels} and {self._duration:.2f} s")
            if seen.default != (track.index == 0):
                raise NotWhole("it is not the call track that players begin with")

    def _meter(self) -> _Meter | None:
        if self._wish.threshold is None or len(self._tracks) == 1:
            return None
        sessions = [track.session or "" for track in self._tracks[1:]]
        return _Meter(
            [Voice(each, self._plan.public.get(each, ())) for each in sessions], self._wish.threshold, self._rate
        )

    def _tags(self) -> dict[str, str]:
        start = self._plan.start
        agents = ", ".join(dict.fromkeys(each.name for each in self._plan.agents))
        found = {
            "title": f"Call, {start.queue}" if start.queue else "Call",
            "creation_time": datetime.fromtimestamp(self._plan.origin, UTC).isoformat(),
            "recording": start.id,
            "call": start.leg,
            "node": start.node,
            "queue": start.queue or "",
            "agent": agents,
            "direction": start.direction,
        }
        return {name: text for name, text in found.items() if text}

    def _result(self, problems: Sequence[Problem], bleed: Bleed | None) -> Result:
        made = self._plan
        files = {None: None} | {placed.file: self._index.get(placed.file) for placed in made.whispers}
        by_number = {number: files[placed.file] for number, placed in enumerate(made.whispers, 1)}
        coaches = tuple(
            replace(each, track=None if each.track is None else by_number[each.track]) for each in made.coaches
        )
        return Result(
            id=made.start.id,
            node=made.start.node,
            queue=made.start.queue,
            direction=made.start.direction,
            number=made.start.number,
            name=made.start.name,
            started_at=made.origin,
            duration=round(self._duration, 3),
            agents=made.agents,
            coaches=coaches,
            chapters=made.chapters,
            cues=made.cues,
            tracks=tuple(self._tracks),
            file=self._file.name,
            size=self._file.stat().st_size,
            sha256=digest(self._file),
            peaks=self._peaks.name,
            bleed=bleed,
            problems=tuple(problems),
        )


class _Meter:
    """Measures bleed at its own rate. A measurement that stumbles is given up: the recording is worth more."""

    def __init__(self, voices: Sequence[Voice], threshold: float, rate: int) -> None:
        self._meter = Meter(voices, threshold)
        self.failure = ""
        self._sessions = [each.session for each in voices]
        self._rate = rate
        self._resamplers = [
            av.AudioResampler(format="s16", layout=layout, rate=RATE) for layout in ["stereo"] + ["mono"] * len(voices)
        ]

    def add(self, blocks: Sequence[Samples]) -> None:
        if self.failure:
            return
        slow = [self._slow(number, block) for number, block in enumerate(blocks)]
        coaches = {session: each[:, 0] for session, each in zip(self._sessions, slow[1:], strict=True)}
        try:
            self._meter.add(slow[0], coaches)
        except Exception as error:
            self._failed(error)

    def done(self) -> Bleed | None:
        try:
            return None if self.failure else self._meter.done()
        except Exception as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        self.failure = f"{type(error).__name__}: {error}"

    def _slow(self, number: int, block: Samples) -> NDArray[np.float32]:
        if self._rate != RATE:
            layout = "mono" if number else "stereo"
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(block).reshape(1, -1), format="s16", layout=layout)
            frame.sample_rate = self._rate
            pieces = [samples_of(each, block.shape[1]) for each in self._resamplers[number].resample(frame)]
            block = np.concatenate(pieces) if pieces else block[:0]
        slow: NDArray[np.float32] = block.astype(np.float32) / np.float32(32768)
        return slow


def _rate(raws: Sequence[Raw]) -> int:
    highest = max(raw.rate for raw in raws)
    return next((rate for rate in mp4.RATES if rate >= highest), mp4.RATES[-1])
