"""Pages of other origins: those that are listed may use the API, all others may not."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest

from .service import PATIENCE, Service, token

pytestmark = pytest.mark.e2e

CRM = "https://crm.example.org"


def ask(service: Service, method: str, path: str, **headers: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=PATIENCE)
    connection.request(method, path, headers={name.replace("_", "-"): value for name, value in headers.items()})
    response = connection.getresponse()
    response.read()
    connection.close()
    return response


@pytest.fixture(scope="module")
def listed() -> Iterator[Service]:
    running = Service(origins=[CRM]).start()
    yield running
    running.stop()


def test_a_listed_origin_may(listed: Service) -> None:
    asked = {"Origin": CRM, "Access_Control_Request_Method": "PUT", "Access_Control_Request_Headers": "authorization"}
    preflight = ask(listed, "OPTIONS", "/api/v1/sessions/x/mode", **asked)
    assert preflight.status == 204
    assert preflight.headers["Access-Control-Allow-Origin"] == CRM
    assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"]
    assert "Access-Control-Allow-Credentials" not in preflight.headers
    answer = ask(listed, "GET", "/api/v1/calls", Origin=CRM, Authorization=f"Bearer {token()}")
    assert (answer.status, answer.headers["Access-Control-Allow-Origin"]) == (200, CRM)
    assert "Origin" in answer.headers["Vary"]
    refused = ask(listed, "GET", "/api/v1/calls", Origin=CRM)
    assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, CRM), "the page is told why"


@pytest.mark.parametrize(
    "origin", ["https://evil.example", f"{CRM}.evil.example", "http://crm.example.org", "null", "*"]
)
def test_others_may_not(listed: Service, origin: str) -> None:
    preflight = ask(listed, "OPTIONS", "/api/v1/calls", Origin=origin, Access_Control_Request_Method="GET")
    assert preflight.status == 405
    answer = ask(listed, "GET", "/api/v1/calls", Origin=origin, Authorization=f"Bearer {token()}")
    for each in (preflight, answer):
        assert "Access-Control-Allow-Origin" not in each.headers


def test_the_pages_themselves_are_nobody_elses(listed: Service) -> None:
    assert "Access-Control-Allow-Origin" not in ask(listed, "GET", "/", Origin=CRM).headers


def test_where_none_is_listed_none_may(service: Service) -> None:
    assert ask(service, "OPTIONS", "/api/v1/calls", Origin=CRM, Access_Control_Request_Method="GET").status == 405
