"""The memory that a fit takes, from counts alone, and the refusal of what would not fit."""

from __future__ import annotations

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec
from gnas_search.closed_form.spectra import decomposed_bytes
from gnas_search.data.dataset import InteractionGraph
from gnas_search.memory import available_bytes
from gnas_search.model import is_polynomial
from gnas_search.objective import users_per_batch
from gnas_search.objective.contrast import HELD_BYTES
from gnas_search.specs import BranchSpec
from gnas_serve.errors import ConfigError

_FLOAT = 4  # bytes
_RUNTIME_BYTES = 150 << 20  # compiled kernels, the optimiser's code, stacks of threads


def needed_bytes(spec: BranchSpec, graph: InteractionGraph) -> int:
    """Count the memory that a fit takes on top of what the process holds now, the graph included.

    Two-hop models and popularity take little beside the graph itself, and count as nothing.
    """
    if isinstance(spec, ArchitectureSpec):
        return network_bytes(spec, graph)
    return filter_bytes(spec, graph) if isinstance(spec, FilterSpec) else 0


def filter_bytes(spec: FilterSpec, graph: InteractionGraph) -> int:
    """Count what the decomposition and the vectors of a graph filter take."""
    rank = min(spec.rank, graph.num_users, graph.num_items)
    vectors = (graph.num_users + 2 * graph.num_items) * rank * _FLOAT
    return int(_RUNTIME_BYTES + max(decomposed_bytes(graph.num_users, graph.num_items, spec.rank), vectors))


def network_bytes(spec: ArchitectureSpec, graph: InteractionGraph) -> int:
    """Count what the training of a network takes."""
    spec = spec.canonical()
    edges = graph.edges if spec.edges == "all" else graph.positives
    vectors = (graph.num_users + graph.num_items) * spec.embedding_dim * _FLOAT
    item_vectors = graph.num_items * spec.embedding_dim * _FLOAT
    adjacency = 2 * edges.nnz * 2 * _FLOAT  # columns and values, both directions
    parts = len(spec.layers) + 1 if spec.combination == "concat" else 1
    if is_polynomial(spec):
        # Embeddings, both moments, their gradient and initial values; the refined vectors, the last message and its
        # rounded copy; the gradient of the refined vectors and of its parts.
        held = 5 + 3 + 2
    else:
        adjacency *= 2  # transposed, and the order of its entries
        held = 4 + 4 * max(1, len(spec.layers)) + 2 * parts
        adjacency += sum(2 * edges.nnz * 4 * _FLOAT for name in spec.layers if name == "gat")
    compared = {"softmax": graph.num_items, "sampled_softmax": min(spec.num_negatives, graph.num_items), "bpr": 0}
    users = users_per_batch(graph.num_users, spec.batch_size)
    exponentials = min(2 * HELD_BYTES, 2 * users * compared[spec.loss] * _FLOAT)
    positives = graph.positives.nnz * users // max(1, graph.num_users)
    batch = 6 * users * parts * spec.embedding_dim * _FLOAT + positives * 40
    return int(_RUNTIME_BYTES + adjacency + held * vectors + 6 * parts * item_vectors + exponentials + batch)


def check_memory(spec: BranchSpec, graph: InteractionGraph, *, available: int | None = None) -> None:
    """Refuse a fit that would not go into memory, before anything is allocated for it.

    Parameters
    ----------
    spec, graph
        What would be fitted to what.
    available
        Bytes that may be taken; by default :func:`~gnas_search.memory.available_bytes`, a container's limit included.
        Nothing is refused where the system does not say.

    Raises
    ------
    ConfigError
        With code ``"too_large"``, naming what is needed, what there is, and what to lower.
    """
    if available is None:
        available = available_bytes()
    needed = needed_bytes(spec, graph)
    if available is None or needed <= available:
        return
    raise ConfigError(
        f"training needs about {_gib(needed)} of memory for {graph.num_users:,} users, {graph.num_items:,} items and "
        f"{graph.positives.nnz:,} interactions; {_gib(available)} are available",
        hint=f"lower {', or '.join(_levers(spec))}; or give the process more memory",
        code="too_large",
    )


def _levers(spec: BranchSpec) -> list[str]:
    """Say what makes a model smaller."""
    if not isinstance(spec, ArchitectureSpec):
        return [f"rank (now {getattr(spec, 'rank', 0)})"]
    levers = [f"embedding_dim (now {spec.embedding_dim})"]
    if spec.layers and not is_polynomial(spec):
        levers.append("the number of layers, or use lightgcn layers, which keep less")
    if spec.loss == "softmax":
        levers.append("the loss to sampled_softmax")
    return levers


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
