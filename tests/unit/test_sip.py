"""What a page may say in SIP, and what it may not."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from ccwhisper.web.sip import MAX_PENDING, Line, Message, Refused

pytestmark = pytest.mark.unit

USER = "0123456789abcdef0123456789abcdef"
SESSION = "b9f1f0c2-9f6b-4c3a-8f57-9a5a6a1f6f10"
SWITCH = '"Coaching" <sip:1001@127.0.0.1>;tag=switch'
CONTACT = f"<sip:{USER}@{USER}.invalid;transport=ws>"
MEDIA = [
    "v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "t=0 0", "a=msid-semantic: WMS *", "m=audio 9 UDP/TLS/RTP/SAVPF 111 0",
    "c=IN IP4 0.0.0.0", "a=candidate:1 1 udp 2113937151 192.0.2.7 40000 typ host", "a=ice-ufrag:abcd",
    "a=ice-pwd:0123456789abcdefghijkl", "a=fingerprint:sha-256 00:11", "a=setup:active", "a=rtpmap:111 opus/48000/2",
]  # fmt: skip


def message(start: str, headers: Mapping[str, str], body: str = "") -> str:
    lines = [start, *(f"{name}: {value}" for name, value in headers.items() if value is not None)]
    return "\r\n".join([*lines, f"Content-Length: {len(body.encode())}", "", body])


def invite(call: str = "call-1", session: str | None = SESSION, user: str = USER, **more: str) -> str:
    headers = {
        "Via": "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK1;rport",
        "From": SWITCH,
        "To": f"<sip:{user}@browser.invalid>",
        "Call-ID": call,
        "CSeq": "7 INVITE",
        "Contact": "<sip:mod_sofia@127.0.0.1:5066;transport=ws>",
        **({"X-CCW-Session": session} if session else {}),
        **more,
    }
    return message(f"INVITE sip:{user}@{user}.invalid;transport=ws SIP/2.0", headers, "v=0\r\n")


def body_of(*lines: str) -> str:
    return "".join(f"{line}\r\n" for line in lines)


def answer(status: int = 200, body: str = body_of(*MEDIA), **more: str) -> str:
    headers = {
        "Via": "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK1;rport",
        "From": SWITCH,
        "To": f"<sip:{USER}@browser.invalid>;tag=page",
        "Call-ID": "call-1",
        "CSeq": "7 INVITE",
        "Contact": CONTACT,
        **more,
    }
    return message(f"SIP/2.0 {status} Whatever", {"Content-Type": "application/sdp", **headers}, body)


def request(method: str, number: int = 1, **more: str) -> str:
    headers = {
        "Via": "SIP/2.0/WS page.invalid;branch=z9hG4bK9",
        "From": f"<sip:{USER}@browser.invalid>;tag=page",
        "To": SWITCH,
        "Call-ID": "call-1",
        "CSeq": f"{number} {method}",
        **more,
    }
    uri = headers.pop("uri", "sip:mod_sofia@127.0.0.1:5066;transport=ws")
    return message(f"{method} {uri} SIP/2.0", headers)


def of_switch(method: str, number: int) -> str:
    headers = {
        "Via": "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK2",
        "From": SWITCH,
        "To": f"<sip:{USER}@browser.invalid>;tag=page",
        "Call-ID": "call-1",
        "CSeq": f"{number} {method}",
    }
    return message(f"{method} sip:{USER}@{USER}.invalid;transport=ws SIP/2.0", headers)


@pytest.fixture
def line() -> Line:
    return Line(USER, lambda session: session == SESSION)


@pytest.fixture
def up(line: Line) -> Line:
    """With a call that the page has answered."""
    assert line.from_switch(invite()) == (invite(), None)
    assert line.from_page(answer(180)) == answer(180)
    assert line.from_page(answer()) == answer()
    return line


def status(text: str | None) -> int:
    assert text is not None
    return Message.parse(text).status


def test_the_registration_is_the_relays(line: Line) -> None:
    sent = Message.parse(line.register())
    assert sent.method == "REGISTER"
    assert sent.one("to") == f"<sip:{USER}@browser.invalid>"
    assert sent.one("contact") == f"{CONTACT};expires=120"
    ok = {"Via": sent.one("via"), "Call-ID": sent.one("call-id"), "CSeq": sent.one("cseq")}
    assert line.from_switch(message("SIP/2.0 200 OK", ok)) == (None, None)
    assert line.registered
    assert line.from_switch(message("SIP/2.0 403 Forbidden", ok)) == (None, None)
    assert not line.registered


def test_a_call_of_the_switch_is_answered_and_ended_by_either(up: Line) -> None:
    assert up.from_page(request("BYE"))
    ok = {"Via": "SIP/2.0/WS page.invalid", "Call-ID": "call-1", "CSeq": "1 BYE"}
    assert up.from_switch(message("SIP/2.0 200 OK", ok))[0] is not None
    with pytest.raises(Refused):
        up.from_page(request("BYE", 2))


def test_the_switch_hangs_up(up: Line) -> None:
    assert up.from_switch(of_switch("BYE", 8))[0] is not None
    via = "SIP/2.0/WS 127.0.0.1;branch=z9hG4bK2"
    assert up.from_page(answer(CSeq="8 BYE", Via=via))
    with pytest.raises(Refused):
        up.from_page(request("BYE"))
    assert up.from_switch(invite("call-2")) == (invite("call-2"), None)  # and the page can be rung again


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"session": None}, 403),
        ({"session": "another"}, 403),
        ({"user": "f" * 32}, 404),
        ({"Contact": "nowhere"}, 400),
    ],
)
def test_a_call_that_is_not_the_services_does_not_ring(line: Line, wrong: dict[str, str], code: int) -> None:
    passed, said = line.from_switch(invite(**wrong))
    assert passed is None
    assert status(said) == code
    with pytest.raises(Refused):
        line.from_page(answer())


def test_a_second_call_does_not_ring(up: Line) -> None:
    passed, said = up.from_switch(invite("call-2"))
    assert passed is None
    assert status(said) == 486


def test_what_a_page_must_not_begin(line: Line) -> None:
    out = {"To": "<sip:1001@127.0.0.1>", "Call-ID": "mine", "uri": "sip:1001@127.0.0.1"}
    for method in ("INVITE", "REGISTER", "MESSAGE", "SUBSCRIBE", "OPTIONS", "REFER", "PUBLISH", "BYE", "ACK"):
        with pytest.raises(Refused):
            line.from_page(request(method, **out))


@pytest.mark.parametrize("method", ["REGISTER", "REFER", "INFO", "MESSAGE", "NOTIFY", "SUBSCRIBE", "UPDATE", "PRACK"])
def test_what_a_page_must_not_ask_in_a_call(up: Line, method: str) -> None:
    with pytest.raises(Refused):
        up.from_page(request(method))


def test_a_page_leaves_out_the_name_of_the_switch_s_side(up: Line) -> None:
    """JsSIP does so; the switch does not mind."""
    bare = SWITCH.partition(" ")[2]
    assert up.from_page(request("INVITE", 4, To=bare, Contact=CONTACT))
    for wrong in (f'"Somebody" {bare}', f"Somebody {bare}", bare.replace("1001", "1002")):
        with pytest.raises(Refused):
            up.from_page(request("BYE", 5, To=wrong))
    assert up.from_page(request("BYE", 5, To=bare))


def test_a_request_before_the_call_is_up(line: Line) -> None:
    line.from_switch(invite())
    line.from_page(answer(180))
    with pytest.raises(Refused):
        line.from_page(request("BYE"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"uri": "sip:1001@127.0.0.1"},
        {"uri": "sip:mod_sofia@192.0.2.9:5060"},
        {"From": f"<sip:{USER}@browser.invalid>;tag=other"},
        {"From": "<sip:1001@127.0.0.1>;tag=page"},
        {"To": "<sip:1001@127.0.0.1>;tag=other"},
        {"Call-ID": "call-2"},
        {"CSeq": "1 INVITE"},
        {"CSeq": "one BYE"},
        {"CSeq": "2147483647 BYE"},  # the relay's own BYE would have a number that the switch does not read
        {"CSeq": "4294967295 BYE"},
        {"CSeq": "9999999999 BYE"},
        {"Contact": "<sip:evil@192.0.2.9>"},
        {"Contact": f"{CONTACT}, <sip:evil@192.0.2.9>"},
        {"Route": "<sip:192.0.2.9;lr>"},
        {"Record-Route": "<sip:192.0.2.9;lr>"},
        {"Replaces": "call-3;to-tag=a;from-tag=b"},
        {"X-Anything": "1"},
        {"Authorization": "Digest"},
        {"v": "SIP/2.0/WS short.invalid"},
        {"Via": "SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bK9"},
        {"Via": "SIP/2.0/WS 192.0.2.9;branch=z9hG4bK9"},
        {"Via": "SIP/2.0/WS page.invalid;branch=z9hG4bK9;maddr=192.0.2.9"},
        {"Via": "SIP/2.0/WS page.invalid;branch=z9hG4bK9;received=192.0.2.9;rport=53"},
        {"Via": "SIP/2.0/WS page.invalid;branch=z9hG4bK9, SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK8"},
        {"Via": "SIP/2.0/WS a.invalid\r\nVia: SIP/2.0/WS b.invalid"},
        {"From": f"<sip:{USER}@browser.invalid>;tag=page\r\nFrom: <sip:1001@127.0.0.1>"},
        {"Reason": "folded\r\n Route: <sip:192.0.2.9>"},
        {"Reason": "\x00"},
        {"Reason": "bare\nRoute: <sip:192.0.2.9>"},
    ],
)
def test_a_request_that_says_anything_else(up: Line, wrong: dict[str, str]) -> None:
    with pytest.raises(Refused):
        up.from_page(request("BYE", **wrong))
    assert up.from_page(request("BYE"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"Via": "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1"},
        {"From": "<sip:1002@127.0.0.1>;tag=switch"},
        {"To": "<sip:1002@127.0.0.1>;tag=page"},
        {"To": f"<sip:{USER}@browser.invalid>;tag=page;other=1"},
        {"Call-ID": "call-2"},
        {"CSeq": "8 INVITE"},
        {"CSeq": "7 BYE"},
        {"Contact": "<sip:evil@192.0.2.9>"},
        {"Record-Route": "<sip:192.0.2.9;lr>"},
    ],
)
def test_an_answer_that_is_none(line: Line, wrong: dict[str, str]) -> None:
    line.from_switch(invite())
    with pytest.raises(Refused):
        line.from_page(answer(**wrong))
    assert line.from_page(answer())


@pytest.mark.parametrize("text", ["", "\r\n\r\n", "BYE", "hello\r\n\r\n", "BYE  SIP/2.0\r\n\r\n", "\ud800", "{}"])
def test_what_is_no_message(line: Line, text: str) -> None:
    with pytest.raises(Refused):
        line.from_page(text)
    assert line.from_switch(text) == (None, None)


def test_a_body_of_another_length(up: Line) -> None:
    smuggled = request("REGISTER")
    for text in (request("BYE"), request("BYE").replace("Content-Length: 0\r\n", ""), answer()):
        with pytest.raises(Refused):
            up.from_page(text + smuggled)
    with pytest.raises(Refused):
        up.from_page(request("BYE").replace("Content-Length: 0\r\n", "Content-Length: 0\r\nContent-Length: 0\r\n"))


def without(start: str) -> list[str]:
    return [line for line in MEDIA if not line.startswith(start)]


@pytest.mark.parametrize(
    "lines",
    [
        ["v=0", "o=- 1 1 IN IP4 192.0.2.9", "s=-", "c=IN IP4 192.0.2.9", "t=0 0", "m=audio 4000 RTP/AVP 0"],
        [line.replace("UDP/TLS/RTP/SAVPF", "RTP/AVP") for line in MEDIA],
        [line.replace("UDP/TLS/RTP/SAVPF", "RTP/SAVP") for line in MEDIA]
        + ["a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"],
        [*MEDIA, "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:x"],
        [*MEDIA, "m=image 4000 udptl t38"],
        [*MEDIA, "m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.9"],
        [*MEDIA, "m=message 4000 TCP/MSRP *"],
        [line.replace("m=audio 9", "m=audio 0") for line in MEDIA],
        without("m="),
        without("a=fingerprint"),
        without("a=ice-ufrag"),
        without("a=ice-pwd"),
        [*MEDIA, "", "m=audio 4000 RTP/AVP 0"],
        [*MEDIA, " m=audio 4000 RTP/AVP 0"],
        [*MEDIA, "M=audio 4000 RTP/AVP 0"],
        [*MEDIA, "a=x\nm=audio 4000 RTP/AVP 0"],
        [*MEDIA, "a=x\rm=audio 4000 RTP/AVP 0"],
        [*MEDIA, "a=x\x00"],
        ["hello"],
    ],
)
def test_media_that_are_not_encrypted_or_go_elsewhere(line: Line, lines: list[str]) -> None:
    line.from_switch(invite())
    with pytest.raises(Refused):
        line.from_page(answer(body=body_of(*lines)))
    assert line.from_page(answer())


def test_media_of_a_browser(line: Line) -> None:
    """It answers in the words of the offer; the switch's first one leaves out that the keys come by DTLS."""
    line.from_switch(invite())
    assert line.from_page(answer(180, body=body_of(*(each.replace("UDP/TLS/", "") for each in MEDIA))))
    assert line.from_page(answer())


