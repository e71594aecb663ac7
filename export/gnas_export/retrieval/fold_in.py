"""Maps from a history to a user vector, for users who come after training: one block per branch with vectors."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gnas_export.retrieval.turning import turned_back, turned_map, turned_users
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.branches import BranchFacts, spans
from gnas_serve.runtime.cold_start import history_vector
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.seen import SeenItems

Floats = npt.NDArray[np.float32]

MAX_USERS = 20_000
# Relative to the mean diagonal of the Gram matrix: enough to stay solvable, too little to shrink.
_RIDGE = 1e-3


def fold_in_blocks(
    fit: Fit, items: EmbeddingTable, seen: SeenItems, counts: npt.NDArray[np.int32], *, seed: int
) -> Floats:
    """Lay the maps of all branches with vectors out one after the other, each row by row.

    A branch with an exact map keeps it; popularity gives everybody the same vector; for the others a map is fitted.

    Parameters
    ----------
    fit
        With exact vectors.
    items
        The shipped item vectors, which histories are summarised with.
    counts : (I,) int32

    Returns
    -------
    (sum of (d + 1) * d,) float32
    """
    vectors = [branch for branch in fit.branches if branch.facts.width]
    columns = spans(tuple(branch.facts for branch in vectors))
    blocks = []
    for branch, span in zip(vectors, columns, strict=True):
        facts, is_turned = branch.facts, items.scales is not None
        if branch.fold_in is not None:
            block = turned_map(branch.fold_in, facts) if is_turned else branch.fold_in
        elif facts.kind == "popularity":
            block = _constant(branch)
        else:
            block = fit_fold_in(branch.user_vectors, items, seen, counts, facts=facts, columns=span, seed=seed)
            block = turned_users(block, facts) if is_turned else block
        blocks.append(np.ascontiguousarray(block, dtype=np.float32).ravel())
    return np.concatenate(blocks)


def unturned(blocks: Floats, branches: tuple[BranchFacts, ...]) -> Floats:
    """Make of maps between the vectors of int8 tables those between vectors as they were trained."""
    wide = [branch for branch in branches if branch.width]
    ends = np.cumsum([(branch.width + 1) * branch.width for branch in wide])
    parts = np.split(blocks, ends[:-1])
    shaped = (part.reshape(branch.width + 1, branch.width) for branch, part in zip(wide, parts, strict=True))
    return np.concatenate([turned_back(block, branch).ravel() for branch, block in zip(wide, shaped, strict=True)])


def _constant(branch: Branch) -> Floats:
    width = branch.facts.width
    block = np.zeros((width + 1, width), dtype=np.float32)
    known = branch.user_vectors[branch.user_vectors.any(axis=1)]
    if len(known):
        block[-1] = np.median(known, axis=0)
    return block


def fit_fold_in(
    user_vectors: Floats,
    items: EmbeddingTable,
    seen: SeenItems,
    counts: npt.NDArray[np.int32],
    *,
    facts: BranchFacts,
    columns: slice,
    seed: int,
) -> Floats:
    """Regress the user vectors of one branch on the history vectors that serving will compute.

    Parameters
    ----------
    user_vectors : (U, d) float32
        Exact vectors of the known users: the targets.
    items
        The shipped item vectors of all branches.
    counts : (I,) int32
    facts
        How the branch weighs a history.
    columns
        The branch's own among those of ``items``.

    Returns
    -------
    (d + 1, d) float32
        Zeros where no user has both a history and a vector: such a branch says nothing of newcomers.
    """
    dim = user_vectors.shape[1]
    usable = np.flatnonzero((np.diff(seen.offsets) > 0) & user_vectors.any(axis=1))
    if len(usable) > MAX_USERS:
        usable = np.sort(np.random.default_rng(seed).choice(usable, MAX_USERS, replace=False))
    if len(usable) == 0:
        return np.zeros((dim + 1, dim), dtype=np.float32)
    inputs = np.empty((len(usable), dim + 1), dtype=np.float64)
    for place, user_row in enumerate(usable):
        history = seen.of(int(user_row))
        vectors = items.rows(history)[:, columns]
        inputs[place] = history_vector(vectors, counts[history], facts.item_power, facts.history_power)
    # On one thread: sums in one order, so equal vectors give equal bytes on any number of cores.
    with threadpool_limits(1):
        gram = inputs.T @ inputs  # (d + 1, d + 1)
        gram[np.diag_indices_from(gram)] += max(_RIDGE * float(np.trace(gram)) / (dim + 1), 1e-12)
        solved = np.linalg.solve(gram, inputs.T @ user_vectors[usable].astype(np.float64))
    return np.ascontiguousarray(solved, dtype=np.float32)
