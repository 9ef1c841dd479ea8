"""Lively calls by themselves: invented callers ring agents or wait in the queue, are held, are transferred, hang up.

The same seed tells the same story. Names are invented, numbers are of the ranges that are kept for fiction:
+49 30 23125 000–999 (Bundesnetzagentur) and +1 … 555 0100–0199.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from ccwhisper.simulator.callcenter import CallCenter
from ccwhisper.simulator.clock import Timer
from ccwhisper.simulator.legs import Leg
from ccwhisper.simulator.parties import Impossible, Parties

MOST: Final = 1000
TALK: Final = 90.0
"""Mean seconds of a call."""

_FIRST: Final[Sequence[str]] = (
    "Ada", "Bruno", "Clara", "Dario", "Elif", "Finn", "Greta", "Hugo", "Ida", "Jonas", "Kira", "Leo", "Mila", "Nuri",
    "Olga", "Piet", "Quinn", "Rosa", "Sami", "Tove", "Uli", "Vera", "Wim", "Xenia", "Yara", "Zeno",
)  # fmt: skip
_LAST: Final[Sequence[str]] = (
    "Ahorn", "Birk", "Corell", "Dorn", "Eichel", "Falk", "Ginster", "Hasel", "Ilex", "Jasmin", "Klee", "Linde", "Malve",
    "Nelke", "Olive", "Pinie", "Quitte", "Raute", "Salbei", "Tanne", "Ulme", "Veilchen", "Weide", "Zeder",
)  # fmt: skip


class Stories:
    """Keeps about so many calls going. New ones come at the rate at which old ones end."""

    def __init__(self, parties: Parties, callcenter: CallCenter, seed: int | None = None, talk: float = TALK) -> None:
        self._parties, self._callcenter = parties, callcenter
        self._switch = parties.switch
        self._clock = parties.switch.clock
        self._rng = random.Random(seed)
        self._talk = talk
        self._next: Timer | None = None
        self._calls: set[str] = set()
        self.wanted = 0
        self._switch.on_end.append(self._over)

    @property
    def calls(self) -> int:
        """Calls of stories that are going on."""
        return len(self._calls)

    def start(self, calls: int) -> None:
        """Aim at so many calls at a time (1 to 1000); the first half comes within two seconds."""
        if not 1 <= calls <= MOST:
            raise Impossible(f"between 1 and {MOST} calls")
        self.stop()
        self.wanted = calls
        self._next = self._clock.after(0, self._another)

    def stop(self) -> None:
        """No new calls; those that are going on come to their own end."""
        self.wanted = 0
        if self._next is not None:
            self._next.cancel()

    def _another(self) -> None:
        missing = self.wanted - len(self._calls)
        if missing > 0:
            self._begin()
        # Many are missing at the start: they come quickly. Later as many come as go.
        pause = (
            4.0 / self.wanted if missing > self.wanted / 4 else self._rng.expovariate(self.wanted / self._talk * 1.3)
        )
        self._next = self._clock.after(pause, self._another)

    def _begin(self) -> None:
        rng = self._rng
        name = f"{rng.choice(_FIRST)} {rng.choice(_LAST)}"
        fiction = f"+493023125{rng.randrange(1000):03}", f"+1{rng.choice((202, 303, 404))}55501{rng.randrange(100):02}"
        number = fiction[rng.random() < 0.3]
        how = rng.random()
        free = self._free()
        if how < 0.3 or not free:
            if len(self._callcenter.members) < 3 + self.wanted // 3:
                self._told(self._callcenter.queue(number, name))
        elif how < 0.35 and len(free) > 1:
            one, other = rng.sample(free, 2)
            self._told(self._parties.dial(one, other)[0])
        else:
            self._told(self._parties.call(rng.choice(free), number, name)[0])

    def _told(self, leg: Leg) -> None:
        self._calls.add(leg.id)
        rng = self._rng
        length = max(8.0, rng.expovariate(1 / self._talk))
        if rng.random() < 0.15:
            at = rng.uniform(0.2, 0.5) * length
            self._clock.after(at, self._hold, leg, True)
            self._clock.after(at + rng.uniform(2.0, 8.0), self._hold, leg, False)
        if rng.random() < 0.08:
            self._clock.after(rng.uniform(0.5, 0.8) * length, self._transfer, leg)
        self._clock.after(length, self._end, leg)

    def _free(self) -> list[str]:
        return [user for user, phone in self._parties.phones.items()
                if phone.is_agent and not phone.legs and phone.behaviour == "answer"]  # fmt: skip

    def _hold(self, leg: Leg, on: bool) -> None:
        if not leg.ended and leg.peer is not None:
            self._switch.hold(leg.peer, on)

    def _transfer(self, leg: Leg) -> None:
        free = self._free()
        if not leg.ended and leg.peer is not None and leg.peer.outbound and not leg.peer.held and free:
            self._parties.refer(leg.peer, self._rng.choice(free))

    def _end(self, leg: Leg) -> None:
        if leg.ended:
            return
        if leg.peer is None:  # still waiting, or on the way to a colleague: a little more patience
            self._clock.after(10.0, self._end, leg)
            return
        self._switch.hang_up(leg.peer if self._rng.random() < 0.4 else leg, "NORMAL_CLEARING")

    def _over(self, leg: Leg) -> None:
        self._calls.discard(leg.id)
