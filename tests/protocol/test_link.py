"""A node kept connected: up, loss, resync, order."""

from __future__ import annotations

import random
import re

import gevent
import pytest
from gevent.queue import Queue
from hypothesis import given
from hypothesis import strategies as st

from ccwhisper.switch.commands import eavesdrop_gate, show_channels, uuid_dump
from ccwhisper.switch.errors import CommandRefused, ConnectionLost, NotConnected, UnsafeArgument
from ccwhisper.switch.link import Backoff, Link

from .conftest import DEADLINE, PASSWORD, api_response, command_reply, json_event, obliging

pytestmark = pytest.mark.protocol

QUICK = Backoff(first=0.01, cap=0.05)


class Node:
    """A link and the diary of its callbacks."""

    def __init__(self, switch, password=PASSWORD, on_up=None, backoff=QUICK):
        self.diary: Queue = Queue()
        self.on_up = on_up or (lambda: None)
        self.switch = switch
        self.link = Link(
            "one",
            "127.0.0.1",
            switch.port,
            password,
            ["CHANNEL_ANSWER"],
            ["callcenter::info"],
            lambda event: self.diary.put(event.headers["n"]),
            self._up,
            lambda reason: self.diary.put(f"down: {reason}"),
            connect_timeout=2,
            command_timeout=1,
            backoff=backoff,
            rng=random.Random(1),
        )

    def _up(self):
        self.diary.put("up")
        self.on_up()

    def next(self):
        return self.diary.get(timeout=DEADLINE)

    def pair(self):
        """The next two connections of the switch: commands, events."""
        commands, events = self.switch.next_peer(), self.switch.next_peer()
        assert events.next_command() == "event json CHANNEL_ANSWER CUSTOM callcenter::info"
        return commands, events


@pytest.fixture
def node(switch):
    one = Node(switch)
    yield one
    one.link.stop()


def numbered(n):
    return json_event({"Event-Name": "CHANNEL_ANSWER", "n": str(n)})


def test_up_then_events(node):
    assert not node.link.up
    node.link.start()
    node.link.start()
    commands, events = node.pair()
    assert node.next() == "up"
    assert node.link.up
    events.send(numbered(1) + numbered(2))
    assert [node.next(), node.next()] == ["1", "2"]
    assert node.link.api(show_channels()) == "+OK show channels as json"
    assert commands.next_command() == "api show channels as json"
    node.link.command(eavesdrop_gate("leg", "0"))
    assert commands.next_command().startswith("sendevent NOTIFY")
    node.link.bgapi(show_channels(), "11111111-2222-3333-4444-555555555555")
    assert commands.next_command().startswith("bgapi show channels")


@pytest.mark.parametrize("which", [0, 1], ids=["commands", "events"])
def test_the_loss_of_either_takes_both_down_and_up_again(node, which):
    node.link.start()
    for _ in range(3):
        pair = node.pair()
        assert node.next() == "up"
        pair[which].close()
        assert node.next() == "down: the switch closed the connection"
        assert pair[1 - which].gone.wait(DEADLINE)
    assert node.next() == "up"


def test_events_of_the_resync_come_after_it(switch):
    def resync():
        events = switch.all[1]
        events.send(numbered(1))
        node.link.api(show_channels())  # a round trip on the other connection, so that the event has arrived
        node.diary.put("resynced")

    node = Node(switch, on_up=resync)
    node.link.start()
    assert [node.next(), node.next(), node.next()] == ["up", "resynced", "1"]
    node.link.stop()


@pytest.mark.parametrize("error", [RuntimeError("a defect"), ConnectionLost("lost"), CommandRefused("x", "-ERR")])
def test_a_resync_that_fails_takes_the_link_down(switch, error, caplog):
    failures = [error]

    def resync():
        if failures:
            raise failures.pop()

    node = Node(switch, on_up=resync)
    node.link.start()
    assert node.next() == "up"
    assert node.next().startswith("down: resync failed")
    assert node.next() == "up"
    node.link.stop()


def test_a_loss_during_resync(switch):
    answers = []

    def resync():
        if not answers:
            switch.all[0].close()
        answers.append(gevent.spawn(lambda: None))
        node.link.api(show_channels())

    node = Node(switch, on_up=resync)
    node.link.start()
    assert node.next() == "up"
    assert node.next().startswith("down: resync failed")
    assert node.next() == "up"
    node.link.stop()


def test_one_outage_is_told_once(switch):
    node = Node(switch)
    switch.banner = False
    node.link._connect_timeout = 0.02
    node.link.start()
    assert node.next().startswith("down: no connection")
    for _ in range(3):
        switch.next_peer()
    assert node.diary.empty()
    switch.banner = True
    node.link._connect_timeout = 2
    assert node.next() == "up"
    node.link.stop()


