"""What a real switch does that nobody expects, and the simulator therefore does too. A service that is not careful must
fail here as it would fail there."""

from __future__ import annotations

import json
import re

import pytest

from .simulated import BEEP, DOMAIN, FIRST, SECOND, Simulated

pytestmark = pytest.mark.protocol


@pytest.fixture
def world() -> Simulated:
    return Simulated()


# --- the gate ---------------------------------------------------------------------------------------------------------


def test_command_1_is_heard_by_the_caller_alone(world: Simulated) -> None:
    caller, agent = world.call()
    world.gate(world.coach(agent), "1")
    assert world.hears(caller) == {"1001", "9001"}
    assert world.hears(agent) == {FIRST}


@pytest.mark.parametrize(
    ("command", "agent_hears", "caller_hears"),
    [("13", True, True), ("x2", True, False), ("20", False, False), ("nonsense", False, False)],
)
def test_a_command_is_read_character_by_character(
    world: Simulated, command: str, agent_hears: bool, caller_hears: bool
) -> None:
    caller, agent = world.call()
    world.gate(world.coach(agent), command)
    assert ("9001" in world.hears(agent)) is agent_hears
    assert ("9001" in world.hears(caller)) is caller_hears


def test_a_star_ends_the_eavesdrop(world: Simulated) -> None:
    _, agent = world.call()
    coach = world.coach(agent)
    world.gate(coach, "2*3")
    assert world.legs()["9001"]["application"] == "park"
    assert world.hears(coach) == set()


def test_on_the_callers_leg_the_digits_mean_the_opposite(world: Simulated) -> None:
    caller, agent = world.call()
    world.gate(world.coach(caller), "2")
    assert world.hears(caller) == {"1001", "9001"}
    assert world.hears(agent) == {FIRST}


def test_a_dead_leg_is_told_with_success_and_a_gate_raises_no_event(world: Simulated) -> None:
    _, agent = world.call()
    coach = world.coach(agent)
    world.gate(coach, "2")
    assert world.raised() == [], "an event for a living leg is for nobody else"
    assert not [name for name in world.dump(coach) if "gate" in name.lower()]
    world.gate("6c1c5a0e-0000-4000-8000-000000000000", "2")
    [stray] = world.raised("NOTIFY")
    assert stray["eavesdrop-command"] == "2"


def test_a_parked_leg_takes_the_command_and_forgets_it(world: Simulated) -> None:
    _, agent = world.call()
    coach = world.bgapi(f"originate user/9001@{DOMAIN} &park()").split()[1]
    world.gate(coach, "3")
    world.api(f"uuid_transfer {coach} 'eavesdrop:{agent},park' inline")
    world.run(0.1)
    assert world.legs()["9001"]["listens_to"] == agent
    assert world.hears(agent) == {FIRST}


def test_a_transfer_onto_the_same_leg_closes_the_gate(world: Simulated) -> None:
    """The dead-man of push-to-talk; whoever does not send the digit again is heard by nobody."""
    caller, agent = world.call()
    coach = world.coach(agent)
    world.gate(coach, "3")
    world.api(f"uuid_transfer {coach} 'eavesdrop:{agent},park' inline")
    world.run(0.1)
    assert (world.hears(caller), world.hears(agent)) == ({"1001"}, {FIRST})
    assert world.dump(coach)["variable_eavesdrop_enable_dtmf"] == "false"


# the same as tests/scenarios/topology.py::test_a_barge_is_not_heard_by_the_next_caller, with nobody to prevent it
@pytest.mark.parametrize("who", ["bridged by command", "off-hook"])
def test_the_gate_survives_a_bridge_with_the_next_caller(world: Simulated, who: str) -> None:
    if who == "off-hook":
        for other in set(range(1001, 1009)) - {1004}:
            world.api(f"callcenter_config agent set status {other}@{DOMAIN} 'On Break'")
        agent = world.sim("offhook 1004")["leg"]
        first = world.sim("queue")["caller"]
        world.run(0.5)
        world.gate(world.coach(agent), "3")
        world.sim(f"hangup {first}")
        world.run(2)
        next_caller = world.sim("queue")["caller"]
        world.run(0.5)
    else:
        _, agent = world.call()
        next_caller, _ = world.call("1002", SECOND)
        world.gate(world.coach(agent), "3")
        world.api(f"uuid_bridge {agent} {next_caller}")
        world.run(0.1)
    assert "9001" in world.hears(next_caller)
    told = [name for name, _ in world.story("CHANNEL_UNBRIDGE", "CHANNEL_BRIDGE")]
    assert told[0] == "CHANNEL_UNBRIDGE"
    assert told[-1] == "CHANNEL_BRIDGE"


# --- attaching --------------------------------------------------------------------------------------------------------


