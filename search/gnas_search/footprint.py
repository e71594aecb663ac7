"""Footprint: the memory that a fit takes, from counts alone."""

from __future__ import annotations

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.closed_form.spectra import decomposed_bytes
from gnas_search.construction import construction_bytes, edge_counts
from gnas_search.data.dataset import InteractionGraph
from gnas_search.layer_spec import ATTENTION_OPERATORS
from gnas_search.links import links_bytes
from gnas_search.model import is_polynomial
from gnas_search.node_input import feature_bytes
from gnas_search.objective import users_per_batch
from gnas_search.objective.contrast import HELD_BYTES
from gnas_search.objective.uniformity import MOST
from gnas_search.specs import BlendSpec, BranchSpec, ModelSpec
from gnas_search.spectral import OVERSAMPLING
from gnas_search.trainer import default_device

_FLOAT = 4  # bytes
_RUNTIME_BYTES = 150 << 20  # compiled kernels, the optimiser's code, stacks of threads


def needed_bytes(spec: BranchSpec, graph: InteractionGraph) -> int:
    """Count the memory that a fit takes on top of what the process holds now, the graph included.

    Popularity takes little beside the graph itself, and counts as nothing.
    """
    if isinstance(spec, ArchitectureSpec):
        return network_bytes(spec, graph)
    if isinstance(spec, FilterSpec):
        return filter_bytes(spec, graph)
    return two_hop_bytes(spec, graph) if isinstance(spec, TwoHopSpec) else 0


def host_bytes(spec: BranchSpec, graph: InteractionGraph, *, held: int = 0) -> int:
    """Count what a fit takes of the machine's own memory: nothing where it trains on a CUDA device.

    Parameters
    ----------
    spec, graph
        Of the fit.
    held
        So many copies of a network's embeddings are held beside its training.
    """
    return 0 if on_device(spec) else needed_bytes(spec, graph) + held_bytes(spec, graph, held)


def held_bytes(spec: BranchSpec, graph: InteractionGraph, held: int) -> int:
    """Count so many copies of a network's embeddings; a closed form has none."""
    if not isinstance(spec, ArchitectureSpec):
        return 0
    return held * (graph.num_users + graph.num_items) * spec.embedding_dim * _FLOAT


def filter_bytes(spec: FilterSpec, graph: InteractionGraph) -> int:
    """Count what the decomposition and the vectors of a graph filter take."""
    rank = min(spec.rank, graph.num_users, graph.num_items)
    vectors = (graph.num_users + 2 * graph.num_items) * rank * _FLOAT
    return int(_RUNTIME_BYTES + max(decomposed_bytes(graph.num_users, graph.num_items, spec.rank), vectors))


def two_hop_bytes(spec: TwoHopSpec, graph: InteractionGraph) -> int:
    """Count what finding the links of a two-hop model takes; those kept per target are turned at the end."""
    links, peak = links_bytes(graph.pattern(spec.edges), spec.neighbours)
    return _RUNTIME_BYTES + peak + (links if spec.kept_per == "target" else 0)


def network_bytes(spec: ArchitectureSpec, graph: InteractionGraph) -> int:
    """Count what the training of a network takes."""
    spec = spec.canonical()
    edges, links = edge_counts(spec, graph)
    entries = 2 * edges + links
    building = construction_bytes(spec, graph)
    vectors = (graph.num_users + graph.num_items) * spec.embedding_dim * _FLOAT
    item_vectors = graph.num_items * spec.embedding_dim * _FLOAT
    adjacency = entries * 2 * _FLOAT  # columns and values, both directions
    if building:
        adjacency += entries * 3 * _FLOAT  # weights, their logarithms, and the weighted interactions and links
    if spec.graph.edge_weights == "uniform":
        adjacency += entries * _FLOAT  # values of the transpose
    if is_polynomial(spec):
        # Embeddings, both moments, their gradient and initial values; the refined vectors, the last message and its
        # rounded copy; the gradient of the refined vectors and of its parts.
        held, scored_parts = 5 + 3 + 2, 1
    else:
        adjacency *= 2  # transposed, and the order of its entries
        views, scored_parts = 3 if spec.contrast_weight else 1, spec.parts
        held = 4 + views * _refined_vectors(spec)
        # Attention keeps weights and slopes of each edge and their gradients, per head; and, of all layers together,
        # the edges' rows in 64 bits, both orders, and the steps from one gradient to the next.
        attending = sum(operator in ATTENTION_OPERATORS for operator in spec.operators)
        kept = 5 + 2 * (spec.heads * views - 1)
        adjacency += entries * (kept * attending + 10 * (attending > 0)) * _FLOAT
    if spec.edge_dropout:
        adjacency *= 2
    features = 0
    if spec.features:
        held += 3  # what they add, the sum, and its gradient
        features = 2 * feature_bytes(graph)  # as the data has them and scaled
    users = users_per_batch(graph.num_users, spec.batch_size)
    positives = graph.positives.nnz * users // max(1, graph.num_users)
    passed = 2 if spec.adversarial_weight else 1
    compared = {
        "softmax": graph.num_items,
        "sampled_softmax": min(spec.num_negatives, graph.num_items),
        "in_batch": min(positives, graph.num_items),
    }
    exponentials = min(2 * HELD_BYTES, 2 * users * compared.get(spec.loss, 0) * _FLOAT)
    if spec.contrast_weight or spec.loss == "alignment_uniformity":
        most = min(MOST, max(users, min(positives, graph.num_items)))
        exponentials += 7 * most**2 * _FLOAT
    batch = passed * (6 * users * spec.width * _FLOAT + positives * 40)
    scored = (6 * passed + _SCORED[spec.scorer]) * scored_parts * item_vectors
    training = adjacency + held * vectors + features + scored + exponentials + batch
    return int(_RUNTIME_BYTES + max(training, building))


