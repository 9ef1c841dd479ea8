"""The journal of a recording: one file of JSON lines, written while the call is up, and all that is known of it besides
its raw tracks. A line is appended and never changed, so a service that dies loses at most the line that it was writing.

Times are seconds since the epoch by the switch's clock. Every line has `at` and `what`; the first one is a `Start`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import ClassVar, Final

from ccwhisper.coaching.recorded import recording_of

VERSION: Final = 1

LATEST: Final = 253_402_300_799
"""The end of the year 9999: a later moment is none."""


@dataclass(frozen=True, slots=True)
class Start:
    """A recording begins. `file` is the raw call track's name in the folder of raw tracks: stereo, the caller left,
    what he hears right. `number` and `name` come from strangers."""

    WHAT: ClassVar[str] = "start"
    at: float
    id: str
    node: str
    leg: str  # the caller's
    file: str
    queue: str | None
    direction: str
    number: str
    name: str
    whisper: str  # off, separate or excluded: the policy that the recording began with
    version: int = VERSION


@dataclass(frozen=True, slots=True)
class Begun:
    """The switch has begun to write a raw track: `at` is the time of its first sample (RECORD_START)."""

    WHAT: ClassVar[str] = "begun"
    at: float
    file: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The switch has closed a raw track (RECORD_STOP)."""

    WHAT: ClassVar[str] = "ended"
    at: float
    file: str


@dataclass(frozen=True, slots=True)
class Party:
    """An agent has come into the call, the first one too, or a coach who has taken it over."""

    WHAT: ClassVar[str] = "party"
    at: float
    agent: str
    name: str
    call: str
    queue: str | None = None


@dataclass(frozen=True, slots=True)
class Coach:
    """A coach is attached. `file` is the name of his raw track, mono; None where whispers are not recorded."""

    WHAT: ClassVar[str] = "coach"
    at: float
    session: str
    coach: str
    name: str
    file: str | None


@dataclass(frozen=True, slots=True)
class Mode:
    """A coach is in another mode: listen, whisper or barge."""

    WHAT: ClassVar[str] = "mode"
    at: float
    session: str
    mode: str


@dataclass(frozen=True, slots=True)
class Gate:
    """Who hears a coach from now on: closed, agent or everyone. Before the first one, nobody."""

    WHAT: ClassVar[str] = "gate"
    at: float
    session: str
    gate: str


@dataclass(frozen=True, slots=True)
class Left:
    """A coach is no longer attached; `reason` as the session's end says it, or moved, or taken_over: from then on he is
    a party, and what he says is in the call track."""

    WHAT: ClassVar[str] = "left"
    at: float
    session: str
    reason: str


@dataclass(frozen=True, slots=True)
class Beep:
    """The agent hears a beep."""

    WHAT: ClassVar[str] = "beep"
    at: float
    session: str


@dataclass(frozen=True, slots=True)
class Cue:
    """A coach has written to the agent."""

    WHAT: ClassVar[str] = "cue"
    at: float
    session: str
    cue: str
    text: str


@dataclass(frozen=True, slots=True)
class Reply:
    """The agent has answered a cue: got_it, repeat or need_you."""

    WHAT: ClassVar[str] = "reply"
    at: float
    cue: str
    reply: str


@dataclass(frozen=True, slots=True)
class Hand:
    """The agent asks for help."""

    WHAT: ClassVar[str] = "hand"
    at: float
    agent: str
    note: str


@dataclass(frozen=True, slots=True)
class Hold:
    """The call is on hold, or no longer."""

    WHAT: ClassVar[str] = "hold"
    at: float
    held: bool


@dataclass(frozen=True, slots=True)
class Pause:
    """Call and coach tracks are silent from now on, or no longer (a card number). `by` is who asked."""

    WHAT: ClassVar[str] = "pause"
    at: float
    paused: bool
    by: str


@dataclass(frozen=True, slots=True)
class Problem:
    """A raw track is not what it should be: not_recorded (the switch would not begin it; `text` is what it said) or
    cut_short (it was closed before its time)."""

    WHAT: ClassVar[str] = "problem"
    at: float
    code: str
    text: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Stop:
    """The recording is over: call_ended, policy, queue or codec (another one goes on), or lost where the end was not
    seen."""

    WHAT: ClassVar[str] = "stop"
    at: float
    reason: str


Line = (
    Start | Begun | Ended | Party | Coach | Mode | Gate | Left | Beep | Cue | Reply | Hand | Hold | Pause | Problem
    | Stop
)  # fmt: skip

_KINDS: Final[Mapping[str, type[Line]]] = {
    kind.WHAT: kind
    for kind in (
        Start,
        Begun,
        Ended,
        Party,
        Coach,
        Mode,
        Gate,
        Left,
        Beep,
        Cue,
        Reply,
        Hand,
        Hold,
        Pause,
        Problem,
        Stop,
    )
}


_FORMS: Final[Mapping[object, tuple[type, ...]]] = {
    "float": (int, float),
    "int": (int,),
    "bool": (bool,),
    "str": (str,),
    "str | None": (str, type(None)),
}


class JournalBroken(Exception):
    """A journal that does not say what was recorded: no line, no `Start` in front, or the names of others' files."""

    code: Final = "journal_broken"


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal that was read. `torn` counts lines that could not be read: the last one of a service that died."""

    start: Start
    lines: tuple[Line, ...] = field(default=())
    torn: int = 0

    @property
    def over(self) -> bool:
        """Whether it has an end."""
        return any(isinstance(line, Stop) for line in self.lines)


def encoded(line: Line) -> bytes:
    """A line as it stands in the file, with its end."""
    said = {"what": line.WHAT} | asdict(line)
    # Half of a surrogate pair, in the name of a token, would end the thread that writes.
    return json.dumps(said, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace") + b"\n"


def decoded(raw: bytes) -> Line | None:
    """A line of the file; None for one that is torn, or says what no line says. Its values came from switches, and
    whoever reads it stumbles over none of them."""
    try:
        said = json.loads(raw)
        kind = _KINDS[said.pop("what")]
        forms = {each.name: _FORMS[each.type] for each in fields(kind)}
        known = {name: value for name, value in said.items() if name in forms}
        if not all(type(value) in forms[name] for name, value in known.items()):
            return None
        line: Line = kind(**known)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return line if 0 <= line.at <= LATEST else None


def read(path: Path) -> Journal:
    """Raises OSError and JournalBroken. What it names is of this recording: what is read, made and deleted by it is
    nobody else's."""
    found = [decoded(raw) for raw in path.read_bytes().splitlines()]
    lines = tuple(line for line in found if line is not None)
    if not lines or not isinstance(lines[0], Start):
        raise JournalBroken(f"{path.name} does not begin with what was recorded")
    start = lines[0]
    names = [start.file, *(line.file for line in lines if isinstance(line, Coach) and line.file)]
    if start.id != path.stem or any(recording_of(name) != start.id for name in names):
        raise JournalBroken(f"{path.name} names a file that is no raw track of this recording")
    return Journal(start, lines, torn=found.count(None))


def journals(directory: Path) -> Iterator[Path]:
    """Those in a folder, oldest name first."""
    yield from sorted(directory.glob("*.jsonl"))
