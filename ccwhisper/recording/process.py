"""Runs the worker's process for whoever may wait, which is a native thread and never the hub."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from typing import Any, Final

from ccwhisper.recording.job import Job

PATIENCE: Final = 3600.0
"""Seconds that it may take to make a file. Eight hours of a call take a minute or two; a folder on a machine that is
gone may hang for ever."""

SHORT: Final = 300.0
"""Seconds that any other job may take: it looks into folders, and somebody waits for it."""

DYING: Final = 10.0
"""Seconds that a process may take to be gone. One that waits for such a folder cannot be ended."""

_ENVIRONMENT: Final = ("AWS_", "HOME", "LANG", "LC_", "PATH", "PYTHON", "SSL_", "TMPDIR", "TZ", "VIRTUAL_ENV")
"""What variables begin with that the process gets, and the proxies. The service's own secrets are none of its business:
it reads what came from a network."""

_PROXIES: Final = frozenset({"http_proxy", "https_proxy", "no_proxy"})

_COMMAND: Final = (sys.executable, "-m", "ccwhisper.recording.work")


class Processes:
    """Those that run now."""

    def __init__(self, patience: float = PATIENCE) -> None:
        self._patience = patience
        self._running: set[subprocess.Popen[bytes]] = set()
        self._guard = threading.Lock()
        self._left: list[subprocess.Popen[bytes]] = []
        self._stopped = False

    def run(self, job: Job) -> dict[str, Any]:
        """What became of a job; of one whose process died, or was stopped, that."""
        try:
            process = subprocess.Popen(  # noqa: S603 - our own module
                _COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(job),
            )
        except OSError as error:
            return _failed("worker_failed", f"no process can be started: {error.strerror or error}")
        with self._guard:
            self._running.add(process)
            if self._stopped:
                process.kill()
        patience = self._patience if job.do == "make" else min(self._patience, SHORT)
        try:
            said, complained = process.communicate(job.dumped(), timeout=patience)
        except subprocess.TimeoutExpired:
            self._end(process)
            return _failed("worker_hung", f"it was not done in {patience:.0f} s")
        finally:
            with self._guard:
                self._running.discard(process)
        try:
            outcome: dict[str, Any] = json.loads(said)
        except ValueError:
            words = complained.decode(errors="replace").strip().splitlines()[-1:] or ["no reason"]
            return _failed("worker_failed", f"the process ended with {process.returncode}: {words[0][:300]}")
        return outcome

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=DYING)
        for pipe in (process.stdin, process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()
        with self._guard:
            self._left = [each for each in (*self._left, process) if each.poll() is None]

    def stop(self) -> None:
        """End them all. Whoever does their jobs next finds all of what was done, or nothing."""
        with self._guard:
            self._stopped = True
            for process in self._running:
                process.kill()


def _environment(job: Job) -> dict[str, str]:
    keys = {job.access.get("key_env"), job.access.get("secret_env")}
    passed = {
        name: value
        for name, value in os.environ.items()
        if name in keys or name.startswith(_ENVIRONMENT) or name.lower() in _PROXIES
    }
    # One recording is one processor's work; of many, each would ask for its share of what memory there may be.
    return passed | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def _failed(code: str, text: str) -> dict[str, Any]:
    return {"ok": False, "code": code, "text": text, "final": False}
