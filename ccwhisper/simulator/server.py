"""The simulator on a real port.

    with Simulator() as simulator:
        connect to 127.0.0.1, simulator.port, simulator.password
        simulator.sim("call 1001")

Starts in milliseconds. Cooperative (gevent): whoever holds it must let the hub run. As a process of its own:
``python -m ccwhisper.simulator``.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from types import TracebackType
from typing import Any, Self

import gevent
from gevent import socket
from gevent.event import Event as Signal
from gevent.server import StreamServer

from ccwhisper.simulator.api import Api
from ccwhisper.simulator.callcenter import CallCenter
from ccwhisper.simulator.clock import Clock
from ccwhisper.simulator.control import Control
from ccwhisper.simulator.parties import Impossible, Parties
from ccwhisper.simulator.state import Switch
from ccwhisper.simulator.stories import Stories
from ccwhisper.simulator.wire import Conversation

MAX_BACKLOG = 64 * 1024 * 1024
"""Bytes that may wait for a client who does not read; then it is hung up on. The switch counts 100,000 events."""


class World:
    """Switch, people, queue and stories, wired, without a port: for tests and benchmarks with a clock of their own."""

    def __init__(
        self,
        clock: Clock | None = None,
        *,
        domain: str = "ccwhisper.local",
        agents: int = 8,
        coaches: int = 9,
        ring: float = 0.05,
        jitter_buffer: bool = True,
        talk: float = 90.0,
        seed: int | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.switch = Switch(self.clock, seed)
        self.parties = Parties(self.switch, domain, agents, coaches, ring, jitter_buffer)
        self.callcenter = CallCenter(self.parties)
        self.stories = Stories(self.parties, self.callcenter, seed, talk)
        self.control = Control(self.switch, self.parties, self.callcenter, self.stories)
        self.api = Api(self.switch, self.parties, self.callcenter, self.control)

    def command(self, line: str) -> str:
        """The output of an api command that answers at once."""
        answers: list[str] = []
        self.api.api(line, answers.append)
        if not answers:
            raise Impossible(f"{line.split(maxsplit=1)[0]} has not answered yet")
        return answers[0]


class Simulator:
    """A World on a port of ``host`` (0: any free one). ``domain`` is that of the directory; ``agents`` are 1001 …,
    ``coaches`` 9001 …; ``ring`` is how many seconds a phone rings before it is answered; ``seed`` fixes uuids and
    stories. Raises OSError when the port is taken."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0, password: str = "", **world: Any) -> None:
        self.host = host
        self.port: int = port
        self.password = password or secrets.token_hex(12)
        self.world = World(**world)
        self.domain = self.world.parties.domain
        self._server: StreamServer | None = None
        self._clients: list[_Client] = []
        self._due = Signal()
        self._timers: gevent.Greenlet[[], None] | None = None

    def start(self) -> Self:
        """Listen. Raises OSError."""
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self.host, self.port))
        except OSError:
            listener.close()
            raise
        listener.listen(64)
        self.port = int(listener.getsockname()[1])
        self._server = StreamServer(listener, self._serve)
        self._server.start()
        self.world.clock.on_sooner = self._due.set
        self._timers = gevent.spawn(self._run)
        return self

    def stop(self) -> None:
        """Hang up on every client and close the port."""
        if self._server is not None:
            self._server.stop(timeout=0)
        for client in list(self._clients):
            client.close()
        if self._timers is not None:
            self._timers.kill()
        self._server = self._timers = None

    def drop(self) -> None:
        """Hang up on every client; the port stays open. As if the network had failed."""
        for client in list(self._clients):
            client.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def api(self, line: str) -> str:
        """An api command, without the socket. Raises Impossible for one that takes time (originate)."""
        return self.world.command(line)

    def sim(self, line: str) -> Any:
        """A command of the control interface, its answer decoded. Raises Impossible."""
        answer = self.api(f"sim {line}")
        if answer.startswith("-ERR"):
            raise Impossible(answer.removeprefix("-ERR ").strip())
        return None if answer.startswith("+OK") else json.loads(answer)

    def _run(self) -> None:
        clock = self.world.clock
        while True:
            self._due.clear()
            clock.run()
            gevent.sleep(0)  # a burst of timers must not keep the clients waiting
            self._due.wait(clock.due())

    def _serve(self, sock: Any, _address: object) -> None:
        client = _Client(sock, self.world, self.password)
        self._clients.append(client)
        self.world.switch.conversations.append(client.conversation)
        try:
            client.read()
        finally:
            self._clients.remove(client)
            self.world.switch.conversations.remove(client.conversation)


class _Client:
    def __init__(self, sock: Any, world: World, password: str) -> None:
        self._sock = sock
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._out: deque[bytes] = deque()
        self._size = 0
        self._news = Signal()
        self._closing = False
        self._writer = gevent.spawn(self._write)
        self.conversation = Conversation(world.api, password, self._send, self._finish)

    def read(self) -> None:
        """Until the client goes, or is hung up on."""
        try:
            while not self._closing and (data := self._sock.recv(65536)):
                self.conversation.receive(data)
        except OSError:
            pass  # it has gone, in whatever way
        self._finish()
        self._writer.join(timeout=1)
        self.close()

    def _send(self, data: bytes) -> None:
        if self._closing:
            return
        self._out.append(data)
        self._size += len(data)
        self._news.set()
        if self._size > MAX_BACKLOG:
            self.close()

    def _finish(self) -> None:
        self._closing = True
        self._news.set()

    def _write(self) -> None:
        try:
            while True:
                self._news.wait()
                self._news.clear()
                while self._out:
                    data = b"".join(self._out)
                    self._out.clear()
                    self._sock.sendall(data)
                    self._size -= len(data)
                if self._closing:
                    self._sock.shutdown(socket.SHUT_RDWR)
                    return
        except OSError:
            self._closing = True

    def close(self) -> None:
        self._closing = True
        self._writer.kill(block=False)
        self._sock.close()
