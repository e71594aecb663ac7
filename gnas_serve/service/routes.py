"""The HTTP calls: which path and method asks what, and how a request and an answer are laid out.

Each passes three steps, so that those of several requests can be taken together
(:mod:`gnas_serve.service.cohort`): what is asked is read, answered, and the answer laid out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from http import HTTPStatus
from typing import Any, NamedTuple

from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Answer, ModelInfo, SimilarUsersAnswer
from gnas_serve.runtime.stages import Staged
from gnas_serve.service.agreement import PATIENCE_S
from gnas_serve.service.calls import Calls, Signed, model_facts
from gnas_serve.service.deploy_request import DeployRequest
from gnas_serve.service.deployment import Deployment
from gnas_serve.service.feedback import Taken
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    RequestModel,
    SimilarItemsRequest,
    SimilarUsersRequest,
    from_json,
    from_mapping,
)
from gnas_serve.service.settings import Settings
from gnas_serve.service.user_address import question_of, user_in


class Asked(NamedTuple):
    """What a call is told: its body, and path and query as they came, percent-encoded."""

    body: bytes
    path: bytes
    query: bytes


@dataclass(frozen=True)
class Route:
    """One call: its path in OpenAPI's words, its HTTP method, its name in the metrics, its steps, and its status.

    Attributes
    ----------
    read
        Makes the question of what is asked.
    answer
        Answers it: a plain function or a generator of stages where that is only computed, a fraction of a millisecond;
        an ``async`` one where it may wait. A plain one is made a generator without stages.
    lay_out
        Makes of the question and its answer what is sent.
    limit_s
        Longest time for the answer, where the settings' is shorter.
    late
        What to tell whom the answer came too late for.
    is_immediate
        Whether ``answer`` is not ``async``, and so cannot wait.

    Raises
    ------
    TypeError
        If ``answer`` is none of these: of an object that is called it cannot be told.
    """

    path: str
    method: str
    name: str
    read: Callable[[Asked], Any]
    answer: Callable[[Calls, Any], Any]
    lay_out: Callable[[Any, Any], dict[str, Any]]
    status: HTTPStatus = HTTPStatus.OK
    is_admin: bool = False
    limit_s: float = 0.0
    late: str = "ask for less at once"
    is_immediate: bool = field(init=False)

    def __post_init__(self) -> None:
        if not inspect.isfunction(self.answer) or inspect.isasyncgenfunction(self.answer):
            raise TypeError(f"what answers {self.path} is neither a function nor an async function")
        object.__setattr__(self, "is_immediate", not inspect.iscoroutinefunction(self.answer))
        if self.is_immediate and not inspect.isgeneratorfunction(self.answer):
            object.__setattr__(self, "answer", _at_once(self.answer))


def _at_once(answer: Callable[[Calls, Any], Any]) -> Callable[[Calls, Any], Staged[Any]]:
    def staged(calls: Calls, question: Any) -> Staged[Any]:
        yield from ()
        return answer(calls, question)

    return staged


def ranking(found: Signed[Answer], *, scores: bool = True) -> dict[str, Any]:
    """Lay out one list of items."""
    answer = found.answer
    return {"items": answer.items(scores=scores), "underfilled": answer.underfilled, "model": found.model}


def rankings(request: RecommendBatchRequest, found: list[Signed[Answer]], model: dict[str, Any]) -> dict[str, Any]:
    """Lay out the lists of a batch; the model of all is the stable one."""
    results = [ranking(one, scores=query.return_scores) for one, query in zip(found, request.queries, strict=True)]
    return {"results": results, "model": model}


def _body_of(model: type[RequestModel]) -> Callable[[Asked], RequestModel]:
    return lambda asked: from_json(model, asked.body)


def _nothing(_asked: Asked) -> None:
    return None


def _recommend(calls: Calls, request: RecommendRequest) -> Staged[Signed[Answer]]:
    return (yield from calls.recommend(request))


async def _recommend_batch(calls: Calls, request: RecommendBatchRequest) -> tuple[list[Signed[Answer]], dict[str, Any]]:
    return await calls.recommend_batch(request), calls.model.signature()


def _rank(calls: Calls, request: RankRequest) -> Staged[Signed[Answer]]:
    return (yield from calls.rank(request))


async def _similar_items(calls: Calls, request: SimilarItemsRequest) -> Signed[Answer]:
    return await calls.similar_items(request)


async def _similar_users(calls: Calls, request: SimilarUsersRequest) -> Signed[SimilarUsersAnswer]:
    return await calls.similar_users(request)


def _explain(calls: Calls, request: ExplainRequest) -> Signed[Explanation]:
    return calls.explain(request)


def _deployment(calls: Calls, _: None) -> Deployment:
    return calls.deployment()


async def _deploy(calls: Calls, request: DeployRequest) -> Deployment:
    return await calls.deploy(request)


async def _feedback(calls: Calls, request: FeedbackRequest) -> Taken:
    return await calls.feedback(request)


def _model(calls: Calls, _: None) -> ModelInfo:
    return calls.model


def _as_ranking(request: RecommendRequest | RankRequest, found: Signed[Answer]) -> dict[str, Any]:
    return ranking(found, scores=request.return_scores)


def _as_rankings(request: RecommendBatchRequest, found: tuple[list[Signed[Answer]], dict[str, Any]]) -> dict[str, Any]:
    return rankings(request, *found)


def _as_neighbours(_: SimilarItemsRequest, found: Signed[Answer]) -> dict[str, Any]:
    return ranking(found)


def _as_users(_: SimilarUsersRequest, found: Signed[SimilarUsersAnswer]) -> dict[str, Any]:
    return {"users": found.answer.users(), "model": found.model}


def _as_explanation(_: ExplainRequest, found: Signed[Explanation]) -> dict[str, Any]:
    return {**found.answer.to_json(), "model": found.model}


def _as_fields(_: object, found: Any) -> dict[str, Any]:
    return asdict(found)


def _as_taken(_: FeedbackRequest, found: Taken) -> dict[str, Any]:
    return found.to_json()


def _as_model(_: None, found: ModelInfo) -> dict[str, Any]:
    return model_facts(found)


ROUTES = (
    Route("/v1/admin/deployment", "GET", "deployment", _nothing, _deployment, _as_fields, is_admin=True),
    Route(
        "/v1/admin/deployment",
        "POST",
        "deploy",
        _body_of(DeployRequest),
        _deploy,
        _as_fields,
        is_admin=True,
        limit_s=3 * PATIENCE_S,  # to load here, to wait for others, and to wait until all have gone back
        late="the change goes on: ask for the deployment in a while",
    ),
    Route("/v1/explain", "POST", "explain", _body_of(ExplainRequest), _explain, _as_explanation),
    Route("/v1/feedback", "POST", "feedback", _body_of(FeedbackRequest), _feedback, _as_taken, HTTPStatus.ACCEPTED),
    Route("/v1/model", "GET", "model", _nothing, _model, _as_model),
    Route("/v1/rank", "POST", "rank", _body_of(RankRequest), _rank, _as_ranking),
    Route("/v1/recommend", "POST", "recommend", _body_of(RecommendRequest), _recommend, _as_ranking),
    Route(
        "/v1/recommend/batch",
        "POST",
        "recommend_batch",
        _body_of(RecommendBatchRequest),
        _recommend_batch,
        _as_rankings,
    ),
    Route("/v1/similar-items", "POST", "similar_items", _body_of(SimilarItemsRequest), _similar_items, _as_neighbours),
    Route("/v1/similar-users", "POST", "similar_users", _body_of(SimilarUsersRequest), _similar_users, _as_users),
    Route(
        "/v1/users/{user_id}/recommendations",
        "GET",
        "recommend_user",
        lambda asked: from_mapping(RecommendRequest, question_of(asked.path, asked.query)),
        _recommend,
        _as_ranking,
    ),
)
_OF_USERS = ROUTES[-1]
_NAMED = {route.name: route for route in ROUTES}
_FIXED: dict[str, tuple[Route, ...]] = {}
for _route in ROUTES[:-1]:
    _FIXED[_route.path] = (*_FIXED.get(_route.path, ()), _route)


def route_named(name: str) -> Route:
    """Find a call by its name in the metrics, which is the same at both doors."""
    return _NAMED[name]


def names_off(settings: Settings) -> set[str]:
    """Say which calls a server was started without, by their names."""
    feedback = {"feedback"} if settings.feedback is None else set()
    return feedback | ({"deploy", "deployment"} if settings.admin_keys is None else set())


def answered_on_the_spot(routes: Iterable[Route]) -> dict[bytes, Route]:
    """Find the calls that the express lane may answer, by their paths: bodies that are only computed with."""
    return {one.path.encode(): one for one in routes if one.is_immediate and one.method == "POST" and not one.is_admin}


ON_THE_SPOT = answered_on_the_spot(ROUTES)


def find_routes(path: str, raw_path: bytes) -> tuple[Route, ...]:
    """Find the calls of a path, one per method.

    Parameters
    ----------
    path, raw_path
        As ASGI gives them, decoded and as it came. Of the second an id with a slash in it, ``%2F``, is one piece.
    """
    routes = _FIXED.get(path, ())
    return (_OF_USERS,) if not routes and user_in(raw_path) is not None else routes
