"""From events and dumps of the switch to facts and legs."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from ccwhisper.coaching import events as ev
from ccwhisper.coaching.centre import Doing, Member, Status
from ccwhisper.coaching.model import CoachRecord, Follow, Party
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.recorded import Whispers, track_file
from ccwhisper.switch import records
from ccwhisper.switch.frames import Event
from ccwhisper.switch.translate import EVENTS, facts, leg_of, raised_at

pytestmark = pytest.mark.unit

OURS = "installation-1"
RECORD = CoachRecord("s1", "carla", 'Carla "C" \\ ünïcode', "9001@dom", "ana", "a1", "call", "c1", Mode.WHISPER,
                     Mode.WHISPER, Talk.PUSH, False, Follow.AGENT, Gate.AGENT, 1.5, frozenset({"p"}),
                     frozenset({"r1", "r2"}), frozenset(), whispers=Whispers.SEPARATE, recording="r", track="t.wav",
                     parts=2)  # fmt: skip


def said(name: str, **headers: str) -> list[Any]:
    plain = {"Event-Name": name, **{key.replace("_", "-"): value for key, value in headers.items()}}
    return list(facts("n", Event(plain, ""), OURS))


def test_events_become_facts() -> None:
    assert said("CHANNEL_BRIDGE", Unique_ID="x", Bridge_A_Unique_ID="a", Bridge_B_Unique_ID="b") == [
        ev.Bridged("n", "a", "b")
    ]
    assert said("CHANNEL_UNBRIDGE", Unique_ID="a", Other_Leg_Unique_ID="b") == [ev.Unbridged("n", "a", "b")]
    assert said("CHANNEL_UNBRIDGE", Unique_ID="a") == [ev.Unbridged("n", "a", None)]
    assert said("CHANNEL_HOLD", Unique_ID="a") == [ev.Held("n", "a")]
    assert said("CHANNEL_UNHOLD", Unique_ID="a") == [ev.Unheld("n", "a")]
    assert said("CHANNEL_PROGRESS", Unique_ID="a") == [ev.Ringing("n", "a")]
    assert said("CHANNEL_HANGUP", Unique_ID="a", Hangup_Cause="USER_BUSY") == [ev.HungUp("n", "a", "USER_BUSY")]
    assert said("CHANNEL_PARK", Unique_ID="a") == [ev.Parked("n", "a")]


def test_a_phone_that_subscribes_to_a_lamp() -> None:
    assert said("PRESENCE_PROBE", to="coach-1001@dom") == [ev.LampProbed("n", "1001@dom")]
    assert said("PRESENCE_PROBE", to="1001@dom", Unique_ID="a") == []
    assert said("PRESENCE_PROBE") == []


def test_codes_and_keys_become_facts() -> None:
    def raised(subclass: str, key: str = "", **more: str) -> list[Any]:
        plain = {"Event-Name": "CUSTOM", "Event-Subclass": subclass, "Unique-ID": "k", **more}
        return list(facts("n", Event({**plain, "variable_last_matching_digits": key}, ""), OURS))

    assert raised("ccwhisper::dialin") == [ev.DialedIn("n", "k")]
    for key in "0123456789*#":
        assert raised("ccwhisper::key", key) == [ev.KeyPressed("n", "k", key)]
    for nonsense in ("", "33", "A", "\N{ARABIC-INDIC DIGIT THREE}"):
        assert raised("ccwhisper::key", nonsense) == []
    assert raised("ccwhisper::session", "3") == []
    assert raised("ccwhisper::dialin", Command="sendevent CUSTOM") == []
    assert raised("ccwhisper::key", "3", Command="sendevent CUSTOM") == []


def test_what_was_dialled_is_read_from_the_leg() -> None:
    leg = leg_of({**DUMP, "variable_ccw_dialin": "barge", "variable_ccw_wanted": "1001"}, OURS)
    assert (leg.dialin, leg.wanted) == ("barge", "1001")
    assert (leg_of(DUMP, OURS).dialin, leg_of(DUMP, OURS).wanted) == (None, "")


def test_a_parked_leg_is_ours_by_role_and_lease() -> None:
    mark = {"Unique-ID": "a", "variable_ccw_role": "coach", "variable_ccw_lease": OURS}
    assert list(facts("n", Event({"Event-Name": "CHANNEL_PARK", **mark}, ""), OURS)) == [ev.Parked("n", "a", ours=True)]
    other = {**mark, "variable_ccw_lease": "another"}
    assert list(facts("n", Event({"Event-Name": "CHANNEL_PARK", **other}, ""), OURS)) == [ev.Parked("n", "a")]


def test_only_an_eavesdrop_counts_among_media_bugs() -> None:
    assert said("MEDIA_BUG_START", Unique_ID="a", Media_Bug_Function="eavesdrop") == [ev.EavesdropStarted("n", "a")]
    assert said("MEDIA_BUG_STOP", Unique_ID="a", Media_Bug_Function="eavesdrop") == [ev.EavesdropStopped("n", "a")]
    for name in ("MEDIA_BUG_START", "MEDIA_BUG_STOP"):
        assert said(name, Unique_ID="a", Media_Bug_Function="displace") == []


@pytest.mark.parametrize(
    ("rate", "found"), [("16000", [ev.RateChanged("n", "a", 16000, renewed=True)]), ("", []), ("-1", [])]
)
def test_a_codec_event_tells_the_new_rate(rate: str, found: list[ev.RateChanged]) -> None:
    event = Event({"Event-Name": "CODEC", "Unique-ID": "a", "Channel-Write-Codec-Rate": rate}, "")
    assert list(facts("n", event, OURS)) == found


def test_the_rate_is_the_phones_and_not_that_of_what_an_eavesdrop_reads() -> None:
    """As recorded from FreeSWITCH: a coach on PCMU attaches to an agent on G.722."""
    codecs = {
        "Channel-Read-Codec-Name": "L16",
        "Channel-Read-Codec-Rate": "16000",
        "Channel-Write-Codec-Name": "PCMU",
        "Channel-Write-Codec-Rate": "8000",
    }
    raw = {"channel-read-codec-name": "L16", "channel-read-codec-rate": "16000"}
    event = Event({"Event-Name": "CODEC", "Unique-ID": "a", **codecs, **raw}, "")
    assert list(facts("n", event, OURS)) == [ev.RateChanged("n", "a", 8000)]
    leg = leg_of({**DUMP, **codecs}, OURS)
    assert (leg.codec, leg.rate) == ("PCMU", 8000)


@pytest.mark.parametrize("name", [name for name in EVENTS if name != "BACKGROUND_JOB"])
def test_what_a_client_sent_says_nothing(name: str) -> None:
    whole = {
        "Event-Name": name,
        "Unique-ID": "a",
        "Bridge-A-Unique-ID": "a",
        "Bridge-B-Unique-ID": "b",
        "Media-Bug-Function": "eavesdrop",
        "Channel-Write-Codec-Rate": "16000",
        "to": "coach-1001@dom",
        "Record-File-Path": f"/srv/raw/{track_file(str(UUID(int=1)), 's1')}",
    }
    assert list(facts("n", Event(whole, ""), OURS))
    assert not list(facts("n", Event({**whole, "Command": f"sendevent {name}"}, ""), OURS))


CALLER = {"CC_Queue": "help", "CC_Member_UUID": "m1", "CC_Member_Session_UUID": "c1", "CC_Member_CID_Name": "Eve|x",
          "CC_Member_CID_Number": "+1"}  # fmt: skip


def centre(action: str, **headers: str) -> list[Any]:
    at = {"Event_Subclass": "callcenter::info", "Event_Date_Timestamp": "1795249327528231"}
    return said("CUSTOM", CC_Action=action, **at, **headers)


def test_events_of_the_call_centre_become_facts() -> None:
    """Headers as a FreeSWITCH raises them; whole seconds, as it writes them into its lists."""
    status, state = ("agent-status-change", "CC_Agent_Status"), ("agent-state-change", "CC_Agent_State")
    for (action, header), word, fact in (
        (status, "On Break", ev.AgentReported("n", "ana", 1795249327, status=Status.ON_BREAK)),
        (status, "Available (On Demand)", ev.AgentReported("n", "ana", 1795249327, status=Status.ON_DEMAND)),
        (status, "Unknown", ev.AgentReported("n", "ana", 1795249327)),
        (state, "In a queue call", ev.AgentReported("n", "ana", 1795249327, doing=Doing.IN_CALL)),
    ):
        assert centre(action, CC_Agent="ana", **{header: word}) == [fact]
    assert centre("member-queue-start", **CALLER) == [
        ev.CallerQueued(Member("m1", "n", "help", "c1", "Eve|x", "+1", 1795249327))
    ]
    assert centre("member-queue-resume", **CALLER) == centre("member-queue-start", **CALLER)
    assert centre("bridge-agent-start", CC_Agent="ana", **CALLER) == [ev.CallerAnswered("n", "m1", answered=True)]
    assert centre("bridge-agent-end", CC_Agent_Bridged="false", **CALLER) == [
        ev.CallerAnswered("n", "m1", answered=False)
    ]
    assert centre("bridge-agent-end", CC_Agent_Bridged="true", **CALLER) == []
    assert centre("member-queue-end", **CALLER) == [ev.CallerLeft("n", "m1")]


ACTIONS = ("agent-status-change", "agent-state-change", "member-queue-start", "bridge-agent-start", "bridge-agent-end",
           "member-queue-end", "members-count")  # fmt: skip


@pytest.mark.parametrize("action", ACTIONS)
def test_an_event_of_the_call_centre_that_says_nothing(action: str) -> None:
    assert centre(action) == []
    whole = {"Event-Name": "CUSTOM", "Event-Subclass": "callcenter::info", "CC-Action": action, "CC-Agent": "ana",
             **{key.replace("_", "-"): value for key, value in CALLER.items()}}  # fmt: skip
    assert not list(facts("n", Event({**whole, "Command": "sendevent CUSTOM"}, ""), OURS)), "a client's own"


def test_what_names_no_leg_says_nothing() -> None:
    assert said("CHANNEL_HANGUP") == []
    assert said("CHANNEL_BRIDGE", Unique_ID="a") == []
    assert said("HEARTBEAT", Unique_ID="a") == []


DUMP = {
    "Unique-ID": "a",
    "Call-Direction": "inbound",
    "Answer-State": "answered",
    "Caller-Channel-Created-Time": "1500000",
    "Caller-Caller-ID-Name": "Bob",
    "Caller-Caller-ID-Number": "+100",
}


def test_a_digest_counts_only_when_it_was_right() -> None:
    claimed = {**DUMP, "variable_sip_auth_username": "1001", "variable_sip_auth_realm": "dom"}
    assert leg_of(claimed, OURS).auth_user is None
    assert leg_of({**claimed, "variable_sip_authorized": "true"}, OURS).auth_user == "1001@dom"
    assert leg_of({**DUMP, "variable_sip_authorized": "true"}, OURS).auth_user is None


def test_a_digest_is_of_the_domain_whose_password_it_was_and_not_of_the_realm_that_a_phone_writes() -> None:
    proved = {**DUMP, "variable_sip_authorized": "true", "variable_sip_auth_username": "1001",
              "variable_sip_auth_realm": "another.example", "variable_domain_name": "dom"}  # fmt: skip
    assert leg_of(proved, OURS).auth_user == "1001@dom"


def test_the_call_centres_mark_counts_on_the_agents_side_only() -> None:
    mark = {**DUMP, "variable_cc_agent": "1001@dom", "variable_cc_queue": "vip"}
    caller = leg_of({**mark, "variable_cc_side": "member"}, OURS)
    assert (caller.cc_agent, caller.cc_queue, caller.through) == (None, None, "vip")
    leg = leg_of({**mark, "variable_cc_side": "agent"}, OURS)
    assert (leg.cc_agent, leg.cc_queue, leg.through) == ("1001@dom", "vip", None)


def test_a_jitter_buffer_counts_when_it_also_works_during_a_bridge() -> None:
    assert not leg_of({**DUMP, "variable_jitterbuffer_msec": "40"}, OURS).buffered
    assert leg_of(
        {**DUMP, "variable_jitterbuffer_msec": "40:200", "variable_rtp_jitter_buffer_during_bridge": "true"}, OURS
    ).buffered


def test_a_caller_keeps_his_name_after_an_attended_transfer() -> None:
    """As recorded from FreeSWITCH after uuid_bridge."""
    moved = {
        **DUMP,
        "Caller-Caller-ID-Name": "Outbound Call",
        "Caller-Caller-ID-Number": "1001",
        "Caller-Orig-Caller-ID-Name": "Bob",
        "Caller-Orig-Caller-ID-Number": "+100",
        "Caller-Transfer-Source": "1795243689:f2abafc6:uuid_br:2f27e1b5-9a80-4604-8f41-f55a3af5019e",
    }
    leg = leg_of(moved, OURS)
    assert (leg.caller_name, leg.caller_number) == ("Bob", "+100")
    assert leg_of({**moved, "Caller-Transfer-Source": ""}, OURS).caller_number == "1001"


def test_a_name_of_four_kilobytes_is_cut() -> None:
    assert len(leg_of({**DUMP, "Caller-Caller-ID-Name": "x" * 4096}, OURS).caller_name) == 256


def test_bypassed_media_are_seen() -> None:
    assert leg_of(DUMP, OURS).media_in_switch
    assert not leg_of({**DUMP, "variable_bypass_media": "true"}, OURS).media_in_switch


def test_a_coachs_leg_brings_its_record_back() -> None:
    written = {f"variable_{name}": value for name, value in records.variables(RECORD).items() if value is not None}
    dump = {**DUMP, **written, "variable_ccw_role": "coach", "variable_ccw_lease": OURS}
    leg = leg_of(dump, OURS)
    assert leg.coach == RECORD
    assert leg.is_coach
    foreign = leg_of(dump, "another")
    assert foreign.coach is None
    assert not foreign.is_coach


@pytest.mark.parametrize("text", ["", "e30", "W10", "%%%", records.dump(RECORD)[:-9], "eyJzZXNzaW9uIjogMX0"])
def test_what_is_no_record_is_none(text: str) -> None:
    assert records.load(text) is None


@pytest.mark.parametrize(
    ("stamp", "at"),
    [("1786702531123456", 1786702531.123456), ("", None), ("0", None), ("soon", None), ("9" * 30, None)],
)
def test_when_an_event_was_raised(stamp: str, at: float | None) -> None:
    assert raised_at(Event({"Event-Date-Timestamp": stamp})) == at
    assert raised_at(Event({})) is None


def test_a_coach_who_has_taken_a_call_over_says_so_on_his_leg() -> None:
    party = Party("carla", 'Carla "C"', frozenset({"sales", "vip"}))
    word = str(records.taken_over(party, OURS)["ccw_party"])
    assert leg_of({**DUMP, "variable_ccw_party": word}, OURS).party == party
    assert leg_of({**DUMP, "variable_ccw_party": word}, "another installation").party is None
    for nonsense in ("", "x", "e30", word[:-9], records._word({"installation": OURS}), records._word([])):
        assert records.load_party(nonsense, OURS) is None
