"""The `ccwhisper` command with what its own commands make impossible: `python misled.py <how> <its arguments>`.

As `tests.scenarios.planted`, for what only a switch with real sound shows.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ccwhisper.cli import main
from ccwhisper.switch import commands, translate

# By its place: a program that is run by a path of its own does not find the package of the tests.
FAULTS: dict[str, Callable[[], None]] = runpy.run_path(str(Path(__file__).parents[1] / "scenarios/planted.py"))[
    "FAULTS"
]


def broadcast_beep() -> None:
    """The beep is played to the agent's leg instead of being mixed into it."""

    def play(leg: str, tone: str, mux: bool = True) -> commands.Command:
        return commands.Command(f"uuid_broadcast {leg} {tone} aleg", f"uuid_broadcast {leg}")

    commands.displace_start = play


def originating(keys: bool = True, **instead: str) -> None:
    """Coaches' phones are called with other variables, and without the binding of their keys if `keys` is false."""
    real = commands.originate

    def originate(variables: Mapping[str, str], *rest: Any, **more: Any) -> commands.Command:
        return real({**variables, **instead}, *rest, **{**more, "keys": more.get("keys", False) and keys})

    commands.originate = originate


def wide_coach() -> None:
    """The coach's phone is offered G.722 alone, whatever the agent has, and every rate passes for 8 kHz."""
    originating(absolute_codec_string="G722")
    real = translate._number
    translate._number = lambda text: 8000 if real(text) == 16000 else real(text)


def wide_browser() -> None:
    """The same with Opus as wide as it can be, and for browsers only."""
    usual = commands.originate
    originating(absolute_codec_string="opus@48000h@20i")
    wide = commands.originate

    def originate(*given: Any, **more: Any) -> commands.Command:
        return (wide if isinstance(given[1], commands.Registration) else usual)(*given, **more)

    commands.originate = originate
    real = translate._number
    translate._number = lambda text: 8000 if (real(text) or 0) > 8000 else real(text)


MISLED: dict[str, Callable[[], None]] = {
    **FAULTS,
    "uuid_broadcast as the beep": broadcast_beep,
    "keys that the eavesdrop obeys": lambda: originating(keys=False, eavesdrop_enable_dtmf="true"),
    "a wide coach": wide_coach,
    "a wide browser": wide_browser,
}

if __name__ == "__main__":
    MISLED[sys.argv[1]]()
    main(sys.argv[2:])
