"""The coaches who make the load: a process of its own, in which each has all that a supervisor's browser has for the
service and the switch, and no page to draw.

Each follows the service by Socket.IO, is rung over the service's WebSocket with a token of his own, and speaks WebRTC:
ICE, DTLS-SRTP, RTCP and Opus by aiortc, which has nothing in common with Chromium's. What he says is a made-up voice
that was encoded before, at the bit rate that browsers are asked for; what he hears is decoded, as by a browser. 20
Chromium pages take more than two cores, which are the coaches' own in a real centre.

`Laptops` is that process as seen from the benchmark; it is told on its standard input how many coaches shall whisper,
and answers when they do.
"""

from __future__ import annotations

import asyncio
import fractions
import json
import re
import sys
import time
import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import av
import numpy as np
from simple_websocket import AioClient, ConnectionClosed
from sipmessage import Request, Response

from ccwhisper.bench import Missing
from ccwhisper.bench._child import Child
from ccwhisper.bench._crowd import AGENT, people
from ccwhisper.bench._speech import RATE, voice
from ccwhisper.proof.service import Api, ServiceProcess
from ccwhisper.proof.sip import parse, response_to, token

try:
    import aioice.ice
    import aiortc.rtcrtpsender
    from aiortc import MediaStreamTrack, RTCPeerConnection, RTCSessionDescription
    from aiortc.contrib.media import MediaBlackhole
    from aiortc.rtp import RtpPacket
except ImportError as error:
    raise Missing("aiortc is not installed: pip install 'ccwhisper[dev]'") from error

BITS: Final = 20_000
"""Bits per second of Opus: `maxaveragebitrate` of `freeswitch-conf/`."""

FRAME: Final = RATE // 50
"""Samples in a packet."""

PATIENCE: Final = 20.0
"""Seconds until a coach who does not whisper is given up."""


@dataclass(frozen=True)
class Task:
    """What the process needs to know: where the service is, and for each coach his agent and his token."""

    url: str
    host: str
    coaches: list[tuple[str, str]]


class Laptops(Child):
    """The process, from outside."""

    def __init__(self, service: ServiceProcess, host: str, count: int) -> None:
        coaches = [(AGENT.format(each), service.token(f"coach{each}", devices=[])) for each in people(count)]
        super().__init__(__name__, asdict(Task(service.url, host, coaches)))

    def be(self, count: int) -> int:
        """Have `count` coaches whisper, each to an agent whose call is up. Returns how many packets from the switch the
        one of them has got who has got the fewest; 0 without any. Raises RuntimeError when they cannot."""
        return int(self.ask(count))


