"""Pages without a browser: many Socket.IO clients in one process, which note when each change of a call is there as
data, ready to be painted. Run by `push`, with its instructions on standard input; the answer is on standard output.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import time
from collections import defaultdict
from typing import Any
from urllib.parse import urlsplit

import gevent
import orjson
from gevent import socket


class Page:
    """One client. It speaks just enough WebSocket (RFC 6455) to follow along; a `sleeper` reads nothing."""

    def __init__(self, url: str, token: str, sleeper: bool) -> None:
        parts = urlsplit(url)
        self.sleeper = sleeper
        self.seen: list[tuple[int, str, bool]] = []
        self.events = 0
        self.gone = False
        self.ready = False
        self._sock = socket.socket()
        if sleeper:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._sock.connect((parts.hostname, parts.port))
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._sock.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        self._sock.sendall(
            f"GET /socket.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        while self._file.readline().strip():
            pass
        self._read()  # Engine.IO's open
        self._send(b"40" + json.dumps({"token": token}).encode())
        while not self.ready:
            self._take(self._read())

    def follow(self) -> None:
        """Until the connection ends."""
        try:
            while message := self._read():
                self._take(message)
        except (OSError, ValueError):
            pass
        self.gone = True

    def _take(self, message: bytes) -> None:
        if message == b"2":
            self._send(b"3")
        elif message.startswith(b"42"):
            name, data = orjson.loads(message[2:])
            now = time.monotonic_ns()
            if name == "snapshot":
                self.ready = True
            elif name == "delta":
                self.events += len(data["events"])
                for event in data["events"]:
                    if event["type"] == "call.changed":
                        self.seen.append((now, event["data"]["id"], event["data"]["held"]))

    def _read(self) -> bytes:
        head = self._file.read(2)
        if len(head) < 2:
            return b""
        size = head[1] & 127
        if size == 126:
            size = int.from_bytes(self._file.read(2))
        elif size == 127:
            size = int.from_bytes(self._file.read(8))
        payload = self._file.read(size)
        return payload if head[0] & 15 == 1 else b""

    def _send(self, text: bytes) -> None:
        mask = os.urandom(4)
        size = len(text)
        length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 126]) + size.to_bytes(2)
        self._sock.sendall(b"\x81" + length + mask + bytes(each ^ mask[at % 4] for at, each in enumerate(text)))


def delays(pages: list[Page], said: list[tuple[int, str, bool]]) -> tuple[list[float], int]:
    """From each change to each page that heard of it, in ms; and how many were not heard of at all."""
    found: list[float] = []
    missed = 0
    for page in pages:
        heard: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
        for at, call, held in page.seen:
            heard[call, held].append(at)
        for at, call, held in said:
            after = next((each for each in heard[call, held] if each >= at), None)
            if after is None:
                missed += 1
            else:
                found.append((after - at) / 1e6)
    return found, missed


def main() -> None:
    """`{url, tokens, sleepers}` in; a line when all are there; `{said}` in; the figures out."""
    asked: dict[str, Any] = json.loads(sys.stdin.readline())
    pages = [Page(asked["url"], token, at < asked["sleepers"]) for at, token in enumerate(asked["tokens"])]
    readers = [gevent.spawn(page.follow) for page in pages if not page.sleeper]
    print(json.dumps({"connected": len(pages)}), flush=True)
    line = gevent.get_hub().threadpool.apply(sys.stdin.readline)
    said = [(at, call, held) for at, call, held in json.loads(line)["said"]]
    found, missed = delays([page for page in pages if not page.sleeper], said)
    found.sort()
    parts = {str(part): found[int(part / 100 * (len(found) - 1))] if found else 0.0 for part in (50, 95, 99, 100)}
    print(json.dumps({"ms": parts, "count": len(found), "missed": missed,
                      "gone": sum(page.gone for page in pages if not page.sleeper)}), flush=True)  # fmt: skip
    gevent.killall(readers)


if __name__ == "__main__":
    main()