@pytest.mark.parametrize(
    "kind", ["multipart/mixed;boundary=x", "application/isup", "application/sdp, text/plain", "text/plain"]
)
def test_a_body_of_another_kind(line: Line, kind: str) -> None:
    line.from_switch(invite())
    with pytest.raises(Refused):
        line.from_page(answer(**{"Content-Type": kind}))
    with pytest.raises(Refused):
        line.from_page(answer().replace("Content-Type: application/sdp\r\n", ""))
    with pytest.raises(Refused):
        line.from_page(answer().replace("Content-Type", f"Content-Type: {kind}\r\nContent-Type"))
    assert line.from_page(answer())


def test_a_page_that_waits_for_its_ack_repeats_its_answer(up: Line) -> None:
    """JsSIP does so after half a second, also on a WebSocket: on a slow way, that is always."""
    assert up.from_page(answer()) is None
    assert up.from_switch(of_switch("ACK", 7))[0] is not None
    assert up.from_page(answer()) is None
    assert up.from_page(request("BYE"))


def test_a_second_answer_to_the_same_request(up: Line) -> None:
    with pytest.raises(Refused):
        up.from_page(answer(486))
    up.from_switch(of_switch("OPTIONS", 8))
    to_options = answer(CSeq="8 OPTIONS", Via="SIP/2.0/WS 127.0.0.1;branch=z9hG4bK2")
    assert up.from_page(to_options)
    with pytest.raises(Refused):
        up.from_page(to_options)


