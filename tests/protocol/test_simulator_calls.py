"""Calls on the simulator: who is bridged with whom, and which events say so in which order.

The orders are those of a recorded FreeSWITCH 1.11 on the example node, less the events that the simulator leaves out
(CHANNEL_STATE, CHANNEL_CALLSTATE, CHANNEL_EXECUTE_COMPLETE, CALL_UPDATE).
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from .simulated import DOMAIN, FIRST, SECOND, Simulated

pytestmark = pytest.mark.protocol


@pytest.fixture
def world() -> Simulated:
    return Simulated()


def test_a_call_from_outside(world: Simulated) -> None:
    caller, agent = world.call()
    assert world.story() == [
        ("CHANNEL_CREATE", FIRST),
        ("CHANNEL_EXECUTE", FIRST),
        ("CHANNEL_OUTGOING", "1001"),
        ("CHANNEL_CREATE", "1001"),
        ("CHANNEL_PROGRESS", "1001"),
        *[("CODEC", "1001")] * 2,
        ("CHANNEL_ANSWER", "1001"),
        *[("CODEC", FIRST)] * 2,
        ("CHANNEL_ANSWER", FIRST),
        ("CHANNEL_BRIDGE", FIRST),
    ]
    [bridge] = world.raised("CHANNEL_BRIDGE")
    assert (bridge["Bridge-A-Unique-ID"], bridge["Bridge-B-Unique-ID"]) == (caller, agent)
    dump = world.dump(agent)
    assert dump["Call-Direction"] == "outbound"
    assert dump["Caller-Username"] == FIRST, "a leg that is dialled has its caller's"
    assert dump["variable_dialed_user"] == "1001"
    assert dump["variable_signal_bond"] == caller
    assert world.dump(caller)["variable_dialed_user"] == "1001", "the leg that dials has it too"


@pytest.mark.parametrize("party", ["caller", "agent"])
def test_either_hangs_up(world: Simulated, party: str) -> None:
    caller, agent = world.call()
    world.forget()
    world.sim(f"hangup {caller if party == 'caller' else agent} NORMAL_CLEARING")
    assert world.story() == [("CHANNEL_HANGUP", FIRST if party == "caller" else "1001")]
    world.run(0.1)
    if party == "caller":
        assert world.story() == [
            ("CHANNEL_HANGUP", FIRST),
            ("CHANNEL_HANGUP", "1001"),
            ("CHANNEL_HANGUP_COMPLETE", "1001"),
            ("CHANNEL_UNBRIDGE", FIRST),
            ("CHANNEL_DESTROY", "1001"),
            ("CHANNEL_HANGUP_COMPLETE", FIRST),
            ("CHANNEL_DESTROY", FIRST),
        ]
    else:
        assert world.story()[:4] == [
            ("CHANNEL_HANGUP", "1001"),
            ("CHANNEL_HANGUP_COMPLETE", "1001"),
            ("CHANNEL_UNBRIDGE", FIRST),
            ("CHANNEL_HANGUP", FIRST),
        ]
        assert world.story("CHANNEL_DESTROY") == [("CHANNEL_DESTROY", "1001"), ("CHANNEL_DESTROY", FIRST)]
    assert world.legs() == {}


@pytest.mark.parametrize(
    ("behaviour", "cause"), [("busy", "USER_BUSY"), ("reject", "CALL_REJECTED"), ("away", "USER_NOT_REGISTERED")]
)
def test_a_phone_that_does_not_take_the_call(world: Simulated, behaviour: str, cause: str) -> None:
    world.sim(f"phone 1001 {behaviour}")
    world.sim(f"call 1001 {FIRST}")
    assert world.bgapi(f"originate user/1001@{DOMAIN} &park()") == f"-ERR {cause}\n"
    assert {event["Hangup-Cause"] for event in world.raised("CHANNEL_HANGUP")} == {cause}
    assert world.raised("CHANNEL_ANSWER") == []
    assert world.legs() == {}


def test_a_phone_that_only_rings(world: Simulated) -> None:
    world.sim("phone 1001 ring")
    assert world.bgapi(f"originate {{originate_timeout=5}}user/1001@{DOMAIN} &park()", 5.1) == "-ERR NO_ANSWER\n"
    ringing = world.sim(f"call 1001 {FIRST}")
    world.run(1)
    assert world.legs()["1001"]["state"] == "RINGING"
    world.sim(f"hangup {ringing['caller']}")
    world.run(0.1)
    assert [event["Hangup-Cause"] for event in world.raised("CHANNEL_HANGUP")][1:] == [
        "NORMAL_CLEARING",
        "ORIGINATOR_CANCEL",
    ]


def test_who_cannot_be_called(world: Simulated) -> None:
    assert world.bgapi(f"originate user/7777@{DOMAIN} &park()") == "-ERR SUBSCRIBER_ABSENT\n"
    assert world.bgapi("originate user/1001@elsewhere &park()", 0.1).startswith("-ERR SUBSCRIBER_ABSENT")


# the same as tests/scenarios/topology.py::test_hold_and_unhold
@pytest.mark.parametrize("how", ["phone", "command"])
def test_hold_and_unhold(world: Simulated, how: str) -> None:
    caller, agent = world.call()
    coach = world.coach(agent)
    world.gate(coach, "3")
    world.sim(f"hold {agent}") if how == "phone" else world.api(f"uuid_hold {agent}")
    assert (world.hears(caller), world.hears(agent), world.hears(coach)) == (set(), set(), set())
    world.sim(f"unhold {agent}") if how == "phone" else world.api(f"uuid_hold off {agent}")
    assert world.story() == [("CHANNEL_HOLD", "1001"), ("CHANNEL_UNHOLD", "1001")]
    assert world.hears(caller) == {"1001", "9001"}, "the gate is as it was"
    assert world.api("uuid_hold nobody") == "+OK Success\n"


# the same as tests/scenarios/topology.py::test_a_transfer_takes_the_coach_along_in_listen
@pytest.mark.parametrize("how", ["blind", "attended"])
def test_a_transfer_leaves_the_coach_behind(world: Simulated, how: str) -> None:
    """The caller goes on with somebody else; the coach's leg has lost its target, and parks or ends."""
    caller, agent = world.call()
    parks, ends = world.coach(agent), world.coach(agent, "9002", then="")
    world.forget()
    if how == "blind":
        world.sim(f"transfer {agent} 1002")
    else:
        consult = world.sim(f"consult {agent} 1002")
        world.run(0.1)
        assert world.hears(caller) == set()
        assert world.hears(consult["callee"]) == {"1001"}
        world.forget()
        world.sim(f"complete {agent} {consult['caller']}")
    world.run(0.2)
    legs = world.legs()
    assert set(legs) == {FIRST, "1002", "9001"}
    assert legs["1002"]["peer"] == caller
    assert legs["9001"]["application"] == "park"
    assert world.hears(caller) == {"1002"}
    assert world.hears(parks) == set()
    told = world.story("CHANNEL_BRIDGE", "CHANNEL_UNBRIDGE", "MEDIA_BUG_STOP", "CHANNEL_PARK")
    assert [each for each in told if each[1] in (FIRST, "9001")][-3:] == (
        [("CHANNEL_UNBRIDGE", FIRST), ("CHANNEL_PARK", "9001"), ("CHANNEL_BRIDGE", FIRST)]
    )
    stopped = [event["Unique-ID"] for event in world.raised("MEDIA_BUG_STOP")]
    assert stopped == [agent, agent]
    assert ends not in {leg["leg"] for leg in legs.values()}


