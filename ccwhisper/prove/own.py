"""The legs that the proof placed. Whatever it tells the switch to do to a leg goes through here, and to no other leg.

A leg is ours when its SIP Call-ID is that of a call which one of our phones has: nobody else can know it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable
from typing import Any, Final
from xml.etree import ElementTree

from ccwhisper.proof.calls import PhoneCall
from ccwhisper.proof.scene import NotAsExpected, wait_until

#: What is done to a leg: nothing that could bridge it, move it or let anybody hear it.
_WRITES: Final = ("uuid_record", "uuid_setvar", "uuid_kill")

#: Where a leg says which leg it was made for: the queue's member, or whoever dialled.
_MADE_FOR: Final = (
    "variable_cc_member_session_uuid",
    "Other-Leg-Unique-ID",
    "variable_originator",
    "variable_signal_bond",
)

PATIENCE: Final = 5.0


class NotOurs(RuntimeError):
    """A command was meant for a leg that the proof did not place. It was not sent."""


class OwnLegs:
    """See the module. `api` sends one command to the Event Socket and gives back the answer."""

    def __init__(self, api: Callable[[str], str]) -> None:
        self._api = api
        self._ours: dict[str, str] = {}  # uuid by Call-ID
        self._called: set[str] = set()
        self._others: set[str] = set()
        self._call_ids: dict[str, str] = {}  # Call-ID by uuid, of legs that are not known to be others'

    @property
    def uuids(self) -> list[str]:
        """Every leg that was claimed, in order."""
        return list(self._ours.values())

    def claim(self, call: PhoneCall) -> str:
        """The uuid of the leg that a phone's call is. Waits for it: `show` answers late. Raises NotAsExpected."""
        found = wait_until("the switch shows the leg of our call", lambda: self._find(call.call_id), PATIENCE)
        return str(found)

    def made_for_ours(self, call: PhoneCall) -> bool:
        """Whether a call that rings at one of our phones was made for a leg of ours. If so, its leg is claimed."""
        try:
            leg = self.claim(call)
        except NotAsExpected:
            return False
        dump = self._dump(leg)
        if any(dump.get(name) in self._ours.values() and dump.get(name) != leg for name in _MADE_FOR):
            return True
        del self._ours[call.call_id]
        self._others.add(leg)
        return False

    def dump(self, leg: str) -> dict[str, Any]:
        """What a leg of ours says of itself; empty when it is gone. Raises NotOurs."""
        self._check(leg)
        return self._dump(leg)

    def attached(self, leg: str) -> list[tuple[str, str]]:
        """Function and target of each media bug on a leg of ours, ("session_record", its file). Raises NotOurs."""
        self._check(leg)
        return bugs_of(self._api(f"uuid_buglist {leg}"))

    def tell(self, command: str, leg: str, *arguments: str) -> str:
        """Do something to a leg of ours. Raises NotOurs."""
        if command not in _WRITES:
            raise NotOurs(f"{command} is nothing that the proof does to a leg")
        self._check(leg)
        return self._api(" ".join((command, leg, *arguments)))

    def bridge(self, leg: str, other: str) -> None:
        """Bridge two legs of ours. Raises NotOurs."""
        self._check(leg)
        self._check(other)
        self._api(f"uuid_bridge {leg} {other}")

    def originate(self, endpoint: str) -> str:
        """Call one of our phones and park the leg, which is ours from the start by the uuid that it is given."""
        leg = str(uuid.uuid4())
        self._called.add(leg)
        self._api(f"bgapi originate {{origination_uuid={leg}}}{endpoint} &park()")
        return leg

    def hang_up(self) -> list[str]:
        """End what is left of ours, after the phones have hung up. Gives back what was left."""
        there = set(self._names())
        left = [leg for leg in {*self._ours.values(), *self._called} if leg in there]
        for leg in left:
            self._api(f"uuid_kill {leg}")
        return left

    # ---

    def _check(self, leg: str) -> None:
        if leg not in self._ours.values():
            raise NotOurs("the proof did not place this leg")

    def _find(self, call_id: str) -> str | None:
        if call_id in self._ours:
            return self._ours[call_id]
        for leg in self._names():
            if leg in self._others or leg in self._ours.values():
                continue
            if leg not in self._call_ids:
                theirs = self._api(f"uuid_getvar {leg} sip_call_id")
                if theirs.startswith(("_undef_", "-ERR")) or not theirs:
                    continue  # not yet
                self._call_ids[leg] = theirs
            if self._call_ids[leg] == call_id:
                self._ours[call_id] = leg
                return leg
        return None

    def _names(self) -> Iterable[str]:
        rows = json.loads(self._api("show channels as json")).get("rows", [])
        return [row["uuid"] for row in rows]

    def _dump(self, leg: str) -> dict[str, Any]:
        answer = self._api(f"uuid_dump {leg} json")
        return json.loads(answer) if answer.startswith("{") else {}


def bugs_of(listing: str) -> list[tuple[str, str]]:
    """What `uuid_buglist` answers, as function and target. A leg that is gone has none."""
    try:
        tree = ElementTree.fromstring(listing)  # noqa: S314 - the switch's own answer; entities are not resolved
    except ElementTree.ParseError:
        return []
    return [(bug.findtext("function") or "", bug.findtext("target") or "") for bug in tree.iter("media-bug")]
