"""The private node: boots as it is, lets in who it should, and keeps out everybody else."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ccwhisper.proof.node import AuthenticationRefused, NodeError, PrivateNode, default_conf, event_socket_api

pytestmark = pytest.mark.live


def until(true: Callable[[], bool], what: str, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"not within {seconds:g} s: {what}"
        time.sleep(0.02)


class Stranger:
    """Raw SIP over UDP: sends one request, reads answers. Has no password and owes nothing to our own SIP code."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.5)  # SIP's T1
        self.port = self.socket.getsockname()[1]

    def ask(self, method: str, port: int, user: str, *, sender: str = "stranger", password: str | None = None) -> int:
        """Status of the final answer; with a password, of the answer to a second request with a digest."""
        answer = self._transaction(method, port, user, sender, 1, "")
        challenge = re.search(r'-Authenticate: Digest realm="([^"]+)", nonce="([^"]+)"', answer)
        if password is not None and challenge:
            realm, nonce = challenge.groups()
            uri = f"sip:{user}@127.0.0.1:{port}"
            ha1, ha2 = (
                hashlib.md5(text.encode()).hexdigest() for text in (f"{sender}:{realm}:{password}", f"{method}:{uri}")
            )
            response = hashlib.md5(f"{ha1}:{nonce}:{ha2}".encode()).hexdigest()
            name = "Proxy-Authorization" if answer.startswith("SIP/2.0 407") else "Authorization"
            digest = f'username="{sender}", realm="{realm}", nonce="{nonce}", uri="{uri}", response="{response}"'
            answer = self._transaction(method, port, user, sender, 2, f"{name}: Digest {digest}\r\n")
        return int(answer.split(" ", 2)[1])

    def _transaction(self, method: str, port: int, user: str, sender: str, number: int, extra: str) -> str:
        tag = os.urandom(6).hex()
        sdp = (
            f"v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\n"
            f"m=audio {self.port} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        body = sdp if method == "INVITE" else ""
        head = (
            f"Via: SIP/2.0/UDP 127.0.0.1:{self.port};branch=z9hG4bK{tag};rport\r\nMax-Forwards: 20\r\n"
            f"From: <sip:{sender}@127.0.0.1>;tag={tag}\r\n"
            f"Call-ID: {tag}\r\nContact: <sip:{sender}@127.0.0.1:{self.port}>\r\n"
        )
        uri = f"sip:{user}@127.0.0.1:{port}"
        request = (
            f"{method} {uri} SIP/2.0\r\n{head}To: <{uri}>\r\nCSeq: {number} {method}\r\n{extra}"
            f"Content-Type: application/sdp\r\nContent-Length: {len(body)}\r\n\r\n{body}"
        )
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            self.socket.sendto(request.encode(), ("127.0.0.1", port))  # again: UDP, and the profile may just be binding
            with contextlib.suppress(TimeoutError):
                while True:
                    answer = self.socket.recv(65535).decode()
                    if tag not in answer or int(answer.split(" ", 2)[1]) < 200:
                        continue
                    if method == "INVITE":
                        to = re.search(r"^To: (.*)$", answer, re.MULTILINE)
                        assert to
                        ack = f"ACK {uri} SIP/2.0\r\n{head}To: {to[1].strip()}\r\nCSeq: {number} ACK\r\n"
                        self.socket.sendto(f"{ack}Content-Length: 0\r\n\r\n".encode(), ("127.0.0.1", port))
                    return answer
        raise AssertionError(f"no final answer to {method} on port {port}")


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    one = Stranger()
    yield one
    one.socket.close()


@pytest.fixture
def odd_node(freeswitch: Path) -> Iterator[Callable[..., PrivateNode]]:
    """Launches nodes with something missing; they are not expected to become ready."""
    nodes: list[PrivateNode] = []

    def launch(**environment: str | None) -> PrivateNode:
        node = PrivateNode(binary=freeswitch, environment=environment)
        nodes.append(node)
        node.launch()
        return node

    yield launch
    for node in nodes:
        node.kill()  # nobody is on the line
        node.close()


# It boots


def test_both_profiles_run_and_it_boots_without_an_error(node: PrivateNode) -> None:
    status = node.api("sofia status")
    assert re.search(rf"phones\s+profile\s+\S+:{node.phones_port}\s+RUNNING", status)
    assert re.search(rf"trunk\s+profile\s+\S+:{node.trunk_port}\s+RUNNING", status)
    assert re.match(r"\d+\.\d+", node.version)
    assert node.boot_log
    assert [line for line in node.boot_log.splitlines() if re.search(r"\[(ERR|CRIT|ALERT)\]", line)] == []


def test_every_module_that_is_asked_for_is_there(node: PrivateNode) -> None:
    asked = re.findall(r'<load module="(mod_\w+)"', (default_conf() / "autoload_configs/modules.conf.xml").read_text())
    assert len(asked) > 8
    assert {name for name in asked if node.api(f"module_exists {name}") != "true"} == set()


def test_the_queue_has_its_agents(node: PrivateNode) -> None:
    tiers = node.api("callcenter_config tier list")
    assert f"support@default|1001@{node.domain}|Ready" in tiers
    contacts = [
        row.split("|")[4] for row in node.api("callcenter_config agent list").splitlines()[1:] if "|callback|" in row
    ]
    assert contacts
    for contact in contacts:
        assert contact.startswith("[jitterbuffer_msec=40,rtp_jitter_buffer_during_bridge=true")


def test_it_has_room_for_a_hundred_and_fifty_legs(node: PrivateNode) -> None:
    status = node.api("status")
    assert int(re.search(r"(\d+) session\(s\) max", status)[1]) >= 1000  # type: ignore[index]
    assert int(re.search(r"out of max (\d+)", status)[1]) >= 100  # type: ignore[index]
    assert node.rtp_max - node.rtp_min >= 4 * 150


def test_a_killed_node_comes_back_on_the_same_ports_and_two_run_side_by_side(
    node: PrivateNode, freeswitch: Path
) -> None:
    with PrivateNode(binary=freeswitch) as other:
        ports, first = (other.phones_port, other.trunk_port, other.esl_port), other.pid
        os.kill(other.pid, signal.SIGKILL)
        until(lambda: not other.running, "the killed switch is gone")
        other.start()
        assert (other.phones_port, other.trunk_port, other.esl_port) == ports
        assert other.pid != first
        assert node.api("module_exists mod_sofia") == "true"
        directory = other.directory
    assert not other.running
    assert not directory.exists()


def test_a_node_that_cannot_start_says_why(freeswitch: Path, tmp_path: Path) -> None:
    with pytest.raises(NodeError, match="no switch configuration"):
        PrivateNode(binary=freeswitch, conf=tmp_path)
    (tmp_path / "freeswitch.xml").write_text("<document type='freeswitch/xml'/>\n")
    broken = PrivateNode(binary=freeswitch, conf=tmp_path, start_timeout=3)
    with pytest.raises(NodeError, match=r"ended with status|not ready after 3 s") as error:
        broken.start()
    assert not broken.running
    assert "\n" in str(error.value)  # the log's tail
    broken.close()


# Who may command it


@pytest.mark.parametrize("password", ["ClueCon", "", "wrong-password-1"])
def test_the_event_socket_refuses_other_passwords(node: PrivateNode, password: str) -> None:
    with pytest.raises(AuthenticationRefused):
        event_socket_api(node.esl_port, password, "status")


def test_the_event_socket_is_on_loopback_only(node: PrivateNode) -> None:
    listening = Path("/proc/net/tcp").read_text().splitlines()[1:]
    here = [
        row.split()[1]
        for row in listening
        if row.split()[1].endswith(f":{node.esl_port:04X}") and row.split()[3] == "0A"
    ]
    assert here == [f"0100007F:{node.esl_port:04X}"]


@pytest.mark.parametrize("password", [None, "", "ClueCon", "long-enough-but-<odd>"])
def test_without_a_good_password_there_is_no_event_socket(
    odd_node: Callable[..., PrivateNode], stranger: Stranger, password: str | None
) -> None:
    node = odd_node(CCW_ESL_PASSWORD=password)
    until(lambda: "no_event_socket_because_CCW_ESL_PASSWORD" in node.log_tail(400), "the log names the variable")
    until(lambda: "Added gateway" in node.log_tail(400), "the switch is up otherwise")
    assert stranger.ask("OPTIONS", node.phones_port, "1001") > 0
    for guess in ("ClueCon", "", password or "x"):
        with pytest.raises(ConnectionRefusedError):
            event_socket_api(node.esl_port, guess, "status")


def test_no_password_is_left_in_a_variable(node: PrivateNode) -> None:
    everything = node.api("global_getvar")
    assert "ccw_sip_ip" in everything
    assert node.esl_password not in everything
    assert not any(node.phone_secret(user) in everything for user in ("1001", "1004", "9001", "9003"))


# Who may register and call


def test_phone_passwords_are_those_of_the_script(node: PrivateNode) -> None:
    for user in ("1001", "1002", "1003", "1004", "9001", "9002", "9003"):
        script = subprocess.run(
            ["sh", default_conf() / "secrets.sh", "phone-password", user],
            env=node.environment, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert script.stdout.strip() == node.phone_secret(user)
        assert node.api(f"user_data {user}@{node.domain} param password") == node.phone_secret(user)


def test_a_call_without_a_password_is_challenged(node: PrivateNode, stranger: Stranger) -> None:
    for sender in ("stranger", "1001"):
        assert stranger.ask("INVITE", node.phones_port, "1002", sender=sender) == 407
        assert stranger.ask("REGISTER", node.phones_port, sender, sender=sender) == 401
    assert node.api("show channels count").strip() == "0 total."


@pytest.mark.parametrize("secret", [None, "", "short"])
def test_without_a_phone_secret_nobody_registers(
    odd_node: Callable[..., PrivateNode], stranger: Stranger, secret: str | None
) -> None:
    node = odd_node(CCW_PHONE_SECRET=secret)
    until(lambda: _answers(node), "the node is up")
    for guess in ("", "1001", secret or "x"):
        assert stranger.ask("REGISTER", node.phones_port, "1001", sender="1001", password=guess) == 403
    assert stranger.ask("INVITE", node.phones_port, "1002", sender="1001") == 407


def _answers(node: PrivateNode) -> bool:
    try:
        return "RUNNING" in node.api("sofia status")
    except OSError:
        return False


@pytest.mark.parametrize("number", ["1001", "6000", "915551234", "9001", "*33", "2009", "20011", "park", "transfers"])
def test_a_caller_reaches_the_numbers_of_the_trunk_and_no_other(
    node: PrivateNode, stranger: Stranger, number: str
) -> None:
    assert stranger.ask("INVITE", node.trunk_port, number) in (404, 480)


def test_a_caller_from_another_network_is_refused(odd_node: Callable[..., PrivateNode], stranger: Stranger) -> None:
    node = odd_node(CCW_TRUNK_NETWORK="192.0.2.0/24")
    until(lambda: _answers(node), "the node is up")
    assert stranger.ask("INVITE", node.trunk_port, "5000") == 403


def test_nobody_registers_on_the_trunk(node: PrivateNode, stranger: Stranger) -> None:
    assert stranger.ask("REGISTER", node.trunk_port, "1001", sender="1001") == 405


def test_a_phone_registers_with_its_own_password_only(node: PrivateNode, stranger: Stranger) -> None:
    def register(user: str, password: str) -> int:
        return stranger.ask("REGISTER", node.phones_port, user, sender=user, password=password)

    assert register("1003", node.phone_secret("1003")) == 200
    assert register("1003", node.phone_secret("9003")) == 403
    assert register("9003", node.phone_secret("1003")) == 403
    assert register("7777", node.phone_secret("7777")) == 403  # the sum is right, the user unknown
    assert "7777" not in node.api("sofia status profile phones reg")


def test_a_coach_s_phone_dials_nobody(node: PrivateNode, stranger: Stranger) -> None:
    for number in ("1001", "5000", "915551234", "9002"):
        secret = node.phone_secret("9001")
        assert stranger.ask("INVITE", node.phones_port, number, sender="9001", password=secret) == 403