def test_an_unknown_target_is_answered_with_success(world: Simulated) -> None:
    answer = world.bgapi(f"originate user/9001@{DOMAIN} &eavesdrop(nobody)", 1.0)
    assert answer.startswith("+OK ")
    assert world.raised("MEDIA_BUG_START") == []
    assert world.story("CHANNEL_EXECUTE", "CHANNEL_HANGUP", "CHANNEL_DESTROY") == [
        ("CHANNEL_EXECUTE", "9001"), ("CHANNEL_HANGUP", "9001"), ("CHANNEL_DESTROY", "9001"),
    ]  # fmt: skip


def test_attached_is_who_raised_a_media_bug_on_the_agents_leg(world: Simulated) -> None:
    """The event says on whose leg, and not whose eavesdrop it is."""
    _, agent = world.call()
    coach = world.bgapi(f"originate user/9001@{DOMAIN} &park()").split()[1]
    world.forget()
    world.api(f"uuid_transfer {coach} 'eavesdrop:{agent},park' inline")
    world.run(0.1)
    assert world.story() == [
        ("CHANNEL_UNPARK", "9001"), ("CHANNEL_EXECUTE", "9001"), ("CODEC", "9001"), ("MEDIA_BUG_START", "1001"),
    ]  # fmt: skip
    [bug] = world.raised("MEDIA_BUG_START")
    assert bug["Media-Bug-Function"] == "eavesdrop"
    assert coach not in bug.values()
    assert world.raised("CODEC")[0]["channel-read-codec-name"] == "L16"


def test_a_ringing_agent_is_waited_for_and_then_the_coach_is_dropped(world: Simulated) -> None:
    world.sim("phone 1001 ring")
    agent = world.sim("call 1001")["agent"]
    coach = world.coach(agent, then="")
    world.run(5)
    assert "9001" in world.legs()
    world.run(1)
    assert "9001" not in world.legs()
    assert world.raised("MEDIA_BUG_START") == []
    world.sim("phone 1002 answer 500")
    agent = world.sim("call 1002")["agent"]
    coach = world.coach(agent)
    world.run(0.5)
    assert world.legs()["9001"]["listens_to"] == agent
    assert world.hears(coach) == {SECOND, "1002"}


def test_sendmsg_is_answered_and_not_read_while_the_leg_eavesdrops(world: Simulated) -> None:
    _, agent = world.call()
    coach = world.coach(agent)
    told = f"sendmsg {coach}\ncall-command: execute\nexecute-app-name: set\nexecute-app-arg: seen=1"
    assert world.send(told) == "+OK"
    world.run(1)
    assert world.api(f"uuid_getvar {coach} seen") == "_undef_"
    world.api(f"uuid_park {coach}")
    world.run(0.1)
    assert world.api(f"uuid_getvar {coach} seen") == "1", "as soon as the eavesdrop is over"
    assert world.send("sendmsg nobody\ncall-command: hangup") == "-ERR invalid session id [nobody]"
    assert world.send(f"sendmsg {coach}\ncall-command: hangup\nhangup-cause: USER_BUSY") == "+OK"
    world.run(0.1)
    assert "9001" not in world.legs()


# --- what the caller would notice -------------------------------------------------------------------------------------


# the same as tests/live/test_exact.py::test_without_the_buffer_each_attach_and_each_beep_costs_frames
def test_without_a_jitter_buffer_each_attach_and_each_beep_costs_frames(world: Simulated) -> None:
    world.sim("buffer off")
    caller, agent = world.call()
    world.coach(agent)
    world.api(f"uuid_displace {agent} start {BEEP} 0 mux")
    world.run(0.1)
    found = world.sim(f"frames {caller} 1001 400")
    assert (found["missing"], [count for _, count in found["gaps"]]) == (4, [2, 2])
    for line in (f"uuid_setvar {agent} rtp_jitter_buffer_during_bridge true", f"uuid_jitterbuffer {agent} 40"):
        assert world.api(line).startswith("+OK")
    world.coach(agent, "9002")
    assert world.sim(f"frames {caller} 1001 200")["missing"] == 0
    assert world.api("uuid_jitterbuffer nobody 40") == "-ERR Operation failed\n"


# the same as tests/live/test_exact.py::test_a_buffer_that_the_bridge_has_paused
def test_a_bridge_pauses_a_buffer_of_which_nothing_more_is_said(world: Simulated) -> None:
    world.sim("buffer off")
    first, agent = world.call()
    world.api(f"uuid_jitterbuffer {agent} 40")
    assert world.legs()["1001"]["buffered"], "one that is switched on in mid-call works"
    second, _ = world.call("1002", SECOND)
    world.api(f"uuid_bridge {agent} {second}")
    world.run(0.1)
    assert not world.legs()["1001"]["buffered"], "until the next bridge"
    world.api(f"uuid_jitterbuffer {agent} 40")
    assert not world.legs()["1001"]["buffered"], "set again it stays paused"
    world.api(f"uuid_jitterbuffer {agent} resume")
    assert world.legs()["1001"]["buffered"]
    world.api(f"uuid_jitterbuffer {agent} stop")
    assert not world.legs()["1001"]["buffered"]
    assert first not in {leg["leg"] for leg in world.legs().values()}


