"""Turning: the same scores of vectors in which no component stands out, so that bytes hold them closely.

A row of int8 has one step for all of its components, as large as its largest asks for. The vectors of a graph filter
have few large components, the low frequencies, and many small ones: steps of the large round the small away. Turned at
random, users and items alike, every component holds a part of everything, and all scores are what they were.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from gnas_search.fit import Fit
from gnas_serve.artifact.branches import POPULARITY, BranchFacts, spans

Floats = npt.NDArray[np.float32]


class Turns:
    """One random rotation per branch: its vectors keep their lengths and inner products.

    A rotation depends on the width alone, so that both fits of a checkpoint and both sides of a score are turned alike.
    Popularity stays as it is: of one column there is nothing to turn, and its counts are its order.

    Parameters
    ----------
    branches
        Of the fit, in order.

    References
    ----------
    Gao and Long, "RaBitQ: Quantizing High-Dimensional Vectors with a Theoretical Error Bound for Approximate Nearest
    Neighbor Search", SIGMOD 2024. Ashkboos et al., "QuaRot: Outlier-Free 4-Bit Inference in Rotated LLMs", NeurIPS
    2024.
    """

    def __init__(self, branches: tuple[BranchFacts, ...]) -> None:
        wide = (branch for branch in branches if branch.width)
        rotations = ((span, _of_branch(branch)) for branch, span in zip(wide, spans(branches), strict=True))
        self._rotations = tuple((span, rotation) for span, rotation in rotations if rotation is not None)

    @classmethod
    def of(cls, fit: Fit) -> Turns:
        """Give those of a fit."""
        return cls(tuple(branch.facts for branch in fit.branches))

    def __call__(self, vectors: Floats) -> Floats:
        """Turn (n, D) vectors, the branches' columns side by side."""
        turned = np.array(vectors, dtype=np.float32)
        # On one thread: sums in one order, so equal vectors give equal bytes on any number of cores.
        with threadpool_limits(1):
            for span, rotation in self._rotations:
                turned[:, span] = vectors[:, span] @ rotation
        return turned


def turned_map(block: Floats, branch: BranchFacts) -> Floats:
    """Make of a branch's fold-in map, (d + 1, d), the one from turned item vectors to turned user vectors."""
    rotation = _of_branch(branch)
    return block if rotation is None else _applied(rotation.T, block, rotation)


def turned_back(block: Floats, branch: BranchFacts) -> Floats:
    """Undo :func:`turned_map`."""
    rotation = _of_branch(branch)
    return block if rotation is None else _applied(rotation, block, rotation.T)


def turned_users(block: Floats, branch: BranchFacts) -> Floats:
    """Make of a fold-in map from turned item vectors to user vectors as they were one to turned user vectors."""
    rotation = _of_branch(branch)
    return block if rotation is None else _applied(None, block, rotation)


def _applied(items: Floats | None, block: Floats, users: Floats) -> Floats:
    with threadpool_limits(1):
        turned = block @ users.astype(np.float64)
        if items is not None:
            turned[:-1] = items.astype(np.float64) @ turned[:-1]
    return np.ascontiguousarray(turned, dtype=np.float32)


def _of_branch(branch: BranchFacts) -> Floats | None:
    """Give the rotation of a branch; None where it stays as it is."""
    return None if branch.kind == POPULARITY or branch.width < 2 else _rotation(branch.width)


@cache
def _rotation(width: int) -> Floats:
    with threadpool_limits(1):
        axes, upper = np.linalg.qr(np.random.default_rng(width).standard_normal((width, width)))
    # The signs that make it one of all rotations, each as likely (and the same whatever LAPACK prefers).
    rotation: Floats = (axes * np.where(np.diag(upper) < 0, -1.0, 1.0)).astype(np.float32)
    rotation.flags.writeable = False
    return rotation
