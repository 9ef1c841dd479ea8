"""The INVITE that a coach's phone gets: whose call it is, and how the phone is asked to answer."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator

import pytest

from ccwhisper.coaching import effects as fx
from ccwhisper.coaching.model import CoachRecord, Follow
from ccwhisper.coaching.modes import Gate, Mode, Talk
from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import PhoneCall
from ccwhisper.proof.stage import DEVICES, Scene, Stage
from ccwhisper.switch.dialling import ANSWERS, ring
from tests.scenarios.stage import TIMES

pytestmark = pytest.mark.live

HOSTILE = 'Zoë "Eve" <sip:x@y>, %0AVia: {a=b}[c]${hostname}|:_:user/1002'
ANSWERED = {"9001": "common", "9002": "poly", "9003": "none"}
RECORD = CoachRecord("s", "emil", "Emil", "9003@dom", "1001", None, None, None, Mode.LISTEN, Mode.LISTEN, Talk.OPEN,
                     False, Follow.CALL, Gate.CLOSED, 1.5, frozenset(), frozenset(), frozenset())  # fmt: skip
HEADERS = ("Call-Info", "Alert-Info", "Answer-After", "Answer-Mode", "P-Auto-Answer")


@pytest.fixture(scope="module")
def whole(node: PrivateNode) -> Iterator[Stage]:
    lines = [f'[device."{user}@{node.domain}"]\nanswer = "{word}"' for user, word in ANSWERED.items()]
    stage = Stage(node, TIMES + "\n".join(lines))
    config = stage.service.config
    config.write_text(config.read_text().replace('name = "Agent 1002"', f"name = '{HOSTILE}'"))
    with stage:
        yield stage


@pytest.fixture
def stage(whole: Stage, on_stage: Callable[..., Iterator[Stage]]) -> Iterator[Stage]:
    yield from on_stage(whole)


def asked(call: PhoneCall) -> dict[str, str]:
    """The headers by which a phone was asked to answer."""
    got = {each: call.remote_headers.getlist(each) for each in HEADERS}
    assert all(len(values) <= 1 for values in got.values())
    return {each: values[0] for each, values in got.items() if values}


def invited(stage: Stage, name: str, scene: Scene) -> PhoneCall:
    """The call that rings at a coach's phone, which nobody answers."""
    phone = stage.phone_of(DEVICES[name], name)
    phone.on_incoming = "ring"
    try:
        api = stage.service.api(name, devices=[stage.device(name)])
        session = api.ask("POST", "/sessions", {"call": scene.id})["id"]
        call = phone.wait_call(10).wait("ringing", 10)
        api.ask("DELETE", f"/sessions/{session}")
        api.close()
        return call.wait("ended", 10)
    finally:
        phone.on_incoming = "answer"


def test_each_phone_is_asked_in_its_own_way(stage: Stage) -> None:
    scene = stage.call("1001")
    for name, word in (("carla", "common"), ("dora", "poly"), ("emil", "none")):
        call = invited(stage, name, scene)
        assert asked(call) == ANSWERS[word]
        display, uri = call.caller_id
        assert (display, uri.partition("@")[0]) == ("Coaching Agent 1001", "sip:1001")


def test_every_word_reaches_the_phone(stage: Stage) -> None:
    """FreeSWITCH leaves out what it cannot read."""
    phone = stage.phone_of(DEVICES["emil"], "emil")
    phone.on_incoming = 486
    try:
        for word, headers in ANSWERS.items():
            leg = str(uuid.uuid4())
            dial = fx.Dial("fs1", "s", leg, stage.device("emil"), ("PCMU",), 10, "1001", "Ana", RECORD)
            stage.node.api(f"bgapi {ring(dial, 'another-installation', 'Coaching', word).text}")
            call = phone.wait_call(10).wait("ended", 10)
            assert asked(call) == headers, word
    finally:
        phone.on_incoming = "answer"


def test_a_name_is_nothing_but_a_name(stage: Stage) -> None:
    scene = stage.call("1002")
    call = invited(stage, "carla", scene)
    display, uri = call.caller_id
    assert (display, uri.partition("@")[0]) == ("Coaching Zoe Eve sip x y 0AVia a b c hostname _ user 1002", "sip:1002")
    assert len(call.remote_headers.getlist("Via")) == 1
