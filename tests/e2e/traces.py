"""What a program has left, and what it says of itself while it runs."""

from __future__ import annotations

import json
import shlex
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import psutil

from ccwhisper.cli.client import Client
from ccwhisper.proof.node import event_socket_api

from .glass import PATIENCE

MARK: Final = "CCW_TEST_MARK"


class Traces:
    """What a demo leaves: files in a directory of its own, processes with a mark in their environment."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.env = {"TMPDIR": str(directory), MARK: uuid.uuid4().hex}
        self._client: Client | None = None

    def api(self) -> Client:
        """The API with the token that the demo gives to a second terminal."""
        if self._client is None:
            (file,) = self.directory.glob("ccwhisper-service-*/env")
            assert file.stat().st_mode & 0o077 == 0
            values = dict(line.removeprefix("export ").partition("=")[::2] for line in file.read_text().splitlines())
            (url,), (token,) = (shlex.split(values[name]) for name in ("CCWHISPER_URL", "CCWHISPER_TOKEN"))
            self._client = Client(url, token)
        return self._client

    def sim(self, command: str) -> Any:
        """A command to the demo's simulator."""
        process = self.process("ccwhisper.simulator")
        port = next(each.laddr.port for each in process.net_connections() if each.status == psutil.CONN_LISTEN)
        answer = event_socket_api(port, process.environ()["CCW_ESL_PASSWORD"], f"sim {command}")
        assert not answer.startswith("-ERR"), answer
        return None if answer.startswith("+OK") else json.loads(answer)

    def close(self) -> None:
        if self._client:
            self._client.close()

    def _found(self) -> Iterator[tuple[psutil.Process, list[str]]]:
        for process in psutil.process_iter():
            try:
                if process.environ().get(MARK) == self.env[MARK]:
                    yield process, process.cmdline()
            except psutil.Error:
                continue  # it has ended, or is nobody's business

    def process(self, word: str) -> psutil.Process:
        """The one process with this word in its command."""
        (found,) = (each for each, words in self._found() if word in words)
        return found

    def processes(self) -> list[str]:
        return [" ".join(words) for _, words in self._found()]

    def assert_none(self) -> None:
        assert self.processes() == []
        assert list(self.directory.iterdir()) == []


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.01)
