"""Branch and Fit: what a fitted model scores with, whatever it is made of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_serve.artifact.branches import POPULARITY, TWO_HOP, BranchFacts

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
Stored = npt.NDArray[np.generic]


@dataclass(frozen=True)
class Branch:
    """One summand of a model's scores, its weight in the blend folded in.

    Attributes
    ----------
    facts
        Its kind and how it folds in.
    user_vectors : (U, d) float32
        Without columns for ``two-hop``.
    item_vectors : (I, d) float32
    fold_in : (d + 1, d) float32, or None
        The map from a history vector (see ``gnas_serve.runtime.cold_start``) to a user vector where the model has an
        exact one; None where export has to fit it.
    neighbours : (I, I) CSR float32, or None
        From an item of a history to the items that it recommends; for ``two-hop`` alone.
    """

    facts: BranchFacts
    user_vectors: Floats
    item_vectors: Floats
    fold_in: Floats | None = None
    neighbours: sp.csr_matrix | None = None

    def weighted(self, weight: float) -> Branch:
        """Multiply the scores."""
        factor = np.float32(weight)
        scaled = None if self.neighbours is None else sp.csr_matrix(self.neighbours * factor)
        # The map to user vectors is unchanged: history vectors shall be made of unweighted item vectors.
        fold_in = None if self.fold_in is None else _for_scaled_items(self.fold_in, float(factor))
        return replace(self, item_vectors=self.item_vectors * factor, neighbours=scaled, fold_in=fold_in)

    def per_history(self, power: float, lengths: npt.NDArray[np.integer]) -> Branch:
        """Divide each user's scores by the length of the history to another power than now.

        Parameters
        ----------
        power
            The new ``history_power``.
        lengths : (U,)
            Items in each user's history.
        """
        facts = replace(self.facts, history_power=power)
        if self.facts.width == 0:
            return replace(self, facts=facts)
        scale = np.maximum(lengths, 1) ** (self.facts.history_power - power)
        return replace(self, facts=facts, user_vectors=self.user_vectors * scale.astype(np.float32)[:, None])


def _for_scaled_items(fold_in: Floats, factor: float) -> Floats:
    """Give the map that makes the same user vectors of item vectors multiplied by a factor."""
    adjusted = fold_in.copy()
    adjusted[:-1] *= np.float32(1.0 / factor if factor else 0.0)
    return adjusted


@dataclass(frozen=True)
class Fit:
    """One fit of a model: the score of a pair is the sum over its branches.

    Attributes
    ----------
    branches
        At least one with vectors, at most one ``two-hop``.
    epochs
        How long its network was trained; 0 for closed forms.
    """

    branches: tuple[Branch, ...]
    epochs: int

    @cached_property
    def user_vectors(self) -> Floats:
        """The branches' user vectors side by side: (U, D)."""
        return _side_by_side([branch.user_vectors for branch in self.branches])

    @cached_property
    def item_vectors(self) -> Floats:
        """The branches' item vectors side by side: (I, D)."""
        return _side_by_side([branch.item_vectors for branch in self.branches])

    @property
    def two_hop(self) -> Branch | None:
        """The branch that scores along neighbours, where there is one."""
        return next((branch for branch in self.branches if branch.facts.kind == TWO_HOP), None)

    @property
    def is_of_vectors(self) -> bool:
        """Whether it scores by fitted vectors alone: no branch counts interactions or starts from a history."""
        return not any(branch.facts.kind in (POPULARITY, TWO_HOP) for branch in self.branches)

    def knows(self, histories: sp.csr_matrix) -> npt.NDArray[np.bool_]:
        """Tell which users the fit says anything of, beyond what is popular: (U,).

        Parameters
        ----------
        histories : (U, I) CSR
            The interactions that this fit was made from.
        """
        known = np.zeros(histories.shape[0], dtype=bool)
        for branch in self.branches:
            if branch.facts.kind == TWO_HOP:
                known |= np.diff(histories.indptr) > 0
            elif branch.facts.kind != POPULARITY:
                known |= branch.user_vectors.any(axis=1)
        return known

    def score_rows(self, histories: sp.csr_matrix) -> Callable[[Rows], Floats]:
        """Score all items for blocks of user rows: (b,) -> (b, I).

        Parameters
        ----------
        histories : (U, I) CSR
            The interactions that this fit was made from.
        """
        items = np.ascontiguousarray(self.item_vectors.T)  # (D, I)
        two_hop = self.two_hop

        def score(rows: Rows) -> Floats:
            scores: Floats = self.user_vectors[rows] @ items
            if two_hop is not None and two_hop.neighbours is not None:
                past = histories[rows]
                scale = np.maximum(np.diff(past.indptr), 1) ** -two_hop.facts.history_power
                passed = (past @ two_hop.neighbours).tocsr()  # (b, I)
                lengths = np.diff(passed.indptr)
                lines = np.repeat(np.arange(len(rows)), lengths)
                scores[lines, passed.indices] += passed.data * np.repeat(scale, lengths).astype(np.float32)
            return scores

        return score


def _side_by_side(vectors: list[Floats]) -> Floats:
    wide = [part for part in vectors if part.shape[1]] or vectors[:1]
    return wide[0] if len(wide) == 1 else np.ascontiguousarray(np.concatenate(wide, axis=1), dtype=np.float32)