_SCORED = {"bilinear": 1, "cosine": 0, "dot": 0, "mlp": 4}
"""Arrays as large as the items' vectors that a scorer adds to those of every loss."""

_KEPT = {"gatv2": 11, "gin": 14, "ngcf": 14, "sage_max": 20}
"""Arrays as large as the embeddings that a node of a cell keeps for its gradient, or makes on its way; others 7."""


def _refined_vectors(spec: ArchitectureSpec) -> int:
    """Count the arrays as large as the embeddings that the layers and their combination take."""
    held = 4 if not spec.layers else 0
    for layer in spec.layer_specs:
        held += sum(_KEPT.get(operator, 7) for operator in layer.operators) + len(layer.leaves) - 1
        held += 3 * (layer.normalisation != "none") + 3 * (layer.dropout > 0) + layer.residual
    per_part = {"attention": 6, "concat": 2, "max": 5}
    return held + max(2, per_part.get(spec.combination, 0) * spec.parts)


def checkpoint_bytes(spec: ModelSpec, graph: InteractionGraph) -> int:
    """Count the memory that both fits of a checkpoint take.

    While the last part is fitted, all other vectors and links are there: those of the selection fits, and of the
    second fits of the other parts. A blend is then assembled of weighted copies, side by side to be scored, and, where
    it is compressed, decomposed.

    Parameters
    ----------
    spec
        Any model.
    graph
        The larger one, of the final fit.
    """
    parts = parts_of(spec)
    kept = sum(_kept_bytes(part, graph) for part in parts)
    # What a part keeps is within what its fit takes. On a CUDA device a network takes none of the machine's memory.
    fitted = [part for part in parts if not on_device(part)]
    fitting = 2 * kept + max([0, *(needed_bytes(part, graph) - _kept_bytes(part, graph) for part in fitted)])
    if not isinstance(spec, BlendSpec):
        return fitting
    joining = 6 * kept  # the parts and their copies, of both fits; side by side; and the items' once more to score by
    if spec.dims is not None:
        width = min(spec.dims + OVERSAMPLING, graph.num_users, graph.num_items)
        joining += 6 * (graph.num_users + graph.num_items) * width * _FLOAT
    return max(fitting, _RUNTIME_BYTES + joining)


def parts_of(spec: ModelSpec) -> list[BranchSpec]:
    """List the models of a blend; any other is its own only part."""
    return [share.spec for share in spec.shares] if isinstance(spec, BlendSpec) else [spec]


def _kept_bytes(spec: BranchSpec, graph: InteractionGraph) -> int:
    """Count what is left of a fit: vectors and links."""
    if isinstance(spec, TwoHopSpec):
        return links_bytes(graph.pattern(spec.edges), spec.neighbours)[0]
    width = 1  # of popularity
    if isinstance(spec, FilterSpec):
        width = min(spec.rank, graph.num_users, graph.num_items)
    elif isinstance(spec, ArchitectureSpec):
        width = spec.width
    return (graph.num_users + graph.num_items) * width * _FLOAT


def on_device(spec: BranchSpec) -> bool:
    """Tell whether a model is trained on a CUDA device."""
    return isinstance(spec, ArchitectureSpec) and default_device().type == "cuda"
