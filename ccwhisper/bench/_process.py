"""What processes use, from /proc (Linux)."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path


def cpu_seconds(pid: int) -> float:
    """User and system time of a process and its threads so far (proc(5), /proc/pid/stat).

    The kernel scales both to the exact run time, so short bursts count; the sums in /proc/stat may count ticks alone.
    """
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_mib(pid: int) -> float:
    """Resident memory in MiB."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    raise OSError(f"/proc/{pid}/status has no VmRSS")


def descendants(pid: int) -> list[int]:
    """The processes below a process, however far."""
    below: defaultdict[int, list[int]] = defaultdict(list)
    for each in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = each.read_text().rpartition(")")[2].split()
        except OSError:  # it has ended
            continue
        below[int(fields[1])].append(int(each.parent.name))
    found = list(below[pid])
    for each_pid in found:
        found += below[each_pid]
    return found


def busy(seconds: float) -> float:
    """Which share of all cores' time is used in the next `seconds` (proc(5), /proc/stat)."""
    total, idle = _times()
    time.sleep(seconds)
    total_after, idle_after = _times()
    return 1 - (idle_after - idle) / max(1, total_after - total)


def _times() -> tuple[int, int]:
    fields = [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(fields), fields[3] + fields[4]
