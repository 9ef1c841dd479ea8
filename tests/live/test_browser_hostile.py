"""A stolen token in the hands of somebody who has no page, but speaks to the relay as it pleases him: a real switch
behind it, and a call that none of it may touch."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import simple_websocket

from ccwhisper.proof.stage import Scene, Stage, wait_until
from ccwhisper.web.browser_phones import BEARER, MALFORMED, PATH, PROTOCOL
from ccwhisper.web.sip import Message

pytestmark = pytest.mark.live

PATIENCE = 30


class Thief:
    """He has a supervisor's token, and what the relay gives to whoever has one."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.api = stage.service.api("carla", devices=[])
        address = stage.service.url.replace("http", "ws", 1) + PATH
        offered = [PROTOCOL, BEARER + stage.service.token("carla", devices=[])]
        self.ws = simple_websocket.Client(address, subprotocols=offered)
        self.device = str(self._told("device"))
        self.user = self.device.partition("@")[0]
        wait_until("it can be rung", lambda: self._told("registered"), PATIENCE)

    def _told(self, what: str) -> Any:
        while isinstance(text := self.ws.receive(timeout=PATIENCE), str):
            if text.startswith("{") and what in (told := json.loads(text)):
                return told[what]
        raise AssertionError(f"nothing is told of {what}")

    def rung(self, scene: Scene) -> tuple[str, Message]:
        """A session is his to ask for. Returns it, and the switch's INVITE."""
        session = self.api.ask("POST", "/sessions", {"call": scene.id, "device": self.device})["id"]
        while isinstance(text := self.ws.receive(timeout=PATIENCE), str):
            if not text.startswith("{"):
                return session, Message.parse(text)
        raise AssertionError("he is not rung")

    def answer(self, invite: Message, media: str) -> None:
        """Take the call, with these media."""
        lines = [
            "SIP/2.0 200 OK",
            *(f"Via: {via}" for via in invite.all("via")),
            f"From: {invite.one('from')}",
            f"To: {invite.one('to')};tag=thief",
            f"Call-ID: {invite.one('call-id')}",
            f"CSeq: {invite.one('cseq')}",
            f"Contact: <sip:{self.user}@{self.user}.invalid;transport=ws>",
            "Content-Type: application/sdp",
            f"Content-Length: {len(media)}",
            "",
            media,
        ]
        self.ws.send("\r\n".join(lines))

    def closed(self) -> int:
        """The code that his connection was ended with."""
        try:
            while self.ws.receive(timeout=PATIENCE) is not None:
                pass
        except simple_websocket.ConnectionClosed as error:
            return int(error.reason)
        raise AssertionError("it stays open")

    def go(self) -> None:
        """Without a word."""
        with suppress(OSError):
            self.ws.sock.shutdown(socket.SHUT_RDWR)
        self.ws.thread.join(PATIENCE)
        self.ws.sock.close()
        self.api.close()


@pytest.fixture
def thief(stage: Stage) -> Iterator[Thief]:
    made = Thief(stage)
    yield made
    made.go()


@pytest.fixture
def bystander() -> Iterator[socket.socket]:
    """A UDP port of somebody who has nothing to do with it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as port:
        port.bind(("127.0.0.1", 0))
        port.settimeout(2)
        yield port


def media(*lines: str, port: int) -> str:
    whole = ["v=0", "o=- 1 1 IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", *lines]
    return "".join(f"{line}\r\n" for line in whole).replace("PORT", str(port))


@pytest.mark.parametrize(
    "lines",
    [
        ["m=audio PORT RTP/AVP PT", "a=rtpmap:PT opus/48000/2"],
        ["m=audio PORT RTP/SAVPF PT", "a=rtpmap:PT opus/48000/2", "a=rtcp-mux"],
    ],
    ids=["in the clear", "without ICE"],
)
def test_audio_is_sent_to_nobody_who_has_not_asked_for_it(
    stage: Stage, thief: Thief, bystander: socket.socket, lines: list[str]
) -> None:
    """The switch takes the first for an answer, and sends what the call says in the clear, to where it is told."""
    scene = stage.call()
    session, invite = thief.rung(scene)
    offered = next(line.split()[3] for line in invite.body.split("\r\n") if line.startswith("m=audio"))
    said = media(*(line.replace("PT", offered) for line in lines), port=bystander.getsockname()[1])
    thief.answer(invite, said)
    assert thief.closed() == MALFORMED
    with pytest.raises(TimeoutError):
        bystander.recv(2048)
    wait_until("his session is over", lambda: session not in {each["id"] for each in stage.coaches()}, PATIENCE)
    wait_until("and his leg", lambda: len(stage.legs()) == 2, PATIENCE)
