"""Bodies: the layers of a network and their combination, and the one form of all that compute the same."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from gnas_search.cells import MAX_NODES, canonical_cell
from gnas_search.graph_spec import PLAIN, GraphSpec
from gnas_search.layer_spec import NORMALISING_OPERATORS, LayerSpec
from gnas_search.polynomials import (
    ONE,
    POLYNOMIALS,
    Factors,
    Polynomial,
    multiplied,
    network_polynomial,
    networks,
    without_scale,
)

MAX_LAYERS = 4
SUMMED = ("last", "mean", "sum")
"""Combinations of which a network without weights is one polynomial."""
_RANK = {"mean": 0, "last": 1, "sum": 2}
SKIP = LayerSpec.of("skip")


@dataclass(frozen=True)
class Setting:
    """What of the rest of a network decides which bodies are equal.

    Attributes
    ----------
    any_scale
        Whether a multiple of all vectors makes the same model: under cosine, and where the loss normalises.
    repeats_idle
        Whether vectors that repeat themselves side by side are as good as once.
    noisy
        Whether training adds something to the output of each layer.
    """

    any_scale: bool = False
    repeats_idle: bool = False
    noisy: bool = False


@dataclass(frozen=True)
class Body:
    """Layers and their combination, as an ``ArchitectureSpec`` has them."""

    layers: tuple[LayerSpec, ...]
    combination: str
    include_input: bool

    @property
    def polynomial(self) -> Polynomial | None:
        """The polynomial of the adjacency that the whole is; None where it is none, or its parts are not added up."""
        found = [layer.polynomial for layer in self.layers]
        if self.combination not in SUMMED or None in found:
            return None
        return network_polynomial([one for one in found if one is not None], self.combination, self.include_input)


EMPTY = Body((), "last", include_input=True)


def canonical_body(body: Body, setting: Setting) -> Body:
    """Give the one form of all bodies that compute the same vectors in training and after it.

    Parameters
    ----------
    body
        Its layers canonical.
    setting
        Of the network.
    """
    if not body.layers:
        return EMPTY
    if not setting.noisy:
        body = _without_skips(body, setting)
    if body == EMPTY:
        return body
    if body.combination == "last" or (len(body.layers) == 1 and not body.include_input):
        body = replace(body, combination="last", include_input=False)
    if not setting.noisy:
        whole = body.polynomial
        if whole is not None:
            return _cheapest(without_scale(whole) if setting.any_scale else whole, setting.any_scale)
        if body.combination == "last":
            return replace(body, layers=_merged(body.layers, setting))
    if body.combination == "sum" and setting.any_scale:
        return replace(body, combination="mean")
    return body


def _without_skips(body: Body, setting: Setting) -> Body:
    """Leave out plain skips that only repeat a part, where repeating it changes nothing."""
    layers, combination = body.layers, body.combination
    alike = combination in ("attention", "max") or (combination == "concat" and setting.repeats_idle)
    if alike and all(layer == SKIP for layer in layers):
        return EMPTY
    if combination != "last" and not body.include_input and len(layers) > 1 and layers[0] == SKIP:
        body = replace(body, layers=layers[1:], include_input=True)
    if combination == "max":
        body = replace(body, layers=tuple(layer for layer in body.layers if layer != SKIP))
    return body


def runs(layers: Sequence[LayerSpec]) -> tuple[list[Polynomial], list[LayerSpec]]:
    """Divide layers into products of polynomials, and the layers that are more between them."""
    found, others = [ONE], []
    for layer in layers:
        if layer.polynomial is None:
            others.append(layer)
            found.append(ONE)
        else:
            found[-1] = multiplied(found[-1], layer.polynomial)
    return found, others


def _merged(layers: Sequence[LayerSpec], setting: Setting) -> tuple[LayerSpec, ...]:
    """Write the products of polynomials between other layers plainly, where that makes no network too deep."""
    found, others = runs(layers)
    if setting.any_scale:
        found[-1] = without_scale(found[-1])
    for few_layers in (False, True):
        merged: list[LayerSpec] = []
        for place, run in enumerate(found):
            last = place == len(others)
            merged += _cheapest_product(run, last and setting.any_scale, few_layers)
            merged += others[place : place + 1]
        if len(merged) <= MAX_LAYERS:
            break
    return tuple(merged)


class PolynomialLayers:
    """Layers that are polynomials of the adjacency, and the networks that can be made of them.

    Parameters
    ----------
    layers
        Of several that are the same polynomial the first counts.
    """

    def __init__(self, layers: Iterable[LayerSpec]) -> None:
        self._layers: dict[Polynomial, LayerSpec] = {}
        for layer in layers:
            one = layer.polynomial
            if one is not None:
                self._layers.setdefault(one, layer)
        self._factors = Factors(self._layers)

    def networks(
        self, whole: Polynomial, count: int, combination: str, include_input: bool, *, any_scale: bool
    ) -> Iterator[tuple[LayerSpec, ...]]:
        """Find so many layers that compute a polynomial, as :func:`gnas_search.polynomials.networks`."""
        for found in networks(whole, count, combination, include_input, self._factors, any_scale=any_scale):
            yield tuple(self._layers[one] for one in found)


@cache
def _simplest_layers() -> PolynomialLayers:
    """Give for every polynomial that a layer can be the simplest such layer, simple ones first."""
    cells = {
        canonical_cell(tuple(zip(operators, sources, strict=True)))
        for count in range(1, MAX_NODES + 1)
        for operators in product(POLYNOMIALS, repeat=count)
        for sources in product(*(range(place) for place in range(1, count + 1)))
    }
    every = [LayerSpec(nodes, residual=residual) for nodes in cells for residual in (False, True)]
    return PolynomialLayers(sorted(every, key=_cost))


def _cost(layer: LayerSpec) -> tuple[int, int, int, str]:
    return int(layer.residual), int(len(layer.nodes) > 1), len(layer.nodes), str(layer.nodes)


def _total_cost(layers: Iterable[LayerSpec]) -> tuple[int, int, int, int]:
    costs = [_cost(layer) for layer in layers]
    return sum(c[0] for c in costs), sum(c[1] for c in costs), sum(c[2] for c in costs), len(costs)


@cache
def _cheapest(whole: Polynomial, any_scale: bool) -> Body:
    """Find the simplest body of a polynomial: few residuals, plain cells, few operators, few layers."""
    if len(whole) == 1 and (any_scale or whole == ONE):
        return EMPTY
    best: tuple[tuple[object, ...], Body, tuple[int, ...]] | None = None
    for count, combination, include_input in product(range(1, MAX_LAYERS + 1), _RANK, (False, True)):
        if best is not None and best[2][:2] == (0, 0) and count > best[2][2]:
            break  # no more layers are as plain and have fewer operators
        alone = combination == "last" or (count == 1 and not include_input)
        if (alone and (combination != "last" or include_input)) or (combination == "sum" and any_scale):
            continue
        for layers in _simplest_layers().networks(whole, count, combination, include_input, any_scale=any_scale):
            cost = (*_total_cost(layers), _RANK[combination], include_input, str(layers))
            if best is None or cost < best[0]:
                best = cost, Body(layers, combination, include_input), _total_cost(layers)
    if best is None:
        raise ValueError(f"no network computes {whole}")
    return best[1]


@cache
def _cheapest_product(whole: Polynomial, any_scale: bool, few_layers: bool) -> tuple[LayerSpec, ...]:
    if whole == ONE:
        return ()
    ways: list[tuple[LayerSpec, ...]] = []
    for count in range(1, MAX_LAYERS + 1):
        best = min(map(_total_cost, ways), default=(1, 1, 0, 0))
        if not (ways and few_layers) and (best[:2] != (0, 0) or count <= best[2]):
            ways += _simplest_layers().networks(whole, count, "last", False, any_scale=any_scale)
    return min(ways, key=lambda layers: (*_total_cost(layers), str(layers)))


def canonical_graph(body: Body, graph: GraphSpec, edges: str, init: str) -> tuple[GraphSpec, str]:
    """Give the graph and the edges the one form of all that are equal to them for a canonical body.

    Parameters
    ----------
    body
        What passes messages along them.
    graph, edges, init
        As of an :class:`~gnas_search.architecture.ArchitectureSpec`.
    """
    graph = graph.canonical()
    if not body.layers:  # what an SVD is of matters nevertheless
        if init != "svd":
            return PLAIN, "target"
        graph = replace(graph, cooccurrence=0)
    if graph.event_weight == 0.0:
        edges = "target"
    if edges == "target":
        graph = replace(graph, event_weight=1.0)
    if not any(operator in NORMALISING_OPERATORS for layer in body.layers for operator in layer.operators):
        graph = replace(graph, edge_weights="symmetric")
    return graph, edges
