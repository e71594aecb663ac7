"""The eager recommender behind LitServe; a module of its own, as LitServe's workers import what they run by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import litserve
import torch
from eager import EagerRecommender


class LitRecommender(litserve.LitAPI):
    def __init__(self, artifact: Path) -> None:
        super().__init__()
        self._artifact = artifact

    def setup(self, device: str) -> None:
        torch.set_num_threads(1)
        self._recommender = EagerRecommender(self._artifact)

    # Without a type, which LitServe would have FastAPI read: the body's JSON is what comes.
    def decode_request(self, request):  # type: ignore[no-untyped-def]
        return request["user_id"], request["k"]

    def predict(self, question: tuple[int | str, int]) -> dict[str, Any]:
        return self._recommender.recommend(*question)

    def encode_response(self, answer: dict[str, Any]) -> dict[str, Any]:
        return answer
