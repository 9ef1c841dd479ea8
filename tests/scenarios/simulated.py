"""The stage on the simulator: people use their phones by ``sim`` commands, and what they hear is asked of it."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any, Self

from ccwhisper.proof.scene import (
    DEVICES,
    NUMBERS,
    STEP_NS,
    Coach,
    NotAsExpected,
    Scene,
    ServiceStage,
    wait_until,
)
from ccwhisper.proof.service import PROGRAM
from ccwhisper.proof.simulated import SimulatorError, SimulatorProcess
from ccwhisper.simulator.sound import frequency

NOTHING = -120.0
LOOK = 0.02
"""Seconds of a look: a frame. Nothing is lost or late here, so one tells as much as a hundred, and what is heard in it
is certain as soon as it begins."""

_STATES = {"RINGING": "ringing", "HELD": "held", "ACTIVE": "up", "UNHELD": "up"}


class SimNode(SimulatorProcess):
    """A simulator's process, with the agents, coaches and queue of the example node."""

    def __init__(self) -> None:
        super().__init__("--ring", "0.005", "--agents", "4", "--coaches", "3")

    def __enter__(self) -> Self:
        try:
            self.start()
            self.version = "simulator"
            for user, status in (("1003", "On Break"), ("1004", "Logged Out")):
                self.api(f"callcenter_config agent set status {user}@{self.domain} '{status}'")
            for user in ("1001", "1002", "1004"):
                self.api(f"callcenter_config agent set wrap_up_time {user}@{self.domain} 0")
        except BaseException:
            self.stop()
            raise
        return self

    def sim(self, command: str) -> Any:
        """A command of the simulator's own. Raises NotAsExpected."""
        try:
            return super().sim(command)
        except SimulatorError as refusal:
            raise NotAsExpected(f"sim {command}: {refusal}") from None

    def rows(self) -> dict[str, dict[str, Any]]:
        """Every leg, by its uuid."""
        return {row["leg"]: row for row in self.sim("legs")}


class SimCall:
    """A party of the simulator: see `stage.Party`."""

    def __init__(self, node: SimNode, leg: str) -> None:
        self.leg = leg
        self._node = node

    def __repr__(self) -> str:
        return f"<SimCall {self.leg}, {self.state}>"

    @property
    def state(self) -> str:
        row = self._node.rows().get(self.leg)
        return _STATES.get(row["state"], "calling") if row else "ended"

    def wait(self, state: str, timeout: float = 5.0) -> Self:
        def reached() -> str | None:
            now = self.state
            return now if now in (state, "ended") else None

        if wait_until(f"a call is {state}", reached, timeout) != state:
            raise NotAsExpected(f"waiting for {state}, but the call ended")
        return self

    def hangup(self) -> None:
        if self.state != "ended":
            self._node.sim(f"hangup {self.leg}")

    def hold(self) -> None:
        self._node.sim(f"hold {self.leg}")

    def unhold(self) -> None:
        self._node.sim(f"unhold {self.leg}")

    def refer(self, target: str) -> None:
        self._node.sim(f"transfer {self.leg} {target}")

    def refer_replaces(self, other: SimCall) -> None:
        self._node.sim(f"complete {self.leg} {other.leg}")

    @staticmethod
    def mark() -> int:
        return time.monotonic_ns()

    @staticmethod
    def wait_time(until: int) -> None:
        time.sleep(max(0.0, (until - time.monotonic_ns()) / 1e9))


class SimPhone:
    """A phone of a party (a directory user, or a number outside): see `stage.Telephone`."""

    def __init__(self, node: SimNode, party: str, name: str) -> None:
        self.party = party
        self.name = name
        self._node = node
        self._given: set[str] = set()

    def dial(self, target: str) -> SimCall:
        outside = self.party.startswith("+")
        if target == "6000":
            leg = self._node.sim(f"offhook {self.party}")["leg"]
        elif outside and target == "5000":
            leg = self._node.sim(f"queue {self.party} {self.name}")["caller"]
        elif outside:
            leg = self._node.sim(f"call 10{target[-2:]} {self.party} {self.name}")["caller"]
        else:
            leg = self._node.sim(f"dial {self.party} {target}")["caller"]
        self._given.add(leg)
        return SimCall(self._node, leg)

    def wait_call(self, timeout: float = 5.0) -> SimCall:
        leg = wait_until(f"somebody calls {self.party}", self._waiting, timeout)[0]
        self._given.add(leg)
        return SimCall(self._node, leg)

    def forget_calls(self) -> None:
        self._given.update(self._waiting())

    def _waiting(self) -> list[str]:
        rows = self._node.rows().values()
        return [row["leg"] for row in rows if row["party"] == self.party and row["leg"] not in self._given]


