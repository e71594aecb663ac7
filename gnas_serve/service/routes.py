"""The HTTP calls: which path and method asks what, and how a request and an answer are laid out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, unquote_to_bytes

from gnas_serve.errors import RequestError
from gnas_serve.runtime.query import Answer
from gnas_serve.service.calls import Calls, model_facts
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
    from_json,
    from_mapping,
)

_USERS = b"/v1/users/"
_RECOMMENDATIONS = b"/recommendations"
_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Asked:
    """What a call is told: its body, and path and query as they came, percent-encoded."""

    body: bytes
    path: bytes
    query: bytes


_Handler = Callable[[Calls, Asked], Awaitable[object]]


@dataclass(frozen=True)
class Route:
    """One call: its path in OpenAPI's words, its HTTP method, its name in the metrics, what answers it, and how."""

    path: str
    method: str
    name: str
    handler: _Handler
    status: HTTPStatus = HTTPStatus.OK


async def _recommend(calls: Calls, asked: Asked) -> object:
    request = from_json(RecommendRequest, asked.body)
    return _with_model(calls, ranking(calls.recommend(request), scores=request.return_scores))


async def _recommend_user(calls: Calls, asked: Asked) -> object:
    request = from_mapping(RecommendRequest, _of_address(asked))
    return _with_model(calls, ranking(calls.recommend(request), scores=request.return_scores))


async def _recommend_batch(calls: Calls, asked: Asked) -> object:
    request = from_json(RecommendBatchRequest, asked.body)
    answers = await calls.recommend_batch(request)
    results = [
        ranking(answer, scores=query.return_scores) for answer, query in zip(answers, request.queries, strict=True)
    ]
    return _with_model(calls, {"results": results})


async def _rank(calls: Calls, asked: Asked) -> object:
    request = from_json(RankRequest, asked.body)
    return _with_model(calls, ranking(calls.rank(request), scores=request.return_scores))


async def _similar_items(calls: Calls, asked: Asked) -> object:
    return _with_model(calls, ranking(await calls.similar_items(from_json(SimilarItemsRequest, asked.body))))


async def _similar_users(calls: Calls, asked: Asked) -> object:
    answer = await calls.similar_users(from_json(SimilarUsersRequest, asked.body))
    return _with_model(calls, {"users": answer.users()})


async def _explain(calls: Calls, asked: Asked) -> object:
    return _with_model(calls, calls.explain(from_json(ExplainRequest, asked.body)).to_json())


async def _feedback(calls: Calls, asked: Asked) -> object:
    return asdict(await calls.feedback(from_json(FeedbackRequest, asked.body)))


async def _model(calls: Calls, _asked: Asked) -> object:
    return model_facts(calls.model)


ROUTES = (
    Route("/v1/explain", "POST", "explain", _explain),
    Route("/v1/feedback", "POST", "feedback", _feedback, HTTPStatus.ACCEPTED),
    Route("/v1/model", "GET", "model", _model),
    Route("/v1/rank", "POST", "rank", _rank),
    Route("/v1/recommend", "POST", "recommend", _recommend),
    Route("/v1/recommend/batch", "POST", "recommend_batch", _recommend_batch),
    Route("/v1/similar-items", "POST", "similar_items", _similar_items),
    Route("/v1/similar-users", "POST", "similar_users", _similar_users),
    Route("/v1/users/{user_id}/recommendations", "GET", "recommend_user", _recommend_user),
)
_OF_USERS = ROUTES[-1]
_FIXED = {route.path: route for route in ROUTES if route is not _OF_USERS}


def find_route(path: str, raw_path: bytes) -> Route | None:
    """Find the call of a path.

    Parameters
    ----------
    path, raw_path
        As ASGI gives them, decoded and as it came. Of the second an id with a slash in it, ``%2F``, is one piece.
    """
    route = _FIXED.get(path)
    if route is None and raw_path.startswith(_USERS) and raw_path.endswith(_RECOMMENDATIONS):
        user_id = raw_path[len(_USERS) : -len(_RECOMMENDATIONS)]
        return _OF_USERS if b"/" not in user_id else None
    return route


def ranking(answer: Answer, *, scores: bool = True) -> dict[str, Any]:
    """Lay out one list of items."""
    return {"items": answer.items(scores=scores), "underfilled": answer.underfilled}


def _with_model(calls: Calls, content: dict[str, Any]) -> dict[str, Any]:
    content["model"] = calls.model.signature()
    return content


def _of_address(asked: Asked) -> dict[str, object]:
    """Read a question from an address: the user from the path, the rest from the query, each value in its type."""
    fields: dict[str, object] = {}
    try:
        user_id = unquote_to_bytes(asked.path[len(_USERS) : -len(_RECOMMENDATIONS)]).decode()
        pairs = parse_qsl(
            asked.query.decode(), keep_blank_values=True, strict_parsing=bool(asked.query), errors="strict"
        )
    except ValueError as error:  # what cannot be decoded is one, too
        raise RequestError("the address is not percent-encoded UTF-8", code="invalid_address") from error
    for name, text in pairs:
        if name in fields:
            raise RequestError(f"{name[:40]!r} is given twice", hint="give each once", code="invalid_address")
        fields[name] = _typed(name, text)
    return fields | {"user_id": user_id}


def _typed(name: str, text: str) -> object:
    """Read a value as JSON would have it; lists are separated by commas."""
    if name in {"history", "exclude_items", "candidates"}:
        return tuple(text.split(",")) if text else ()
    if name == "filter":
        return text
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            # What Python reads beyond JSON, "1_0" or "\u0661", stays text, which the schema refuses.
            return kind(text) if text.isascii() and "_" not in text else text
        except ValueError:
            continue
    return text
