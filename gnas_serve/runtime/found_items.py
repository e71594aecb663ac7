"""What is found for an asker, whatever it is of: items of the catalogue alone, or unseen ones among them."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.explain import Explainer, Explanation
from gnas_serve.runtime.lookup import Who
from gnas_serve.vocabulary import Id, Vocabulary

_Rows = npt.NDArray[np.int64]


class FoundItems(Protocol):
    """A list of items, the best first."""

    @property
    def rows(self) -> _Rows:
        """Where the items are, (n,): unseen ones from the number of known items on."""

    @property
    def scores(self) -> npt.NDArray[np.float32]:
        """Descending, (n,)."""

    @property
    def stand_ins(self) -> _Rows:
        """Known items to tell the rows apart by, (n,)."""

    def laid_out(self, rows: _Rows, items: Vocabulary, source: str) -> tuple[list[Id], _Rows, tuple[str, ...] | None]:
        """Give the ids of some of the rows, those that the catalogue has, and how each was found.

        Parameters
        ----------
        source
            Of the known ones; where there are no others, no sources are given.
        """

    def explanation(self, who: Who, row: int, explainer: Explainer) -> Explanation:
        """Say where the score of one of the rows comes from."""