def test_a_call_that_the_page_refuses_is_over(line: Line) -> None:
    line.from_switch(invite())
    assert line.from_page(answer(486))
    with pytest.raises(Refused):
        line.from_page(request("BYE"))


def test_requests_that_a_page_does_not_answer_do_not_pile_up(up: Line) -> None:
    for number in range(8, 8 + MAX_PENDING + 1):
        assert up.from_switch(of_switch("OPTIONS", number))[0] is not None
    with pytest.raises(Refused):
        up.from_page(answer(CSeq="8 OPTIONS", Via="SIP/2.0/WS 127.0.0.1;branch=z9hG4bK2"))
    assert up.from_page(answer(CSeq="9 OPTIONS", Via="SIP/2.0/WS 127.0.0.1;branch=z9hG4bK2"))


def test_a_request_of_no_call_is_answered_for_the_page(line: Line) -> None:
    passed, said = line.from_switch(of_switch("BYE", 8))
    assert passed is None
    assert status(said) == 481
    assert line.from_switch(of_switch("ACK", 8)) == (None, None)


def test_a_page_that_goes_ends_its_call(up: Line) -> None:
    up.from_page(request("INVITE", 4, Contact=CONTACT))
    bye, goodbye = (Message.parse(text) for text in up.farewell())
    assert (bye.method, bye.uri) == ("BYE", "sip:mod_sofia@127.0.0.1:5066;transport=ws")
    assert (bye.one("from"), bye.one("to")) == (f"<sip:{USER}@browser.invalid>;tag=page", SWITCH)
    assert bye.cseq == (5, "BYE")
    assert goodbye.method == "REGISTER"
    assert goodbye.one("expires") == "0"


