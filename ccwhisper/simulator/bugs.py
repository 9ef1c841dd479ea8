"""What is attached to legs: eavesdrop with its gate, displace, recording."""

from __future__ import annotations

import contextlib
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from ccwhisper.simulator import sound
from ccwhisper.simulator.legs import Leg, true
from ccwhisper.simulator.media import FRAME, FULL_SCALE_DBM0, Bug, Mix, frame_of

if TYPE_CHECKING:
    from ccwhisper.simulator.state import Switch

FLUSHED: Final = 2
"""Frames of its party's speech that a leg without a jitter buffer loses whenever a bug is added (measured: 80 of 1,001
frames in 20 rounds of attaching and beeping; with ``jitterbuffer_msec=40`` none)."""

_TONE: Final = re.compile(r"tone_stream://(?:v=(-?\d+))?((?:;?%\(\d+,\d+(?:,\d+(?:\.\d+)?)+\))+)(;loops=-1)?\Z")
_PART: Final = re.compile(r"%\((\d+),(\d+)")


def tone_of(path: str) -> tuple[float, float] | None:
    """Amplitude and seconds of a ``tone_stream://``; None for anything else. Its pauses sound too: nobody measures
    them."""
    found = _TONE.match(path)
    if not found:
        return None
    seconds = sum(int(on) + int(off) for on, off in _PART.findall(found[2])) / 1000
    return 10 ** ((float(found[1] or -7) - FULL_SCALE_DBM0) / 20), math.inf if found[3] else seconds


@dataclass
class Recording:
    """A file in the making."""

    leg: str
    bug: int
    path: str
    stereo: bool
    read_only: bool
    since: int
    masked: list[tuple[int, bool]] = field(default_factory=list)  # frame, on
    paused: list[tuple[int, bool]] = field(default_factory=list)


