"""The HTTP API from outside."""

from __future__ import annotations

import pytest

from .service import Client, Service, token

pytestmark = pytest.mark.e2e


def test_health_needs_no_token(service: Service) -> None:
    assert Client(service, None).get("/health").body == {"status": "ok", "nodes": {"up": 1, "down": 0}}
    service.run(service.switch.lose)
    service.until(lambda engine: not engine.state.nodes["fs1"].up)
    assert Client(service, None).get("/health").body == {"status": "degraded", "nodes": {"up": 0, "down": 1}}
