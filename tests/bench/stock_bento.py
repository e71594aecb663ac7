"""A recommender as BentoML's documentation writes a service; ``RIVAL_ARTIFACT`` says of which artifact."""

from __future__ import annotations

import os
from pathlib import Path

import bentoml
from pydantic import BaseModel

from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender


class Item(BaseModel):
    item_id: int | str
    score: float
    source: str


class Answer(BaseModel):
    items: list[Item]
    model: dict[str, str]


@bentoml.service(workers=1)
class Stock:
    def __init__(self) -> None:
        self._recommender = Recommender.load(Path(os.environ["RIVAL_ARTIFACT"]))

    @bentoml.api(route="/v1/recommend")
    async def recommend(self, user_id: int, k: int = 10) -> Answer:
        answer = self._recommender.recommend(Query(user_id=user_id, k=k))
        return Answer.model_validate({"items": answer.items(), "model": self._recommender.info.signature()})
