"""Time: one heap of things to do later, run by real time (server) or by hand (tests, benchmarks)."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable
from typing import Any


class Timer:
    """Something that is to happen; ``cancel`` forgets it."""

    __slots__ = ("arguments", "at", "call", "order")

    def __init__(self, at: float, order: int, call: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self.at = at
        self.order = order
        self.call: Callable[..., object] | None = call
        self.arguments = arguments

    def __lt__(self, other: Timer) -> bool:
        return (self.at, self.order) < (other.at, other.order)

    def cancel(self) -> None:
        """Do nothing when the time comes."""
        self.call = None
        self.arguments = ()


class Clock:
    """Seconds since it was made, from ``source`` (seconds, monotonic). ``epoch`` is the wall time at zero."""

    def __init__(self, source: Callable[[], float] = time.monotonic, epoch: float | None = None) -> None:
        self._source = source
        self._begin = source()
        self._heap: list[Timer] = []
        self._order = 0
        self.done = 0
        self.latest = 0.0
        """How much was done so far, and by how many seconds the latest came too late since somebody set this to 0."""
        self.epoch = time.time() if epoch is None else epoch
        self.on_sooner: Callable[[], object] = lambda: None
        """Called when something is to happen before everything that was known so far."""

    def now(self) -> float:
        """Seconds since the start."""
        return self._source() - self._begin

    def wall(self) -> float:
        """Seconds since 1970."""
        return self.epoch + self.now()

    def micros(self) -> int:
        """Microseconds since 1970, as in the headers of events."""
        return int(self.wall() * 1e6)

    def after(self, seconds: float, call: Callable[..., object], *arguments: Any) -> Timer:
        """Call something later; what is due at the same moment runs in the order in which it was asked for."""
        self._order += 1
        timer = Timer(self.now() + max(seconds, 0.0), self._order, call, arguments)
        heapq.heappush(self._heap, timer)
        if self._heap[0] is timer:
            self.on_sooner()
        return timer

    def due(self) -> float | None:
        """Seconds until the next thing is to happen, or None."""
        while self._heap and self._heap[0].call is None:
            heapq.heappop(self._heap)
        return max(self._heap[0].at - self.now(), 0.0) if self._heap else None

    def run(self) -> None:
        """Do what is due."""
        now = self.now()
        while self._heap and self._heap[0].at <= now:
            timer = heapq.heappop(self._heap)
            if timer.call is not None:
                self.done += 1
                self.latest = max(self.latest, self.now() - timer.at)
                call, timer.call = timer.call, None
                call(*timer.arguments)


class VirtualClock(Clock):
    """Time that passes only by ``advance``; starts at a fixed date, so that two runs are equal to the last digit."""

    def __init__(self, epoch: float = 1_790_000_000.0) -> None:
        self._time = 0.0
        super().__init__(lambda: self._time, epoch)

    def advance(self, seconds: float) -> None:
        """Let time pass; everything happens at its own moment."""
        end = self._time + seconds
        while self._heap and self._heap[0].at <= end:
            self._time = max(self._time, self._heap[0].at)
            self.run()
        self._time = end
