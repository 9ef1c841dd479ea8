"""A part of a benchmark in a process of its own. It is told things on its standard input, and answers each line of JSON
with another."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Final, Self

PATIENCE: Final = 20.0
"""Seconds that it may take to end when nothing more is said."""


class Child:
    """Such a process, from outside. `first` is what it is told at its start, if anything."""

    def __init__(self, module: str, first: object = None) -> None:
        self._module, self._first = module, first
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", self._module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        if self._first is not None:
            self.ask(self._first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            return
        process.stdin.close()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()

    @property
    def pid(self) -> int:
        """Its process id."""
        if self._process is None:
            raise RuntimeError(f"{self._module} was not started")
        return self._process.pid

    def ask(self, what: object) -> Any:
        """Tell it something; its answer. Raises RuntimeError when it has ended."""
        process = self._process
        if process is None or process.stdin is None or process.stdout is None:
            raise RuntimeError(f"{self._module} was not started")
        process.stdin.write(json.dumps(what) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._module} has ended")
        return json.loads(line)
