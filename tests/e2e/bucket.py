"""A private S3-compatible store on loopback, for as long as a test runs."""

from __future__ import annotations

import contextlib
import http.client
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ccwhisper.recording.places import Access

PATIENCE = 60.0
KEYS = {"CCW_S3_KEY": "a-key", "CCW_S3_SECRET": "a-secret"}
BUCKET = "calls"


class Server:
    """It has one bucket. What it holds is gone when it stops."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._log = (folder / "s3.log").open("wb")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        command = [
            sys.executable,
            "-c",
            "from moto.server import main; main()",
            "-H",
            "127.0.0.1",
            "-p",
            str(self.port),
        ]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while self._asked("PUT", f"/{BUCKET}") != 200:
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)

    def stop(self) -> None:
        if self._process:
            self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        self.stop()
        self._log.close()

    @property
    def access(self) -> Access:
        return Access(f"http://127.0.0.1:{self.port}", "us-east-1", *KEYS)

    @property
    def said(self) -> dict[str, Any]:
        return asdict(self.access)

    def _asked(self, method: str, path: str) -> int:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection:
            try:
                connection.request(method, path)
                return connection.getresponse().status
            except OSError:
                return 0
