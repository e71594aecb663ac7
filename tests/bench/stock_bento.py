"""A recommender as BentoML's documentation writes a service; ``RIVAL_ARTIFACT`` says of which artifact."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml

from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.service.schemas import RecommendResponse


@bentoml.service(workers=1)
class Stock:
    def __init__(self) -> None:
        self._recommender = Recommender.load(Path(os.environ["RIVAL_ARTIFACT"]))

    @bentoml.api(route="/v1/recommend")
    async def recommend(self, user_id: int, k: int = 10) -> RecommendResponse:
        answer = self._recommender.recommend(Query(user_id=user_id, k=k))
        return RecommendResponse.model_validate({"items": answer.items(), "model": self._recommender.info.signature()})
