"""The guard: whose eavesdrops are on a leg, asked of a switch on a real socket."""

from __future__ import annotations

import time
from collections.abc import Iterator

import gevent
import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching import events as ev
from ccwhisper.coaching.model import Tap
from ccwhisper.switch import guard

from .conftest import DEADLINE, Switch, api_response
from .test_nodes import REFUSED, Bench, coach_leg, rows

pytestmark = pytest.mark.protocol

AGENT = "06c7895a-3c11-497a-9c14-485243cb686b"
ELSEWHERE = "fe312b15-a5e0-4915-bce8-3a5626389392"


def bugs(*functions: str, target: str = AGENT) -> bytes:
    """As a FreeSWITCH lists them."""
    one = "  <function>{}</function>\n  <target>{}</target>\n  <thread-locked>0</thread-locked>\n"
    found = "".join(f" <media-bug>\n{one.format(name, target)} </media-bug>\n" for name in functions)
    return api_response(f"<media-bugs>\n{found}</media-bugs>\n".encode())


def ours(name: str, target: str = AGENT) -> dict[str, str]:
    running = {"variable_current_application": "eavesdrop", "variable_current_application_data": target}
    return {**coach_leg(name), **running}


def spy(name: str, application: str = "eavesdrop", data: str = AGENT, **more: str) -> dict[str, str]:
    running = {"variable_current_application": application, "variable_current_application_data": data}
    return {"Unique-ID": name, "Call-Direction": "inbound", "Caller-Caller-ID-Number": "+1999", **running, **more}


class Guarded(Bench):
    """A node with its guard."""

    def __init__(self, switch: Switch) -> None:
        super().__init__(switch)
        self.late = 0  # how often the list of legs does not show who eavesdrops yet

    def answer(self, command: str) -> bytes | None:
        if command != "api show channels as json" or command in self.replies:
            return super().answer(command)
        self.said.append(command)
        self.late -= 1
        return rows(*(row(each) for each in self.legs.values() if self.late < 0))

    def look(self, on: bytes, *known: str) -> tuple[Tap, ...]:
        """What is found on the agent's leg, when this is on it."""
        self.replies[f"api uuid_buglist {AGENT}"] = on
        self.node.perform(fx.LookForTaps("n", AGENT, frozenset(known)))
        fact = self.next()
        assert isinstance(fact, ev.Tapped)
        assert (fact.node, fact.leg) == ("n", AGENT)
        return fact.taps

    def times(self, command: str) -> int:
        return sum(line.startswith(command) for line in self.said)


def row(leg: dict[str, str]) -> dict[str, str]:
    running = (leg.get(f"variable_current_{name}", "") for name in ("application", "application_data"))
    return dict(zip(("uuid", "application", "application_data"), (leg["Unique-ID"], *running), strict=True))


@pytest.fixture
def bench(switch: Switch, monkeypatch: pytest.MonkeyPatch) -> Iterator[Guarded]:
    monkeypatch.setattr(guard, "SETTLED", 0.0)
    bench = Guarded(switch)
    bench.up()
    yield bench
    bench.node.stop()


def test_a_leg_with_our_coaches_alone(bench: Guarded) -> None:
    """The list of all legs is long, and not asked for."""
    bench.legs = {name: ours(name) for name in ("k1", "k2")}
    assert bench.look(bugs("session_record", "eavesdrop", "displace", "eavesdrop"), "k1", "k2") == ()
    assert bench.look(bugs("session_record")) == ()
    assert bench.look(REFUSED) == (), "the leg is gone"
    assert bench.times("api show channels") == 0


def test_somebody_else_on_it(bench: Guarded) -> None:
    bench.legs = {"k1": ours("k1"), "x1": spy("x1"), "x2": spy("x2", data=ELSEWHERE), "c1": {"Unique-ID": "c1"}}
    assert bench.look(bugs("eavesdrop", "eavesdrop"), "k1") == (Tap("n", AGENT, "x1", "+1999"),)
    assert bench.look(bugs("eavesdrop"), "k1") == (), "he has gone"


DIGEST = {"variable_sip_auth_username": "9", "variable_sip_auth_realm": "dom"}


