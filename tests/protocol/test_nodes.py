"""Effects as commands, refusals as facts: a node of the engine's port, on a real socket."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import gevent
import pytest
from gevent.event import Event as Signal
from gevent.queue import Queue

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.centre import Doing, Member, Presence, Status
from ccwhisper.coaching.model import CoachRecord, Follow, Lamp, Party
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import Tone
from ccwhisper.switch import node as module
from ccwhisper.switch import records
from ccwhisper.switch.link import Backoff
from ccwhisper.switch.node import NodeAddress, SwitchNode, SwitchSettings
from ccwhisper.switch.nodes import Nodes

from .conftest import DEADLINE, PASSWORD, Switch, api_response, command_reply, json_event, obliging

pytestmark = pytest.mark.protocol

OURS = "installation-of-this-test"
PARTY = Party("carla", "Carla", frozenset({"sales"}))
GROUP = f"ccw-{OURS}"
REFUSED = api_response(b"-ERR No such channel!\n")
LONG = Tone(parts=((60_000, 0, (1400,)),))
SHORT = Tone(parts=((1, 0, (1400,)),))


def record(gate: Gate = Gate.CLOSED, mode: Mode = Mode.LISTEN) -> CoachRecord:
    return CoachRecord("s1", "carla", "Carla", "9001@dom", "ana", "a1", "call", "c1", mode, mode, Talk.OPEN, False,
                       Follow.CALL, gate, 1.5, frozenset(), frozenset(), frozenset())  # fmt: skip


def rows(*found: dict[str, Any]) -> bytes:
    return api_response(json.dumps({"row_count": len(found), "rows": found} if found else {"row_count": 0}).encode())


def pair(a: str, b: str) -> dict[str, str]:
    return {"uuid": a, "b_uuid": b}


def coach_leg(name: str) -> dict[str, str]:
    written = {f"variable_{key}": str(value) for key, value in records.variables(record()).items()}
    return {"Unique-ID": name, "variable_ccw_role": "coach", "variable_ccw_lease": OURS, **written}


class Bench:
    """A node, what it said to the switch after it had read it, and the facts it posted."""

    def __init__(self, switch: Switch) -> None:
        self.switch = switch
        switch.answer = self.answer
        self.node = SwitchNode(NodeAddress("n", "127.0.0.1", switch.port, PASSWORD), SwitchSettings(OURS))
        self.node.link._backoff = Backoff(first=0.01, cap=0.05)
        self.facts: Queue[ev.Fact] = Queue()
        self.said: list[str] = []
        self.told: list[str] = []  # the same, and nothing is forgotten
        self.legs: dict[str, dict[str, str]] = {}
        self.listed: list[str] | None = None
        self.bridged: list[dict[str, str]] = []
        self.tasks: list[dict[str, str]] = []
        self.task = 10
        self.replies: dict[str, bytes | None] = {}  # for commands that begin so; None keeps silent
        self.fences = 0

    def up(self) -> ev.NodeSynced:
        """Connected and read; what was said until then is forgotten."""
        self.node.start(self.facts.put)
        return self.synced()

    def synced(self) -> ev.NodeSynced:
        self.commands, self.events = self.switch.next_peer(), self.switch.next_peer()
        fact = self.next()
        assert isinstance(fact, ev.NodeSynced)
        self.reading, self.said = self.said, []
        return fact

    def answer(self, command: str) -> bytes | None:
        if command.startswith("event json"):
            return command_reply("+OK")
        self.said.append(command)
        self.told.append(command)
        for start, reply in self.replies.items():
            if command.startswith(start):
                return reply
        verb = command.split(" ")
        match verb[:2]:
            case ["api", "show"] if verb[2] == "bridged_calls":
                return rows(*self.bridged)
            case ["api", "show"] if verb[2] == "channels":
                return rows(*({"uuid": name} for name in (self.legs if self.listed is None else self.listed)))
            case ["api", "show"]:
                return rows(*self.tasks)
            case ["api", "uuid_dump"]:
                leg = self.legs.get(verb[2])
                return api_response(json.dumps(leg).encode()) if leg else REFUSED
            case ["api", "sched_api"]:
                self.task += 1
                return api_response(b"+OK Added: %d\n" % self.task)
        return obliging(command)

    def next(self) -> ev.Fact:
        return self.facts.get(timeout=DEADLINE)

    def do(self, *effects: fx.SwitchEffect) -> list[str]:
        """Perform effects; what was said on their account, once all of it has been."""
        for effect in effects:
            self.node.perform(effect)
        self.fence()
        said, self.said = self.said, []
        return [line for line in said if "fence" not in line]

    def fence(self) -> None:
        self.fences += 1
        name = f"fence{self.fences}"
        self.node.perform(fx.Inspect("n", -self.fences, name, name))
        self.kept: list[ev.Fact] = []
        while True:
            fact = self.next()
            if isinstance(fact, ev.Inspected) and fact.a == name:
                return
            self.kept.append(fact)

    def event(self, name: str, **headers: str) -> None:
        whole = {"Event-Name": name, **{key.replace("_", "-"): value for key, value in headers.items()}}
        body = whole.pop("body", None)
        self.events.send(json_event(whole, body.encode() if body else None))


@pytest.fixture
def bench(switch: Switch) -> Iterator[Bench]:
    bench = Bench(switch)
    yield bench
    bench.node.stop()


def setvar(leg: str, what: CoachRecord) -> str:
    return f"api uuid_setvar_multi {leg} ccw_session={records.dump(what)};ccw_gate={what.gate.value}"


def gate(leg: str, digit: int) -> str:
    return f"sendevent NOTIFY\nunique-id: {leg}\neavesdrop-command: {digit}"


def news(what: CoachRecord) -> str:
    return (
        "sendevent CUSTOM\nEvent-Subclass: ccwhisper::session\nCCW-Leg: k1\nCCW-Session: s1\n"
        f"CCW-Mode: {what.mode.value}\nCCW-Gate: {what.gate.value}\nCCW-Target: a1"
    )


# --- reading a node --------------------------------------------------------------------------------------------------


def test_a_node_is_read_whole(bench: Bench) -> None:
    bench.legs = {"a1": {"Unique-ID": "a1"}, "c1": {"Unique-ID": "c1", "variable_signal_bond": "old"},
                  "a2": {"Unique-ID": "a2"}, "c2": {"Unique-ID": "c2", "variable_signal_bond": "a2"},
                  "k1": coach_leg("k1")}  # fmt: skip
    bench.listed = [*bench.legs, "gone"]
    bench.bridged = [pair("a1", "c1"), pair("c2", "a2"), {"uuid": "x", "b_uuid": ""}]
    fact = bench.up()
    assert {leg.id: leg.peer for leg in fact.legs} == {"a1": "c1", "c1": None, "a2": "c2", "c2": "a2", "k1": None}
    assert [leg.coach for leg in fact.legs if leg.is_coach] == [record()]
    # dead-men of a service that is no more are deleted, before anything is decided
    assert "api sched_del k1" in bench.reading
    assert not [line for line in bench.reading if line.startswith("api sched_del") and "k1" not in line]


def test_a_leg_whose_name_no_command_may_hold_does_not_keep_the_node_away(bench: Bench) -> None:
    """A profile with inbound-use-callid-as-uuid lets callers choose it."""
    bench.legs = {"a1": {"Unique-ID": "a1"}}
    bench.listed = ["a1", "x y\napi hupall"]
    assert [leg.id for leg in bench.up().legs] == ["a1"]


def test_an_empty_node(bench: Bench) -> None:
    assert bench.up() == ev.NodeSynced("n", ())


def listing(*rows: object, status: str = "success") -> bytes:
    return api_response(json.dumps({"status": status, "response": list(rows)}).encode())


def lists(agents: bytes, queues: bytes, tiers: bytes, members: bytes) -> dict[str, bytes | None]:
    said = 'api json {"command":"callcenter_config","data":{"arguments":"%s'
    return {said % "agent": agents, said % "queue": queues, said % "tier": tiers, said % "member": members}


def waiter(name: str, **row: str) -> dict[str, str]:
    whole = {"uuid": name, "session_uuid": f"leg-{name}", "queue": "help", "cid_name": name.title(), "cid_number": "+1",
             "joined_epoch": "100", "rejoined_epoch": "0", "state": "Waiting"}  # fmt: skip
    return {**whole, **row}


def test_the_call_centre_is_read(bench: Bench) -> None:
    """As a FreeSWITCH lists it: columns that are NULL are left out, numbers are strings."""
    ana = {"name": "ana", "status": "On Break", "state": "In a queue call", "last_status_change": "70",
           "last_offered_call": "80", "last_bridge_start": "90", "last_bridge_end": "0"}  # fmt: skip
    bench.replies = lists(
        listing(ana, {"name": "ben", "status": "Unknown", "last_status_change": "x"}, {"status": "Available"}),
        listing({"name": "help", "max_wait_time": 0}, {"name": "empty"}),
        listing({"queue": "help", "agent": "ana"}, {"queue": "unloaded", "agent": "ana"}),
        listing(waiter("eve|x"), waiter("bob", state="Trying", rejoined_epoch="120"),
                waiter("joe", state="Answered"), waiter("sue", state="Abandoned"), waiter("")),
    )  # fmt: skip
    roster = bench.up().roster
    assert roster.agents == (
        Presence("n", "ana", Status.ON_BREAK, Doing.IN_CALL, 90),
        Presence("n", "ben", None, None, 0),
    )
    assert roster.queues == (("help", frozenset({"ana"})), ("empty", frozenset()))
    assert roster.members == (
        Member("eve|x", "n", "help", "leg-eve|x", "Eve|X", "+1", 100),
        Member("bob", "n", "help", "leg-bob", "Bob", "+1", 120),
        Member("joe", "n", "help", "leg-joe", "Joe", "+1", 100, answered=True),
    )


@pytest.mark.parametrize(
    "said",
    [
        api_response(b"-ERR json Command not found!\n"),
        listing(status="error"),
        api_response(b'{"status":"success","response":null}'),
        api_response(b'{"status":"success","response":["row"]}'),
        api_response(b"[]"),
        api_response(b"name|status\n"),
    ],
)
def test_a_node_without_a_call_centre_is_coached_all_the_same(bench: Bench, said: bytes) -> None:
    bench.replies = lists(said, said, said, said)
    assert bench.up() == ev.NodeSynced("n", ())


def test_a_call_centre_that_is_lost_while_it_is_read_is_read_again(bench: Bench) -> None:
    def gone(command: str) -> bytes | None:
        if command.startswith("api json"):
            bench.switch.answer = bench.answer
            bench.switch.next_peer().close()
            return None
        return bench.answer(command)

    bench.switch.answer = gone
    bench.node.start(bench.facts.put)
    assert isinstance(bench.next(), ev.NodeLost)


def test_bridges_are_compared_once_more(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `show` answers is half a second old. Legs that have raised events since are left to those."""
    monkeypatch.setattr(module, "SECOND_LOOK", 0.05)
    bench.bridged = [pair("a1", "c1"), pair("a2", "c2")]
    bench.up()
    bench.event("CHANNEL_BRIDGE", Unique_ID="a2", Bridge_A_Unique_ID="a2", Bridge_B_Unique_ID="c5")
    assert bench.next() == ev.Bridged("n", "a2", "c5")
    bench.bridged = [pair("a3", "c3"), pair("c5", "x")]
    assert [bench.next(), bench.next()] == [ev.Unbridged("n", "a1", "c1"), ev.Bridged("n", "a3", "c3")]
    bench.fence()
    assert bench.kept == []


