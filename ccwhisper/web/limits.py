"""How often one principal may ask for something."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from ccwhisper.coaching.errors import CoachingError

PRINCIPALS: Final = 4096
"""Whose allowances are remembered; the one who asked least lately is forgotten first, with a full one."""


class TooMany(CoachingError):
    """Asked too often. The same request succeeds a little later."""

    retry = True


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limits:
    """A token bucket each: `rate` requests a second on average, `burst` at once."""

    def __init__(self, rate: float = 20.0, burst: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, burst, clock
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def spend(self, principal: str) -> None:
        """Count one request. Raises TooMany."""
        now = self._clock()
        bucket = self._buckets.setdefault(principal, _Bucket(self._burst, now))
        self._buckets.move_to_end(principal)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        while len(self._buckets) > PRINCIPALS:
            self._buckets.popitem(last=False)
        if bucket.left < 1:
            raise TooMany("rate_limited", "Too many requests; try again in a moment.")
        bucket.left -= 1
