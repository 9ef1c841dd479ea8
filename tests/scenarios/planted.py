"""The `ccwhisper` command with a fault planted in it: `python planted.py <fault> <its arguments>`.

For the suite alone: it shows that a scenario fails when the service does. The product has no switch for any of this.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from ccwhisper.cli import main
from ccwhisper.coaching import modes
from ccwhisper.coaching import turn as turns
from ccwhisper.coaching.modes import Gate, Mode
from ccwhisper.switch import commands, translate


def digits(closed: int, agent: int, everyone: int) -> Callable[[], None]:
    """The gate is told other digits."""

    def plant() -> None:
        modes._DIGITS = {Gate.CLOSED: closed, Gate.AGENT: agent, Gate.EVERYONE: everyone}
        commands._DIGITS = ("0", "1", "2", "3")

    return plant


def beep_without_mux() -> None:
    """The beep takes the place of what is said."""
    real = commands.displace_start
    commands.displace_start = lambda leg, tone, mux=True: real(leg, tone, mux=False)


def on_the_callers_leg() -> None:
    """The caller's leg passes for the agent's: coaches listen there, and the beep plays there."""
    real = turns.call_between

    def call_between(*what: Any) -> Any:
        call = real(*what)
        if call is None:
            return None
        return replace(call, agents=tuple(replace(each, leg=each.peer, peer=each.leg) for each in call.agents))

    turns.call_between = call_between


def no_jitter_buffer() -> None:
    """Agents' legs lose their buffer where they should be given one."""
    real = commands.jitterbuffer
    translate._buffered = lambda dump: False
    commands.jitterbuffer = lambda leg, ms: real(leg, 0)


def barge_kept() -> None:
    """Whoever was in a barge is in one on the next call, too."""
    real = turns.Turn.place

    def place(turn: turns.Turn, session: Any, *where: Any) -> Any:
        placed = real(turn, session, *where)
        return turn.change(placed, mode=Mode.BARGE, wanted=Mode.BARGE) if session.mode is Mode.BARGE else placed

    turns.Turn.place = place


FAULTS: dict[str, Callable[[], None]] = {
    "none": lambda: None,
    "gate: closed and agent swapped": digits(2, 0, 3),
    "gate: agent and everyone swapped": digits(0, 3, 2),
    "gate: closed and everyone swapped": digits(3, 2, 0),
    "gate: the other party instead of the agent": digits(0, 1, 3),
    "beep without mux": beep_without_mux,
    "the caller's leg taken for the agent's": on_the_callers_leg,
    "no jitter buffer": no_jitter_buffer,
    "a barge kept over a re-bridge": barge_kept,
}

if __name__ == "__main__":
    FAULTS[sys.argv[1]]()
    main(sys.argv[2:])
