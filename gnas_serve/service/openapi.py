"""The OpenAPI description of the HTTP door, as its own front answers it.

BentoML describes its ``@bentoml.api`` methods: POST alone, with error bodies that are not ours. The paths and
schemas of the calls are therefore put in here, from the models that really validate.
"""

from __future__ import annotations

from typing import Any

import attrs
from bentoml._internal.service.openapi.specification import Info, OpenAPISpecification, PathItem
from bentoml._internal.utils.cattr import bentoml_cattr
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from gnas_serve.runtime.query import MAX_EXPLAINED
from gnas_serve.service.deploy_request import DeployRequest
from gnas_serve.service.responses import (
    DeploymentResponse,
    ExplainResponse,
    FeedbackResponse,
    ModelResponse,
    Problem,
    RecommendBatchResponse,
    RecommendResponse,
    SimilarUsersResponse,
)
from gnas_serve.service.routes import ROUTES, Route, names_off
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
)
from gnas_serve.service.settings import Settings
from gnas_serve.vocabulary import MAX_ID_CHARACTERS

_OPENAPI = "3.1.0"  # the first whose schemas are JSON Schema, as pydantic writes them
_TEMPLATE = "#/components/schemas/{model}"
_OPERATIONS: dict[str, tuple[str, type[BaseModel] | None, type[BaseModel]]] = {
    "deploy": ("Changes what is served to whom.", DeployRequest, DeploymentResponse),
    "deployment": ("What is served to whom.", None, DeploymentResponse),
    "explain": ("What of a user's past the score of one item comes from.", ExplainRequest, ExplainResponse),
    "feedback": ("What users did: on the disk before it is acknowledged.", FeedbackRequest, FeedbackResponse),
    "model": ("What is being served.", None, ModelResponse),
    "rank": ("Given items in the order of one user's liking.", RankRequest, RecommendResponse),
    "recommend": ("Items for one user, best first.", RecommendRequest, RecommendResponse),
    "recommend_batch": ("Many questions at once, answered in order.", RecommendBatchRequest, RecommendBatchResponse),
    "recommend_user": ("Items for one user, best first: the address is the question.", None, RecommendResponse),
    "similar_items": ("Items like one item, best first.", SimilarItemsRequest, RecommendResponse),
    "similar_users": ("Users of one user's taste, best first.", SimilarUsersRequest, SimilarUsersResponse),
}
_ASKING = {name for name, (_, request, _) in _OPERATIONS.items() if request is not None}
_OFF_UNLESS_SET = {"deploy", "deployment", "feedback"}
# What can go wrong, and in which calls alone where it cannot in all.
_PROBLEMS: dict[int, tuple[str, set[str] | None]] = {
    400: ("The request is malformed.", _ASKING | {"recommend_user"}),
    401: ("There is no valid key or token, where the service asks for one.", None),
    404: (
        "The item is unknown, or the user where that matters (a strict question, similar users).",
        (_ASKING | {"recommend_user"}) - {"deploy", "feedback"},
    ),
    405: ("The call exists, with another HTTP method.", None),
    408: ("The body did not arrive in time.", None),
    409: ("The version that was to be served cannot be, or there is none to go back to.", {"deploy"}),
    413: ("The body is too large.", None),
    415: ("The body is not JSON by its headers.", _ASKING),
    422: (
        "What is told of the user or an item is nothing that this model can take, or the catalogue has the item.",
        {"explain", "rank", "recommend", "recommend_batch", "recommend_user", "similar_items"},
    ),
    429: ("Too many requests, of this caller or at once.", None),
    431: ("The path and the headers are too long.", None),
    500: ("The server failed.", None),
    501: ("The server was started without what the call needs.", _OFF_UNLESS_SET),
    503: ("Not ready yet, or not for now.", None),
    504: ("The answer was not ready in time.", None),
}
_NO_VERSION = "There is no version of that name."
_TEXT, _SECONDS = {"type": "string"}, {"type": "integer", "minimum": 1}
_HEADERS = {
    401: {"WWW-Authenticate": {"description": "How to say who calls.", "schema": _TEXT}},
    405: {"Allow": {"description": "The methods of this path.", "schema": _TEXT}},
    429: {"Retry-After": {"description": "Seconds until the next try.", "schema": _SECONDS}},
    503: {"Retry-After": {"description": "Seconds until the next try.", "schema": _SECONDS}},
}
_REQUEST_ID = {"X-Request-Id": {"description": "The caller's, or one of ours.", "schema": _TEXT}}
_SECURITY = {
    "callerToken": {"type": "http", "scheme": "bearer", "description": "An API key, or a JSON Web Token."},
    "callerKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "adminToken": {"type": "http", "scheme": "bearer", "description": "An admin's key."},
    "adminKey": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An admin's key."},
}
_READINESS: dict[str, Any] = {
    "get": {
        "summary": "Whether the server takes calls.",
        "tags": ["Infrastructure"],
        "responses": {"200": {"description": "It does."}, "503": {"description": "Not yet, or not any more."}},
    }
}


def _never(**fields: dict[str, Any]) -> dict[str, Any]:
    return {"not": {"properties": fields, "required": list(fields)}}


