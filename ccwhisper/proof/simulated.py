"""The simulator as a process of its own, and what can be asked of it there."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import threading
from types import TracebackType
from typing import Any, Final, Self

_PATIENCE: Final = 10.0  # seconds


class SimulatorError(RuntimeError):
    """The simulator did not start, or refused a command."""


class SimulatorProcess:
    """`python -m ccwhisper.simulator` on a free port of loopback. A context manager; leaving it ends the process, also
    when `start` did not come to its end. To the service it is a node like any other."""

    def __init__(self, *options: str) -> None:
        self.host = "127.0.0.1"
        self.domain = "ccwhisper.local"
        self.version = ""
        self.esl_password = secrets.token_hex(16)
        self.esl_port = 0
        self._options = options
        self._process: subprocess.Popen[str] | None = None
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed in stop
        self._control: Control | None = None

    def start(self) -> Self:
        """Start it, and wait until it listens. Raises SimulatorError."""
        command = [sys.executable, "-m", "ccwhisper.simulator", "--host", self.host, "--domain", self.domain]
        self._process = subprocess.Popen(
            [*command, *self._options],
            env={**os.environ, "CCW_ESL_PASSWORD": self.esl_password},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
            start_new_session=True,  # Ctrl-C is for whoever started it, and he ends it in his own order
        )
        line = self._process.stdout.readline() if self._process.stdout else ""
        if not line:
            status = self._process.wait()
            self._errors.seek(0)
            raise SimulatorError(f"the simulator ended with status {status}:\n{self._errors.read()}")
        self.esl_port = json.loads(line)["port"]
        self._control = Control(self.host, self.esl_port, self.esl_password)
        self.version = self.api("version").strip()
        return self

    @property
    def pid(self) -> int:
        """The process. Raises SimulatorError when there is none."""
        if self._process is None:
            raise SimulatorError("the simulator does not run")
        return self._process.pid

    def api(self, command: str) -> str:
        """The answer to one `api` command. Raises SimulatorError, OSError."""
        if self._control is None:
            raise SimulatorError("the simulator does not run")
        return self._control.api(command)

    def sim(self, command: str) -> Any:
        """A command of the simulator's control interface, its answer decoded. Raises SimulatorError, OSError."""
        answer = self.api(f"sim {command}")
        if answer.startswith("-ERR"):
            raise SimulatorError(answer.removeprefix("-ERR ").strip())
        return None if answer.startswith("+OK") else json.loads(answer)

    def stop(self) -> None:
        """SIGTERM, then insist."""
        if self._control is not None:
            self._control.close()
        process, self._process, self._control = self._process, None, None
        if process is not None:
            process.terminate()
            try:
                process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout:
                process.stdout.close()
        self._errors.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class Control:
    """`api` commands over one kept connection to an Event Socket, from any thread. Raises OSError when it breaks."""

    def __init__(self, host: str, port: int, password: str) -> None:
        self._turn = threading.Lock()
        self._socket = socket.create_connection((host, port), _PATIENCE)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rwb")
        self.read()  # auth/request
        self.ask(f"auth {password}")

    def api(self, command: str) -> str:
        """The answer to one `api` command."""
        return self.ask(f"api {command}")

    def close(self) -> None:
        """Close the connection; a `read` that waits ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._stream.close()
        self._socket.close()

    def ask(self, line: str) -> str:
        """The content of the answer to any command."""
        with self._turn:
            self._stream.write(line.encode() + b"\n\n")
            self._stream.flush()
            return self.read()

    def read(self) -> str:
        """The content of the next message."""
        length = 0
        while (line := self._stream.readline()) not in (b"\n", b""):
            name, _, value = line.decode().partition(":")
            if name == "Content-Length":
                length = int(value)
        if not line:
            raise ConnectionResetError("the simulator has closed the connection")
        return self._stream.read(length).decode()
