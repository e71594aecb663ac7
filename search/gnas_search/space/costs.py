"""What a model will take to serve, counted before it is fitted."""

from __future__ import annotations

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.links import LINK_BYTES, links_bytes
from gnas_search.model import count_parameters
from gnas_search.specs import BlendSpec, BranchSpec, ModelSpec

_SCALE = 4  # bytes of a row's scale, one per branch
_LINK = 6  # bytes: the item, and its weight in float16
_OFFSET = 8  # bytes per item, of where its links begin


def num_parameters(spec: ModelSpec, graph: InteractionGraph) -> int:
    """Count the numbers that training adjusts, of a blend in its branches; 0 for closed forms."""
    if isinstance(spec, BlendSpec):
        return sum(num_parameters(share.spec, graph) for share in spec.shares)
    if not isinstance(spec, ArchitectureSpec):
        return 0
    weights = count_parameters(spec.canonical(), graph.num_users + graph.num_items)
    if not spec.features:
        return weights
    tables = [table for table in (graph.user_features, graph.item_features) if table is not None]
    return weights + spec.embedding_dim * sum(len(table.names) for table in tables)


def artifact_bytes(spec: ModelSpec, graph: InteractionGraph) -> int:
    """Count what the tables of an artifact take: vectors in int8 with a scale per row and branch, links in float16.

    Of networks and graph filters these are the very bytes that export writes, unless int8 finds less than its recall
    limit (``table_recall`` of the profile) and it writes wider ones. Of two-hop models it is an upper bound: links that
    several users make are counted for each, and none is pruned. Ids, histories, the index and a ranker come on top.

    Parameters
    ----------
    spec
        Any model; a blend has the columns of its branches side by side, or of what it is compressed into.
    graph
        For its numbers of users and items, and of a two-hop model its links.
    """
    rows = graph.num_users + graph.num_items
    if isinstance(spec, BlendSpec):
        if spec.dims is not None:
            return rows * (min(spec.dims, graph.num_users, graph.num_items) + _SCALE)
        return sum(_branch_bytes(share.spec, graph) for share in spec.shares)
    prior = rows * (1 + _SCALE) if isinstance(spec, TwoHopSpec) else 0  # of two hops alone: popularity beside them
    return _branch_bytes(spec, graph) + prior


def _branch_bytes(spec: BranchSpec, graph: InteractionGraph) -> int:
    if isinstance(spec, TwoHopSpec):
        interactions = graph.pattern(spec.edges)
        links = links_bytes(interactions, spec.neighbours)[0] // LINK_BYTES
        return links * _LINK + (graph.num_items + 1) * _OFFSET
    width = 1  # of popularity
    if isinstance(spec, ArchitectureSpec):
        width = spec.width
    elif isinstance(spec, FilterSpec):
        width = min(spec.rank, graph.num_users, graph.num_items)
    return (graph.num_users + graph.num_items) * (width + _SCALE)
