"""Fit the map from a history to a user vector, for users who come after training."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from gnas_serve.runtime.cold_start import history_vector
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.seen import SeenItems

MAX_USERS = 20_000
# Relative to the mean diagonal of the Gram matrix: enough to stay solvable, too little to shrink.
_RIDGE = 1e-3


def fit_fold_in(
    user_vectors: npt.NDArray[np.float32],
    items: EmbeddingTable,
    seen: SeenItems,
    counts: npt.NDArray[np.int32],
    *,
    seed: int,
) -> npt.NDArray[np.float32]:
    """Regress user vectors on the history vectors that serving will compute.

    Parameters
    ----------
    user_vectors : (U, d) float32
        Exact vectors of the known users: the targets.
    items
        The shipped item vectors.
    counts : (I,) int32

    Returns
    -------
    (d + 1, d) float32
        Zeros where no user has both a history and a vector: fold-in then answers by popularity.
    """
    dim = items.dim
    usable = np.flatnonzero((np.diff(seen.offsets) > 0) & user_vectors.any(axis=1))
    if len(usable) > MAX_USERS:
        usable = np.sort(np.random.default_rng(seed).choice(usable, MAX_USERS, replace=False))
    if len(usable) == 0:
        return np.zeros((dim + 1, dim), dtype=np.float32)
    inputs = np.empty((len(usable), dim + 1), dtype=np.float64)
    for place, user_row in enumerate(usable):
        history = seen.of(int(user_row))
        inputs[place] = history_vector(items.rows(history), counts[history])
    gram = inputs.T @ inputs  # (d + 1, d + 1)
    gram[np.diag_indices_from(gram)] += max(_RIDGE * float(np.trace(gram)) / (dim + 1), 1e-12)
    solved = np.linalg.solve(gram, inputs.T @ user_vectors[usable].astype(np.float64))
    return np.ascontiguousarray(solved, dtype=np.float32)
