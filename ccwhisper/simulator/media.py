"""Who hears whom, worked out when somebody asks.

No frame is computed while calls run. What the switch does to a leg (bridge, media bugs, hold) is noted with the frame
from which it holds; a question about a stretch of time replays that history, in pieces during which nothing changed.
A mix is a mapping of sources to amplitudes (1.0 is full scale): parties by their name, the beep as ``beep``.

The order of mixing is FreeSWITCH's (``src/switch_core_io.c`` for reading, ``src/switch_core_media.c`` for writing):

- Bugs stand in a list, the newest last. What the party of a leg says passes all of them first (READ_REPLACE), and only
  then does each take its copy (READ_STREAM): so a coach hears every other coach who speaks to the other party, whoever
  came first. His own voice is taken out again (``read_demux_frame``).
- What the party of a leg is to hear passes the bugs one after the other, each taking its copy before it adds its own
  (WRITE_STREAM, WRITE_REPLACE): so a coach hears the whisper of those who attached before him, not of those after.
- ``displace`` without ``mux`` silences the other direction; with flag ``r`` it plays to the other party.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

FRAME: Final = 0.02
"""Seconds. Every packet is 20 ms."""

SPEECH: Final = 10 ** (-16 / 20)
"""Amplitude of everybody who speaks: -16 dBFS, as in the measurements on a real switch."""

SILENCE: Final = -120.0
"""dBFS of nothing at all."""

FULL_SCALE_DBM0: Final = 3.17
"""A full-scale sine in G.711 is +3.17 dBm0, so a tone of v=-13 is -16.17 dBFS (measured)."""

BEEP: Final = "beep"
FOREVER: Final = 2**62
_DEPTH: Final = 8  # coaches who coach coaches; more than anybody does

Mix = dict[str, float]


@dataclass(frozen=True, slots=True)
class Bug:
    """A media bug on a leg. ``hear_read`` and ``hear_write`` are eavesdrop's ED_MUX_READ and ED_MUX_WRITE: whether the
    coach is heard by the party beyond the leg, and by the leg's own party."""

    id: int
    kind: str  # eavesdrop, displace, session_record
    target: str = ""
    coach: str = ""
    hear_read: bool = False
    hear_write: bool = False
    spoilt: bool = False
    amplitude: float = 0.0
    mux: bool = True
    reads: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What holds for a leg from some frame on. ``link`` says what its party is given to hear: the leg that it is
    bridged with, the leg it listens to (with the bug), or nothing."""

    up: bool = False
    party: str = ""
    rate: int = 8000
    held: bool = False
    link: str = ""  # bridge, eavesdrop
    other: str = ""
    bug: int = 0
    bugs: tuple[Bug, ...] = ()


_GONE: Final = View()


@dataclass(frozen=True, slots=True)
class Piece:
    """A mix that stays the same for ``frames`` frames from ``start`` on."""

    start: int
    frames: int
    mix: Mix


def frame_of(seconds: float) -> int:
    """The first frame that begins at or after a moment."""
    return math.ceil(seconds / FRAME - 1e-9)


def dbfs(amplitude: float) -> float:
    """Level of an amplitude."""
    return max(SILENCE, 20 * math.log10(amplitude)) if amplitude > 0 else SILENCE


class Timeline:
    """The history of all legs, and the questions that can be asked of it."""

    def __init__(self) -> None:
        self._starts: dict[str, list[int]] = {}
        self._views: dict[str, list[View]] = {}
        self._lost: dict[str, list[tuple[int, int]]] = {}
        self._until = FOREVER

    def note(self, leg: str, at: float, view: View) -> None:
        """A leg looks like this from the next frame on."""
        start = frame_of(at)
        starts, views = self._starts.setdefault(leg, []), self._views.setdefault(leg, [])
        if starts and starts[-1] >= start:
            views[-1] = view
        elif not views or views[-1] != view:
            starts.append(start)
            views.append(view)

    def lose(self, leg: str, at: float, frames: int) -> None:
        """What the leg's party says in the next frames is thrown away before anybody gets it."""
        start = frame_of(at)
        self._lost.setdefault(leg, []).append((start, start + frames))

    def forget(self, leg: str) -> None:
        """Drop the history of a leg."""
        for table in (self._starts, self._views, self._lost):
            table.pop(leg, None)

    def heard(self, leg: str, start: int, end: int) -> list[Piece]:
        """What the party of a leg hears in frames [start, end)."""
        return self._pieces(leg, start, end, self._written)

    def said(self, leg: str, start: int, end: int) -> list[Piece]:
        """What the switch takes from a leg after its bugs had their turn: what a recording has of it."""
        return self._pieces(leg, start, end, self._read)

    def tapped(self, leg: str, bug: int, start: int, end: int) -> list[Piece]:
        """What goes to a leg's party, as a bug on it finds it when its turn comes."""
        return self._pieces(leg, start, end, lambda leg, frame, _, depth: self._written(leg, frame, bug, depth))

    def _pieces(self, leg: str, start: int, end: int, question: Callable[[str, int, int, int], Mix]) -> list[Piece]:
        pieces = []
        frame = start
        while frame < end:
            self._until = FOREVER
            mix = question(leg, frame, 0, 0)
            until = min(self._until, end)
            pieces.append(Piece(frame, until - frame, mix))
            frame = until
        return pieces

    # --- one frame; each look into the history also notes until when the answer holds --------------------------------

    def _view(self, leg: str, frame: int) -> View:
        starts = self._starts.get(leg)
        if not starts:
            return _GONE
        at = bisect.bisect_right(starts, frame)
        if at < len(starts):
            self._until = min(self._until, starts[at])
        return self._views[leg][at - 1] if at else _GONE

    def _flushed(self, leg: str, frame: int) -> bool:
        flushed = False
        for start, end in self._lost.get(leg, ()):
            if start <= frame < end:
                flushed = True
                self._until = min(self._until, end)
            elif frame < start:
                self._until = min(self._until, start)
        return flushed

    def _read(self, leg: str, frame: int, skip: int, depth: int) -> Mix:
        """What comes from a leg's party, after the leg's bugs; without what bug ``skip`` adds."""
        view = self._view(leg, frame)
        if not view.up or view.held or depth > _DEPTH:
            return {}
        mix = {} if self._flushed(leg, frame) else {view.party: SPEECH}
        for bug in view.bugs:
            if bug.kind == "eavesdrop" and bug.hear_read and bug.id != skip:
                self._add_coach(mix, view, bug, frame, depth)
            elif bug.kind == "displace" and bug.reads:
                mix = {**(mix if bug.mux else {}), BEEP: bug.amplitude}
            elif bug.kind == "displace" and not bug.mux:
                mix = {}
        return mix

    def _written(self, leg: str, frame: int, upto: int, depth: int) -> Mix:
        """What goes to a leg's party; with ``upto``, what that bug finds when its turn comes."""
        view = self._view(leg, frame)
        if not view.up or view.held or depth > _DEPTH:
            return {}
        mix: Mix = {}
        if view.link == "bridge":
            mix = dict(self._read(view.other, frame, 0, depth + 1))
        elif view.link == "eavesdrop":
            mix = dict(self._read(view.other, frame, view.bug, depth + 1))
            _add(mix, self._written(view.other, frame, view.bug, depth + 1))
        for bug in view.bugs:
            if bug.id == upto:
                return mix
            if bug.kind == "eavesdrop" and bug.hear_write:
                self._add_coach(mix, view, bug, frame, depth)
            elif bug.kind == "displace" and not bug.reads:
                mix = {**(mix if bug.mux else {}), BEEP: bug.amplitude}
            elif bug.kind == "displace" and not bug.mux:
                mix = {}
        return mix

    def _add_coach(self, mix: Mix, view: View, bug: Bug, frame: int, depth: int) -> None:
        voice = {} if bug.spoilt else self._read(bug.coach, frame, 0, depth + 1)
        if self._view(bug.coach, frame).rate > view.rate:
            # Measured: a coach decoded at a higher rate than the agent's leg is heard slowed down, as another sound.
            voice = {f"{name} (garbled)": level for name, level in voice.items()}
        _add(mix, voice)


