"""Whose eavesdrops are on a leg: those of this installation's coaches, and taps.

What is on a leg is counted in `uuid_buglist`, which is exact. Whose it is, the switch does not say there: the legs that
eavesdrop are found by the application that they run. That list is written up to half a second late (`show channels`),
so it is read a moment after something has begun, and again when somebody is missing. Who is not found then, is reported
all the same.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import gevent
import orjson
from gevent.event import Event as Signal

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import LegId, Tap
from ccwhisper.switch import commands as cmd
from ccwhisper.switch import grammar, records
from ccwhisper.switch.errors import CommandRefused, SwitchError, UnsafeArgument
from ccwhisper.switch.link import Link
from ccwhisper.switch.translate import leg_of

logger = logging.getLogger(__name__)

SETTLED: Final = 0.6
"""Seconds from an event to the look: the switch's lists are late by half a second, and a coach who is attached anew is
gone for a moment."""

LOOKS: Final = 3
"""How often the list is read until somebody who is missing is reported as unknown."""

AT_ONCE: Final = 50
"""Legs that are asked for in one go: gates are moved over the same connection, and wait no longer than that."""

_EAVESDROP: Final = re.compile(r"^\s*<function>eavesdrop</function>\s*$", re.MULTILINE)

# Whatever calls switch_ivr_eavesdrop_session: mod_dptools (eavesdrop, three_way), mod_spy, mod_sofia.
_APPLICATIONS: Final = frozenset({"eavesdrop", "three_way", "userspy", "sofia_sla"})

_LONGEST: Final = 128


class Guard:
    """Looks at the legs of one node, in a greenlet of its own: a gate never waits for it."""

    def __init__(self, node: str, link: Link, installation: str) -> None:
        self._node, self._link, self._installation = node, link, installation
        self._post: ev.Post = lambda _fact, _at=None: None
        self._due: dict[LegId, frozenset[LegId]] = {}
        self._missed: dict[LegId, int] = {}  # how often somebody was missing on it
        self._news = Signal()
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def start(self, post: ev.Post) -> None:
        """Look when told to, and post what is found."""
        self._post = post
        self._greenlet = gevent.spawn(self._run)

    def stop(self) -> None:
        """No more."""
        if self._greenlet is not None:
            self._greenlet.kill(timeout=1)

    def look(self, effect: fx.LookForTaps) -> None:
        """A leg is to be looked at in a moment."""
        with suppress(UnsafeArgument):  # a name that no command may hold: a call of it cannot be coached either
            self._due[grammar.leg(effect.leg)] = effect.ours
            self._news.set()

    def _run(self) -> None:
        while True:
            self._news.wait()
            self._news.clear()
            gevent.sleep(SETTLED)
            due, self._due = self._due, {}
            try:
                self._look(due)
            except SwitchError:
                if self._link.up:  # it only was slow; else every leg is looked at when the node has been read again
                    self._due = due | self._due
                    self._news.set()
            except Exception:
                logger.exception("the guard of %s could not look", self._node)

    def _look(self, due: dict[LegId, frozenset[LegId]]) -> None:
        legs = list(due)
        for start in range(0, len(legs), AT_ONCE):
            part = legs[start : start + AT_ONCE]
            replies = self._link.pipeline([cmd.uuid_buglist(leg) for leg in part])
            for leg, reply in zip(part, replies, strict=True):
                count = len(_EAVESDROP.findall(_text(reply)))
                if count:
                    count -= sum(self._is_ours(dump, leg) for dump in self._dumps(due[leg]))
                taps = self._find(leg, count, due[leg]) if count > 0 else ()
                if taps is None:
                    self._missed[leg] = self._missed.get(leg, 0) + 1
                    self._due = {leg: due[leg]} | self._due
                    self._news.set()
                else:
                    self._missed.pop(leg, None)
                    self._post(ev.Tapped(self._node, leg, taps))

    def _find(self, leg: LegId, count: int, known: frozenset[LegId]) -> tuple[Tap, ...] | None:
        """Who listens to a leg besides those who are known; None when the list may have to be read again for it."""
        rows = orjson.loads(self._link.api(cmd.show_channels())).get("rows", ())
        names = [str(row["uuid"]) for row in rows if row["uuid"] not in known and _listens(row, leg)]
        exact = [dump for dump in self._dumps(names) if dump.get("variable_current_application") in _APPLICATIONS]
        count -= sum(self._is_ours(dump, leg) for dump in exact)
        others = sorted((dump for dump in exact if not self._ours(dump)), key=lambda dump: not _on(dump, leg))
        taps = [self._tap(leg, dump) for dump in others[: max(count, 0)]]
        if len(taps) < count and self._missed.get(leg, 0) < LOOKS - 1:
            return None
        return tuple(taps) + (Tap(self._node, leg, None),) * (count - len(taps))

    def _dumps(self, legs: Iterable[LegId]) -> Iterator[Mapping[str, str]]:
        commands = []
        for leg in legs:
            with suppress(UnsafeArgument):
                commands.append(cmd.uuid_dump(leg))
        for reply in self._link.pipeline(commands):
            text = _text(reply)
            if text:
                yield {name: value for name, value in orjson.loads(text).items() if isinstance(value, str)}

    def _ours(self, dump: Mapping[str, str]) -> bool:
        return leg_of(dump, self._installation).is_coach

    def _is_ours(self, dump: Mapping[str, str], leg: LegId) -> bool:
        return self._ours(dump) and _on(dump, leg) and dump.get("variable_current_application") == "eavesdrop"

    def _tap(self, leg: LegId, dump: Mapping[str, str]) -> Tap:
        who = leg_of(dump, self._installation)
        name = (who.dialed_user if who.outbound else who.auth_user) or who.caller_number or who.caller_name
        other = dump.get(f"variable_{records.ROLE}") == records.COACH
        record = records.load(dump.get(f"variable_{records.SESSION}", "")) if other else None
        return Tap(self._node, leg, who.id, (record.name if record else name)[:_LONGEST], other)


def _on(dump: Mapping[str, str], leg: LegId) -> bool:
    return leg in dump.get("variable_current_application_data", "")


def _listens(row: Mapping[str, Any], leg: LegId) -> bool:
    """Whether it may be on this leg. `eavesdrop all` and a spy by name do not say on which they are now."""
    application, data = row.get("application"), str(row.get("application_data")).lower()
    if application in ("eavesdrop", "three_way"):
        return data in (leg.lower(), "all")
    return application in _APPLICATIONS


def _text(reply: str | SwitchError) -> str:
    """Nothing for a leg that is gone. Raises SwitchError when the connection is."""
    if isinstance(reply, CommandRefused):
        return ""
    if isinstance(reply, SwitchError):
        raise reply
    return reply
