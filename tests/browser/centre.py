"""The simulator and the service, and who may do what there."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from ccwhisper.proof.service import ServiceProcess
from ccwhisper.proof.simulated import SimulatorProcess

AGENTS = tuple(str(1001 + number) for number in range(8))


class Centre:
    """A small contact centre. `sim` is the simulator's control; people have devices 9001, 9002, …"""

    def __init__(self, *options: str, agents: tuple[str, ...] = AGENTS) -> None:
        self._rest = ExitStack()
        self.switch = SimulatorProcess("--ring", "0.05", "--agents", str(len(agents)), *options)
        self._agents = agents
        self._numbers = 0

    def __enter__(self) -> Self:
        self._rest.enter_context(self.switch)
        self.switch.start()
        self.service = self._rest.enter_context(ServiceProcess(self.switch, agents=self._agents))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rest.__exit__(kind, error, trace)

    @property
    def url(self) -> str:
        return self.service.url

    def sim(self, command: str) -> Any:
        return self.switch.sim(command)

    def call(self, agent: str = "1001", name: str = "Jo+Meyer") -> dict[str, str]:
        """A caller reaches an agent: the ids of both legs, and the caller's number."""
        self._numbers += 1
        number = f"+1202555{self._numbers:04}"
        legs: dict[str, str] = self.sim(f"call {agent} {number} {name}")
        return {**legs, "number": number}

    def supervisor(self, sub: str = "grace", device: str = "9001", **claims: Any) -> str:
        return self.service.token(sub, devices=[f"{device}@{self.switch.domain}"], **claims)

    def agent(self, agent: str) -> str:
        return self.service.token(f"agent-{agent}", permissions=[], roles=[], queues=[], agent=agent)

    def hears(self, leg: str, ms: int = 100) -> set[str]:
        """Who was heard on a leg in the last moments."""
        time.sleep(ms / 1000 + 0.05)  # what is asked for is the past
        return set(self.sim(f"hears {leg} {ms}")["heard"])

    def clear(self) -> None:
        """Everybody hangs up, and the service knows."""
        self.sim("clear")
        desk = self.service.api("desk")
        until(lambda: not desk.ask("GET", "/calls")["calls"] and not desk.ask("GET", "/sessions")["coaches"])
        desk.close()


def until(condition: Callable[[], Any], seconds: float = 8) -> Any:
    """Poll until it is so."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not come to be"
        time.sleep(0.02)
    return value
