"""Choices: what of a space of networks shares weights, and the one setting of all the rest."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution, FloatDistribution

from gnas_search.architecture import ArchitectureSpec
from gnas_search.layer_spec import LayerSpec
from gnas_search.space import Gene, NetworkSpace, Value, layers
from gnas_search.space.encoder import NUM_LAYERS
from gnas_search.space.points import Point, mutated, values_of
from gnas_search.supernet.setting import setting
from gnas_serve.errors import ConfigError

NOTHING_SHARED = "nothing_shared"
"""Code of the error that refuses a space of which no two networks share weights."""

COMBINATION, INCLUDE_INPUT, SCORER = "combination", "include_input", "scorer"
WIDE = "concat"
"""The combination that changes the width of what is scored."""
WEIGHTLESS_SCORERS = ("cosine", "dot")
_DRAWS = 1000
_CELLS = re.compile(r"layer\.\d+(\.num_nodes|\.node\.\d+|\.source\.\d+)?\Z")
_PLAIN_LAYERS = re.compile(r"layer\.\d+\Z")

Allowed = Callable[[ArchitectureSpec], bool]
"""Tells whether a network may be tried."""


def everything(spec: ArchitectureSpec) -> bool:  # noqa: ARG001
    """Allow every network."""
    return True


@dataclass(frozen=True)
class Path:
    """One way through a supernet: a network whose weights are among the shared ones.

    Attributes
    ----------
    point
        Of the space.
    spec
        As the point says it, layer by layer; not canonical, which would take its layers from their places.
    """

    point: Point
    spec: ArchitectureSpec


@dataclass(frozen=True)
class Choices:
    """Genes whose choices share weights, and a value for every other.

    Attributes
    ----------
    space
        Restricted to its data.
    values
        By gene, the choices that share weights; at least one gene, and each has at least one.
    setting
        A point that has the value of every other gene.
    """

    space: NetworkSpace
    values: Mapping[str, tuple[Value, ...]]
    setting: Point

    def options(self, name: str) -> tuple[Any, ...]:
        """List the choices of a gene: those that share weights, or the only one."""
        if name in self.values:
            return self.values[name]
        if name in self.setting:
            return (self.setting[name],)
        return (self.space.fixed.get(name, getattr(ArchitectureSpec(), name, None)),)

    def path(self, chosen: Mapping[str, Value]) -> Path:
        """Give the path of some choices; of genes that are not among them, that of the setting."""
        point = {**self.setting, **chosen}
        return Path(point, self.space.as_written(point))

    def covers(self, spec: ArchitectureSpec) -> bool:
        """Tell whether all weights of a network are shared ones: those of a scorer have one width."""
        return spec.width == spec.embedding_dim or spec.scorer in WEIGHTLESS_SCORERS

    def draw(self, rng: np.random.Generator, allowed: Allowed = everything) -> Path:
        """Draw a path: every choice alike.

        Raises
        ------
        ConfigError
            With code :data:`NOTHING_SHARED`, if hardly any is allowed.
        """
        for _ in range(_DRAWS):
            path = self.path({name: values[rng.integers(len(values))] for name, values in self.values.items()})
            if self.covers(path.spec) and allowed(path.spec):
                return path
        raise nothing_shared("the constraints leave hardly any of what shares weights")

    def mutate(self, rng: np.random.Generator, path: Path) -> Path | None:
        """Change one choice of a path; None where the result is not covered."""
        names = [name for name, values in self.values.items() if len(values) > 1]
        name = names[rng.integers(len(names))]
        gene = CategoricalDistribution(self.values[name])
        other = self.path({**path.point, name: mutated(rng, gene, path.point[name])})
        return other if self.covers(other.spec) else None

    @property
    def depth(self) -> int:
        """Layers of the deepest network."""
        return int(max(self.options(NUM_LAYERS)))

    @cached_property
    def any_path(self) -> Path:
        """One of the deepest networks."""
        return self.path({name: values[0] for name, values in self.values.items()} | self._deepest)

    @property
    def _deepest(self) -> dict[str, Value]:
        return {NUM_LAYERS: self.depth} if NUM_LAYERS in self.values else {}

    def operators(self, layer: int, node: int) -> tuple[str, ...]:
        """List the operators that a node (from 1) of a layer may be."""
        name = f"layer.{layer}" if node == 1 else f"layer.{layer}.node.{node}"
        return self.options(name if name in self.setting else layers.OPERATOR)

    def nodes(self, layer: int) -> int:
        """Count the nodes of a layer's largest cell."""
        name = f"layer.{layer}.{layers.NUM_NODES}"
        count = self.options(name if name in self.setting else layers.NUM_NODES)
        return max(1 if found is None else found for found in count)

    def layer(self, number: int, operator: str) -> LayerSpec:
        """Give a layer of the setting, its first node another operator."""
        return layers.decode({**self.space.fixed, **self.setting, f"layer.{number}": operator}, number)


def nothing_shared(reason: str) -> ConfigError:
    """Say why there is no supernet."""
    return ConfigError(reason, hint="choose another strategy, or widen the genes", code=NOTHING_SHARED)


def path_choices(space: NetworkSpace) -> Choices:
    """Give what shares weights where one path is trained at a time.

    That is the number of layers, the operators of their cells and what these read, how the layers are combined, and
    the scorer. A concatenation is covered under scorers without weights: those of the others have one width.

    Raises
    ------
    ConfigError
        With code :data:`NOTHING_SHARED`, if there is nothing to choose.
    """
    names = (COMBINATION, INCLUDE_INPUT, NUM_LAYERS, SCORER)
    shared = {name: _values(gene) for name, gene in space.genes.items() if name in names or _CELLS.match(name)}
    return _choices(space, shared)


def mixed_choices(space: NetworkSpace) -> Choices:
    """Give what shares weights where all choices are mixed: of what :func:`path_choices` gives, what can be added up.

    Vectors of several widths cannot, so no concatenation is covered; scores of several scales should not, so the scorer
    is that of the setting; cells have the further nodes of the setting.

    Raises
    ------
    ConfigError
        As :func:`path_choices`.
    """
    names = (COMBINATION, INCLUDE_INPUT, NUM_LAYERS)
    shared = {name: _values(gene) for name, gene in space.genes.items() if name in names or _PLAIN_LAYERS.match(name)}
    if COMBINATION in shared:
        shared[COMBINATION] = tuple(name for name in shared[COMBINATION] if name != WIDE)
    elif space.fixed.get(COMBINATION) == WIDE:
        shared[COMBINATION] = ()
    if not shared.get(COMBINATION, ("any",)):
        raise nothing_shared(f"{WIDE} alone cannot be mixed")
    choices = _choices(space, shared)
    if not choices.depth:
        raise nothing_shared("without layers there is nothing to mix")
    return choices


def _choices(space: NetworkSpace, shared: dict[str, tuple[Value, ...]]) -> Choices:
    if not any(len(values) > 1 for values in shared.values()):
        raise nothing_shared("the space leaves nothing to choose that shares weights")
    return Choices(space, shared, setting(space))


def _values(gene: Gene) -> tuple[Value, ...]:
    if isinstance(gene, FloatDistribution):
        raise TypeError("a continuous gene shares no weights")
    return tuple(values_of(gene))
