"""Observation: what is kept of a model's scores of all items, block by block, before they are let go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.labels import LabelledPairs
from gnas_search.pointwise import percentiles
from gnas_serve.runtime.topk import top_k

Floats = npt.NDArray[np.float32]
Values = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Observation:
    """What one model makes of n users.

    Attributes
    ----------
    lists : n arrays of item rows
        The best k, best first; empty where none were wanted.
    shares : (nnz,) float64 or None
        The :func:`~gnas_search.pointwise.percentiles` of the relevant items, where asked for.
    pair_scores : (p,) float32 or None
        Scores of the labelled pairs, where there are some.
    """

    lists: list[Rows]
    shares: Values | None
    pair_scores: Floats | None


def observe(
    blocks: Iterable[Floats],
    relevant: sp.csr_matrix,
    *,
    k: int | None,
    ranks_all: bool = True,
    pairs: LabelledPairs | None = None,
) -> Observation:
    """Look at the scores of n users once.

    Parameters
    ----------
    blocks : (b, I) arrays
        Scores of all items, ``-inf`` where one is masked; the users follow each other.
    relevant : (n, I) CSR
    k
        Length of the lists; None where none are wanted.
    ranks_all
        Whether the places of the relevant items among all others are found.
    pairs
        Whose scores are kept.

    Raises
    ------
    ValueError
        If the blocks do not hold n users.
    """
    lists: list[Rows] = []
    shares = np.empty(relevant.nnz, dtype=np.float64)
    pair_scores = None if pairs is None else np.empty(len(pairs.users), dtype=np.float32)
    stop = 0
    for scores in blocks:
        start, stop = stop, stop + len(scores)
        if stop > relevant.shape[0]:
            raise ValueError(f"scores of {stop} users and more for {relevant.shape[0]}")
        if pairs is not None and pair_scores is not None:
            span = pairs.span(start, stop)
            pair_scores[span] = scores[pairs.users[span] - start, pairs.items[span]]
        if ranks_all:
            shares[relevant.indptr[start] : relevant.indptr[stop]] = percentiles(scores, relevant[start:stop])
        if k is not None:
            lists.extend(top_k(row, k) for row in scores)
    if stop != relevant.shape[0]:
        raise ValueError(f"scores of {stop} users for {relevant.shape[0]}")
    return Observation(lists, shares if ranks_all else None, pair_scores)
