"""Feature codes of desk phones: who may, what becomes of it, and who hears why not."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.dialin import PROMPTS
from ccwhisper.coaching.model import Actor, Agent, Call, Follow, Leg, Phase, Session
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.coaching.policy import MONITOR, VIEW, QueuePolicy

from .world import NODE, RULES, World, agent_leg, caller_leg, coach, on_switch, restarted

pytestmark = pytest.mark.unit

CARLA = Actor("carla", "Carla", frozenset({VIEW, MONITOR}), frozenset({"whisper", "barge"}), frozenset({"*"}),
              ("9001@dom",))  # fmt: skip


def world(actor: Actor = CARLA, **rules: Any) -> World:
    return World(rules=replace(RULES, supervisors={"9001@dom": actor}, **rules)).up()


def on_call(world: World, leg: str = "a", caller: str = "c", **changes: Any) -> Call:
    call = world.bridge(agent_leg(leg, **changes), caller_leg(caller))
    assert call
    return call


def phone(code: str | None = "listen", wanted: str = "1001", user: str | None = "9001@dom", **changes: Any) -> Leg:
    return replace(caller_leg("k", auth_user=user, dialin=code, wanted=wanted), **changes)


def dial(world: World, leg: Leg) -> list[fx.Effect]:
    """A phone dials in; the service reads its leg."""
    effects = world.feed(ev.DialedIn(NODE, leg.id))
    assert effects == [fx.ReadDialIn(NODE, leg.id)]
    world.legs[leg.id] = leg
    return world.feed(ev.DialInRead(NODE, leg, "s1", 1.7e9))


def session(world: World) -> Session:
    return world.state.sessions["s1"]


def refused(world: World, leg: Leg) -> tuple[str, str | None]:
    """The prompt and the code of a refusal."""
    before = world.state
    effects = dial(world, leg)
    assert world.state.sessions == before.sessions
    audit, decline = effects
    assert isinstance(audit, fx.Audit)
    assert isinstance(decline, fx.Decline)
    assert (audit.origin, audit.node, decline.leg) == ("phone", NODE, leg.id)
    assert decline.prompt in PROMPTS
    return decline.prompt, audit.refusal


def test_a_supervisor_listens_from_his_phone() -> None:
    here = world()
    call = on_call(here)
    effects = dial(here, phone())
    admit = next(each for each in effects if isinstance(each, fx.Admit))
    assert (admit.prompt, admit.record.coach, admit.record.target, admit.record.device) == (
        None, "carla", "a", "9001@dom"
    )  # fmt: skip
    assert [each.origin for each in effects if isinstance(each, fx.Audit) and each.action == "start"] == ["phone"]
    now = session(here)
    assert (now.phase, now.call, now.follow, now.mode, now.agent) == (
        Phase.ATTACHED, call.id, Follow.AGENT, Mode.LISTEN, "ana"
    )  # fmt: skip
    assert here.gate(now) is Gate.CLOSED
    assert not any(isinstance(each, fx.Remember) for each in effects), "the record is written once"
    # A session like any other: the page drives it, too.
    here.feed(cmd.SetMode(CARLA, "s1", Mode.WHISPER))
    assert here.gate(now) is Gate.AGENT


def test_who_knows_no_supervisors_leaves_the_phones_of_others_alone() -> None:
    """Two services may be on one switch: `ccwhisper prove` is one for as long as it lasts."""
    here = World().up()
    on_call(here)
    assert dial(here, phone()) == []
    assert not here.state.sessions


def test_who_was_admitted_in_the_moment_that_the_connection_was_lost_is_admitted_again() -> None:
    here = world()
    on_call(here)
    dial(here, phone())
    del here.coaches["k"]  # what was said to the switch has never arrived
    here.legs["k"] = phone()
    here.feed(ev.NodeLost(NODE, "reset"))
    assert fx.ReadDialIn(NODE, "k") in here.feed(ev.NodeSynced(NODE, tuple(on_switch(here))))
    assert not here.state.sessions
    here.feed(ev.DialInRead(NODE, phone(), "s2", 1.7e9))
    assert here.state.sessions["s2"].phase is Phase.ATTACHED
    here.wait(10)
    assert here.state.sessions["s2"].phase is Phase.ATTACHED


def test_the_page_starts_no_second_one_with_the_same_phone() -> None:
    here = world()
    call = on_call(here)
    dial(here, phone())
    other = replace(CARLA, id="dora")
    with pytest.raises(Exception, match="already in a coaching session"):
        here.start(call, other)
    with pytest.raises(Exception, match="already coaching"):
        here.start(call, replace(CARLA, devices=("carla@dom",)))


def test_whisper_goes_on_to_whisper_and_barge_asks_first() -> None:
    here = world()
    on_call(here)
    dial(here, phone("whisper"))
    assert here.gate(session(here)) is Gate.AGENT
    here = world()
    on_call(here)
    effects = dial(here, phone("barge"))
    assert [each.prompt for each in effects if isinstance(each, fx.Admit)] == ["barge"]
    assert (session(here).mode, here.gate(session(here))) == (Mode.LISTEN, Gate.CLOSED)


@pytest.mark.parametrize("code", ["listen", "whisper", "barge"])
def test_without_a_call_the_next_one_is_waited_for(code: str) -> None:
    here = world()
    effects = dial(here, phone(code))
    assert [each.prompt for each in effects if isinstance(each, fx.Admit)] == ["waiting"]
    assert session(here).phase is Phase.WAITING
    on_call(here)
    assert session(here).phase is Phase.ATTACHED
    assert here.gate(session(here)) is (Gate.AGENT if code == "whisper" else Gate.CLOSED)


def test_help_goes_to_who_has_asked_longest() -> None:
    here = world(replace(CARLA, queues=frozenset({"support", "sales"})))
    on_call(here)
    ben = on_call(here, "b", "d", user="1002@dom")
    assert refused(here, phone("help", "")) == ("nobody-asks", "nobody_asks")
    here.feed(cmd.RaiseHand(coach(), "ben", "", 5.0))
    here.feed(cmd.RaiseHand(coach(), "ana", "", 6.0))
    dial(here, phone("help", ""))
    assert session(here).call == ben.id
    assert set(here.state.hands) == {"ana"}, "whoever listens has answered"


def test_help_of_other_queues_is_none() -> None:
    here = world(replace(CARLA, queues=frozenset({"support"})))
    on_call(here)
    here.feed(cmd.RaiseHand(coach(), "ana", "", 5.0))
    assert refused(here, phone("help", "")) == ("nobody-asks", "nobody_asks")


def test_an_agent_is_dialled_by_id_by_user_or_as_the_call_centre_knows_him() -> None:
    for wanted, agent, known in (
        ("1001", "ana", RULES.agents),
        ("77", "77", {"77": Agent("77", "Eve", frozenset({"eve@dom"}))}),
        ("1001", "1001@dom", {"1001@dom": Agent("1001@dom", "Eve", frozenset({"eve@dom"}))}),
    ):
        here = world(agents=known)
        dial(here, phone(wanted=wanted))
        assert session(here).agent == agent
    here = world()
    call = here.bridge(agent_leg("a", "", cc_agent="1009@dom"), caller_leg("c"))
    assert call
    dial(here, phone(wanted="1009"))
    assert session(here).agent == "1009@dom"


def test_of_several_calls_the_latest() -> None:
    here = world()
    on_call(here)
    later = on_call(here, "b", "d", created_at=9.0)
    dial(here, phone())
    assert session(here).call == later.id


def test_who_may_not_hears_why() -> None:
    here = world()
    on_call(here)
    assert refused(here, phone(user=None)) == ("not-permitted", "not_a_supervisor")
    assert refused(here, phone(user="1001@dom")) == ("not-permitted", "not_a_supervisor")
    assert refused(here, phone(wanted="4711")) == ("no-such-agent", "agent_not_found")
    here.rules = replace(here.rules, default=QueuePolicy(modes=frozenset({"listen"})))
    assert refused(here, phone("barge")) == ("not-allowed", "mode_not_allowed")
    here.rules = replace(here.rules, default=QueuePolicy(max_coaches=0))
    assert refused(here, phone()) == ("not-now", "too_many_coaches")


@pytest.mark.parametrize(
    ("changes", "code", "why"),
    [
        ({"permissions": frozenset({VIEW})}, "listen", "permission_missing"),
        ({"roles": frozenset({"barge"})}, "whisper", "role_missing"),
        ({"roles": frozenset({"whisper"})}, "barge", "role_missing"),
        ({"queues": frozenset({"support"})}, "listen", "queue_out_of_scope"),
    ],
)
def test_rights_are_those_of_the_configuration(changes: dict[str, Any], code: str, why: str) -> None:
    here = world(replace(CARLA, **changes))
    on_call(here)
    assert refused(here, phone(code)) == ("not-permitted", why)


def test_the_phone_must_have_called_the_switch_of_the_call() -> None:
    here = world()
    here.feed(ev.NodeSynced("n2", ()))
    on_call(here)
    here.feed(ev.DialedIn("n2", "k"))
    effects = here.feed(ev.DialInRead("n2", phone(), "s1", 1.7e9))
    assert fx.Decline("n2", "k", "not-now") in effects


@pytest.mark.parametrize("leg", [phone(None), phone("nonsense"), phone(is_coach=True)])
def test_a_hint_that_is_wrong_changes_nothing(leg: Leg) -> None:
    here = world()
    on_call(here)
    assert dial(here, leg) == []


def test_a_hint_too_many_changes_nothing() -> None:
    here = world()
    on_call(here)
    dial(here, phone())
    assert here.feed(ev.DialedIn(NODE, "k"), ev.DialInRead(NODE, phone(), "s2", 1.7e9)) == []


def test_a_switch_that_cannot_admit_him_ends_it() -> None:
    here = world()
    on_call(here)
    here.prompt = False
    dial(here, phone())
    here.pending.clear()
    here.feed(ev.CommandFailed("s1", "attach", "no such leg"))
    assert session(here).phase is Phase.ENDING


def test_while_the_prompt_plays_he_may_hang_up_or_press_a_key() -> None:
    here = world()
    on_call(here)
    here.prompt = False
    dial(here, phone("barge"))
    assert session(here).phase is Phase.RINGING
    here.feed(ev.KeyPressed(NODE, "k", "2"))
    assert here.take(fx.Sound) == []
    here.prompt = True
    here.park("k")
    assert here.gate(session(here)) is Gate.AGENT
    here.prompt = False
    here.feed(cmd.Leave(CARLA, "s1"), ev.HungUp(NODE, "k", ""))
    dial(here, phone("barge"))
    here.feed(ev.HungUp(NODE, "k", "NORMAL_CLEARING"))
    assert here.endings() == ["coach_left", "coach_left"]


def test_who_dialled_while_nobody_was_there_is_read_after_a_start() -> None:
    here = world()
    here.legs["k"] = phone()
    fresh = restarted(here)
    assert fresh.take(fx.ReadDialIn) == [fx.ReadDialIn(NODE, "k")]


def test_a_restart_keeps_what_was_passed() -> None:
    here = world()
    on_call(here)
    dial(here, phone())
    here.feed(ev.KeyPressed(NODE, "k", "#"))
    assert session(here).phase is Phase.WAITING
    fresh = restarted(here)
    assert session(fresh).phase is Phase.WAITING
    assert session(fresh).talk is Talk.OPEN
