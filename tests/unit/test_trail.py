"""What a refusal leaves in the trail, and what becomes of many that are alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import Actor, Call, Reply
from ccwhisper.coaching.modes import Mode, Talk
from ccwhisper.coaching.policy import MONITOR, ROLE_WHISPER, VIEW
from ccwhisper.coaching.trail import Row, refused
from ccwhisper.store.recorder import ALIKE_SECONDS, KINDS, LONGEST, Recorder
from tests.unit.world import NODE, World, agent_leg, coach

pytestmark = pytest.mark.unit


# --- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "action", "detail"),
    [
        (cmd.SetMode(coach(), "s1", Mode.BARGE), "mode", "barge"),
        (cmd.SetTalk(coach(), "s1", Talk.PUSH), "talk", "push"),
        (cmd.SetMuted(coach(), "s1", True), "mute", ""),
        (cmd.SetMuted(coach(), "s1", False), "unmute", ""),
        (cmd.Press(coach(), "s1"), "press", ""),
        (cmd.Release(coach(), "s1"), "release", ""),
        (cmd.TakeOver(coach(), "s1"), "take_over", ""),
        (cmd.Leave(coach(), "s1"), "leave", ""),
        (cmd.SendCue(coach(), "s1", "q1", "slow down", 1.0), "cue", "slow down"),
    ],
)
def test_a_refusal_says_whose_session_it_was_about(
    world: World, call: Call, request_: Any, action: str, detail: str
) -> None:
    stranger = coach("eve")
    row = refused(world.state, replace(request_, actor=stranger, origin="http ::1"), "session_not_found")
    nobody = fx.Audit(action, stranger, "s1", None, None, None, detail, "http ::1", refusal="session_not_found")
    assert row == nobody
    session = world.start(call)
    assert session.id == "s1"
    row = refused(world.state, replace(request_, actor=stranger, origin="http ::1"), "session_not_found")
    assert row == replace(nobody, agent=session.agent, call=call.id, node=NODE)


AGENTS = [
    (cmd.MarkCue(coach(), "ana", "q1", True, 1.0), "read_cue", "q1"),
    (cmd.ReplyToCue(coach(), "ana", "q1", Reply.GOT_IT, 1.0), "reply", "got_it"),
    (cmd.RaiseHand(coach(), "ana", "angry", 1.0), "hand", "angry"),
    (cmd.LowerHand(coach(), "ana"), "lower_hand", ""),
]


@pytest.mark.parametrize(("request_", "action", "detail"), AGENTS)
def test_a_refused_request_of_an_agent_says_whose_it_was(world: World, request_: Any, action: str, detail: str) -> None:
    row = refused(world.state, request_, "forbidden")
    assert (row.action, row.detail, row.agent, row.session) == (action, detail, "ana", None)


def test_a_refused_start_says_what_it_was_to_coach(world: World, call: Call) -> None:
    ask = cmd.Start(coach(), "s1", "leg", 1.0, call=call.id, mode=Mode.WHISPER, origin="o")
    row = refused(world.state, ask, "role_missing")
    assert (row.action, row.session, row.agent, row.call, row.node, row.detail, row.refusal) == (
        "start", None, call.agents[0].agent, call.id, NODE, "whisper", "role_missing",
    )  # fmt: skip
    row = refused(world.state, replace(ask, call=None, agent="1009"), "agent_not_found")
    assert (row.agent, row.call, row.node) == ("1009", None, None)
    two = world.bridge(agent_leg("a8", "1001@dom"), agent_leg("a9", "1002@dom"))
    assert two is not None
    row = refused(world.state, replace(ask, call=two.id), "target_must_be_named")
    assert (row.agent, row.call) == (None, two.id)


# --- rows ------------------------------------------------------------------------------------------------------------


class Shelf:
    """A recorder with its rows and its clock."""

    def __init__(self) -> None:
        self.now = 0.0
        self.rows: list[Row] = []
        self.record = Recorder("the installation's secret", self.rows.append, lambda: self.now)

    def refuse(self, at: float = 1.7e9, **changes: Any) -> None:
        self.record(
            replace(fx.Audit("press", coach(), "s", "1001", None, NODE, "", "o", "not_listening"), **changes), at
        )

    def told(self) -> list[tuple[str | None, int]]:
        return [(row.refusal, row.times) for row in self.rows]


def test_keys_are_those_of_the_installation_and_tell_nothing_of_its_id() -> None:
    one, other = Shelf(), Shelf()
    for shelf in (one, one, other):
        shelf.record(fx.Audit("start", coach(), "s", "1001", "c", NODE, "listen", "o"), 1.7e9)
    assert [row.seq for row in one.rows] == [1, 2]
    assert one.rows[0].installation == other.rows[0].installation
    assert one.rows[0].epoch == one.rows[1].epoch != other.rows[0].epoch
    assert "secret" not in str(one.rows)


def test_a_row_holds_the_rights_that_count_and_text_that_every_database_takes() -> None:
    shelf = Shelf()
    who = Actor("eve\0", "E\ud800", frozenset({VIEW, MONITOR, "shop"}), frozenset({ROLE_WHISPER, "janitor"}))
    shelf.record(fx.Audit("start", who, None, "x" * 9999, None, None, "a\0b", "o", switch_at=1.6e9), 1.7e9)
    (row,) = shelf.rows
    assert (row.permissions, row.roles) == ((MONITOR, VIEW), (ROLE_WHISPER,))
    assert (row.actor, row.name, row.detail, len(row.agent or "")) == ("eve\ufffd", "E?", "a\ufffdb", LONGEST)
    assert row.switch_at is not None
    assert (row.at.timestamp(), row.switch_at.timestamp(), row.at.utcoffset().total_seconds()) == (1.7e9, 1.6e9, 0)  # type: ignore[union-attr]


def test_refusals_that_are_alike_are_one_row_and_their_number() -> None:
    shelf = Shelf()
    for second in range(5):
        shelf.refuse(at=1.7e9 + second)
    shelf.refuse(refusal="session_ended")
    shelf.refuse(origin="elsewhere")
    assert shelf.told() == [("not_listening", 1), ("session_ended", 1), ("not_listening", 1)]
    shelf.now = ALIKE_SECONDS
    shelf.refuse(at=1.8e9)
    assert shelf.told()[3:] == [("not_listening", 4), ("not_listening", 1)]
    assert [row.at.timestamp() for row in shelf.rows[3:]] == [1.7e9 + 4, 1.8e9]


def test_what_is_counted_is_written_at_the_end() -> None:
    shelf = Shelf()
    shelf.refuse()
    shelf.refuse()
    shelf.record.sweep()
    assert shelf.told() == [("not_listening", 1)]
    shelf.record.sweep(everything=True)
    assert shelf.told() == [("not_listening", 1), ("not_listening", 1)]


def test_not_more_kinds_are_counted_than_there_is_room_for() -> None:
    shelf = Shelf()
    shelf.refuse()
    shelf.refuse()
    for number in range(KINDS + 1):
        shelf.refuse(session=str(number))
    assert len(shelf.record._alike) <= KINDS + 1
    assert len(shelf.rows) == 1 + KINDS + 1 + 1, "the oldest was written with its number, to make room"


def test_what_is_done_is_never_counted_together() -> None:
    shelf = Shelf()
    shelf.refuse(refusal=None)
    shelf.refuse(refusal=None)
    assert shelf.told() == [(None, 1), (None, 1)]
