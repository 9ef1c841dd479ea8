"""Line lamps: a key on a desk phone subscribes to `coach-<user>@<domain>`, and is told how that "dialog" is (RFC 4235).

There is no such user, and must be none: to what the service says of a user who exists, mod_sofia adds that user's own
calls. A name with a plus would be of another protocol than "sip" (both: sofia_presence.c).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Final
from uuid import UUID, uuid5

import gevent

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import Lamp
from ccwhisper.switch import commands as cmd
from ccwhisper.switch.commands import Command
from ccwhisper.switch.errors import UnsafeArgument
from ccwhisper.switch.link import Link

_WATCHED: Final = re.compile(r"coach-([A-Za-z0-9_.-]{1,64}@[A-Za-z0-9.-]{1,253})")

# State of the dialog, and words for phones that subscribe to presence instead.
_STATES: Final[Mapping[Lamp, tuple[str, str]]] = MappingProxyType(
    {
        Lamp.IDLE: ("terminated", "No call"),
        Lamp.ON_CALL: ("confirmed", "On a call"),
        Lamp.COACHED: ("early", "Being coached"),
    }
)

_DIALOGS: Final = UUID("1bb0a3c2-6a1f-4a32-8a0e-6a3d5d9a7c51")
"""Any constant: a dialog keeps its id over restarts, so that a phone knows which one is over."""


AT_ONCE: Final = 50
"""Lamps that are told in one go: gates are moved over the same connection, and wait no longer than that."""


class Lamps:
    """Tells a node about lamps, in a greenlet of its own while there is anything to tell: after a connect it is about
    all agents. Of what has changed meanwhile only the last is told."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._due: dict[str, Lamp] = {}
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def show(self, effect: fx.ShowLamp) -> None:
        """One lamp, in a moment."""
        self._due[effect.user] = effect.lamp
        if self._greenlet is None or self._greenlet.dead:
            self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        while self._due:
            part = list(self._due.items())[:AT_ONCE]
            commands = []
            for user, lamp in part:
                del self._due[user]
                with suppress(UnsafeArgument):  # no user of any directory
                    commands.append(show(user, lamp))
            # What is refused or lost is let go: everything is told anew when the node has been read again.
            self._link.pipeline(commands)


def watched(name: str) -> str | None:
    """The directory user whose lamp this is; None when it is none."""
    found = _WATCHED.fullmatch(name)
    return found[1] if found else None


def show(user: str, lamp: Lamp) -> Command:
    """Tell all phones that have subscribed to this user's lamp. Raises UnsafeArgument.

    `unique-id` becomes the id of the dialog, without which none is told. It is no leg's, or the event would go to that
    leg. With `caller-username` of whom is watched its direction is "initiator", and no phone offers to pick it up
    (sofia_presence_sub_callback).
    """
    name, _, domain = user.partition("@")
    endpoint = cmd.user(name, domain)
    lamp_user = f"coach-{endpoint.user}"
    address = f"{lamp_user}@{endpoint.domain}"
    state, words = _STATES[lamp]
    headers = {
        "proto": "sip",
        "login": address,
        "from": address,
        "event_type": "presence",
        "alt_event_type": "dialog",
        "status": words,
        "rpid": "unknown" if lamp is Lamp.IDLE else "on-the-phone",
        "presence-call-direction": "inbound",
        "caller-username": lamp_user,
        "Caller-Destination-Number": name,
        "answer-state": state,
        "unique-id": str(uuid5(_DIALOGS, address)),
    }
    lines = ["sendevent PRESENCE_IN", *(f"{header}: {value}" for header, value in headers.items())]
    return Command("\n".join(lines), f"lamp {state}", api=False)
