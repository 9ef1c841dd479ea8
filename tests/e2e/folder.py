"""An archive of recordings that is a folder, and recordings that are not finished."""

from __future__ import annotations

import time
from pathlib import Path

from ccwhisper.coaching.errors import Conflict, Unavailable
from ccwhisper.recording import places
from ccwhisper.recording.cutting import Cutting
from ccwhisper.store.database import Database
from ccwhisper.store.recordings import Recordings
from ccwhisper.web.shelf import Shelf
from ccwhisper.web.tickets import Tickets


class Folder(places.Folder):
    """`remote` is one whose files have to be fetched, as of an object store; `away` one that cannot be reached,
    `stuck` one from which nothing can be removed."""

    remote = away = stuck = False

    def path(self, name: str) -> Path | None:
        if self.away:
            raise places.PlaceError("place_unreachable", "the archive is away")
        return None if self.remote else super().path(name)

    def remove(self, name: str) -> None:
        if self.stuck:
            raise places.PlaceError("place_unreachable", "the archive is stuck")
        super().remove(name)


class Unfinished:
    """Raw tracks that somebody has."""

    def __init__(self) -> None:
        self.discarded: list[str] = []
        self.retried: list[str] = []
        self.problem: Conflict | Unavailable | None = None

    def retry(self, recording: str) -> None:
        self.retried.append(recording)

    def discard(self, recording: str) -> None:
        if self.problem:
            raise self.problem
        self.discarded.append(recording)


class Shelves:
    """All that the API needs of recordings, below a folder."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.index = Recordings(database, "an installation", {"1001": "Model 40"})
        self.archive = Folder(folder / "recordings")
        self.files = Cutting(self.archive, folder / "cuttings")
        self.raw = Unfinished()
        self.later = 0.0
        """Seconds by which the clock of the tickets is ahead."""
        self.tickets = Tickets(b"a key that nobody but the service knows", clock=lambda: time.time() + self.later)
        self.shelf = Shelf(self.index, self.files, self.tickets, self.raw)