def to_arrays(fit: Fit) -> dict[str, Stored]:
    """Lay the arrays of a fit out by name, to be stored; a name begins with the place of its branch."""
    arrays: dict[str, Stored] = {}
    for place, branch in enumerate(fit.branches):
        if branch.facts.width:
            arrays[f"{place}.user_vectors"] = np.ascontiguousarray(branch.user_vectors, dtype=np.float32)
            arrays[f"{place}.item_vectors"] = np.ascontiguousarray(branch.item_vectors, dtype=np.float32)
        if branch.fold_in is not None:
            arrays[f"{place}.fold_in"] = np.ascontiguousarray(branch.fold_in, dtype=np.float32)
        if branch.neighbours is not None:
            arrays[f"{place}.neighbours.indptr"] = branch.neighbours.indptr.astype(np.int64, copy=False)
            arrays[f"{place}.neighbours.indices"] = branch.neighbours.indices.astype(np.int32, copy=False)
            arrays[f"{place}.neighbours.values"] = branch.neighbours.data.astype(np.float32, copy=False)
    return arrays


def branches_from(
    facts: tuple[BranchFacts, ...], arrays: dict[str, Stored], shape: tuple[int, int] | None = None
) -> tuple[Branch, ...]:
    """Read the branches of a fit from stored arrays.

    Parameters
    ----------
    facts
        What the arrays are said to be.
    arrays
        As :func:`to_arrays` lays them out.
    shape
        U and I; those of the first branch with vectors when not given.

    Raises
    ------
    ValueError
        If an array is absent, of another type or shape, holds a value that is no finite number, or no branch has
        vectors. Names the branch and the array.
    """
    first = next((place for place, fact in enumerate(facts) if fact.width), -1)
    if first < 0:
        raise ValueError("no branch has vectors")
    if shape is None:
        sides = (stored(arrays, f"{first}.{side}_vectors", np.float32, (None, None)) for side in ("user", "item"))
        num_users, num_items = (len(vectors) for vectors in sides)
    else:
        num_users, num_items = shape
    branches = []
    for place, fact in enumerate(facts):
        try:
            branches.append(_branch_from(place, fact, arrays, num_users, num_items))
        except ValueError as error:
            raise ValueError(f"branch {fact.name}: {error}") from error
    return tuple(branches)


def _branch_from(place: int, fact: BranchFacts, arrays: dict[str, Stored], num_users: int, num_items: int) -> Branch:
    if fact.kind == TWO_HOP:
        name = f"{place}.neighbours"
        links = stored(arrays, f"{name}.values", np.float32, (None,))
        nobody, nothing = (np.empty((count, 0), np.float32) for count in (num_users, num_items))
        return Branch(fact, nobody, nothing, neighbours=stored_csr(arrays, name, (num_items, num_items), links))
    users: Any = stored(arrays, f"{place}.user_vectors", np.float32, (num_users, fact.width))
    items: Any = stored(arrays, f"{place}.item_vectors", np.float32, (num_items, fact.width))
    fold_in: Any = None
    if f"{place}.fold_in" in arrays:
        fold_in = stored(arrays, f"{place}.fold_in", np.float32, (fact.width + 1, fact.width))
    return Branch(fact, users, items, fold_in)


def stored(arrays: dict[str, Stored], name: str, dtype: type[np.generic], shape: tuple[int | None, ...]) -> Stored:
    """Look a stored array up, and check that it is what it has to be.

    Parameters
    ----------
    arrays
        Of one file.
    name, dtype
        Of the array.
    shape
        Its shape; None where any length will do.

    Raises
    ------
    ValueError
        If it is absent, of another type or shape, or holds a value that is no finite number. Names the array.
    """
    array = arrays.get(name)
    if array is None:
        raise ValueError(f"{name} is missing")
    if array.dtype != dtype:
        raise ValueError(f"{name} holds {array.dtype}, expected {np.dtype(dtype)}")
    fits = array.ndim == len(shape) and all(
        wanted in (None, found) for wanted, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        expected = ", ".join("any" if length is None else str(length) for length in shape)
        raise ValueError(f"{name} has shape {array.shape}, expected ({expected})")
    if not is_finite(array):
        raise ValueError(f"{name} holds a value that is no finite number")
    return array


def stored_csr(arrays: dict[str, Stored], name: str, shape: tuple[int, int], values: Stored | None) -> sp.csr_matrix:
    """Read a stored (n, m) CSR matrix and check its structure.

    Parameters
    ----------
    arrays
        Of one file: ``name.indptr`` int64 and ``name.indices`` int32.
    shape
        n and m.
    values
        Of its entries; ones when not given.

    Raises
    ------
    ValueError
        If an array is not what it has to be, or they do not fit together. Names the arrays.
    """
    indptr: Any = stored(arrays, f"{name}.indptr", np.int64, (shape[0] + 1,))
    indices: Any = stored(arrays, f"{name}.indices", np.int32, (None,))
    entries: Any = np.ones(len(indices), np.float32) if values is None else values
    if not int(indptr[-1]) == len(indices) == len(entries):
        raise ValueError(f"{name}.indptr, .indices and values are of {indptr[-1]}, {len(indices)}, {len(entries)}")
    try:
        matrix: sp.csr_matrix = sp.csr_matrix((entries, indices, indptr), shape=shape)
        matrix.check_format(full_check=True)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return matrix


def is_finite(array: Stored) -> bool:
    """Tell whether all values are finite numbers; those of integers are."""
    if not array.size or not np.issubdtype(array.dtype, np.floating):
        return True
    extremes: Any = (array.min(), array.max())  # a NaN is both; no copy of the array is made
    return bool(np.isfinite(extremes).all())
