"""The composition root: the only module that knows every other."""

from __future__ import annotations

import json
import logging
import os
import secrets
import signal
import socket
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

import gevent
from gevent.event import Event

from ccwhisper.coaching import effects as fx
from ccwhisper.config import Config
from ccwhisper.engine import Engine
from ccwhisper.switch.nodes import NodeAddress, Nodes, SwitchSettings
from ccwhisper.web.app import Web, create_web, make_server
from ccwhisper.web.auth import Auth, Jwks, SharedSecret
from ccwhisper.web.journal import Journal

logger = logging.getLogger("ccwhisper")


class AuditTrail:
    """Audit rows as JSON lines, appended to a file that only this user may read."""

    def __init__(self, path: Path) -> None:
        self._file: TextIO = os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w", buffering=1)

    def __call__(self, row: fx.Audit, at: float) -> None:
        """Write one row; `at` is seconds since the epoch."""
        line = {"at": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"), **asdict(row)}
        try:
            self._file.write(json.dumps(line) + "\n")
        except OSError:
            # A full disk must not take coaching down, nor pass unseen.
            logger.exception("an audit row could not be written")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def installation_id(directory: Path) -> str:
    """This installation's random id, made at the first start. It is the value of the lease on every coach's leg, so
    it must be unguessable, and the same after a restart."""
    path = directory / "installation"
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        fresh = secrets.token_urlsafe(24).replace("-", "_")  # a word for the switch whatever its first character is
        file.write(fresh + "\n")
    return fresh


@dataclass
class Service:
    """Engine and app, wired. A context manager: entering starts the engine, leaving stops it."""

    engine: Engine
    web: Web
    audit: AuditTrail
    journal: Journal

    def __enter__(self) -> Self:
        self.journal.start()
        self.engine.start()
        self.web.sockets.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.web.sockets.stop()
        self.engine.stop()
        self.journal.stop()
        self.audit.close()


def build(config: Config) -> Service:
    """Wire a service from its configuration; nothing connects yet."""
    directory = config.state_directory
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    coaching = config.coaching
    nodes = Nodes(
        [
            NodeAddress(node.name, node.host, node.port, config.passwords[node.name].get_secret_value())
            for node in config.nodes
        ],
        SwitchSettings(
            installation=installation_id(directory),
            lease_seconds=coaching.lease_seconds,
            jitter_buffer_ms=coaching.jitter_buffer_ms,
            caller_name=coaching.caller_name,
        ),
    )
    audit = AuditTrail(directory / "audit.jsonl")
    engine = Engine(config.rules(), nodes, [node.name for node in config.nodes], audit)
    journal = Journal(engine)
    web = create_web(engine, _auth(config), journal, origins=config.service.origins, frames=config.service.frames)
    return Service(engine, web, audit, journal)


def _auth(config: Config) -> Auth:
    settings = config.auth
    keys = Jwks(settings.jwks_url) if settings.jwks_url else SharedSecret(_secret(config))
    return Auth(keys, settings.accepted, settings.issuer, settings.audience, settings.leeway)


def _secret(config: Config) -> str:
    if config.jwt_secret is None:
        raise ValueError("neither a shared secret nor a JWKS URL")
    return config.jwt_secret.get_secret_value()


def serve(config: Config, ready: Callable[[str], None] = lambda _url: None) -> None:
    """Run until SIGTERM or SIGINT. `ready` is called with the URL once requests are answered. Raises OSError when the
    address cannot be bound.

    Coaches who are on a call stay on it when the service stops: whoever starts next within the lease goes on with
    them, otherwise the switch drops them.
    """
    service = build(config)
    server = make_server(service.web.app, config.service.host, config.service.port)
    stopped = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        gevent.signal_handler(number, stopped.set)
    with service:
        server.start()
        family = "[{}]" if server.socket.family == socket.AF_INET6 else "{}"
        ready(f"http://{family.format(server.server_host)}:{server.server_port}")
        stopped.wait()
        server.stop(timeout=2)
