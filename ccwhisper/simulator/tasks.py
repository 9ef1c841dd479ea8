"""Scheduled commands: ``sched_api``, ``sched_del`` (``switch_scheduler.c``)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ccwhisper.simulator.clock import Timer
from ccwhisper.simulator.legs import SWITCHNAME

if TYPE_CHECKING:
    from ccwhisper.simulator.state import Switch


@dataclass(slots=True)
class Task:
    """Something to run at a whole second of the epoch."""

    id: int
    group: str
    description: str
    at: int
    timer: Timer

    def headers(self) -> dict[str, str]:
        """For events."""
        return {"Task-ID": str(self.id), "Task-Desc": self.description, "Task-Group": self.group,
                "Task-Runtime": str(self.at)}  # fmt: skip

    def row(self) -> dict[str, str]:
        """For ``show tasks``."""
        return {"task_id": str(self.id), "task_desc": self.description, "task_group": self.group,
                "task_runtime": str(self.at), "task_sql_manager": "0", "hostname": SWITCHNAME}  # fmt: skip


class Tasks:
    """All that is scheduled."""

    def __init__(self, switch: Switch) -> None:
        self._switch = switch
        self._last = 0
        self.tasks: dict[int, Task] = {}

    def add(self, seconds: int, group: str, description: str, call: Callable[[], object]) -> Task:
        """Whole seconds of the epoch, as the switch counts: +2 comes 1 to 2 seconds from now (measured: 1.5)."""
        clock = self._switch.clock
        at = int(clock.wall()) + seconds
        self._last += 1
        timer = clock.after(at - clock.wall(), self._run, self._last, call)
        task = Task(self._last, group, description, at, timer)
        self.tasks[task.id] = task
        self._raise("ADD_SCHEDULE", task)
        return task

    def _run(self, task: int, call: Callable[[], object]) -> None:
        done = self.tasks.pop(task)
        self._raise("EXE_SCHEDULE", done)
        call()
        self._raise("DEL_SCHEDULE", done)

    def _raise(self, name: str, task: Task) -> None:
        self._switch.tables.note_task(task, name == "ADD_SCHEDULE")
        self._switch.raise_event(name, task.headers())

    def delete(self, task: int) -> int:
        """Delete one; how many there were."""
        found = self.tasks.pop(task, None)
        if found is None:
            return 0
        found.timer.cancel()
        self._raise("DEL_SCHEDULE", found)
        return 1

    def delete_group(self, group: str) -> int:
        """Delete all of a group, whoever made them."""
        return sum(self.delete(each.id) for each in list(self.tasks.values()) if each.group == group)
