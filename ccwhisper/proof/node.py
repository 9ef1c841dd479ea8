"""A FreeSWITCH of one's own: `freeswitch-conf/` on free loopback ports with random passwords, and taken down again.

It is the stock `freeswitch` binary and the very configuration that administrators are given, so what is proved on it
is proved for them.

    with PrivateNode(trunk_peer="127.0.0.1:5090") as node:
        node.api("status")

Standard library only, and no event loop: it runs under plain Python and under gevent's patched one alike.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import os
import random
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

#: Where builds and packages put the binary, when neither FREESWITCH_BIN nor PATH names it.
USUAL_PLACES = (
    Path("/usr/local/freeswitch/bin/freeswitch"),
    Path("/opt/freeswitch/bin/freeswitch"),
    Path("/usr/bin/freeswitch"),
    Path("/usr/local/bin/freeswitch"),
    Path("/opt/homebrew/bin/freeswitch"),
    Path("/home/linuxbrew/.linuxbrew/bin/freeswitch"),
)

#: The profiles of `freeswitch-conf/`.
PROFILES = ("phones", "trunk", "browsers")

# Below the range that the kernel hands out to clients (32768 and up on Linux), so that no passing socket takes a port
# between our look and the switch's bind. Media and signalling apart: nodes side by side cannot meet there either.
_MEDIA_BLOCKS = range(10_000, 30_000, 2_000)
_SIGNALLING_PORTS = range(30_100, 32_700)

_LOG_TAIL_LINES = 25


class NodeError(RuntimeError):
    """The private node did not start, or does not answer; the message ends with the tail of its log."""


class AuthenticationRefused(NodeError):
    """The event socket answered `-ERR invalid`."""


def find_freeswitch(environ: Mapping[str, str] | None = None) -> Path | None:
    """The switch's binary: FREESWITCH_BIN, then PATH, then the usual prefixes. None if there is none.

    Raises FileNotFoundError for a FREESWITCH_BIN that is not a program: a wish that cannot be met is not "no wish".
    """
    env = os.environ if environ is None else environ
    if wanted := env.get("FREESWITCH_BIN"):
        if os.access(wanted, os.X_OK) and Path(wanted).is_file():
            return Path(wanted)
        raise FileNotFoundError(f"FREESWITCH_BIN={wanted} is not a program")
    if found := shutil.which("freeswitch", path=env.get("PATH")):
        return Path(found)
    return next((place for place in USUAL_PLACES if place.is_file() and os.access(place, os.X_OK)), None)


def default_conf() -> Path:
    """`freeswitch-conf/` of the checkout that this module belongs to."""
    return Path(__file__).resolve().parents[2] / "freeswitch-conf"


def event_socket_command(
    port: int, password: str, command: str, *, host: str = "127.0.0.1", timeout: float = 5.0
) -> tuple[str, str]:
    """Reply text and body of one command on a connection of its own: the few lines that readiness needs, without the
    product's client. The command may have header lines.

    Raises AuthenticationRefused, OSError (nobody listens, connection lost) or TimeoutError.
    """
    with socket.create_connection((host, port), timeout) as sock, sock.makefile("rwb") as stream:

        def message() -> tuple[str, str]:
            headers: dict[str, str] = {}
            while line := stream.readline().decode("utf-8", "replace"):
                if line == "\n":
                    break
                name, _, value = line.rstrip("\n").partition(": ")
                headers[name] = value
            else:
                raise ConnectionResetError("the event socket closed the connection")
            body = stream.read(int(headers.get("Content-Length", "0")))
            return headers.get("Reply-Text", ""), body.decode("utf-8", "replace")

        def say(line: str) -> tuple[str, str]:
            stream.write(line.encode() + b"\n\n")
            stream.flush()
            return message()

        message()  # auth/request
        if not say(f"auth {password}")[0].startswith("+OK"):
            raise AuthenticationRefused("the event socket refused the password")
        return say(command)


def event_socket_api(port: int, password: str, command: str, *, host: str = "127.0.0.1", timeout: float = 5.0) -> str:
    """The answer to one `api` command on a connection of its own. Raises as `event_socket_command`."""
    return event_socket_command(port, password, f"api {command}", host=host, timeout=timeout)[1]


class PrivateNode:
    """A switch of one's own.

    Ports and passwords are chosen once: `start()` after `stop()` or `kill()` brings the same node back.
    """

    def __init__(
        self,
        *,
        trunk_peer: str = "127.0.0.1:5090",
        domain: str | None = None,
        conf: Path | None = None,
        binary: Path | None = None,
        environment: Mapping[str, str | None] | None = None,
        arguments: tuple[str, ...] = (),
        start_timeout: float = 30.0,
        profiles: tuple[str, ...] = PROFILES,
    ) -> None:
        """trunk_peer: host:port where the node's outbound calls go. profiles: the node is up when these run.

        environment: CCW_* variables to add, or with None to remove. arguments: more of the switch's own options.
        Raises NodeError when there is no switch or no configuration.
        """
        found = binary or find_freeswitch()
        if found is None:
            raise NodeError("no freeswitch found: set FREESWITCH_BIN, or see docs/freeswitch.md for how to get one")
        self.binary: Path = found
        self.conf = (conf or default_conf()).resolve()
        if not (self.conf / "freeswitch.xml").is_file():
            raise NodeError(f"no switch configuration in {self.conf}")
        self.start_timeout = start_timeout
        self.profiles = profiles
        self.host = "127.0.0.1"
        self.domain = domain or self.host
        self.trunk_peer = trunk_peer
        self.phones_port, self.trunk_port, self.esl_port, self._browsers_port, self.browsers_ws_port = _free_ports(
            self.host, 5
        )
        self.rtp_min = random.choice(_MEDIA_BLOCKS)
        self.rtp_max = self.rtp_min + _MEDIA_BLOCKS.step - 2
        self.esl_password = secrets.token_hex(16)
        self.version = ""
        self.boot_log = ""
        """What was logged until it was ready."""
        self._phone_secret = secrets.token_hex(16)
        self._environment = dict(environment or {})
        self._arguments = arguments
        self._directory = tempfile.TemporaryDirectory(prefix="ccwhisper-node-", ignore_cleanup_errors=True)
        # Mode 0700: the switch leaves its expanded XML, passwords included, beside its log.
        self.directory = Path(self._directory.name)
        self.log_path = self.directory / "log" / "freeswitch.log"
        self._process: subprocess.Popen[bytes] | None = None

    # Who is who

    def phone_secret(self, user: str) -> str:
        """The SIP password of a directory user; the same sum as `freeswitch-conf/secrets.sh phone-password`."""
        return hashlib.sha256(f"{user}:{self._phone_secret}\n".encode()).hexdigest()[:32]

    @property
    def pid(self) -> int:
        """The switch's process id. Raises NodeError when it was never started."""
        if self._process is None:
            raise NodeError("the node was not started")
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def environment(self) -> dict[str, str]:
        """What the switch is started with: this process's environment, its CCW_* variables replaced by the node's."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("CCW_")}
        own: dict[str, str | None] = {
            "CCW_SIP_IP": self.host,
            "CCW_DOMAIN": self.domain,
            "CCW_PHONES_PORT": str(self.phones_port),
            "CCW_TRUNK_PORT": str(self.trunk_port),
            "CCW_TRUNK_PEER": self.trunk_peer,
            "CCW_BROWSERS_PORT": str(self._browsers_port),
            "CCW_BROWSERS_WS_PORT": str(self.browsers_ws_port),
            "CCW_ESL_PORT": str(self.esl_port),
            "CCW_ESL_PASSWORD": self.esl_password,
            "CCW_RTP_MIN": str(self.rtp_min),
            "CCW_RTP_MAX": str(self.rtp_max),
            "CCW_PHONE_SECRET": self._phone_secret,
        }
        own.update(self._environment)
        env.update({name: value for name, value in own.items() if value is not None})
        return env

    # Life

    def start(self) -> Self:
        """Start the switch and wait until its profiles run and the event socket lets us in.

        Raises NodeError, leaving no process behind.
        """
        self.launch()
        try:
            self._wait_until_ready(time.monotonic() + self.start_timeout)
        except BaseException:  # Ctrl-C while waiting included
            self.kill()
            raise
        return self

    def launch(self) -> None:
        """Start the process without waiting: for a node that is not meant to become ready."""
        if self.running:
            raise NodeError(f"the node already runs as process {self.pid}")
        places = ("log", "db", "run", "recordings", "storage", "cache", "temp")
        for place in places:
            (self.directory / place).mkdir(exist_ok=True)
        where = [part for place in places for part in (f"-{place}", str(self.directory / place))]
        with (self.directory / "output").open("wb") as output:
            self._process = subprocess.Popen(
                [str(self.binary), "-conf", str(self.conf), *where, "-nonat", "-nc", "-nf", *self._arguments],
                env=self.environment,
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a Ctrl-C in our terminal is for us; we then stop the switch in order
            )
        atexit.register(self.kill)

    def stop(self, timeout: float = 10.0) -> None:
        """Ask our own process to end, then insist; returns within about `timeout` seconds. Harmless when it is gone."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout)
        self.kill()

    def kill(self) -> None:
        """SIGKILL, as a crash: no BYE is sent, nothing is tidied."""
        atexit.unregister(self.kill)
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def close(self) -> None:
        """Stop, and remove the directory with log and databases."""
        try:
            self.stop()
        finally:
            self._directory.cleanup()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Talking to it

    def api(self, command: str, *, timeout: float = 5.0) -> str:
        """The answer to one `api` command."""
        return event_socket_api(self.esl_port, self.esl_password, command, host=self.host, timeout=timeout)

    def send_event(self, name: str, *headers: str) -> None:
        """Raise an event as any client of the Event Socket can; `headers` are whole lines, in this order."""
        command = "\n".join((f"sendevent {name}", *headers))
        reply, _ = event_socket_command(self.esl_port, self.esl_password, command, host=self.host)
        if not reply.startswith("+OK"):
            raise NodeError(f"the event socket refused the event: {reply}")

    def log_tail(self, lines: int = _LOG_TAIL_LINES) -> str:
        """The last lines of what the process printed and of its log."""
        tail: list[str] = []
        for path in (self.directory / "output", self.log_path):
            with contextlib.suppress(OSError):
                tail += path.read_text(errors="replace").splitlines()[-lines:]
        return "\n".join(tail) or "(nothing logged)"

    def _wait_until_ready(self, deadline: float) -> None:
        missing = "the event socket does not answer"
        while time.monotonic() < deadline:
            if self._process is None or self._process.poll() is not None:
                code = None if self._process is None else self._process.returncode
                raise NodeError(f"{self.binary} ended with status {code} while starting:\n{self.log_tail()}")
            try:
                running = _running_profiles(self.api("sofia status", timeout=2.0))
                if not (absent := [name for name in self.profiles if name not in running]):
                    self.version = switch_version(self.api("version"))
                    self.boot_log = self.log_path.read_text(errors="replace")
                    return
                missing = f"SIP profile {' and '.join(absent)} not running"
            except AuthenticationRefused:
                missing = f"port {self.esl_port} belongs to another event socket"
            except OSError:
                pass  # not yet
            time.sleep(0.05)
        raise NodeError(f"{self.binary} is not ready after {self.start_timeout:g} s: {missing}\n{self.log_tail()}")


def _running_profiles(sofia_status: str) -> set[str]:
    """Names of the profiles that `sofia status` calls RUNNING. Its columns: name, type, data, state."""
    rows = (line.split() for line in sofia_status.splitlines())
    return {row[0] for row in rows if len(row) >= 4 and row[1] == "profile" and row[3] == "RUNNING"}


def switch_version(answer: str) -> str:
    """`1.11.3-dev+git~…` out of `FreeSWITCH Version 1.11.3-dev+git~… (git …)`."""
    words = answer.split()
    return words[words.index("Version") + 1] if "Version" in words[:-1] else answer.strip()


def _free_ports(host: str, count: int) -> list[int]:
    """Ports free for UDP and TCP: the switch's SIP profiles bind both."""
    free: list[int] = []
    for port in random.sample(_SIGNALLING_PORTS, len(_SIGNALLING_PORTS)):
        try:
            with (
                socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp,
                socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp,
            ):
                udp.bind((host, port))
                tcp.bind((host, port))
        except OSError:
            continue
        free.append(port)
        if len(free) == count:
            return free
    raise NodeError(f"no {count} free ports on {host}")
