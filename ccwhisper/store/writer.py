"""Writes rows to the database in a native thread, and holds them while the database is away.

A row is in one of four places: the queue, the batch that is being written, the spill file, the database. It leaves a
place only when it is in the next one, and rows never overtake each other: as long as there is a row in the spill file,
the others go there too.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ccwhisper.coaching.trail import Health, Row
from ccwhisper.store.errors import why
from ccwhisper.store.spill import Spill

logger = logging.getLogger(__name__)

BACKLOG: Final = 10_000
"""Rows in memory. As many wait there only when neither the database nor the disk takes any."""

BATCH: Final = 500
PAUSES: Final = (0.5, 15.0)
"""Seconds between tries while the database is away, at first and at most."""


class Writer:
    """`insert` puts rows into the database, all or none, and may raise whatever it likes."""

    def __init__(
        self,
        insert: Callable[[Sequence[Row]], None],
        spill: Spill,
        backlog: int = BACKLOG,
        pauses: tuple[float, float] = PAUSES,
    ) -> None:
        self._insert = insert
        self._spill = spill
        self._backlog = backlog
        self._first_pause, self._longest_pause = pauses
        self._pause = self._first_pause
        self._retry_at = 0.0
        self._queue: deque[Row] = deque()
        self._batch: list[Row] = []
        self._lost = 0
        self._away = spill.count > 0  # until they are written
        self._full = False  # neither the database nor the disk takes anything
        self._stopping = False
        self._abandoned = False
        self._wake = threading.Condition()  # guards the queue, and is never held while anything is written
        self._files = threading.Lock()  # guards the spill file and the batch
        self._thread = threading.Thread(target=self._run, name="ccwhisper-store", daemon=True)

    def start(self) -> None:
        """Write from now on, first what a former life has left."""
        self._thread.start()

    def put(self, row: Row) -> None:
        """Take a row; never waits for a disk or a database."""
        with self._wake:
            if len(self._queue) >= self._backlog:
                self._lost += 1
                if self._lost == 1:
                    logger.error("audit rows are lost: neither the database nor the disk takes them")
                return
            self._queue.append(row)
            self._wake.notify()

    def health(self) -> Health:
        """How far the database is behind."""
        return Health(len(self._queue) + len(self._batch) + self._spill.count, self._lost, self._away)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is there, to the database or to the spill file, within about `timeout` seconds."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._thread.is_alive() or self._thread.ident is None:
            # It hangs in the database. Should that go through after all, the rows are known there by their key.
            with self._files:
                self._abandoned = True
                rows = [*self._batch, *self._queue]
                if rows:
                    self._save(rows)

    # --- the thread --------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._abandoned:
            with self._wake:
                self._wake.wait_for(self._has_work, self._until_retry())
                stopping = self._stopping
            try:
                self._step(stopping)
            except Exception:
                logger.exception("the store's thread stumbled")
                time.sleep(self._first_pause)
            if stopping and self._batch:
                logger.error("%d audit rows are lost with the service", len(self._batch) + len(self._queue))
            if stopping and (self._batch or not self._queue):
                return

    def _has_work(self) -> bool:
        return self._stopping or bool(self._queue and not self._full) or time.monotonic() >= self._due()

    def _due(self) -> float:
        waits = self._away or self._batch or self._spill.count
        return self._retry_at if waits else float("inf")

    def _until_retry(self) -> float | None:
        due = self._due()
        return None if due == float("inf") else max(0.0, due - time.monotonic())

    def _step(self, last: bool) -> None:
        if not self._batch:
            with self._wake:
                self._batch = [self._queue.popleft() for _ in range(min(BATCH, len(self._queue)))]
        if self._batch and not self._away and not self._spill.count and self._written(self._batch):
            self._batch = []
        if self._batch:
            with self._files:
                if not self._abandoned and self._save(self._batch):
                    self._batch = []
        if (last and not self._away) or (self._away and time.monotonic() >= self._retry_at):
            self._catch_up()

    def _catch_up(self) -> None:
        """Write what waits, a batch at a time, as long as the database takes it."""
        waited = 0
        while self._spill.count and not self._abandoned:
            with self._files:
                rows, place = self._spill.first(BATCH)
            if rows and not self._written(rows):
                return
            with self._files:
                self._spill.take(len(rows), place)
            waited += len(rows)
            if self._queue and not self._stopping:
                self._retry_at = 0.0
                return  # first to the file with them, then on
        if self._batch and not self._written(self._batch):
            return
        waited += len(self._batch)
        self._batch, self._full = [], False
        if self._away:
            self._away, self._pause = False, self._first_pause
            logger.warning("the database takes audit rows again; %d that had waited are written", waited)

    def _written(self, rows: Sequence[Row]) -> bool:
        try:
            self._insert(rows)
        except Exception as error:  # whatever it is, the rows are kept, and coaching goes on
            if not self._away:
                self._away = True
                logger.warning("the database takes no audit rows, they wait in %s: %s", self._spill.path, why(error))
            self._retry_at = time.monotonic() + self._pause
            self._pause = min(self._pause * 2, self._longest_pause)
            return False
        return True

    def _save(self, rows: Sequence[Row]) -> bool:
        try:
            self._spill.append(rows)
        except OSError as error:
            if not self._full:
                self._full = True
                logger.error("%s takes no audit rows: %s", self._spill.path, error.strerror or error)
            return False
        if self._full:
            self._full = False
            logger.warning("%s takes audit rows again", self._spill.path)
        return True
