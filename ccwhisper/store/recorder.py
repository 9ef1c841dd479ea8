"""From what the core says to rows of the trail: keys, times, and refusals that come by the hundred."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid4, uuid5

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.policy import PERMISSIONS, ROLES
from ccwhisper.coaching.trail import Row

ALIKE_SECONDS: Final = 60.0
"""A refusal that is repeated within this time is counted, and not a row each time."""

KINDS: Final = 4096
"""Refusals that are counted at a time."""

LONGEST: Final = 512
"""Characters of a field; what is longer was made to be."""

LONGEST_POLICY: Final = 64 * 1024
"""Characters of the detail of a policy that was set: it holds the one before, too."""

# Any constant will do. The installation's own id is a secret: it marks the legs that the service may hang up.
_INSTALLATIONS = UUID("0d0f3b1c-8a07-4a52-9a3e-6f4f9f7c2b19")


@dataclass(slots=True)
class _Alike:
    until: float
    row: fx.Audit
    at: float  # of the last one
    more: int = 0  # beyond the one that has a row


class Recorder:
    """Makes rows, and hands them to `put`. For one thread."""

    def __init__(
        self, installation: str, put: Callable[[Row], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._installation = public_id(installation)
        self._epoch = str(uuid4())
        self._seq = 0
        self._put = put
        self._clock = clock
        self._alike: OrderedDict[tuple[object, ...], _Alike] = OrderedDict()  # by the end of their time

    def __call__(self, audit: fx.Audit, at: float) -> None:
        """Record something; `at` is seconds since the epoch."""
        self.sweep()
        if audit.refusal is not None and self._repeated(audit, at):
            return
        self._write(audit, at)

    def sweep(self, everything: bool = False) -> None:
        """Write the rows of refusals whose time is over."""
        now = self._clock()
        while self._alike:
            kind, first = next(iter(self._alike.items()))
            if not everything and now < first.until and len(self._alike) <= KINDS:
                return
            del self._alike[kind]
            if first.more:
                self._write(first.row, first.at, first.more)

    def _repeated(self, audit: fx.Audit, at: float) -> bool:
        whom = audit.session, audit.agent, audit.call
        kind = (audit.who.id, audit.action, audit.detail, audit.refusal, audit.origin, *whom)
        known = self._alike.get(kind)
        if known is None:
            self._alike[kind] = _Alike(self._clock() + ALIKE_SECONDS, audit, at)
            return False
        known.more += 1
        known.at = at
        return True

    def _write(self, audit: fx.Audit, at: float, times: int = 1) -> None:
        self._seq += 1
        self._put(
            Row(
                installation=self._installation,
                epoch=self._epoch,
                seq=self._seq,
                at=datetime.fromtimestamp(at, UTC),
                switch_at=None if audit.switch_at is None else datetime.fromtimestamp(audit.switch_at, UTC),
                action=audit.action,
                refusal=audit.refusal,
                actor=plain(audit.who.id),
                name=plain(audit.who.name),
                permissions=tuple(sorted(audit.who.permissions & PERMISSIONS)),
                roles=tuple(sorted(audit.who.roles & ROLES)),
                session=_optional(audit.session),
                agent=_optional(audit.agent),
                call=_optional(audit.call),
                node=audit.node,
                detail=plain(audit.detail, LONGEST_POLICY if audit.action == "policy" else LONGEST),
                origin=plain(audit.origin),
                times=times,
            )
        )


def public_id(installation: str) -> str:
    """An installation in the database, by which its id is not known."""
    return str(uuid5(_INSTALLATIONS, installation))


def plain(text: str, longest: int = LONGEST) -> str:
    """Text that every database takes: no half of a surrogate pair, no NUL."""
    return text[:longest].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def _optional(text: str | None) -> str | None:
    return None if text is None else plain(text)
