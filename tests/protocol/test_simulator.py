"""The simulator's port: it speaks as mod_event_socket does, word by word and frame by frame."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import gevent
import pytest
from gevent import socket

from ccwhisper.simulator import Impossible, Simulator, control
from ccwhisper.simulator.__main__ import main
from ccwhisper.simulator.control import Control
from ccwhisper.switch.commands import eavesdrop_gate, show_channels
from ccwhisper.switch.link import Backoff, Link

from .simulated import FIRST, PASSWORD, frames, party

pytestmark = pytest.mark.protocol

DEADLINE = 5.0


class Client:
    """A client that knows nothing but bytes."""

    def __init__(self, simulator: Simulator) -> None:
        self._sock = socket.create_connection((simulator.host, simulator.port), DEADLINE)
        self._data = b""
        self.closed = False

    def write(self, text: str) -> None:
        self._sock.sendall(text.encode())

    def read(self) -> tuple[dict[str, str], bytes]:
        """The next message. Raises TimeoutError, or EOFError when there is none and will not be."""
        while not self._whole():
            more = self._sock.recv(65536)
            if not more:
                self.closed = True
                raise EOFError
            self._data += more
        message, *rest = frames(self._data[: self._whole()])
        assert rest == []
        self._data = self._data[self._whole() :]
        return message

    def _whole(self) -> int:
        head, border, _ = self._data.partition(b"\n\n")
        if not border:
            return 0
        length = dict(line.split(": ", 1) for line in head.decode().split("\n")).get("Content-Length", "0")
        end = len(head) + 2 + int(length)
        return end if len(self._data) >= end else 0

    def ask(self, text: str) -> str:
        """A command; the Reply-Text, or the output of `api`."""
        self.write(text + "\n\n")
        headers, content = self.read()
        if headers["Content-Type"] == "api/response":
            return content.decode()
        assert headers["Content-Type"] == "command/reply"
        return headers["Reply-Text"]

    def event(self) -> dict[str, str]:
        """The next event, in JSON."""
        headers, content = self.read()
        assert headers == {"Content-Length": str(len(content)), "Content-Type": "text/event-json"}
        found: dict[str, str] = json.loads(content)
        return found

    def at_the_end(self) -> bool:
        """The switch hangs up, with nothing more to say."""
        with pytest.raises(EOFError):
            self.read()
        return self.closed

    def close(self) -> None:
        self._sock.close()


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator(password=PASSWORD, ring=0.0, seed=1) as running:
        yield running


@pytest.fixture
def stranger(simulator: Simulator) -> Iterator[Client]:
    """Connected, and not authenticated."""
    client = Client(simulator)
    yield client
    client.close()


@pytest.fixture
def client(stranger: Client) -> Client:
    stranger.read()
    assert stranger.ask(f"auth {PASSWORD}") == "+OK accepted"
    return stranger


# --- who may speak ----------------------------------------------------------------------------------------------------


def test_it_asks_for_the_password_and_says_what_it_is(stranger: Client) -> None:
    headers, content = stranger.read()
    assert headers["Content-Type"] == "auth/request"
    assert "simulator" in headers["X-Switch"]
    assert content == b""
    assert stranger.ask("api status") == "-ERR command not found"
    assert stranger.ask(f"auth {PASSWORD}") == "+OK accepted"
    assert "not for production" in stranger.ask("api status")
    assert "not for production" in stranger.ask("api version")


def test_a_wrong_password_ends_the_connection(stranger: Client) -> None:
    stranger.read()
    assert stranger.ask("auth nobody knows") == "-ERR invalid"
    assert stranger.read()[0]["Content-Type"] == "text/disconnect-notice"
    assert stranger.at_the_end()


def test_exit_is_answered_and_then_noticed(client: Client) -> None:
    assert client.ask("exit") == "+OK bye"
    headers, content = client.read()
    assert headers == {"Content-Type": "text/disconnect-notice", "Content-Length": str(len(content))}
    assert client.at_the_end()


def test_linger_is_for_sockets_that_the_switch_opens(client: Client) -> None:
    assert client.ask("linger") == "-ERR not controlling a session"
    assert client.ask("nolinger") == "-ERR not controlling a session"


# --- requests ---------------------------------------------------------------------------------------------------------


def test_answers_come_in_the_order_of_the_questions(client: Client) -> None:
    """Also of those that take time: `originate` holds up what was asked after it on the same connection."""
    client.write("api originate user/9001 &park()\n\napi create_uuid\n\napi nonsense\n\nnonsense\n\n")
    output = [client.read()[1].decode() for _ in range(3)]
    assert output[0].startswith("+OK ")
    assert len(output[1]) == 36
    assert output[2] == "-ERR nonsense Command not found!\n"
    assert client.read()[0]["Reply-Text"] == "-ERR command not found"


def test_a_request_may_come_in_pieces_and_with_either_line_end(client: Client) -> None:
    for piece in ("api mod", "ule_exists mod_callcenter\r\n\r", "\n\r\napi module_exists nothing\n\n"):
        client.write(piece)
        gevent.sleep(0)
    assert [client.read()[1] for _ in range(2)] == [b"true", b"false"]


def test_a_command_without_output_says_so(client: Client) -> None:
    assert client.ask("api global_getvar nothing") == "-ERR no reply\n"


def test_what_cannot_be_understood_ends_the_connection(client: Client) -> None:
    client.write("sendevent CUSTOM\nContent-Length: many\n\n")
    assert client.at_the_end()


def test_a_background_job_is_announced_and_then_reported(client: Client) -> None:
    client.ask("event json BACKGROUND_JOB")
    client.write("bgapi create_uuid\nJob-UUID: mine\n\n")
    headers, _ = client.read()
    assert headers == {
        "Content-Type": "command/reply",
        "Reply-Text": "+OK Job-UUID: mine",
        "Job-UUID": "mine",
    }
    job = client.event()
    assert (job["Event-Name"], job["Job-UUID"], job["Job-Command"]) == ("BACKGROUND_JOB", "mine", "create_uuid")
    assert len(job["_body"]) == int(job["Content-Length"]) == 36
    client.write("bgapi create_uuid\n\n")
    assert client.read()[0]["Job-UUID"] == client.event()["Job-UUID"] != "mine"


def test_an_event_of_ones_own_is_raised_for_everybody(simulator: Simulator, client: Client) -> None:
    other = Client(simulator)
    other.read()
    other.ask(f"auth {PASSWORD}")
    other.ask("event json CUSTOM ccwhisper::session")
    text = "sendevent CUSTOM\nEvent-Subclass: ccwhisper::session\nCCW-Leg: x\nContent-Length: 5\n\na\r\n\r\n"
    client.write(text + "api create_uuid\n\n")
    assert client.read()[0]["Reply-Text"].startswith("+OK ")
    assert len(client.read()[1]) == 36, "the body is taken whole, whatever is in it"
    event = other.event()
    assert (event["Event-Subclass"], event["CCW-Leg"], event["_body"]) == ("ccwhisper::session", "x", "a\r\n\r\n")
    other.close()


# --- events -----------------------------------------------------------------------------------------------------------


def test_events_in_either_format(simulator: Simulator, client: Client) -> None:
    """As json as they are; as plain with values url-encoded, so that no caller's name can add a line."""
    assert client.ask("event json CHANNEL_CREATE") == "+OK event listener enabled json"
    simulator.sim(f"call 1001 {FIRST} Ada%0AUnique-ID:+forged")
    created = client.event()
    assert created["Event-Name"] == "CHANNEL_CREATE"
    assert created["Caller-Caller-ID-Name"] == "Ada\nUnique-ID: forged"
    client.event()
    assert client.ask("event plain CHANNEL_CREATE") == "+OK event listener enabled plain"
    simulator.sim(f"call 1002 {FIRST} Ada%0AUnique-ID:+forged")
    headers, content = client.read()
    assert headers["Content-Type"] == "text/event-plain"
    lines = content.decode().split("\n")
    assert lines[-2:] == ["", ""]
    assert "Caller-Caller-ID-Name: Ada%0AUnique-ID%3A%20forged" in lines