def test_what_has_moved_is_forgotten_after_the_second_look(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECOND_LOOK", 0.0)
    bench.bridged = [pair("a1", "c1")]
    bench.up()
    bench.bridged = []
    assert bench.next() == ev.Unbridged("n", "a1", "c1")
    for number in range(3):
        bench.event("CHANNEL_UNBRIDGE", Unique_ID=f"a{number}", Bridge_B_Unique_ID="c")
        bench.next()
    assert not bench.node._moved


def test_a_second_look_of_a_life_before_says_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECOND_LOOK", 0.2)
    bench.bridged = [pair("a1", "c1")]
    bench.up()
    monkeypatch.setattr(module, "SECOND_LOOK", 60.0)
    bench.commands.close()
    assert isinstance(bench.next(), ev.NodeLost)
    bench.bridged = []
    bench.synced()
    looked = gevent.spawn_later(0.3, lambda: None)
    looked.join(DEADLINE)
    bench.fence()
    assert bench.kept == []
    assert "api show bridged_calls as json" not in bench.said


# --- effects ---------------------------------------------------------------------------------------------------------


def test_opening_writes_before_it_opens(bench: Bench) -> None:
    bench.up()
    for opened, digit in ((Gate.AGENT, 2), (Gate.EVERYONE, 3)):
        carried = record(opened, Mode.WHISPER)
        said = bench.do(fx.TellGate("n", "s1", "k1", opened, carried))
        assert said == [setvar("k1", carried), gate("k1", digit), news(carried)]
        assert bench.kept == [ev.GateTold("s1", opened)]


def test_closing_closes_before_it_writes(bench: Bench) -> None:
    bench.up()
    said = bench.do(fx.TellGate("n", "s1", "k1", Gate.CLOSED, record()))
    assert said == [gate("k1", 0), setvar("k1", record()), news(record())]
    assert bench.kept == [ev.GateTold("s1", Gate.CLOSED)]


def test_the_gate_of_a_coach_without_a_target_is_closed(bench: Bench) -> None:
    """The agent's leg has gone. A command that was on its way meanwhile would be obeyed by the next eavesdrop."""
    bench.up()
    carried = replace(record(), target=None)
    said = bench.do(fx.TellGate("n", "s1", "k1", Gate.CLOSED, carried))
    assert said == [gate("k1", 0), setvar("k1", carried), news(carried).removesuffix("\nCCW-Target: a1")]
    assert bench.kept == [ev.GateTold("s1", Gate.CLOSED)]


def test_small_effects(bench: Bench) -> None:
    bench.up()
    carried = record(Gate.AGENT)
    assert bench.do(fx.RefreshGate("n", "k1", Gate.AGENT)) == [gate("k1", 2)]
    assert bench.do(fx.Remember("n", "k1", carried)) == [setvar("k1", carried)]
    assert bench.do(fx.HangUp("n", "k1")) == ["api uuid_kill k1 NORMAL_CLEARING"]
    assert bench.do(fx.Attach("n", "s1", "k1", "a1", carried)) == [
        setvar("k1", carried), "api uuid_transfer k1 'eavesdrop:a1,park' inline",
    ]  # fmt: skip
    assert bench.do(fx.EnableJitterBuffer("n", "a1", "s1")) == [
        "api uuid_setvar a1 rtp_jitter_buffer_during_bridge true",
        "api uuid_jitterbuffer a1 40",
        "api uuid_jitterbuffer a1 resume",
    ]
    assert bench.kept == []


def test_a_lamp_is_shown_and_one_of_no_user_is_not(bench: Bench) -> None:
    bench.up()
    shown = [fx.ShowLamp("n", f"{number}@dom", Lamp.IDLE) for number in range(1000, 1120)]
    bench.do(*shown, fx.ShowLamp("n", "no user", Lamp.IDLE), fx.ShowLamp("n", "1001@dom", Lamp.COACHED))
    while bench.node._lamps._due:
        gevent.sleep(0.01)
    bench.fence()
    told = [line.split("\n") for line in bench.told if line.startswith("sendevent PRESENCE_IN")]
    assert {lines[3] for lines in told} == {f"from: coach-{each.user}" for each in shown}
    last = [lines for lines in told if "from: coach-1001@dom" in lines][-1]
    assert "answer-state: early" in last
    bench.event("PRESENCE_PROBE", to="coach-1001@dom")
    assert bench.next() == ev.LampProbed("n", "1001@dom")


def test_two_legs_are_read_in_one_go(bench: Bench) -> None:
    bench.legs = {"a1": {"Unique-ID": "a1"}, "c1": {"Unique-ID": "c1", "Call-Direction": "outbound"}}
    bench.listed = []
    bench.up()
    assert bench.do(fx.Inspect("n", 7, "a1", "c1")) == ["api uuid_dump a1 json", "api uuid_dump c1 json"]
    (fact,) = bench.kept
    assert isinstance(fact, ev.Inspected)
    assert (fact.token, fact.a, fact.b) == (7, "a1", "c1")
    first, second = fact.legs
    assert first
    assert second
    assert (first.peer, second.peer, second.outbound) == ("c1", "a1", True)
    bench.do(fx.Inspect("n", 8, "a1", "gone"))
    (fact,) = bench.kept
    assert isinstance(fact, ev.Inspected)
    assert fact.legs == (replace(first, peer="gone"), None)


KEYS = (
    "bind_digit_action:^^;ccw;~^[0-9*#]$;exec[i]:event;Event-Name=CUSTOM,Event-Subclass=ccwhisper::key"
    "|digit_action_set_realm:ccw"
)


def test_a_coach_is_rung_with_his_marks_and_nothing_of_a_key_can_get_through(bench: Bench) -> None:
    bench.up()
    dial = fx.Dial("n", "s1", "k1", "9001@dom", ("PCMU@8000h@20i", "PCMA@8000h@20i"), 30, "ana", "Ana", record())
    (said,) = bench.do(dial)
    line, job = said.split("\n")
    assert line.startswith("bgapi originate {origination_uuid=k1,")
    assert line.endswith(f"}}user/9001@dom 'm:|:{KEYS}|park' inline")
    for part in (
        "eavesdrop_enable_dtmf=false", "deny_refer_requests=true", "presence_privacy=true", "ignore_early_media=true",
        "originate_timeout=30", "ccw_role=coach",
        f"ccw_lease={OURS}", "ccw_gate=closed", f"ccw_session={records.dump(record())}",
        "absolute_codec_string=^^:PCMU@8000h@20i:PCMA@8000h@20i", "origination_caller_id_number=ana",
        "origination_caller_id_name='Coaching Ana'", "sip_h_Call-Info=<sip:ccwhisper.invalid>;answer-after=0",
    ):  # fmt: skip
        assert f",{part}" in line
    number = job.removeprefix("Job-UUID: ")
    bench.event("BACKGROUND_JOB", Job_UUID="of somebody else", body="-ERR USER_BUSY\n")
    bench.event("BACKGROUND_JOB", Job_UUID=number, body="-ERR USER_BUSY\n")
    assert bench.next() == ev.DialFailed("s1", "USER_BUSY")
    bench.event("BACKGROUND_JOB", Job_UUID=number, body="-ERR USER_BUSY\n")
    bench.event("CHANNEL_PROGRESS", Unique_ID="k1")
    assert bench.next() == ev.Ringing("n", "k1"), "a job ends once"


def test_a_phone_of_its_own_kind_is_asked_in_its_own_way(bench: Bench) -> None:
    bench.node._settings = replace(bench.node._settings, answer="none", answers={"9002@dom": "poly"})
    bench.up()
    for device, asked in (("9001@dom", False), ("9002@dom", True)):
        (said,) = bench.do(fx.Dial("n", "s1", "k1", device, ("PCMU@8000h@20i",), 30, "ana", "Ana", record()))
        assert ("sip_h_" in said) is asked
        assert (",sip_h_Alert-Info=<http://ccwhisper.invalid/auto-answer>}" in said) is asked


def test_a_coach_who_answers_is_no_failure(bench: Bench) -> None:
    bench.up()
    (said,) = bench.do(fx.Dial("n", "s1", "k1", "9001@dom", ("PCMU@8000h@20i",), 30, "ana", "Ana", record()))
    bench.event("BACKGROUND_JOB", Job_UUID=said.split("Job-UUID: ")[1], body="+OK k1\n")
    bench.event("CHANNEL_PROGRESS", Unique_ID="k1")
    assert bench.next() == ev.Ringing("n", "k1")
    assert bench.node._jobs == {}


def test_a_leg_that_has_dialled_in_is_read_and_admitted_or_declined(bench: Bench) -> None:
    bench.legs = {"k1": {"Unique-ID": "k1", "variable_ccw_dialin": "barge", "variable_ccw_wanted": "1001"}}
    bench.listed = []
    bench.up()
    assert bench.do(fx.ReadDialIn("n", "k1")) == ["api uuid_dump k1 json"]
    (fact,) = bench.kept
    assert isinstance(fact, ev.DialInRead)
    assert (fact.leg.id, fact.leg.dialin, fact.leg.wanted) == ("k1", "barge", "1001")
    bench.do(fx.ReadDialIn("n", "gone"))
    assert bench.kept == [], "who has hung up needs no answer"
    marks, moved = bench.do(fx.Admit("n", "s1", "k1", "barge", record()))
    assert set(marks.removeprefix("api uuid_setvar_multi k1 ").split(";")) == {
        "ccw_role=coach", f"ccw_lease={OURS}", "ccw_dialin=", "ccw_wanted=", "eavesdrop_enable_dtmf=false",
        "deny_refer_requests=true", "presence_privacy=true",
        f"ccw_session={records.dump(record())}", f"ccw_gate={record().gate.value}",
    }  # fmt: skip
    assert moved == f"api uuid_transfer k1 'm:|:{KEYS}|playback:${{ccw_sounds}}/barge.wav|park' inline"
    assert bench.do(fx.Admit("n", "s1", "k1", None, record()))[1] == f"api uuid_transfer k1 'm:|:{KEYS}|park' inline"
    assert bench.do(fx.Decline("n", "k1", "not-permitted")) == [
        "api uuid_setvar k1 ccw_dialin",
        "api uuid_transfer k1 'm:|:playback:${ccw_sounds}/not-permitted.wav|hangup' inline",
    ]


def test_tones_for_a_coach_go_into_what_he_hears(bench: Bench) -> None:
    bench.up()
    tone = Tone(-19, ((80, 0, (740,)),))
    stream = "tone_stream://v=-19;%(80,0,740)"
    assert bench.do(fx.Sound("n", "k1", tone, True)) == [f"api uuid_displace k1 start {stream} 0 mux"]
    assert bench.do(fx.Sound("n", "k1", tone, False)) == [f"api uuid_broadcast k1 {stream} aleg"]
    assert bench.do(fx.Park("n", "s1", "k1")) == ["api uuid_park k1"]


def test_a_take_over_takes_every_mark_off_before_it_bridges(bench: Bench) -> None:
    bench.up()
    marks, bridge = bench.do(fx.ConnectCaller("n", "s1", "k1", "c1", PARTY))
    verb, leg, values = marks.removeprefix("api ").split(" ", 2)
    assert (verb, leg) == ("uuid_setvar_multi", "k1")
    assert set(values.split(";")) == {
        "ccw_lease=", "ccw_role=", "ccw_session=", "ccw_gate=", "deny_refer_requests=", "presence_privacy=",
        "hangup_after_bridge=true",
        "execute_on_pre_bridge=clear_digit_action all",
        f"ccw_party={records.taken_over(PARTY, OURS)['ccw_party']}",
    }  # fmt: skip
    assert bridge == "api uuid_bridge k1 c1"


# --- beeps -----------------------------------------------------------------------------------------------------------


def test_a_beep_is_mixed_and_there_is_one_at_a_time_on_a_leg(bench: Bench) -> None:
    bench.up()
    beep = fx.Beep("n", "s1", "a1", LONG)
    said = bench.do(beep, fx.Beep("n", "s2", "a1", LONG), fx.Beep("n", "s3", "a2", LONG))
    tone = "tone_stream://v=-13;%(60000,0,1400) 0 mux"
    assert said == [f"api uuid_displace a1 start {tone}", f"api uuid_displace a2 start {tone}"]
    assert bench.kept == []


def test_a_beep_that_is_over_may_come_again(bench: Bench) -> None:
    bench.up()
    beep = fx.Beep("n", "s1", "a1", SHORT)
    assert len(bench.do(beep)) == 1
    over = time.monotonic() + 0.001
    while time.monotonic() <= over:
        gevent.sleep(0)
    assert len(bench.do(beep)) == 1


def test_a_beep_that_is_refused_is_said_and_does_not_count_as_one(bench: Bench) -> None:
    bench.up()
    bench.replies["api uuid_displace"] = REFUSED
    bench.do(fx.Beep("n", "s1", "a1", LONG))
    assert bench.kept == [ev.BeepFailed("s1", "the switch refused uuid_displace a1")]
    bench.replies.clear()
    assert len(bench.do(fx.Beep("n", "s2", "a1", LONG))) == 1


# --- dead-men and leases ---------------------------------------------------------------------------------------------


def test_the_next_dead_man_stands_before_the_last_one_goes(bench: Bench) -> None:
    bench.up()
    arm = fx.ArmDeadman("n", "k1", "a1", 3)
    add = "api sched_api +3 k1 uuid_transfer k1 'eavesdrop:a1,park' inline"
    assert bench.do(arm) == [add]
    assert bench.do(arm) == [add, "api sched_del 11"]
    assert bench.do(fx.DisarmDeadman("n", "k1"), fx.DisarmDeadman("n", "k1")) == ["api sched_del 12"]
    assert bench.node._deadmen == {}


def test_the_next_lease_stands_before_the_last_ones_go(bench: Bench) -> None:
    """None that is newer than ours is deleted, for it is that of another service of this installation."""
    bench.up()
    tasks = [("9", GROUP), ("10", GROUP), ("11", GROUP), ("12", GROUP), ("8", "of-others"), ("", GROUP)]
    bench.tasks = [{"task_id": number, "task_group": group} for number, group in tasks]
    assert bench.do(fx.RenewLease("n")) == [
        f"api sched_api +15 {GROUP} hupall NORMAL_CLEARING ccw_lease {OURS}",
        "api show tasks as json",
        "api sched_del 9",
        "api sched_del 10",
    ]


# --- refusals --------------------------------------------------------------------------------------------------------

REFUSALS: list[tuple[fx.SwitchEffect, str, list[ev.Fact]]] = [
    (fx.Attach("n", "s1", "k1", "a1", record()), "api uuid_transfer",
     [ev.CommandFailed("s1", "attach", "the switch refused attach k1 a1")]),
    (fx.TellGate("n", "s1", "k1", Gate.AGENT, record(Gate.AGENT)), "api uuid_setvar_multi",
     [ev.CommandFailed("s1", "gate", "the switch refused uuid_setvar_multi k1")]),
    (fx.TellGate("n", "s1", "k1", Gate.CLOSED, record()), "api uuid_setvar_multi", []),
    (fx.ConnectCaller("n", "s1", "k1", "c1", PARTY), "api uuid_bridge",
     [ev.CommandFailed("s1", "take_over", "the switch refused uuid_bridge k1 c1")]),
    (fx.HangUp("n", "k1"), "api uuid_kill", [ev.HungUp("n", "k1", "")]),
    (fx.ArmDeadman("n", "k1", "a1", 3), "api sched_api", [ev.EavesdropStarted("n", "a1")]),
    (fx.Remember("n", "k1", record()), "api uuid_setvar_multi", []),
    (fx.RenewLease("n"), "api sched_api", []),
    (fx.EnableJitterBuffer("n", "a1", "s1"), "api uuid_jitterbuffer", []),
]  # fmt: skip


@pytest.mark.parametrize(("effect", "start", "facts"), REFUSALS, ids=lambda one: getattr(type(one), "__name__", ""))
def test_refusals_become_facts(bench, effect, start, facts) -> None:  # type: ignore[no-untyped-def]
    bench.up()
    bench.replies[start] = REFUSED
    bench.do(effect)
    assert bench.kept == facts
    assert bench.node.link.up, "the connection is fine"


def test_a_dial_that_is_refused_at_once(bench: Bench) -> None:
    bench.up()
    bench.replies["bgapi"] = command_reply("-ERR command not found")
    dial = fx.Dial("n", "s1", "k1", "9001@dom", ("PCMU@8000h@20i",), 30, "ana", "Ana", record())
    bench.do(dial)
    assert bench.kept == [ev.DialFailed("s1", "the switch refused bgapi originate")]
    assert bench.node._jobs == {}


def test_what_cannot_be_said_safely_is_not_said(bench: Bench) -> None:
    bench.up()
    dial = fx.Dial("n", "s1", "k1", "9001@dom} &system(id)", ("PCMU@8000h@20i",), 30, "ana", "Ana", record())
    assert bench.do(dial, fx.Attach("n", "s2", "k1", "all", record())) == []
    assert [type(fact) for fact in bench.kept] == [ev.DialFailed, ev.CommandFailed]


def test_an_effect_that_is_a_defect_does_not_end_the_node(bench: Bench, caplog: Any) -> None:
    bench.up()
    bench.replies["api sched_api"] = api_response(b"+OK without a number")
    assert len(bench.do(fx.ArmDeadman("n", "k1", "a1", 3))) == 1
    assert "an effect failed" in caplog.text
    assert bench.do(fx.HangUp("n", "k1")) == ["api uuid_kill k1 NORMAL_CLEARING"]


# --- a connection that is lost ---------------------------------------------------------------------------------------


def test_effects_for_a_connection_that_is_gone_are_thrown_away(bench: Bench) -> None:
    bench.up()
    heard = Signal()

    def hang(command: str) -> bytes | None:
        if "uuid_kill stuck" in command:
            heard.set()
            return None
        return bench.answer(command)

    bench.switch.answer = hang
    bench.node.perform(fx.HangUp("n", "stuck"))
    bench.node.perform(fx.TellGate("n", "s1", "k1", Gate.EVERYONE, record(Gate.EVERYONE)))
    assert heard.wait(DEADLINE)
    bench.commands.close()
    assert isinstance(bench.next(), ev.NodeLost)
    bench.node.perform(fx.TellGate("n", "s1", "k1", Gate.AGENT, record(Gate.AGENT)))  # nobody is there
    bench.synced()
    assert bench.do(fx.HangUp("n", "k2")) == ["api uuid_kill k2 NORMAL_CLEARING"]
    assert bench.kept == []
    assert not [line for line in bench.reading if "eavesdrop-command" in line]


def test_dead_men_and_jobs_of_the_life_before_are_forgotten(bench: Bench) -> None:
    bench.up()
    (said,) = bench.do(fx.Dial("n", "s1", "k1", "9001@dom", ("PCMU@8000h@20i",), 30, "ana", "Ana", record()))
    bench.do(fx.ArmDeadman("n", "k1", "a1", 3))
    bench.events.close()
    assert isinstance(bench.next(), ev.NodeLost)
    bench.synced()
    assert bench.do(fx.DisarmDeadman("n", "k1")) == []
    bench.event("BACKGROUND_JOB", Job_UUID=said.split("Job-UUID: ")[1], body="-ERR USER_BUSY\n")
    bench.fence()
    assert bench.kept == []


def test_a_gate_whose_closing_is_not_certain_is_not_taken_for_closed(bench: Bench) -> None:
    """No reply: the connection is given up, and everything read anew."""
    bench.node.link._command_timeout = 0.05
    bench.up()
    bench.replies |= {"sendevent": None, "api uuid_setvar_multi": None}
    bench.node.perform(fx.TellGate("n", "s1", "k1", Gate.CLOSED, record()))
    lost = bench.next()
    assert isinstance(lost, ev.NodeLost)
    assert "gate 0 k1" in lost.reason
    bench.replies.clear()
    bench.synced()


# --- several ---------------------------------------------------------------------------------------------------------


def test_each_node_gets_its_own_effects(switch: Switch) -> None:
    other = Switch()
    said: dict[str, Queue[str]] = {"one": Queue(), "two": Queue()}

    def answers(name: str) -> Callable[[str], bytes | None]:
        def answer(command: str) -> bytes | None:
            if command.startswith("api show"):
                return rows()
            if command.startswith("api uuid_kill"):
                said[name].put(command)
            return obliging(command)

        return answer

    switch.answer, other.answer = answers("one"), answers("two")
    addresses = [NodeAddress(name, "127.0.0.1", each.port, PASSWORD) for name, each in
                 (("one", switch), ("two", other))]  # fmt: skip
    both = Nodes(addresses, SwitchSettings(OURS))
    facts: Queue[ev.Fact] = Queue()
    both.start(facts.put)
    assert {facts.get(timeout=DEADLINE), facts.get(timeout=DEADLINE)} == {
        ev.NodeSynced("one", ()), ev.NodeSynced("two", ()),
    }  # fmt: skip
    both.perform(fx.HangUp("two", "k2"))
    both.perform(fx.HangUp("one", "k1"))
    assert said["two"].get(timeout=DEADLINE) == "api uuid_kill k2 NORMAL_CLEARING"
    assert said["one"].get(timeout=DEADLINE) == "api uuid_kill k1 NORMAL_CLEARING"
    both.stop()
    other.close()
