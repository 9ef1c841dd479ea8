"""What people outside the switch do, and what they hear: ``api sim …``. No switch has these commands; they are for
scenarios, the demo and tests. Answers are JSON in one line, or ``-ERR`` and why.

=====================================  ================================================================================
``sim call <agent> [number] [name]``   a caller from outside rings an agent: ``{"caller": leg, "agent": leg}``
``sim queue [number] [name]``          a caller enters support@default: ``{"caller": leg}``
``sim dial <agent> <user|9…>``         an agent calls a user, or a number outside: ``{"caller": leg, "callee": leg}``
``sim offhook <agent>``                an agent signs in and stays on the line: ``{"leg": leg}``
``sim hold <leg>``, ``sim unhold …``   the phone's hold key
``sim transfer <agent leg> <agent>``   blind transfer
``sim consult <agent leg> <agent>``    hold, and call a colleague: ``{"caller": leg, "callee": leg}``
``sim complete <agent leg> <caller>``  attended transfer: join the held party with that of the consultation
``sim codec <leg> <8000|16000>``       re-INVITE with another codec
``sim hangup <leg> [cause]``           hang up
``sim phone <user> <what> [ms]``       how a phone answers: answer, busy, reject, ring, away; after so many ms
``sim buffer on|off``                  whether new legs of agents have a jitter buffer
``sim hears <leg> <ms>``               what the leg's party heard in the last ms: see below
``sim pieces <leg> <ms>``              the same as it changed: ``[[frames, {"1001": -16.0, …}], …]``
``sim frames <leg> <speaker> <ms>``    whether it got every frame of a speaker, and nothing else
``sim legs``                           every leg: party, state, peer, whom it listens to, who coaches it, and how many
                                       commands of its gate are still to be obeyed
``sim load``                           how many legs, bridges, coaches; timers so far; the latest in ms since last asked
``sim clear``                          everybody hangs up
``sim stories <calls>|stop``           lively calls by themselves, about so many at a time
=====================================  ================================================================================

``hears`` answers ``{"frames": 18, "heard": {"1001": {"dbfs": -16.0, "frames": 18}, …}}``: parties by directory user or
by the caller's number, the beep as ``beep``. Everybody speaks at -16 dBFS all the time. Who is not in ``heard`` was not
heard for a single frame. A name is written with ``+`` or ``%20`` for a space.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_plus

from ccwhisper.simulator.callcenter import CallCenter
from ccwhisper.simulator.legs import Leg
from ccwhisper.simulator.media import FRAME, Piece, dbfs, exactness, frame_of, levels
from ccwhisper.simulator.parties import BEHAVIOURS, Impossible, Parties
from ccwhisper.simulator.stories import Stories

if TYPE_CHECKING:
    from ccwhisper.simulator.state import Switch

Answer = Mapping[str, Any] | list[Any] | None


class Control:
    """See the module. Methods raise Impossible."""

    def __init__(self, switch: Switch, parties: Parties, callcenter: CallCenter, stories: Stories) -> None:
        self._switch, self._parties, self._callcenter, self.stories = switch, parties, callcenter, stories
        self._ended: dict[str, Leg] = {}
        self._callers = 0
        self._verbs: Mapping[str, Callable[..., Answer]] = {
            name.removeprefix("_do_"): getattr(self, name) for name in dir(self) if name.startswith("_do_")
        }

    def run(self, line: str) -> str:
        """One command, without ``sim``."""
        verb, *words = line.split() or [""]
        call = self._verbs.get(verb)
        if call is None:
            return f"-ERR there is no 'sim {verb}'\n"
        try:
            answer = call(*words)
        except (TypeError, ValueError):
            return f"-ERR wrong arguments for 'sim {verb}'\n"
        except Impossible as error:
            return f"-ERR {error}\n"
        return "+OK\n" if answer is None else json.dumps(answer) + "\n"

    def _leg(self, leg: str) -> Leg:
        found = self._switch.find(leg)
        if found is None:
            raise Impossible("there is no such leg")
        return found

    # --- people -------------------------------------------------------------------------------------------------------

    def _number(self, number: str, name: str) -> tuple[str, str]:
        self._callers += 1
        number = number or f"+493023125{self._callers % 1000:03}"  # of the range that is kept for fiction
        return number, unquote_plus(name) or number

    def _do_call(self, user: str, number: str = "", name: str = "") -> Answer:
        caller, agent = self._parties.call(user, *self._number(number, name))
        return {"caller": caller.id, "agent": agent.id if agent else None}

    def _do_queue(self, number: str = "", name: str = "") -> Answer:
        return {"caller": self._callcenter.queue(*self._number(number, name)).id}

    def _do_dial(self, user: str, destination: str) -> Answer:
        if destination.startswith("9") and destination not in self._parties.phones:
            leg = self._parties.dials(user, destination)
            callee: Leg | None = self._parties.outside(leg, destination[1:])
        else:
            leg, callee = self._parties.dial(user, destination)
        return {"caller": leg.id, "callee": callee.id if callee else None}

    def _do_offhook(self, user: str) -> Answer:
        return {"leg": self._callcenter.off_hook(user).id}

    def _do_hold(self, leg: str) -> Answer:
        self._switch.hold(self._leg(leg), True)
        return None

    def _do_unhold(self, leg: str) -> Answer:
        self._switch.hold(self._leg(leg), False)
        return None

    def _do_transfer(self, leg: str, user: str) -> Answer:
        self._parties.refer(self._leg(leg), user)
        return None

    def _do_consult(self, leg: str, user: str) -> Answer:
        held = self._leg(leg)
        self._switch.hold(held, True)
        return self._do_dial(held.party, user)

    def _do_complete(self, leg: str, consult: str) -> Answer:
        self._parties.replace(self._leg(leg), self._leg(consult))
        return None

    def _do_codec(self, leg: str, rate: str) -> Answer:
        self._parties.codec(self._leg(leg), int(rate))
        return None

    def _do_hangup(self, leg: str, cause: str = "NORMAL_CLEARING") -> Answer:
        self._switch.hang_up(self._leg(leg), cause)
        return None

    def _do_phone(self, user: str, behaviour: str, milliseconds: str = "") -> Answer:
        phone = self._parties.phone(user)
        if behaviour not in BEHAVIOURS:
            raise Impossible(f"a phone does one of {', '.join(BEHAVIOURS)}")
        phone.behaviour = behaviour
        if milliseconds:
            phone.seconds = int(milliseconds) / 1000
        return None

    def _do_buffer(self, state: str) -> Answer:
        self._parties.jitter_buffer = state == "on"
        return None

    def _do_load(self) -> Answer:
        live, clock = self._switch.live(), self._switch.clock
        late, clock.latest = clock.latest, 0.0
        return {
            "legs": len(live),
            "bridges": sum(leg.peer is not None and leg.originator for leg in live),
            "coaches": sum(leg.listens_to is not None for leg in live),
            "timers": clock.done,
            "late_ms": round(late * 1000, 3),
        }

    def _do_clear(self) -> Answer:
        self.stories.stop()
        for leg in self._switch.live():
            self._switch.hang_up(leg, "NORMAL_CLEARING")
        return None

    def _do_stories(self, calls: str) -> Answer:
        if calls == "stop":
            self.stories.stop()
        else:
            self.stories.start(int(calls))
        return None

    # --- what is heard ------------------------------------------------------------------------------------------------

    def heard(self, leg: str, milliseconds: int) -> list[Piece]:
        """What a leg's party heard in the time up to now, in whole frames; a leg that ended is known for a minute."""
        end = frame_of(self._switch.clock.now())
        return self._switch.timeline.heard(leg, max(end - round(milliseconds / 1000 / FRAME), 0), end)

    def _do_hears(self, leg: str, milliseconds: str) -> Answer:
        pieces = self.heard(leg, int(milliseconds))
        found = {name: asdict(each) for name, each in sorted(levels(pieces).items())}
        return {"frames": sum(piece.frames for piece in pieces), "heard": found}

    def _do_pieces(self, leg: str, milliseconds: str) -> Answer:
        pieces = self.heard(leg, int(milliseconds))
        return [[each.frames, {name: round(dbfs(level), 2) for name, level in each.mix.items()}] for each in pieces]

    def _do_frames(self, leg: str, speaker: str, milliseconds: str) -> Answer:
        return asdict(exactness(self.heard(leg, int(milliseconds)), speaker))

    def _do_legs(self) -> Answer:
        return [
            {
                "leg": leg.id,
                "party": leg.party,
                "state": leg.call_state,
                "held": leg.held,
                "peer": leg.peer.id if leg.peer else None,
                "application": leg.application,
                "listens_to": leg.listens_to.id if leg.listens_to else None,
                "coaches": [bug.coach for bug in leg.bugs if bug.coach],
                "pending": len(leg.commands),
                "buffered": leg.buffered,
            }
            for leg in self._switch.live()
        ]