def test_only_what_was_asked_for_comes(simulator: Simulator, client: Client) -> None:
    """Names after CUSTOM are subclasses, however they are spelt."""
    client.ask("event json CUSTOM callcenter::info CHANNEL_CREATE")
    simulator.sim("call 1001")
    simulator.sim("queue")
    assert client.event()["CC-Action"] == "member-queue-start"


def test_subscriptions_are_taken_back(simulator: Simulator, client: Client) -> None:
    simulator.sim("phone 1001 away")
    assert client.ask("event json") == "-ERR no keywords supplied"
    client.ask("event json ALL")
    assert client.ask("nixevent CHANNEL_CREATE CUSTOM callcenter::info") == "+OK events nixed"
    assert client.ask("api callcenter_config agent set status 1001@ccwhisper.local Available") == "+OK\n"
    simulator.sim("call 1001")
    names = [client.event()["Event-Name"] for _ in range(4)]
    assert names == ["CHANNEL_EXECUTE", "CHANNEL_HANGUP", "CHANNEL_HANGUP_COMPLETE", "CHANNEL_DESTROY"]
    assert client.ask("noevents") == "+OK no longer listening for events"
    simulator.sim("call 1001")
    assert client.ask("api module_exists nothing") == "false"


def test_a_filter_lets_through_what_matches(simulator: Simulator, client: Client) -> None:
    client.ask("event json CHANNEL_CREATE")
    assert client.ask("filter caller-destination-number 1002") == (
        "+OK filter added. [caller-destination-number]=[1002]"
    )
    assert client.ask("filter nothing") == "-ERR invalid syntax"
    for agent in ("1001", "1002"):
        simulator.sim(f"call {agent}")
    assert party(client.event()) == "1002"
    assert client.ask("filter delete all") == "+OK filter deleted. [all][]"
    simulator.sim(f"call 1003 {FIRST}")
    assert party(client.event()) == FIRST


