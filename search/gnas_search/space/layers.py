"""The genes of a network's layers: each stands once in a space file and once per layer in a point."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from gnas_search.cells import canonical_cell
from gnas_search.layer_spec import AUTO, MAX_NODES, LayerSpec, Node
from gnas_search.polynomials import Polynomial
from gnas_search.space.counting import Alphabet
from gnas_search.space.genes import Gene, Value, choices, contains
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


def cells(genes: Mapping[str, Gene], fixed: Mapping[str, Value]) -> dict[tuple[Node, ...], tuple[Node, ...]]:
    """Give the different cells of a space, canonical, each with one that its genes can have."""
    found: dict[tuple[Node, ...], tuple[Node, ...]] = {}
    for nodes in _cells(genes, fixed):
        found.setdefault(canonical_cell(nodes), nodes)
    return found


def alphabet(
    known: Iterable[tuple[Node, ...]], genes: Mapping[str, Gene], fixed: Mapping[str, Value], without: Collection[str]
) -> Alphabet:
    """Give the different layers of a space, of its :func:`cells`, that have none of some operators."""
    activations = _values(genes, fixed, "activation", AUTO)
    others = 1
    for name in ("normalisation", "dropout", "residual"):
        others *= len(_values(genes, fixed, name, _PLAIN[name]))
    size = 0
    polynomials: set[Polynomial] = set()
    for nodes in known:
        if any(operator in without for operator, _ in nodes):
            continue
        found = {LayerSpec(nodes, activation).resolved_activation: activation for activation in activations}
        size += others * len(found)
        settings = (_values(genes, fixed, name, _PLAIN[name]) for name in ("normalisation", "dropout", "residual"))
        for activation, (normalisation, dropout, residual) in product(found.values(), product(*settings)):
            if dropout is not None:
                one = LayerSpec(nodes, activation, normalisation, dropout, residual).polynomial
                polynomials |= {one} if one is not None else set()
    return Alphabet(size, polynomials)


_PLAIN: dict[str, Any] = {"activation": AUTO, "normalisation": "none", "dropout": 0.0, "residual": False}


def available(
    wanted: Iterable[LayerSpec],
    genes: Mapping[str, Gene],
    fixed: Mapping[str, Value],
    known: Mapping[tuple[Node, ...], tuple[Node, ...]],
) -> dict[LayerSpec, LayerSpec]:
    """Give of some canonical layers those that a space has, each as its genes can say it.

    Parameters
    ----------
    wanted
        Canonical layers.
    genes, fixed
        Of the space.
    known
        From :func:`cells`.
    """
    found: dict[LayerSpec, LayerSpec] = {}
    for layer in wanted:
        said = {name: _said(genes, fixed, name, layer) for name in EXTRAS}
        if layer.nodes in known and None not in said.values():
            found[layer] = LayerSpec(known[layer.nodes], **said)
    return found


def _said(genes: Mapping[str, Gene], fixed: Mapping[str, Value], name: str, layer: LayerSpec) -> Any:
    """Give a value of a gene that says of a layer what it is; None where none does."""
    gene = genes.get(f"layer.0.{name}")
    wanted = getattr(layer, name)
    if name == "activation":
        alike = [wanted, layer.resolved_activation, AUTO]
        alike = [
            one for one in alike if replace(layer, activation=one).resolved_activation == layer.resolved_activation
        ]
    else:
        alike = [wanted]
    had = fixed.get(name, _PLAIN[name])
    return next((one for one in alike if (contains(gene, one) if gene is not None else one == had)), None)


def polynomial_layers(nodes: Iterable[tuple[Node, ...]]) -> list[LayerSpec]:
    """List the layers that are polynomials of the adjacency, of some canonical cells."""
    every = (LayerSpec(some, residual=residual) for some in nodes for residual in (False, True))
    return [layer for layer in every if layer.polynomial is not None]


def _cells(genes: Mapping[str, Gene], fixed: Mapping[str, Value]) -> Iterator[tuple[Node, ...]]:
    operators = choices(genes.get("layer.0"), fixed.get(OPERATOR))
    for size in _values(genes, fixed, NUM_NODES, 1):
        for drawn in product(operators, repeat=size):
            for read in product(*(range(node) for node in range(1, size + 1))):
                yield tuple(zip(drawn, read, strict=True))


def _values(genes: Mapping[str, Gene], fixed: Mapping[str, Value], name: str, otherwise: object) -> tuple[Any, ...]:
    gene = genes.get(f"layer.0.{name}")
    if isinstance(gene, FloatDistribution):
        return (None,)  # a range counts as one value, which is none in particular
    return choices(gene, fixed.get(name, otherwise))
