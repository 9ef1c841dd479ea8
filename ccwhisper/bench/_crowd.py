"""The calls that make the load: a process of its own, so that their phones take nothing from those that measure.

`Crowd` is that process as seen from the benchmark; it is told on its standard input how many calls shall be up,
and answers when they are. `people` makes a node's configuration with an agent and a coach for each of them.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ccwhisper.bench._child import Child
from ccwhisper.proof.node import PrivateNode, default_conf
from ccwhisper.proof.phones import Phone, PhoneBank, PhoneCall
from ccwhisper.proof.service import Api, ServiceProcess
from ccwhisper.proof.sources import Tone
from ccwhisper.proof.stage import LEVEL, TONES

AGENT, COACH, NUMBER = "1{:03d}", "9{:03d}", "2{:03d}"
FIRST = 101


def people(count: int) -> list[int]:
    """What `AGENT`, `COACH` and `NUMBER` are formatted with."""
    return list(range(FIRST, FIRST + count))


def copy_configuration(to: Path) -> Path:
    """A copy of `freeswitch-conf/`, to which `populate` adds people."""
    return Path(shutil.copytree(default_conf(), to))


def populate(node: PrivateNode, count: int) -> None:
    """Give the node's own copy of the configuration `count` more agents, whom callers reach, and as many coaches."""
    directory = node.conf / "directory" / "domain.xml"
    text = directory.read_text()
    for group, form in (("agents", AGENT), ("coaches", COACH)):
        users = [
            f'<user id="{user}"><params><param name="password" value="{node.phone_secret(user)}"/></params></user>'
            for user in (form.format(each) for each in people(count))
        ]
        start = text.index(f'<group name="{group}">')
        end = text.index("</users>", start)
        text = text[:end] + "\n".join(users) + text[end:]
    directory.write_text(text)
    directory.chmod(0o600)
    dialplan = node.conf / "dialplan" / "from-trunk.xml"
    text = dialplan.read_text()
    for old, new in (
        (r"^(20\d\d|5000)$", r"^(2[01]\d\d|5000)$"),
        (r"^20(0[1-4])$", r"^2(00[1-4]|1\d\d)$"),
        ("user/10$1@", "user/1$1@"),
    ):
        if old not in text:
            raise ValueError(f"{dialplan} has no {old}")
        text = text.replace(old, new)
    dialplan.write_text(text)


def configuration(domain: str, count: int) -> str:
    """The same agents for the service's configuration."""
    return "".join(
        f'[agent.{agent}]\nname = "Agent {agent}"\nusers = ["{agent}@{domain}"]\nqueues = ["support@default"]\n'
        for agent in (AGENT.format(each) for each in people(count))
    )


@dataclass(frozen=True)
class Task:
    """What the process needs to know: where everything is, for each call number, agent, secret, coach, secret, token,
    and whether the coaches coach, or are somebody else's business."""

    host: str
    domain: str
    trunk_port: int
    phones_port: int
    url: str
    calls: list[tuple[str, str, str, str, str, str]]
    coached: bool = True


class Crowd(Child):
    """The process, from outside."""

    def __init__(self, node: PrivateNode, service: ServiceProcess, count: int, *, coached: bool = True) -> None:
        calls = []
        for each in people(count):
            agent, coach = AGENT.format(each), COACH.format(each)
            token = service.token(f"coach{each}", devices=[f"{coach}@{node.domain}"])
            secrets = (node.phone_secret(agent), node.phone_secret(coach))
            calls.append((NUMBER.format(each), agent, secrets[0], coach, secrets[1], token))
        task = Task(node.host, node.domain, node.trunk_port, node.phones_port, service.url, calls, coached)
        super().__init__(__name__, asdict(task))

    def be(self, count: int) -> dict[str, Any]:
        """Have `count` calls up, each with its coach whispering if they are coached. Returns what the phones counted so
        far: sent, received, lost, late_ms, skipped. Raises RuntimeError when they cannot."""
        found: dict[str, Any] = self.ask(count)
        return found


class Callers:
    """The process, from inside."""

    def __init__(self, bank: PhoneBank, task: Task) -> None:
        self._bank, self._task = bank, task
        self._up: list[tuple[PhoneCall, ...]] = []
        self._ended: list[PhoneCall] = []
        self._outside = bank.phone(
            "+4930456", None, task.domain, (task.host, task.trunk_port), source=Tone(TONES["caller"], LEVEL),
            keep="drain",
        )  # fmt: skip
        self._phones: dict[str, Phone] = {}

    def be(self, count: int) -> dict[str, Any]:
        """See Crowd.be."""
        while len(self._up) < count:
            self._up.append(self._one(*self._task.calls[len(self._up)]))
        while len(self._up) > count:
            calls = self._up.pop()
            calls[0].hangup()
            for call in calls[1:]:
                call.wait("ended", 15)
            self._ended += calls
        counts = [call.counts for calls in self._up for call in calls] + [call.counts for call in self._ended]
        totals: dict[str, Any] = {name: sum(each[name] for each in counts) for name in ("sent", "received", "lost")}
        return totals | {"late_ms": self._bank.worst_lateness_ms, "skipped": self._bank.skipped_frames}

    def _one(
        self, number: str, agent: str, agent_secret: str, coach: str, coach_secret: str, token: str
    ) -> tuple[PhoneCall, ...]:
        softphone = self._phone(agent, agent_secret, Tone(TONES["agent"], LEVEL))
        if not self._task.coached:
            return self._outside.dial(number).wait("up", 10), softphone.wait_call(5).wait("up", 5)
        desk = self._phone(coach, coach_secret, Tone(TONES["emil"], LEVEL))
        caller = self._outside.dial(number).wait("up", 10)
        leg = softphone.wait_call(5).wait("up", 5)
        api = Api(self._task.url, token)
        try:
            deadline = time.monotonic() + 10
            while not (found := api.ask("GET", "/calls", agent=agent)["calls"]):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the service does not show the call of {agent}")
                time.sleep(0.02)
            session = api.ask("POST", "/sessions", {"call": found[0]["id"], "mode": "whisper"})["id"]
            heard = desk.wait_call(5).wait("up", 5)
            view = api.ask("GET", f"/sessions/{session}", wait="gate", timeout=10)
            if view["gate"] != "agent":
                raise TimeoutError(f"the coach of {agent} does not whisper: {view}")
        finally:
            api.close()
        return caller, leg, heard

    def _phone(self, user: str, secret: str, source: Tone) -> Phone:
        if user not in self._phones:
            where = (self._task.host, self._task.phones_port)
            self._phones[user] = self._bank.phone(
                user, secret, self._task.domain, where, source=source, keep="drain"
            )  # fmt: skip
            self._phones[user].register()
        return self._phones[user]


def serve(orders: Iterable[str]) -> None:
    """Read a Task, then counts, one JSON value a line; answer each."""
    lines = iter(orders)
    with PhoneBank() as bank:
        callers = Callers(bank, Task(**json.loads(next(lines))))
        print("{}", flush=True)
        for line in lines:
            print(json.dumps(callers.be(int(line))), flush=True)


if __name__ == "__main__":
    serve(sys.stdin)
