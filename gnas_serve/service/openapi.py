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

from gnas_serve.service.hot_path import ROUTES
from gnas_serve.service.schemas import (
    ModelResponse,
    Problem,
    RecommendBatchRequest,
    RecommendBatchResponse,
    RecommendRequest,
    RecommendResponse,
    SimilarItemsRequest,
)

_TEMPLATE = "#/components/schemas/{model}"
_OPERATIONS: dict[str, tuple[str, type[BaseModel] | None, type[BaseModel]]] = {
    "model": ("What is being served.", None, ModelResponse),
    "recommend": ("Items for one user, best first.", RecommendRequest, RecommendResponse),
    "recommend_batch": ("Many questions at once, answered in order.", RecommendBatchRequest, RecommendBatchResponse),
    "similar_items": ("Items like one item, best first.", SimilarItemsRequest, RecommendResponse),
}
_PROBLEMS = {
    400: "The request is malformed.",
    404: "The item is unknown (a user never is).",
    405: "The call exists, with another HTTP method.",
    408: "The body did not arrive in time.",
    413: "The body is too large.",
    415: "The body is not JSON by its headers.",
    500: "The server failed.",
    503: "Too many requests at once, or not ready yet.",
    504: "The answer was not ready in time.",
}
_OF_BODIES = {400, 415}


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
    for path, route in ROUTES.items():
        operation = _operation(route.name)
        specification.paths[path] = bentoml_cattr.structure({route.method.lower(): operation}, PathItem)
    info = Info(title="gnas-serve", version=version, description="Recommendations for users, and items like an item.")
    return attrs.evolve(specification, info=info)


def _operation(name: str) -> dict[str, Any]:
    summary, request, response = _OPERATIONS[name]
    responses: dict[str, Any] = {"200": _content("The answer.", response, "application/json")}
    for status, reason in _PROBLEMS.items():
        if (status in _OF_BODIES and request is None) or (status == 404 and request is not SimilarItemsRequest):
            continue
        responses[str(status)] = _content(reason, Problem, "application/problem+json")
    operation: dict[str, Any] = {
        "operationId": name,
        "summary": summary,
        "tags": ["Service APIs"],
        "responses": responses,
    }
    if request is not None:
        operation["requestBody"] = {"required": True, **_content("", request, "application/json")}
    return operation


def _content(description: str, model: type[BaseModel], media_type: str) -> dict[str, Any]:
    reference = {"$ref": _TEMPLATE.format(model=model.__name__)}
    return {"description": description, "content": {media_type: {"schema": reference}}}
