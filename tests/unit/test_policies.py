"""Policies of queues: what is made of several places, who may set them, and what follows for calls that are coached."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import CoachingError, Conflict, Forbidden
from ccwhisper.coaching.model import Call, Follow, Phase, Session
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policies import layered, source, without, words
from ccwhisper.coaching.policy import EDIT_POLICIES, WAYS, PolicyPart, QueuePolicy, Rules, Tone, may_edit
from ccwhisper.coaching.recorded import Whispers
from ccwhisper.coaching.trail import refused
from tests.unit.world import NODE, RULES, World, agent_leg, caller_leg, coach, restarted

pytestmark = pytest.mark.unit

ADMIN = coach("ada", permissions=frozenset({EDIT_POLICIES}))
EVERYTHING = PolicyPart(
    beep_on=frozenset({"end", "listen"}),
    tone=Tone(-20, ((100, 50, (440, 480)),)),
    max_coaches=2,
    cues=("Slow down",),
    modes=frozenset({"whisper", "listen"}),
    talk=Talk.PUSH,
    tell_listening=True,
    record=True,
    record_whisper=Whispers.SEPARATE,
    keep_days=30,
)


def allowing(*ways: str) -> PolicyPart:
    return PolicyPart(modes=frozenset(ways))


def put(world: World, part: PolicyPart | None, queue: str = "default") -> list[fx.Effect]:
    return world.feed(cmd.SetPolicy(ADMIN, queue, part, "http ::1"))


def queued(world: World, queue: str = "sales", number: int = 1) -> Call:
    leg = agent_leg(f"a{number}", cc_agent="ana", cc_queue=queue)
    call = world.bridge(caller_leg(f"c{number}"), leg)
    assert call
    return call


def code(world: World, request: cmd.Request) -> str:
    with pytest.raises(CoachingError) as refusal:
        world.feed(request)
    assert refusal.value.retry is False
    return refusal.value.code


# --- layers ----------------------------------------------------------------------------------------------------------


def test_of_each_field_what_is_said_nearest_counts() -> None:
    rules = Rules(
        file={
            "default": PolicyPart(max_coaches=2, talk=Talk.PUSH, cues=("file",)),
            "sales": PolicyPart(max_coaches=3, tell_listening=True),
        }
    )
    edited = {
        "default": PolicyPart(cues=("edited",), modes=frozenset({"listen"})),
        "sales": PolicyPart(max_coaches=4),
        "vip": PolicyPart(tell_listening=True),
    }
    made = layered(rules, edited)
    assert made.queue("sales") == QueuePolicy(
        max_coaches=4, talk=Talk.PUSH, cues=("edited",), modes=frozenset({"listen"}), tell_listening=True
    )
    assert made.queue("vip").tell_listening
    assert made.queue(None) == made.queue("unheard of") == made.default
    assert not made.default.tell_listening
    places = {name: source(made, "sales", name) for name in ("max_coaches", "tell_listening", "talk", "cues", "tone")}
    assert places == {
        "max_coaches": "edited",
        "tell_listening": "file",
        "talk": "default",
        "cues": "default",
        "tone": "built_in",
    }
    assert (source(made, "default", "cues"), source(made, "default", "talk")) == ("edited", "file")
    assert without(made, "sales").queue("sales").max_coaches == 3
    assert without(made, "sales").edited.keys() == {"default", "vip"}
    assert layered(made, {}).queue("sales").cues == ("file",)


def test_a_field_that_is_set_to_no_or_nothing_is_set() -> None:
    file = {"default": PolicyPart(tell_listening=True, cues=("file",), beep_on=frozenset({"end"}))}
    nothing = PolicyPart(tell_listening=False, cues=(), beep_on=frozenset())
    made = layered(Rules(file=file), {"sales": nothing}).queue("sales")
    assert (made.tell_listening, made.cues, made.beep_on) == (False, (), frozenset())


def test_the_words_are_those_of_the_file() -> None:
    assert words(PolicyPart()) == {}
    assert words(EVERYTHING) == {
        "beep": {"on": ["listen", "end"], "level": -20, "parts": [[100, 50, [440, 480]]]},
        "max_coaches": 2,
        "cues": ["Slow down"],
        "modes": ["listen", "whisper"],
        "talk": "push",
        "tell_listening": True,
        "record": True,
        "record_whisper": "separate",
        "keep_days": 30,
    }
    assert words(QueuePolicy())["modes"] == list(WAYS)


# --- who may set them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "queue", "code_"),
    [
        ({"permissions": frozenset()}, "sales", "permission_missing"),
        ({"queues": frozenset({"support"})}, "sales", "queue_out_of_scope"),
        ({"queues": frozenset()}, "sales", "queue_out_of_scope"),
        ({"queues": frozenset({"default"})}, "default", "queue_out_of_scope"),
    ],
)
def test_who_may_not_set_a_policy(world: World, changes: dict[str, Any], queue: str, code_: str) -> None:
    actor = replace(ADMIN, **changes)
    request = cmd.SetPolicy(actor, queue, EVERYTHING, "http ::1")
    with pytest.raises(Forbidden) as refusal:
        world.feed(request)
    assert refusal.value.code == code_
    assert not may_edit(actor, queue)
    assert world.rules is RULES
    row = refused(world.state, request, code_)
    assert row == fx.Audit("policy", actor, None, None, None, None, queue, "http ::1", refusal=code_)


def test_who_may_set_a_policy(world: World) -> None:
    world.feed(cmd.SetPolicy(replace(ADMIN, queues=frozenset({"sales"})), "sales", EVERYTHING))
    assert world.rules.edited == {"sales": EVERYTHING}
    put(world, EVERYTHING)
    assert world.rules.edited.keys() == {"default", "sales"}


def test_a_change_is_a_row_with_what_was_and_what_is(world: World) -> None:
    put(world, PolicyPart(max_coaches=3, cues=("Größe?",)), "sales")
    put(world, None, "sales")
    put(world, None, "sales")
    rows = world.take(fx.Audit)
    assert {(each.action, each.who, each.origin, each.refusal) for each in rows} == {
        ("policy", ADMIN, "http ::1", None)
    }
    one = {"max_coaches": 3, "cues": ["Größe?"]}
    assert [json.loads(each.detail) for each in rows] == [
        {"queue": "sales", "before": None, "after": one},
        {"queue": "sales", "before": one, "after": None},
        {"queue": "sales", "before": None, "after": None},
    ]
    assert "Größe?" in rows[0].detail, "as text that can be searched for"


def test_what_the_store_has_takes_the_place_of_what_was(world: World) -> None:
    put(world, EVERYTHING, "sales")
    world.feed(ev.PoliciesRead({"support": EVERYTHING}))
    assert world.rules.edited == {"support": EVERYTHING}
    assert world.rules.queue("sales") == world.rules.default
    assert len(world.take(notices.RulesChanged)) == 2


# --- modes that are allowed ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ways", "refused_", "granted"),
    [
        (("listen",), (Mode.WHISPER, Mode.BARGE), Mode.LISTEN),
        (("listen", "whisper"), (Mode.BARGE,), Mode.WHISPER),
        (("listen", "barge"), (Mode.WHISPER,), Mode.BARGE),
        ((), tuple(Mode), None),
        (("whisper",), tuple(Mode), None),
    ],
)
def test_only_allowed_modes_are_granted(
    world: World, ways: tuple[str, ...], refused_: tuple[Mode, ...], granted: Mode | None
) -> None:
    put(world, allowing(*ways), "sales")
    call = queued(world)
    for mode in refused_:
        assert code(world, cmd.Start(coach(), "s", "leg", 0.0, call=call.id, mode=mode)) == "mode_not_allowed"
    assert world.state.sessions == {}
    if granted is None:
        return
    session = world.coached(call)
    for mode in refused_:
        assert code(world, cmd.SetMode(session.coach, session.id, mode)) == "mode_not_allowed"
    world.mode(session, granted)
    assert world.session(session).mode is granted
    world.mode(session, Mode.LISTEN)


def test_taking_over_is_allowed_or_not(world: World) -> None:
    put(world, allowing("listen", "barge"), "sales")
    session = world.coached(queued(world))
    assert code(world, cmd.TakeOver(session.coach, session.id)) == "mode_not_allowed"
    put(world, allowing("listen", "take_over"), "sales")
    world.feed(cmd.TakeOver(session.coach, session.id))
    assert world.session(session).phase is Phase.TAKING_OVER
    put(world, allowing(), "sales")
    assert world.session(session).phase is Phase.TAKING_OVER, "he is as good as a party by now"


def test_another_queue_s_policy_does_not_matter(world: World) -> None:
    put(world, allowing(), "support")
    session = world.coached(queued(world), mode=Mode.BARGE)
    assert world.gate(session) is Gate.EVERYONE


@pytest.mark.parametrize(("mode", "left"), [(Mode.WHISPER, "barge"), (Mode.BARGE, "whisper")])
def test_a_coach_in_a_mode_that_is_no_longer_allowed_is_put_back(world: World, mode: Mode, left: str) -> None:
    put(world, PolicyPart(beep_on=frozenset({"end"})), "sales")
    session = world.coached(queued(world), mode=mode)
    assert world.gate(session) is not Gate.CLOSED
    world.take(fx.Audit)
    effects = put(world, replace(allowing("listen", left), beep_on=frozenset({"end"})), "sales")
    assert world.gate(session) is Gate.CLOSED
    assert (world.session(session).mode, world.session(session).wanted) == (Mode.LISTEN, Mode.LISTEN)
    switch = [each for each in effects if isinstance(each, fx.TellGate | fx.Beep)]
    assert [type(each) for each in switch] == [fx.TellGate, fx.Beep], "closed first"
    rows = [(each.action, each.who.id, each.detail, each.origin) for each in world.take(fx.Audit)]
    assert [row[0] for row in rows] == ["policy", "put_back"]
    assert rows[1] == ("put_back", session.coach.id, mode.value, "")
    assert code(world, cmd.SetMode(session.coach, session.id, mode)) == "mode_not_allowed"


def test_a_coach_in_a_mode_that_stays_allowed_notices_nothing(world: World) -> None:
    session = world.coached(queued(world), mode=Mode.WHISPER)
    effects = put(world, allowing("listen", "whisper"), "sales")
    assert {type(each) for each in effects} == {notices.RulesChanged, fx.Audit}
    assert world.gate(session) is Gate.AGENT


def test_a_wish_that_is_no_longer_allowed_is_not_granted(world: World) -> None:
    session = world.start(queued(world), mode=Mode.WHISPER)
    put(world, allowing("listen", "barge"), "sales")
    session = world.answer(session)
    assert (session.mode, session.wanted, world.gate(session)) == (Mode.LISTEN, Mode.LISTEN, Gate.CLOSED)


def test_where_listening_is_no_longer_allowed_sessions_end(world: World) -> None:
    session = world.coached(queued(world), mode=Mode.BARGE)
    put(world, allowing(), "sales")
    assert world.endings() == ["mode_not_allowed"]
    assert session.leg not in world.coaches


def test_a_coach_on_a_switch_that_is_lost_is_put_back_when_it_is_read(world: World) -> None:
    call = queued(world)
    session = world.coached(call, mode=Mode.BARGE)
    world.feed(ev.NodeLost(NODE, "gone"))
    effects = put(world, allowing("listen"), "sales")
    assert {type(each) for each in effects} == {notices.RulesChanged, fx.Audit}
    fresh = restarted(world)
    assert fresh.session(session).mode is Mode.LISTEN
    assert fresh.gate(session) is Gate.CLOSED


def test_between_two_calls_the_next_queue_decides(world: World) -> None:
    put(world, allowing("listen"), "support")
    session = world.coached(queued(world, "sales"), follow=Follow.AGENT, mode=Mode.WHISPER)
    world.hang_up("c1")
    put(world, allowing("listen"), "sales")
    assert world.session(session).wanted is Mode.WHISPER, "there is no call that it could be wrong for"
    world.take(fx.Beep)
    moved = world.bridge(caller_leg("c2"), agent_leg("a1", cc_agent="ana", cc_queue="support"))
    assert moved
    assert (world.session(session).call, world.session(session).mode) == (moved.id, Mode.LISTEN)
    assert world.gate(session) is Gate.CLOSED
    assert world.take(fx.Beep) == [], "nothing began, so nothing is announced"


def test_a_whisper_goes_along_where_it_is_allowed(world: World) -> None:
    put(world, allowing("listen", "whisper"), "support")
    session = world.coached(queued(world, "sales"), follow=Follow.AGENT, mode=Mode.WHISPER)
    world.bridge(caller_leg("c2"), agent_leg("a1", cc_agent="ana", cc_queue="support"))
    assert world.session(session).mode is Mode.WHISPER


def test_nobody_goes_along_to_a_call_that_may_not_be_listened_to(world: World) -> None:
    put(world, allowing(), "support")
    world.coached(queued(world, "sales"), follow=Follow.AGENT)
    world.take(fx.Attach)
    world.hang_up("a1")
    world.bridge(caller_leg("c2"), agent_leg("a2", cc_agent="ana", cc_queue="support"))
    assert world.endings() == ["mode_not_allowed"]
    assert world.take(fx.Attach) == [], "not even for a moment"


def test_a_mode_asked_for_while_the_call_is_away_is_cut_down_when_it_is_back(world: World) -> None:
    put(world, allowing("listen"), "sales")
    session = world.start(queued(world))
    world.unbridge("a1", "c1")
    world.feed(cmd.SetMode(session.coach, session.id, Mode.WHISPER))
    assert world.session(session).wanted is Mode.WHISPER
    queued(world)
    assert world.session(session).wanted is Mode.LISTEN


# --- how sessions begin ----------------------------------------------------------------------------------------------


def test_a_session_begins_with_the_talk_of_its_queue_unless_it_says(world: World) -> None:
    def talk(session: Session) -> Talk:
        world.feed(cmd.Leave(session.coach, session.id))
        return session.talk

    call = queued(world)
    assert talk(world.coached(call)) is Talk.OPEN
    put(world, PolicyPart(talk=Talk.PUSH), "sales")
    assert talk(world.coached(call)) is Talk.PUSH
    assert talk(world.coached(call, talk=Talk.OPEN)) is Talk.OPEN
    assert talk(world.coached(call, talk=Talk.PUSH)) is Talk.PUSH


def test_a_session_that_goes_on_keeps_its_talk(world: World) -> None:
    session = world.coached(queued(world))
    put(world, PolicyPart(talk=Talk.PUSH), "sales")
    assert world.session(session).talk is Talk.OPEN


def test_who_waits_for_an_agent_is_not_held_to_a_queue(world: World) -> None:
    put(world, replace(allowing(), talk=Talk.PUSH))
    session = world.start(None, agent="ana", follow=Follow.AGENT)
    assert session.talk is Talk.PUSH


def test_fewer_coaches_from_now_on(world: World) -> None:
    call = queued(world)
    world.coached(call)
    put(world, PolicyPart(max_coaches=1), "sales")
    with pytest.raises(Conflict, match="as many coaches"):
        world.start(call, coach("dora"))
