"""Scores of all items at once, for whoever measures an artifact; the request path never needs them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.asker import Askers
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.vocabulary import Id, Vocabulary

_Floats = npt.NDArray[np.float32]


class CatalogueScores:
    """What retrieval orders items by, exactly and without an index, before any ranker looks at them.

    Parameters
    ----------
    users
        Vocabulary.
    items
        The shipped item vectors; a float32 copy is made at the first question.
    askers, seen, neighbours, popularity
        Of the same artifact.
    """

    def __init__(
        self,
        users: Vocabulary,
        items: EmbeddingTable,
        *,
        askers: Askers,
        seen: SeenItems,
        neighbours: Neighbours | None,
        popularity: Popularity,
    ) -> None:
        self._users = users
        self._items = items
        self._askers = askers
        self._seen = seen
        self._neighbours = neighbours
        self._popularity = popularity

    def of(self, user_ids: Sequence[Id]) -> tuple[_Floats, npt.NDArray[np.bool_]]:
        """Score every item for some users, those that they have included.

        Returns
        -------
        scores : (b, I) float32
            The sums of the branches.
        known : (b,) bool
            False for users of whom nothing is known: their scores are those of popularity, on a scale of its own.
        """
        nobody = np.empty(0, dtype=np.int64)
        vectors = np.zeros((len(user_ids), self._items.dim), dtype=np.float32)
        known = np.zeros(len(user_ids), dtype=np.bool_)
        pasts = []
        for place, user_id in enumerate(user_ids):
            row = self._users.row(user_id)
            pasts.append(self._seen.of(row))
            asker = self._askers.represent(row, pasts[-1], nobody)
            if asker is not None:
                known[place], vectors[place] = True, asker.vector
        scores: _Floats = self._items.as_scored(vectors) @ self._transposed
        if self._neighbours is not None:
            for place in np.flatnonzero(known).tolist():
                links = self._neighbours.links(pasts[place])
                scores[place, links.rows] += links.scores
        scores[~known] = self._popularity.scores
        return scores, known

    @cached_property
    def _transposed(self) -> _Floats:
        return np.ascontiguousarray(self._items.dense().T)
