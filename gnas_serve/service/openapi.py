"""The OpenAPI description of the HTTP door, as its own front answers it.

BentoML describes its ``@bentoml.api`` methods: POST alone, with error bodies that are not ours. The paths and
schemas of the four calls are therefore put in here, from the models that really validate.
"""

from __future__ import annotations

from typing import Any

import attrs
from bentoml._internal.service.openapi.specification import Info, OpenAPISpecification, PathItem
from bentoml._internal.utils.cattr import bentoml_cattr
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

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
from gnas_serve.service.routes import ROUTES, Route
from gnas_serve.service.schemas import (
    DeployRequest,
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
)

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
_PROBLEMS = {
    400: "The request is malformed.",
    401: "There is no valid key or token, where the service asks for one.",
    404: "The item is unknown, or the user where that matters (a strict question, similar users).",
    405: "The call exists, with another HTTP method.",
    409: "The version that was to be served cannot be.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON by its headers.",
    429: "Too many requests, of this caller or at once.",
    500: "The server failed.",
    501: "The server was started without what the call needs.",
    503: "Not ready yet, or not for now.",
    504: "The answer was not ready in time.",
}
_OF_BODIES = {415}
_OFF_UNLESS_SET = {"deploy", "deployment", "feedback"}


def describe(specification: OpenAPISpecification, *, version: str) -> OpenAPISpecification:
    """Put the calls into BentoML's specification.

    Parameters
    ----------
    specification
        As BentoML generated it, health and metrics included.
    version
        Of the model.

    Returns
    -------
    OpenAPISpecification
        The same with our calls and title; its paths and schemas are changed in place.
    """
    models: list[type[BaseModel]] = [Problem]
    for _, request, response in _OPERATIONS.values():
        models += [response] if request is None else [request, response]
    _, schemas = models_json_schema([(model, "validation") for model in dict.fromkeys(models)], ref_template=_TEMPLATE)
    components = specification.components["schemas"]
    for name, schema in schemas["$defs"].items():
        components[name] = schema
    operations: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        operations.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    for path, found in operations.items():
        specification.paths[path] = bentoml_cattr.structure(found, PathItem)
    info = Info(title="gnas-serve", version=version, description="Recommendations for users, and items like an item.")
    return attrs.evolve(specification, info=info)


def _operation(route: Route) -> dict[str, Any]:
    summary, request, response = _OPERATIONS[route.name]
    parameters = _of_address() if "{" in route.path else []
    responses: dict[str, Any] = {str(route.status.value): _content("The answer.", response, "application/json")}
    for status, reason in _PROBLEMS.items():
        is_question = request is not None or bool(parameters)
        if (status == 501 and route.name not in _OFF_UNLESS_SET) or (status == 409 and route.name != "deploy"):
            continue
        if (status in {400, 404} and not is_question) or (status in _OF_BODIES and request is None):
            continue
        responses[str(status)] = _content(reason, Problem, "application/problem+json")
    operation: dict[str, Any] = {
        "operationId": route.name,
        "summary": summary,
        "tags": ["Service APIs"],
        "responses": responses,
    }
    if parameters:
        operation["parameters"] = parameters
    if request is not None:
        operation["requestBody"] = {"required": True, **_content("", request, "application/json")}
    return operation


def _of_address() -> list[dict[str, Any]]:
    """Describe the parameters of a question in an address: those of its body, lists separated by commas."""
    parameters = []
    for name, schema in RecommendRequest.model_json_schema()["properties"].items():
        if name == "user_id":
            where = {"in": "path", "required": True, "schema": {"type": "string", "minLength": 1, "maxLength": 256}}
        else:
            where = {"in": "query", "required": False, "schema": _of_text(schema)}
        parameters.append({"name": name, "description": schema["description"], **where})
    return parameters


def _of_text(schema: dict[str, Any]) -> dict[str, Any]:
    options = [option for option in schema.get("anyOf", [schema]) if option.get("type") != "null"]
    if options[0].get("type") == "array":
        return {"type": "string", "description": "Ids, separated by commas."}
    return {name: value for name, value in options[0].items() if name not in {"title", "description", "default"}}


def _content(description: str, model: type[BaseModel], media_type: str) -> dict[str, Any]:
    reference = {"$ref": _TEMPLATE.format(model=model.__name__)}
    return {"description": description, "content": {media_type: {"schema": reference}}}
