"""Who hears whom on a call, asked of the simulator; on a switch one would have to listen at the phones."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

_NOW_MS: Final = 100
_BEEP_MS: Final = 2000  # it lasts 200 ms: too short for an eye that is elsewhere

Sim = Callable[[str], Any]


@dataclass(frozen=True, slots=True)
class Hearing:
    """`heard` has a row for each who is there (`caller`, `agent`, `coach`): whom of these he heard in the last 100 ms,
    and `beep` if he heard it in the last two seconds. `on_phone`: the coach's phone is in use."""

    heard: Mapping[str, frozenset[str]]
    on_phone: bool


class Ears:
    """Looks at calls for one coach, whose phone is `device`. Raises SimulatorError and OSError."""

    def __init__(self, sim: Sim, device: str) -> None:
        self._sim = sim
        self._device = device

    def look(self, agent: str, number: str) -> Hearing:
        """Who hears whom on an agent's call with that number, or on the one of his that is coached."""
        legs = self._sim("legs")
        mine = self._own(legs)
        parties = {leg["leg"]: leg["party"] for leg in legs}
        found = [leg for leg in legs if leg["party"] == agent and leg["peer"]]
        # An agent who consults a colleague has two.
        found.sort(key=lambda leg: (mine is None or leg["leg"] != mine["listens_to"], parties[leg["peer"]] != number))
        its = found[0] if found else None
        return self._hearing(legs, its["peer"] if its else None, its["leg"] if its else None)

    def look_at_own(self) -> Hearing:
        """Who hears whom on the call that the coach has taken over."""
        legs = self._sim("legs")
        mine = self._own(legs)
        return self._hearing(legs, mine["peer"] if mine else None, None)

    def hang_up(self) -> None:
        """The coach puts the phone down, whatever it is in."""
        for leg in self._sim("legs"):
            if leg["party"] == self._device:
                self._sim(f"hangup {leg['leg']}")

    def _own(self, legs: list[dict[str, Any]]) -> dict[str, Any] | None:
        return next((leg for leg in legs if leg["party"] == self._device), None)

    def _hearing(self, legs: list[dict[str, Any]], caller: str | None, agent: str | None) -> Hearing:
        mine = self._own(legs)
        ids = {"caller": caller, "agent": agent, "coach": mine["leg"] if mine else None}
        roles = {leg["party"]: role for leg in legs for role, known in ids.items() if leg["leg"] == known}
        return Hearing({role: self._hears(leg, roles) for role, leg in ids.items() if leg}, mine is not None)

    def _hears(self, leg: str, roles: Mapping[str, str]) -> frozenset[str]:
        now = {roles[name] for name in self._sim(f"hears {leg} {_NOW_MS}")["heard"] if name in roles}
        beep = {"beep"} if "beep" in self._sim(f"hears {leg} {_BEEP_MS}")["heard"] else set()
        return frozenset(now | beep)
