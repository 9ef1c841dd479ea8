"""A scripted Event Socket on a real port, and the bytes FreeSWITCH would write. Shares no code with the product."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import greenswitch
import pytest
from gevent import socket
from gevent.queue import Queue

from ccwhisper.switch.wire import Connection
from tests.scenarios.cable import Cable
from tests.scenarios.record import seen
from tests.scenarios.recording import RECORDED
from tests.scenarios.simulated import SimNode, SimStage
from tests.scenarios.stage import TIMES

PASSWORD = "open sesame"
DEADLINE = 5.0
UNSAFE = frozenset(b'\r\n #%&+:;<=>?@[\\]^`{|}"')


def url_encode(value: bytes) -> bytes:
    """As switch_url_encode does it: an escape (%0A) that is there already is left alone."""
    out = bytearray()
    for index, byte in enumerate(value):
        escape = value[index + 1 : index + 3]
        already = byte == 0x25 and len(escape) == 2 and all(one in b"0123456789ABCDEF" for one in escape)
        if not already and (byte < 0x20 or byte > 0x7E or byte in UNSAFE):
            out += b"%%%02X" % byte
        else:
            out.append(byte)
    return bytes(out)


def plain_event(headers: dict[str, str], body: bytes | None = None) -> bytes:
    text = b"".join(name.encode() + b": " + url_encode(value.encode()) + b"\n" for name, value in headers.items())
    text += b"\n" if body is None else b"Content-Length: %d\n\n%b" % (len(body), body)
    return b"Content-Length: %d\nContent-Type: text/event-plain\n\n%b" % (len(text), text)


def json_event(headers: dict[str, Any], body: bytes | None = None) -> bytes:
    document = dict(headers)
    if body is not None:
        document |= {"Content-Length": str(len(body)), "_body": body.decode()}
    text = json.dumps(document, ensure_ascii=False).encode()
    return b"Content-Length: %d\nContent-Type: text/event-json\n\n%b" % (len(text), text)


def api_response(body: bytes) -> bytes:
    return b"Content-Type: api/response\nContent-Length: %d\n\n%b" % (len(body), body)


def command_reply(text: str) -> bytes:
    return f"Content-Type: command/reply\nReply-Text: {text}\n\n".encode()


class Peer:
    """The switch's end of one connection."""

    def __init__(self, switch: Switch, sock: Any) -> None:
        self.switch = switch
        self.sock = sock
        self.commands: Queue[str] = Queue()
        self.gone = gevent.event.Event()

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def close(self) -> None:
        """FIN."""
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def next_command(self) -> str:
        return self.commands.get(timeout=DEADLINE)

    def run(self) -> None:
        try:
            if self.switch.banner:
                self.send(b"Content-Type: auth/request\n\n")
            buffer = b""
            while data := self.sock.recv(65536):
                buffer += data
                while b"\n\n" in buffer:
                    command, buffer = buffer.split(b"\n\n", 1)
                    self._obey(command.decode())
        except OSError:
            pass
        finally:
            self.gone.set()

    def _obey(self, command: str) -> None:
        if command.startswith("auth "):
            good = command == f"auth {PASSWORD}" and not self.switch.refuse
            self.send(command_reply("+OK accepted" if good else "-ERR invalid"))
            if not good:
                self.close()
            return
        self.commands.put(command)
        reply = self.switch.answer(command)
        if reply:
            self.send(reply)
        if command == "exit" and reply:
            self.send(b"Content-Type: text/disconnect-notice\nContent-Length: 5\n\nbye!\n")
            self.close()


def obliging(command: str) -> bytes | None:
    if command.startswith("api "):
        return api_response(b"+OK " + command[4:].encode())
    return command_reply("+OK bye" if command == "exit" else "+OK")


class Switch:
    """Listens on a port of its own. ``answer`` decides the reply to a command; None keeps silent."""

    def __init__(self) -> None:
        self.banner = True
        self.refuse = False
        self.answer: Callable[[str], bytes | None] = obliging
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.port: int = self.listener.getsockname()[1]
        self.peers: Queue[Peer] = Queue()
        self.all: list[Peer] = []
        self.greenlets = [gevent.spawn(self._accept)]

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            peer = Peer(self, sock)
            self.all.append(peer)
            self.greenlets.append(gevent.spawn(peer.run))
            self.peers.put(peer)

    def next_peer(self) -> Peer:
        return self.peers.get(timeout=DEADLINE)

    def close(self) -> None:
        self.listener.close()
        for peer in self.all:
            peer.sock.close()
        gevent.killall(self.greenlets, timeout=1)


