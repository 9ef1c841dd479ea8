"""The OpenAPI 3.1 document, made from the table of operations and the same pydantic models that check requests."""

from __future__ import annotations

from typing import Any

from pydantic.json_schema import models_json_schema

import ccwhisper
from ccwhisper.coaching.errors import CoachingError
from ccwhisper.web.errors import STATUS
from ccwhisper.web.operations import PREFIX, Operation, Table, always
from ccwhisper.web.schemas import ErrorAnswer
from ccwhisper.web.shapes import Served, Streamed
from ccwhisper.web.tickets import COOKIE

_DESCRIPTIONS = {
    400: "The request itself is wrong.",
    401: "No token, or one that is not believed.",
    403: "The token does not permit it.",
    404: "It does not exist, or is not visible to who asks.",
    409: "The state of call or session does not allow it now.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    429: "Too many actions of this principal; Retry-After says when.",
    503: "The switch cannot be reached, or did not do as told.",
}


def document(table: Table) -> dict[str, Any]:
    """The whole document."""
    answers = [
        (each.answer, "serialization") for each in table.operations if not issubclass(each.answer, Streamed | Served)
    ]
    bodies = [(each.body, "validation") for each in table.operations if each.body]
    models: list[Any] = list(dict.fromkeys([*answers, *bodies, (ErrorAnswer, "serialization")]))
    references, definitions = models_json_schema(models, ref_template="#/components/schemas/{model}")
    names = {model: _name(reference) for (model, _mode), reference in references.items()}
    paths: dict[str, dict[str, Any]] = {}
    for each in table.operations:
        paths.setdefault(PREFIX + each.path, {})[each.method.lower()] = _operation(each, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "ccwhisper",
            "version": ccwhisper.__version__,
            "description": "Private coaching for contact centres on FreeSWITCH. Within v1, answers may gain fields and "
            "events may gain types; nothing else changes.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "security": [{"token": []}],
        "paths": paths,
        "components": {
            "schemas": definitions.get("$defs", {}),
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "ticket": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _name(reference: dict[str, Any]) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _operation(each: Operation, names: dict[type, str]) -> dict[str, Any]:
    made: dict[str, Any] = {
        "operationId": each.handler.__name__,
        "summary": each.summary,
        "responses": _responses(each, names),
    }
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in each.variables
    ] + _query(each)
    if parameters:
        made["parameters"] = parameters
    if each.body:
        made["requestBody"] = {"required": True, "content": _json(names[each.body])}
    if each.public:
        made["security"] = []
    elif each.ticket:
        made["security"] = [{"token": []}, {"ticket": []}]
    if each.scope:
        made["description"] = f"Needs the permission {each.scope}."
    return made


def _query(each: Operation) -> list[dict[str, Any]]:
    if each.query is None:
        return []
    schema = each.query.model_json_schema()
    parameters = []
    for name, found in schema["properties"].items():
        rule = {key: value for key, value in found.items() if key not in ("description", "title")}
        choices = [choice for choice in rule.get("anyOf", ()) if choice != {"type": "null"}]
        if len(choices) == 1:  # a parameter that may be left out; there is no null in a query
            rule = choices[0]
        parameter = {"name": name, "in": "query", "required": False, "schema": rule}
        if "description" in found:
            parameter["description"] = found["description"]
        parameters.append(parameter)
    return parameters


def _responses(each: Operation, names: dict[type, str]) -> dict[str, Any]:
    success: dict[str, Any] = {"description": each.summary, "content": _content(each, names)}
    if each.location:
        success["headers"] = {"Location": {"schema": {"type": "string"}, "required": True}}
    kinds: set[type[CoachingError]] = {*each.refusals, *always(each)}
    statuses = sorted({STATUS[kind] for kind in kinds} | ({413} if each.body else set()))
    refused = {str(status): _refusal(_DESCRIPTIONS[status], names) for status in statuses}
    if issubclass(each.answer, Served):
        success["headers"] = {"Accept-Ranges": {"schema": {"type": "string"}}, "ETag": {"schema": {"type": "string"}}}
        refused["206"] = {**success, "description": "The range that was asked for."}
        refused["304"] = {"description": "The tag of If-None-Match is that of the file."}
        refused["416"] = _refusal("There is no such range.", names)
    return {str(each.status): success, **refused, "default": _refusal("Any other error.", names)}


def _content(each: Operation, names: dict[type, str]) -> dict[str, Any]:
    if issubclass(each.answer, Streamed | Served):
        return {form: {"schema": {"type": "string"}} for form in each.answer.forms}
    return _json(names[each.answer])


def _refusal(description: str, names: dict[type, str]) -> dict[str, Any]:
    return {"description": description, "content": _json(names[ErrorAnswer])}


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
