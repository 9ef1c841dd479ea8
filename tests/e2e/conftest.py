"""A service for each test, and a client with a supervisor's token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .service import Client, Service, token


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service().start()
    yield running
    running.stop()


@pytest.fixture
def coach(service: Service) -> Client:
    return Client(service, token())
