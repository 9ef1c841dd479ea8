"""A whole contact centre for a test, a demo or a benchmark: a node, phones, the service, and people who use them.

    with PrivateNode() as node, Stage(node) as stage:
        scene = stage.call("1001")
        carla = stage.coach("carla", scene)
        carla.mode("whisper")
        stage.expect(scene, coaches=[carla], agent={"caller", "carla"}, caller={"agent"})

Everybody speaks a tone of his own, so who hears whom is read off what arrived at each phone.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import Phone, PhoneBank
from ccwhisper.proof.service import Api, Refused, ServiceProcess
from ccwhisper.proof.sources import Source, Tone
from ccwhisper.proof.tones import hears, typical

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

SILENT: Final = -60.0
"""dBFS: quieter than this is not heard by anybody. The mix of several G.711 tones leaves some -70."""

FLOOR: Final = -80.0
"""dBFS: what a caller may find of a coach or a beep, whose frames are those that the agent sent."""


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
        time.sleep(0.01)


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

    def mode(self, mode: str) -> None:
        """Switch the mode, and wait until the switch has confirmed the gate."""
        self.api.ask("PUT", f"/sessions/{self.session}/mode", {"mode": mode})
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


class Stage:
    """See the module. Phones are made once for each user and way of speaking, and registered."""

    def __init__(self, node: PrivateNode, extra_config: str = "") -> None:
        self.node = node
        self.bank = PhoneBank()
        self.service = ServiceProcess(node, extra_config)
        self.verdicts: list[Verdict] = []
        self._phones: dict[tuple[Any, ...], Phone] = {}
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
        try:
            self.bank.__exit__(kind, error, trace)
        finally:
            self.service.__exit__(kind, error, trace)

    # --- people ------------------------------------------------------------------------------------------------------

    @staticmethod
    def tone(name: str) -> Tone:
        """What somebody of this name says."""
        return Tone(TONES[name], LEVEL)

    def phone(
        self, user: str, source: Source, codecs: Sequence[str] = ("PCMU",), srtp: bool = False, keep: str = "frames"
    ) -> Phone:
        """The registered phone of a directory user; the one asked for last is the one that rings."""
        key = (user, source, tuple(codecs), srtp, keep)
        phone = self._phones.get(key)
        if phone is None:
            where = (self.node.host, self.node.phones_port)
            phone = self.bank.phone(
                user,
                self.node.phone_secret(user),
                self.node.domain,
                where,
                codecs=codecs,
                srtp=srtp,
                source=source,
                keep=keep,  # type: ignore[arg-type]
            )
            self._phones[key] = phone
        self.sign_out(user, but=phone)
        phone.register()
        return phone

    def sign_out(self, user: str, but: Phone | None = None) -> None:
        """No phone of this user rings, until one is asked for again. One that stayed registered would take the calls
        back as soon as it renews its registration."""
        for key, phone in self._phones.items():
            if key[0] == user and phone is not but and phone.registered:
                phone.unregister()

    def outside(self, source: Source, codecs: Sequence[str] = ("PCMU",), keep: str = "frames") -> Phone:
        """A phone beyond the trunk: nobody that the node knows."""
        key = ("outside", source, tuple(codecs), keep)
        if key not in self._phones:
            where = (self.node.host, self.node.trunk_port)
            self._phones[key] = self.bank.phone(
                "+4930123", None, self.node.domain, where, codecs=codecs, source=source, keep=keep  # type: ignore[arg-type]
            )  # fmt: skip
        return self._phones[key]

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

    # --- scenes ------------------------------------------------------------------------------------------------------

    def call(
        self,
        agent: str = "1001",
        *,
        codecs: Sequence[str] = ("PCMU",),
        agent_codecs: Sequence[str] | None = None,
        srtp: bool = False,
        agent_source: Source | None = None,
        caller_source: Source | None = None,
        caller_name: str = "caller",
        agent_name: str = "agent",
        number: str | None = None,
        **dial: Any,
    ) -> Scene:
        """A caller from outside reaches an agent, and the service shows the call."""
        softphone = self.phone(agent, agent_source or self.tone(agent_name), agent_codecs or codecs, srtp)
        outside = self.outside(caller_source or self.tone(caller_name), codecs)
        known = {call["id"] for call in self.calls()}
        caller = outside.dial(number or f"20{agent[-2:]}", **dial)
        caller.wait("up", 10)
        leg = softphone.wait_call(5)
        leg.wait("up", 5)
        seen = wait_until("the API shows the call", lambda: [c for c in self.calls() if c["id"] not in known])
        return Scene(seen[0]["id"], caller, leg, seen[0]["agents"][0]["agent"], caller_name, agent_name)

    def coach(
        self, name: str, scene: Scene | str, mode: str = "listen", *, source: Source | None = None,
        codecs: Sequence[str] = ("PCMU",), **body: Any,
    ) -> Coach:  # fmt: skip
        """Somebody starts to coach a call (or an agent), and listens."""
        phone = self.phone(DEVICES[name], source or self.tone(name), codecs)
        coach = Coach(name, self.service.api(name, devices=[self.device(name)]))
        self._coaches.append(coach)
        target = {"call": scene.id} if isinstance(scene, Scene) else {"agent": scene}
        coach.session = coach.api.ask("POST", "/sessions", {**target, "mode": mode, **body})["id"]
        coach.call = phone.wait_call(5).wait("up", 5)
        if isinstance(scene, Scene):
            coach.wait("listening")
            coach.wait("gate")
        return coach

    def calls(self) -> list[dict[str, Any]]:
        """The calls that the API shows."""
        found: list[dict[str, Any]] = self.desk().ask("GET", "/calls")["calls"]
        return found

    def coaches(self) -> list[dict[str, Any]]:
        """Everybody who coaches, as somebody else sees it."""
        found: list[dict[str, Any]] = self.desk().ask("GET", "/sessions")["coaches"]
        return found

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

    def leg_of(self, call: PhoneCall) -> str:
        """The uuid of the leg that a phone's call is, by its SIP Call-ID. Waits for it: `show` answers late."""

        def found() -> str | None:
            names = (row["uuid"] for row in self.legs())
            return next((each for each in names if self.dump(each).get("variable_sip_call_id") == call.call_id), None)

        return str(wait_until("the node shows the leg of this call", found, 2))

    def clear(self) -> None:
        """Everybody hangs up; nothing stays behind, neither on the node nor in the service."""
        for coach in self._coaches:
            coach.api.close()
        self.node.api("hupall NORMAL_CLEARING")
        for phone in self._phones.values():
            phone.forget_calls()
        wait_until("the node has no legs", lambda: not self.legs(), 10)
        wait_until("the service has no calls", lambda: not self.calls(), 10)
        wait_until("the service has no sessions", lambda: not self.coaches(), 10)
        self._coaches.clear()

    # --- who hears whom ----------------------------------------------------------------------------------------------

    def listen(
        self,
        listeners: Mapping[str, PhoneCall],
        tones: Mapping[str, float],
        seconds: float = 0.36,
        settle: float = 0.12,
    ) -> dict[str, dict[str, float]]:
        """What each of these calls hears of each tone, in dBFS, over the same stretch of time. `settle` seconds pass
        first, so that what was in flight when somebody switched does not count."""
        since = time.monotonic_ns() + int(settle * 1e9)
        return {who: self._level(who, call, tones, seconds, since) for who, call in listeners.items()}

    @staticmethod
    def _level(who: str, call: PhoneCall, tones: Mapping[str, float], seconds: float, since: int) -> dict[str, float]:
        usual = typical(call, tones, seconds, since)
        if who != "caller":
            return usual
        # For a caller the slightest trace of anybody counts, and whoever is heard is heard as usual.
        whole = hears(call, tones, seconds, since)
        return {name: usual[name] if usual[name] > SILENT else whole[name] for name in tones}

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
        """Everybody hears exactly those who are named, at the level that they sent; nobody hears anybody else.

        `hear` says the same for coaches by name; a coach that is not named hears caller and agent. `absent` are people
        of other calls, whom nobody here may hear. Raises NotAsExpected with the whole table.
        """
        coaches = list(coaches)
        present = {coach.name for coach in coaches} | {scene.caller_name, scene.agent_name, *absent}
        listeners = {"caller": scene.caller, "agent": scene.agent}
        listeners |= {coach.name: coach.heard_by_phone for coach in coaches}
        coaching = {coach.name for coach in coaches}
        tones = {name: TONES[name] for name in sorted(present)} | {"beep": BEEP}
        verdict = Verdict(label, self.listen(listeners, tones))
        self.verdicts.append(verdict)
        wanted = {"caller": set(caller), "agent": set(agent)}
        wanted |= {c.name: set(hear.get(c.name, {scene.caller_name, scene.agent_name})) for c in coaches}
        wrong = []
        for listener, heard in verdict.levels.items():
            floor = FLOOR if listener == "caller" and wanted["caller"] <= {scene.agent_name} else SILENT
            for name, level in heard.items():
                if name == "beep" and beep_allowed:
                    continue
                twice = name in coaching and listener in coaching  # through both directions of the agent's leg
                if name in wanted[listener] and not (-45 < level < -8 if twice else abs(level - LEVEL) <= 1.0):
                    wrong.append(f"{listener} hears {name} at {level:.1f} instead of {LEVEL:.0f} dBFS")
                elif name not in wanted[listener] and level > floor:
                    wrong.append(f"{listener} hears {name} at {level:.1f} dBFS, must not (limit {floor:.0f})")
        if wrong:
            raise NotAsExpected(f"{label or 'who hears whom'}: " + "; ".join(wrong) + "\n" + table(verdict))
        return verdict


def table(verdict: Verdict) -> str:
    """A verdict as text; levels below what anybody hears are shown as –."""
    names = list(dict.fromkeys(name for heard in verdict.levels.values() for name in heard))
    rows = [["hears", *names]]
    for listener, heard in verdict.levels.items():
        rows.append([listener, *(f"{heard[n]:.0f}" if heard[n] > SILENT else "–" for n in names)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)


__all__ = [
    "BEEP",
    "DEVICES",
    "TONES",
    "Coach",
    "NotAsExpected",
    "Refused",
    "Scene",
    "Stage",
    "Verdict",
    "table",
    "wait_until",
]