def test_a_displace_without_mux_parts_the_two(world: Simulated) -> None:
    caller, agent = world.call()
    world.api(f"uuid_displace {agent} start {BEEP} 0")
    world.run(0.1)
    assert world.sim(f"hears {agent} 100")["heard"].keys() == {"beep"}
    assert world.sim(f"hears {caller} 100")["heard"] == {}
    world.run(0.2)
    assert (world.hears(caller), world.hears(agent)) == ({"1001"}, {FIRST})


def test_a_displace_with_flag_r_beeps_at_the_caller(world: Simulated) -> None:
    caller, agent = world.call()
    world.api(f"uuid_displace {agent} start {BEEP} 0 mr")
    world.run(0.1)
    assert world.sim(f"hears {caller} 100")["heard"].keys() == {"1001", "beep"}
    assert world.sim(f"hears {agent} 100")["heard"].keys() == {FIRST}


def test_the_same_beep_again_while_it_sounds_is_refused(world: Simulated) -> None:
    _, agent = world.call()
    assert world.api(f"uuid_displace {agent} start {BEEP} 0 mux") == "+OK Success\n"
    assert world.api(f"uuid_displace {agent} start {BEEP} 0 mux") == "-ERR Cannot displace session!\n"
    other = BEEP.replace("1400", "1000")
    assert world.api(f"uuid_displace {agent} start {other} 0 mux") == "+OK Success\n"
    world.run(0.25)
    assert world.api(f"uuid_displace {agent} start {BEEP} 0 mux") == "+OK Success\n"
    assert world.api(f"uuid_displace nobody start {BEEP} 0 mux") == "-ERR Cannot locate session!\n"


# --- variables --------------------------------------------------------------------------------------------------------


def test_a_value_that_looks_like_a_variable_is_dropped_with_success(world: Simulated) -> None:
    _, agent = world.call()
    assert world.api(f"uuid_setvar_multi {agent} a=1;b=${{x}};c=3") == "+OK\n"
    found = [world.api(f"uuid_getvar {agent} {name}") for name in "abc"]
    assert found == ["1", "_undef_", "3"]
    assert world.api("uuid_setvar_multi nobody a=1") == "-ERR No such channel!\n"


def test_a_variable_is_set_and_taken_away(world: Simulated) -> None:
    _, agent = world.call()
    world.api(f"uuid_setvar {agent} note it is 'so'")
    assert world.dump(agent)["variable_note"] == "it is 'so"
    world.api(f"uuid_setvar {agent} note")
    assert "variable_note" not in world.dump(agent)
    assert world.api("uuid_setvar nobody note x") == "-ERR No such channel!\n"


def test_what_a_leg_does_not_have_is_looked_for_among_the_global_ones(world: Simulated) -> None:
    _, agent = world.call()
    world.api("global_setvar lease=x")
    assert world.api(f"uuid_getvar {agent} lease") == "x"
    assert "variable_lease" not in world.dump(agent)
    assert world.api("hupall NORMAL_CLEARING lease x") == (
        "+OK hangup all channels matching [lease]=[x] with cause: NORMAL_CLEARING\n"
    )
    world.run(0.1)
    assert world.legs() == {}, "a lease whose value somebody else has is no lease"


# --- what is to happen later ------------------------------------------------------------------------------------------


def test_hupall_without_a_value_hangs_up_every_call(world: Simulated) -> None:
    world.call()
    world.call("1002", SECOND)
    world.api("hupall NORMAL_CLEARING lease")
    world.run(0.1)
    assert world.legs() == {}


def test_hupall_with_a_value_hangs_up_who_carries_it(world: Simulated) -> None:
    _, agent = world.call()
    coach = world.coach(agent)
    world.api(f"uuid_setvar {coach} lease x")
    world.api("hupall NORMAL_CLEARING lease y")
    world.run(0.1)
    assert set(world.legs()) == {FIRST, "1001", "9001"}
    world.api("hupall NORMAL_CLEARING lease x")
    world.run(0.1)
    assert set(world.legs()) == {FIRST, "1001"}


def test_a_task_comes_with_the_second_and_so_too_early(world: Simulated) -> None:
    """+2 is the second after next, which may begin in a second and a bit."""
    world.run(0.5)
    assert world.api("sched_api +2 group global_setvar done=1") == "+OK Added: 1\n"
    world.run(1.4)
    assert world.api("global_getvar done") == ""
    world.run(0.2)
    assert world.api("global_getvar done") == "1"
    assert [event["Event-Name"] for event in world.raised()] == ["ADD_SCHEDULE", "EXE_SCHEDULE", "DEL_SCHEDULE"]


