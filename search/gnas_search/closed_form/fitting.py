"""The fits of closed forms. They load torch, which the specs do without: who reads a study fits nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gnas_search.closed_form.graph_filter import RESPONSES, FilterSpec
from gnas_search.closed_form.popularity import PopularitySpec
from gnas_search.closed_form.spec import ClosedFormSpec
from gnas_search.closed_form.spectra import Spectra
from gnas_search.closed_form.two_hop import TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.fit import Branch
from gnas_search.links import strongest_links
from gnas_serve.artifact.branches import TWO_HOP, BranchFacts

_UNHEARD = 2.0**-25
"""Added to a float32, less than this part of it is rounded away."""


def fit_closed_form(
    spec: ClosedFormSpec,
    graph: InteractionGraph,
    *,
    seed: int,
    spectra: Spectra | None = None,
    history_power: float = 0.5,
) -> Branch:
    """Fit a closed form.

    Parameters
    ----------
    spec
        Of a family in :data:`CLOSED_FORMS`.
    graph
        What to fit.
    seed
        Of randomised decompositions.
    spectra
        Of the same graph and seed, to share decompositions with other fits.
    history_power
        User vectors and two-hop scores are divided by ``n ** history_power``, n being the items of the history.

    Raises
    ------
    ValueError
        If the spectra are of another graph or seed.
    """
    if spectra is None:
        spectra = Spectra(graph, seed)
    elif spectra.graph is not graph or spectra.seed != seed:
        raise ValueError("the spectra are of another graph or seed")
    return FITS[spec.KIND](spec, spectra, history_power)


def fit_filter(spec: FilterSpec, spectra: Spectra, history_power: float) -> Branch:
    """Fit a graph filter.

    Parameters
    ----------
    spec
        Which.
    spectra
        Of the graph.
    history_power
        A user's vector is divided by ``n ** history_power``, n being the items of the history: no order of items
        depends on it, but what the branch adds to a sum does.

    Returns
    -------
    Branch
        Of as many columns as ``rank``, fewer where the matrix has fewer. Its map of fold-in is the identity: user
        vectors are sums over histories to begin with. Only where histories hold other events than the target event it
        has none, since what newcomers come with is weighed by target events alone.
    """
    spectrum = spectra.of(spec.user_power, spec.item_power, spec.edges, spec.rank)
    incidence = spectra.incidence(spec.edges)
    gains = RESPONSES[spec.response].gains(spectrum.eigenvalues, spec.strength, spectrum.level)
    by_item = incidence.by_item**spec.item_power
    items = (spectrum.vectors * np.sqrt(gains).astype(np.float32)) * by_item[:, None].astype(np.float32)  # (I, r)
    users = incidence.multiplied(history_power, 2 * spec.item_power, items)  # (U, r)
    rank = items.shape[1]
    facts = BranchFacts(
        name=spec.key(), kind=spec.KIND, width=rank, item_power=2 * spec.item_power, history_power=history_power
    )
    exact = spec.edges == "target" or spectra.graph.edges.nnz == spectra.graph.positives.nnz
    fold_in = np.eye(rank + 1, rank, dtype=np.float32) if exact else None
    return Branch(facts, users, items, fold_in)


def fit_two_hop(spec: TwoHopSpec, spectra: Spectra, history_power: float) -> Branch:
    """Fit the links.

    Parameters
    ----------
    spec
        Which.
    spectra
        Of the graph, for its interactions.
    history_power
        A user's scores are divided by ``n ** history_power``, n being the items of the history.
    """
    incidence = spectra.incidence(spec.edges)
    by_user = incidence.by_user**-spec.user_power
    by_source, by_target = incidence.by_item**-spec.source_power, incidence.by_item**-spec.target_power
    if spec.kept_per == "source":
        neighbours = strongest_links(incidence.pattern, by_user, by_source, by_target, spec.neighbours)
    else:  # the operator without its outer powers is symmetric: a column is a row with both exchanged
        neighbours = strongest_links(incidence.pattern, by_user, by_target, by_source, spec.neighbours).T.tocsr()
    facts = BranchFacts(name=spec.key(), kind=spec.KIND, width=0, history_power=history_power)
    graph = spectra.graph
    users, items = (np.empty((size, 0), np.float32) for size in (graph.num_users, graph.num_items))
    return Branch(facts, users, items, neighbours=neighbours)


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


FITS: dict[str, Callable[[Any, Spectra, float], Branch]] = {
    "filter": fit_filter,
    "popularity": fit_popularity,
    "two-hop": fit_two_hop,
}
"""By kind: ``(spec, spectra, history_power) -> Branch``."""
