"""A cable between the service and a node's Event Socket that can be cut and mended."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Self

from ccwhisper.proof.service import ServiceProcess


class Cable:
    """Forwards every connection to its port to another port of this host. Two threads a connection."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server((host, 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._ends: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._whole = True
        self._start(self._accept)

    def carry(self, service: ServiceProcess) -> None:
        """From its next start on, a service reaches its node through this cable."""
        config = service.config.read_text()
        old, new = (f"\nport = {port}\n" for port in (self._target[1], self.port))
        if config.count(old) != 1:
            raise ValueError("the service is not configured for the node that the cable leads to")
        service.config.write_text(config.replace(old, new))

    def cut(self) -> None:
        """Every connection ends at once, and new ones are closed as soon as they are made."""
        with self._lock:
            self._whole = False
            ends, self._ends = self._ends, []
        for end in ends:
            _shut(end)

    def mend(self) -> None:
        """New connections are carried again."""
        with self._lock:
            self._whole = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _shut(self._listener)  # wakes accept
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def _start(self, work: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=work, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                self._listener.close()
                return
            try:
                far = socket.create_connection(self._target)
            except OSError:
                near.close()
                continue
            with self._lock:
                whole = self._whole
                if whole:
                    self._ends += [near, far]
            if not whole:
                near.close()
                far.close()
                continue
            self._start(self._carry, near, far)
            self._start(self._carry, far, near)

    @staticmethod
    def _carry(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        _shut(sink)
        _shut(source)
        # Both directions read from one end each, and each closes the end that it read from.
        source.close()


def _shut(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
