"""The steps of the demo's performance, whatever switch it is on: in each of them, who hears whom."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

COACH: Final = "carla"


@dataclass(frozen=True, slots=True)
class Step:
    """One step, and who hears whom in it. `mode` and `gate` are what the API must show; None without a session."""

    name: str
    promise: str
    mode: str | None
    gate: str | None
    caller: frozenset[str]
    agent: frozenset[str]


def _step(name: str, promise: str, mode: str | None, gate: str | None, caller: bool, agent: bool) -> Step:
    both = {COACH}
    return Step(
        name,
        promise,
        mode,
        gate,
        frozenset({"agent"} | (both if caller else set())),
        frozenset({"caller"} | (both if agent else set())),
    )


STEPS: Final = (
    _step("talk", "caller and agent talk, nobody coaches", None, None, False, False),
    _step("listen", "Carla hears both, nobody hears Carla", "listen", "closed", False, False),
    _step("whisper", "the agent hears Carla, the caller does not", "whisper", "agent", False, True),
    _step("barge", "agent and caller hear Carla", "barge", "everyone", True, True),
    _step("back", "listening again: nobody hears Carla", "listen", "closed", False, False),
    _step("leave", "Carla has left, the call goes on", None, None, False, False),
)