@pytest.mark.parametrize(
    ("how", "who"),
    [
        ({"variable_sip_authorized": "true", **DIGEST}, "9@dom"),
        (DIGEST, "+1999"),
        ({"Call-Direction": "outbound", "variable_dialed_user": "9", "variable_dialed_domain": "dom"}, "9@dom"),
        ({"Caller-Caller-ID-Number": "", "Caller-Caller-ID-Name": "Eve" * 99}, ("Eve" * 99)[:128]),
    ],
)
def test_who_it_is_as_far_as_the_switch_knows(bench: Guarded, how: dict[str, str], who: str) -> None:
    bench.legs = {"x1": spy("x1", **how)}
    assert [each.who for each in bench.look(bugs("eavesdrop"))] == [who]


@pytest.mark.parametrize(
    ("application", "data"),
    [("three_way", AGENT), ("eavesdrop", "all"), ("userspy", f"1001@dom {AGENT}"), ("userspy", "1001@dom")],
)
def test_every_application_that_eavesdrops(bench: Guarded, application: str, data: str) -> None:
    bench.legs = {"x1": spy("x1", application, data)}
    assert [each.by for each in bench.look(bugs("eavesdrop"))] == ["x1"]


def test_who_is_named_comes_before_who_may_be_elsewhere(bench: Guarded) -> None:
    bench.legs = {"x1": spy("x1", data="all"), "x2": spy("x2")}
    assert [each.by for each in bench.look(bugs("eavesdrop"))] == ["x2"]


def test_a_coach_of_another_installation(bench: Guarded) -> None:
    bench.legs = {"k1": ours("k1"), "o1": {**ours("o1"), "variable_ccw_lease": "another"}}
    assert bench.look(bugs("eavesdrop", "eavesdrop"), "k1") == (Tap("n", AGENT, "o1", "Carla", other=True),)


def test_a_coach_whom_only_another_service_of_this_installation_knows(bench: Guarded) -> None:
    bench.legs = {"k1": ours("k1"), "k2": ours("k2")}
    assert bench.look(bugs("eavesdrop", "eavesdrop"), "k1") == ()
    bench.legs["x1"] = spy("x1")
    assert [each.by for each in bench.look(bugs(*["eavesdrop"] * 3), "k1")] == ["x1"]


def test_a_coach_of_ours_who_is_not_on_it_yet_does_not_count(bench: Guarded) -> None:
    bench.legs = {"k1": ours("k1", ELSEWHERE), "x1": spy("x1")}
    assert [each.by for each in bench.look(bugs("eavesdrop"), "k1")] == ["x1"]


def test_the_list_is_late_and_read_again(bench: Guarded) -> None:
    bench.legs = {"x1": spy("x1")}
    for _ in range(2):
        bench.said, bench.late = [], 2
        assert [each.by for each in bench.look(bugs("eavesdrop"))] == ["x1"]
        assert bench.times("api show channels") == 3


def test_who_is_not_found_is_reported_all_the_same(bench: Guarded) -> None:
    bench.legs = {"x1": spy("x1"), "x2": spy("x2", data=ELSEWHERE)}
    assert bench.look(bugs("eavesdrop", "eavesdrop")) == (Tap("n", AGENT, "x1", "+1999"), Tap("n", AGENT, None))
    assert bench.times("api show channels") == 3
    assert bench.look(bugs()) == ()


def test_a_name_that_no_command_may_hold_is_passed_over(bench: Guarded) -> None:
    bench.legs = {"x y": spy("x y"), "x1": spy("x1")}
    bench.node.perform(fx.LookForTaps("n", "all", frozenset()))
    assert [each.by for each in bench.look(bugs("eavesdrop"))] == ["x1"]


def test_a_switch_that_was_slow_is_asked_again(bench: Guarded) -> None:
    bench.node.link._command_timeout = 0.05
    bench.legs = {"x1": spy("x1")}
    asked, on = 0, bugs("eavesdrop")

    def slow(command: str) -> bytes | None:
        nonlocal asked
        answer = bench.answer(command)
        if command.startswith("api uuid_buglist"):
            asked += 1
            return {1: None, 2: on + on}.get(asked, on)  # the first one's answer comes after all
        return answer

    bench.switch.answer = slow
    assert [each.by for each in bench.look(on)] == ["x1"]


def test_a_defect_does_not_end_the_guard(bench: Guarded, caplog: pytest.LogCaptureFixture) -> None:
    bench.replies["api show channels as json"] = api_response(b"no JSON")
    bench.replies[f"api uuid_buglist {AGENT}"] = bugs("eavesdrop")
    bench.node.perform(fx.LookForTaps("n", AGENT, frozenset()))
    deadline = time.monotonic() + DEADLINE
    while "could not look" not in caplog.text:
        assert time.monotonic() < deadline
        gevent.sleep(0.01)
    assert bench.look(bugs()) == ()
