"""Construction: from the interactions of a fit to the weighted graph that messages pass along."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.graph_spec import PLAIN, GraphSpec
from gnas_search.links import LINK_BYTES, links_bytes, strongest_links
from gnas_search.operators.pattern import CsrPattern
from gnas_serve.errors import ConfigError, unknown_name

Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_MOST_HALF_LIVES = np.float32(50.0)
"""Beyond them an interaction weighs no less: products of two degrees of edges that weigh 2^-130 leave float32. The
final fit may be many times as long as the selection fit, whose span ages are counted in."""


@dataclass(frozen=True)
class Construction:
    """The weighted graph of a network.

    Attributes
    ----------
    interactions : (U, I) CSR float32, int32 indices, sorted
        Edges between users and items; weights are above 0, those of the target event alone 1 unless they age.
    links : (I, I) CSR float32, symmetric, or None
        Edges between items.
    """

    interactions: sp.csr_matrix
    links: sp.csr_matrix | None


def constructed(spec: ArchitectureSpec, graph: InteractionGraph) -> Construction:
    """Build the graph that a spec describes.

    Raises
    ------
    ConfigError
        If the spec names an event that the data does not have, or ages where it has no timestamps.
    """
    pattern = graph.pattern(spec.edges)
    asked = spec.graph
    if asked == replace(PLAIN, edge_weights=asked.edge_weights):
        return Construction(pattern, None)
    _check(asked, graph)
    weights, ages = _weights(spec, graph)
    kept = _keep(pattern, weights, weights > 0.0)
    links = item_links(kept, asked.cooccurrence) if asked.cooccurrence else None
    if asked.max_degree:
        kept = _keep(pattern, weights, _first(pattern, weights > 0.0, ages, asked.max_degree))
    return Construction(kept, links)


def edge_counts(spec: ArchitectureSpec, graph: InteractionGraph) -> tuple[int, int]:
    """Count, without building it, the edges between users and items and the entries of the links between items.

    Upper bounds: events that weigh nothing are counted, and an item's links as those of both its ends.
    """
    pattern = graph.pattern(spec.edges)
    links, _ = links_bytes(pattern, spec.graph.cooccurrence) if spec.graph.cooccurrence else (0, 0)
    lengths = np.diff(pattern.indptr)
    kept = np.minimum(lengths, spec.graph.max_degree) if spec.graph.max_degree else lengths
    return int(kept.sum()), 2 * links // LINK_BYTES


def construction_bytes(spec: ArchitectureSpec, graph: InteractionGraph) -> int:
    """Count what building the graph takes at its peak: nothing where the interactions are taken as they are."""
    if spec.graph == replace(PLAIN, edge_weights=spec.graph.edge_weights):
        return 0
    pattern = graph.pattern(spec.edges)
    entries = pattern.nnz if graph.log is None or graph.log.places is None else len(graph.log.places)
    # Weights and ages of each entry and edge, and of pruning the order, ranks and places of each edge.
    weighing = 24 * entries + (16 + 48 * (spec.graph.max_degree > 0)) * pattern.nnz
    if not spec.graph.cooccurrence:
        return int(weighing)
    links, peak = links_bytes(pattern, spec.graph.cooccurrence)
    return int(weighing + peak + 4 * links)  # the links, turned, and their union


def item_links(interactions: sp.csr_matrix, neighbours: int) -> sp.csr_matrix:
    """Link each item to those whose users are the most like its own, by the cosine of their indicators.

    Parameters
    ----------
    interactions : (U, I) CSR
        Only the pattern counts.
    neighbours
        Links per item; a link of either end is one of both, so that an item may have more.

    Returns
    -------
    (I, I) CSR float32, symmetric, sorted, 0 on the diagonal
    """
    num_users, num_items = interactions.shape
    users = CsrPattern(interactions.indptr, interactions.indices, num_items)
    scale = np.maximum(np.bincount(interactions.indices, minlength=num_items), 1) ** -0.5
    links = strongest_links(users, np.ones(num_users), scale, scale, neighbours)
    symmetric = sp.csr_matrix(links.maximum(links.T))
    symmetric.sort_indices()
    return symmetric


def _check(asked: GraphSpec, graph: InteractionGraph) -> None:
    log = graph.log
    others = () if log is None else log.others
    for event, _ in asked.named_weights:
        if event not in others:
            raise unknown_name("event_weight of event", event, others)
    if asked.half_life and (log is None or log.ages is None):
        raise ConfigError(
            f"half_life: {asked.half_life} where interactions have no timestamps that differ",
            hint="leave half_life out, or name their column with --timestamp-column",
        )


def _weights(spec: ArchitectureSpec, graph: InteractionGraph) -> tuple[Floats, Floats | None]:
    """Give each edge the largest weight of its entries in the log, and the least age of those that weigh anything."""
    pattern, log = graph.pattern(spec.edges), graph.log
    if log is None:
        return np.ones(pattern.nnz, np.float32), None
    if spec.edges == "target":
        log = log.of_target()
    weights = np.ones(pattern.nnz, np.float32)
    if log.codes is not None:
        by_code = np.array([1.0, *(spec.graph.weight_of(event) for event in log.others)], np.float32)
        weights = by_code[log.codes]
    ages = log.ages
    if ages is not None:
        counted = weights > 0.0
        if spec.graph.half_life:
            counting = np.clip(ages, 0.0, log.oldest) / np.float32(spec.graph.half_life)
            weights = weights * np.exp2(-np.minimum(counting, _MOST_HALF_LIVES))
        ages = np.where(counted, ages, np.float32(np.inf))
    if log.places is None:
        return weights, ages
    starts = np.flatnonzero(np.diff(log.places, prepend=-1))
    if not len(starts):
        return weights, ages
    return np.maximum.reduceat(weights, starts), None if ages is None else np.minimum.reduceat(ages, starts)


def _first(pattern: sp.csr_matrix, kept: Mask, ages: Floats | None, most: int) -> Mask:
    """Keep of each user's edges the latest, or where none has an age those of the items with the fewest."""
    chosen = np.flatnonzero(kept)
    rows = np.repeat(np.arange(pattern.shape[0]), np.diff(pattern.indptr))[chosen]
    rarity = np.bincount(pattern.indices[chosen], minlength=pattern.shape[1])[pattern.indices[chosen]]
    first = rarity if ages is None else ages[chosen]
    order = np.lexsort((first, rows))  # stable: of equal ones the lower item
    counts = np.bincount(rows, minlength=pattern.shape[0])
    place = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]  # rows ascend in either order
    within = np.zeros(len(kept), dtype=np.bool_)
    within[chosen[order[place < most]]] = True
    return within


def _keep(pattern: sp.csr_matrix, weights: Floats, kept: Mask) -> sp.csr_matrix:
    lengths = np.concatenate([[0], np.cumsum(kept)])[pattern.indptr].astype(np.int32)
    matrix = sp.csr_matrix((weights[kept], pattern.indices[kept], lengths), shape=pattern.shape)
    matrix.has_sorted_indices = True
    return matrix
