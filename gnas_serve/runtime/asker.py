"""Asker: who asks, as the model sees them. Own vector, else fold-in from a history, else nothing that helps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.branches import BranchFacts, personal_spans
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.seen import united

_Rows = npt.NDArray[np.integer]
_Floats = npt.NDArray[np.float32]
_NOTHING = np.empty(0, dtype=np.int64)


class Asker(NamedTuple):
    """What the model scores for.

    Attributes
    ----------
    vector : (D,) float32
    history : (h,) item rows
        Whose neighbours score, and what a ranker's features are made of.
    source
        ``"user"`` or ``"fold_in"``.
    """

    vector: _Floats
    history: _Rows
    source: str


class Askers:
    """Represents known users and newcomers.

    Parameters
    ----------
    branches
        What the model is made of.
    users
        The shipped user vectors.
    fold_in
        For newcomers.
    neighbours
        Of a model with a two-hop branch.
    folds_in
        False where newcomers are better answered by popularity whatever their history.
    """

    def __init__(
        self,
        branches: tuple[BranchFacts, ...],
        users: EmbeddingTable,
        fold_in: FoldIn,
        neighbours: Neighbours | None,
        *,
        folds_in: bool,
    ) -> None:
        self._personal = personal_spans(branches)
        self._users = users
        self._fold_in = fold_in
        self._neighbours = neighbours
        self._folds_in = folds_in

    def represent(self, user_row: int, past: _Rows, history: _Rows, recent: _Rows = _NOTHING) -> Asker | None:
        """Find what the model knows of somebody.

        Parameters
        ----------
        user_row
            -1 for somebody unknown.
        past : (p,) item rows
            What the model has seen of a known user.
        history : (h,) item rows
            What the request says.
        recent : (r,) item rows
            What is known from feedback. It moves a known user's vector by what it changes in the fold-in of the past,
            unless newcomers are better answered by popularity: then the links alone follow. It joins the history of
            somebody unknown.

        Returns
        -------
        Asker
            None where nothing is known: popularity is the answer.
        """
        if user_row >= 0:
            vector = self._users.row(user_row)
            if self._says_something(vector, past):
                return self._known(vector, past, recent)
        if len(recent):
            history = united(history, recent)
        if self._folds_in and len(history):
            vector = self._fold_in.vector(history)
            if self._says_something(vector, history):
                return Asker(vector, history, "fold_in")
        return None

    def _known(self, vector: _Floats, past: _Rows, recent: _Rows) -> Asker:
        later = united(past, recent) if len(recent) else past
        if len(later) > len(past):
            if self._folds_in:
                vector = self._fold_in.moved(vector, past, later)
            past = later
        return Asker(vector, past, "user")

    def _says_something(self, vector: _Floats, history: _Rows) -> bool:
        """Tell whether anything tells this asker from others.

        A user known only from events that the model does not use has a vector of zeros: no preference at all.
        """
        for span in self._personal:
            # Three times as quick as `any`, which looks at each number by itself as well.
            if np.count_nonzero(vector[span]):
                return True
        return self._neighbours is not None and self._neighbours.lead_anywhere(history)
