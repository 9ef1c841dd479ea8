"""Keeps the journals: what the core decides becomes lines in files, in a native thread, so that a disk that is slow or
full holds up nobody."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from pathlib import Path
from typing import Final

from ccwhisper.coaching.model import NodeName
from ccwhisper.coaching.moment import Moment
from ccwhisper.coaching.recorded import RecordingId
from ccwhisper.recording import journal
from ccwhisper.recording.minutes import Minute, minutes

logger = logging.getLogger(__name__)

BACKLOG: Final = 20_000
"""Lines in memory. So many wait there only while the disk takes none."""

RETRY: Final = 1.0
"""Seconds between tries while it takes none."""

FEW: Final = 20
LATE: Final = 1.0
"""Of fewer events even the quickest may have waited, for up to so many seconds, for a service that has just started."""

LOOKS: Final = 200
"""Of so many events of a node the quickest says how its clock differs from ours."""


class Clocks:
    """What other machines' clocks show now. An event is raised by the switch's clock and arrives by ours: what lies
    between is the difference of the two and the time on the way, which the quickest of the last events hardly has."""

    def __init__(self) -> None:
        self._found: dict[NodeName, deque[float]] = {}

    def heard(self, node: NodeName, at: float, switch_at: float) -> None:
        """An event of a node has arrived at our time `at`."""
        self._found.setdefault(node, deque(maxlen=LOOKS)).append(at - switch_at)

    def there(self, node: NodeName, at: float) -> float:
        """What the node's clock showed at our time `at`."""
        found = self._found.get(node)
        if not found or (len(found) < FEW and 0 <= min(found) < LATE):
            return at
        return at - min(found)


class Scribe:
    """One for an engine. `directory` is made when it is missing."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._clocks = Clocks()
        self._queue: deque[Minute] = deque()
        self._wake = threading.Condition()
        self._stopping = False
        self._failing = False
        self._lost = 0
        self._thread = threading.Thread(target=self._run, name="ccwhisper-scribe", daemon=True)

    def start(self) -> None:
        """Write from now on."""
        self._thread.start()

    def stop(self, timeout: float = 5.0) -> None:
        """Write what is there, and no more."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            self._thread.join(timeout)

    def note(self, moment: Moment) -> None:
        """A turn of the core. Waits for no disk."""
        node = getattr(moment.event, "node", None)
        if node and moment.switch_at is not None:
            self._clocks.heard(node, moment.at, moment.switch_at)
        found = list(minutes(moment, lambda where: self._time(moment, where)))
        if not found:
            return
        with self._wake:
            for minute in found:
                if len(self._queue) < BACKLOG:
                    self._queue.append(minute)
                else:
                    self._lost += 1
            self._wake.notify()

    def _time(self, moment: Moment, node: NodeName) -> float:
        if moment.switch_at is not None and getattr(moment.event, "node", node) == node:
            return moment.switch_at
        return self._clocks.there(node, moment.at)

    def _run(self) -> None:
        while True:
            with self._wake:
                while not self._queue and not self._stopping:
                    self._wake.wait()
                if not self._queue:
                    return
                minute = self._queue[0]
            if self._write(*minute):
                with self._wake:
                    self._queue.popleft()
            else:
                with self._wake:
                    if self._stopping:
                        return
                    self._wake.wait(RETRY)

    def _write(self, recording: RecordingId, line: journal.Line) -> bool:
        path = self._directory / f"{recording}.jsonl"
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            if isinstance(line, journal.Start) and _begun(path):
                return True  # the service before this one has begun it
            _append(path, journal.encoded(line))
        except OSError as error:
            if not self._failing:
                logger.error("journals of recordings cannot be written, and wait: %s", error)
            self._failing = True
            return False
        if self._failing:
            logger.warning("journals of recordings are written again; lines that were lost: %d", self._lost)
            self._failing, self._lost = False, 0
        return True


def _begun(path: Path) -> bool:
    """Whether a journal has its first line: one that a full disk cut off is no such thing."""
    try:
        return any(isinstance(journal.decoded(raw), journal.Start) for raw in path.read_bytes().splitlines())
    except FileNotFoundError:
        return False


def _append(path: Path, raw: bytes) -> None:
    """A line that was cut off, by a full disk or with the service that wrote it, is ended before the next one, which
    may be the same again."""
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        size = os.fstat(descriptor).st_size
        whole = b"\n" + raw if size and os.pread(descriptor, 1, size - 1) != b"\n" else raw
        written = os.write(descriptor, whole)
        if written < len(whole):
            raise OSError(f"{path.name} took {written} of {len(whole)} bytes")
    finally:
        os.close(descriptor)
