"""Requests without a token that is believed. They are no rows of the audit trail, or anybody could fill it; they are
counted, and the log says now and then how many there were."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final

logger = logging.getLogger(__name__)

SECONDS: Final = 60.0


class Strangers:
    """At most one line in `SECONDS`."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0
        self._told_at: float | None = None

    def count(self, code: str) -> None:
        """One more; `code` is why the token was not believed."""
        self._count += 1
        now = self._clock()
        if self._told_at is None or now - self._told_at >= SECONDS:
            logger.warning("%d requests without a good token since the last such line, now: %s", self._count, code)
            self._count, self._told_at = 0, now
