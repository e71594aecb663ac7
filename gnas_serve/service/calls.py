"""The calls that both doors offer, free of any protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, Generic, NamedTuple, TypeVar

from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Answer, ModelInfo, Query, SimilarUsersAnswer
from gnas_serve.runtime.stages import Staged, found_by
from gnas_serve.service.audit import followed
from gnas_serve.service.deploy_request import DeployRequest
from gnas_serve.service.deployment import Deployment
from gnas_serve.service.errors import FeatureOffError
from gnas_serve.service.feedback import Feedback, Taken
from gnas_serve.service.item_features import item_features_of
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
)
from gnas_serve.service.shadow import Shadow
from gnas_serve.service.telemetry import Telemetry
from gnas_serve.service.user_features import pairs_of
from gnas_serve.service.variants import Variant, Variants
from gnas_serve.service.versions import Versions

_Result = TypeVar("_Result")

# A scan of so many numbers takes some 4 ms: longer than a thread costs, and than others should wait.
_THREAD_VALUES = 3_200_000


class Signed(NamedTuple, Generic[_Result]):
    """An answer and the signature of the model that gave it, see :class:`gnas_serve.service.variants.Variant`."""

    answer: _Result
    model: dict[str, Any]


class Calls:
    """Answers validated requests with the worker's models.

    Parameters
    ----------
    variants
        What is served at first.
    telemetry
        Counts the answers by source.
    feedback
        Keeps what users did; None where the server was started without.
    versions
        Changes what is served; None where the server was started without.
    """

    def __init__(
        self,
        variants: Variants,
        telemetry: Telemetry,
        feedback: Feedback | None = None,
        versions: Versions | None = None,
    ) -> None:
        self._variants = variants
        self._feedback = feedback
        self._versions = versions
        self._telemetry = telemetry
        self._shadow = Shadow(telemetry)

    @property
    def model(self) -> ModelInfo:
        """The stable model."""
        return self._variants.stable.recommender.info

    def serve(self, variants: Variants) -> None:
        """Answer with other models from the next request on."""
        self._variants = variants
        served = [variants.stable, *([variants.canary] if variants.canary else [])]
        scores = variants.stable.recommender.manifest.scores
        self._telemetry.serving(*(variant.recommender.info for variant in served), scores=scores)

    def recommend(self, request: RecommendRequest) -> Staged[Signed[Answer]]:
        """Answer one question.

        It runs on the event loop itself: at a fraction of a millisecond, handing it to a thread would cost
        more than it takes.
        """
        query = request.query()
        variants = self._variants
        variant = variants.choose(query)
        clock, trail = self._telemetry.asked(query.user_id, variant.recommender.info.version)
        staged = variant.recommender.recommend_staged(query)
        answer = yield from (staged if clock is None else clock.timed(staged))
        if variant is not variants.canary:
            self._telemetry.recommended(query, answer)
        if variants.shadow is not None:
            self._shadow.offer(variants.shadow, query, answer)
        self._telemetry.answered(answer, clock, trail)
        return self._divided(answer, variant)

    async def recommend_batch(self, request: RecommendBatchRequest) -> list[Signed[Answer]]:
        """Answer many questions; between two of them, other requests have their turn."""
        answers = []
        for query in request.queries:
            answers.append(found_by(self.recommend(query)))
            await asyncio.sleep(0)
        return answers

    def rank(self, request: RankRequest) -> Staged[Signed[Answer]]:
        """Put given items in the order of one user's liking."""
        query = request.query()
        variant = self._variants.choose(query)
        clock, trail = self._telemetry.asked(query.user_id, variant.recommender.info.version)
        staged = variant.recommender.rank_staged(query)
        answer = yield from (staged if clock is None else clock.timed(staged))
        self._telemetry.answered(answer, clock, trail)
        return self._divided(answer, variant)

    async def similar_items(self, request: SimilarItemsRequest) -> Signed[Answer]:
        """Answer with the neighbours of an item, by the stable model.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        FeatureError
            If its attributes, which it knows or cannot use, are told.
        """
        variant = self._variants.alone or self._variants.stable
        recommender = variant.recommender
        trail = self._telemetry.noted(None, recommender.info.version)
        length = recommender.info.num_items * recommender.info.embedding_dim
        told = item_features_of(request.item_features)
        answer = await _scan(length, lambda: recommender.similar_items(request.item_id, request.k, told))
        self._telemetry.answered(answer, None, trail)
        return Signed(answer, variant.signature)

    async def similar_users(self, request: SimilarUsersRequest) -> Signed[SimilarUsersAnswer]:
        """Answer with the users of one user's taste.

        Raises
        ------
        UserNotFoundError
            If the model does not know the user.
        """
        variant = self._variants.choose(Query(request.user_id))
        recommender = variant.recommender
        self._telemetry.noted(request.user_id, recommender.info.version)
        length = recommender.info.num_users * recommender.info.embedding_dim
        answer = await _scan(length, lambda: recommender.similar_users(request.user_id, request.k))
        return self._divided(answer, variant)

    def explain(self, request: ExplainRequest) -> Signed[Explanation]:
        """Say what of a user's past the score of one item comes from.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        FeatureError
            If what is told of it, or of the user, is nothing that the model can take.
        """
        variant = self._variants.choose(Query(request.user_id, history=request.history))
        self._telemetry.noted(request.user_id, variant.recommender.info.version)
        features, told = pairs_of(request.user_features), item_features_of(request.item_features)
        found = variant.recommender.explain(request.item_id, request.user_id, request.history, features, told)
        return self._divided(found, variant)

    async def feedback(self, request: FeedbackRequest) -> Taken:
        """Keep what users did.

        Raises
        ------
        FeatureOffError
            If the server was started without a feedback log.
        RequestError, OverloadedError, NotReadyError
            As :meth:`gnas_serve.service.feedback.Feedback.take`.
        """
        if self._feedback is None:
            raise FeatureOffError("this server keeps no feedback", hint="start it with GNAS_FEEDBACK=FOLDER")
        if len(request.events) == 1:
            self._telemetry.noted(request.events[0].user_id, self.model.version)
        taken = await self._feedback.take(request)
        self._telemetry.fed_back(taken.unlike.counts)
        return taken

    def deployment(self) -> Deployment:
        """Tell what is served to whom.

        Raises
        ------
        FeatureOffError
            If the server was started for one artifact.
        """
        return self._of_versions().deployment

    async def deploy(self, request: DeployRequest) -> Deployment:
        """Change what is served to whom; when this returns, all workers do.

        Raises
        ------
        FeatureOffError
            If the server was started for one artifact.
        RefusedArtifactError, RequestError, NotReadyError
            As :meth:`gnas_serve.service.versions.Versions.change`.
        """
        return await followed(request.model_dump_json(exclude_unset=True), self._of_versions().change(request.change))

    def _divided(self, answer: _Result, variant: Variant) -> Signed[_Result]:
        """Sign an answer of a call that is divided among the users, and count it for its variant."""
        if (name := variant.signature.get("variant")) is not None:  # while a canary runs
            self._telemetry.varied(name)
        return Signed(answer, variant.signature)

    def _of_versions(self) -> Versions:
        if self._versions is None:
            raise FeatureOffError("this server serves one artifact", hint="start it with GNAS_VERSIONS=FOLDER")
        return self._versions


async def _scan(length: int, look: Callable[[], _Result]) -> _Result:
    """Look through a whole table: in a thread where that takes milliseconds, so that others need not wait."""
    return look() if length < _THREAD_VALUES else await asyncio.to_thread(look)


def model_facts(info: ModelInfo) -> dict[str, Any]:
    """Describe the model in full."""
    return asdict(info)
