"""A service for each test, and a client with a supervisor's token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ccwhisper.recording import process

from . import postgres
from .backlog import Scene
from .backlog_process import AT_ONCE
from .registrar import Registrar, behind
from .service import Client, Service, token
from .traces import Traces


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service().start()
    yield running
    running.stop()


@pytest.fixture
def files() -> tuple[Path, Path] | None:
    """The service's certificate and key; none, unless a module has its own."""
    return None


@pytest.fixture
def registrar_and_service(files: tuple[Path, Path] | None) -> Iterator[tuple[Registrar, Service]]:
    with behind(files) as both:
        yield both


@pytest.fixture
def registrar(registrar_and_service: tuple[Registrar, Service]) -> Registrar:
    return registrar_and_service[0]


@pytest.fixture
def coach(service: Service) -> Client:
    return Client(service, token())


@pytest.fixture
def traces(tmp_path: Path) -> Iterator[Traces]:
    made = Traces(tmp_path)
    yield made
    made.close()
    made.assert_none()


@pytest.fixture(scope="session")
def server() -> Iterator[postgres.Server]:
    """A private PostgreSQL, where one can be started."""
    why = postgres.obstacle()
    if why:
        pytest.skip(why)
    running = postgres.Server()
    yield running
    running.close()


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    monkeypatch.setattr(process, "_COMMAND", AT_ONCE)
    made = Scene(tmp_path)
    yield made
    for each in made.backlogs:
        each.stop()