def encoded(seed: int, seconds: float = 20.0) -> list[av.Packet[Any]]:
    """A voice in packets of 20 ms."""
    said = np.rint(voice(seed, seconds) * 32767).astype(np.int16)
    encoder = av.AudioCodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = RATE, "mono", "s16"
    encoder.bit_rate, encoder.options = BITS, {"application": "voip"}
    packets: list[av.Packet[Any]] = []
    for at in range(0, len(said) - FRAME + 1, FRAME):
        frame = av.AudioFrame.from_ndarray(said[at : at + FRAME].reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, at
        packets += encoder.encode(frame)
    return packets


class Unmarked(RtpPacket):
    """A packet without the marker bit, which aiortc sets in every packet and which means the start of a talkspurt (RFC
    3551, section 4.1). FreeSWITCH forgets what it has for every such start: a coach with it is heard by nobody."""

    def serialize(self, extensions_map: Any = None) -> bytes:
        """As it goes on the wire."""
        self.marker = 0
        return bytes(super().serialize(extensions_map))


class Microphone(MediaStreamTrack):
    """Gives a packet every 20 ms, from the moment that the first is asked for; one that is late is caught up with."""

    kind = "audio"

    def __init__(self, said: Sequence[av.Packet[Any]]) -> None:
        super().__init__()
        self._said = said
        self._given = 0
        self._began = 0.0

    async def recv(self) -> av.Packet[Any]:
        """The next packet."""
        self._began = self._began or time.monotonic()
        await asyncio.sleep(max(0.0, self._began + self._given / 50 - time.monotonic()))
        packet = av.Packet(bytes(self._said[self._given % len(self._said)]))
        packet.pts, packet.time_base = self._given * FRAME, fractions.Fraction(1, RATE)
        self._given += 1
        return packet


class Laptop:
    """One coach."""

    def __init__(self, task: Task, agent: str, bearer: str, said: Sequence[av.Packet[Any]]) -> None:
        self._agent, self._bearer, self._said = agent, bearer, said
        self._socket = task.url.replace("http", "ws", 1)
        self._api = Api(task.url, bearer)
        self._device: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._tag = token()
        self._peer: RTCPeerConnection | None = None
        self._session = ""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._be_rung())]

    async def whisper(self) -> None:
        """Coach the agent's call, until the switch has opened the gate."""
        device = await asyncio.wait_for(self._device, PATIENCE)
        while not (found := (await self._asks("GET", "/calls", agent=self._agent))["calls"]):
            await asyncio.sleep(0.1)
        wanted = {"call": found[0]["id"], "mode": "whisper", "device": device}
        self._session = (await self._asks("POST", "/sessions", wanted))["id"]
        view = await self._asks("GET", f"/sessions/{self._session}", wait="gate", timeout=int(PATIENCE))
        if view["gate"] != "agent":
            raise TimeoutError(f"the coach of {self._agent} does not whisper: {view}")

    async def leave(self) -> None:
        """End the session, and go."""
        if self._session:
            await self._asks("DELETE", f"/sessions/{self._session}")
        for each in self._tasks:
            each.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._peer is not None:
            await self._peer.close()
        self._api.close()

    async def packets(self) -> int:
        """How many packets have come from the switch."""
        report = await self._peer.getStats() if self._peer is not None else {}
        return sum(each.packetsReceived for each in report.values() if each.type == "inbound-rtp")

    async def _asks(self, method: str, path: str, body: dict[str, str] | None = None, **query: Any) -> Any:
        return await asyncio.to_thread(self._api.ask, method, path, body, **query)

    async def _follow(self) -> None:
        """What a page is told of all calls: Socket.IO over Engine.IO 4."""
        socket = await AioClient.connect(f"{self._socket}/socket.io/?EIO=4&transport=websocket")
        await socket.receive()
        await socket.send("40" + json.dumps({"token": self._bearer}))
        while True:
            if await socket.receive() == "2":
                await socket.send("3")

    async def _be_rung(self) -> None:
        """docs/browser-phone.md has the protocol."""
        offered = ["ccwhisper.phone", f"bearer.{self._bearer}"]
        socket = await AioClient.connect(f"{self._socket}/browser-phone", subprotocols=offered)
        device = ""
        try:
            while True:
                text = await socket.receive()
                if not text.startswith("{"):
                    message = parse(text.encode())
                    if isinstance(message, Request) and message.method != "ACK":
                        await socket.send(bytes(await self._answer(message, device)).decode())
                    continue
                told = json.loads(text)
                device = told.get("device", device)
                if told.get("registered") and not self._device.done():
                    self._device.set_result(device)
        except ConnectionClosed as closed:
            if not self._device.done():
                self._device.set_exception(closed)

    async def _answer(self, request: Request, device: str) -> Response:
        response = response_to(request, 200, "OK", self._tag)
        if request.method == "INVITE":
            user = device.partition("@")[0]
            response.headers.set("Contact", f"<sip:{user}@{user}.invalid;transport=ws>")
            response.headers.set("Content-Type", "application/sdp")
            response.body = (await self._speak(request.body.decode())).encode()
        elif request.method == "BYE" and self._peer is not None:
            await self._peer.close()
        response.content_length = len(response.body)
        return response

    async def _speak(self, offer: str) -> str:
        self._peer = peer = RTCPeerConnection()
        drain = MediaBlackhole()
        peer.addTrack(Microphone(self._said))
        peer.on("track", drain.addTrack)
        # FreeSWITCH leaves out which way sound goes, which then is both (RFC 8866, section 6.7); aiortc wants it said.
        # And it has a certificate with an RSA key, which aiortc takes from the client of the handshake only.
        offer = offer.replace("a=setup:actpass", "a=setup:active") + "a=sendrecv\r\n"
        await peer.setRemoteDescription(RTCSessionDescription(offer, "offer"))
        await peer.setLocalDescription(await peer.createAnswer())
        await drain.start()
        # FreeSWITCH takes the last of several fingerprints, and knows no SHA-384 or SHA-512.
        return re.sub(r"a=fingerprint:sha-(384|512) .*\r\n", "", peer.localDescription.sdp)


async def serve() -> None:
    """Read a Task, then counts, one JSON value a line; answer each."""
    warnings.filterwarnings("ignore", "Parsed a serial number")  # of the switch's own certificate
    loop = asyncio.get_running_loop()
    task = Task(**json.loads(await loop.run_in_executor(None, sys.stdin.readline)))
    aiortc.rtcrtpsender.RtpPacket = Unmarked  # type: ignore[attr-defined]
    # aioice takes every address of this computer but that of loopback, on which all of this runs.
    aioice.ice.get_host_addresses = lambda **_: [task.host]
    said = [encoded(seed) for seed in (21, 22, 23)]
    up: list[Laptop] = []
    print("{}", flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        count = json.loads(line)
        while len(up) < count:
            up.append(Laptop(task, *task.coaches[len(up)], said[len(up) % len(said)]))
            await up[-1].whisper()
        print(min([await each.packets() for each in up], default=0), flush=True)
        while len(up) > count:
            await up.pop().leave()
    for each in up:
        await each.leave()


if __name__ == "__main__":
    asyncio.run(serve())