def test_an_agent_calls_a_colleague_and_somebody_outside(world: Simulated) -> None:
    inside = world.sim("dial 1001 1002")
    world.run(0.2)
    assert world.hears(inside["caller"]) == {"1002"}
    dump = world.dump(inside["caller"])
    assert (dump["variable_sip_authorized"], dump["variable_sip_auth_username"]) == ("true", "1001")
    outside = world.sim(f"dial 1003 9{SECOND}")
    assert world.hears(outside["caller"]) == {SECOND}
    assert world.dump(outside["callee"])["Caller-Destination-Number"] == SECOND


def test_two_legs_are_joined_by_command(world: Simulated) -> None:
    """The parties that they had are hung up: what a take-over, and a barge at the next caller, are made of."""
    first, agent = world.call()
    second, _ = world.call("1002", SECOND)
    world.forget()
    assert world.api(f"uuid_bridge {agent} {second}") == f"+OK {second}\n"
    assert world.story("CHANNEL_BRIDGE") == [], "not in the same moment"
    world.run(0.1)
    assert world.story("CHANNEL_HANGUP", "CHANNEL_BRIDGE") == [
        ("CHANNEL_HANGUP", FIRST),
        ("CHANNEL_HANGUP", "1002"),
        ("CHANNEL_BRIDGE", "1001"),
    ]
    assert {party: leg["peer"] for party, leg in world.legs().items()} == {"1001": second, SECOND: agent}
    assert world.hears(agent) == {SECOND}
    assert world.api(f"uuid_bridge {agent} {first}") == "-ERR Invalid uuid\n"


