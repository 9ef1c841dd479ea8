"""What a finished recording is: its file, who is on it and when, and what was found. The worker writes it beside the
file, the index and the review page read it.

Times inside are seconds from the recording's start, which is the first sample of its call track.
"""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any, Final, Literal, TypeVar, get_args, get_origin, get_type_hints

VERSION: Final = 1

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to `end`."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Agent:
    """An agent's time in the call. One who comes back is there twice."""

    agent: str
    name: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Coach:
    """A coach's time on the call. `track` is the index of his track, None where whispers were not recorded; `modes`
    those that he was in, in the order of their first time; `spans` when somebody could hear him."""

    session: str
    coach: str
    name: str
    track: int | None
    start: float
    end: float
    modes: tuple[str, ...]
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A moment to jump to: start, mode, beep, cue, help, hold, unhold, pause, resume, party, coach, left or taken_over.
    `session` is the coach's whom it tells of, None for what would have been without coaches."""

    at: float
    kind: str
    text: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Cue:
    """What a coach wrote, and the agent's answer: got_it, repeat, need_you or None."""

    at: float
    session: str
    name: str
    text: str
    reply: str | None = None


@dataclass(frozen=True, slots=True)
class Track:
    """An audio track of the file. Of the call's, the left channel is the caller, the right one what he hears."""

    index: int
    kind: Literal["call", "coach"]
    name: str
    language: str
    channels: int
    codec: str
    session: str | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """A coach's voice in one channel of the call track, while the caller was not to hear it, or that none was found.

    `level` is in dB below the coach's own voice (negative), `delay` in ms behind it, `at` where it is loudest (s),
    `confidence` 0 to 1; None where nothing was found.
    """

    session: str
    channel: Literal["caller", "agent"]
    kind: Literal["none", "routing", "acoustic"]
    level: float | None = None
    delay: float | None = None
    at: float | None = None
    confidence: float = 0.0
    flagged: bool = False


@dataclass(frozen=True, slots=True)
class Bleed:
    """What of the coaches is in the call track. `threshold` is the level (dB) from which on a trace is flagged."""

    threshold: float
    traces: tuple[Trace, ...]


@dataclass(frozen=True, slots=True)
class Problem:
    """What is not as it should be, with a stable code: the recording can be used, and this is to be known of it.
    `file` is a raw track that was left out, and stays where it is."""

    code: str
    text: str
    file: str | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A finished recording. `started_at` is in seconds since the epoch, `duration` in seconds, `size` in bytes; `file`
    and `peaks` are paths within the archive. `number` and `name` come from strangers."""

    id: str
    node: str
    queue: str | None
    direction: str
    number: str
    name: str
    started_at: float
    duration: float
    agents: tuple[Agent, ...]
    coaches: tuple[Coach, ...]
    chapters: tuple[Chapter, ...]
    cues: tuple[Cue, ...]
    tracks: tuple[Track, ...]
    file: str
    size: int
    sha256: str
    peaks: str | None = None
    bleed: Bleed | None = None
    problems: tuple[Problem, ...] = ()
    version: int = VERSION

    @property
    def left_out(self) -> frozenset[str]:
        """Raw tracks that are not in the file though their coach may be: nobody deletes them for its sake."""
        return frozenset(problem.file for problem in self.problems if problem.file)


class ResultBroken(Exception):
    """A result that cannot be read."""

    code: Final = "result_broken"


def dump(result: Result) -> dict[str, Any]:
    """In values that JSON knows."""
    return asdict(result)


def load(said: Mapping[str, Any]) -> Result:
    """The opposite of `dump`. Keys that a later version has added are left out. Raises ResultBroken."""
    return _made(Result, said, "result")


def encoded(result: Result) -> bytes:
    """As it stands in its file."""
    return json.dumps(dump(result), ensure_ascii=False, indent=1).encode() + b"\n"


def decoded(raw: bytes) -> Result:
    """What `encoded` has made. Raises ResultBroken."""
    try:
        return load(json.loads(raw))
    except ValueError:
        raise ResultBroken("the result is not JSON") from None


def _made(kind: type[T], said: object, where: str) -> T:
    if not isinstance(said, Mapping):
        raise ResultBroken(f"{where} holds no object")
    hints = get_type_hints(kind)
    assert is_dataclass(kind)  # noqa: S101 - all of them are
    names = {each.name for each in fields(kind)}
    values = {name: _value(hints[name], value, f"{where}.{name}") for name, value in said.items() if name in names}
    try:
        return kind(**values)
    except TypeError as error:
        raise ResultBroken(f"{where}: {error}") from None


def _value(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin is types.UnionType:
        return None if value is None else _value(get_args(hint)[0], value, where)
    if origin is tuple and isinstance(value, list | tuple):
        return tuple(_value(get_args(hint)[0], each, f"{where}[{index}]") for index, each in enumerate(value))
    if origin is Literal and value in get_args(hint):
        return value
    if isinstance(hint, type) and is_dataclass(hint):
        return _made(hint, value, where)
    if hint is float and type(value) in (int, float):
        return float(value)
    if origin is None and type(value) is hint:
        return value
    raise ResultBroken(f"{where} is not what it should be")