def test_deleting_a_task_is_always_a_success(world: Simulated) -> None:
    for group in ("ours", "ours", "theirs"):
        world.api(f"sched_api +5 {group} global_setvar {group}=1")
    assert world.api("sched_del 77") == "+OK Deleted: 0\n"
    assert world.api("sched_del nobody") == "+OK Deleted: 0\n"
    assert world.api("sched_del ours") == "+OK Deleted: 2\n", "whoever made them"
    assert world.api("sched_del 3") == "+OK Deleted: 1\n"
    world.run(6)
    assert world.raised("EXE_SCHEDULE") == []


def test_tasks_whose_group_is_a_leg_die_with_it(world: Simulated) -> None:
    caller, agent = world.call()
    coach = world.coach(agent)
    world.api(f"sched_api +5 {coach} uuid_transfer {coach} 'eavesdrop:{agent},park' inline")
    world.api(f"sched_api +5 other uuid_kill {caller}")
    world.api(f"uuid_kill {coach}")
    world.run(4)
    assert [event["Task-Group"] for event in world.raised("DEL_SCHEDULE")] == [coach]
    world.run(2)
    assert [event["Task-Group"] for event in world.raised("EXE_SCHEDULE")] == ["other"]
    assert world.legs() == {}


# --- show -------------------------------------------------------------------------------------------------------------


def rows(world: Simulated, what: str) -> list[dict[str, str]]:
    """A table of `show`; the list is absent from the answer when it is empty."""
    answer = json.loads(world.api(f"show {what} as json"))
    assert answer["row_count"] == len(answer.get("rows", []))
    assert ("rows" in answer) is bool(answer["row_count"])
    found: list[dict[str, str]] = answer.get("rows", [])
    return found


def test_show_is_late(world: Simulated) -> None:
    legs = world.sim(f"call 1001 {FIRST}")
    world.run(0.06)
    assert world.story("CHANNEL_BRIDGE") == [("CHANNEL_BRIDGE", FIRST)]
    assert rows(world, "channels") == []
    assert world.api(f"uuid_exists {legs['agent']}") == "true"
    world.run(0.25)
    assert [row["uuid"] for row in rows(world, "channels")] == [legs["caller"], legs["agent"]]
    [bridge] = rows(world, "bridged_calls")
    assert (bridge["uuid"], bridge["b_uuid"]) == (legs["caller"], legs["agent"])
    world.sim(f"hangup {legs['caller']}")
    world.run(0.1)
    assert world.api(f"uuid_exists {legs['agent']}") == "false"
    assert world.api("show channels count") == "\n2 total.\n"
    assert len(rows(world, "bridged_calls")) == 1
    world.run(0.2)
    assert world.api("show channels count") == "\n0 total.\n"
    assert rows(world, "bridged_calls") == []


def test_what_is_on_a_leg_is_listed_and_not_whose_it_is(world: Simulated) -> None:
    _, agent = world.call()
    coach = world.coach(agent)
    world.api(f"uuid_displace {agent} start {BEEP} 0 mux")
    assert re.findall(r"<(function|target)>(.*)</", world.api(f"uuid_buglist {agent}")) == [
        ("function", "eavesdrop"), ("target", agent), ("function", "displace"), ("target", BEEP),
    ]  # fmt: skip
    assert world.api(f"uuid_buglist {coach}") == "<media-bugs>\n</media-bugs>\n"
    assert world.api("uuid_buglist nobody") == "-ERR no reply\n"
    assert world.api("uuid_buglist").startswith("-USAGE: ")


def test_show_tells_tasks_too(world: Simulated) -> None:
    world.api("sched_api +5 ours status")
    assert rows(world, "tasks") == []
    world.run(0.25)
    [task] = rows(world, "tasks")
    assert (task["task_id"], task["task_group"], task["task_desc"]) == ("1", "ours", "sched_api_function")
    assert world.api("show tasks").splitlines()[0].startswith("task_id,task_desc,task_group")
    assert world.api("show nothing").startswith("-USAGE: ")


def test_a_plain_dump_is_url_encoded_so_that_nobody_can_forge_a_line(world: Simulated) -> None:
    legs = world.sim(f"call 1001 {FIRST} Ada%0Avariable_sip_auth_username:+1001")
    lines = world.api(f"uuid_dump {legs['caller']}").splitlines()
    assert "Caller-Caller-ID-Name: Ada%0Avariable_sip_auth_username%3A%201001" in lines
    assert world.dump(legs["caller"])["Caller-Caller-ID-Name"] == "Ada\nvariable_sip_auth_username: 1001"
    assert world.api("uuid_dump nobody json") == "-ERR No such channel!\n"