# --- the queue --------------------------------------------------------------------------------------------------------


def told(world: Simulated) -> list[str]:
    """What the queue says, and when legs are joined."""
    return [event.get("CC-Action", event["Event-Name"]) for event in world.raised("CUSTOM", "CHANNEL_BRIDGE")]


# the same as tests/live/test_routes.py::test_the_queue_reaches_an_agent
def test_the_queue_reaches_an_agent(world: Simulated) -> None:
    caller = world.sim(f"queue {FIRST} Ada+Ahorn")["caller"]
    world.run(0.5)
    assert told(world) == [
        "member-queue-start",
        "members-count",
        "agent-state-change",
        "agent-offering",
        "bridge-agent-start",
        "members-count",
        "agent-state-change",
        "CHANNEL_BRIDGE",
    ], "the queue says it before the legs are joined"
    counts = [event["CC-Count"] for event in world.raised("CUSTOM") if event["CC-Action"] == "members-count"]
    assert counts == ["1", "1"], "and counts a caller until they are"
    [start] = [event for event in world.raised("CUSTOM") if event["CC-Action"] == "bridge-agent-start"]
    agent = world.legs()["1001"]["leg"]
    assert (start["CC-Member-Session-UUID"], start["CC-Agent-UUID"]) == (caller, agent)
    assert (start["CC-Queue"], start["CC-Agent"]) == ("support@default", f"1001@{DOMAIN}")
    dump = world.dump(agent)
    assert (dump["variable_cc_side"], dump["variable_cc_agent"]) == ("agent", f"1001@{DOMAIN}")
    world.forget()
    world.sim(f"hangup {agent}")
    world.run(0.1)
    assert told(world) == ["bridge-agent-end", "member-queue-end", "agent-state-change"]
    assert world.legs() == {}


def test_a_caller_waits_until_somebody_is_free(world: Simulated) -> None:
    for agent in range(1001, 1009):
        assert world.api(f"callcenter_config agent set status {agent}@{DOMAIN} 'On Break'") == "+OK\n"
    caller = world.sim("queue")["caller"]
    world.run(5)
    assert world.legs()[FIRST]["peer"] is None
    assert world.hears(caller) == set()
    world.api(f"callcenter_config agent set status 1003@{DOMAIN} Available")
    world.run(0.5)
    assert world.legs()["1003"]["peer"] == caller
    assert world.api("callcenter_config agent set status 7777 Available") == "-ERR Agent not found!\n"
    assert world.api(f"callcenter_config agent set status 1001@{DOMAIN} Gone") == "-ERR Invalid Agent Status!\n"
    assert world.api("callcenter_config agent") == "-ERR Invalid!\n"


# worded as by tests/live/test_centre.py's switch
def test_the_queue_is_listed(world: Simulated) -> None:
    def listed(what: str) -> Any:
        return json.loads(world.api(f'json {{"command":"callcenter_config","data":{{"arguments":"{what}"}}}}'))

    agent = f"1001@{DOMAIN}"
    assert listed("agent list")["status"] == "success"
    first = {row["name"]: row for row in listed("agent list")["response"]}[agent]
    assert (first["status"], first["state"], first["last_bridge_start"]) == ("Available", "Waiting", "0")
    assert [row["name"] for row in listed("queue list")["response"]] == ["support@default"]
    assert listed("tier list")["response"][0]["agent"] == agent
    assert listed("member list")["response"] == []
    world.sim("phone 1001 ring")
    caller = world.sim(f"queue {FIRST} Ada+Ahorn")["caller"]
    world.run(1)
    [member] = listed("member list")["response"]
    assert (member["session_uuid"], member["cid_name"], member["state"]) == (caller, "Ada Ahorn", "Trying")
    world.sim("phone 1001 busy")
    world.run(30)
    assert listed("member list")["response"][0]["state"] == "Answered"
    [busy] = [row for row in listed("agent list")["response"] if row["state"] == "In a queue call"]
    assert busy["last_bridge_start"] > member["joined_epoch"]
    assert listed("no list")["message"] == "The command returned an error"
    assert world.api('json {"command":"nothing","data":{}}').endswith('"response": null}\n')
    assert world.api("json [") == "-ERR Parse error.\n"
    assert world.api("json") == "-ERR No JSON supplied.\n"