def test_the_number_of_the_last_word_is_one_that_the_switch_reads(up: Line) -> None:
    """Or who takes the highest there is would have a call that nobody ends."""
    up.from_page(request("INVITE", 2**31 - 2, Contact=CONTACT))
    bye, _ = (Message.parse(text) for text in up.farewell())
    assert bye.cseq == (2**31 - 1, "BYE")


def test_a_call_that_the_switch_has_ended_is_over_whatever_the_page_says(up: Line) -> None:
    assert up.busy
    assert len(up.calls()) == 1
    assert up.from_switch(of_switch("BYE", 8))[0] is not None
    assert not up.busy
    assert up.calls() == []
    assert up.from_page(request("BYE"))  # which was on its way; the switch says that there is no such call
    assert [Message.parse(text).method for text in up.farewell()] == ["REGISTER"]


def test_an_answer_is_heard_however_much_was_asked_before(up: Line) -> None:
    for number in range(1, 3 * MAX_PENDING):
        assert up.from_page(request("INVITE", number, Contact=CONTACT))
        ok = {"Via": "SIP/2.0/WS page.invalid", "Call-ID": "call-1", "CSeq": f"{number} INVITE"}
        assert up.from_switch(message("SIP/2.0 200 OK", ok))[0] is not None
        assert up.from_page(request("ACK", number))
        assert up.from_switch(message("SIP/2.0 200 OK", ok))[0] is not None  # the switch has not seen the ACK


def test_a_page_that_goes_while_it_rings(line: Line) -> None:
    line.from_switch(invite())
    busy, _ = line.farewell()
    assert status(busy) == 480
