"""Scenes of a contact centre on any switch: the service, the people who use it, and the judgement of who hears whom.

What people do with their phones, and how it is found out what a phone hears, is a switch's own: `stage.Stage` does it
with real SIP phones. What must be heard is judged here, in the same way wherever it was heard.
"""

from __future__ import annotations

import json
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from ccwhisper.proof.service import AGENTS, PROGRAM, Api, ServiceNode, ServiceProcess

if TYPE_CHECKING:
    from ccwhisper.proof.calls import PhoneCall

LEVEL: Final = -16.0
"""dBFS of every tone that is sent."""

BEEP: Final = 1400.0

# By search: in G.711 none of them alone leaves anything above -88 dBFS at another's frequency or the beep's, and no
# mixture of up to four leaves anything above -70. Primes, so that no harmonic of one is another.
TONES: Final[Mapping[str, float]] = {
    "caller": 683.0,
    "agent": 1091.0,
    "carla": 1597.0,
    "dora": 2029.0,
    "emil": 2467.0,
    "second": 1291.0,
    "colleague": 2161.0,
}
DEVICES: Final[Mapping[str, str]] = {"carla": "9001", "dora": "9002", "emil": "9003"}

NUMBERS: Final[Mapping[str, str]] = {"caller": "+4930123", "second": "+4930124"}
"""What callers call from."""

LOOKS: Final = 5
"""How often it is looked at most, until nothing slips."""

SILENT: Final = -50.0
"""dBFS: quieter than this is not heard by anybody, 34 dB below whoever is. The mix of several G.711 tones leaves some
-70, with the end of a beep in it -56. What is said of a caller is stricter."""

FLOOR: Final = -80.0
"""dBFS: what a caller may find of a coach or a beep, whose frames are those that the agent sent."""

STEP_NS: Final = 20_000_000
"""A frame: the step between windows."""


class NotAsExpected(AssertionError):
    """Somebody heard what he must not, or did not hear what he must."""


