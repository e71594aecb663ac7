"""The calls that both doors offer, free of any protocol."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from gnas_serve.feedback.log import Acknowledged
from gnas_serve.runtime.explain import Explanation
from gnas_serve.runtime.query import Answer, ModelInfo, SimilarUsersAnswer
from gnas_serve.service.errors import FeatureOffError
from gnas_serve.service.feedback import Feedback
from gnas_serve.service.schemas import (
    ExplainRequest,
    FeedbackRequest,
    RankRequest,
    RecommendBatchRequest,
    RecommendRequest,
    SimilarItemsRequest,
    SimilarUsersRequest,
)
from gnas_serve.service.telemetry import Telemetry

if TYPE_CHECKING:  # BentoML's parent process imports this module and never loads a model
    from gnas_serve.runtime.recommender import Recommender

_Result = TypeVar("_Result")

# A scan of so many numbers takes some 4 ms: longer than a thread costs, and than others should wait.
_THREAD_VALUES = 3_200_000


class Calls:
    """Answers validated requests with the worker's one model.

    Parameters
    ----------
    recommender
        The loaded model.
    telemetry
        Counts the answers by source.
    feedback
        Keeps what users did; None where the server was started without.
    """

    def __init__(self, recommender: Recommender, telemetry: Telemetry, feedback: Feedback | None = None) -> None:
        self._recommender = recommender
        self._feedback = feedback
        self._telemetry = telemetry
        self.model: ModelInfo = recommender.info

    def recommend(self, request: RecommendRequest) -> Answer:
        """Answer one question.

        It runs on the event loop itself: at a fraction of a millisecond, handing it to a thread would cost
        more than it takes.
        """
        return self._counted(self._recommender.recommend(request.query()))

    async def recommend_batch(self, request: RecommendBatchRequest) -> list[Answer]:
        """Answer many questions; between two of them, other requests have their turn."""
        answers = []
        for query in request.queries:
            answers.append(self.recommend(query))
            await asyncio.sleep(0)
        return answers

    def rank(self, request: RankRequest) -> Answer:
        """Put given items in the order of one user's liking."""
        return self._counted(self._recommender.rank(request.query()))

    async def similar_items(self, request: SimilarItemsRequest) -> Answer:
        """Answer with the neighbours of an item.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        """
        answer = await self._scan(
            lambda: self._recommender.similar_items(request.item_id, request.k), self.model.num_items
        )
        return self._counted(answer)

    async def similar_users(self, request: SimilarUsersRequest) -> SimilarUsersAnswer:
        """Answer with the users of one user's taste.

        Raises
        ------
        UserNotFoundError
            If the model does not know the user.
        """
        return await self._scan(
            lambda: self._recommender.similar_users(request.user_id, request.k), self.model.num_users
        )

    def explain(self, request: ExplainRequest) -> Explanation:
        """Say what of a user's past the score of one item comes from.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        """
        return self._recommender.explain(request.item_id, request.user_id, request.history)

    async def feedback(self, request: FeedbackRequest) -> Acknowledged:
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
        return await self._feedback.take(request)

    async def _scan(self, look: Callable[[], _Result], length: int) -> _Result:
        """Look through a whole table: in a thread where that takes milliseconds, so that others need not wait."""
        if length * self.model.embedding_dim < _THREAD_VALUES:
            return look()
        return await asyncio.to_thread(look)

    def _counted(self, answer: Answer) -> Answer:
        self._telemetry.answered(answer.source, underfilled=answer.underfilled)
        return answer


def model_facts(info: ModelInfo) -> dict[str, Any]:
    """Describe the model in full."""
    return asdict(info)
