"""From what the switch says to facts.

Events are hints that something happened to a leg; who a leg is, is read from its own JSON dump (`leg_of`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Leg
from ccwhisper.coaching.recorded import recording_of
from ccwhisper.switch import callcenter, lamps, records
from ccwhisper.switch.frames import Event
from ccwhisper.switch.keypad import KEY_EVENT

EVENTS: Final = (
    "CHANNEL_PROGRESS",
    "CHANNEL_PARK",
    "CHANNEL_BRIDGE",
    "CHANNEL_UNBRIDGE",
    "CHANNEL_HOLD",
    "CHANNEL_UNHOLD",
    "CHANNEL_HANGUP",
    "MEDIA_BUG_START",
    "MEDIA_BUG_STOP",
    "RECORD_START",
    "RECORD_STOP",
    "CODEC",
    "PRESENCE_PROBE",
    "BACKGROUND_JOB",
)
"""All that is subscribed to: of some 78 events that a call raises, about a dozen."""

DIALIN_EVENT: Final = "ccwhisper::dialin"
"""What the dialplan raises when a phone has dialled a feature code."""

SUBCLASSES: Final = (callcenter.SUBCLASS, DIALIN_EVENT, KEY_EVENT)
"""The CUSTOM events besides; naming one that no module raises does no harm."""

_SENT = "Command"  # the line that a client sent, first header of its event (read_packet in mod_event_socket.c)
_LONGEST_TEXT = 256  # a display name may be 4 KB long; nobody reads that


def facts(node: str, event: Event, installation: str) -> Iterator[ev.Fact]:
    """The facts in one event. BACKGROUND_JOB is not among them: only whoever started the job knows what it was.

    What another client raised with `sendevent` holds none. It would be believed otherwise: with two Unique-ID, the
    first of no leg, the switch publishes it, and a reader of JSON takes the second.
    """
    headers = event.headers
    if _SENT in headers:
        return
    if headers.get("Event-Subclass") == callcenter.SUBCLASS:
        yield from callcenter.facts(node, headers, raised_at(event))
        return
    if event.name == "PRESENCE_PROBE":
        user = lamps.watched(headers.get("to", ""))
        if user:
            yield ev.LampProbed(node, user)
        return
    leg = headers.get("Unique-ID")
    if not leg:
        return
    match event.name:
        case "CUSTOM":
            key = headers.get("variable_last_matching_digits", "")
            if headers.get("Event-Subclass") == DIALIN_EVENT:
                yield ev.DialedIn(node, leg)
            elif headers.get("Event-Subclass") == KEY_EVENT and len(key) == 1 and key in "0123456789*#":
                yield ev.KeyPressed(node, leg, key)
        case "CHANNEL_BRIDGE":
            a, b = headers.get("Bridge-A-Unique-ID", leg), headers.get("Bridge-B-Unique-ID")
            if b:
                yield ev.Bridged(node, a, b)
        case "CHANNEL_UNBRIDGE":
            other = headers.get("Bridge-B-Unique-ID") or headers.get("Other-Leg-Unique-ID")
            yield ev.Unbridged(node, headers.get("Bridge-A-Unique-ID", leg), other)
        case "CHANNEL_HOLD":
            yield ev.Held(node, leg)
        case "CHANNEL_UNHOLD":
            yield ev.Unheld(node, leg)
        case "CHANNEL_HANGUP":
            yield ev.HungUp(node, leg, headers.get("Hangup-Cause", ""))
        case "CHANNEL_PARK":
            yield ev.Parked(node, leg, ours=_ours(headers, installation))
        case "CHANNEL_PROGRESS":
            yield ev.Ringing(node, leg)
        case "MEDIA_BUG_START":
            if headers.get("Media-Bug-Function") == "eavesdrop":
                yield ev.EavesdropStarted(node, leg)
        case "MEDIA_BUG_STOP":
            if headers.get("Media-Bug-Function") == "eavesdrop":
                yield ev.EavesdropStopped(node, leg)
        case "RECORD_START" | "RECORD_STOP":
            file = headers.get("Record-File-Path", "").rpartition("/")[2]
            if recording_of(file):
                kind = ev.RecordStarted if event.name == "RECORD_START" else ev.RecordStopped
                yield kind(node, leg, file)
        case "CODEC":
            # A re-INVITE raises this for the write codec alone: switch_core_media_set_codec sets the new read codec up
            # in the old one's place, and so nothing seems to have changed. What a leg reads is no help: an eavesdrop or
            # whatever plays, puts raw samples on top, and raises this too. What is written is always the phone's.
            rate = _number(headers.get("Channel-Write-Codec-Rate"))
            if rate:
                yield ev.RateChanged(node, leg, rate, renewed="channel-read-codec-rate" not in headers)


def raised_at(event: Event) -> float | None:
    """When the switch raised an event, in seconds since the epoch by its own clock."""
    return _number(event.headers.get("Event-Date-Timestamp")) / 1e6 or None


def leg_of(dump: Mapping[str, str], installation: str, peer: str | None = None) -> Leg:
    """A leg, from the object that `uuid_dump <leg> json` gives. `peer` is whom the switch's list of calls shows it
    bridged with: the leg's own `signal_bond` outlives the bridge."""
    get = dump.get
    ours = _ours(dump, installation)
    # uuid_bridge, which an attended transfer ends in, swaps the profiles of the two legs: the caller is then called by
    # the agent's name and number. Who he was when he called is kept beside it.
    calls = "Orig-" if ":uuid_br:" in get("Caller-Transfer-Source", "") else ""
    return Leg(
        id=get("Unique-ID", ""),
        outbound=get("Call-Direction") == "outbound",
        answered=get("Answer-State") == "answered",
        held=get("Channel-Call-State") == "HELD",
        peer=peer,
        created_at=_number(get("Caller-Channel-Created-Time")) / 1e6,
        caller_name=_text(get(f"Caller-{calls}Caller-ID-Name")),
        caller_number=_text(get(f"Caller-{calls}Caller-ID-Number")),
        destination=_text(get("Caller-Destination-Number")),
        auth_user=_auth_user(dump),
        dialed_user=_at(get("variable_dialed_user"), get("variable_dialed_domain")),
        cc_agent=get("variable_cc_agent") if get("variable_cc_side") == "agent" else None,
        cc_queue=get("variable_cc_queue") if get("variable_cc_side") == "agent" else None,
        through=get("variable_cc_queue") if get("variable_cc_side") == "member" else None,
        codec=get("Channel-Write-Codec-Name", ""),  # of a leg that eavesdrops the read codec is not the phone's
        rate=_number(get("Channel-Write-Codec-Rate")) or 8000,
        buffered=_buffered(dump),
        media_in_switch=not any(_true(get(f"variable_{name}")) for name in ("bypass_media", "proxy_media")),
        application=get("variable_current_application", ""),
        application_data=get("variable_current_application_data", ""),
        coach=records.load(get(f"variable_{records.SESSION}", "")) if ours else None,
        is_coach=ours,
        dialin=get(f"variable_{records.DIALIN}"),
        wanted=_text(get(f"variable_{records.WANTED}")),
        recording=records.load_mark(get(f"variable_{records.marked(installation)}", "")),
        party=records.load_party(get(f"variable_{records.PARTY}", ""), installation),
    )


