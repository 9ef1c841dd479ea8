"""What a coach's leg carries in its `ccw_*` channel variables.

    ccw_role     "coach": this leg is one of ours, whatever else it carries
    ccw_lease    the installation's random id; the switch's scheduled `hupall` looks for it
    ccw_session  the CoachRecord as JSON in base64url (plain text would lose its backslashes in `uuid_dump … json`)
    ccw_gate     the gate's word, for people who look with `uuid_dump`

On a leg that has dialled in and is not a coach's yet, the dialplan writes two:

    ccw_dialin   which feature code it was
    ccw_wanted   the digits after it

On a caller's leg that is recorded there is one, on that of a coach who has taken a call over another:

    ccw_recording_…  the Mark as JSON in base64url; after it, of whose recording (`marked`)
    ccw_party        the Party likewise, with the installation's id

Headers of an INVITE become `variable_sip_*` only, so a caller cannot write these.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, fields
from types import MappingProxyType
from typing import Any

import orjson

from ccwhisper.coaching.model import CoachRecord, Follow, Party
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.recorded import Mark, Whispers, recording_of

ROLE, LEASE, SESSION, GATE = "ccw_role", "ccw_lease", "ccw_session", "ccw_gate"
DIALIN, WANTED = "ccw_dialin", "ccw_wanted"
PARTY = "ccw_party"
COACH = "coach"

_ENUMS: Mapping[str, type[Gate] | type[Mode] | type[Talk] | type[Follow] | type[Whispers]] = {
    "mode": Mode,
    "wanted": Mode,
    "talk": Talk,
    "follow": Follow,
    "gate": Gate,
    "whispers": Whispers,
}
_SETS = ("permissions", "roles", "queues")


def dump(record: CoachRecord) -> str:
    """The record as one word of URL-safe characters."""
    plain: dict[str, Any] = asdict(record)
    for name in _ENUMS:
        plain[name] = plain[name].value
    for name in _SETS:
        plain[name] = sorted(plain[name])
    return _word(plain)


def _word(plain: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(plain)).decode().rstrip("=")


def _plain(text: str) -> Any:
    return orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))


def dump_mark(mark: Mark) -> str:
    """The mark of a recording as one word of URL-safe characters."""
    return _word(asdict(mark) | {"whispers": mark.whispers.value})


def marked(installation: str) -> str:
    """The variable of an installation's recordings: another one may record the same leg, and is to leave them alone.
    The id itself is as good as a password, and is on coaches' legs only."""
    return f"ccw_recording_{hashlib.sha256(installation.encode()).hexdigest()[:12]}"


def load_mark(text: str) -> Mark | None:
    """The mark that `dump_mark` wrote; None when the text is no such thing. Its id becomes the name of a file."""
    try:
        plain = _plain(text)
        mark = Mark(**{**plain, "whispers": Whispers(plain["whispers"])})
        texts = mark.id, mark.call, mark.queue or "", mark.paused or "", mark.over or "", mark.problem or ""
        sound = all(isinstance(each, str) for each in texts) and type(mark.number) is type(mark.rate) is int
        return mark if sound and recording_of(f"{mark.id}-call.wav") == mark.id else None
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None


def taken_over(party: Party, installation: str) -> dict[str, str | None]:
    """What a coach's leg gets when it becomes a party to the call."""
    said = {"installation": installation, "coach": party.coach, "name": party.name, "queues": sorted(party.queues)}
    return {**TAKEN_OVER, PARTY: _word(said)}


def load_party(text: str, installation: str) -> Party | None:
    """The party that `taken_over` wrote; None when the text is no such thing, or another installation's."""
    try:
        plain = _plain(text)
        if plain["installation"] != installation:
            return None
        return Party(str(plain["coach"]), str(plain["name"]), frozenset(map(str, plain["queues"])))
    except (ValueError, TypeError, KeyError, binascii.Error):
        return None


def load(text: str) -> CoachRecord | None:
    """The record that `dump` wrote, or None when the text is no such thing (an older release, or somebody's toy)."""
    try:
        plain = _plain(text)
        known = {each.name for each in fields(CoachRecord)}
        if not isinstance(plain, dict) or set(plain) != known:
            return None
        for name, enum in _ENUMS.items():
            plain[name] = enum(plain[name])
        for name in _SETS:
            plain[name] = frozenset(map(str, plain[name]))
        return CoachRecord(**plain)
    except (ValueError, TypeError, binascii.Error):
        return None


def variables(record: CoachRecord) -> dict[str, str | None]:
    """The variables to write when a session changes."""
    return {SESSION: dump(record), GATE: record.gate.value}


ALONE: Mapping[str, str] = MappingProxyType({"deny_refer_requests": "true", "presence_privacy": "true"})
"""While he coaches, a coach's leg is nobody else's business.

A coach who has a call of his own on the same phone may press its key for a transfer: the switch would send that caller
to where the coach's leg is, into an eavesdrop or nowhere (sofia_handle_sip_i_refer, a leg without a bridge). And an
agent's phone may have a key that watches the coach's: it is told that he is busy, not with whom
(switch_channel_perform_presence, sofia_presence_sub_callback)."""

TAKEN_OVER: Mapping[str, str | None] = {
    **dict.fromkeys((LEASE, ROLE, SESSION, GATE, *ALONE)),
    "hangup_after_bridge": "true",
    "execute_on_pre_bridge": "clear_digit_action all",
}
"""What it loses with that. Nothing that makes it a coach's may stay: the lease would hang up the customer, and the keys
would go to us instead of to him. And when the customer hangs up, the coach's leg must too,
instead of falling back into park unseen."""


def admitted(record: CoachRecord, installation: str) -> dict[str, str | None]:
    """What a leg that has dialled in gets when it becomes a coach's."""
    marks = {ROLE: COACH, LEASE: installation, DIALIN: None, WANTED: None, "eavesdrop_enable_dtmf": "false"}
    return {**marks, **ALONE, **variables(record)}
