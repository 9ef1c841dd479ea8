"""Between a page and the switch: a process that hands on every UDP packet of a call, counts it, and loses some.

`Relay` is that process as seen from the benchmark. What is counted is what is on the wire: RTP, RTCP and ICE, with the
28 bytes of an IPv4 and a UDP header. What is lost is RTP alone, on its way to the switch, one packet in so many by
chance; ICE and RTCP, without which a call would end for other reasons, all get through.
"""

from __future__ import annotations

import io
import json
import random
import select
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from ccwhisper.bench._child import Child

HEADERS: Final = 28
"""Bytes of an IPv4 header without options and a UDP header (RFC 791, RFC 768)."""

HOST: Final = "127.0.0.1"


def is_rtp(packet: bytes) -> bool:
    """Whether a packet is RTP, among STUN, DTLS and RTCP on the same port (RFC 7983, RFC 5761)."""
    return len(packet) > 1 and 128 <= packet[0] <= 191 and not 192 <= packet[1] <= 223


@dataclass
class Counts:
    """What went one way, second by second of CLOCK_MONOTONIC: bytes on the wire; and how many packets were RTP and
    lost."""

    sizes: dict[int, int] = field(default_factory=dict)
    rtp: int = 0
    lost: int = 0

    def add(self, packet: bytes, second: int) -> None:
        """One more packet."""
        self.sizes[second] = self.sizes.get(second, 0) + len(packet) + HEADERS


def kbits(counts: dict[int, int], since: int, until: int) -> list[float]:
    """kbit/s in each whole second of [since, until), which are ns of CLOCK_MONOTONIC."""
    first, last = -(-since // 1_000_000_000), until // 1_000_000_000
    return [counts.get(second, 0) * 8 / 1000 for second in range(first, last)]


class Relay(Child):
    """The process, from outside. One call at a time: `lead` it through, and it is counted anew."""

    def __init__(self) -> None:
        super().__init__(__name__)

    def lead(self, port: int) -> tuple[int, int]:
        """A call whose other end is this port of the switch. Returns the port for the page, and that for the switch."""
        page, switch = self.ask({"lead": port})
        return page, switch

    def lose(self, share: float) -> None:
        """Lose this share of the RTP to the switch from now on."""
        self.ask({"lose": share})

    def counts(self) -> tuple[Counts, Counts]:
        """To the switch, and to the page."""
        up, down = (
            Counts({int(second): size for second, size in each["sizes"].items()}, each["rtp"], each["lost"])
            for each in self.ask({"counts": True})
        )
        return up, down

    def rates(self, since: int) -> list[float]:
        """kbit/s to the switch in each whole second since then, in ns of CLOCK_MONOTONIC."""
        until = time.monotonic_ns()
        return kbits(self.counts()[0].sizes, since, until)


class Way:
    """Two sockets, one towards each end. Where the page is, its first packet says."""

    def __init__(self, port: int) -> None:
        self.page, self.switch = _bound(), _bound()
        self._there = (HOST, port)
        self._here: tuple[str, int] | None = None
        self.up, self.down = Counts(), Counts()

    def hand_on(self, sock: socket.socket, loss: float) -> None:
        """One packet that has come."""
        packet, where = sock.recvfrom(4096)
        rtp, second = is_rtp(packet), int(time.monotonic())
        counts = self.up if sock is self.page else self.down
        counts.add(packet, second)
        counts.rtp += rtp
        if sock is self.page:
            self._here = where
            if rtp and random.random() < loss:
                counts.lost += 1
            else:
                self.switch.sendto(packet, self._there)
        elif self._here is not None:
            self.page.sendto(packet, self._here)

    def close(self) -> None:
        """No more."""
        self.page.close()
        self.switch.close()


def _bound() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((HOST, 0))
    return sock


def serve() -> None:
    """Orders on standard input, one JSON object a line; an answer to each."""
    orders = io.FileIO(sys.stdin.fileno(), closefd=False)  # unbuffered, or select would not see what is read already
    way: Way | None = None
    loss = 0.0
    while True:
        socks: Sequence[socket.socket] = () if way is None else (way.page, way.switch)
        waits: list[Any] = [orders, *socks]
        ready, _, _ = select.select(waits, [], [])
        for each in ready:
            if way is not None and each in socks:
                way.hand_on(each, loss)
        if orders not in ready:
            continue
        line = orders.readline()
        if not line:
            return
        order = json.loads(line)
        answer: Any = None
        if "lead" in order:
            if way is not None:
                way.close()
            way = Way(order["lead"])
            answer = way.page.getsockname()[1], way.switch.getsockname()[1]
        elif "lose" in order:
            loss = order["lose"]
        elif way is not None:
            answer = [vars(way.up), vars(way.down)]
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    serve()
