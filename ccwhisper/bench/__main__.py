"""`python -m ccwhisper.bench NAME… [--json FILE]`: runs benchmarks, prints their figures beside their goals, and writes
them with what they depend on: the machine, the versions, and how busy it was.

Exits with 1 when a goal is missed, with 2 when this machine lacks what is needed.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import pkgutil
import platform
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import ccwhisper
from ccwhisper import bench
from ccwhisper.bench import Figure, Missing
from ccwhisper.proof.node import find_freeswitch


def names() -> list[str]:
    """The benchmarks that there are."""
    return sorted(each.name for each in pkgutil.iter_modules(bench.__path__) if not each.name.startswith("_"))


def machine() -> dict[str, Any]:
    """What it runs on."""
    return {
        "cpu": _cpu(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "kernel": f"{platform.system()} {platform.release()}",
    }


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """What runs."""
    return {"python": platform.python_version(), "ccwhisper": ccwhisper.__version__, "freeswitch": _freeswitch()}


def _freeswitch() -> str | None:
    binary = find_freeswitch()
    if binary is None:
        return None
    try:
        said = subprocess.run([binary, "-version"], capture_output=True, text=True, timeout=10, check=False).stdout
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = re.search(r"version:? (\S+)", said, re.IGNORECASE)
    return found[1] if found else None


def table(figures: Sequence[Figure]) -> str:
    """Figures for people."""
    rows = [("figure", "value", "goal", "")]
    for each in figures:
        verdict = {None: "", True: "holds", False: "MISSED"}[each.holds]
        rows.append((each.name, f"{each.value:,.4g} {each.unit}", each.goal or "", verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is named."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description="Measure on this machine.")
    parser.add_argument("names", nargs="+", metavar="NAME", choices=names(), help=", ".join(names()))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures with machine, versions and load")
    given = parser.parse_args(arguments)
    started, before, begun = datetime.now(UTC), os.getloadavg(), time.monotonic()
    figures: list[Figure] = []
    for name in given.names:
        try:
            found: list[Figure] = importlib.import_module(f"ccwhisper.bench.{name}").run()
        except Missing as error:
            print(f"{name}: {error}", file=sys.stderr)
            return 2
        figures += found
    report = {
        "benchmarks": given.names,
        "started_at": started.isoformat(timespec="seconds"),
        "seconds": round(time.monotonic() - begun, 1),
        "machine": machine(),
        "versions": versions(),
        "load_average": {"before": before, "after": os.getloadavg()},
        "figures": [asdict(each) for each in figures],
    }
    print(table(figures))
    print("{cpu}, {cores} cores, {kernel}".format_map(report["machine"]))
    print(", ".join(f"{name} {version or 'none'}" for name, version in versions().items()))
    print(f"load average {before[0]:.2f} before, {os.getloadavg()[0]:.2f} after")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if any(each.holds is False for each in figures) else 0


if __name__ == "__main__":
    sys.exit(main())
