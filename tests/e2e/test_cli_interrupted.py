"""Ctrl-C, wherever it strikes in a request of the command line."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest

from ccwhisper.cli.client import Client

from .service import Service, token

pytestmark = pytest.mark.e2e


class CtrlC:
    """A KeyboardInterrupt in front of one line of what runs, the interpreter's own library included. Python code of
    finalizers is among these lines, and what they raise reaches nobody."""

    def __init__(self, line: int) -> None:
        self._left = line
        self._tracing = sys.gettrace()
        self.struck: str | None = None  # where

    def __enter__(self) -> CtrlC:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.settrace(self._tracing)

    def _trace(self, frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            self._left -= 1
            if not self._left:
                sys.settrace(None)
                self.struck = f"{frame.f_code.co_filename}:{frame.f_lineno}"
                raise KeyboardInterrupt
        return self._trace


# Between two lines of close() the standard library leaves a socket to its finalizer, which closes it and says so.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
def test_it_is_noticed_at_any_line_of_a_request(service: Service) -> None:
    client = Client(service.url, token())
    client.get("me")
    unnoticed, line, struck = [], 0, True
    while struck:
        line += 1
        key = CtrlC(line)
        try:
            with key:
                client.get("me")
        except KeyboardInterrupt:
            assert client.get("me")["id"]  # and the next request, which may be to leave the call, is a clean one
            continue
        struck = key.struck is not None
        unnoticed += [key.struck] if struck else []
    client.close()
    assert line > 100, "this was no request"
    assert unnoticed == []
