"""The engine: whose turn it is, what leaves it in which order, and what it survives."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.queue import Queue

from ccwhisper.coaching import commands as cmd
from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching import notices
from ccwhisper.coaching.errors import NotFound, Unavailable
from ccwhisper.coaching.model import Node
from ccwhisper.coaching.modes import Mode, Talk
from ccwhisper.engine import Engine, NoticeLog, SwitchPort
from tests.unit.world import NODE, RULES, agent_leg, caller_leg, coach

pytestmark = pytest.mark.unit

DEADLINE = 5.0
HOURS = 3600.0


class Port(SwitchPort):
    """Keeps what it is told, but for guard and lamps, which go on beside everything else. `deaf` raises instead."""

    def __init__(self) -> None:
        self.told: Queue[fx.SwitchEffect] = Queue()
        self.deaf: tuple[type, ...] = ()
        self.post: Callable[[ev.Fact], None] | None = None

    def start(self, post: Callable[[ev.Fact], None]) -> None:
        self.post = post

    def stop(self) -> None:
        self.post = None

    def perform(self, effect: fx.SwitchEffect) -> None:
        if isinstance(effect, self.deaf):
            raise KeyError(effect.node)
        if not isinstance(effect, fx.LookForTaps | fx.ShowLamp):
            self.told.put(effect)

    def next(self) -> fx.SwitchEffect:
        return self.told.get(timeout=DEADLINE)

    def so_far(self) -> list[fx.SwitchEffect]:
        return [self.told.get() for _ in range(len(self.told))]


class Clock:
    """Stands still unless it is set, or told to go on by a step each time it is looked at."""

    def __init__(self) -> None:
        self.now = 100.0
        self.step = 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


class Bench:
    """An engine over a port, with one call on its switch."""

    def __init__(self) -> None:
        self.port, self.clock = Port(), Clock()
        self.trail: list[tuple[fx.Audit, float]] = []
        self.refusals: list[fx.Audit] = []
        self.disk = Event()  # that the trail is written to
        self.disk.set()
        self.engine = Engine(RULES, self.port, [NODE], self._keep, self.clock, lambda: 1.7e9)

    def _keep(self, row: fx.Audit, at: float) -> None:
        if row.refusal:
            self.refusals.append(row)
            return
        self.disk.wait(DEADLINE)
        self.trail.append((row, at))

    def up(self) -> Bench:
        self.engine.start()
        legs = caller_leg("c1", peer="a1"), agent_leg("a1", peer="c1")
        self.feed(ev.NodeSynced(NODE, legs))
        assert isinstance(self.port.next(), fx.RenewLease)  # due at once
        return self

    def feed(self, *facts: ev.Fact) -> None:
        """Post facts and wait until they have had their turn."""
        for fact in facts:
            self.engine.post(fact)
        with pytest.raises(NotFound):  # a request of no effect: when it is answered, what was before it has been done
            self.engine.ask(cmd.Leave(coach(), "nobody"))

    def start(self, **changes: Any) -> None:
        (call,) = self.engine.state.calls
        self.engine.ask(cmd.Start(coach(), "s1", "coach1", 1.7e9, call=call, **changes))

    def coached(self, **changes: Any) -> None:
        self.start(**changes)
        self.feed(ev.Parked(NODE, "coach1", ours=True), ev.EavesdropStarted(NODE, "a1"))


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.engine.stop()


# --- requests --------------------------------------------------------------------------------------------------------


def test_a_request_is_answered_with_the_state_right_after_it(bench: Bench) -> None:
    bench.up()
    (call,) = bench.engine.state.calls
    state = bench.engine.ask(cmd.Start(coach(), "s1", "coach1", 1.7e9, call=call))
    assert list(state.sessions) == ["s1"]
    assert state is bench.engine.state


def test_a_refused_request_changes_nothing(bench: Bench) -> None:
    bench.up()
    before, seq = bench.engine.state, bench.engine.log.seq
    with pytest.raises(NotFound) as refusal:
        bench.engine.ask(cmd.Start(coach(), "s1", "coach1", 1.7e9, call="nope"))
    assert refusal.value.code == "call_not_found"
    assert bench.engine.state is before
    assert bench.engine.log.seq == seq
    assert bench.port.so_far() == []
    assert bench.trail == []
    assert [(row.action, row.call, row.refusal) for row in bench.refusals][1:] == [("start", "nope", "call_not_found")]


def test_a_request_that_was_given_up_is_not_carried_out_later(bench: Bench) -> None:
    """Its asker has been told that it was not."""
    bench.up()
    bench.start()
    bench.disk.clear()
    busy = gevent.spawn(bench.engine.ask, cmd.SetTalk(coach(), "s1", Talk.PUSH))
    gevent.sleep(0)
    with pytest.raises(Unavailable) as refusal:
        bench.engine.ask(cmd.SetMuted(coach(), "s1", True), timeout=0.01)
    assert refusal.value.code == "engine_busy"
    assert [(row.action, row.session, row.refusal) for row in bench.refusals][1:] == [("mute", "s1", "engine_busy")]
    assert refusal.value.retry
    bench.disk.set()
    assert busy.get(timeout=DEADLINE).sessions["s1"].talk is Talk.PUSH
    bench.feed()
    assert [row.action for row, _ in bench.trail] == ["start", "talk"]
    assert not bench.engine.state.sessions["s1"].muted


def test_a_row_has_the_switch_s_time_of_the_fact_behind_it(bench: Bench) -> None:
    bench.up()
    bench.start()
    bench.engine.post(ev.HungUp(NODE, "coach1", "USER_BUSY"), 1.6e9)
    bench.feed()
    assert [(row.action, row.switch_at, at) for row, at in bench.trail] == [
        ("start", None, 1.7e9),
        ("end", 1.6e9, 1.7e9),
    ]


# --- order -----------------------------------------------------------------------------------------------------------


def test_effects_leave_in_order_rows_and_notices_go_elsewhere(bench: Bench) -> None:
    bench.up()
    seq = bench.engine.log.seq
    bench.coached(mode=Mode.WHISPER)
    told = [type(each) for each in bench.port.so_far()]
    assert told == [fx.Dial, fx.Attach, fx.TellGate, fx.Beep]
    assert [(row.action, at) for row, at in bench.trail] == [("start", 1.7e9), ("listen", 1.7e9), ("mode", 1.7e9)]
    entries = bench.engine.log.since(seq)
    assert entries
    assert [entry.seq for entry in entries] == list(range(seq + 1, seq + 1 + len(entries)))
    assert {type(entry.notice) for entry in entries} == {notices.SessionChanged}
    assert {entry.at for entry in entries} == {1.7e9}


def test_the_state_is_there_when_its_notice_is(bench: Bench) -> None:
    bench.up()
    seq = bench.engine.log.seq
    seen: list[list[str]] = []

    def follow() -> None:
        bench.engine.log.wait(seq, DEADLINE)
        seen.append(list(bench.engine.state.sessions))

    follower = gevent.spawn(follow)
    gevent.sleep(0)
    bench.start()
    follower.join(DEADLINE)
    assert seen == [["s1"]]


# --- time ------------------------------------------------------------------------------------------------------------


def test_a_timer_that_is_due_has_its_turn(bench: Bench) -> None:
    bench.up()
    bench.clock.now += RULES.lease_every
    bench.feed()
    assert bench.port.so_far() == [fx.RenewLease(NODE)]


def test_without_a_timer_the_engine_waits_for_something_to_happen(bench: Bench) -> None:
    bench.engine.start()
    gevent.sleep(0)
    bench.clock.now += HOURS
    bench.feed()
    assert bench.port.so_far() == []


def test_the_engine_wakes_by_itself() -> None:
    port = Port()
    engine = Engine(RULES, port, [NODE])
    engine.start()
    engine.post(ev.NodeSynced(NODE, ()))
    assert port.next() == fx.RenewLease(NODE)
    engine.stop()
    assert port.post is None


def test_a_flood_of_facts_does_not_hold_up_a_timer(bench: Bench) -> None:
    """A key that is no longer held closes in time, however much there is to do."""
    bench.up()
    bench.clock.step = RULES.lease_every / 20
    bench.feed(*(ev.Parked(NODE, f"x{number}", ours=True) for number in range(40)))
    told = bench.port.so_far()
    assert [each.leg for each in told if isinstance(each, fx.HangUp)] == [f"x{number}" for number in range(40)]
    assert fx.RenewLease(NODE) in told[:30]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_turn_that_fails_is_dropped_whole_and_the_next_one_runs(bench: Bench, caplog: Any) -> None:
    bench.up()
    before = bench.engine.state
    bench.feed("no fact at all")  # type: ignore[arg-type]
    assert "a turn failed: str" in caplog.text
    assert bench.engine.state is before
    with pytest.raises(KeyError):
        bench.engine.ask("no request at all")  # type: ignore[arg-type]
    bench.start()
    assert "s1" in bench.engine.state.sessions


def test_a_timer_that_fails_does_not_keep_the_engine_from_its_work(bench: Bench, caplog: Any) -> None:
    bench.up()
    bench.engine.rules = replace(RULES, lease_every="soon")  # type: ignore[arg-type]
    bench.clock.now += HOURS
    bench.start()
    assert "a turn failed: Tick" in caplog.text
    assert "s1" in bench.engine.state.sessions


def test_a_fact_that_is_refused_is_a_defect_and_no_more(bench: Bench, caplog: Any) -> None:
    bench.up()
    bench.feed(cmd.Leave(coach(), "nobody"))  # type: ignore[arg-type]
    assert "a fact was refused: Leave" in caplog.text
    bench.start()


def test_an_effect_that_cannot_be_handed_over_does_not_keep_back_the_others(bench: Bench, caplog: Any) -> None:
    bench.up()
    bench.port.deaf = (fx.Dial,)
    seq = bench.engine.log.seq
    bench.start()
    assert "Dial was lost" in caplog.text
    assert [row.action for row, _ in bench.trail] == ["start"]
    assert bench.engine.log.seq == seq + 1
    bench.engine.ask(cmd.Leave(coach(), "s1"))
    assert [type(each) for each in bench.port.so_far()] == [fx.HangUp]


def test_a_row_that_cannot_be_written_does_not_end_the_engine(bench: Bench, caplog: Any) -> None:
    def full(row: fx.Audit, at: float) -> None:
        raise ValueError("closed file")

    bench.up()
    bench.engine._audit = full
    bench.start()
    assert "Audit was lost" in caplog.text
    assert [type(each) for each in bench.port.so_far()] == [fx.Dial]


# --- followers -------------------------------------------------------------------------------------------------------


def changed(number: int) -> notices.NodeChanged:
    return notices.NodeChanged(Node(str(number)))


def test_a_reader_gets_what_is_new_to_him() -> None:
    log = NoticeLog()
    log.extend([changed(1), changed(2)], 1.0)
    log.extend([], 2.0)
    assert [(entry.seq, entry.notice) for entry in log.since(1) or ()] == [(2, changed(2))]
    assert log.since(2) == []


def test_a_reader_who_is_too_far_behind_starts_anew() -> None:
    log = NoticeLog(size=2)
    log.extend(map(changed, range(5)), 1.0)
    assert log.since(2) is None
    assert [entry.seq for entry in log.since(3) or ()] == [4, 5]
    assert log.since(6) is None, "a number of another life"
    assert log.wait(2, DEADLINE) is None


def test_every_waiting_reader_is_woken() -> None:
    log = NoticeLog()
    readers = [gevent.spawn(log.wait, 0, DEADLINE) for _ in range(3)]
    gevent.sleep(0)
    log.extend([changed(1)], 1.0)
    assert [[entry.seq for entry in reader.get(timeout=DEADLINE)] for reader in readers] == [[1]] * 3


def test_a_reader_does_not_wait_for_ever() -> None:
    assert NoticeLog().wait(0, 0) == []


def test_waiting_for_a_condition(bench: Bench) -> None:
    bench.up()
    waiting = gevent.spawn(bench.engine.wait_for, lambda state: "s1" in state.sessions, DEADLINE)
    gevent.sleep(0)
    assert not waiting.ready()
    bench.start()
    assert waiting.get(timeout=DEADLINE)
    assert not bench.engine.wait_for(lambda state: not state.sessions, 0)


def test_the_first_state_knows_the_nodes_and_that_they_are_not_there_yet() -> None:
    engine = Engine(RULES, Port(), ["n1", "n2"])
    assert engine.state.nodes == MappingProxyType({"n1": Node("n1"), "n2": Node("n2")})
    engine.stop()