def _add(mix: Mix, more: Mix) -> None:
    for name, level in more.items():
        mix[name] = mix.get(name, 0.0) + level


# --- answers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Heard:
    """How loud a source was over a stretch (mean amplitude, as a projection on its tone would find it), and in how
    many of its frames it was there at all."""

    dbfs: float
    frames: int


def levels(pieces: list[Piece]) -> dict[str, Heard]:
    """Every source in a stretch."""
    total = sum(piece.frames for piece in pieces)
    sums: dict[str, float] = {}
    counts: dict[str, int] = {}
    for piece in pieces:
        for name, level in piece.mix.items():
            sums[name] = sums.get(name, 0.0) + level * piece.frames
            counts[name] = counts.get(name, 0) + piece.frames
    return {name: Heard(round(dbfs(sums[name] / total), 2), counts[name]) for name in sums}


@dataclass(frozen=True, slots=True)
class Exactness:
    """What became of a speaker's frames: ``gaps`` are (frame from the start, count) of what did not arrive, ``foreign``
    counts frames in which anybody else was heard too."""

    matched: int
    missing: int
    foreign: int
    gaps: tuple[tuple[int, int], ...]


def exactness(pieces: list[Piece], speaker: str) -> Exactness:
    """Whether a listener got every frame of a speaker, and nothing else."""
    matched = foreign = 0
    gaps: list[tuple[int, int]] = []
    begin = pieces[0].start if pieces else 0
    for piece in pieces:
        foreign += piece.frames if set(piece.mix) - {speaker} else 0
        if speaker in piece.mix:
            matched += piece.frames
        elif gaps and sum(gaps[-1]) == piece.start - begin:
            gaps[-1] = (gaps[-1][0], gaps[-1][1] + piece.frames)
        else:
            gaps.append((piece.start - begin, piece.frames))
    return Exactness(matched, sum(count for _, count in gaps), foreign, tuple(gaps))
