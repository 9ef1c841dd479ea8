"""Synthetic phones against each other, over real sockets on loopback, without a switch between them."""

from __future__ import annotations

import hashlib
import re
import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest

from ccwhisper.proof.phones import CallEnded, EndCause, Phone, PhoneBank, PhoneCall, SipRefused, SipTimeout
from ccwhisper.proof.tones import (
    Bursts,
    Noise,
    Samples,
    Silence,
    Tone,
    first_heard,
    first_silent,
    frames_exact,
    hears,
    is_silent,
    latencies_ms,
    peak_dbfs,
)

pytestmark = pytest.mark.protocol

FREQS = {"caller": 440.0, "agent": 1000.0, "other": 1700.0}


@pytest.fixture
def bank() -> Iterator[PhoneBank]:
    with PhoneBank() as phones:
        yield phones


@pytest.fixture
def caller(bank: PhoneBank) -> Phone:
    return bank.phone("caller", registrar=None, source=Tone(440))


@pytest.fixture
def agent(bank: PhoneBank) -> Phone:
    return bank.phone("agent", registrar=None, source=Tone(1000))


@pytest.fixture
def other(bank: PhoneBank) -> Phone:
    return bank.phone("other", registrar=None, source=Tone(1700))


def up(caller: Phone, agent: Phone) -> tuple[PhoneCall, PhoneCall]:
    ours = caller.dial(agent.uri).wait("up")
    theirs = agent.wait_call().wait("up")
    ours.wait_received(2)
    theirs.wait_received(2)
    return ours, theirs


def assert_hears(call: PhoneCall, *who: str) -> None:
    levels = hears(call, FREQS, seconds=0.2)
    for name, level in levels.items():
        if name in who:
            assert level == pytest.approx(-16, abs=0.3), levels
        else:
            assert is_silent(level), levels


# -- calls