def test_a_caller_who_gives_up_waiting(world: Simulated) -> None:
    world.sim("phone 1001 ring")
    caller = world.sim("queue")["caller"]
    world.run(1)
    world.forget()
    world.sim(f"hangup {caller}")
    world.run(0.1)
    assert told(world)[:2] == ["member-queue-end", "members-count"]
    assert {event["Hangup-Cause"] for event in world.raised("CHANNEL_HANGUP")} == {
        "NORMAL_CLEARING",
        "ORIGINATOR_CANCEL",
    }


def test_an_agent_who_does_not_answer_is_passed_over(world: Simulated) -> None:
    world.sim("phone 1001 busy")
    caller = world.sim("queue")["caller"]
    world.run(0.5)
    assert [each for each in told(world) if "bridge-agent" in each] == ["bridge-agent-fail", "bridge-agent-start"]
    assert world.legs()["1002"]["peer"] == caller


# the same as tests/scenarios/topology.py::test_an_agent_who_stays_off_hook_takes_the_next_caller
def test_an_agent_who_stays_off_hook(world: Simulated) -> None:
    for agent in range(1001, 1009):
        world.api(f"callcenter_config agent set status {agent}@{DOMAIN} 'On Break'")
    leg = world.sim("offhook 1004")["leg"]
    first = world.sim("queue")["caller"]
    world.run(0.5)
    assert world.legs()["1004"]["peer"] == first
    world.forget()
    world.sim(f"hangup {first}")
    world.run(2)
    assert world.story("CHANNEL_UNBRIDGE", "CHANNEL_PARK", "CHANNEL_HANGUP") == [
        ("CHANNEL_HANGUP", FIRST),
        ("CHANNEL_UNBRIDGE", FIRST),
        ("CHANNEL_PARK", "1004"),
    ]
    second = world.sim("queue")["caller"]
    world.run(0.5)
    there = world.legs()["1004"]
    assert (there["leg"], there["peer"]) == (leg, second)


# --- calls by themselves ----------------------------------------------------------------------------------------------


def test_the_same_seed_tells_the_same_story() -> None:
    def told_by(seed: int) -> list[tuple[str, str]]:
        world = Simulated(agents=20, talk=20.0, seed=seed)
        world.sim("stories 10")
        world.run(60)
        return world.story()

    one = told_by(7)
    assert one == told_by(7)
    assert one != told_by(8)
    names = {name for name, _ in one}
    assert {"CHANNEL_BRIDGE", "CHANNEL_HOLD", "CHANNEL_UNHOLD", "CHANNEL_HANGUP", "CUSTOM"} <= names


def test_stories_keep_about_so_many_calls_going() -> None:
    world = Simulated(agents=120)
    world.sim("stories 100")
    world.run(5)
    counts = []
    for _ in range(60):
        world.run(5)
        world.forget()
        counts.append(world.world.stories.calls)
    assert 70 <= sum(counts) / len(counts) <= 110
    world.sim("stories stop")
    world.run(900)
    assert world.legs() == {}
    assert world.api("sim stories 1001") == "-ERR between 1 and 1000 calls\n"


# --- what cannot be done ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("sing", "there is no 'sim sing'"),
        ("call", "wrong arguments for 'sim call'"),
        ("call 7777", "there is no user 7777"),
        ("hangup nobody", "there is no such leg"),
        ("phone 1001 sleep", "a phone does one of answer, busy, reject, ring, away"),
        ("hears nobody long", "wrong arguments for 'sim hears'"),
    ],
)
def test_what_cannot_be_done_is_said(world: Simulated, line: str, why: str) -> None:
    assert world.api(f"sim {line}") == f"-ERR {why}\n"


def test_only_legs_that_are_joined_are_transferred(world: Simulated) -> None:
    agent = world.sim("offhook 1004")["leg"]
    assert world.api(f"sim transfer {agent} 1001") == "-ERR this leg is not bridged\n"
    assert world.api(f"sim complete {agent} {agent}") == "-ERR both legs must be bridged\n"
