"""The synthetic phones on a real switch: what the other live tests take for granted."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ccwhisper.proof.node import PrivateNode
from ccwhisper.proof.phones import Phone, PhoneBank, PhoneCall, SipRefused
from ccwhisper.proof.tones import CLEAR_TONES, Noise, Tone, frames_exact, hears, is_silent, latencies_ms

pytestmark = pytest.mark.live

CALLER, AGENT, OTHER = CLEAR_TONES[:3]
FREQS = {"caller": CALLER, "agent": AGENT, "other": OTHER}


@pytest.fixture
def bank() -> Iterator[PhoneBank]:
    with PhoneBank() as phones:
        yield phones


def registered(bank: PhoneBank, node: PrivateNode, user: str, freq: float, **more: bool) -> Phone:
    where = (node.host, node.phones_port)
    phone = bank.phone(user, node.phone_secret(user), node.domain, where, source=Tone(freq), **more)
    phone.register()
    return phone


@pytest.fixture
def agent(bank: PhoneBank, node: PrivateNode) -> Phone:
    return registered(bank, node, "1001", AGENT)


@pytest.fixture
def other(bank: PhoneBank, node: PrivateNode) -> Phone:
    return registered(bank, node, "1002", OTHER)


@pytest.fixture
def caller(bank: PhoneBank, node: PrivateNode) -> Phone:
    codecs = ("PCMU", "PCMA")
    return bank.phone("caller", registrar=(node.host, node.trunk_port), source=Tone(CALLER), codecs=codecs)


def up(caller: Phone, agent: Phone, number: str = "2001") -> tuple[PhoneCall, PhoneCall]:
    ours = caller.dial(number).wait("up")
    theirs = agent.wait_call().wait("up")
    ours.wait_received(10)
    theirs.wait_received(10)
    return ours, theirs


def assert_hears(call: PhoneCall, *who: str) -> None:
    levels = hears(call, FREQS, seconds=0.2)
    for name, level in levels.items():
        assert level == pytest.approx(-16, abs=0.4) if name in who else is_silent(level), levels


def test_register_and_a_call(caller: Phone, agent: Phone, bank: PhoneBank, node: PrivateNode) -> None:
    stranger = bank.phone("1003", "wrong", node.domain, (node.host, node.phones_port))
    with pytest.raises(SipRefused, match="403"):
        stranger.register()
    agent.register()  # again, with the nonce of before
    ours, theirs = up(caller, agent)
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")
    ours.hangup()
    cause = theirs.wait("ended").end_cause
    assert cause is not None
    assert "NORMAL_CLEARING" in (cause.reason or "")


def test_every_frame_passes_the_switch(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.play(Noise(1))
    ours.wait_received(10)
    begin = ours.mark()
    ours.wait_received(100)
    assert ours.codec is not None
    found = frames_exact(theirs.sent, [f for f in ours.received if f.t_ns >= begin], ours.codec)
    assert found.exact, found
    assert max(latencies_ms(theirs, ours, begin)) < 200


def test_hold(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.hold()
    assert_hears(ours)
    theirs.unhold()
    ours.wait_received(5)
    assert_hears(ours, "agent")


def test_blind_transfer(caller: Phone, agent: Phone, other: Phone) -> None:
    ours, theirs = up(caller, agent)
    result = theirs.refer("1002")
    assert (result.accepted, result.status) == (202, 200)
    third = other.wait_call().wait("up")
    theirs.wait("ended")
    third.wait_received(10)
    ours.wait_received(10)
    assert_hears(ours, "other")
    assert_hears(third, "caller")


def test_transfer_with_consultation(caller: Phone, agent: Phone, other: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.hold()
    consult, third = up(agent, other, "1002")
    assert theirs.refer_replaces(consult).status == 200
    theirs.wait("ended")
    consult.wait("ended")
    third.wait_received(10)
    ours.wait_received(10)
    assert_hears(ours, "other")
    assert_hears(third, "caller")


def test_keys(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    ours.send_dtmf("19*#")
    assert theirs.wait_keys(4) == "19*#"


def test_the_codec_changes_mid_call(caller: Phone, bank: PhoneBank, node: PrivateNode) -> None:
    where = (node.host, node.phones_port)
    alaw = bank.phone("1001", node.phone_secret("1001"), node.domain, where, source=Tone(AGENT), codecs=["PCMA"])
    alaw.register()
    ours, theirs = up(caller, alaw)
    assert str(theirs.codec) == "PCMA/8000"
    assert_hears(ours, "agent")
    theirs.reinvite(codecs=["PCMU"])
    assert str(theirs.codec) == "PCMU/8000"
    ours.wait_received(10)
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")


def test_srtp(bank: PhoneBank, node: PrivateNode, other: Phone) -> None:
    secure = registered(bank, node, "1003", AGENT, srtp=True)
    ours, theirs = up(secure, other, "1002")
    assert_hears(ours, "other")
    assert_hears(theirs, "agent")
    assert ours.counts["srtp_errors"] == 0
