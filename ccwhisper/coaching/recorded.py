"""What is recorded of a call, and how its files are called. The call's own track is taken on the caller's leg, which no
whisper reaches; a coach's is what his microphone gives, and silence while nobody hears him."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum
from typing import Final
from uuid import UUID, uuid5

RecordingId = str

# Any constant will do; it only has to stay the same, so that every service computes the same id.
_RECORDINGS: Final = UUID("0e7f6c1e-6f0c-4a5e-8f3d-6b1d1a0c7d52")

_FILE: Final = re.compile(r"([0-9a-f-]{36})-[0-9A-Za-z_-]{1,80}\.wav\Z")


class Whispers(Enum):
    """What becomes of what coaches say to agents."""

    OFF = "off"
    SEPARATE = "separate"  # a track of his own for each coach
    EXCLUDED = "excluded"  # and nobody can switch it on


@dataclass(frozen=True, slots=True)
class Mark:
    """What the caller's leg carries in a variable: enough for a service that just started to go on."""

    id: RecordingId
    number: int
    call: str
    queue: str | None
    rate: int
    whispers: Whispers
    paused: str | None
    over: str | None
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Recording:
    """One recording: of a caller's leg, from his first call in a queue that is recorded to the end of the leg, or to a
    call in another queue. One that is over is remembered until the leg is gone."""

    id: RecordingId
    node: str
    leg: str
    number: int  # of this leg's: how many there were, with this one
    call: str  # that he is in, or was last
    queue: str | None
    rate: int  # of the call's track, in hertz
    whispers: Whispers  # what the policy says that it began with
    paused: str | None = None  # who has asked for it
    over: str | None = None  # why it ends: call_ended, policy, queue, codec, lost
    problem: str | None = None  # why the switch does not record it
    deadline: float | None = None  # until when the switch may take to close the file

    @property
    def file(self) -> str:
        """The call's track."""
        return call_file(self.id)

    @property
    def live(self) -> bool:
        """Whether it goes on."""
        return self.over is None

    @property
    def mark(self) -> Mark:
        """What the leg is to carry."""
        of = self.id, self.number, self.call, self.queue, self.rate, self.whispers
        return Mark(*of, self.paused, self.over, self.problem)


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a call shows of its recording."""

    id: RecordingId
    paused: str | None  # who has asked for it
    problem: str | None


def recording_id(installation: str, leg: str, call: str, number: int = 1) -> RecordingId:
    """The id of what begins with this call of a caller's leg: the same on every service of an installation, so that two
    that begin it do the same thing twice. `number` counts those of the leg: a file is never begun anew."""
    return str(uuid5(_RECORDINGS, f"{installation}|{leg}|{call}" + (f"|{number}" if number > 1 else "")))


def call_file(recording: RecordingId) -> str:
    """The call's track."""
    return f"{recording}-call.wav"


def track_file(recording: RecordingId, session: str, part: int = 1) -> str:
    """A coach's track; `part` counts those of one session, in whatever recordings: none is ever written over."""
    return f"{recording}-{session}.wav" if part == 1 else f"{recording}-{session}-{part}.wav"


def recording_of(file: str) -> RecordingId | None:
    """Whose track a file is, by its name; None for somebody else's."""
    found = _FILE.match(file)
    return found[1] if found else None
