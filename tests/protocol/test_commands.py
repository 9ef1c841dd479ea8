"""Command builders: what they write, and that nothing gets through them that the switch would read otherwise."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ccwhisper.switch import commands as c
from ccwhisper.switch.dialling import admit, decline
from ccwhisper.switch.errors import UnsafeArgument

pytestmark = pytest.mark.protocol

COACH = "11111111-2222-3333-4444-555555555555"
AGENT = "66666666-7777-8888-9999-aaaaaaaaaaaa"
RANDOM = "b7c1f6d09e7a4d1f"
ALICE = c.user("1001", "pbx.example.org")
TONE = "tone_stream://v=-19;%(80,0,740)"
KEYS = (
    "bind_digit_action:^^;ccw;~^[0-9*#]$;exec[i]:event;Event-Name=CUSTOM,Event-Subclass=ccwhisper::key"
    "|digit_action_set_realm:ccw"
)


@pytest.mark.parametrize(
    ("command", "text"),
    [
        (c.uuid_setvar(COACH, "ccw_gate", "2"), f"uuid_setvar {COACH} ccw_gate 2"),
        (c.uuid_setvar(COACH, "ccw_gate", None), f"uuid_setvar {COACH} ccw_gate"),
        (c.uuid_setvar(COACH, "x", "${system(id)}"), f"uuid_setvar {COACH} x ${{system(id)}}"),
        (c.uuid_setvar_multi(COACH, {"a": "1", "b": None}), f"uuid_setvar_multi {COACH} a=1;b="),
        (c.uuid_dump(COACH), f"uuid_dump {COACH} json"),
        (c.show_channels(), "show channels as json"),
        (c.show_tasks(), "show tasks as json"),
        (c.show_calls(), "show bridged_calls as json"),
        (c.eavesdrop_gate(COACH, "2"), f"sendevent NOTIFY\nunique-id: {COACH}\neavesdrop-command: 2"),
        (c.attach(COACH, AGENT), f"uuid_transfer {COACH} 'eavesdrop:{AGENT},park' inline"),
        (
            c.displace_start(AGENT, c.tone(-13, [(200, 0, (1400,))])),
            f"uuid_displace {AGENT} start tone_stream://v=-13;%(200,0,1400) 0 mux",
        ),
        (
            c.displace_start(AGENT, c.tone(0, [(200, 100, (350, 440)), (1, 0, (20,))]), mux=False),
            f"uuid_displace {AGENT} start tone_stream://v=0;%(200,100,350,440);%(1,0,20) 0",
        ),
        (c.jitterbuffer(AGENT, 40), f"uuid_jitterbuffer {AGENT} 40"),
        (c.jitterbuffer(AGENT, 0), f"uuid_jitterbuffer {AGENT} stop"),
        (c.jitterbuffer_resume(AGENT), f"uuid_jitterbuffer {AGENT} resume"),
        (c.uuid_bridge(COACH, AGENT), f"uuid_bridge {COACH} {AGENT}"),
        (c.uuid_kill(COACH, "NORMAL_CLEARING"), f"uuid_kill {COACH} NORMAL_CLEARING"),
        (c.uuid_park(COACH), f"uuid_park {COACH}"),
        (c.originate({}, ALICE), "originate user/1001@pbx.example.org &park()"),
        (
            c.originate({}, c.Registration("0f", "browser.invalid", "browsers")),
            "originate sofia/browsers/0f%browser.invalid &park()",
        ),
        (
            c.originate({}, ALICE, f"eavesdrop:{AGENT},park", keys=True),
            f"originate user/1001@pbx.example.org 'm:|:{KEYS}|eavesdrop:{AGENT}|park' inline",
        ),
        (admit(COACH, None), f"uuid_transfer {COACH} 'm:|:{KEYS}|park' inline"),
        (
            decline(COACH, "not-now"),
            f"uuid_transfer {COACH} 'm:|:playback:${{ccw_sounds}}/not-now.wav|hangup' inline",
        ),
        (c.broadcast(COACH, TONE), f"uuid_broadcast {COACH} {TONE} aleg"),
        (
            c.originate({"a": "x y", "absolute_codec_string": "^^:PCMU:PCMA"}, ALICE, f"eavesdrop:{AGENT},park"),
            f"originate {{a='x y',absolute_codec_string=^^:PCMU:PCMA}}user/1001@pbx.example.org"
            f" 'eavesdrop:{AGENT},park' inline",
        ),
        (c.sched_api(5, "g", c.uuid_park(COACH)), f"sched_api +5 g uuid_park {COACH}"),
        (c.sched_del(17), "sched_del 17"),
        (c.sched_del_group("g"), "sched_del g"),
        (c.lease(15, "g", "ccw_lease", RANDOM), f"sched_api +15 g hupall NORMAL_CLEARING ccw_lease {RANDOM}"),
        (
            c.deadman(3, COACH, AGENT),
            f"sched_api +3 {COACH} uuid_transfer {COACH} 'eavesdrop:{AGENT},park' inline",
        ),
        (
            c.custom_event("ccwhisper::session", {"CCW-Leg": COACH, "CCW-Name": "Zo\u00eb"}),
            f"sendevent CUSTOM\nEvent-Subclass: ccwhisper::session\nCCW-Leg: {COACH}\nCCW-Name: Zo\u00eb",
        ),
        (
            c.events_subscription(["CHANNEL_BRIDGE", "CODEC"], ["callcenter::info"]),
            "event json CHANNEL_BRIDGE CODEC CUSTOM callcenter::info",
        ),
        (
            c.callcenter("member list"),
            'json {"command":"callcenter_config","data":{"arguments":"member list"}}',
        ),
        (c.uuid_park(COACH).background(AGENT), f"bgapi uuid_park {COACH}\nJob-UUID: {AGENT}"),
    ],
    ids=lambda value: value.label if isinstance(value, c.Command) else "",
)
def test_what_is_written(command, text):
    assert command.text == text
    assert command.api is not text.startswith(("sendevent", "event", "bgapi"))


REFUSED = [
    lambda: c.uuid_setvar("", "x", "1"),
    lambda: c.uuid_setvar("all", "x", "1"),
    lambda: c.uuid_dump("ALL"),
    lambda: c.attach(COACH, "all"),
    lambda: c.attach(COACH, COACH),
    lambda: c.attach(COACH, "x,system:id"),
    lambda: c.uuid_park("-bleg"),
    lambda: c.uuid_park("a b"),
    lambda: c.uuid_park(COACH + "\n"),
    lambda: c.uuid_park("x" * 129),
    lambda: c.uuid_park(None),
    lambda: c.uuid_setvar(COACH, "x y", "1"),
    lambda: c.uuid_setvar(COACH, "x[0]", "1"),
    lambda: c.uuid_setvar(COACH, "x", ""),
    lambda: c.uuid_setvar(COACH, "x", " a"),
    lambda: c.uuid_setvar(COACH, "x", "it's"),
    lambda: c.uuid_setvar(COACH, "x", "a\\nb"),
    lambda: c.uuid_setvar(COACH, "x", "a\n\napi system id"),
    lambda: c.uuid_setvar(COACH, "x", "ARRAY::a"),
    lambda: c.uuid_setvar(COACH, "x", "\u00e9"),
    lambda: c.uuid_setvar(COACH, "x", "please reload mod_event_socket"),
    lambda: c.uuid_setvar(COACH, "mod_event_socket", "Unload"),
    lambda: c.uuid_setvar_multi(COACH, {}),
    lambda: c.uuid_setvar_multi(COACH, {f"v{n}": "1" for n in range(61)}),
    lambda: c.uuid_setvar_multi(COACH, {"a": "1;b=2"}),
    lambda: c.uuid_setvar_multi(COACH, {"a": "${x}"}),
    lambda: c.callcenter('queue list"},"command":"system'),
    lambda: c.eavesdrop_gate(COACH, "1"),
    lambda: c.eavesdrop_gate(COACH, "22"),
    lambda: c.eavesdrop_gate(COACH, ""),
    lambda: c.eavesdrop_gate(COACH, 2),
    lambda: c.eavesdrop_gate(COACH + "\n", "2"),
    lambda: c.tone(1, [(200, 0, (1400,))]),
    lambda: c.tone(-13, []),
    lambda: c.tone(-13, [(200, 0, ())]),
    lambda: c.tone(-13, [(200, 0, (True,))]),
    lambda: c.tone(-13, [(200, 0, ("1400);loops=-1",))]),
    lambda: c.displace_start(AGENT, "/etc/passwd"),
    lambda: c.displace_start(AGENT, "tone_stream://v=-13;%(200,0,1400);loops=-1"),
    lambda: c.jitterbuffer(AGENT, 5),
    lambda: c.jitterbuffer(AGENT, "40"),
    lambda: c.uuid_kill(COACH, "normal"),
    lambda: c.user("10 01", "d"),
    lambda: c.user("1001", "d}"),
    lambda: c.user("1001", "a..b"),
    lambda: c.user("1001", "-a"),
    lambda: c.originate({"a": "x,y=1"}, ALICE),
    lambda: c.originate({"a": "x}y"}, ALICE),
    lambda: c.originate({"a": "${system(id)}"}, ALICE),
    lambda: c.originate({"a": "x:_:y"}, ALICE),
    lambda: c.originate({"a": "x|y"}, ALICE),
    lambda: c.originate({"a,b": "x"}, ALICE),
    lambda: c.Registration("0f", "browser.invalid", "phones/x"),
    lambda: c.originate({}, ALICE, "system:id"),
    lambda: c.originate({}, ALICE, "eavesdrop:all,park"),
    lambda: c.originate({}, ALICE, "eavesdrop"),
    lambda: c.originate({}, ALICE, "park:' x"),
    lambda: c.originate({}, ALICE, ""),
    lambda: c.originate({}, ALICE, "system:id", keys=True),
    lambda: admit("all", None),
    lambda: admit("k1", ""),
    lambda: admit("k1", "../etc/passwd"),
    lambda: decline("k1", "x|system:id"),
    lambda: decline("k1 -both", "not-now"),
    lambda: c.broadcast("k1", "tone_stream://v=0;loops=-1"),
    lambda: c.sched_api(0, "g", c.show_tasks()),
    lambda: c.sched_api(1.5, "g", c.show_tasks()),
    lambda: c.sched_api(True, "g", c.show_tasks()),
    lambda: c.sched_api(1, "17", c.show_tasks()),
    lambda: c.sched_api(1, "g h", c.show_tasks()),
    lambda: c.sched_api(1, "g", c.eavesdrop_gate(COACH, "0")),
    lambda: c.sched_api(1, "g", c.Command("status &", "status")),
    lambda: c.sched_del(0),
    lambda: c.sched_del("17"),
    lambda: c.sched_del_group("17"),
    lambda: c.lease(15, "g", "ccw_lease", ""),
    lambda: c.lease(15, "g", "ccw_lease", "true"),
    lambda: c.lease(15, "g", "ccw_lease", "has a blank in it"),
    lambda: c.lease(15, "g", "", RANDOM),
    lambda: c.custom_event("CHANNEL_HANGUP", {}),
    lambda: c.custom_event("ccwhisper::x\nUnique-ID: y", {}),
    lambda: c.custom_event("ccwhisper::x", {"Unique-ID": COACH}),
    lambda: c.custom_event("ccwhisper::x", {"uNIQUE-id": COACH}),
    lambda: c.custom_event("ccwhisper::x", {"content-length": "10"}),
    lambda: c.custom_event("ccwhisper::x", {"A": "b\nUnique-ID: c"}),
    lambda: c.custom_event("ccwhisper::x", {"A": "b\u0085c"}),
    lambda: c.custom_event("ccwhisper::x", {"A": ""}),
    lambda: c.custom_event("ccwhisper::x", {"A:B": "c"}),
    lambda: c.events_subscription([], []),
    lambda: c.events_subscription(["CUSTOM", "x::y"], []),
    lambda: c.events_subscription(["channel_bridge"], []),
    lambda: c.events_subscription(["A B"], []),
    lambda: c.Command("status\n\napi system id", "x"),
    lambda: c.Command("sendevent X\n\napi system id", "x", api=False),
    lambda: c.Command("x" * 9_000_000, "x"),
    lambda: c.eavesdrop_gate(COACH, "0").background(AGENT),
    lambda: c.uuid_park(COACH).background("x\ny"),
]


@pytest.mark.parametrize("build", REFUSED, ids=range(len(REFUSED)))
def test_what_is_refused(build):
    with pytest.raises(UnsafeArgument):
        build()


ANY = st.text(max_size=40)
SPICY = st.one_of(
    ANY, st.text("ab\r\n\u0085\u2028\x00 ,;:'\"{}[]$&|=%\\", max_size=20), st.sampled_from([COACH, AGENT, "2"])
)


def built(builder, *args):
    try:
        return builder(*args)
    except UnsafeArgument:
        return None


@given(SPICY, SPICY, SPICY)
@example(COACH, "name", "a\u2029b")
def test_an_api_command_is_always_one_line(first, second, third):
    attempts = [
        built(c.uuid_setvar, first, second, third),
        built(c.uuid_setvar, COACH, "name", third),
        built(c.uuid_setvar_multi, COACH, {"name": third}),
        built(c.uuid_dump, first),
        built(c.attach, first, second),
        built(c.displace_start, first, second),
        built(c.uuid_bridge, first, second),
        built(c.uuid_kill, first, second),
        built(c.originate, {"name": first}, ALICE, second),
        built(c.originate, {"name": first}, ALICE),
        built(c.lease, 5, first, second, third),
        built(c.sched_del_group, first),
        built(c.deadman, 5, first, second),
    ]
    for command in attempts:
        if command is not None:
            assert command.api
            assert command.text.isprintable()
            assert len(command.text.splitlines()) == 1


@given(st.dictionaries(SPICY, SPICY, max_size=3), SPICY)
def test_sendevent_has_one_line_for_each_header(headers, subclass):
    for command in (built(c.custom_event, "a::b", headers), built(c.custom_event, subclass, headers)):
        if command is not None:
            assert len(command.text.splitlines()) == 2 + len(headers)
            assert not any(line.lower().startswith("unique-id") for line in command.text.splitlines())


@given(SPICY)
def test_a_value_cannot_leave_the_braces(value):
    command = built(c.originate, {"first": value, "last": "1"}, ALICE)
    if command is not None:
        inside, _, rest = command.text.removeprefix("originate {").partition("}")
        assert rest == "user/1001@pbx.example.org &park()"
        assert [pair.partition("=")[0] for pair in inside.split(",")] == ["first", "last"]


@given(SPICY, SPICY)
def test_the_gate_only_moves_to_a_digit_that_exists(leg, digit):
    for command in (built(c.eavesdrop_gate, COACH, digit), built(c.eavesdrop_gate, leg, "2")):
        if command is not None:
            _, target, gate = command.text.split("\n")
            assert gate.removeprefix("eavesdrop-command: ") in {"0", "2", "3"}
            assert target.startswith("unique-id: ")


def test_labels_name_no_values():
    command = c.uuid_setvar(COACH, "ccw_coach", "alice")
    assert "alice" not in command.label + repr(command) + c.originate({"a": "alice"}, c.user("alice", "d")).label