@pytest.fixture
def switch() -> Iterator[Switch]:
    server = Switch()
    yield server
    server.close()


class Subject:
    """Either client, so that one test can show the defect of one and its cure in the other."""

    def __init__(self, kind: str, switch: Switch) -> None:
        self.kind = kind
        self.ours = kind == "ccwhisper"
        self.switch = switch
        self.events: Queue[Any] = Queue()
        factory = Connection if self.ours else greenswitch.InboundESL
        self.client = factory("127.0.0.1", switch.port, PASSWORD, timeout=2)
        self.client.register_handle("*", self.events.put)

    def connect(self) -> Peer:
        with gevent.Timeout(DEADLINE):
            self.client.connect()
        return self.switch.next_peer()

    def event(self, headers: dict[str, str], body: bytes | None = None) -> bytes:
        return (json_event if self.ours else plain_event)(headers, body)

    def next_event(self, timeout: float = DEADLINE) -> Any:
        return self.events.get(timeout=timeout)

    def close(self) -> None:
        if self.ours:
            self.client.stop(timeout=1)
            return
        # Nothing of greenswitch's own can be trusted to end.
        self.client._run = False
        greenlets = (self.client._receive_events_greenlet, self.client._process_events_greenlet)
        gevent.killall([one for one in greenlets if one is not None], timeout=1)
        if hasattr(self.client, "sock"):
            self.client.sock.close()
        if hasattr(self.client, "sock_file"):
            self.client.sock_file.close()


@pytest.fixture(params=["greenswitch", "ccwhisper"])
def subject(request: pytest.FixtureRequest, switch: Switch) -> Iterator[Subject]:
    one = Subject(request.param, switch)
    yield one
    one.close()


@pytest.fixture
def ours(switch: Switch) -> Iterator[Subject]:
    one = Subject("ccwhisper", switch)
    yield one
    one.close()


# --- scenarios on the simulator ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def node() -> Iterator[SimNode]:
    """The simulator that scenarios share."""
    with SimNode() as simulator:
        yield simulator


@pytest.fixture(scope="session")
def cable(node: SimNode) -> Iterator[Cable]:
    """Between it and the service."""
    with Cable(node.host, node.esl_port) as cable:
        yield cable


@pytest.fixture(scope="session")
def whole_stage(node: SimNode, cable: Cable) -> Iterator[SimStage]:
    """The service that they share, and the people."""
    stage = SimStage(node, TIMES)
    cable.carry(stage.service)
    with stage:
        yield stage


@pytest.fixture
def own_stage(whole_stage: SimStage) -> SimStage:
    """A stage whose service may be killed: here it is the shared one, which is started again."""
    return whole_stage


@pytest.fixture(scope="module")
def recording_stage(node: SimNode) -> Iterator[SimStage]:
    """A service whose policies want every call recorded."""
    with SimStage(node, RECORDED) as stage:
        yield stage


@pytest.fixture(scope="session")
def new_stage() -> type[SimStage]:
    """What makes a stage, for those who need one of their own."""
    return SimStage


@pytest.fixture
def on_stage(request: pytest.FixtureRequest) -> Callable[..., Iterator[SimStage]]:
    """One test on a stage, with nobody on it before and after; `restored` is called when the test is over."""

    def use(stage: SimStage, restored: Callable[[], object] = lambda: None) -> Iterator[SimStage]:
        stage.verdicts.clear()
        stage.said.clear()
        yield stage
        seen(request, stage)
        restored()
        stage.clear()

    return use


@pytest.fixture
def stage(whole_stage: SimStage, on_stage: Callable[..., Iterator[SimStage]]) -> Iterator[SimStage]:
    """The shared stage."""
    yield from on_stage(whole_stage)


@pytest.fixture
def bare_stage(stage: SimStage, node: SimNode) -> Iterator[SimStage]:
    """The shared stage, while new legs have no jitter buffer of their own."""
    node.sim("buffer off")
    yield stage
    node.sim("buffer on")
