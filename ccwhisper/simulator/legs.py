"""A leg, and the headers that every event about it and its dump carry. The names are those of a recorded FreeSWITCH
1.11; of some 180 headers that it writes, the ones that say something about calls are here."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Final

from ccwhisper.simulator.media import Bug, View

SWITCHNAME: Final = "ccwhisper-simulator"
VERSION: Final = "ccwhisper simulator (stands in for FreeSWITCH 1.11; not a switch, not for production)"

Application = tuple[str, str]


def true(value: str | None) -> bool:
    """``switch_true``."""
    return value is not None and value.lower() in {"yes", "on", "true", "t", "enabled", "active", "allow", "1"}


@dataclass(eq=False, slots=True)
class Leg:
    """One leg. Times are microseconds since 1970, 0 for what has not happened."""

    id: str
    number: int
    outbound: bool
    profile: str
    name: str
    party: str
    username: str = ""  # of the profile that it was made from: a leg that is dialled has its caller's
    user: str = ""
    cid_name: str = ""
    cid_number: str = ""
    callee_name: str = ""
    callee_number: str = ""
    destination: str = ""
    context: str = ""
    created: int = 0
    answered: int = 0
    bridged: int = 0
    ended: str = ""  # the hangup cause
    gone: bool = False
    state: str = "CS_INIT"
    call_state: str = "DOWN"
    held: bool = False
    codec: str = "PCMU"
    rate: int = 8000
    buffer_ms: int = 0  # jitter buffer; 0 for none
    buffer_paused: bool = False
    variables: dict[str, str] = field(default_factory=dict)
    application: str = ""
    data: str = ""
    pending: list[Application] = field(default_factory=list)
    peer: Leg | None = None
    other: Leg | None = None  # the last one it was bridged with
    originator: bool = False  # of the bridge that it is, or was, in
    bugs: list[Bug] = field(default_factory=list)
    listens_to: Leg | None = None
    listening_bug: int = 0
    commands: list[tuple[float, str]] = field(default_factory=list)  # eavesdrop commands that wait for their frame
    messages: list[Application] = field(default_factory=list)  # of sendmsg, that nobody has read yet

    def set(self, values: dict[str, str]) -> None:
        """Set channel variables."""
        self.variables.update(values)

    @property
    def up(self) -> bool:
        """Answered and not hung up."""
        return bool(self.answered) and not self.ended

    def set_buffer(self, size: str) -> None:
        """Milliseconds, and what may stand behind a colon; less than 10 is none (``check_jb``)."""
        number = size.partition(":")[0]
        self.buffer_ms = int(number) if number.isdigit() and int(number) >= 10 else 0

    @property
    def buffered(self) -> bool:
        """Whether a jitter buffer is at work."""
        return self.buffer_ms > 0 and not self.buffer_paused

    def view(self) -> View:
        """What the audio of this leg depends on, as it is now."""
        link, other = "", ""
        if self.peer is not None:
            link, other = "bridge", self.peer.id
        elif self.listens_to is not None:
            link, other = "eavesdrop", self.listens_to.id
        return View(
            up=self.up,
            party=self.party,
            rate=self.rate,
            held=self.held,
            link=link,
            other=other,
            bug=self.listening_bug,
            bugs=tuple(self.bugs),
        )


_STATES: Final = {"CS_INIT": "1", "CS_ROUTING": "2", "CS_EXECUTE": "4", "CS_EXCHANGE_MEDIA": "5", "CS_PARK": "6",
                  "CS_CONSUME_MEDIA": "7", "CS_HANGUP": "10", "CS_REPORTING": "11"}  # fmt: skip
_BITS: Final = {"L16": "128000"}


def headers(leg: Leg) -> dict[str, str]:
    """What ``switch_channel_event_set_data`` adds for a leg, variables last."""
    found = {
        "Channel-State": leg.state,
        "Channel-Call-State": leg.call_state,
        "Channel-State-Number": _STATES.get(leg.state, "0"),
        "Channel-Name": leg.name,
        "Unique-ID": leg.id,
        "Call-Direction": _direction(leg),
        "Presence-Call-Direction": _direction(leg),
        "Channel-HIT-Dialplan": "false" if leg.outbound and leg.peer else "true",
        "Channel-Call-UUID": leg.variables.get("call_uuid", leg.id),
        "Answer-State": "hangup" if leg.ended else "answered" if leg.answered else "ringing",
    }
    if leg.user:
        found["Channel-Presence-ID"] = leg.user
    if leg.ended:
        found["Hangup-Cause"] = leg.ended
    # A leg that eavesdrops reads raw samples (switch_ivr_eavesdrop_session sets an L16 codec).
    read = "L16" if leg.listens_to is not None else leg.codec
    for way, codec in (("Read", read), ("Write", leg.codec)):
        found[f"Channel-{way}-Codec-Name"] = codec
        found[f"Channel-{way}-Codec-Rate"] = str(leg.rate)
        found[f"Channel-{way}-Codec-Bit-Rate"] = _BITS.get(codec, "64000")
    _profile(found, "Caller", leg)
    if leg.other is not None:
        found["Other-Type"] = "originatee" if leg.originator else "originator"
        _profile(found, "Other-Leg", leg.other)
    for name, value in leg.variables.items():
        found[f"variable_{name}"] = value
    return found


def _direction(leg: Leg) -> str:
    return "outbound" if leg.outbound else "inbound"


def _profile(found: dict[str, str], prefix: str, leg: Leg) -> None:
    for name, value in (
        ("Direction", _direction(leg)),
        ("Username", leg.username),
        ("Dialplan", "XML"),
        ("Caller-ID-Name", leg.cid_name),
        ("Caller-ID-Number", leg.cid_number),
        ("Callee-ID-Name", leg.callee_name),
        ("Callee-ID-Number", leg.callee_number),
        ("Network-Addr", "127.0.0.1"),
        ("ANI", leg.cid_number),
        ("Destination-Number", leg.destination),
        ("Unique-ID", leg.id),
        ("Source", "simulator"),
        ("Context", leg.context),
        ("Channel-Name", leg.name),
        ("Channel-Created-Time", str(leg.created)),
        ("Channel-Answered-Time", str(leg.answered)),
        ("Channel-Bridged-Time", str(leg.bridged)),
    ):
        if value:
            found[f"{prefix}-{name}"] = value


def row(leg: Leg) -> dict[str, str]:
    """A leg's line in ``show channels``."""
    created = leg.created // 1_000_000
    return {
        "uuid": leg.id,
        "direction": _direction(leg),
        "created": time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(created)),
        "created_epoch": str(created),
        "name": leg.name,
        "state": leg.state,
        "cid_name": leg.cid_name,
        "cid_num": leg.cid_number,
        "ip_addr": "127.0.0.1",
        "dest": leg.destination,
        "application": leg.application,
        "application_data": leg.data,
        "dialplan": "XML",
        "context": leg.context,
        "read_codec": leg.codec,
        "read_rate": str(leg.rate),
        "write_codec": leg.codec,
        "write_rate": str(leg.rate),
        "hostname": SWITCHNAME,
        "presence_id": leg.user,
        "callstate": leg.call_state,
        "callee_name": leg.callee_name,
        "callee_num": leg.callee_number,
        "call_uuid": leg.variables.get("call_uuid", leg.id),
    }
