"""A whole contact centre for a test, a demo or a benchmark: a node, phones, the service, and people who use them.

    with PrivateNode() as node, Stage(node) as stage:
        scene = stage.call("1001")
        carla = stage.coach("carla", scene)
        carla.mode("whisper")
        stage.expect(scene, coaches=[carla], agent={"caller", "carla"}, caller={"agent"})

Everybody speaks a tone of his own, so who hears whom is read off what arrived at each phone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Protocol

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.phones import Phone, PhoneBank
from ccwhisper.proof.scene import (
    BEEP,
    DEVICES,
    FLOOR,
    LEVEL,
    LOOKS,
    NUMBERS,
    SILENT,
    STEP_NS,
    TONES,
    Coach,
    NotAsExpected,
    Scene,
    ServiceStage,
    Verdict,
    table,
    wait_until,
)
from ccwhisper.proof.service import AGENTS, PROGRAM, Refused, ServiceNode
from ccwhisper.proof.sources import Noise, Source, Tone
from ccwhisper.proof.tones import ExactReport, frames_exact, hears, level_dbfs, typical


class StageNode(ServiceNode, Protocol):
    """What phones must know of a switch, too. A `PrivateNode` is one."""

    phones_port: int
    trunk_port: int

    def phone_secret(self, user: str) -> str:
        """The SIP password of a directory user."""


class Stage(ServiceStage):
    """See the module. Phones are made once for each user and way of speaking, and registered. `address` is theirs."""

    node: StageNode

    def __init__(
        self,
        node: StageNode,
        extra_config: str = "",
        program: Sequence[str] = PROGRAM,
        agents: Iterable[str] = AGENTS,
        address: str = "127.0.0.1",
    ) -> None:
        super().__init__(node, extra_config, program, agents)
        self.bank = PhoneBank(address)
        self._phones: dict[tuple[Any, ...], Phone] = {}
        self.carrier: Phone | None = None
        """The phone at the far end of the trunk, where the node's trunk leads to one."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.bank.__exit__(kind, error, trace)
        finally:
            super().__exit__(kind, error, trace)

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
        for key, phone in list(self._phones.items()):  # others may be asked for meanwhile
            if key[0] == user and phone is not but and phone.registered:
                phone.unregister()

    def outside(
        self, source: Source, codecs: Sequence[str] = ("PCMU",), keep: str = "frames", number: str = NUMBERS["caller"]
    ) -> Phone:
        """A phone beyond the trunk: nobody that the node knows."""
        key = ("outside", source, tuple(codecs), keep, number)
        if key not in self._phones:
            where = (self.node.host, self.node.trunk_port)
            self._phones[key] = self.bank.phone(
                number, None, self.node.domain, where, codecs=codecs, source=source, keep=keep  # type: ignore[arg-type]
            )  # fmt: skip
        return self._phones[key]

    def phone_of(self, user: str, name: str) -> Phone:
        """The phone of a directory user who speaks as somebody of this name."""
        return self.phone(user, self.tone(name))

    def caller_phone(self, name: str = "caller") -> Phone:
        """The phone of a caller of this name, beyond the trunk."""
        return self.outside(self.tone(name), number=NUMBERS[name])

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
        counted: bool = False,
        **dial: Any,
    ) -> Scene:
        """A caller from outside reaches an agent, and the service shows the call. `counted`: the agent speaks noise of
        which no frame occurs twice, for `frames`."""
        speech = agent_source or (Noise(11) if counted else self.tone(agent_name))
        softphone = self.phone(agent, speech, agent_codecs or codecs, srtp)
        outside = self.outside(caller_source or self.tone(caller_name), codecs, number=NUMBERS[caller_name])
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
        coach = self._start(name, scene, mode, body)
        coach.call = phone.wait_call(5).wait("up", 5)
        if isinstance(scene, Scene):
            coach.wait("listening")
            coach.wait("gate")
        return coach

    # --- the switch --------------------------------------------------------------------------------------------------

    def leg_of(self, call: PhoneCall) -> str:
        """The uuid of the leg that a phone's call is, by its SIP Call-ID. Waits for it: `show` answers late."""

        def found() -> str | None:
            names = (row["uuid"] for row in self.legs())
            return next((each for each in names if self.dump(each).get("variable_sip_call_id") == call.call_id), None)

        return str(wait_until("the node shows the leg of this call", found, 2))

    def forget_calls(self) -> None:
        """Calls that rang and that nobody waited for are given out no more."""
        for phone in self._phones.values():
            phone.forget_calls()

    # --- who hears whom ----------------------------------------------------------------------------------------------

    def listen(
        self,
        listeners: Mapping[str, PhoneCall],
        tones: Mapping[str, float],
        seconds: float = 0.36,
        settle: float = 0.12,
    ) -> dict[str, dict[str, float]]:
        """What each of these calls hears of each tone, in dBFS, over the same stretch of time. `settle` seconds pass
        first, so that what was in flight when somebody switched does not count. A look during which our own phones
        stumbled, on a machine that is busy with other things, shows that and not the switch: it is taken again."""
        for _ in range(LOOKS):
            stumbles = self.bank.stumbles
            since = time.monotonic_ns() + int(settle * 1e9)
            levels = {who: self._level(who, call, tones, seconds, since) for who, call in listeners.items()}
            if self.bank.stumbles == stumbles:
                break
        return levels

    def listen_until_steady(
        self, listeners: Mapping[str, PhoneCall], tones: Mapping[str, float], wanted: Mapping[str, Collection[str]]
    ) -> dict[str, dict[str, float]]:
        """Like `listen`; again while somebody is heard by whoever is to hear him, but not at the level that he speaks:
        a frame slips now and then. `wanted` are speakers by listener."""
        for _ in range(LOOKS):
            levels = self.listen(listeners, tones)
            heard = [levels[listener][name] for listener in levels for name in wanted[listener]]
            if not any(level > SILENT and abs(level - LEVEL) > 1 for level in heard):
                break
        return levels

    @staticmethod
    def _level(who: str, call: PhoneCall, tones: Mapping[str, float], seconds: float, since: int) -> dict[str, float]:
        usual = typical(call, tones, seconds, since)
        if who != "caller":
            return usual
        # For a caller the slightest trace of anybody counts, and whoever is heard is heard as usual.
        whole = hears(call, tones, seconds, since)
        return {name: usual[name] if usual[name] > SILENT else whole[name] for name in tones}

    def frames(self, scene: Scene, since: int) -> ExactReport:
        """What became of the agent's frames on their way to the caller, by when the caller got them. The agent must
        speak noise."""
        codec = scene.caller.codec
        if codec is None or codec is not scene.agent.codec:
            raise NotAsExpected("caller and agent have no codec in common: frames cannot be compared")
        got = [frame for frame in scene.caller.received if frame.t_ns >= since]
        return frames_exact(sorted(scene.agent.sent, key=lambda frame: frame.ts), got, codec)

    @staticmethod
    def pitch(name: str) -> float:
        """The tone of somebody, or the "beep", in hertz."""
        return BEEP if name == "beep" else TONES[name]

    def windows(self, call: PhoneCall, name: str, since: int, until: int, width: float) -> list[float]:
        """The levels of a tone in windows of `width` seconds of what arrived, a frame apart."""
        call.wait_time(until)
        freq = self.pitch(name)
        starts = range(since, until - int(width * 1e9) + 1, STEP_NS)
        return [level_dbfs(call.heard(at, at + int(width * 1e9)), freq, call.rate) for at in starts]


__all__ = [
    "BEEP",
    "DEVICES",
    "FLOOR",
    "LEVEL",
    "LOOKS",
    "SILENT",
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
