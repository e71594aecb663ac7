"""Popularity: the same for everyone; by itself what any model has to beat, in a sum a prior."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch
from gnas_serve.artifact.branches import TWO_HOP, BranchFacts

_UNHEARD = 2.0**-25
"""Added to a float32, less than this part of it is rounded away."""


@dataclass(frozen=True)
class PopularitySpec(ClosedFormSpec):
    """Every user gets the items with the most interactions."""

    KIND: ClassVar[str] = "popularity"

    def key(self) -> str:
        """Give its one name."""
        return self.KIND

    def summary(self) -> str:
        """Describe it, for tables."""
        return "log(1 + interactions)"


def fit_popularity(spec: PopularitySpec, spectra: Spectra, history_power: float) -> Branch:
    """Fit it: ones (U, 1), and the logarithm of 1 + each item's interactions of the target event (I, 1).

    Parameters
    ----------
    spec
        Has no settings.
    spectra
        Of the graph, for its interactions.
    history_power
        Kept in the facts; a constant is not divided.
    """
    graph = spectra.graph
    counts = np.bincount(graph.positives.indices, minlength=graph.num_items)
    return Branch(
        BranchFacts(name=spec.key(), kind=spec.KIND, width=1, history_power=history_power),
        np.ones((graph.num_users, 1), np.float32),
        np.log1p(counts)[:, None].astype(np.float32),
        np.array([[0.0], [1.0]], np.float32),  # whatever the history, its constant
    )


def with_prior(branch: Branch, graph: InteractionGraph) -> tuple[Branch, ...]:
    """Complete a branch that cannot rank all items alone, so that it makes a model by itself.

    A ``two-hop`` branch scores what its links reach. Popularity follows it with a weight at which the largest term is
    2^-25 of the least score that any link gives to the longest history: in float32 each reached item keeps its score
    to the last bit, and all others follow, the most popular first.

    Returns
    -------
    tuple of Branch
        The branch alone where it has vectors.
    """
    if branch.facts.kind != TWO_HOP or branch.neighbours is None:
        return (branch,)
    prior = fit_popularity(PopularitySpec(), Spectra(graph, seed=0), branch.facts.history_power)
    links = branch.neighbours.data
    least = float(links[links > 0].min(initial=np.inf))
    if not np.isfinite(least):
        return branch, prior
    longest = max(int(np.diff(graph.edges.indptr).max(initial=1)), 1)
    highest = max(float(prior.item_vectors.max()), 1.0)
    return branch, prior.weighted(_UNHEARD * least * longest**-branch.facts.history_power / highest)
