"""How the memory that one fit takes compares with what was counted for it, in a process that has fitted nothing yet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress

from random_graph import random_graph

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import _RUNTIME_BYTES, needed_bytes
from gnas_search.memory import peak_bytes, resident_bytes
from gnas_search.specs import BlendSpec, ModelSpec, read_spec
from gnas_search.trainer import Trainer

# Of an epoch of 32 and more: each takes what the one before has freed, so that the most is held early.
_BATCHES = 12


class _EnoughError(Exception):
    pass


def _fit(spec: ModelSpec, graph: InteractionGraph) -> None:
    assert not isinstance(spec, BlendSpec)
    if isinstance(spec, ArchitectureSpec):
        left = iter(range(_BATCHES - 1, -1, -1))

        def on_batch() -> None:
            if next(left) == 0:
                raise _EnoughError

        with suppress(_EnoughError):
            Trainer(spec, graph, seed=0, device="cpu").advance(1, on_batch=on_batch)
    else:
        fit_closed_form(spec, graph, seed=0)


def main(arguments: Sequence[str]) -> None:
    """Print what share of the counted bytes a fit takes: of a model as JSON, and of users, items, items per user."""
    spec = read_spec(json.loads(arguments[0]))
    users, items, per_user = map(int, arguments[1:])
    _fit(spec, random_graph(700, 700, per_user=300))  # compiles, also for many threads
    large = random_graph(users, items, per_user=per_user)
    before = resident_bytes()
    _fit(spec, large)
    print((peak_bytes() - before) / (needed_bytes(spec, large) - _RUNTIME_BYTES))
