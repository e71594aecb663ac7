"""Scorers: how two vectors become one score.

A scorer prepares the vectors so that the score is always their inner product, in training, retrieval and serving.
"""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn.functional import normalize


def cosine(vectors: Tensor) -> Tensor:
    """Scale rows to unit length; a zero row (a node without edges) stays zero: (n, d) -> (n, d)."""
    return normalize(vectors, dim=1)


def dot(vectors: Tensor) -> Tensor:
    """Leave the vectors as they are: (n, d) -> (n, d)."""
    return vectors


HEADS: dict[str, Callable[[Tensor], Tensor]] = {"cosine": cosine, "dot": dot}
