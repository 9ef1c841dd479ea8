"""What is listed of recordings: in which state each is, who is on it, and what reviewers say of it. The store keeps it,
the API tells it, the queue of work writes it. A recording that is not finished is listed as well, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, Protocol

from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Agent, Problem, Result, Trace

State = Literal["recording", "waiting", "working", "ready", "failed", "deleted"]
"""The call is up; its tracks wait to be worked on; they are; the file is there; it could not be made; it is gone."""

STATES: Final[tuple[State, ...]] = ("recording", "waiting", "working", "ready", "failed", "deleted")


@dataclass(frozen=True, slots=True)
class Person:
    """An agent or a coach."""

    id: str
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A recording in the list. Times are aware and in UTC, `duration` is in seconds. `number` and `name` come from
    strangers; of a deleted recording they are empty. `modes` are those that coaches were in. `routing` and `acoustic`
    say whether such bleed is flagged, None where it was not measured."""

    id: str
    state: State
    problem: Problem | None
    node: str
    queue: str | None
    direction: str
    number: str
    name: str
    started_at: datetime
    duration: float | None
    agents: tuple[Person, ...]
    coaches: tuple[Person, ...]
    modes: tuple[str, ...]
    routing: bool | None
    acoustic: bool | None
    comments: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which recordings. None is any; `since` is included, `until` is not. `queues` is whose token asks: None is every
    queue, and calls of none. `text` is found in number, name, cues, comments and the names of people."""

    queues: frozenset[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    agent: str | None = None
    coach: str | None = None
    queue: str | None = None
    mode: str | None = None
    state: State | None = None
    flagged: bool | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True)
class EntryPage:
    """Entries, newest first, and where the next page begins: None after the last."""

    entries: tuple[Entry, ...]
    next: str | None


LONGEST_COMMENT: Final = 2000
"""Characters."""


@dataclass(frozen=True, slots=True)
class Comment:
    """What a reviewer says of a moment, `at` seconds into the recording."""

    id: int
    author: str
    name: str
    at: float
    text: str
    created_at: datetime
    edited_at: datetime | None


class Shelf(Protocol):
    """The list of recordings, as the queue of work needs it. Raises Unavailable; makes nobody wait but who asks."""

    def state(
        self,
        recording: str,
        state: State,
        problem: Problem | None = None,
        start: Start | None = None,
        agents: Sequence[Person] = (),
    ) -> bool:
        """What is known of one that is not finished; False of one that was deleted."""

    def keep(self, result: Result) -> bool:
        """A finished one; False of one that was deleted."""

    def forget(self, recording: str) -> None:
        """It is deleted."""

    def one(self, recording: str) -> tuple[Entry, Result | None]:
        """Raises NotFound."""

    def search(self, wanted: Wanted, after: str | None = None, limit: int = 50) -> EntryPage:
        """The newest, or those that follow `after`."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one agent with one headset: recordings on which a coach's voice could come back, and on how many it did.
    `worst` is the loudest flagged echo in dB below the coach's own voice."""

    agent: str
    name: str
    headset: str | None
    measured: int
    routing: int
    acoustic: int
    worst: float | None


@dataclass(frozen=True, slots=True)
class Exposure:
    """What was measured of one agent on one recording."""

    measured: bool = False
    routing: bool = False
    acoustic: bool = False
    level: float | None = None


def exposures(result: Result) -> dict[str, Exposure]:
    """By agent, what bleed was measured. A trace counts for the agent who was in the call at its moment."""
    found = {each.agent: Exposure(_coached(each, result)) for each in result.agents}
    for trace in result.bleed.traces if result.bleed else ():
        whose = _at(trace, result.agents)
        if whose is None or not trace.flagged:
            continue
        before = found[whose]
        level = before.level
        if trace.kind == "acoustic" and trace.level is not None:
            level = trace.level if level is None else max(level, trace.level)
        found[whose] = Exposure(
            True, before.routing or trace.kind == "routing", before.acoustic or trace.kind == "acoustic", level
        )
    return found


def _coached(agent: Agent, result: Result) -> bool:
    """Whether a coach could be heard while he was in the call, and it was measured what came of it."""
    spans = [(span.start, span.end) for coach in result.coaches if coach.track is not None for span in coach.spans]
    times = [(each.start, each.end) for each in result.agents if each.agent == agent.agent]
    return result.bleed is not None and any(
        start < until and since < end for start, end in spans for since, until in times
    )


def _at(trace: Trace, agents: tuple[Agent, ...]) -> str | None:
    if trace.at is None:
        return None
    before = [each for each in agents if each.start <= trace.at]
    return max(before, key=lambda each: each.start).agent if before else agents[0].agent if agents else None
