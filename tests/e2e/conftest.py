"""A service for each test, and a client with a supervisor's token."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from . import postgres
from .service import Client, Service, token
from .traces import Traces


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service().start()
    yield running
    running.stop()


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
