"""The calls that are measured: what is done on them, and when. What was heard is reckoned later."""

from __future__ import annotations

import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from ccwhisper.bench._hearing import Change, Hearing
from ccwhisper.proof.exact import latencies_ms
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.sources import Noise
from ccwhisper.proof.stage import BEEP, LEVEL, TONES, Coach, Scene, Stage

MARK_FRAMES: Final = 5
"""Every so many packets of the noise one is sought in what the agent heard."""


@dataclass(frozen=True)
class Script:
    """What happens on a call that is measured: so many changes of mode, mute and key, each there and back, and `stints`
    of noise of `voice` seconds."""

    modes: int = 40
    mutes: int = 20
    keys: int = 20
    stints: int = 4
    voice: float = 1.5


@dataclass
class Take:
    """One call that was measured."""

    level: int
    agent: PhoneCall
    coach: PhoneCall
    changes: list[Change] = field(default_factory=list)
    voice: list[tuple[int, int]] = field(default_factory=list)

    def hearing(self) -> Hearing:
        """What the agent heard of the coach."""
        return Hearing.of(self.agent, TONES["carla"], (TONES["caller"], BEEP))

    def latencies(self) -> list[float]:
        """Of every mark of the noise that was heard, in ms."""
        return [
            each
            for since, until in self.voice
            for each in latencies_ms(self.coach, self.agent, since, until, every=MARK_FRAMES)
        ]

    @property
    def marks(self) -> int:
        """How many marks were said."""
        return sum(int((until - since) / 20e6 / MARK_FRAMES) for since, until in self.voice)


class Changer:
    """Changes one coach's mode, mute or key, and notes the times."""

    def __init__(self, coach: Coach, take: Take) -> None:
        self._coach, self._take = coach, take
        self._path = f"/sessions/{coach.session}"
        self._open: Change | None = None

    def change(
        self, kind: str, opens: bool, method: str, what: str, body: Mapping[str, Any] | None, pause: float
    ) -> None:
        """Ask, wait for the switch's confirmation, and then for `pause` seconds and up to a packet's time more, so that
        requests meet every phase of the media."""
        api = self._coach.api
        sent = time.monotonic_ns()
        api.ask(method, f"{self._path}/{what}", body)
        answered = time.monotonic_ns()
        api.ask("GET", self._path, wait="gate", timeout=5)
        confirmed = time.monotonic_ns()
        time.sleep(pause + random.uniform(0, 0.02))
        self._take.changes.append(Change(kind, opens, sent, answered, confirmed, time.monotonic_ns()))

    def modes(self, rounds: int) -> None:
        """Listen → whisper → listen. The first pause outlasts the beep, which cannot be started again meanwhile."""
        for _ in range(rounds):
            self.change("listen → whisper", True, "PUT", "mode", {"mode": "whisper"}, 0.2)
            self.change("whisper → listen", False, "PUT", "mode", {"mode": "listen"}, 0.1)

    def mutes(self, rounds: int) -> None:
        """Mute → unmute, of a coach who whispers."""
        for _ in range(rounds):
            self.change("mute", False, "PUT", "muted", {"muted": True}, 0.1)
            self.change("unmute", True, "PUT", "muted", {"muted": False}, 0.1)

    def keys(self, rounds: int) -> None:
        """Push-to-talk: press → release, of a coach who whispers."""
        for _ in range(rounds):
            self.change("press", True, "POST", "press", None, 0.1)
            self.change("release", False, "POST", "release", None, 0.1)


@dataclass
class OpenMic:
    """A call whose coach whispers without a pause, from `since` on."""

    scene: Scene
    coach: Coach
    since: int

    @classmethod
    def begin(cls, stage: Stage) -> OpenMic:
        """Agent 1002, coached by dora."""
        scene = stage.call("1002")
        coach = stage.coach("dora", scene, "whisper", source=Noise(seed=7, level_dbfs=LEVEL))
        return cls(scene, coach, time.monotonic_ns())

    @property
    def seconds(self) -> float:
        """How long it has been open."""
        return (time.monotonic_ns() - self.since) / 1e9

    def latencies(self, since: int) -> list[float]:
        """Of the voice that was sent in the ten seconds from then on."""
        until = since + 10_000_000_000
        return latencies_ms(self.coach.heard_by_phone, self.scene.agent, since, until, every=MARK_FRAMES)


def take(stage: Stage, level: int, script: Script) -> Take:
    """Agent 1001, coached by carla, from the first ring to the hang-up."""
    scene = stage.call("1001")
    coach = stage.coach("carla", scene)
    taken = Take(level, scene.agent, coach.heard_by_phone)
    changer = Changer(coach, taken)
    time.sleep(0.3)
    changer.modes(script.modes)
    coach.mode("whisper")
    time.sleep(0.3)
    changer.mutes(script.mutes)
    coach.talk("push")
    coach.wait()
    time.sleep(0.2)
    changer.keys(script.keys)
    coach.talk("open")
    coach.wait()
    for _ in range(script.stints):
        taken.voice.append(_stint(coach, script.voice))
    coach.leave()
    coach.api.close()
    scene.hang_up()
    scene.agent.wait("ended")
    return taken


def _stint(coach: Coach, seconds: float) -> tuple[int, int]:
    """Noise for a while; from when until when. After a hold the phone's packets leave at another phase than before,
    and the way from the coach's packet to the agent's next one differs with it: by up to 20 ms."""
    call = coach.heard_by_phone
    call.hold()
    call.unhold()
    time.sleep(0.2)
    coach.wait()
    call.play(Noise(seed=3, level_dbfs=LEVEL))
    since = time.monotonic_ns() + 200_000_000
    until = since + int(seconds * 1e9)
    call.wait_time(until + 200_000_000)
    return since, until
