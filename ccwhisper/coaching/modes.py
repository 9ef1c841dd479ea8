"""Modes of a coach, and the gate: the one place that decides who can hear him.

    mode     talk   muted  pressed   gate
    LISTEN   any    any    any       CLOSED
    WHISPER  OPEN   no     any       AGENT
    WHISPER  PUSH   no     yes       AGENT
    BARGE    OPEN   no     any       EVERYONE
    BARGE    PUSH   no     yes       EVERYONE
    any other row                    CLOSED

WHISPER is entered from LISTEN only: a coach who has barged in goes back through LISTEN, so that the caller's side of
the gate is shut before the agent's is opened.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType


class Mode(Enum):
    """What the coach chose."""

    LISTEN = "listen"
    WHISPER = "whisper"
    BARGE = "barge"


class Talk(Enum):
    """How the coach's microphone is used: always on, or only while a key is held."""

    OPEN = "open"
    PUSH = "push"


class Gate(Enum):
    """Who hears the coach. The value is the word for people; `digit` is what the switch is told."""

    CLOSED = "closed"
    AGENT = "agent"
    EVERYONE = "everyone"

    @property
    def digit(self) -> int:
        """The eavesdrop command on the AGENT's leg: 0, 2 or 3. Never 1, which is heard by the caller alone."""
        return _DIGITS[self]


_DIGITS: Mapping[Gate, int] = MappingProxyType({Gate.CLOSED: 0, Gate.AGENT: 2, Gate.EVERYONE: 3})

_HEARD_BY: Mapping[Mode, Gate] = MappingProxyType(
    {Mode.LISTEN: Gate.CLOSED, Mode.WHISPER: Gate.AGENT, Mode.BARGE: Gate.EVERYONE}
)

# The modes that are passed through, in order, to get from one to another.
PATHS: Mapping[tuple[Mode, Mode], tuple[Mode, ...]] = MappingProxyType(
    {
        (Mode.LISTEN, Mode.LISTEN): (),
        (Mode.LISTEN, Mode.WHISPER): (Mode.WHISPER,),
        (Mode.LISTEN, Mode.BARGE): (Mode.BARGE,),
        (Mode.WHISPER, Mode.LISTEN): (Mode.LISTEN,),
        (Mode.WHISPER, Mode.WHISPER): (),
        (Mode.WHISPER, Mode.BARGE): (Mode.BARGE,),
        (Mode.BARGE, Mode.LISTEN): (Mode.LISTEN,),
        (Mode.BARGE, Mode.WHISPER): (Mode.LISTEN, Mode.WHISPER),
        (Mode.BARGE, Mode.BARGE): (),
    }
)


def gate(mode: Mode, talk: Talk, muted: bool, pressed: bool) -> Gate:
    """Who hears a coach who is attached to a settled call (see the table in this module's docstring)."""
    if muted or (talk is Talk.PUSH and not pressed):
        return Gate.CLOSED
    return _HEARD_BY[mode]
