"""The store as the rest of the service meets it: nothing here makes the hub wait."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import gevent
from gevent.threadpool import ThreadPool

from ccwhisper.coaching.trail import Filter, Health, Page, Row
from ccwhisper.store import policies, rows
from ccwhisper.store.database import Database
from ccwhisper.store.recorder import Recorder, public_id
from ccwhisper.store.spill import Spill
from ccwhisper.store.writer import PAUSES, Writer

READERS: Final = 2
"""Searches at a time; others wait for these."""

PIECE: Final = 250
"""Rows that an export reads at a time: while they are put into their form, everybody waits."""

SWEEP_SECONDS: Final = 10.0


class Archive:
    """The audit trail and the policies, over a database. `directory` is where rows wait for it, `installation` this
    installation's id.

    `record` is called by the thread that runs the hub; the rest is for its greenlets.
    """

    def __init__(
        self, database: Database, directory: Path, installation: str, pauses: tuple[float, float] = PAUSES
    ) -> None:
        self._database = database
        self._writer = Writer(partial(rows.insert, database), Spill(directory / "audit-waiting.jsonl"), pauses=pauses)
        self._installation = public_id(installation)
        self.record = Recorder(installation, self._writer.put)
        self._pool: ThreadPool | None = None
        self._sweeper: gevent.Greenlet[[], None] | None = None

    def start(self) -> None:
        """Write from now on."""
        self._pool = ThreadPool(READERS)
        self._writer.start()
        self._sweeper = gevent.spawn(self._sweep)

    def stop(self) -> None:
        """Write what there is, to the database or beside it; bounded in time."""
        if self._sweeper is not None:
            self._sweeper.kill(block=False)
        self.record.sweep(everything=True)
        self._writer.close()
        if self._pool is not None:
            with suppress(gevent.Timeout), gevent.Timeout(1):  # a search may hang in a database that is away
                self._pool.kill()
        self._database.close()

    def health(self) -> Health:
        """How far the database is behind."""
        return self._writer.health()

    def search(self, wanted: Filter, after: str | None = None, limit: int = 100) -> Page:
        """The newest rows, or those that follow `after`. Raises Invalid (`cursor_invalid`) and Unavailable
        (`store_unavailable`)."""
        assert self._pool is not None  # noqa: S101 - started
        page: Page = self._pool.apply(rows.search, (self._database, wanted, after, limit))
        return page

    def pages(self, wanted: Filter) -> Iterator[tuple[Row, ...]]:
        """All rows, newest first, a piece at a time. Raises as `search`, at any piece."""
        page = self.search(wanted, None, PIECE)
        yield page.rows
        while page.next is not None:
            page = self.search(wanted, page.next, PIECE)
            yield page.rows

    def policies(self) -> Mapping[str, Any]:
        """By queue, what was set at run time. Raises Unavailable (`store_unavailable`)."""
        assert self._pool is not None  # noqa: S101 - started
        found: dict[str, Any] = self._pool.apply(policies.load, (self._database, self._installation))
        return found

    def keep_policy(self, queue: str, said: Mapping[str, Any] | None) -> None:
        """Keep what is set for a queue, in place of what was; None is nothing. Raises Unavailable
        (`store_unavailable`)."""
        assert self._pool is not None  # noqa: S101 - started
        self._pool.apply(policies.save, (self._database, self._installation, queue, said))

    def _sweep(self) -> None:
        while True:
            gevent.sleep(SWEEP_SECONDS)
            self.record.sweep()
