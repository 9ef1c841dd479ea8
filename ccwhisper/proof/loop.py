"""One background thread that owns every socket and timer of a phone bank, and the doors into it.

Everything that changes state runs in that thread. Other threads hand it work with `run` and wait for outcomes with
`wait`, so the phones need no locks. The thread is a native one: do not use it in a process that gevent has
monkey-patched.
"""

from __future__ import annotations

import heapq
import itertools
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)

NEVER = 1 << 62


class Ticker(Protocol):
    """Work on an absolute clock: due at `due_ns`; `run` does all that is due by now."""

    due_ns: int

    def run(self, now_ns: int) -> None:
        """Do what is due and set `due_ns` anew."""


class Timer:
    """A pending call; `cancel` makes it never happen."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call: Callable[[], None] | None = call

    def cancel(self) -> None:
        """Drop the call."""
        self._call = None

    def fire(self) -> None:
        """Make the call unless it was cancelled."""
        call, self._call = self._call, None
        if call is not None:
            call()


class Loop:
    """The thread. Exceptions of callbacks do not end it: they are kept in `errors`."""

    def __init__(self, name: str, ticker: Ticker) -> None:
        self.errors: list[Exception] = []
        #: CLOCK_REALTIME minus CLOCK_MONOTONIC as of the last wake-up: turns the kernel's packet stamps into our clock.
        self.clock_offset_ns = time.time_ns() - time.monotonic_ns()
        self._ticker = ticker
        self._epoll = select.epoll()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake, select.EPOLLIN)
        self._readers: dict[int, Callable[[], None]] = {}
        self._jobs: deque[Callable[[], None]] = deque()
        self._timers: list[tuple[int, int, Timer]] = []
        self._serial = itertools.count()
        self._changed = threading.Condition()
        self._running = True
        self._thread = threading.Thread(target=self._main, name=name, daemon=True)
        self._thread.start()

    # -- from any thread

    def run(self, work: Callable[[], T], timeout: float = 30.0) -> T:
        """Run `work` in the loop's thread and give back its result or raise its exception."""
        if threading.current_thread() is self._thread:
            return work()
        if not self._running:
            raise RuntimeError("the phone bank is closed")
        future: Future[T] = Future()

        def job() -> None:
            try:
                future.set_result(work())
            except Exception as error:
                future.set_exception(error)

        self._jobs.append(job)
        os.eventfd_write(self._wake, 1)
        return future.result(timeout)

    def wait(self, what: Callable[[], bool], timeout: float, poll: float | None = None) -> bool:
        """Wait until `what()` holds, at most `timeout` seconds; tells whether it does.

        It is asked after every change of signalling; what depends on media, which raises no such signal, needs `poll`
        seconds.
        """
        deadline = time.monotonic() + timeout
        with self._changed:
            while not what():
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                self._changed.wait(left if poll is None else min(left, poll))
        return True

    def close(self) -> None:
        """End the thread and give back what it held; sockets of readers belong to those who made them."""
        if not self._running:
            return
        self.run(self._stop)
        self._thread.join(5.0)
        self._epoll.close()
        os.close(self._wake)

    # -- from the loop's thread

    def changed(self) -> None:
        """Let the waiters look again."""
        with self._changed:
            self._changed.notify_all()

    def later(self, seconds: float, call: Callable[[], None]) -> Timer:
        """Call `call` in `seconds`."""
        timer = Timer(call)
        heapq.heappush(self._timers, (time.monotonic_ns() + int(seconds * 1e9), next(self._serial), timer))
        return timer

    def add_reader(self, fd: int, call: Callable[[], None]) -> None:
        """Call `call` whenever `fd` has something to read; it reads one datagram."""
        self._readers[fd] = call
        self._epoll.register(fd, select.EPOLLIN)

    def remove_reader(self, fd: int) -> None:
        """Forget `fd`, before it is closed."""
        if self._readers.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    @staticmethod
    def now_ns() -> int:
        """The clock of everything here: CLOCK_MONOTONIC in ns."""
        return time.monotonic_ns()

    def _stop(self) -> None:
        self._running = False

    def _guard(self, call: Callable[[], Any]) -> None:
        try:
            call()
        except Exception as error:
            log.exception("a phone's callback failed")
            self.errors.append(error)

    def _main(self) -> None:
        poll, readers = self._epoll.poll, self._readers
        ticker = self._ticker
        while self._running:
            now = time.monotonic_ns()
            due = min(ticker.due_ns, self._timers[0][0] if self._timers else NEVER)
            # epoll counts in whole milliseconds and rounds up: a tick can be up to 1 ms late, never early, and does not
            # drift.
            ready = poll(-1 if due == NEVER else max(0.0, (due - now) / 1e9), 512)
            now = time.monotonic_ns()
            self.clock_offset_ns = time.time_ns() - now
            if ticker.due_ns <= now:
                self._guard(lambda now=now: ticker.run(now))  # type: ignore[misc]
            for fd, _ in ready:
                if fd == self._wake:
                    os.eventfd_read(self._wake)
                elif (reader := readers.get(fd)) is not None:
                    self._guard(reader)
            while self._jobs:
                self._jobs.popleft()()
            while self._timers and self._timers[0][0] <= now:
                self._guard(heapq.heappop(self._timers)[2].fire)