def _ours(headers: Mapping[str, str], installation: str) -> bool:
    return (
        headers.get(f"variable_{records.ROLE}") == records.COACH
        and headers.get(f"variable_{records.LEASE}") == installation
    )


def _auth_user(dump: Mapping[str, str]) -> str | None:
    # sip_auth_username is what the Authorization header says; only sip_authorized says that the digest was right. The
    # realm is what the phone wrote into that header: with force-register-domain the password is looked up in another
    # domain than that, the one in domain_name (sofia_reg_parse_auth).
    if not _true(dump.get("variable_sip_authorized")):
        return None
    domain = dump.get("variable_domain_name") or dump.get("variable_sip_auth_realm")
    return _at(dump.get("variable_sip_auth_username"), domain)


def _buffered(dump: Mapping[str, str]) -> bool:
    # Without rtp_jitter_buffer_during_bridge the switch pauses the buffer for as long as the leg is bridged.
    return bool(_number(dump.get("variable_jitterbuffer_msec"))) and _true(
        dump.get("variable_rtp_jitter_buffer_during_bridge")
    )


def _at(user: str | None, domain: str | None) -> str | None:
    return f"{user}@{domain}" if user and domain else None


def _true(value: str | None) -> bool:
    return value is not None and value.lower() in {"true", "yes", "on", "1", "t", "enabled"}


def _number(value: str | None) -> int:
    digits = (value or "").split(":")[0]
    return int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 18 else 0


def _text(value: str | None) -> str:
    return (value or "")[:_LONGEST_TEXT]
