"""Compress the vectors: int8 rows with their scale, wider where retrieval would notice."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from gnas_search.checkpoint import Fit
from gnas_serve.errors import ExportError
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.topk import top_k

# From narrow to wide: a profile starts somewhere and the recall gate moves it to the right.
WIDTHS = ("int8", "fp16", "fp32")
_BLOCK_USERS = 64

Lists = list[npt.NDArray[np.int64]]


@dataclass(frozen=True)
class Tables:
    """The two embedding tables of one fit, in the form in which they ship."""

    users: EmbeddingTable
    items: EmbeddingTable


def compress(fit: Fit, width: str) -> Tables:
    """Store the vectors of a fit as ``"int8"``, ``"fp16"`` or ``"fp32"``.

    Raises
    ------
    ExportError
        If the vectors hold NaN or infinity.
    """
    for name, vectors in (("user", fit.user_vectors), ("item", fit.item_vectors)):
        broken = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(broken):
            raise ExportError(
                f"checkpoint: the {name} vector of row {broken[0]} is not finite ({len(broken)} such rows)",
                hint="train again, with a lower learning rate if it recurs",
            )
    return Tables(_table(fit.user_vectors, width), _table(fit.item_vectors, width))


def _table(vectors: npt.NDArray[np.float32], width: str) -> EmbeddingTable:
    if width == "int8":
        return EmbeddingTable(*quantize_rows(vectors))
    if width == "fp16":
        with np.errstate(over="ignore"):  # an overflow shows as lost recall, and fp32 is taken instead
            return EmbeddingTable(vectors.astype(np.float16))
    return EmbeddingTable(np.ascontiguousarray(vectors, dtype=np.float32))


def exact_lists(
    user_vectors: npt.NDArray[np.float32],
    item_vectors: npt.NDArray[np.float32],
    seen: SeenItems,
    user_rows: npt.NDArray[np.integer],
    count: int,
) -> Lists:
    """Search exactly by inner product, seen items left out.

    Parameters
    ----------
    user_vectors : (U, d) float32
    item_vectors : (I, d) float32
    user_rows : (n,)
    count
        How many items per user.

    Returns
    -------
    n arrays of item rows, best first
    """
    lists = []
    for start in range(0, len(user_rows), _BLOCK_USERS):
        block = user_rows[start : start + _BLOCK_USERS]
        scores = user_vectors[block] @ item_vectors.T  # (b, I)
        for user_row, row in zip(block, scores, strict=True):
            row[seen.of(int(user_row))] = -np.inf
            lists.append(top_k(row, count))
    return lists


def mean_recall(found: Lists, exact: Lists) -> float:
    """Average the share of each exact list that was found; 1 where there is nothing to find."""
    shares = [len(np.intersect1d(a, b)) / len(b) for a, b in zip(found, exact, strict=True) if len(b)]
    return float(np.mean(shares)) if shares else 1.0
