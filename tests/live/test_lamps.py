"""Line lamps over SIP: a phone subscribes, and is told by NOTIFY how an agent is."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import Phone, SipRefused
from ccwhisper.proof.stage import Stage, wait_until
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

DARK, STEADY, BLINKS = "terminated", "confirmed", "early"


@pytest.fixture(scope="module")
def whole(freeswitch: Path) -> Iterator[Stage]:
    """With a node of its own: two services would each say what they know of the same lamp. This one is started anew."""
    with PrivateNode(binary=freeswitch) as node, Stage(node, TIMES) as stage:
        yield stage


@pytest.fixture
def stage(whole: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    yield from on_stage(whole)


class Lamps:
    """The keys of a supervisor's phone."""

    def __init__(self, phone: Phone) -> None:
        self._phone = phone
        self._keys: dict[str, str] = {}

    def watch(self, user: str) -> None:
        self._keys[user] = self._phone.subscribe(user)

    def _bodies(self, user: str) -> list[str]:
        news = [each for each in list(self._phone.strays) if each.method == "NOTIFY"]
        mine = [each.body.decode() for each in news if each.call_id == self._keys[user]]
        assert all(f'entity="sip:{user}@' in body for body in mine)
        return mine

    def told(self, user: str) -> list[str]:
        """The states of this lamp so far; of a NOTIFY without a dialog, that it is dark."""
        found = [re.search(r"<state>(\w+)</state>", body) for body in self._bodies(user)]
        return [state[1] if state else DARK for state in found]

    def shows(self, user: str, state: str) -> None:
        wait_until(f"{user} is {state}", lambda: self.told(user)[-1:] == [state], 15)

    def direction(self, user: str) -> set[str]:
        return {way for body in self._bodies(user) for way in re.findall(r'direction="(\w+)"', body)}


@pytest.fixture
def lamps(stage: Stage) -> Lamps:
    return Lamps(stage.phone_of("9003", "emil"))


def test_a_lamp_follows_the_agent(stage: Stage, lamps: Lamps) -> None:
    for user in ("coach-1001", "1001", "coach-1002"):
        lamps.watch(user)
        lamps.shows(user, DARK)
    scene = stage.call("1001")
    lamps.shows("coach-1001", STEADY)
    lamps.shows("1001", STEADY)
    carla = stage.coach("carla", scene, "whisper")
    lamps.shows("coach-1001", BLINKS)
    carla.mode("listen")
    lamps.shows("coach-1001", STEADY)
    carla.mode("barge")
    lamps.shows("coach-1001", BLINKS)
    lamps.shows("1001", STEADY)
    scene.caller.hangup()
    lamps.shows("coach-1001", DARK)
    lamps.shows("1001", DARK)
    assert set(lamps.told("coach-1002")) == {DARK}
    assert lamps.direction("coach-1001") == {"initiator"}, "nobody is to be invited to pick it up"


def test_who_subscribes_late_sees_what_is_now(stage: Stage) -> None:
    scene = stage.call("1001")
    stage.coach("carla", scene, "whisper")
    lamps = Lamps(stage.phone_of("9002", "dora"))  # that has not subscribed before
    lamps.watch("coach-1001")
    lamps.shows("coach-1001", BLINKS)


def test_a_service_that_starts_sets_lamps_right(stage: Stage, lamps: Lamps) -> None:
    scene = stage.call("1001")
    lamps.watch("coach-1001")
    lamps.shows("coach-1001", STEADY)
    stage.service.kill()
    scene.caller.hangup()
    scene.agent.wait("ended", 10)
    assert lamps.told("coach-1001")[-1] == STEADY, "nobody could say otherwise"
    stage.service.start()
    stage.forget_connections()
    lamps.shows("coach-1001", DARK)


def test_who_has_no_password_sees_no_lamp(stage: Stage) -> None:
    """Nor who comes by the trunk, where nobody is asked for one."""
    ways = [("9003", "wrong", stage.node.phones_port), ("nobody", "wrong", stage.node.phones_port)]
    strangers = [
        stage.bank.phone(user, password, stage.node.domain, (stage.node.host, port))
        for user, password, port in [*ways, ("9003", None, stage.node.trunk_port)]
    ]
    for stranger in strangers:
        for watched in ("coach-1001", "1001"):
            with pytest.raises(SipRefused):
                stranger.subscribe(watched)
    known = Lamps(stage.phone_of("9002", "dora"))
    known.watch("coach-1001")
    stage.call("1001")
    known.shows("coach-1001", STEADY)
    assert not [stray for stranger in strangers for stray in stranger.strays]
