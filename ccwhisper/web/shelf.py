"""The recordings as the API reaches them: what serves them, and which of them somebody may hear."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from ccwhisper.coaching.errors import NotFound
from ccwhisper.coaching.model import Actor
from ccwhisper.coaching.policy import EVERY_QUEUE
from ccwhisper.recording.index import Comment, Entry, EntryPage, Tally, Wanted
from ccwhisper.recording.result import Result
from ccwhisper.web.tickets import Tickets


class Recorded(Protocol):
    """The list of recordings. Raises Unavailable (`store_unavailable`); makes nobody wait but who asks."""

    def search(self, wanted: Wanted, after: str | None = None, limit: int = 50) -> EntryPage:
        """The newest, or those that follow `after`. Raises Invalid (`cursor_invalid`)."""

    def one(self, recording: str) -> tuple[Entry, Result | None]:
        """One, and what it is when it is finished. Raises NotFound (`recording_not_found`)."""

    def tallies(self, queues: frozenset[str] | None, since: datetime | None) -> tuple[Tally, ...]:
        """By agent and headset."""

    def forget(self, recording: str) -> None:
        """It is deleted."""

    def comments(self, recording: str) -> tuple[Comment, ...]:
        """In the order of their moments."""

    def comment(self, recording: str, author: str, name: str, at: float, text: str) -> Comment:
        """A new one. Raises Conflict (`too_many_comments`)."""

    def edit_comment(self, recording: str, number: int, author: str, text: str) -> Comment:
        """Raises NotFound (`comment_not_found`) and Forbidden (`comment_of_another`)."""

    def drop_comment(self, recording: str, number: int, author: str) -> Comment:
        """Raises as `edit_comment`."""


class Files(Protocol):
    """The files of finished recordings. Raises NotFound and Unavailable; makes nobody wait but who asks."""

    def whole(self, result: Result) -> Path:
        """The recording's file."""

    def track(self, result: Result, index: int) -> Path:
        """One track, alone. Raises NotFound (`track_not_found`)."""

    def without_coaches(self, result: Result) -> Path:
        """The recording without the tracks of coaches, and without what tells of them."""

    def peaks(self, result: Result) -> Path:
        """What the waveforms are drawn from."""

    def delete(self, result: Result) -> None:
        """They are gone."""


class Work(Protocol):
    """Recordings that are not finished."""

    def retry(self, recording: str) -> None:
        """It is tried again now. Raises NotFound."""

    def discard(self, recording: str) -> None:
        """Its raw tracks and its journal are gone. Raises Conflict (`recording_busy`) while it is worked on, and
        Unavailable."""


@dataclass(frozen=True, slots=True)
class Shelf:
    """All that the API needs of recordings. `work` is None where nobody works on them."""

    index: Recorded
    files: Files
    tickets: Tickets
    work: Work | None = None


# --- who may hear them ------------------------------------------------------------------------------------------------


def scope(actor: Actor) -> frozenset[str] | None:
    """The queues whose recordings he is shown. Those of calls of no queue are for who has all queues."""
    return None if EVERY_QUEUE in actor.queues else actor.queues


def found(index: Recorded, actor: Actor, recording: str) -> tuple[Entry, Result | None]:
    """One that he may hear. Raises NotFound: that there is another is already more than he may know."""
    queues = scope(actor)
    entry, result = index.one(recording)
    if queues is not None and entry.queue not in queues:
        raise NotFound("recording_not_found", "There is no such recording.")
    return entry, result


def finished(index: Recorded, actor: Actor, recording: str) -> tuple[Entry, Result]:
    """One that he may hear, and that can be heard. Raises NotFound."""
    entry, result = found(index, actor, recording)
    if result is None or entry.state == "deleted":
        raise NotFound("recording_not_ready", "The recording has no file.")
    return entry, result
