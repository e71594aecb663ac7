"""The genes of a network's layers: each stands once in a space file and once per layer in a point."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from optuna.distributions import CategoricalDistribution, IntDistribution

from gnas_search.layer_spec import AUTO, MAX_NODES, LayerSpec, Node
from gnas_search.space.genes import Gene, Value, choices
from gnas_serve.errors import ConfigError

OPERATOR = "operator"
NUM_NODES = "num_nodes"
EXTRAS = ("activation", "normalisation", "dropout", "residual")
NAMES = (OPERATOR, NUM_NODES, *EXTRAS)


def per_layer(name: str, gene: Gene, most_layers: int, most_nodes: int) -> dict[str, Gene]:
    """Repeat a gene for every layer, and an operator for every node of its cell.

    Parameters
    ----------
    name
        One of :data:`NAMES`.
    gene
        As the file has it.
    most_layers, most_nodes
        Of the deepest network, and of the largest cell.
    """
    genes: dict[str, Gene] = {}
    for layer in range(most_layers):
        if name != OPERATOR:
            genes[f"layer.{layer}.{name}"] = gene
            continue
        genes[f"layer.{layer}"] = gene
        for node in range(2, most_nodes + 1):
            genes[f"layer.{layer}.node.{node}"] = gene
    return genes


def sources(most_layers: int, most_nodes: int) -> dict[str, Gene]:
    """Give the genes that say which node each further node of a cell reads."""
    return {
        f"layer.{layer}.source.{node}": IntDistribution(0, node - 1)
        for layer in range(most_layers)
        for node in range(2, most_nodes + 1)
    }


def file_name(gene: str) -> str | None:
    """Give the name that a gene of a layer has in a file; None for sources, which follow from ``num_nodes``."""
    parts = gene.split(".")[2:]
    if parts[:1] == ["source"]:
        return None
    return parts[0] if parts and parts[0] in NAMES else OPERATOR


def checked(name: str, value: object) -> Any:
    """Give the value of a layer's gene in the type of its field.

    Raises
    ------
    ConfigError
        If it is out of range.
    """
    if name == NUM_NODES:
        if type(value) is not int or not 1 <= value <= MAX_NODES:
            raise ConfigError(f"{value!r} is no number of nodes", hint=f"use 1 to {MAX_NODES}")
        return value
    if name == OPERATOR:
        return LayerSpec.from_json({OPERATOR: value}).operators[0]
    return getattr(LayerSpec.from_json({OPERATOR: "skip", name: value}), name)


def decode(point: Mapping[str, Any], layer: int) -> LayerSpec:
    """Read one layer of a point: its own genes before what is fixed for all."""

    def own(suffix: str, otherwise: object) -> Any:
        return point.get(f"layer.{layer}{suffix}", otherwise)

    count = own(f".{NUM_NODES}", point.get(NUM_NODES, 1))
    every = point.get(OPERATOR)
    nodes: list[Node] = [(own("", every), 0)]
    nodes += [(own(f".node.{node}", every), own(f".source.{node}", 0)) for node in range(2, count + 1)]
    extras = {name: own(f".{name}", point.get(name)) for name in EXTRAS}
    return LayerSpec(tuple(nodes), **{name: value for name, value in extras.items() if value is not None})


def read_start(raw: object, fixed: Mapping[str, Value]) -> LayerSpec:
    """Read a layer of a start, which has the extras that are fixed for all unless it says otherwise."""
    said = {OPERATOR: raw} if isinstance(raw, str) else raw
    settled = {name: fixed[name] for name in EXTRAS if name in fixed}
    return LayerSpec.from_json({**settled, **said} if isinstance(said, dict) else said)


def encode(spec: LayerSpec, layer: int, genes: Mapping[str, Gene]) -> dict[str, Value]:
    """Give the genes of a layer that read as ``spec``, where there are such."""
    where = f"layer.{layer}"
    point: dict[str, Value] = {where: spec.nodes[0][0], f"{where}.{NUM_NODES}": len(spec.nodes)}
    for number, (operator, source) in enumerate(spec.nodes[1:], start=2):
        point |= {f"{where}.node.{number}": operator, f"{where}.source.{number}": source}
    point |= {f"{where}.{name}": getattr(spec, name) for name in EXTRAS}
    activation = genes.get(f"{where}.activation")
    if isinstance(activation, CategoricalDistribution) and spec.activation not in activation.choices:
        point[f"{where}.activation"] = spec.resolved_activation if spec.activation == AUTO else AUTO
    return point


def count(genes: Mapping[str, Gene], fixed: Mapping[str, Value], *without: str) -> int:
    """Count the distinct layers that have none of some operators."""
    found: dict[tuple[Node, ...], LayerSpec] = {}
    for nodes in _cells(genes, fixed):
        canonical = LayerSpec.of(LayerSpec(nodes).canonical())
        found[canonical.nodes] = canonical
    activations = _values(genes, fixed, "activation", AUTO)
    others = 1
    for name in ("normalisation", "dropout", "residual"):
        others *= len(_values(genes, fixed, name, None))
    total = 0
    for nodes, cell in found.items():
        if not set(cell.operators) & set(without):
            total += others * len({LayerSpec(nodes, activation).resolved_activation for activation in activations})
    return total


def _cells(genes: Mapping[str, Gene], fixed: Mapping[str, Value]) -> Iterator[tuple[Node, ...]]:
    operators = choices(genes.get("layer.0"), fixed.get(OPERATOR))
    for size in _values(genes, fixed, NUM_NODES, 1):
        for drawn in product(operators, repeat=size):
            for read in product(*(range(node) for node in range(1, size + 1))):
                yield tuple(zip(drawn, read, strict=True))


def _values(genes: Mapping[str, Gene], fixed: Mapping[str, Value], name: str, otherwise: object) -> tuple[Any, ...]:
    return choices(genes.get(f"layer.0.{name}"), fixed.get(name, otherwise))
