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

    def similar_items(self, request: SimilarItemsRequest) -> Answer:
        """Answer with the neighbours of an item.

        Raises
        ------
        ItemNotFoundError
            If the model does not know the item.
        """
        return self._counted(self._recommender.similar_items(request.item_id, request.k))

    def _counted(self, answer: Answer) -> Answer:
        self._telemetry.answered(answer.source)
        return answer


def items_of(answer: Answer) -> list[dict[str, Any]]:
    """Lay an answer out as the HTTP door shows it: ``[{"item_id", "score", "source"}, ...]``."""
    source = answer.source
    return [
        {"item_id": item_id, "score": score, "source": source}
        for item_id, score in zip(answer.item_ids, answer.scores, strict=True)
    ]


def model_of(info: ModelInfo) -> dict[str, str]:
    """Name the model in an answer: ``{"name", "version"}``."""
    return {"name": info.name, "version": info.version}


def model_facts(info: ModelInfo) -> dict[str, Any]:
    """Describe the model in full."""
    return asdict(info)
