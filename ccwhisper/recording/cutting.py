"""Files that are heard and taken away: whole recordings, single tracks, and recordings without their coaches, cut out
of the archive's file by a process of their own and kept in a folder of bounded size for whoever asks again.

Nothing here makes the hub wait: files are looked at in native threads, and cut by other processes.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import gevent
from gevent.lock import BoundedSemaphore

from ccwhisper.coaching.errors import CoachingError, NotFound, Unavailable
from ccwhisper.recording.places import Place, PlaceError, digest
from ccwhisper.recording.result import Result

logger = logging.getLogger(__name__)

LARGEST: Final = 2 * 1024**3
"""Bytes that are kept. What was asked for longest ago goes first."""

AT_A_TIME: Final = 2
"""Processes that cut."""

SECONDS: Final = 120.0
"""How long one may take: cutting copies, and decodes nothing."""

STALE: Final = 3600.0
"""Seconds after which what is not finished never will be: who began it has died."""

LATELY: Final = 10_000
"""Deletions that are remembered: what was being cut meanwhile goes, too."""

T = TypeVar("T")


class Cutting:
    """Over an archive; `folder` is where the cuttings are kept."""

    def __init__(self, archive: Place, folder: Path, largest: int = LARGEST) -> None:
        self._archive = archive
        self._folder = folder
        self._largest = largest
        self._free = BoundedSemaphore(AT_A_TIME)
        self._busy: dict[str, BoundedSemaphore] = {}
        self._gone: deque[str] = deque(maxlen=LATELY)

    def whole(self, result: Result) -> Path:
        """The recording's file. Raises NotFound (`file_not_found`) and Unavailable (`archive_unavailable`), as all of
        these do."""
        return self._here(result, result.file, "whole")

    def track(self, result: Result, index: int) -> Path:
        """One track, alone. Raises NotFound (`track_not_found`)."""
        if index not in {each.index for each in result.tracks}:
            raise NotFound("track_not_found", "The recording has no such track.")
        return self._kept(result, f"track-{index}", lambda it, to: self._cut(it, [index], to))

    def without_coaches(self, result: Result) -> Path:
        """The recording without the tracks of coaches, and without what tells of them. No byte of them is in it."""
        calls = [each.index for each in result.tracks if each.kind == "call"]

        def cut(it: Result, to: Path) -> None:
            with suppress(NotFound):  # without it there are no chapters
                self._here(it, str(Path(it.file).with_suffix(".json")), "json")  # where who cuts looks: beside the file
            self._cut(it, calls, to)

        return self._kept(result, "call", cut)

    def peaks(self, result: Result) -> Path:
        """What the waveforms are drawn from. Raises NotFound (`peaks_not_found`)."""
        name = result.peaks
        if name is None:
            raise NotFound("peaks_not_found", "The recording has no waveforms.")
        return self._here(result, name, "peaks")

    def delete(self, result: Result) -> None:
        """The recording's files are gone, from the archive and from here, with what is being cut of it. Raises
        Unavailable."""
        names = [each for each in (result.file, result.peaks, str(Path(result.file).with_suffix(".json"))) if each]

        def gone() -> None:
            for pattern in (f"{result.id}.*", f".{result.id}.*"):  # what is being cut is hidden
                for each in self._folder.glob(pattern):
                    each.unlink(missing_ok=True)
            for name in names:
                self._archive.remove(name)

        self._gone.append(result.id)
        try:
            _asked(gone)
        except CoachingError:
            with suppress(ValueError):
                self._gone.remove(result.id)
            raise

    # --- cutting -----------------------------------------------------------------------------------------------------

    def _kept(self, result: Result, what: str, make: Callable[[Result, Path], None]) -> Path:
        """A cutting, made now unless it is there."""
        path = self._folder / f"{result.id}.{result.sha256[:16]}.{what}"
        turn = self._busy.setdefault(path.name, BoundedSemaphore(1))  # two who ask at once get the same one
        with turn:
            if not _asked(lambda: _touched(path)):
                raw = path.with_suffix(f".{what}.{os.getpid()}.part")
                try:
                    _asked(lambda: self._folder.mkdir(mode=0o700, parents=True, exist_ok=True))
                    make(result, raw)
                    _asked(lambda: raw.replace(path))
                    if result.id in self._gone:
                        _asked(lambda: path.unlink(missing_ok=True))
                        raise NotFound("file_not_found", "The recording has been deleted.")
                finally:
                    _asked(lambda: raw.unlink(missing_ok=True))
                _asked(lambda: self._tidy(path))
        if not turn.locked():
            self._busy.pop(path.name, None)
        return path

    def _cut(self, result: Result, tracks: Sequence[int], to: Path) -> None:
        source = self.whole(result)
        numbers = ",".join(map(str, tracks))
        command = [sys.executable, "-m", "ccwhisper.recording.cut", str(source), str(to), numbers]
        with self._free:
            failed = gevent.get_hub().threadpool.apply(_run, (command,))
        if failed:
            logger.error("recording %s cannot be cut: %s", result.id, failed)
            raise Unavailable("cutting_failed", "The audio cannot be taken out of the recording.", retry=False)

    def _here(self, result: Result, name: str, what: str) -> Path:
        """A file of the archive on this machine: itself, or a copy."""

        def local() -> Path | None:
            path = self._archive.path(name)
            if path is not None:
                path.stat()
            return path

        def fetched(_: Result, to: Path) -> None:
            if not _asked(lambda: self._archive.fetch(name, to)):
                raise NotFound("file_not_found", "The recording's file is not in the archive.")
            if what == "whole" and _asked(lambda: digest(to)) != result.sha256:
                logger.error("the archive gives back something else for recording %s", result.id)
                raise Unavailable("archive_unavailable", "The archive of recordings gives back something else.")

        return _asked(local) or self._kept(result, what, fetched)

    def _tidy(self, fresh: Path) -> None:
        """What was asked for longest ago goes, until there is room. Who reads it reads on: the file is only unnamed."""
        found = []
        for each in self._folder.iterdir():
            with suppress(FileNotFoundError):  # finished meanwhile, or deleted
                about = each.stat()
                if not each.name.endswith(".part"):
                    found.append((each, about))
                elif time.time() - about.st_mtime > STALE:
                    each.unlink()
        size = sum(about.st_size for _, about in found)
        for each, about in sorted(found, key=lambda it: it[1].st_atime_ns):
            if size <= self._largest:
                return
            if each != fresh:
                each.unlink(missing_ok=True)
                size -= about.st_size


def _run(command: Sequence[str]) -> str | None:
    """None, or why it failed. In a native thread: children that gevent waits for need the main thread's loop."""
    try:
        made = subprocess.run(  # noqa: S603 - our own module, and paths of ours
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return "it took too long"
    if made.returncode == 0:
        return None
    return next(reversed(made.stderr.decode("utf-8", "replace").strip().splitlines()), "no reason")


def _touched(path: Path) -> bool:
    """Whether it is there; then it was asked for now. Its own time stays: it is a part of its tag."""
    try:
        os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
    except FileNotFoundError:
        return False
    return True


def _asked(work: Callable[[], T]) -> T:
    """Done in a native thread. Raises NotFound and Unavailable."""

    def inside() -> T | CoachingError:
        try:
            return work()
        except FileNotFoundError:
            return NotFound("file_not_found", "The recording's file is not in the archive.")
        except (OSError, PlaceError) as error:
            logger.warning("the archive of recordings cannot be reached: %s", error)
            return Unavailable("archive_unavailable", "The archive of recordings cannot be reached.")

    found: T | CoachingError = gevent.get_hub().threadpool.apply(inside)
    if isinstance(found, CoachingError):
        raise found  # not in the thread: what is raised there, gevent prints
    return found
