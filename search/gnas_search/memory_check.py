"""The refusal of what would not go into memory, and one error for all that runs out of it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from torch import OutOfMemoryError

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import checkpoint_bytes, held_bytes, needed_bytes, on_device, parts_of
from gnas_search.memory import available_bytes
from gnas_search.model import is_polynomial
from gnas_search.specs import BlendSpec, BranchSpec, ModelSpec
from gnas_search.trainer import default_device
from gnas_serve.errors import ConfigError

TOO_LARGE = "too_large"
"""Code of the error that refuses a fit, or ends one, for want of memory."""

_NO_MEMORY = "can't allocate memory"  # how torch words it on a CPU, as a RuntimeError


def check_memory(spec: BranchSpec, graph: InteractionGraph, *, available: int | None = None, held: int = 0) -> None:
    """Refuse a fit that would not go into memory, before anything is allocated for it.

    Parameters
    ----------
    spec, graph
        What would be fitted to what.
    available
        Bytes that may be taken; by default :func:`~gnas_search.memory.available_bytes` of where it is fitted, limits
        included. Nothing is refused where the system does not say.
    held
        Arrays as large as a network's embeddings that are held beside its training, in the machine's memory: what it
        begins with, or the best so far.

    Raises
    ------
    ConfigError
        With code :data:`TOO_LARGE`, naming what is needed, what there is, and what to lower.
    """
    if available is None:
        available = available_bytes(default_device() if isinstance(spec, ArchitectureSpec) else "cpu")
    needed = needed_bytes(spec, graph) + (0 if on_device(spec) else held_bytes(spec, graph, held))
    _refuse_above(available, needed, spec, graph)


def check_checkpoint_memory(spec: ModelSpec, graph: InteractionGraph, *, available: int | None = None) -> None:
    """Refuse a checkpoint whose two fits would not go into memory, before the first of them.

    Parameters
    ----------
    spec
        Any model.
    graph
        The larger one, of the final fit.
    available
        Bytes of the machine's memory that may be taken; by default as :func:`check_memory`.

    Raises
    ------
    ConfigError
        As :func:`check_memory`.
    """
    if available is None:
        available = available_bytes()
    _refuse_above(available, checkpoint_bytes(spec, graph), spec, graph)


@contextmanager
def within_memory(spec: ModelSpec, graph: InteractionGraph) -> Iterator[None]:
    """Make one error of every way in which what is done inside can run out of memory.

    Counts are of what is known beforehand, and memory is shared with other processes: it can end nevertheless.

    Parameters
    ----------
    spec, graph
        What is fitted to what.

    Raises
    ------
    ConfigError
        With code :data:`TOO_LARGE`, as :func:`check_memory`.
    """
    try:
        yield
    except MemoryError as error:
        raise _too_large("the memory did not suffice", spec, graph) from error
    except RuntimeError as error:
        if not isinstance(error, OutOfMemoryError) and _NO_MEMORY not in str(error):
            raise
        raise _too_large("the memory did not suffice", spec, graph) from error


def _refuse_above(available: int | None, needed: int, spec: ModelSpec, graph: InteractionGraph) -> None:
    if available is not None and needed > available:
        raise _too_large(f"{_gib(available)} are available", spec, graph, needed)


def _too_large(found: str, spec: ModelSpec, graph: InteractionGraph, needed: int | None = None) -> ConfigError:
    if needed is None:
        needed = max(needed_bytes(part, graph) for part in parts_of(spec))
    levers = ", ".join(_levers(spec, graph))
    return ConfigError(
        f"training needs about {_gib(needed)} of memory for {graph.num_users:,} users, {graph.num_items:,} items and "
        f"{graph.positives.nnz:,} interactions; {found}",
        hint=f"lower {levers}; or give the process more memory" if levers else "give the process more memory",
        code=TOO_LARGE,
    )


def _levers(spec: ModelSpec, graph: InteractionGraph) -> list[str]:
    """Say what makes a model smaller, of a blend its largest part."""
    if isinstance(spec, BlendSpec):
        return _levers(max(parts_of(spec), key=lambda part: needed_bytes(part, graph)), graph)
    if isinstance(spec, FilterSpec):
        return [f"rank (now {spec.rank})"]
    if isinstance(spec, TwoHopSpec):
        return [f"neighbours (now {spec.neighbours})"]
    if not isinstance(spec, ArchitectureSpec):
        return []
    levers = [f"embedding_dim (now {spec.embedding_dim})"]
    if spec.layers and not is_polynomial(spec):
        levers.append("the number of layers, or use lightgcn layers, which keep less")
    if spec.loss == "softmax":
        levers.append("the loss to sampled_softmax")
    return levers


def _gib(size_bytes: int) -> str:
    return f"{size_bytes / (1 << 30):.1f} GiB"
