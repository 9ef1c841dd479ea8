"""From an event of the switch to the data on 200 pages: with 1,000 calls up and 100 changes a second.

The switch is the simulator, the pages are Socket.IO clients in a process of their own; each change is a call that is
put on hold or taken back, and counts from the command that causes it until a page has it decoded. Once with everybody
reading, and once with 20 pages more that read nothing. Takes two minutes; with CCW_BENCH_QUICK=1 a few seconds, which
show that it works, with numbers too few to be figures.
"""

from __future__ import annotations

import os
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Final

from ccwhisper.bench import Figure
from ccwhisper.bench._child import Child
from ccwhisper.bench._process import cpu_seconds, resident_mib
from ccwhisper.bench.simulator import Node, say, until
from ccwhisper.coaching.model import call_id
from ccwhisper.proof.service import ServiceProcess

GOAL_MS: Final = 100.0


@dataclass(frozen=True)
class Plan:
    """Calls, pages, changes a second, seconds of each round, and pages that do not read."""

    calls: int = 1000
    pages: int = 200
    rate: int = 100
    seconds: int = 30
    sleepers: int = 20


QUICK: Final = Plan(calls=20, pages=5, seconds=2, sleepers=2)


class Pages(Child):
    """The clients' process."""

    def __init__(self, service: ServiceProcess, count: int, sleepers: int) -> None:
        tokens = [service.token(f"supervisor{each}") for each in range(count + sleepers)]
        super().__init__("ccwhisper.bench._pages", {"url": service.url, "tokens": tokens, "sleepers": sleepers})

    def result(self, said: list[tuple[int, str, bool]]) -> dict[str, Any]:
        """How late each page heard of what was said."""
        found: dict[str, Any] = self.ask({"said": said})
        return found


def run() -> list[Figure]:
    """All of it."""
    plan = QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()
    with ExitStack() as stack:
        node = stack.enter_context(Node(plan.calls, 0))
        service = stack.enter_context(ServiceProcess(node, agents=[str(1001 + each) for each in range(plan.calls)]))
        if service.process is None:
            raise RuntimeError("the service has not started")
        say(f"{plan.calls} calls")
        legs = [node.sim(f"call {1001 + each} +1202555{each:04}") for each in range(plan.calls)]
        desk = service.api("desk")
        stack.callback(desk.close)
        until("the service shows the calls", lambda: len(desk.ask("GET", "/calls")["calls"]) == plan.calls)
        calls = [(each["agent"], call_id(each["agent"], each["caller"])) for each in legs]
        figures = []
        for sleepers in (0, plan.sleepers):
            figures += _round(plan, node, service.process.pid, Pages(service, plan.pages, sleepers), sleepers, calls)
        return figures


def _round(plan: Plan, node: Node, pid: int, pages: Pages, sleepers: int, calls: list[tuple[str, str]]) -> list[Figure]:
    with_them = f"{plan.pages} pages" + (f" and {sleepers} that read nothing" if sleepers else "")
    before = resident_mib(pid)
    with pages:
        say(with_them)
        said: list[tuple[int, str, bool]] = []
        held = dict.fromkeys((leg for leg, _ in calls), False)
        used, began = cpu_seconds(pid), time.monotonic()
        for count in range(plan.rate * plan.seconds):
            time.sleep(max(0.0, began + count / plan.rate - time.monotonic()))
            leg, call = calls[count % len(calls)]
            held[leg] = not held[leg]
            said.append((time.monotonic_ns(), call, held[leg]))
            node.sim(f"{'hold' if held[leg] else 'unhold'} {leg}")
        lasted = time.monotonic() - began
        percent = 100 * (cpu_seconds(pid) - used) / lasted
        memory = resident_mib(pid) - before
        time.sleep(1)
        result = pages.result(said)
        for leg in (each for each, on in held.items() if on):
            node.sim(f"unhold {leg}")
    p99 = round(result["ms"]["99"], 1)
    figures = [
        Figure(f"{with_them}, event → decoded at a page, p50", round(result["ms"]["50"], 1), "ms"),
        Figure(f"{with_them}, event → decoded at a page, p95", round(result["ms"]["95"], 1), "ms"),
        Figure(f"{with_them}, event → decoded at a page, p99", p99, "ms", f"<= {GOAL_MS:g} ms", p99 <= GOAL_MS),
        Figure(f"{with_them}, changes that arrived", result["count"], "changes"),
        Figure(f"{with_them}, changes that did not", result["missed"], "changes", "0", result["missed"] == 0),
        Figure(f"{with_them}, readers that were dropped", result["gone"], "pages", "0", result["gone"] == 0),
        Figure(f"{with_them}, events sent", round(len(said) / lasted, 1), "1/s"),
        Figure(f"{with_them}, service, CPU", round(percent, 1), "% of a core"),
    ]
    if not sleepers:
        figures.append(Figure("service, memory per page", round(1024 * memory / plan.pages, 1), "KiB"))
    return figures
