"""Refusals as HTTP: one body for all of them, `{"error": {"code", "message", "retry"}}`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from flask import Flask, Response
from werkzeug.exceptions import HTTPException

from ccwhisper.coaching.errors import CoachingError, Conflict, Forbidden, Invalid, NotFound, Unavailable
from ccwhisper.web.limits import TooMany
from ccwhisper.web.schemas import ErrorAnswer, ErrorDetail

logger = logging.getLogger(__name__)


class Unauthorised(CoachingError):
    """No token, or one that is not believed."""


class WrongMediaType(CoachingError):
    """The body is not JSON by its own account."""


STATUS: Final[Mapping[type[CoachingError], int]] = MappingProxyType(
    {
        Invalid: 400,
        Unauthorised: 401,
        Forbidden: 403,
        NotFound: 404,
        Conflict: 409,
        WrongMediaType: 415,
        TooMany: 429,
        Unavailable: 503,
    }
)

# What the HTTP layer itself refuses, before any handler of ours.
_HTTP_CODES: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        400: ("request_malformed", "The request is not well-formed."),
        404: ("route_not_found", "There is nothing at this address."),
        405: ("method_not_allowed", "This address does not know this method."),
        416: ("range_not_satisfiable", "The file has no such range."),
        413: ("body_too_large", "The body is larger than any request needs to be."),
    }
)


DEFECT: Final = ErrorDetail(code="internal_error", message="The service has a defect; its log says more.", retry=False)


def refusal(status: int, why: ErrorDetail) -> Response:
    """The one form of an error."""
    answer = ErrorAnswer(error=why)
    return Response(answer.model_dump_json(), status, mimetype="application/json")


def detail(error: CoachingError) -> ErrorDetail:
    """A refusal, as it is told."""
    return ErrorDetail(code=error.code, message=error.message, retry=error.retry, field=error.field)


def install(app: Flask) -> None:
    """Every error of this app leaves it as JSON."""

    @app.errorhandler(CoachingError)
    def refused(error: CoachingError) -> Response:
        status = STATUS[next(kind for kind in type(error).__mro__ if kind in STATUS)]
        response = refusal(status, detail(error))
        if status == 401:
            response.headers["WWW-Authenticate"] = 'Bearer realm="ccwhisper"' + (
                "" if error.code == "token_missing" else f', error="invalid_token", error_description="{error.code}"'
            )
        if status in (429, 503):
            response.headers["Retry-After"] = "1"
        return response

    @app.errorhandler(HTTPException)
    def http(error: HTTPException) -> Response:
        status = error.code or 500
        code, message = _HTTP_CODES.get(status, (f"http_{status}", error.name))
        response = refusal(status, ErrorDetail(code=code, message=message, retry=False))
        for name, value in error.get_headers():
            if name in ("Allow", "Content-Range"):
                response.headers[name] = value
        return response

    @app.errorhandler(Exception)
    def defect(error: Exception) -> Response:
        logger.error("a request failed", exc_info=error)
        return refusal(500, DEFECT)
