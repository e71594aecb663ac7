"""Encoder: the point of a space of networks that reads as a spec, or as its equal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import product
from typing import Any

from optuna.distributions import FloatDistribution

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bodies import Body
from gnas_search.layer_spec import LayerSpec, Node
from gnas_search.space import graphs, layers
from gnas_search.space.alternatives import bodies_like
from gnas_search.space.genes import Gene, Value, choices, contains
from gnas_serve.errors import ConfigError

NUM_LAYERS = "num_layers"
FIELDS = tuple(f.name for f in fields(ArchitectureSpec) if f.name not in ("graph", "layers"))
CONDITIONAL = (
    "adversarial_radius",
    "adversarial_weight",
    "combination",
    "contrast_noise",
    "contrast_weight",
    "edge_dropout",
    "edges",
    "epochs",
    "heads",
    "include_input",
    "init",
    "loss",
    "negatives",
    "num_negatives",
    "patience",
    "scorer",
    "temperature",
    "uniformity_weight",
)
CONTRAST = ("contrast_weight", "contrast_noise")
ADVERSARIAL = ("adversarial_weight", "adversarial_radius")
INDEPENDENT = tuple(name for name in FIELDS if name not in CONDITIONAL)


def listed(genes: Mapping[str, Gene], fixed: Mapping[str, Value], name: str) -> tuple[Any, ...]:
    """List the values of a setting of networks; a continuous one counts as one value."""
    default = graphs.default(name) if graphs.is_gene(name) else getattr(ArchitectureSpec(), name, None)
    return choices(genes.get(name), fixed.get(name, default))


@dataclass(frozen=True)
class Encoder:
    """Finds points of a space of networks: canonical specs say nothing of how a space can say them.

    Attributes
    ----------
    genes, fixed
        As :class:`gnas_search.space.network.NetworkSpace` has them.
    """

    genes: Mapping[str, Gene]
    fixed: Mapping[str, Value]

    def point(self, spec: ArchitectureSpec) -> dict[str, Any]:
        """Give the values that read as a canonical spec where the space has such, fixed ones among them."""
        point: dict[str, Any] = {name: getattr(spec, name) for name in INDEPENDENT}
        point |= {name: self._alike(spec, name) for name in CONDITIONAL}
        point |= graphs.encode(spec, self.genes)
        if point[graphs.EDGES] == graphs.TARGET and graphs.TARGET not in self._values(spec, graphs.EDGES):
            point |= graphs.of_nothing_but_target(self.genes)
        body = spec.body
        for pair in self._pairs(spec, *CONTRAST):
            noise = dict(zip(CONTRAST, pair, strict=True))
            point |= noise
            found = self._body_like(replace(spec, **noise), body)
            if found is not None:
                body = found
                break
        for pair in self._pairs(spec, *ADVERSARIAL):
            point |= dict(zip(ADVERSARIAL, pair, strict=True))
            break
        point |= {"combination": body.combination, "include_input": body.include_input, NUM_LAYERS: len(body.layers)}
        for layer, one in enumerate(body.layers):
            point |= layers.encode(one, layer, self.genes)
        return point

    def _alike(self, spec: ArchitectureSpec, name: str) -> Any:
        """Give a value of a gene with which a canonical spec is the same model."""
        tried = (value for value in self._values(spec, name) if _differs_not(spec, **{name: value}))
        return next(tried, getattr(spec, name))

    def _pairs(self, spec: ArchitectureSpec, weight: str, setting: str) -> Iterator[tuple[Any, Any]]:
        """Give the values of a weight and its setting with which a canonical spec is the same model."""
        for pair in product(self._values(spec, weight), self._values(spec, setting)):
            if _differs_not(spec, **dict(zip((weight, setting), pair, strict=True))):
                yield pair

    def _values(self, spec: ArchitectureSpec, name: str) -> tuple[Any, ...]:
        """List the values that a gene may have to say what a spec says: its own first."""
        gene, own = self.genes.get(name), getattr(spec, name)
        if isinstance(gene, FloatDistribution):
            return tuple(value for value in (own, gene.low, gene.high) if contains(gene, value))
        known = listed(self.genes, self.fixed, name)
        return tuple(sorted(known, key=lambda value: value != own))

    def _body_like(self, spec: ArchitectureSpec, wanted: Body) -> Body | None:
        sayable = self._polynomial_layers | layers.available(wanted.layers, self.genes, self.fixed, self.cells)
        counts, combinations, inputs = (
            listed(self.genes, self.fixed, name) for name in (NUM_LAYERS, "combination", "include_input")
        )
        body = next(bodies_like(wanted, counts, combinations, inputs, sayable, spec.setting), None)
        return None if body is None else replace(body, layers=tuple(sayable[layer] for layer in body.layers))

    @cached_property
    def _polynomial_layers(self) -> dict[LayerSpec, LayerSpec]:
        several = layers.polynomial_layers(self.cells)
        return layers.available(several, self.genes, self.fixed, self.cells)

    @cached_property
    def cells(self) -> dict[tuple[Node, ...], tuple[Node, ...]]:
        """The different cells of the space, each as its genes can say it."""
        return layers.cells(self.genes, self.fixed)


def _differs_not(spec: ArchitectureSpec, **changes: Any) -> bool:
    """Tell whether a canonical spec with other values is the same model."""
    try:
        return replace(spec, **changes).canonical() == spec
    except ConfigError:  # heads that divide nothing, say
        return False
