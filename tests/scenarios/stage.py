"""What a scenario can ask for, on any switch.

`ccwhisper.proof.stage.Stage` gives it with real phones on FreeSWITCH, `tests.scenarios.simulated.SimStage` on the
simulator. Times are nanoseconds of CLOCK_MONOTONIC where a name says so or where they come from `mark`, and seconds
elsewhere. What does not happen in time raises NotAsExpected or TimeoutError.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Protocol

from ccwhisper.proof.scene import (
    DEVICES,
    FLOOR,
    LEVEL,
    NUMBERS,
    SILENT,
    TONES,
    Coach,
    NotAsExpected,
    Scene,
    Verdict,
    wait_until,
)
from ccwhisper.proof.service import Refused, ServiceNode, ServiceProcess

__all__ = [
    "DEADMAN",
    "DEVICES",
    "FLOOR",
    "LEASE",
    "LEVEL",
    "NUMBERS",
    "RENEWED",
    "SILENT",
    "TIMES",
    "TONES",
    "Coach",
    "Frames",
    "NotAsExpected",
    "Party",
    "Refused",
    "Scene",
    "Stage",
    "Telephone",
    "holding",
    "longest_silence",
    "nothing_lost",
    "told",
    "wait_until",
]


DEADMAN = 2
"""Seconds after which the switch closes the gate of a key that nobody holds any more."""

LEASE, RENEWED = 15, 2
"""Seconds after which it drops the coaches of a service that has gone; and how often one says that it is there. A busy
machine needs some of them to look round and to start the service again."""

TIMES = f"""[coaching]
lease_seconds = {LEASE}
lease_every = {RENEWED}
deadman_seconds = {DEADMAN}
deadman_rearm = 0.5
press_ttl = 1.3
"""
"""Of the service's configuration: the others are as short as it allows, to be waited for."""


class Party(Protocol):
    """One end of a call, as its phone sees it."""

    state: str
    """calling, ringing, up, held, ended"""

    def wait(self, state: str, timeout: float = 5.0) -> Party:
        """Wait for a state."""

    def hangup(self) -> None:
        """Hang up."""

    def hold(self) -> None:
        """The phone's hold key."""

    def unhold(self) -> None:
        """And back."""

    def refer(self, target: str) -> object:
        """Blind transfer of the other party to a user."""

    def refer_replaces(self, other: Party) -> object:
        """Attended transfer: the other party takes this phone's place in another call of it."""

    def mark(self) -> int:
        """Now."""

    def wait_time(self, until: int) -> None:
        """Wait until a moment, and for what was on its way then."""


class Telephone(Protocol):
    """Somebody's phone. It answers by itself."""

    def dial(self, target: str) -> Party:
        """Call a number, and return at once."""

    def wait_call(self, timeout: float = 5.0) -> Party:
        """The next incoming call that was not given out yet."""


class Frames(Protocol):
    """What became of the agent's frames on their way to the caller."""

    matched: int
    missing: int


class Stage(Protocol):
    """A switch, the service, and people. `carrier` is the phone at the far end of the trunk."""

    node: ServiceNode
    service: ServiceProcess
    carrier: Telephone
    said: list[str]

    def call(
        self, agent: str = "1001", *, caller_name: str = "caller", agent_name: str = "agent",
        number: str | None = None, counted: bool = False,
    ) -> Scene:  # fmt: skip
        """A caller from outside reaches an agent, and the service shows the call. `counted`: the agent's frames can be
        told apart, for `frames`, and nobody can be expected to hear his tone."""

    def coach(self, name: str, scene: Scene | str, mode: str = "listen", **body: Any) -> Coach:
        """Somebody starts to coach a call (or an agent), and listens."""

    def phone_of(self, user: str, name: str) -> Telephone:
        """The phone of a directory user who speaks as somebody of this name."""

    def caller_phone(self, name: str = "caller") -> Telephone:
        """The phone of a caller of this name, beyond the trunk."""

    def device(self, name: str) -> str:
        """The directory user of a coach's phone."""

    def calls(self) -> list[dict[str, Any]]:
        """The calls that the API shows."""

    def coaches(self) -> list[dict[str, Any]]:
        """Everybody who coaches, as somebody else sees it."""

    def desk(self) -> Any:
        """The API as somebody who only looks."""

    def forget_connections(self) -> None:
        """After the service was started again."""

    def legs(self) -> list[dict[str, Any]]:
        """Every leg of the switch."""

    def leg_of(self, call: Party) -> str:
        """The uuid of a party's leg."""

    def dump(self, leg: str) -> dict[str, Any]:
        """What a leg says of itself; empty when it is gone."""

    def clear(self) -> None:
        """Everybody hangs up, and nothing stays behind."""

    def after_beep(self, scene: Scene) -> None:
        """Wait until the agent hears no beep any more."""

    def expect(
        self, scene: Scene, coaches: Collection[Coach] = (), *, label: str = "", caller: Collection[str],
        agent: Collection[str], beep_allowed: bool = False, absent: Collection[str] = (), **hear: Collection[str],
    ) -> Verdict:  # fmt: skip
        """Everybody hears exactly those who are named."""

    def listen(self, listeners: Mapping[str, Party], tones: Mapping[str, float]) -> dict[str, dict[str, float]]:
        """What each of these hears of each tone from now on, in dBFS."""

    def windows(self, call: Party, name: str, since: int, until: int, width: float) -> list[float]:
        """The levels of somebody, or of the "beep", in windows of `width` seconds, a frame apart."""

    def pitch(self, name: str) -> float:
        """The tone of somebody, or the "beep", in a file that the switch has written; in hertz."""

    def frames(self, scene: Scene, since: int) -> Frames:
        """What became of the agent's frames until now; of a call that was made `counted`."""


def told(coach: Coach, after: str | None = None) -> tuple[list[str], str]:
    """The events that a coach has been told of since `after`, by their types, and what to give as `after` next."""
    answer = coach.api.ask("GET", "/events", timeout=0, **({"after": after} if after else {}))
    return [event["type"] for event in answer["events"]], answer["next"]


@contextmanager
def holding(stage: Stage, coach: Coach) -> Iterator[None]:
    """Push-to-talk is held, and its gate is open: it is said again and again, however long anybody looks meanwhile."""
    api, let_go = stage.service.api(coach.name), Event()

    def again() -> None:
        while not let_go.wait(0.3):
            api.ask("POST", f"/sessions/{coach.session}/press")
        api.close()

    coach.press()
    finger = Thread(target=again)
    finger.start()
    try:
        coach.wait()
        yield
    finally:
        let_go.set()
        finger.join()
    coach.release()
    coach.wait()


def nothing_lost(stage: Stage, scene: Scene, since: int) -> None:
    """The caller has got every frame of the agent's since then, and gets as many as that time has room for: silence is
    no success, and some are still on their way."""
    wanted = (scene.caller.mark() - since) // 20_000_000

    def got() -> bool:
        found = stage.frames(scene, since)
        if found.missing:
            raise NotAsExpected(f"the caller lost {found.missing} frames of the agent's")
        return found.matched >= wanted

    wait_until("the caller hears the agent as long as he speaks", got)


def longest_silence(stage: Stage, call: Party, name: str, since: int, until: int) -> float:
    """For how many seconds at a stretch somebody was not heard. Windows are 40 ms: a frame that came late, or a buffer
    that was emptied, spoils two or three of them."""
    longest = run = 0
    for level in stage.windows(call, name, since, until, 0.04):
        run = run + 1 if level < -30 else 0
        longest = max(longest, run)
    return longest * 0.02
