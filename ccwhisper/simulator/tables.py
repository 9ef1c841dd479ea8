"""What ``show`` knows: tables that are written late.

The switch makes SQL of its events, and a thread of its own writes it in batches: after each it waits 40 times 5 ms
(``switch_user_sql_thread`` in ``switch_core_sqldb.c``). So a call that is up may be missing from ``show``, and one that
has ended may still be in it; ``uuid_exists`` and ``uuid_dump`` know better.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from ccwhisper.simulator import legs as names

if TYPE_CHECKING:
    from ccwhisper.simulator.clock import Clock
    from ccwhisper.simulator.legs import Leg
    from ccwhisper.simulator.tasks import Task

LAG: Final = 0.2
"""Seconds."""

Row = dict[str, str]


class Tables:
    """Channels, bridges and tasks as they were ``LAG`` ago."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._late: deque[tuple[float, dict[str, Row], str, Row | None]] = deque()
        self._channels: dict[str, Row] = {}
        self._calls: dict[str, Row] = {}
        self._tasks: dict[str, Row] = {}

    def note(self, leg: Leg) -> None:
        """A leg has raised an event."""
        self._write(self._channels, leg.id, None if leg.gone else names.row(leg))
        bridged = leg.peer is not None and leg.originator and not leg.gone
        self._write(self._calls, leg.id, {"b": leg.peer.id} if leg.peer and bridged else None)

    def note_task(self, task: Task, there: bool) -> None:
        """A task has come or gone."""
        self._write(self._tasks, str(task.id), task.row() if there else None)

    def _write(self, table: dict[str, Row], key: str, row: Row | None) -> None:
        self._late.append((self._clock.now() + LAG, table, key, row))
        self._catch_up()

    def _catch_up(self) -> None:
        now = self._clock.now()
        while self._late and self._late[0][0] <= now:
            _, table, key, row = self._late.popleft()
            if row is None:
                table.pop(key, None)
            else:
                table[key] = row

    def rows(self, what: str) -> list[Row] | None:
        """``channels``, ``bridged_calls`` (the originator first) or ``tasks``; None for anything else."""
        self._catch_up()
        match what:
            case "channels":
                return list(self._channels.values())
            case "bridged_calls":
                pairs = [(self._channels.get(a), self._channels.get(call["b"])) for a, call in self._calls.items()]
                return [a | {f"b_{name}": value for name, value in b.items()} for a, b in pairs if a and b]
            case "tasks":
                return list(self._tasks.values())
        return None
