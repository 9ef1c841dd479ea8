"""The list of recordings as the rest of the service meets it: nothing here makes the hub wait.

The queue of work says what becomes of a recording (`state`, `keep`), and says it again when the service starts; said
twice it is the same. What is deleted stays deleted, whoever says later that it is finished.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeVar

import gevent
from gevent.threadpool import ThreadPool
from sqlalchemy import Connection
from sqlalchemy.exc import SQLAlchemyError

from ccwhisper.coaching.errors import CoachingError, Conflict, Forbidden, NotFound, Unavailable
from ccwhisper.recording.index import Comment, Entry, EntryPage, Person, State, Tally, Wanted
from ccwhisper.recording.journal import Start
from ccwhisper.recording.result import Problem, Result
from ccwhisper.store import entries
from ccwhisper.store.database import Database
from ccwhisper.store.errors import why
from ccwhisper.store.recorder import public_id

logger = logging.getLogger(__name__)

WORKERS: Final = 2
"""Reads and writes at a time; others wait for these."""

MOST_COMMENTS: Final = 1000
"""Of one recording."""

LARGEST: Final = 2**63 - 1

T = TypeVar("T")


class Recordings:
    """Over a database that whoever made it closes. `headsets` is by agent what he wears, and is kept with each
    recording. Every method raises Unavailable (`store_unavailable`), and then nothing has changed."""

    def __init__(self, database: Database, installation: str, headsets: Mapping[str, str] | None = None) -> None:
        self._database = database
        self._installation = public_id(installation)
        self._headsets = headsets or {}
        self._pool: ThreadPool | None = None

    def start(self) -> None:
        """Serve from now on."""
        self._pool = ThreadPool(WORKERS)

    def stop(self) -> None:
        """Bounded in time."""
        if self._pool is not None:
            with suppress(gevent.Timeout), gevent.Timeout(1):  # one may hang in a database that is away
                self._pool.kill()

    # --- what the queue of work says ---------------------------------------------------------------------------------

    def state(
        self,
        recording: str,
        state: State,
        problem: Problem | None = None,
        start: Start | None = None,
        agents: Sequence[Person] = (),
    ) -> bool:
        """In which state a recording is that is not finished, and why. `start` and `agents` are what is known of it;
        without a start, one that was never heard of stays unknown. False of one that was deleted, and of an unknown
        one."""
        return self._write(
            lambda it: entries.note(it, self._installation, recording, state, problem, start, tuple(agents))
        )

    def keep(self, result: Result) -> bool:
        """A recording is finished. False of one that was deleted: its file is to go, too."""
        return self._write(lambda it: entries.keep(it, self._installation, result, self._headsets))

    def forget(self, recording: str) -> None:
        """It is deleted. What stays is that it was, when, in which queue and with which agents."""
        self._write(lambda it: entries.forget(it, self._installation, recording))

    # --- what is asked -----------------------------------------------------------------------------------------------

    def search(self, wanted: Wanted, after: str | None = None, limit: int = 50) -> EntryPage:
        """The newest, or those that follow `after`. Raises Invalid (`cursor_invalid`)."""
        return self._read(lambda it: entries.search(it, self._installation, wanted, after, limit))

    def one(self, recording: str) -> tuple[Entry, Result | None]:
        """One, and what it is when it is finished. Raises NotFound (`recording_not_found`)."""
        found = self._read(lambda it: entries.one(it, self._installation, recording))
        if found is None:
            raise NotFound("recording_not_found", "There is no such recording.")
        return found

    def tallies(self, queues: frozenset[str] | None, since: datetime | None) -> tuple[Tally, ...]:
        """By agent and headset, on how many recordings a coach's voice came back. `queues` as in `Wanted`."""
        return self._read(lambda it: entries.tallies(it, self._installation, queues, since))

    # --- comments ----------------------------------------------------------------------------------------------------

    def comments(self, recording: str) -> tuple[Comment, ...]:
        """Of one recording, in the order of their moments."""
        return self._read(lambda it: entries.comments(it, self._installation, recording))

    def comment(self, recording: str, author: str, name: str, at: float, text: str) -> Comment:
        """A new one. Raises Conflict (`too_many_comments`)."""

        def added(connection: Connection) -> Comment:
            if len(entries.comments(connection, self._installation, recording)) >= MOST_COMMENTS:
                raise Conflict("too_many_comments", f"A recording has {MOST_COMMENTS} comments at most.")
            given = Comment(0, author, name, at, text, datetime.now(UTC), None)
            return entries.add(connection, self._installation, recording, given)

        return self._write(added)

    def edit_comment(self, recording: str, number: int, author: str, text: str) -> Comment:
        """Another text for one of one's own. Raises NotFound (`comment_not_found`) and Forbidden
        (`comment_of_another`)."""

        def edited(connection: Connection) -> Comment:
            self._own(connection, recording, number, author)
            entries.edit(connection, self._installation, recording, number, text, datetime.now(UTC))
            return self._own(connection, recording, number, author)

        return self._write(edited)

    def drop_comment(self, recording: str, number: int, author: str) -> Comment:
        """Delete one of one's own; what it was. Raises as `edit_comment`."""

        def dropped(connection: Connection) -> Comment:
            was = self._own(connection, recording, number, author)
            entries.drop(connection, self._installation, recording, number)
            return was

        return self._write(dropped)

    def _own(self, connection: Connection, recording: str, number: int, author: str) -> Comment:
        found = entries.comment(connection, self._installation, recording, number) if number <= LARGEST else None
        if found is None:
            raise NotFound("comment_not_found", "There is no such comment.")
        if found.author != author:
            raise Forbidden("comment_of_another", "It is somebody else's comment.")
        return found

    # --- the database ------------------------------------------------------------------------------------------------

    def _read(self, ask: Callable[[Connection], T]) -> T:
        def inside() -> T:
            with self._database.engine.connect() as connection:
                return ask(connection)

        return self._apply(inside, "read")

    def _write(self, ask: Callable[[Connection], T]) -> T:
        def inside() -> T:
            with self._database.engine.connect().execution_options(writes=True) as connection, connection.begin():
                return ask(connection)

        return self._apply(inside, "written")

    def _apply(self, ask: Callable[[], T], what: str) -> T:
        def inside() -> T | CoachingError:
            try:
                return ask()
            except SQLAlchemyError as error:
                logger.warning("the list of recordings cannot be %s: %s", what, why(error))
                return Unavailable("store_unavailable", f"The list of recordings cannot be {what} at this moment.")
            except CoachingError as refusal:
                return refusal  # what a worker raises, gevent prints

        assert self._pool is not None  # noqa: S101 - started
        found: T | CoachingError = self._pool.apply(inside)
        if isinstance(found, CoachingError):
            raise found
        return found