class Bugs:
    """The media bugs of all legs."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._last = 0
        self._recordings: dict[tuple[str, str], Recording] = {}
        self._forgotten: list[str] = []

    # --- lists --------------------------------------------------------------------------------------------------------

    def _add(self, leg: Leg, bug: Bug, first: bool = False) -> None:
        leg.bugs.insert(0 if first else len(leg.bugs), bug)
        if not leg.buffered:
            self._switch.timeline.lose(leg.id, self._switch.clock.now(), FLUSHED)
        self._switch.touch(leg)
        self._switch.fire("MEDIA_BUG_START", leg, Media_Bug_Function=bug.kind, Media_Bug_Target=bug.target)

    def _remove(self, leg: Leg, bug: Bug) -> None:
        leg.bugs = [each for each in leg.bugs if each.id != bug.id]
        self._switch.touch(leg)
        self._switch.fire("MEDIA_BUG_STOP", leg, Media_Bug_Function=bug.kind, Media_Bug_Target=bug.target)

    def _number(self) -> int:
        self._last += 1
        return self._last

    def clear(self, leg: Leg) -> list[Leg]:
        """A leg has ended: everything comes off it. Returns the coaches that listened to it."""
        coaches = []
        for path in [path for where, path in self._recordings if where == leg.id]:
            self.stop_recording(leg, path)
        for bug in list(leg.bugs):
            self._remove(leg, bug)
            coach = self._switch.find(bug.coach) if bug.coach else None
            if coach is not None and coach.listens_to is leg:
                self._silence(coach)
                coaches.append(coach)
        return coaches

    def forget(self, leg: str) -> None:
        """Drop what was heard on a leg, unless a recording still needs it."""
        self._forgotten.append(leg)
        if not self._recordings:
            for each in self._forgotten:
                self._switch.timeline.forget(each)
            self._forgotten.clear()

    # --- eavesdrop ----------------------------------------------------------------------------------------------------

    def attach(self, coach: Leg, leg: Leg) -> None:
        """A coach's leg begins to listen; nobody hears it."""
        bug = Bug(self._number(), "eavesdrop", target=leg.id, coach=coach.id)
        coach.listens_to, coach.listening_bug = leg, bug.id
        self._switch.changed_codec(coach, by_phone=False)
        self._add(leg, bug)
        self._switch.touch(coach)

    def detach(self, coach: Leg) -> None:
        """It stops listening."""
        leg = coach.listens_to
        bug = next((each for each in leg.bugs if each.id == coach.listening_bug), None) if leg else None
        self._silence(coach)
        if leg and bug:
            self._remove(leg, bug)

    def _silence(self, coach: Leg) -> None:
        coach.listens_to, coach.listening_bug = None, 0
        coach.commands.clear()
        self._switch.touch(coach)
        self._switch.changed_codec(coach, by_phone=False)

    def command(self, coach: Leg, text: str) -> None:
        """An event with ``eavesdrop-command`` came for a leg. One is taken from its queue each frame, also by park and
        by a bridge (``switch_ivr_park``, ``audio_bridge_thread``); only an eavesdrop obeys."""
        clock = self._switch.clock
        at = max(frame_of(clock.now()) * FRAME, coach.commands[-1][0] + FRAME if coach.commands else 0.0)
        coach.commands.append((at, text))
        clock.after(at - clock.now(), self._obey, coach, (at, text))

    def _obey(self, coach: Leg, command: tuple[float, str]) -> None:
        if command not in coach.commands:
            return
        coach.commands.remove(command)
        leg = coach.listens_to
        bug = next((each for each in leg.bugs if each.id == coach.listening_bug), None) if leg else None
        if leg is None or bug is None:
            return
        for digit in command[1]:  # one character after the other: "13" barges, "x2" whispers
            match digit:
                case "0":
                    bug = replace(bug, hear_read=False, hear_write=False)
                case "1":  # only the other party
                    bug = replace(bug, hear_read=True, hear_write=False)
                case "2":
                    bug = replace(bug, hear_read=False, hear_write=True)
                case "3":
                    bug = replace(bug, hear_read=True, hear_write=True)
                case "*":  # as if the key had been pressed
                    self._switch.next_application(coach)
                    return
        leg.bugs = [bug if each.id == bug.id else each for each in leg.bugs]
        self._switch.touch(leg)

    def spoil(self, leg: Leg) -> None:
        """A leg's phone has another codec: the buffers of the eavesdrops that it is part of fit no more, and nobody
        hears those coaches until they attach anew (measured)."""
        where = leg.listens_to or leg
        where.bugs = [
            replace(bug, spoilt=True) if bug.kind == "eavesdrop" and leg.id in (bug.coach, where.id) else bug
            for bug in where.bugs
        ]
        self._switch.touch(where)

    # --- displace -----------------------------------------------------------------------------------------------------

    def displace(self, leg: Leg, path: str, limit: int, flags: str) -> bool:
        """Play a tone on a leg; False when it cannot (the same one still plays, or it is no tone)."""
        tone = tone_of(path)
        if not tone or not leg.up or any(bug.kind == "displace" and bug.target == path for bug in leg.bugs):
            return False
        level, seconds = tone
        if limit:
            seconds = min(seconds, limit)
        bug = Bug(self._number(), "displace", path, amplitude=level, mux="m" in flags, reads="r" in flags)
        self._add(leg, bug, first="f" in flags)
        if seconds < math.inf:
            self._switch.clock.after(seconds, self.stop_displacing, leg, path, bug.id)
        return True

    def stop_displacing(self, leg: Leg, path: str, number: int = 0) -> bool:
        """End a tone; False when it does not play."""
        for bug in leg.bugs:
            if bug.kind == "displace" and bug.target == path and number in (0, bug.id):
                self._remove(leg, bug)
                return True
        return False

    # --- recording ----------------------------------------------------------------------------------------------------

    def record(self, leg: Leg, path: str, given: Mapping[str, str]) -> bool:
        """Begin a file (wav). RECORD_STEREO: channel 0 what the leg's party says, 1 what it hears before the bugs that
        come later. RECORD_READ_ONLY: only the former. What is `given` with the command counts before the variables.
        One that is being recorded already is no error (``switch_ivr_record_session_event``), and stays as it is."""
        if (leg.id, path) in self._recordings:
            return True
        if not leg.up or not _writable(Path(path)):
            return False
        bug = Bug(self._number(), "session_record", path)
        stereo, read_only = (
            true(given.get(name) or self._switch.variable(leg, name)) for name in ("RECORD_STEREO", "RECORD_READ_ONLY")
        )
        since = frame_of(self._switch.clock.now())
        self._recordings[leg.id, path] = Recording(leg.id, bug.id, path, stereo, read_only, since)
        self._switch.fire("RECORD_START", leg, Record_File_Path=path)
        self._add(leg, bug)
        return True

    def change_recording(self, leg: Leg, path: str, what: str) -> bool:
        """``mask``, ``unmask`` (silence, time goes on), ``pause``, ``resume`` (the file gets shorter)."""
        recording = self._recordings.get((leg.id, path))
        if recording is None:
            return False
        marks = recording.masked if what in ("mask", "unmask") else recording.paused
        marks.append((frame_of(self._switch.clock.now()), what in ("mask", "pause")))
        return True

    def stop_recording(self, leg: Leg, path: str) -> bool:
        """End a file and write it."""
        recording = self._recordings.pop((leg.id, path), None)
        if recording is None:
            return False
        channels = self.heard_by(recording)
        with contextlib.suppress(OSError):  # as with the switch: only its log would say it
            sound.write_wav(Path(path), channels)
        self._switch.raise_event(
            "RECORD_STOP", {"Record-File-Path": path, "Record-Seconds": str(round(len(channels[0]) * FRAME))}, leg
        )
        for bug in leg.bugs:
            if bug.id == recording.bug:
                self._remove(leg, bug)
        return True

    def heard_by(self, recording: Recording) -> list[list[Mix]]:
        """Frame by frame what a recording holds, channel by channel."""
        timeline, end = self._switch.timeline, frame_of(self._switch.clock.now())
        read = sound.per_frame(timeline.said(recording.leg, recording.since, end))
        channels = [read]
        if not recording.read_only:
            written = sound.per_frame(timeline.tapped(recording.leg, recording.bug, recording.since, end))
            channels = [read, written]
        masked, paused = (_flags(marks, recording.since, end) for marks in (recording.masked, recording.paused))
        channels = [
            [
                {} if hidden else mix
                for mix, hidden, left_out in zip(channel, masked, paused, strict=True)
                if not left_out
            ]
            for channel in channels
        ]
        if recording.stereo or len(channels) == 1:
            return channels
        return [[_sum(one, other) for one, other in zip(*channels, strict=True)]]


def _writable(path: Path) -> bool:
    """The folder is made where it is missing, and a file begins with nothing in it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")
    except OSError:
        return False
    return True


def _flags(marks: list[tuple[int, bool]], start: int, end: int) -> list[bool]:
    flags = [False] * (end - start)
    for at, on in marks:
        flags[max(at - start, 0) :] = [on] * (end - max(at, start))
    return flags


def _sum(one: Mix, other: Mix) -> Mix:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
