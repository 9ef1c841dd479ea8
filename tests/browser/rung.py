"""A page that is in a call as a phone, with no switch for browsers: the other end of its audio is in the page itself,
and what the service's relay says, the test says."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from playwright.sync_api import Page, WebSocketRoute

# The other end: it offers, and plays a tone. `far.heard` says how loud the page's microphone is there.
_FAR: Final = """
async () => {
  const context = new AudioContext();
  const tone = new OscillatorNode(context);
  const out = new MediaStreamAudioDestinationNode(context);
  tone.connect(out);
  tone.start();
  const peer = new RTCPeerConnection();
  peer.addTrack(out.stream.getTracks()[0], out.stream);
  const analyser = new AnalyserNode(context, { fftSize: 4096 });
  peer.addEventListener("track", ({ track }) => {
    const stream = new MediaStream([track]);
    window.far.sound = Object.assign(new Audio(), { srcObject: stream, muted: true }); // or nothing is decoded
    window.far.sound.play();
    context.createMediaStreamSource(stream).connect(analyser);
  });
  const heard = () => {
    const samples = new Float32Array(analyser.fftSize);
    analyser.getFloatTimeDomainData(samples);
    return 10 * Math.log10(samples.reduce((sum, each) => sum + each * each, 1e-12) / samples.length);
  };
  window.far = { peer, heard, context };
  await context.resume();
  await peer.setLocalDescription(await peer.createOffer());
  while (peer.iceGatheringState !== "complete") {
    await new Promise((resolve) => peer.addEventListener("icegatheringstatechange", resolve, { once: true }));
  }
  return peer.localDescription.sdp;
}
"""
_ANSWERED: Final = "(sdp) => window.far.peer.setRemoteDescription({ type: 'answer', sdp })"


class Ringer:
    """In the place of the relay for one page: its address is `device`, which may be a phone of the simulator's, so that
    a session for it comes to be. It takes hold of a page that is loaded after it."""

    def __init__(self, page: Page, device: str) -> None:
        self.page, self.device = page, device
        self.cuts = False
        """Whether the next connection is greeted and cut."""
        self.mute = 0
        """How many connections are not greeted at all."""
        self.sockets: list[WebSocketRoute] = []
        self.said: list[str] = []
        """What the page said, in SIP."""
        page.route_web_socket(re.compile("/browser-phone$"), self._meet)

    def _meet(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        socket.on_message(lambda text: self.said.append(str(text)))
        if len(self.sockets) <= self.mute:
            return
        self.tell(device=self.device, resumed=len(self.sockets) > 1, ice_servers=[])
        if self.cuts:
            socket.close()
        else:
            self.tell(registered=["fs1"])

    def tell(self, **told: Any) -> None:
        """Of what is the relay's own."""
        self.sockets[-1].send(json.dumps(told))

    def ring(self, session: str) -> None:
        """As the switch does for a session, up to the ACK."""
        user = self.device.partition("@")[0]
        head = [
            "Via: SIP/2.0/WS switch.invalid;branch=z9hG4bK-ring",
            "Max-Forwards: 70",
            "From: <sip:coach@switch.invalid>;tag=switch",
            "Call-ID: ring",
            "Contact: <sip:switch.invalid;transport=ws>",
        ]
        sdp = self.page.evaluate(_FAR)
        invite = [
            f"INVITE sip:{user}@{user}.invalid;transport=ws SIP/2.0",
            *head,
            f"To: <sip:{self.device}>",
            "CSeq: 1 INVITE",
            f"X-CCW-Session: {session}",
            "Content-Type: application/sdp",
            f"Content-Length: {len(sdp)}",
        ]
        self.sockets[-1].send("\r\n".join(invite) + "\r\n\r\n" + sdp)
        answer = self.hear("SIP/2.0 200")
        to = next(line for line in answer.splitlines() if line.startswith("To:"))
        self.page.evaluate(_ANSWERED, answer.partition("\r\n\r\n")[2])
        ack = [f"ACK sip:{user}@{user}.invalid;transport=ws SIP/2.0", *head, to, "CSeq: 1 ACK", "Content-Length: 0"]
        self.sockets[-1].send("\r\n".join(ack) + "\r\n\r\n")

    def hear(self, beginning: str) -> str:
        """The first that the page said with this beginning; waits for it."""
        for _ in range(400):
            for text in self.said:
                if text.startswith(beginning):
                    return text
            self.page.wait_for_timeout(25)
        raise AssertionError(f"the page never said {beginning}: {self.said}")