def test_a_wrong_password_is_told_and_tried_only_at_the_cap(switch):
    node = Node(switch, backoff=Backoff(first=0.0, cap=0.3))
    switch.refuse = True
    node.link.start()
    assert "password" in node.next()
    switch.next_peer()
    with pytest.raises(gevent.queue.Empty):
        switch.peers.get(timeout=0.2)
    switch.next_peer()
    assert node.diary.empty()
    switch.refuse = False
    assert node.next() == "up"
    node.link.stop()


def test_a_password_changed_during_an_outage_is_told_once_more(node, switch):
    node.link.start()
    commands, _ = node.pair()
    assert node.next() == "up"
    switch.refuse = True
    commands.close()
    assert node.next() == "down: the switch closed the connection"
    assert "password" in node.next()


def test_a_refused_subscription_is_no_link(switch):
    switch.answer = lambda command: command_reply("-ERR permission denied")
    node = Node(switch)
    node.link.start()
    assert node.next() == "down: the switch refused event json"
    node.link.stop()


def test_a_pipeline_keeps_its_order_and_its_errors(node, switch):
    def answer(command):
        if command == "api uuid_dump gone json":
            return api_response(b"-ERR No such channel!\n")
        return obliging(command)

    switch.answer = answer
    node.link.start()
    assert node.next() == "up"
    first, refused, third = node.link.pipeline([uuid_dump("a"), uuid_dump("gone"), eavesdrop_gate("a", "0")])
    assert first == "+OK uuid_dump a json"
    assert isinstance(refused, CommandRefused)
    assert third == "+OK"


def test_a_pipeline_writes_all_before_it_waits(node, switch):
    seen = []

    def answer(command):
        if command.startswith("event"):
            return obliging(command)
        seen.append(command)
        return b"".join(map(obliging, seen)) if len(seen) == 3 else None

    switch.answer = answer
    node.link.start()
    assert node.next() == "up"
    assert len(node.link.pipeline([uuid_dump(leg) for leg in "abc"])) == 3
    assert seen == [f"api uuid_dump {leg} json" for leg in "abc"]


def test_without_a_connection_nothing_is_sent(node):
    with pytest.raises(NotConnected):
        node.link.api(show_channels())
    (error,) = node.link.pipeline([show_channels()])
    assert isinstance(error, NotConnected)


def test_a_pending_command_fails_with_the_link(node, switch):
    node.link.start()
    commands, events = node.pair()
    assert node.next() == "up"
    switch.answer = lambda command: None

    def wait():
        with pytest.raises(ConnectionLost) as error:
            node.link.api(show_channels())
        return str(error.value)

    waiting = gevent.spawn(wait)
    commands.next_command()
    events.close()  # the other one
    assert "may have run" in waiting.get(timeout=DEADLINE)


def test_stop_from_a_handler(switch):
    node = Node(switch)
    node.link._on_event = lambda event: (node.link.stop(), node.diary.put("stopped"))
    node.link.start()
    _, events = node.pair()
    assert node.next() == "up"
    events.send(numbered(1))
    assert node.next() == "stopped"
    assert events.gone.wait(DEADLINE)
    node.link.stop()
    assert node.diary.empty()  # a deliberate stop is no outage


def test_stop_while_connecting(switch):
    switch.banner = False
    node = Node(switch)
    node.link.start()
    switch.next_peer()
    with gevent.Timeout(1):
        node.link.stop(timeout=0.05)


def test_callbacks_that_fail_do_not_end_the_supervision(switch, caplog):
    node = Node(switch)

    def broken(_):
        raise RuntimeError("on purpose")

    node.link._on_down = node.link._on_event = broken
    node.link.start()
    commands, events = node.pair()
    assert node.next() == "up"
    events.send(numbered(1))
    commands.close()
    assert node.next() == "up"
    node.link.stop()
    assert "on_down of switch one failed" in caplog.text
    assert not re.search(PASSWORD, caplog.text)


def test_a_bad_subscription_is_refused_at_once(switch):
    with pytest.raises(UnsafeArgument):
        Link("x", "h", 1, "p", ["A\nB"], [], print, print, print)


@given(st.integers(0, 10_000), st.integers(0, 2**32))
def test_the_backoff_stays_within_its_bounds(attempt, seed):
    delay = Backoff().delay(attempt, random.Random(seed))
    assert 0 <= delay <= min(10.0, 0.2 * 2 ** min(attempt, 20))