def test_a_call_is_heard_both_ways_and_ends(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    assert ours.call_id == theirs.call_id
    assert (ours.incoming, theirs.incoming) == (False, True)
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")
    ours.hangup()
    theirs.wait("ended")
    assert ours.end_cause == EndCause("local")
    assert theirs.end_cause == EndCause("remote")
    ours.hangup()  # nothing left to do
    assert caller.calls == [ours]


def test_headers_and_names_arrive(caller: Phone, agent: Phone) -> None:
    caller.dial(
        agent.uri,
        {"Call-Info": "<sip:x>;answer-after=0"},
        display_name='Bob "the \\ builder"',
        from_user="+49 30",
        raw_headers=b"X-Raw: a%0Ab\r\n folded\r\nX-Latin: \xe9\r\n",
    ).wait("up")
    theirs = agent.wait_call()
    assert theirs.remote_headers["Call-Info"] == "<sip:x>;answer-after=0"
    assert theirs.remote_headers["X-Raw"] == "a%0Ab folded"
    assert theirs.remote_headers["X-Latin"] == "é"
    assert theirs.caller_id == ('Bob "the \\ builder"', "sip:+49%2030@127.0.0.1")


def test_a_hostile_display_name_goes_out_as_it_is(caller: Phone, agent: Phone) -> None:
    caller.dial(agent.uri, display_name=b'"Bob%0AUnique-ID: \xff\xfe" ').wait("up")
    assert agent.wait_call().caller_id[0] == "Bob%0AUnique-ID: ÿþ"


def test_refused(caller: Phone, agent: Phone) -> None:
    agent.on_incoming = 486
    call = caller.dial(agent.uri)
    with pytest.raises(CallEnded, match="486"):
        call.wait("up")
    assert call.end_cause == EndCause("remote", 486)
    assert agent.wait_call().wait("ended").end_cause == EndCause("local", 486)


def test_ringing_then_answered_declined_and_cancelled(caller: Phone, agent: Phone) -> None:
    agent.on_incoming = "ring"
    ours = caller.dial(agent.uri).wait("ringing")
    theirs = agent.wait_call()
    assert theirs.state == ours.state == "ringing"
    theirs.answer()
    ours.wait("up")

    ours = caller.dial(agent.uri).wait("ringing")
    agent.wait_call().reject(603)
    assert ours.wait("ended").end_cause == EndCause("remote", 603)

    ours = caller.dial(agent.uri).wait("ringing")
    theirs = agent.wait_call()
    ours.hangup()
    assert theirs.wait("ended").end_cause == EndCause("remote", 487)
    assert ours.wait("ended").end_cause == EndCause("local", 487)


def test_early_media(caller: Phone, agent: Phone) -> None:
    agent.on_incoming = "ring"
    ours = caller.dial(agent.uri).wait("ringing")
    theirs = agent.wait_call()
    theirs.early_media()
    ours.wait_received(2)
    assert_hears(ours, "agent")
    assert ours.state == "ringing"
    theirs.answer()
    ours.wait("up")
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")


def test_a_policy_may_decide_call_by_call(caller: Phone, agent: Phone) -> None:
    agent.on_incoming = lambda call: "answer" if "X-Page" in call.remote_headers.keys() else 480  # noqa: SIM118
    caller.dial(agent.uri, {"X-Page": "1"}).wait("up")
    assert caller.dial(agent.uri).wait("ended").end_cause == EndCause("remote", 480)


def test_an_answer_may_take_its_time(caller: Phone, agent: Phone) -> None:
    agent.answer_delay = 0.1
    begin = time.monotonic()
    caller.dial(agent.uri).wait("ringing").wait("up")
    assert time.monotonic() - begin >= 0.1


def test_no_codec_in_common(bank: PhoneBank, caller: Phone) -> None:
    alaw = bank.phone("alaw", registrar=None, codecs=["PCMA"])
    assert caller.dial(alaw.uri).wait("ended").end_cause == EndCause("remote", 488)


def test_waits_end(caller: Phone, agent: Phone) -> None:
    agent.on_incoming = "ring"
    with pytest.raises(TimeoutError, match="was not up"):
        caller.dial(agent.uri).wait("up", timeout=0.05)
    with pytest.raises(TimeoutError, match="nobody called"):
        caller.wait_call(timeout=0.01)
    with pytest.raises(ValueError, match="no way to reach"):
        caller.dial("sip:x@example.invalid")


@pytest.mark.parametrize("codec", ["PCMA", "L16/8000", "L16/16000"])
def test_other_codecs(bank: PhoneBank, codec: str) -> None:
    one = bank.phone("one", registrar=None, codecs=[codec], source=Tone(440))
    two = bank.phone("two", registrar=None, codecs=["PCMU", codec], source=Tone(1000))
    ours, theirs = up(one, two)
    assert str(ours.codec) == str(theirs.codec) == (codec if "/" in codec else f"{codec}/8000")
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")


def test_an_invite_without_an_offer(caller: Phone, agent: Phone) -> None:
    ours = caller.dial(agent.uri, late_offer=True).wait("up")
    theirs = agent.wait_call()
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")


# -- within a call


def test_hold_silences_both_and_comes_back(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.hold()
    assert (theirs.held_by_us, theirs.held_by_them) == (True, False)
    assert (ours.state, ours.held_by_us, ours.held_by_them) == ("held", False, True)
    assert_hears(ours)
    assert_hears(theirs)
    theirs.unhold()
    assert ours.state == theirs.state == "up"
    ours.wait_received(1)
    theirs.wait_received(1)
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")


def test_hold_with_music(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.hold(music=Tone(1700))
    ours.wait_received(1)
    assert_hears(ours, "other")
    theirs.unhold()
    ours.wait_received(1)
    assert_hears(ours, "agent")


def test_the_codec_changes_mid_call(bank: PhoneBank, caller: Phone) -> None:
    both = bank.phone("both", registrar=None, codecs=["PCMU", "PCMA", "L16"], source=Tone(1000))
    three = bank.phone("three", registrar=None, codecs=["PCMU", "PCMA", "L16"], source=Tone(440))
    ours, theirs = up(three, both)
    for codec in ("PCMA", "L16"):
        theirs.reinvite(codecs=[codec])
        ours.wait_received(1)
        assert ours.codec is theirs.codec
        assert ours.codec is not None
        assert ours.codec.name == codec
        assert_hears(ours, "agent")
        assert_hears(theirs, "caller")
    plain, third = up(caller, both)
    with pytest.raises(SipRefused, match="488"):
        third.reinvite(codecs=["L16"])
    assert plain.state == "up"


def test_keys(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    ours.send_dtmf("1*#d")
    ours_after = ours.mark()
    assert theirs.wait_keys(4) == "1*#D"
    events = theirs.telephone_events_received()
    assert all(e.ended and e.duration_ms == 100 and e.t_ns < ours_after for e in events)
    for one, next_one in pairwise(events):  # between two keys the voice is heard
        assert sum(one.t_ns < frame.t_ns < next_one.t_ns for frame in theirs.received) == 4
    with pytest.raises(TimeoutError, match="5 keys"):
        theirs.wait_keys(5, timeout=0.01)
    with pytest.raises(ValueError, match="keys"):
        ours.send_dtmf("1x")


def test_other_requests(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    assert ours.request("OPTIONS") == 200
    assert ours.request("INFO", {"X-A": "b"}) == 200
    assert ours.request("UPDATE") == 200
    with pytest.raises(SipRefused, match="501"):
        ours.request("SUBSCRIBE")
    assert [r.method for r in theirs.requests if r.method != "ACK"] == ["OPTIONS", "INFO", "UPDATE", "SUBSCRIBE"]
    assert theirs.requests[1].headers["X-A"] == "b"


# -- transfers


def test_blind_transfer(caller: Phone, agent: Phone, other: Phone) -> None:
    ours, theirs = up(caller, agent)
    result = theirs.refer(other.uri)
    assert (result.accepted, result.status) == (202, 200)
    theirs.hangup()
    ours.wait("ended")
    third = other.wait_call().wait("up")
    second = caller.calls[1]
    assert_hears(third, "caller")
    assert_hears(second, "other")


def test_blind_transfer_to_one_who_is_busy(caller: Phone, agent: Phone, other: Phone) -> None:
    other.on_incoming = 486
    ours, theirs = up(caller, agent)
    assert theirs.refer(other.uri).status == 486
    assert ours.state == theirs.state == "up"


def test_transfer_with_consultation(caller: Phone, agent: Phone, other: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.hold()
    consult, consulted = up(agent, other)
    assert theirs.refer_replaces(consult).status == 200
    consult.wait("ended")
    consulted.wait("ended")
    theirs.hangup()
    ours.wait("ended")
    joined = other.wait_call().wait("up")
    joined.wait_received(1)
    assert_hears(joined, "caller")
    assert_hears(caller.calls[1], "other")


# -- media


def test_frames_arrive_exactly(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    begin = theirs.mark()
    theirs.play(Noise(5))
    ours.wait_received(52)
    sent = [f for f in theirs.sent if f.t_ns >= begin]
    received = [f for f in ours.received if f.t_ns >= begin]
    assert ours.codec is not None
    found = frames_exact(sent[2:], received[3:], ours.codec)
    assert found.exact, found
    assert found.matched >= 48
    assert [(b.ts - a.ts) & 0xFFFFFFFF for a, b in pairwise(sent)] == [160] * (len(sent) - 1)


def test_a_switched_source_is_heard_at_once(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)

    def frames_until(begin: int, end: int) -> int:
        return sum(begin <= frame.t_ns < end for frame in ours.received)

    begin = ours.mark()
    theirs.play(Tone(1700))
    assert frames_until(begin, first_heard(ours, 1700, begin, others=[1000])) <= 3
    begin = ours.mark()
    theirs.play(Silence())
    silent = first_silent(ours, 1700, begin)
    assert frames_until(begin, silent) <= 3
    ours.wait_received(3)
    assert peak_dbfs(ours.heard(silent)) == -120
    with pytest.raises(TimeoutError, match="1700 Hz was not heard"):
        first_heard(ours, 1700, silent, timeout=0.05)


def test_samples_play_once(bank: PhoneBank, caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    begin = ours.mark()
    theirs.play(Samples(Tone(1700).pcm(8000)[:800]))
    end = first_silent(ours, 1700, first_heard(ours, 1700, begin, others=[1000]))
    assert (end - begin) / 1e6 < 250


def test_latency_of_bursts_and_of_noise(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.play(Bursts(3, every=0.1, length=0.06))
    begin = ours.mark()
    ours.wait_time(begin + 700_000_000)
    found = latencies_ms(theirs, ours, begin, ours.mark() - 100_000_000)
    assert len(found) >= 4
    assert all(0 < latency < 15 for latency in found)
    ours.play(Noise(4))
    begin = ours.mark()
    ours.wait_time(begin + 600_000_000)
    found = latencies_ms(ours, theirs, begin, begin + 500_000_000)
    assert len(found) >= 2
    assert all(0 < latency < 15 for latency in found)


def test_loss_and_reordering_are_what_they_say(caller: Phone, agent: Phone) -> None:
    ours, theirs = up(caller, agent)
    theirs.impair(loss=0.1, reorder=0.1, seed=2)
    theirs.play(Noise(6))
    begin = ours.mark()
    ours.wait_received(100)
    theirs.impair()
    ours.wait_received(5)
    end = ours.mark() - 30_000_000
    dropped = [f for f in theirs.dropped if begin <= f.t_ns < end]
    sent = theirs.sent
    assert len(dropped) >= 3
    assert not {f.seq for f in sent} & {f.seq for f in dropped}
    assert sum(b.t_ns < a.t_ns for a, b in pairwise(sent)) >= 3
    assert ours.codec is not None
    everything = sorted([*sent, *dropped], key=lambda f: (f.ts - sent[0].ts) & 0xFFFFFFFF)
    after = next(i for i, f in enumerate(everything) if f.t_ns >= begin) + 2
    arrived = [f for f in ours.received if f.t_ns >= everything[after].t_ns and f.t_ns < end]
    found = frames_exact(everything[after:], arrived, ours.codec)
    lost = {everything[after + at + n].seq for at, count in found.gaps for n in range(count)}
    assert {f.seq for f in dropped} >= lost
    assert found.missing >= 3
    assert found.reordered >= 3
    assert (found.foreign, found.repeated) == (0, 0)


def test_srtp(bank: PhoneBank, agent: Phone) -> None:
    one = bank.phone("one", registrar=None, srtp=True, source=Tone(440))
    ours, theirs = up(one, agent)
    assert b"RTP/SAVP" in (theirs._leg.invite.body if theirs._leg.invite else b"")
    assert_hears(ours, "agent")
    assert_hears(theirs, "caller")
    theirs.hold()
    theirs.unhold()
    ours.wait_received(1)
    assert_hears(ours, "agent")
    assert ours.counts["srtp_errors"] == theirs.counts["srtp_errors"] == 0


def test_drain_counts_and_keeps_nothing(bank: PhoneBank) -> None:
    one = bank.phone("one", registrar=None, keep="drain")
    two = bank.phone("two", registrar=None, keep="drain")
    ours, theirs = up(one, two)
    ours.wait_received(10)
    assert ours.counts["received"] >= 10
    assert ours.counts["lost"] == 0
    assert theirs.counts["sent"] >= 10
    assert (ours.received, theirs.sent) == ([], [])


# -- the unreliable network, and the registrar


class Registrar:
    """A registrar that challenges by RFC 2617 and checks what it gets. Shares no code with the phones."""

    def __init__(self, password: str = "secret", proxy: bool = False, deaf: int = 0) -> None:
        self.password, self.proxy, self.deaf = password, proxy, deaf
        self.nonce = "first"
        self.seen: list[str] = []
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.address: tuple[str, int] = self.socket.getsockname()
        self.thread = threading.Thread(target=self.serve)
        self.thread.start()

    def close(self) -> None:
        self.socket.sendto(b"", self.address)
        self.thread.join(5)
        self.socket.close()

    def serve(self) -> None:
        while True:
            data, source = self.socket.recvfrom(65535)
            if not data:
                return
            text = data.decode()
            self.seen.append(text)
            if self.deaf:
                self.deaf -= 1
                continue
            line, more = self.judge(text)
            kept = [h for h in text.split("\r\n") if h.startswith(("Via:", "From:", "Call-ID:", "CSeq:"))]
            to = re.search(r"^To: .*$", text, re.M)
            reply = [
                f"SIP/2.0 {line}",
                *kept,
                f"{to[0].strip() if to else ''};tag=r",
                *more,
                "Content-Length: 0",
                "",
                "",
            ]
            self.socket.sendto("\r\n".join(reply).encode(), source)

    def judge(self, text: str) -> tuple[str, list[str]]:
        kind = "Proxy" if self.proxy else "WWW"
        line = "407 Proxy Authentication Required" if self.proxy else "401 Unauthorized"
        given = re.search(r"^(?:Proxy-)?Authorization: Digest (.*)$", text, re.M)
        challenge = (
            f'{kind}-Authenticate: Digest realm="a, b", nonce="{self.nonce}", qop="auth,auth-int", algorithm=MD5'
        )
        if not given:
            return line, [challenge]
        field = {k: q or p for k, q, p in re.findall(r'(\w+)=(?:"([^"]*)"|([^",\s]+))', given[1])}
        if field["nonce"] != self.nonce:
            return line, [challenge + ", stale=true"]
        a1 = hashlib.md5(f"{field['username']}:a, b:{self.password}".encode()).hexdigest()
        a2 = hashlib.md5(f"REGISTER:{field['uri']}".encode()).hexdigest()
        whole = f"{a1}:{field['nonce']}:{field['nc']}:{field['cnonce']}:auth:{a2}"
        good = hashlib.md5(whole.encode()).hexdigest() == field["response"]
        return ("200 OK", []) if good else ("403 Forbidden", [])


@pytest.fixture
def registrars() -> Iterator[list[Registrar]]:
    made: list[Registrar] = []
    yield made
    for registrar in made:
        registrar.close()


@pytest.mark.parametrize("proxy", [False, True])
def test_register_with_digest(bank: PhoneBank, registrars: list[Registrar], proxy: bool) -> None:
    registrar = Registrar(proxy=proxy)
    registrars.append(registrar)
    phone = bank.phone("1001", "secret", "pbx.example", registrar.address)
    phone.register()
    assert phone.registered
    assert [("uthorization:" in text) for text in registrar.seen] == [False, True]
    phone.register()  # the nonce of before still holds
    assert len(registrar.seen) == 3
    assert "nc=00000002" in registrar.seen[2]
    registrar.nonce = "second"
    phone.register()
    assert len(registrar.seen) == 5
    phone.unregister()
    assert not phone.registered
    assert "Expires: 0" in registrar.seen[-1]


def test_a_wrong_password_is_refused(bank: PhoneBank, registrars: list[Registrar]) -> None:
    registrar = Registrar()
    registrars.append(registrar)
    for password, status in (("wrong", 403), (None, 401)):
        phone = bank.phone("1001", password, None, registrar.address)
        with pytest.raises(SipRefused) as refusal:
            phone.register()
        assert refusal.value.status == status
        assert not phone.registered
    with pytest.raises(ValueError, match="no registrar"):
        bank.phone("1001", registrar=None).register()


def test_a_lost_request_is_sent_again(bank: PhoneBank, registrars: list[Registrar]) -> None:
    registrar = Registrar(deaf=1)
    registrars.append(registrar)
    bank.phone("1001", "secret", None, registrar.address).register()
    assert registrar.seen[0] == registrar.seen[1]


def test_silence_is_reported(bank: PhoneBank, registrars: list[Registrar]) -> None:
    registrar = Registrar(deaf=100)
    registrars.append(registrar)
    phone = bank.phone("1001", "secret", None, registrar.address)
    with pytest.raises(SipTimeout):
        phone.register(timeout=0.05)


def test_repeated_and_stray_messages(caller: Phone, agent: Phone) -> None:
    host, port = agent.uri.rpartition("@")[2].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        ours = f"127.0.0.1:{sock.getsockname()[1]}"

        def ask(method: str, branch: str, to_tag: str = "") -> str:
            lines = [
                f"{method} {agent.uri} SIP/2.0",
                f"v: SIP/2.0/UDP {ours};branch=z9hG4bK{branch}",
                f"f: <sip:x@{ours}>;tag=x",
                f"t: <{agent.uri}>{to_tag}",
                f"i: {branch}",
                f"CSeq: 1 {method}",
                "",
                "",
            ]
            sock.sendto("\r\n".join(lines).encode(), (host, int(port)))
            return sock.recv(4096).decode()

        for garbage in (
            b"",
            b"\r\n\r\n",
            b"OPTIONS x SIP/2.0\r\n\r\n",
            b"\xff" * 100,
            b"SIP/2.0 200 OK\r\nVia: x\r\n\r\n",
        ):
            sock.sendto(garbage, (host, int(port)))
        first = ask("OPTIONS", "a")
        assert first.startswith("SIP/2.0 200")
        assert ask("OPTIONS", "a") == first
        assert len(agent.strays) == 1
        assert ask("PUBLISH", "b").startswith("SIP/2.0 405")
        assert ask("BYE", "c", ";tag=none").startswith("SIP/2.0 481")
        assert ask("CANCEL", "d").startswith("SIP/2.0 481")
        assert ask("NOTIFY", "e", ";tag=none").startswith("SIP/2.0 200")
    up(caller, agent)


def test_an_answer_whose_ack_is_lost_is_repeated(agent: Phone) -> None:
    host, port = agent.uri.rpartition("@")[2].split(":")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(5)
        ours = sock.getsockname()[1]
        body = (
            f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {ours + 1} RTP/AVP 0\r\n"
        )
        head = (
            f"INVITE {agent.uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{ours};branch=z9hG4bKi\r\n"
            f"From: <sip:x@127.0.0.1>;tag=x\r\nTo: <{agent.uri}>\r\nCall-ID: lost\r\nCSeq: 1 INVITE\r\n"
            f"Contact: <sip:x@127.0.0.1:{ours}>\r\nRecord-Route: <sip:127.0.0.1:{ours};lr>\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )
        sock.sendto(head.encode(), (host, int(port)))
        first = sock.recv(4096)
        assert first.startswith(b"SIP/2.0 200")
        assert sock.recv(4096) == first
        tag = re.search(rb"^To: .*(;tag=\w+)", first, re.M)
        assert tag
        ack = f"ACK {agent.uri} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{ours};branch=z9hG4bKj\r\n"
        ack += f"From: <sip:x@127.0.0.1>;tag=x\r\nTo: <{agent.uri}>{tag[1].decode()}\r\n"
        ack += "Call-ID: lost\r\nCSeq: 1 ACK\r\n\r\n"
        sock.sendto(ack.encode(), (host, int(port)))
        call = agent.wait_call()
        assert call.state == "up"
        call._loop.run(lambda: call._leg.hangup(603))
        bye = sock.recv(4096)
        while bye == first:  # it may have been on its way
            bye = sock.recv(4096)
        assert bye.startswith(b"BYE ")
        assert b"Route: <sip:127.0.0.1" in bye
