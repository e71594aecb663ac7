"""The four calls that both doors offer, free of any protocol."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gnas_serve.runtime.query import Answer, ModelInfo
from gnas_serve.service.schemas import RecommendBatchRequest, RecommendRequest, SimilarItemsRequest
from gnas_serve.service.telemetry import Telemetry

if TYPE_CHECKING:  # BentoML's parent process imports this module and never loads a model
    from gnas_serve.runtime.recommender import Recommender


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
    """

    def __init__(self, recommender: Recommender, telemetry: Telemetry) -> None:
        self._recommender = recommender
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

    async def similar_items(self, request: SimilarItemsRequest) -> Answer:
        """Answer with the neighbours of an item.

        The whole catalogue is looked through. Where that takes milliseconds it happens in a thread, so that other
        requests do not wait behind it.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        """
        if self.model.num_items * self.model.embedding_dim < _THREAD_VALUES:
            return self._counted(self._recommender.similar_items(request.item_id, request.k))
        return self._counted(await asyncio.to_thread(self._recommender.similar_items, request.item_id, request.k))

    def _counted(self, answer: Answer) -> Answer:
        self._telemetry.answered(answer.source)
        return answer


def model_facts(info: ModelInfo) -> dict[str, Any]:
    """Describe the model in full."""
    return asdict(info)