def wait_until(what: str, condition: Callable[[], Any], timeout: float = 5.0) -> Any:
    """Poll until a condition is truthy and return its value. Raises NotAsExpected."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise NotAsExpected(f"not within {timeout} s: {what}")
        time.sleep(0.005)


@dataclass
class Scene:
    """A call between a caller and an agent, as their phones see it, and its id in the API."""

    id: str
    caller: PhoneCall
    agent: PhoneCall
    agent_id: str
    caller_name: str = "caller"
    agent_name: str = "agent"

    def hang_up(self) -> None:
        """The caller hangs up."""
        self.caller.hangup()


@dataclass
class Coach:
    """One coach and his session."""

    name: str
    api: Api
    session: str = ""
    call: PhoneCall | None = None

    @property
    def heard_by_phone(self) -> PhoneCall:
        """His call, which must be up."""
        if self.call is None:
            raise NotAsExpected(f"{self.name} has no call")
        return self.call

    def view(self) -> dict[str, Any]:
        """His session as the API shows it."""
        answer: dict[str, Any] = self.api.ask("GET", f"/sessions/{self.session}")
        return answer

    def wait(self, what: str = "gate", timeout: float = 10.0) -> dict[str, Any]:
        """Wait for listening, gate or ended. Raises NotAsExpected."""
        deadline = time.monotonic() + timeout
        view: dict[str, Any] = self.api.ask("GET", f"/sessions/{self.session}", wait=what, timeout=min(timeout, 30))
        done = {"listening": view["phase"] == "attached", "gate": view["settled"], "ended": view["phase"] == "ended"}
        if not done[what] or time.monotonic() > deadline + 1:
            raise NotAsExpected(f"{self.name} did not reach {what}: {view}")
        return view

    def ask_mode(self, mode: str) -> None:
        """Ask for a mode, which may be granted later."""
        self.api.ask("PUT", f"/sessions/{self.session}/mode", {"mode": mode})

    def mode(self, mode: str) -> None:
        """Switch the mode, and wait until the switch has confirmed the gate."""
        self.ask_mode(mode)
        self.wait()

    def talk(self, talk: str) -> None:
        """push or open."""
        self.api.ask("PUT", f"/sessions/{self.session}/talk", {"talk": talk})

    def mute(self, muted: bool = True) -> None:
        """Mute or unmute."""
        self.api.ask("PUT", f"/sessions/{self.session}/muted", {"muted": muted})

    def press(self) -> None:
        """Push-to-talk is (still) held."""
        self.api.ask("POST", f"/sessions/{self.session}/press")

    def release(self) -> None:
        """Push-to-talk is let go of."""
        self.api.ask("POST", f"/sessions/{self.session}/release")

    def take_over(self) -> None:
        """Stay with the caller."""
        self.api.ask("POST", f"/sessions/{self.session}/take-over")

    def leave(self) -> None:
        """End the session, and wait until it has ended."""
        self.api.ask("DELETE", f"/sessions/{self.session}")
        self.wait("ended")


@dataclass
class Verdict:
    """One look at who hears whom: listener → name → dBFS."""

    label: str
    levels: dict[str, dict[str, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ear:
    """How well somebody hears: by how many dB the level of whoever is to be heard may be off, and what is not heard by
    him, in dBFS."""

    slack: float = 1.0
    silent: float = SILENT


@dataclass(frozen=True, slots=True)
class Fault:
    """Somebody hears whom he must not, or does not hear whom he must as he speaks. Levels in dBFS; `limit` is what
    must not be exceeded, or the level that is wanted."""

    listener: str
    name: str
    level: float
    limit: float
    must: bool
    """Whether he is to be heard."""

    @property
    def slip(self) -> bool:
        """Whether it is but the level of somebody who is to be heard: a frame slips on a busy machine."""
        return self.must and self.level > SILENT

    def __str__(self) -> str:
        if self.must:
            return f"{self.listener} hears {self.name} at {self.level:.1f} instead of {self.limit:.0f} dBFS"
        return f"{self.listener} hears {self.name} at {self.level:.1f} dBFS, must not (limit {self.limit:.0f})"


class ServiceStage(ABC):
    """The service on a node, and everybody's view of its API. A context manager: entering starts the service."""

    def __init__(
        self,
        node: ServiceNode,
        extra_config: str = "",
        program: Sequence[str] = PROGRAM,
        agents: Iterable[str] = AGENTS,
    ) -> None:
        self.node = node
        self.service = ServiceProcess(node, extra_config, agents, program)
        self.verdicts: list[Verdict] = []
        self.said: list[str] = []
        """Lines with figures, for a report."""
        self.floor = FLOOR
        """What a caller may find of whom he must not hear; more where his codec is not the agent's."""
        self.ears: Mapping[str, Ear] = {}
        """Of listeners whose codec blurs what they hear."""
        self._coaches: list[Coach] = []
        self._desk: Api | None = None

    def __enter__(self) -> Self:
        try:
            self.service.start()
        except BaseException as error:  # Ctrl-C while it starts included: nothing of it may stay
            self.__exit__(type(error), error, error.__traceback__)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.forget_connections()
        self.service.__exit__(kind, error, trace)

    # --- the service -------------------------------------------------------------------------------------------------

    def desk(self) -> Api:
        """The API as somebody who only looks."""
        if self._desk is None:
            self._desk = self.service.api("desk")
        return self._desk

    def forget_connections(self) -> None:
        """After the service was restarted on another port."""
        if self._desk is not None:
            self._desk.close()
            self._desk = None
        for coach in self._coaches:
            coach.api.close()
            coach.api = self.service.api(coach.name, devices=[self.device(coach.name)])

    def device(self, name: str) -> str:
        """The directory user of a coach's desk phone."""
        return f"{DEVICES[name]}@{self.node.domain}"

    def calls(self) -> list[dict[str, Any]]:
        """The calls that the API shows."""
        found: list[dict[str, Any]] = self.desk().ask("GET", "/calls")["calls"]
        return found

    def coaches(self) -> list[dict[str, Any]]:
        """Everybody who coaches, as somebody else sees it."""
        found: list[dict[str, Any]] = self.desk().ask("GET", "/sessions")["coaches"]
        return found

    def _start(self, name: str, target: Scene | str, mode: str, body: Mapping[str, Any]) -> Coach:
        """Ask for a session. The coach's phone rings from now on."""
        coach = Coach(name, self.service.api(name, devices=[self.device(name)]))
        self._coaches.append(coach)
        whom = {"call": target.id} if isinstance(target, Scene) else {"agent": target}
        coach.session = coach.api.ask("POST", "/sessions", {**whom, "mode": mode, **body})["id"]
        return coach

    # --- the switch --------------------------------------------------------------------------------------------------

    def dump(self, leg: str) -> dict[str, Any]:
        """A leg's own JSON dump; empty when it is gone."""
        reply = self.node.api(f"uuid_dump {leg} json")
        found: dict[str, Any] = json.loads(reply) if reply.startswith("{") else {}
        return found

    def legs(self) -> list[dict[str, Any]]:
        """Every leg of the node."""
        rows: list[dict[str, Any]] = json.loads(self.node.api("show channels as json")).get("rows", [])
        return rows

    @abstractmethod
    def forget_calls(self) -> None:
        """Calls that rang and that nobody waited for are given out no more."""

    def clear(self) -> None:
        """Everybody hangs up; nothing stays behind, neither on the node nor in the service."""
        for coach in self._coaches:
            coach.api.close()
        self.node.api("hupall NORMAL_CLEARING")
        self.forget_calls()
        wait_until("the node has no legs", lambda: not self.legs(), 10)
        wait_until("the service has no calls", lambda: not self.calls(), 10)
        wait_until("the service has no sessions", lambda: not self.coaches(), 10)
        self._coaches.clear()

    # --- who hears whom ----------------------------------------------------------------------------------------------

    @abstractmethod
    def listen(self, listeners: Mapping[str, PhoneCall], tones: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """What each of these calls hears of each tone, in dBFS, over the same stretch of time from now on."""

    @abstractmethod
    def windows(self, call: PhoneCall, name: str, since: int, until: int, width: float) -> list[float]:
        """The levels of somebody's tone (or the "beep") in what a call heard, in windows of `width` seconds, a frame
        apart. Waits for the end of that time."""

    def after_beep(self, scene: Scene) -> None:
        """Wait until a beep, should one be about to begin, is over. Raises NotAsExpected."""
        since = time.monotonic_ns()
        latest = since + 2_000_000_000
        while max(self.windows(scene.agent, "beep", since, since + 3 * STEP_NS, 0.06)) > SILENT:
            since += STEP_NS
            if since > latest:
                raise NotAsExpected("the beep does not end")

    def expect(
        self,
        scene: Scene,
        coaches: Iterable[Coach] = (),
        *,
        label: str = "",
        caller: Collection[str],
        agent: Collection[str],
        beep_allowed: bool = False,
        absent: Collection[str] = (),
        **hear: Collection[str],
    ) -> Verdict:
        """As `look`, and raises NotAsExpected with the whole table when anything is wrong."""
        verdict, faults = self.look(
            scene, coaches, label=label, caller=caller, agent=agent, beep_allowed=beep_allowed, absent=absent, **hear
        )
        if faults:
            text = "; ".join(map(str, sorted(faults, key=lambda fault: fault.slip)))
            raise NotAsExpected(f"{label or 'who hears whom'}: {text}\n{table(verdict)}")
        return verdict

    def look(
        self,
        scene: Scene,
        coaches: Iterable[Coach] = (),
        *,
        label: str = "",
        caller: Collection[str],
        agent: Collection[str],
        beep_allowed: bool = False,
        absent: Collection[str] = (),
        **hear: Collection[str],
    ) -> tuple[Verdict, list[Fault]]:
        """Everybody hears exactly those who are named, at the level that they sent; nobody hears anybody else.

        `hear` says the same for coaches by name; a coach that is not named hears caller and agent. `absent` are people
        of other calls, whom nobody here may hear. The agent may hear the beep where it is allowed. Where all that is
        wrong is the level of somebody who is to be heard, it is looked again: a frame slips on a busy machine. Whoever
        is heard and must not be, or is not heard at all, is wrong at once.
        """
        coaches = list(coaches)
        present = {coach.name for coach in coaches} | {scene.caller_name, scene.agent_name, *absent}
        listeners = {"caller": scene.caller, "agent": scene.agent}
        listeners |= {coach.name: coach.heard_by_phone for coach in coaches}
        coaching = {coach.name for coach in coaches}
        tones = {name: TONES[name] for name in sorted(present)} | {"beep": BEEP}
        wanted = {"caller": set(caller), "agent": set(agent)}
        wanted |= {c.name: set(hear.get(c.name, {scene.caller_name, scene.agent_name})) for c in coaches}
        for _ in range(LOOKS):
            verdict = Verdict(label, self.listen(listeners, tones))
            faults: list[Fault] = []
            for listener, heard in verdict.levels.items():
                ear = self.ears.get(listener, Ear())
                limit = self.floor if listener == "caller" and wanted["caller"] <= {scene.agent_name} else ear.silent
                for name, level in heard.items():
                    if name == "beep" and beep_allowed and listener == "agent":
                        continue
                    twice = name in coaching and listener in coaching  # through both directions of the agent's leg
                    right = -45 < level < -8 if twice else abs(level - LEVEL) <= ear.slack
                    if name in wanted[listener] and not right:
                        faults.append(Fault(listener, name, level, LEVEL, must=True))
                    elif name not in wanted[listener] and level > limit:
                        faults.append(Fault(listener, name, level, limit, must=False))
            if not faults or not all(fault.slip for fault in faults):
                break
        self.verdicts.append(verdict)
        return verdict, faults


def table(verdict: Verdict) -> str:
    """A verdict as text; levels below what anybody hears are shown as –."""
    names = list(dict.fromkeys(name for heard in verdict.levels.values() for name in heard))
    rows = [["hears", *names]]
    for listener, heard in verdict.levels.items():
        rows.append([listener, *(f"{heard[n]:.0f}" if heard[n] > SILENT else "–" for n in names)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
