"""Which finding a fault of a look is, and which faults are worth another look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ccwhisper.proof.scene import SILENT, Fault
from ccwhisper.prove.calls import COACH

_MISSED: Final = {("agent", COACH): "whisper.not-heard", ("caller", COACH): "barge.not-heard"}
_LEAKED: Final = {
    ("caller", COACH): "leak.caller-hears-coach",
    ("caller", "beep"): "leak.caller-hears-beep",
    ("agent", COACH): "leak.agent-hears-coach",
}


def kind_of(fault: Fault, leaks: str = "") -> str:
    """The id of its finding; empty when it harms nobody, such as a coach who hears a beep. `leaks` is what a leak of
    the coach is in this step."""
    if not fault.must:
        found = _LEAKED.get((fault.listener, fault.name), "")
        return leaks if leaks and fault.name == COACH and found else found
    if fault.listener == COACH:
        return "coach.hears-nobody"
    return _MISSED.get((fault.listener, fault.name), "party.not-heard")


def slight(faults: Sequence[Fault]) -> bool:
    """Whether all that is wrong may come of a frame that slipped on a busy machine, a trace of somebody being among it:
    a slip is a click, and a click holds a trace of every tone. Whoever leaks is there the next time, too. Where only
    levels slip it was looked again already."""
    traces = [fault for fault in faults if not fault.must and fault.level <= SILENT]
    return bool(traces) and all(fault.slip or fault in traces for fault in faults)
