"""Assemble the branches of a blend: brought to one spread, weighted, side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch, Fit
from gnas_search.specs import BranchSpec, Share, kind_of

PER_HISTORY_KINDS = ("filter", "two-hop")
"""Kinds whose scores are sums over a history, and can be divided by a power of its length."""


def histories_of(spec: BranchSpec, graph: InteractionGraph) -> sp.csr_matrix:
    """Give the (U, I) histories that a branch's user vectors are made of."""
    every_event = kind_of(spec) == "filter" and getattr(spec, "edges", "target") == "all"
    return graph.edges if every_event else graph.positives


def history_lengths(spec: BranchSpec, graph: InteractionGraph) -> npt.NDArray[np.int64]:
    """Count the items of each user's history as a branch sees it: (U,)."""
    return np.diff(histories_of(spec, graph).indptr).astype(np.int64)


def assemble(shares: Sequence[Share], branches: Sequence[Branch], graph: InteractionGraph, epochs: int = 0) -> Fit:
    """Sum branches as the shares of a blend say.

    Parameters
    ----------
    shares
        Weights and spreads.
    branches
        Fitted to ``graph``, in the order of the shares.
    epochs
        Of the network among them.
    """
    parts = []
    for share, branch in zip(shares, branches, strict=True):
        even = branch
        if branch.facts.kind in PER_HISTORY_KINDS:
            even = branch.per_history(share.history_power, history_lengths(share.spec, graph))
        parts.append(even.weighted(share.weight / share.spread))
    return Fit(tuple(parts), epochs)