def test_every_command_of_the_control_interface_is_in_its_documents(simulator: Simulator) -> None:
    page = (Path(__file__).parents[2] / "docs/simulator.md").read_text()
    verbs = [name.removeprefix("_do_") for name in dir(Control) if name.startswith("_do_")]
    assert len(verbs) > 15
    for verb in verbs:
        assert f"`sim {verb}" in page, verb
        assert f"``sim {verb}" in str(control.__doc__), verb


# --- the process and the product's own client -------------------------------------------------------------------------


def test_the_products_client_is_content(simulator: Simulator) -> None:
    events: list[str] = []
    up, down = gevent.event.Event(), gevent.event.Event()
    link = Link(
        "one", simulator.host, simulator.port, PASSWORD, ["CHANNEL_ANSWER"], ["callcenter::info"],
        lambda event: events.append(event.name), up.set, lambda _reason: down.set(),
        backoff=Backoff(first=0.01, cap=0.05),
    )  # fmt: skip
    link.start()
    assert up.wait(DEADLINE)
    legs = simulator.sim("call 1001")
    with gevent.Timeout(DEADLINE):
        while len(events) < 2:
            gevent.sleep(0.005)
        while json.loads(link.api(show_channels()))["row_count"] != 2:
            gevent.sleep(0.005)
    link.command(eavesdrop_gate(legs["agent"], "2"))
    up.clear()
    simulator.drop()
    assert down.wait(DEADLINE)
    assert up.wait(DEADLINE), "the port is open again"
    link.stop()


def test_a_command_that_takes_time_cannot_be_asked_without_the_port(simulator: Simulator) -> None:
    with pytest.raises(Impossible, match="has not answered yet"):
        simulator.api("originate user/9001 &park()")


def test_as_a_process_it_says_where_it_listens_and_ends_when_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CCW_ESL_PASSWORD", raising=False)
    with subprocess.Popen(
        [sys.executable, "-m", "ccwhisper.simulator", "--calls", "3"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout
        about = json.loads(process.stdout.readline())
        assert about["simulator"] is True
        with socket.create_connection((about["host"], about["port"]), DEADLINE) as sock:
            assert sock.recv(4096).startswith(b"Content-Type: auth/request\n")
            sock.sendall(f"auth {about['password']}\n\n".encode())
            assert b"+OK accepted" in sock.recv(4096)
        process.terminate()
        assert process.wait(DEADLINE) == 0
        assert process.stdout.read() == ""


def test_a_port_that_is_taken(simulator: Simulator, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--port", str(simulator.port)]) == 1
    assert capsys.readouterr().err.startswith(f"cannot listen on 127.0.0.1 port {simulator.port}: ")
