"""The memory that a supernet takes, and the refusal of one that would not fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.footprint import network_bytes
from gnas_search.layer_spec import LayerSpec
from gnas_search.memory import available_bytes
from gnas_search.memory_check import TOO_LARGE
from gnas_search.space.encoder import NUM_LAYERS
from gnas_search.supernet.choices import COMBINATION, SCORER, Choices
from gnas_search.trainer import default_device
from gnas_serve.errors import ConfigError

_KEPT_WEIGHTS = 4 * 4
"""Bytes of each weight: itself, its gradient and both moments."""
SCORES = 1 << 23
"""Scores of held-out items that a step of a mixture's shares is made of, at most."""
_LARGEST = 4
"""Square matrices of the operator, combination or scorer that has most."""


def path_bytes(choices: Choices, graph: InteractionGraph) -> int:
    """Count what the training of single paths takes: the most of any path, and the weights of all."""
    most = 0
    for operator in _operators(choices):
        for combination in choices.options(COMBINATION):
            for scorer in choices.options(SCORER):
                one = replace(_uniform(choices, operator), combination=combination, scorer=scorer)
                if choices.covers(one):
                    most = max(most, network_bytes(one, graph))
    return most + _weight_bytes(choices)


def mixed_bytes(choices: Choices, graph: InteractionGraph) -> int:
    """Count what the training of a mixture takes: what each choice takes beside the rest, added up.

    A layer without weights is no polynomial there: it is counted under a combination that makes it none.
    """
    plain = network_bytes(replace(choices.any_path.spec, layers=()), graph)
    total = plain + _weight_bytes(choices) + 4 * 4 * min(SCORES, graph.num_users * graph.num_items)
    depths, combinations = choices.options(NUM_LAYERS), choices.options(COMBINATION)
    deepest = {name: replace(_uniform(choices, name), combination="max") for name in _operators(choices)}
    total += sum(network_bytes(spec, graph) - plain for spec in deepest.values())
    base = min(deepest.values(), key=lambda spec: network_bytes(spec, graph))
    for depth in depths:
        for combination in combinations:
            one = replace(base, layers=base.layers[:depth], combination=combination)
            last = replace(one, combination="last")
            total += max(0, network_bytes(one, graph) - network_bytes(last, graph))
    return total


def refuse_above(needed: int) -> None:
    """Refuse a supernet before anything is allocated for it.

    Raises
    ------
    ConfigError
        With code :data:`~gnas_search.footprint.TOO_LARGE`, if there is not so much memory where it is trained.
    """
    available = available_bytes(default_device())
    if available is not None and needed > available:
        gib = 1 << 30
        raise ConfigError(
            f"the supernet needs about {needed / gib:.1f} GiB of memory; {available / gib:.1f} GiB are available",
            hint="list fewer operators or layers, choose another strategy, or give the process more memory",
            code=TOO_LARGE,
        )


def _operators(choices: Choices) -> set[str]:
    return {name for number in range(choices.depth) for name in choices.operators(number, 1)}


def _uniform(choices: Choices, operator: str) -> ArchitectureSpec:
    """Give the deepest network of one operator in its largest cells: none takes more than the one of its worst."""
    sizes = [choices.nodes(number) for number in range(choices.depth)]
    layers = (LayerSpec(((operator, 0),) * size) for size in sizes)
    return replace(choices.any_path.spec, layers=tuple(layers), include_input=True)


def _weight_bytes(choices: Choices) -> int:
    places: Iterator[tuple[int, int]] = (
        (number, node) for number in range(choices.depth) for node in range(1, choices.nodes(number) + 1)
    )
    count = sum(len(choices.operators(*place)) for place in places)
    count += len(choices.options(COMBINATION)) + len(choices.options(SCORER))
    return count * _LARGEST * choices.any_path.spec.embedding_dim**2 * _KEPT_WEIGHTS
