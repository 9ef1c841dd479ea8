"""Whether the simulator keeps up: 1,000 calls at a time, 200 of them coached by the service over the simulator's port.

200 calls last, and a coach whispers in each; the others come and go by themselves, are held and transferred, ring and
wait in the queue. Coaches change their mode all the time. Simulator and service share one core, where there is more
than one; what asks them has another. Each second it is asked what every party of the coached calls heard in that
second. Takes two minutes; with CCW_BENCH_QUICK=1 a few seconds, which show that it works, with numbers too few to be
figures.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

from ccwhisper.bench import Figure
from ccwhisper.bench._process import cpu_seconds, resident_mib
from ccwhisper.proof.service import Api, ServiceProcess
from ccwhisper.proof.simulated import Control, SimulatorProcess

FRAME_MS: Final = 20.0
PATIENCE: Final = 60.0
"""Seconds until something that should have come is given up."""


@dataclass(frozen=True)
class Plan:
    """How many calls, how many of them coached, measured for how many seconds, with how many changes of mode a
    second."""

    calls: int = 1000
    coached: int = 200
    seconds: int = 60
    changes: int = 20


QUICK: Final = Plan(calls=50, coached=10, seconds=3)


class Node(SimulatorProcess):
    """A simulator for so many people; entering starts it."""

    def __init__(self, agents: int, coaches: int) -> None:
        super().__init__("--ring", "0.05", "--seed", "1", "--agents", str(agents), "--coaches", str(coaches))

    def __enter__(self) -> Self:
        return self.start()


class Listener:
    """Counts events, as any client of the port might."""

    def __init__(self, node: Node) -> None:
        self._line = Control(node.host, node.esl_port, node.esl_password)
        self._line.ask("event json CHANNEL_CREATE CHANNEL_DESTROY")
        self.counts: Counter[str] = Counter()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while event := self._line.read():
                self.counts[json.loads(event)["Event-Name"]] += 1
        except (OSError, ValueError):
            return  # closed, by us or by the simulator: the counts tell

    def close(self) -> None:
        """Hang up."""
        self._line.close()
        self._thread.join()


@dataclass
class Coached:
    """A call that lasts, and its coach."""

    caller: str
    agent: str
    coach: str
    names: frozenset[str]  # caller and agent, as they are called in what is heard
    speaker: str
    api: Api
    session: str
    mode: str = "whisper"


class Bench:
    """One run."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.heard: Counter[str] = Counter()
        self.changes: list[float] = []

    def run(self) -> list[Figure]:
        """Set up, measure, clear away."""
        agents = self.plan.calls + self.plan.calls // 5  # some are between two calls
        with ExitStack() as stack:
            node = stack.enter_context(Node(agents, self.plan.coached))
            service = stack.enter_context(ServiceProcess(node, agents=[str(1001 + each) for each in range(agents)]))
            if service.process is None:
                raise RuntimeError("the service has not started")
            pids = {"simulator": node.pid, "service": service.process.pid}
            stack.enter_context(_one_core(pids.values()))
            listener = Listener(node)
            stack.callback(listener.close)
            desk = service.api("desk")
            stack.callback(desk.close)
            say(f"{self.plan.coached} coached calls")
            coached = [self._coach(node, service, number) for number in range(self.plan.coached)]
            for each in coached:
                stack.callback(each.api.close)
            return self._measure(node, listener, desk, pids, coached)

    def _measure(
        self, node: Node, listener: Listener, desk: Api, pids: dict[str, int], coached: list[Coached]
    ) -> list[Figure]:
        others = self.plan.calls - self.plan.coached
        say(f"{others} calls more")
        node.sim(f"stories {others + others // 40}")  # there are always a few less than wanted
        until("the calls are there", lambda: node.sim("load")["legs"] >= 1.8 * others + 3 * self.plan.coached)
        say(f"{self.plan.seconds} seconds")
        before, began = {name: cpu_seconds(pid) for name, pid in pids.items()}, time.monotonic()
        loads = [node.sim("load")]
        for second in range(1, self.plan.seconds + 1):
            self._change(
                coached[(second * self.plan.changes + each) % len(coached)] for each in range(self.plan.changes)
            )
            self._listen(node, coached)
            loads.append(node.sim("load"))
            time.sleep(max(0.0, began + second - time.monotonic()))
        lasted = time.monotonic() - began
        share = {name: 100 * (cpu_seconds(pid) - before[name]) / lasted for name, pid in pids.items()}
        memory = {name: resident_mib(pid) for name, pid in pids.items()}
        say("the end")
        first, *loads = loads
        last, both, late = loads[-1], sum(share.values()), max(each["late_ms"] for each in loads)
        real_time = 100 * lasted / self.plan.seconds
        return [
            Figure("calls at a time, mean", round(sum(each["bridges"] for each in loads) / len(loads)), "calls"),
            self._exactly("coached at the end", last["coaches"], "calls", len(coached)),
            Figure("simulator, CPU", round(share["simulator"], 1), "% of a core"),
            Figure("service, CPU", round(share["service"], 1), "% of a core"),
            Figure("both", round(both, 1), "% of a core", "< 100 %", both < 100),
            Figure("simulator, resident memory", round(memory["simulator"], 1), "MiB"),
            Figure("service, resident memory", round(memory["service"], 1), "MiB"),
            Figure("simulator, timers", round((last["timers"] - first["timers"]) / lasted), "1/s"),
            Figure("simulator, latest timer", late, "ms", f"<= {FRAME_MS:g} ms", late <= FRAME_MS),
            Figure("time for what was to be done", round(real_time, 1), "% of real time", "<= 101 %", real_time <= 101),
            self._percentile("change of mode, request → confirmed, p50", 0.5),
            self._percentile("change of mode, request → confirmed, p99", 0.99),
            Figure("frames that callers got of their agents", self.heard["matched"], "frames"),
            self._exactly("frames that they missed", self.heard["missing"], "frames", 0),
            self._exactly("frames in which they heard a coach", self.heard["foreign"], "frames", 0),
            self._exactly("seconds in which an agent or a coach missed a party", self.heard["deaf"], "seconds", 0),
            *self._over(node, listener, desk),
        ]

    # --- the calls that last -----------------------------------------------------------------------------------------

    def _coach(self, node: Node, service: ServiceProcess, number: int) -> Coached:
        user, device, caller = str(1001 + number), str(9001 + number), f"+1202555{number:04}"
        legs = node.sim(f"call {user} {caller}")
        api = service.api(f"coach{number}", devices=[f"{device}@{node.domain}"])
        call = until(f"the call of {user} is shown", lambda: api.ask("GET", "/calls", agent=user)["calls"])[0]["id"]
        view = api.ask("POST", "/sessions", {"call": call, "mode": "whisper"})
        session = str(view["id"])
        until("the coach whispers", lambda: api.ask("GET", f"/sessions/{session}", wait="gate", timeout=10)["settled"])
        leg = next(each["leg"] for each in reversed(node.sim("legs")) if each["party"] == device)
        return Coached(legs["caller"], legs["agent"], leg, frozenset({caller, user}), user, api, session)

    def _change(self, coached: Iterable[Coached]) -> None:
        for each in coached:
            each.mode = "listen" if each.mode == "whisper" else "whisper"
            began = time.monotonic()
            each.api.ask("PUT", f"/sessions/{each.session}/mode", {"mode": each.mode})
            view = each.api.ask("GET", f"/sessions/{each.session}", wait="gate", timeout=10)
            self.changes.append((time.monotonic() - began) * 1000)
            if view["gate"] != {"listen": "closed", "whisper": "agent"}[each.mode]:
                raise RuntimeError(f"a change of mode was not confirmed: {view}")

    def _listen(self, node: Node, coached: list[Coached]) -> None:
        for each in coached:
            self.heard.update(
                {
                    name: count
                    for name, count in node.sim(f"frames {each.caller} {each.speaker} 1000").items()
                    if name != "gaps"
                }
            )
            for leg, parties in ((each.agent, each.names - {each.speaker}), (each.coach, each.names)):
                answer = node.sim(f"hears {leg} 1000")
                if any(answer["heard"].get(name, {}).get("frames") != answer["frames"] for name in parties):
                    self.heard["deaf"] += 1

    # --- the end -----------------------------------------------------------------------------------------------------

    def _over(self, node: Node, listener: Listener, desk: Api) -> list[Figure]:
        node.sim("stories stop")
        shown = until("the service shows the calls that there are", lambda: self._same(node, desk))
        node.sim("clear")
        until("everybody has gone", lambda: node.sim("load")["legs"] == 0)
        until("the service knows", lambda: not desk.ask("GET", "/calls")["calls"])
        until("no coach is left", lambda: not desk.ask("GET", "/sessions")["coaches"])
        sessions = int(node.api("status").split(" session(s) since")[0].split()[-1])
        until("every end was told", lambda: listener.counts["CHANNEL_DESTROY"] == sessions)
        created = listener.counts["CHANNEL_CREATE"]
        return [
            Figure("calls that the service shows, as the simulator has them", shown, "calls"),
            self._exactly("legs that a listener saw come and go", created, "legs", sessions),
        ]

    @staticmethod
    def _same(node: Node, desk: Api) -> int:
        shown = len(desk.ask("GET", "/calls")["calls"])
        return shown if shown == node.sim("load")["bridges"] else 0

    # --- figures -----------------------------------------------------------------------------------------------------

    def _percentile(self, name: str, part: float) -> Figure:
        ordered = sorted(self.changes)
        return Figure(name, round(ordered[int(part * (len(ordered) - 1))], 1), "ms")

    @staticmethod
    def _exactly(name: str, count: int, unit: str, goal: int) -> Figure:
        return Figure(name, count, unit, str(goal), count == goal)


@contextmanager
def _one_core(pids: Iterable[int]) -> Iterator[None]:
    """Put them on one core, and this process on the others. Not possible everywhere, nor with one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    core, *others = sorted(before)
    for pid in pids:
        os.sched_setaffinity(pid, {core})
    os.sched_setaffinity(0, others or {core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def until(what: str, condition: Any) -> Any:
    """Wait for a condition; what it came to. Raises TimeoutError."""
    deadline = time.monotonic() + PATIENCE
    while not (value := condition()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"not in {PATIENCE:g} seconds: {what}")
        time.sleep(0.02)
    return value


def say(what: str) -> None:
    """Tell how far it is."""
    print(f"{time.strftime('%H:%M:%S')} {what} …", flush=True)


def run() -> list[Figure]:
    """All of it. Needs no FreeSWITCH."""
    return Bench(QUICK if os.environ.get("CCW_BENCH_QUICK") == "1" else Plan()).run()