# What fields may not be together. It is not in the models, as BentoML cannot read it there.
_TOGETHER: dict[str, dict[str, Any]] = {
    "DeployRequest": {"minProperties": 1, **_never(rollback={"const": True}, stable=_TEXT)},
    "RankRequest": _never(explain={"const": True}, candidates={"type": "array", "minItems": MAX_EXPLAINED + 1}),
    "RecommendRequest": _never(explain={"const": True}, k={"type": "integer", "exclusiveMinimum": MAX_EXPLAINED}),
}


def describe(specification: OpenAPISpecification, *, version: str, settings: Settings | None) -> OpenAPISpecification:
    """Put the calls into BentoML's specification.

    Parameters
    ----------
    specification
        As BentoML generated it, health and metrics included.
    version
        Of the model.
    settings
        Of the server that is described: calls that it was started without are left out. None describes all that a
        Bento can do, whatever it will be started with.

    Returns
    -------
    OpenAPISpecification
        The same with our calls, title and components.
    """
    models: list[type[BaseModel]] = [Problem]
    for _, request, response in _OPERATIONS.values():
        models += [response] if request is None else [request, response]
    _, schemas = models_json_schema([(model, "validation") for model in dict.fromkeys(models)], ref_template=_TEMPLATE)
    for name, rules in _TOGETHER.items():
        schemas["$defs"][name] |= rules
    operations: dict[str, dict[str, Any]] = {"/readyz": _READINESS}
    for route in ROUTES:
        if settings is None or route.name not in names_off(settings):
            operations.setdefault(route.path, {})[route.method.lower()] = _operation(route, settings)
    paths = {path: item for path, item in specification.paths.items() if not path.startswith("/v1/")}
    for path, found in operations.items():
        paths[path] = bentoml_cattr.structure(found, PathItem)
    return attrs.evolve(
        specification,
        openapi=_OPENAPI,
        info=Info(
            title="gnas-serve", version=version, description="Recommendations for users, and items like an item."
        ),
        paths=paths,
        # BentoML's own describe error bodies and streams that none of these calls has.
        components={"schemas": schemas["$defs"], "securitySchemes": _SECURITY},
    )


def _operation(route: Route, settings: Settings | None) -> dict[str, Any]:
    summary, request, response = _OPERATIONS[route.name]
    responses: dict[str, Any] = {
        str(route.status.value): _content("The answer.", response, "application/json", _REQUEST_ID)
    }
    for status, (reason, calls) in _PROBLEMS.items():
        if (calls is not None and route.name not in calls) or (status == 501 and settings is not None):
            continue
        headers = _REQUEST_ID | _HEADERS.get(status, {})
        responses[str(status)] = _content(reason, Problem, "application/problem+json", headers)
    if route.name == "deploy":
        responses["404"] = _content(_NO_VERSION, Problem, "application/problem+json", _REQUEST_ID)
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": summary,
        "tags": ["Service APIs"],
        "responses": responses,
        "security": _security(route, settings),
    }
    if "{" in route.path:
        operation["parameters"] = _of_address()
    if request is not None:
        operation["requestBody"] = {"required": True, **_content("", request, "application/json")}
    return operation


def _security(route: Route, settings: Settings | None) -> list[dict[str, list[str]]]:
    """Name what a caller may show, one of the list; an empty entry is nothing at all."""
    if route.is_admin:
        return [{"adminToken": []}, {"adminKey": []}]
    shown: list[dict[str, list[str]]] = [{"callerToken": []}, {"callerKey": []}]
    if settings is None:
        return [{}, *shown]
    return shown if settings.api_keys is not None or settings.jwt_key is not None else []


def _of_address() -> list[dict[str, Any]]:
    """Describe the parameters of a question in an address: those of its body; lists have commas, objects are JSON."""
    parameters = []
    for name, schema in RecommendRequest.model_json_schema()["properties"].items():
        if name == "user_id":
            where = {
                "in": "path",
                "required": True,
                "schema": {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS},
            }
        else:
            where = {"in": "query", "required": False, **_of_text(schema)}
        parameters.append({"name": name, "description": schema["description"], **where})
    return parameters


def _of_text(schema: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if options[0].get("type") == "array":
        ids = {"type": "string", "minLength": 1, "maxLength": MAX_ID_CHARACTERS, "pattern": "^[^,]*$"}
        most = options[0]["maxItems"]
        return {"style": "form", "explode": False, "schema": {"type": "array", "items": ids, "maxItems": most}}
    kept = {name: value for name, value in options[0].items() if name not in {"title", "description", "default"}}
    if kept.get("type") == "object":
        return {"content": {"application/json": {"schema": kept}}}
    return {"schema": kept}


def _content(
    description: str, model: type[BaseModel], media_type: str, headers: dict[str, Any] | None = None
) -> dict[str, Any]:
    reference = {"$ref": _TEMPLATE.format(model=model.__name__)}
    content: dict[str, Any] = {"description": description, "content": {media_type: {"schema": reference}}}
    return content if headers is None else {**content, "headers": headers}
