"""Whatever the OpenAPI document allows, and much that it does not, thrown at the service by schemathesis: every answer
is one that the document describes, and none is the service's own failure."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.parameters import ParameterLocation
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
)

from ccwhisper.web.api import TABLE
from ccwhisper.web.openapi import document

from .service import Service, token

pytestmark = pytest.mark.e2e

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    negative_data_rejection,
]
OPERATIONS = {
    found.ok().label: found.ok() for found in schemathesis.openapi.from_dict(document(TABLE)).get_all_operations()
}


@pytest.fixture(scope="module")
def busy() -> Iterator[Service]:
    """A service with a call, so that some of what is asked for exists."""
    running = Service().start()
    running.call()
    yield running
    running.stop()


def test_all_operations_are_there() -> None:
    assert len(OPERATIONS) == len(TABLE.operations)


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        pytest.param(name, mode, id=f"{name} {'good' if mode is GenerationMode.POSITIVE else 'bad'}")
        for name in OPERATIONS
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        if mode is GenerationMode.POSITIVE or not name.endswith("/health")  # which takes nothing that could be bad
    ],
)
def test_every_answer_is_as_described(busy: Service, name: str, mode: GenerationMode) -> None:
    operation = OPERATIONS[name]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=15, deadline=None, derandomize=True, phases=[Phase.generate], database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    def throw(case: schemathesis.Case) -> None:
        if mode is GenerationMode.POSITIVE and "timeout" in str(operation.query):
            case.query["timeout"] = 0  # it is not for waiting that this is done
        # What leaves the token out as its fault must not be given one.
        part = case.meta.components.get(ParameterLocation.HEADER) if case.meta else None
        bare = part is not None and part.mode is GenerationMode.NEGATIVE
        headers = {} if bare else {"Authorization": f"Bearer {token(agent='1001')}"}
        case.call_and_validate(base_url=busy.url, headers=headers, checks=CHECKS)

    throw()
