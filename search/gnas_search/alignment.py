"""Alignment: the rows that the users and items of some data have in a model which was made from other data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_serve.vocabulary import Vocabulary

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Alignment:
    """Where the ids of data stand in a model; a model that was trained on the data has the same rows.

    Attributes
    ----------
    users : (n,) int64
        For each user of the data the row in the model, -1 where it knows none.
    items : (m,) int64
        The same for items.
    shape
        U and I of the model.
    """

    users: Rows
    items: Rows
    shape: tuple[int, int]

    @classmethod
    def of(cls, data: tuple[Vocabulary, Vocabulary], model: tuple[Vocabulary, Vocabulary]) -> Alignment:
        """Match two pairs of vocabularies, each of users and of items, by external id."""
        users, items = (_rows_in(*pair) for pair in zip(data, model, strict=True))
        return cls(users, items, (len(model[0]), len(model[1])))

    @cached_property
    def same_items(self) -> bool:
        """Whether every item has the same row in both."""
        return len(self.items) == self.shape[1] and bool((self.items == np.arange(self.shape[1])).all())

    def matrix(self, interactions: sp.csr_matrix) -> sp.csr_matrix:
        """Bring (n, m) interactions of the data to the model's rows, (U, I): those that it does not know are left out.

        Entries are ones, indices sorted.
        """
        users, items = interactions.nonzero()
        rows, columns = self.users[users], self.items[items]
        kept = (rows >= 0) & (columns >= 0)
        ones = np.ones(int(kept.sum()), np.float32)
        found: sp.csr_matrix = sp.csr_matrix((ones, (rows[kept], columns[kept])), shape=self.shape)
        found.sort_indices()
        return found

    def user_rows(self, rows: Rows) -> Rows:
        """Give the model's rows of some user rows of the data: -1 stays -1."""
        return np.where(rows >= 0, self.users[rows], -1) if len(self.users) else np.full(len(rows), -1, np.int64)

    def scores(self, scores: Floats) -> Floats:
        """Give a model's scores (b, I) as scores of the data's items (b, m).

        The given ones where the items are the same. An item that the model does not know is below all that it knows.
        """
        if self.same_items:
            return scores
        known = self.items >= 0
        found = np.empty((len(scores), len(self.items)), dtype=np.float32)
        found[:, known] = scores[:, self.items[known]]
        found[:, ~known] = np.nextafter(scores.min(axis=1), np.float32(-np.inf))[:, None]
        return found


def _rows_in(ids: Vocabulary, model: Vocabulary) -> Rows:
    if ids.is_text != model.is_text:
        return np.full(len(ids), -1, dtype=np.int64)
    return model.rows(ids.ids(range(len(ids))) if ids.is_text else ids.values)
