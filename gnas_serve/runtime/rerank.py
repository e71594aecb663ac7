"""Rerank: a ranked list made more various, or drawn by chance; what may be answered stays what it was."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import BranchFacts, personal_spans
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.topk import top_k

_Floats = npt.NDArray[np.float32]
# By so much scores at most outweigh the draw of an exploration: next to none of it is the best first, and still finite.
_STEEPEST = 1e9


class Rerank:
    """Chooses k of the ranked candidates anew.

    Parameters
    ----------
    items
        The shipped item vectors; two items are alike by the cosine of theirs, the popularity column left out.
    branches
        What the model is made of.
    neighbours
        Of a model with a two-hop branch. One without vectors but popularity's tells by its links what is alike.
    """

    def __init__(self, items: EmbeddingTable, branches: tuple[BranchFacts, ...], neighbours: Neighbours | None) -> None:
        self._items = items
        self._personal = personal_spans(branches)
        self._neighbours = neighbours

    def order(
        self,
        rows: npt.NDArray[np.int64],
        scores: _Floats,
        k: int,
        *,
        diversity: float = 0.0,
        exploration: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> npt.NDArray[np.int64]:
        """Choose among candidates.

        Parameters
        ----------
        rows : (c,) item rows
            Best first.
        scores : (c,) float32
            Of the ranker.
        k
            How many are wanted.
        diversity
            0 takes the best, 1 each time what is least like all that was taken; in between, maximal marginal
            relevance, the scores of the candidates brought to 0..1.
        exploration
            0 takes the best, 1 draws evenly among the candidates; in between without replacement by a softmax of the
            standardised scores, of temperature ``exploration / (1 - exploration)``.
        rng
            Needed for an exploration.

        Returns
        -------
        (min(k, c),) int64
            Positions in ``rows``, first what is to be shown first.

        References
        ----------
        Carbonell & Goldstein (1998), The use of MMR. Kool et al. (2019), Stochastic beams and where to find them
        (sampling without replacement by the greatest perturbed scores).
        """
        keys = scores
        if exploration > 0.0 and rng is not None:
            keys = _perturbed(scores, exploration, rng)
        if diversity > 0.0 and self._tells_apart():
            return self._various(rows, keys, min(k, len(rows)), diversity)
        return top_k(keys, k) if len(rows) else np.empty(0, dtype=np.int64)

    def _tells_apart(self) -> bool:
        """Tell whether the model knows which items are alike: one of popularity alone does not."""
        return bool(self._personal) or self._neighbours is not None

    def _various(self, rows: npt.NDArray[np.int64], keys: _Floats, k: int, diversity: float) -> npt.NDArray[np.int64]:
        if k == 0:
            return np.empty(0, dtype=np.int64)
        spread = keys.max() - keys.min()
        relevance = (keys - keys.min()) / spread if spread > 0 else np.zeros_like(keys)
        units = self._units(rows) if self._personal else None
        closest = np.zeros(len(rows), dtype=np.float32)
        chosen = np.empty(k, dtype=np.int64)
        for place in range(k):
            worth = (1.0 - diversity) * relevance - diversity * closest
            if place:
                worth[chosen[:place]] = -np.inf
            # The first is the most relevant whatever the diversity: there is nothing yet to be unlike to.
            chosen[place] = int(np.argmax(worth if place else relevance))
            np.maximum(closest, self._likeness(rows, units, int(chosen[place])), out=closest)
        return chosen

    def _units(self, rows: npt.NDArray[np.int64]) -> _Floats:
        vectors = self._items.rows(rows)
        telling = np.concatenate([vectors[:, span] for span in self._personal], axis=1)
        lengths = np.linalg.norm(telling, axis=1, keepdims=True).astype(np.float32)
        telling /= np.maximum(lengths, np.finfo(np.float32).tiny)
        return telling

    def _likeness(self, rows: npt.NDArray[np.int64], units: _Floats | None, place: int) -> _Floats:
        """Tell how much every candidate is like one of them, 0 (or below: the opposite) to 1: (c,)."""
        if units is not None:
            likeness: _Floats = units @ units[place]
            return likeness
        if self._neighbours is None:
            raise ValueError("a model of popularity alone does not tell items apart")
        links = self._neighbours.links(rows[place : place + 1])
        found = links.at(rows)
        heaviest = float(links.scores.max()) if len(links.scores) else 0.0
        if heaviest > 0:
            found /= np.float32(heaviest)
        return found


def _perturbed(scores: _Floats, exploration: float, rng: np.random.Generator) -> _Floats:
    noise = rng.gumbel(size=len(scores))
    deviation = float(scores.std()) if len(scores) else 0.0
    standardised = (scores - scores.mean()) / deviation if deviation > 0 else np.zeros(len(scores))
    steepness = min((1.0 - exploration) / exploration, _STEEPEST)
    return (standardised * steepness + noise).astype(np.float32)
