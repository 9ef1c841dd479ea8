"""What a coach's phone shows when it rings, and by which headers it is asked to answer."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import Agent, Call, CoachRecord, Follow
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import Rules
from ccwhisper.settings import Answer
from ccwhisper.switch.dialling import ANSWERS, plain, ring
from tests.unit.world import World, agent_leg, caller_leg

pytestmark = pytest.mark.unit

RECORD = CoachRecord("s1", "carla", "Carla", "9001@dom", "ana", "a1", "call", "c1", Mode.LISTEN, Mode.LISTEN, Talk.OPEN,
                     False, Follow.CALL, Gate.CLOSED, 1.5, frozenset(), frozenset(), frozenset())  # fmt: skip


def dial(name: str = "Ana", number: str = "1001") -> fx.Dial:
    return fx.Dial("n", "s1", "k1", "9001@dom", ("PCMU",), 30, number, name, RECORD)


def rung(name: str = "Ana", number: str = "1001", answer: str = "none") -> str:
    return ring(dial(name, number), "installation", "Coaching", answer).text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Agent 1001", "Agent 1001"),
        ("Zoë Müller-Łukasz", "Zoe Muller-ukasz"),
        ('O\'Brien, "Eve" <sip:x@y>', "O Brien Eve sip x y"),
        ("${system(id)} %0AVia: x", "system id 0AVia x"),
        ("a,b={c}[d]|:_:\\\r\n\x00\u2028e", "a b c d _ e"),
        ("山田", ""),
        ("x" * 200, "x" * 60),
    ],
)
def test_a_name_becomes_plain_text(name: str, shown: str) -> None:
    assert plain(name) == shown
    whole = f"Coaching {shown}".rstrip()
    assert f",origination_caller_id_name='{whole}'," in rung(name) or f",origination_caller_id_name={whole}," in rung(
        name
    )


@pytest.mark.parametrize(("number", "shown"), [("1001", "1001"), ("+49 30", "+4930"), ("1,x={y}", "1xy"), ("山", None)])
def test_a_number_too(number: str, shown: str | None) -> None:
    text = rung(number=number)
    assert ("origination_caller_id_number" in text) is (shown is not None)
    assert shown is None or f",origination_caller_id_number={shown}}}" in text


@pytest.mark.parametrize("word", ANSWERS)
def test_each_word_is_a_header_or_two(word: str) -> None:
    text = rung(answer=word)
    assert text.count("sip_h_") == len(ANSWERS[word])
    for header, value in ANSWERS[word].items():
        assert f"sip_h_{header}={value}" in text or f"sip_h_{header}='{value}'" in text


def test_the_configuration_has_the_same_words() -> None:
    assert set(get_args(Answer)) == set(ANSWERS)


@pytest.mark.parametrize(
    ("agent", "number"),
    [(Agent("ana", "Ana", frozenset({"1002@dom", "1001@dom"})), "1001"), (None, "ana")],
    ids=["in the file", "of mod_callcenter alone"],
)
def test_the_number_is_the_agents_extension(agent: Agent | None, number: str) -> None:
    world = World(rules=Rules(agents={"ana": agent} if agent else {})).up()
    call: Call | None = world.bridge(caller_leg("c1"), agent_leg("a1", "", cc_agent="ana" if agent else "ana@dom"))
    world.start(call)
    [effect] = world.take(fx.Dial)
    assert (effect.caller_number, effect.agent_name) == (number, "Ana" if agent else "ana@dom")


def test_a_browser_is_rung_where_it_is_registered_with_the_session_that_it_is_for() -> None:
    text = ring(replace(dial(), device="0f@browser.invalid"), "installation", "Coaching", "common").text
    assert text.endswith(",sip_h_X-CCW-Session=s1}sofia/browsers/0f%browser.invalid &park()")
    assert "Call-Info" not in text
