"""The switch: legs, bridges, applications, hang-up. Media bugs are in ``bugs``, the queue in ``callcenter``.

The order of events, and the 20 ms between a cause and what follows from it on another leg, are those that a recorded
FreeSWITCH 1.11 shows.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final

from ccwhisper.simulator import legs as names
from ccwhisper.simulator.bugs import Bugs
from ccwhisper.simulator.clock import Clock, Timer
from ccwhisper.simulator.legs import Leg, true
from ccwhisper.simulator.media import FRAME, Timeline
from ccwhisper.simulator.tables import Tables
from ccwhisper.simulator.tasks import Tasks
from ccwhisper.simulator.wire import Conversation, Event

if TYPE_CHECKING:
    from ccwhisper.simulator.legs import Application

KEEP: Final = 60.0
"""Seconds for which it can be asked what a leg heard that has ended."""

WAIT_FOR_MEDIA: Final = 6.0
"""Seconds that eavesdrop waits for a ringing leg (600 times 10 ms in ``switch_ivr_eavesdrop_session``)."""


class Switch:
    """The state of everything. Nothing here blocks, and nothing knows of sockets."""

    def __init__(self, clock: Clock, seed: int | None = None) -> None:
        self.clock = clock
        self.rng = random.Random(seed)
        self.legs: dict[str, Leg] = {}
        self.globals: dict[str, str] = {}
        self.timeline = Timeline()
        self.bugs = Bugs(self)
        self.tasks = Tasks(self)
        self.tables = Tables(clock)
        self.conversations: list[Conversation] = []
        self.on_end: list[Callable[[Leg], object]] = []
        """Called when a leg is gone."""
        self.core = self.uuid()
        self.sessions = 0
        self._sequence = 0
        self._waiting: dict[str, list[tuple[Leg, Timer]]] = {}  # who waits for the media of a leg

    def uuid(self) -> str:
        """A fresh uuid; the same ones again for the same seed."""
        return str(uuid.UUID(int=self.rng.getrandbits(128), version=4))

    # --- events -------------------------------------------------------------------------------------------------------

    def fire(self, name: str, leg: Leg | None = None, body: str = "", subclass: str = "", **more: str) -> None:
        """Raise an event; underscores in the names of further headers are hyphens."""
        self.raise_event(name, {key.replace("_", "-"): value for key, value in more.items()}, leg, body, subclass)

    def raise_event(
        self, name: str, more: dict[str, str], leg: Leg | None = None, body: str = "", subclass: str = ""
    ) -> None:
        """Raise an event with headers of any name. Nothing is built when nobody listens."""
        if leg is not None:
            self.tables.note(leg)
        listeners = [each for each in self.conversations if each.wants(name, subclass)]
        if not listeners:
            return
        event = Event(name, self.head(name, subclass) | more | (names.headers(leg) if leg else {}), body)
        for listener in listeners:
            listener.deliver(event)

    def head(self, name: str, subclass: str = "") -> dict[str, str]:
        """The headers that every event begins with."""
        self._sequence += 1
        first = {"Event-Subclass": subclass} if subclass else {}
        return first | {
            "Event-Name": name,
            "Core-UUID": self.core,
            "FreeSWITCH-Hostname": names.SWITCHNAME,
            "FreeSWITCH-Switchname": names.SWITCHNAME,
            "FreeSWITCH-IPv4": "127.0.0.1",
            "Event-Date-Timestamp": str(self.clock.micros()),
            "Event-Calling-File": "simulator",
            "Event-Sequence": str(self._sequence),
        }

    # --- legs ---------------------------------------------------------------------------------------------------------

    def find(self, leg: str) -> Leg | None:
        """A leg that has not been hung up."""
        found = self.legs.get(leg)
        return found if found and not found.ended else None

    def live(self) -> list[Leg]:
        """All legs, oldest first."""
        return [leg for leg in self.legs.values() if not leg.ended]

    def variable(self, leg: Leg, name: str) -> str | None:
        """A channel variable, or the global one of that name (``switch_channel_get_variable``)."""
        value = leg.variables.get(name)
        return self.globals.get(name) if value is None else value

    def add(self, leg: Leg) -> Leg:
        """A leg comes to be."""
        self.sessions += 1
        leg.number = self.sessions
        leg.created = self.clock.micros()
        leg.set({"direction": "outbound" if leg.outbound else "inbound", "uuid": leg.id, "channel_name": leg.name,
                 "session_id": str(leg.number), "call_uuid": leg.variables.get("call_uuid", leg.id),
                 "sip_call_id": self.uuid()})  # fmt: skip
        leg.set_buffer(leg.variables.get("jitterbuffer_msec", "0"))
        self.legs[leg.id] = leg
        if leg.outbound:
            self.fire("CHANNEL_OUTGOING", leg)
        leg.call_state = "RINGING"
        leg.state = "CS_CONSUME_MEDIA" if leg.outbound else "CS_EXECUTE"
        self.fire("CHANNEL_CREATE", leg)
        return leg

    def answer(self, leg: Leg) -> None:
        """A leg is picked up."""
        if leg.answered or leg.ended:
            return
        leg.answered = self.clock.micros()
        leg.call_state = "ACTIVE"
        leg.set({"read_codec": leg.codec, "read_rate": str(leg.rate), "write_codec": leg.codec,
                 "write_rate": str(leg.rate), "endpoint_disposition": "ANSWER"})  # fmt: skip
        self.changed_codec(leg)
        self.fire("CHANNEL_ANSWER", leg)
        self.touch(leg)
        for coach, timer in self._waiting.pop(leg.id, []):
            timer.cancel()
            if coach.application == "eavesdrop" and coach.up:
                self.bugs.attach(coach, leg)

    def changed_codec(self, leg: Leg, by_phone: bool = True) -> None:
        """CODEC for what is read, with headers of its own in small letters; and, when it is the phone that has another
        one, a second for what is written, which has none of its own (switch_core_codec.c; recorded)."""
        codec = "L16" if leg.listens_to else leg.codec
        self.raise_event("CODEC", {"channel-read-codec-name": codec, "channel-read-codec-rate": str(leg.rate)}, leg)
        if by_phone:
            self.fire("CODEC", leg)

    def touch(self, leg: Leg) -> None:
        """Something that its audio depends on has changed."""
        self.timeline.note(leg.id, self.clock.now(), leg.view())

    # --- bridges ------------------------------------------------------------------------------------------------------

    def bridge(self, a: Leg, b: Leg) -> None:
        """Join two legs; ``a`` is the originator, whose events speak for both."""
        if not (a.up and b.up):
            return
        for leg, other in ((a, b), (b, a)):
            self.stop_application(leg)
            leg.peer = leg.other = other
            leg.originator = leg is a
            leg.call_state = "ACTIVE"
            leg.state = "CS_EXECUTE" if leg is a and not leg.outbound else "CS_EXCHANGE_MEDIA"
            leg.bridged = self.clock.micros()
            # A bridge pauses the buffer of a leg that does not say otherwise (switch_core_media.c, INDICATE_BRIDGE).
            stays = true(leg.variables.get("rtp_jitter_buffer_during_bridge"))
            leg.buffer_paused = leg.buffer_ms > 0 and not stays
            leg.set({"bridge_uuid": other.id, "signal_bond": other.id, "bridge_channel": other.name,
                     "call_uuid": a.id, "last_bridge_to": other.id})  # fmt: skip
            self.touch(leg)
        self.fire("CHANNEL_BRIDGE", a, Bridge_A_Unique_ID=a.id, Bridge_B_Unique_ID=b.id)

    def unbridge(self, leg: Leg) -> Leg | None:
        """Part two legs, and return the other one. What becomes of it is for the caller to say."""
        other = leg.peer
        if other is None:
            return None
        a, b = (leg, other) if leg.originator else (other, leg)
        for each in (a, b):
            each.peer = None
            each.buffer_paused = False
            each.variables.pop("bridge_uuid", None)  # signal_bond stays: it outlives the bridge
            self.touch(each)
        self.fire("CHANNEL_UNBRIDGE", a, Bridge_A_Unique_ID=a.id, Bridge_B_Unique_ID=b.id)
        return other

    def uuid_bridge(self, a: Leg, b: Leg) -> None:
        """Bridge two legs, whatever they were doing. Their former parties are hung up (recorded: a take-over)."""
        former = [each.peer for each in (a, b) if each.peer is not None and each.peer not in (a, b)]
        for leg in former:
            if true(leg.variables.get("park_after_bridge")):
                self.unbridge(leg)
                self.park(leg)
            else:
                self.hang_up(leg, "NORMAL_CLEARING", keep_peer=True)
        for leg in (a, b):
            self.unbridge(leg)
            self.stop_application(leg)
        self.clock.after(FRAME, self._bridge_by_command, a, b)

    def _bridge_by_command(self, a: Leg, b: Leg) -> None:
        if a.up and b.up:
            for leg, other in ((a, b), (b, a)):
                leg.set({"current_application": "uuid_bridge", "current_application_data": other.id})
                self.fire("CHANNEL_EXECUTE", leg, Application="uuid_bridge", Application_Data=other.id)
            self.bridge(a, b)

    def after_bridge(self, leg: Leg) -> None:
        """A leg's bridge is over and the leg is not."""
        if leg.ended:
            return
        if not self._stays(leg):
            self.hang_up(leg, "NORMAL_CLEARING")
        elif true(leg.variables.get("park_after_bridge")):
            self.park(leg)
        else:
            self.next_application(leg)

    @staticmethod
    def _stays(leg: Leg) -> bool:
        """Whether a leg outlives its bridge."""
        goes_on = bool(leg.pending) and not true(leg.variables.get("hangup_after_bridge"))
        return true(leg.variables.get("park_after_bridge")) or goes_on

    # --- applications -------------------------------------------------------------------------------------------------

    def transfer(self, leg: Leg, applications: Iterable[Application]) -> None:
        """``uuid_transfer … inline``: leave whatever it does, run these one after the other. The gate starts closed."""
        other = self.unbridge(leg)
        if other is not None:
            self.clock.after(FRAME, self.after_bridge, other)
        self.stop_application(leg)
        leg.pending = list(applications)
        self.clock.after(0, self.next_application, leg)

    def stop_application(self, leg: Leg) -> None:
        """End eavesdrop or park."""
        if leg.listens_to is not None:
            self.bugs.detach(leg)
        if leg.application == "park":
            self.fire("CHANNEL_UNPARK", leg)
        leg.application = leg.data = ""

    def next_application(self, leg: Leg) -> None:
        """Run the next of a leg's applications; a leg that has none left ends."""
        if leg.ended or leg.peer is not None:
            return
        self.stop_application(leg)
        if not leg.pending:
            self.hang_up(leg, "NORMAL_CLEARING")
            return
        name, data = leg.pending.pop(0)
        leg.state = "CS_EXECUTE"
        leg.application, leg.data = name, data
        leg.variables["current_application"] = name
        if data:
            leg.variables["current_application_data"] = data
        self.fire("CHANNEL_EXECUTE", leg, Application=name, Application_Data=data)
        if name == "park":
            self.fire("CHANNEL_PARK", leg)
            self.clock.after(FRAME, self.read_messages, leg)
        elif name == "eavesdrop":
            self._eavesdrop(leg, data)
        else:  # it does nothing here
            self.next_application(leg)

    def _give_up(self, coach: Leg) -> None:
        if coach.application == "eavesdrop":
            self.next_application(coach)

    def read_messages(self, leg: Leg) -> None:
        """What ``sendmsg`` asked for. Only a parked leg reads it: eavesdrop's loop never does (recorded), so that it
        waits until the eavesdrop is over."""
        while leg.application == "park" and leg.messages:
            name, data = leg.messages.pop(0)
            self.fire("CHANNEL_EXECUTE", leg, Application=name, Application_Data=data)
            if name == "hangup":
                self.hang_up(leg, data or "NORMAL_CLEARING")
                return
            if name == "set":
                variable, _, value = data.partition("=")
                leg.set({variable: value})

    def park(self, leg: Leg) -> None:
        """Park a leg, and forget what it was to do next."""
        leg.pending = [("park", "")]
        self.next_application(leg)

    def _eavesdrop(self, coach: Leg, target: str) -> None:
        leg = self.find(target)
        if leg is None or leg is coach:
            self.next_application(coach)
        elif leg.answered:
            self.bugs.attach(coach, leg)
        else:
            timer = self.clock.after(WAIT_FOR_MEDIA, self._give_up, coach)
            self._waiting.setdefault(leg.id, []).append((coach, timer))

    # --- hold ---------------------------------------------------------------------------------------------------------

    def hold(self, leg: Leg, on: bool) -> None:
        """By command or by the phone's re-INVITE: all silent, a coach on this leg too. The gate stays as it is."""
        if leg.held == on or not leg.up:
            return
        leg.held = on
        leg.call_state = "HELD" if on else "UNHELD"
        self.fire("CHANNEL_HOLD" if on else "CHANNEL_UNHOLD", leg)
        if not on:
            leg.call_state = "ACTIVE"
        self.touch(leg)

    # --- the end ------------------------------------------------------------------------------------------------------

    def hang_up(self, leg: Leg, cause: str, keep_peer: bool = False) -> None:
        """Hang up a leg. The other one follows, parks or goes on, as its variables say; with ``keep_peer`` it waits for
        whatever comes next."""
        if leg.ended:
            return
        self._hang_up(leg, cause)
        if keep_peer:
            self._complete(leg)
            self.unbridge(leg)
        self.clock.after(FRAME, self._part, leg)

    def _hang_up(self, leg: Leg, cause: str) -> None:
        leg.ended = cause
        leg.state = "CS_HANGUP"
        self.touch(leg)
        self.fire("CHANNEL_HANGUP", leg)
        if leg.listens_to is not None:
            self.bugs.detach(leg)
        for coach, timer in self._waiting.pop(leg.id, []):
            timer.cancel()
            self._give_up(coach)

    def _part(self, leg: Leg) -> None:
        # The bridge belongs to the originator's thread: it waits until the other leg is done, then says that the bridge
        # is over, and only then ends or goes on itself (recorded: either of the two hangs up).
        other = leg.peer
        if other is None:
            self._complete(leg)
        elif not leg.originator:
            self._complete(leg)
            self.unbridge(leg)
            self.after_bridge(other)
        else:
            follows = not other.ended and not self._stays(other)
            if follows:
                self._hang_up(other, "NORMAL_CLEARING")
                self._complete(other)
            self.unbridge(leg)
            if follows:
                self._destroy(other)
            else:
                self.after_bridge(other)
            self._complete(leg)
        self._destroy(leg)

    def _complete(self, leg: Leg) -> None:
        if leg.state != "CS_REPORTING":
            leg.call_state = "HANGUP"
            leg.state = "CS_REPORTING"
            self.fire("CHANNEL_HANGUP_COMPLETE", leg)

    def _destroy(self, leg: Leg) -> None:
        for coach in self.bugs.clear(leg):
            self.next_application(coach)
        leg.gone = True
        del self.legs[leg.id]
        self.tasks.delete_group(leg.id)  # switch_core_session.c deletes the tasks of a leg's own group
        self.fire("CHANNEL_DESTROY", leg)
        for call in list(self.on_end):
            call(leg)
        self.clock.after(KEEP, self.bugs.forget, leg.id)