class SimStage(ServiceStage):
    """The service on a simulator, and people: see `stage.Stage`."""

    node: SimNode

    def __init__(self, node: SimNode, extra_config: str = "", program: Sequence[str] = PROGRAM) -> None:
        super().__init__(node, extra_config, program)
        self._phones: dict[str, SimPhone] = {}
        self.carrier = self._phone("5551234", "caller")

    def _phone(self, party: str, name: str) -> SimPhone:
        phone = self._phones.setdefault(party, SimPhone(self.node, party, name))
        phone.name = name
        return phone

    def phone_of(self, user: str, name: str) -> SimPhone:
        return self._phone(user, name)

    def caller_phone(self, name: str = "caller") -> SimPhone:
        return self._phone(NUMBERS[name], name)

    def forget_calls(self) -> None:
        for phone in self._phones.values():
            phone.forget_calls()

    def call(
        self, agent: str = "1001", *, caller_name: str = "caller", agent_name: str = "agent",
        number: str | None = None, counted: bool = False,  # every frame is counted here
    ) -> Scene:  # fmt: skip
        phone = self.phone_of(agent, agent_name)
        known = {call["id"] for call in self.calls()}
        caller = self.caller_phone(caller_name).dial(number or f"20{agent[-2:]}").wait("up", 10)
        leg = phone.wait_call().wait("up")
        seen = wait_until("the API shows the call", lambda: [c for c in self.calls() if c["id"] not in known])
        return Scene(seen[0]["id"], caller, leg, seen[0]["agents"][0]["agent"], caller_name, agent_name)

    def coach(self, name: str, scene: Scene | str, mode: str = "listen", **body: Any) -> Coach:
        phone = self.phone_of(DEVICES[name], name)
        coach = self._start(name, scene, mode, body)
        coach.call = phone.wait_call().wait("up")
        if isinstance(scene, Scene):
            coach.wait("listening")
            coach.wait("gate")
        return coach

    @staticmethod
    def leg_of(call: SimCall) -> str:
        return call.leg

    def legs(self) -> list[dict[str, Any]]:
        """Without the lag of `show`."""
        return list(self.node.rows().values())

    # --- what is heard ------------------------------------------------------------------------------------------------

    def _named(self, party: str) -> str:
        phone = self._phones.get(party)
        return phone.name if phone else party

    def listen(self, listeners: Mapping[str, SimCall], tones: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """Also who was not asked for, if he is heard: here he can be told."""
        wait_until("all commands are obeyed", lambda: not any(row["pending"] for row in self.node.sim("legs")))
        time.sleep(LOOK + 0.001)  # what is obeyed holds from the next frame on
        found = {}
        for who, call in listeners.items():
            heard = self.node.sim(f"hears {call.leg} {LOOK * 1000:.0f}")["heard"]
            levels = {self._named(party): each["dbfs"] for party, each in heard.items()}
            found[who] = {name: levels.get(name, NOTHING) for name in (*tones, *(set(levels) - set(tones)))}
        return found

    def windows(self, call: SimCall, name: str, since: int, until: int, width: float) -> list[float]:
        call.wait_time(until)
        now = time.monotonic_ns()
        pieces = self.node.sim(f"pieces {call.leg} {(now - since) / 1e6 + 20:.0f}")
        frames = [_amplitude(heard, name, self._named) for count, heard in pieces for _ in range(count)]
        first, last = (len(frames) - math.ceil((now - at) / STEP_NS) for at in (since, until))
        size = round(width * 1e9 / STEP_NS)
        return [_dbfs(frames[at : at + size]) for at in range(max(first, 0), last - size + 1)]

    def pitch(self, name: str) -> float:
        """Of the party that has this name."""
        parties = (*NUMBERS.items(), *DEVICES.items(), ("agent", "1001"), ("colleague", "1002"))
        return float(frequency(dict(parties).get(name, name)))

    def frames(self, scene: Scene, since: int) -> SimpleNamespace:
        """As the simulator counts them."""
        row = self.node.rows()[scene.agent.leg]
        lasted = (time.monotonic_ns() - since) / 1e6
        return SimpleNamespace(**self.node.sim(f"frames {scene.caller.leg} {row['party']} {lasted:.0f}"))


def _amplitude(heard: Mapping[str, float], name: str, named: Any) -> float:
    return sum(10 ** (level / 20) for party, level in heard.items() if named(party) == name)


def _dbfs(amplitudes: Iterable[float]) -> float:
    values = list(amplitudes)
    mean = sum(values) / len(values)
    return 20 * math.log10(mean) if mean > 0 else NOTHING
