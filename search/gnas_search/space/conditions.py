"""Conditions: what is said of a model, field by field, and the rules that are made of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.bodies import MAX_LAYERS
from gnas_search.closed_form import CLOSED_FORMS
from gnas_search.layer_spec import MAX_NODES, LayerSpec
from gnas_search.space import graphs
from gnas_search.space.genes import at
from gnas_search.specs import FAMILIES, GNN, BranchSpec, kind_of
from gnas_serve.errors import ConfigError, unknown_name

KIND = "kind"
NUM_LAYERS = "num_layers"
OF_LAYERS = ("activation", "dropout", "normalisation", "num_nodes", "operator", "residual")
"""Fields of which each layer of a network has a value, an operator one of each node: any of them counts."""
_RANGE_KEYS = ("high", "low")


@dataclass(frozen=True)
class Range:
    """Numbers from ``low`` to ``high``, both included."""

    low: float = -float("inf")
    high: float = float("inf")


@dataclass(frozen=True)
class Condition:
    """What is said of a model, field by field.

    Attributes
    ----------
    lines
        Field to the values, or to the range, of which it has to have one.
    """

    lines: Mapping[str, tuple[Any, ...] | Range]

    def holds(self, spec: BranchSpec) -> bool:
        """Tell whether every line is true of a canonical spec."""
        return all(_matches(values_of(spec, name), wanted) for name, wanted in self.lines.items())

    def concerns(self, spec: BranchSpec) -> bool:
        """Tell whether a spec's kind has all the fields."""
        return all(_has(kind_of(spec), name) for name in self.lines)

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {name: _written(wanted) for name, wanted in self.lines.items()}

    def summary(self) -> str:
        """Say the lines in one."""
        return " and ".join(f"{name} = {_written(wanted)!r}" for name, wanted in self.lines.items())


@dataclass(frozen=True)
class Force:
    """What has to be true of a model of which something else is.

    Attributes
    ----------
    when
        Of these models.
    then
        What has to be true of them.
    """

    when: Condition
    then: Condition

    def is_broken_by(self, spec: BranchSpec) -> bool:
        """Tell whether a canonical spec, of a kind that has all the fields, is one of them and not so."""
        return (
            self.when.concerns(spec)
            and self.then.concerns(spec)
            and self.when.holds(spec)
            and not self.then.holds(spec)
        )

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {"when": self.when.to_json(), **self.then.to_json()}

    def summary(self) -> str:
        """Say it in one line."""
        return f"{self.then.summary()} when {self.when.summary()}"


def values_of(spec: BranchSpec, name: str) -> tuple[Any, ...]:
    """Give what a canonical spec has for a field: several where each layer has one."""
    if name == KIND:
        return (kind_of(spec),)
    if isinstance(spec, ArchitectureSpec) and graphs.event_of(name):
        return (spec.graph.weight_of(graphs.event_of(name)),)
    if not isinstance(spec, ArchitectureSpec) or name not in _OF_NETWORKS:
        return (getattr(spec, name),)
    return _OF_NETWORKS[name](spec)


def _of_each(name: str) -> Callable[[ArchitectureSpec], tuple[Any, ...]]:
    return lambda spec: tuple(getattr(layer, name) for layer in spec.layer_specs)


def _of_graph(name: str) -> Callable[[ArchitectureSpec], tuple[Any, ...]]:
    return lambda spec: (getattr(spec.graph, name),)


_OF_NETWORKS: dict[str, Callable[[ArchitectureSpec], tuple[Any, ...]]] = {
    "activation": lambda spec: tuple(
        one for layer in spec.layer_specs for one in (layer.activation, layer.resolved_activation)
    ),
    "cooccurrence": _of_graph("cooccurrence"),
    "dropout": _of_each("dropout"),
    "edge_weights": _of_graph("edge_weights"),
    "event_weight": lambda spec: tuple(weight for _, weight in spec.graph.named_weights) or (spec.graph.event_weight,),
    "half_life": _of_graph("half_life"),
    "max_degree": _of_graph("max_degree"),
    "normalisation": _of_each("normalisation"),
    NUM_LAYERS: lambda spec: (len(spec.layers),),
    "num_nodes": lambda spec: tuple(len(layer.nodes) for layer in spec.layer_specs),
    "operator": lambda spec: spec.operators,
    "residual": _of_each("residual"),
}
"""Fields of networks that are no fields of their specs; of each layer, and of each event with a weight, any counts."""


def _matches(values: tuple[Any, ...], wanted: tuple[Any, ...] | Range) -> bool:
    if isinstance(wanted, Range):
        return any(wanted.low <= value <= wanted.high for value in values)
    return any(value == one and isinstance(value, bool) == isinstance(one, bool) for value in values for one in wanted)


def _fields(kind: str) -> tuple[str, ...]:
    if kind == GNN:
        own = (f.name for f in fields(ArchitectureSpec) if f.name not in ("graph", "layers"))
        return (KIND, NUM_LAYERS, *OF_LAYERS, *graphs.NAMES, *own)
    return (KIND, *(f.name for f in fields(CLOSED_FORMS[kind])))


def _has(kind: str, name: str) -> bool:
    return name in _fields(kind) or (kind == GNN and bool(graphs.event_of(name)))


def read_force(raw: Mapping[str, Any], where: str) -> Force:
    """Read a table with ``when`` and what has to be true then.

    Raises
    ------
    ConfigError
        Naming where it stands and what is wrong.
    """
    when = raw.get("when")
    if not isinstance(when, Mapping) or not when or len(raw) < 2:
        raise ConfigError(
            f"{where}: no `when` table, or nothing beside it",
            hint='write [[force]] with when = { operator = "gat" } and what must hold then, e.g. heads = [2, 4]',
        )
    then = {name: value for name, value in raw.items() if name != "when"}
    return Force(read_condition(when, f"{where}.when"), read_condition(then, where))


def read_condition(raw: Mapping[str, Any], where: str) -> Condition:
    """Read a table of fields with a value, several, or a range each.

    Raises
    ------
    ConfigError
        Naming where it stands and what is wrong.
    """
    kinds = [kind for kind in FAMILIES if all(_has(kind, name) for name in raw)]
    known = {name for kind in FAMILIES for name in _fields(kind)}
    for name in raw:
        if name not in known and not graphs.event_of(name):
            raise at(where, unknown_name("field", name, known))
    if not kinds:
        raise ConfigError(
            f"{where}: no kind of model has {' and '.join(sorted(raw))}", hint="make a rule of each kind's fields"
        )
    return Condition({name: _wanted(name, value, kinds, f"{where}.{name}") for name, value in sorted(raw.items())})


def _wanted(name: str, value: object, kinds: list[str], where: str) -> tuple[Any, ...] | Range:
    if isinstance(value, Mapping):
        for key in value:
            if key not in _RANGE_KEYS:
                raise at(where, unknown_name("range key", key, _RANGE_KEYS))
        ends = list(value.values())
        if not ends or not all(map(_is_number, ends)) or not value.get("low", ends[0]) <= value.get("high", ends[0]):
            raise ConfigError(
                f"{where}: {dict(value)!r} is no range",
                hint="write { low = a, high = b }, or one of them; low is at most high, and both are finite",
            )
        if isinstance(_checked(name, None, kinds, where), str):
            raise ConfigError(f"{where}: a range of no numbers", hint="list the values instead")
        return Range(**value)
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise ConfigError(f"{where}: an empty list", hint="give a value, or several")
    return tuple(_checked(name, one, kinds, where) for one in listed)


def _is_number(end: object) -> bool:
    return type(end) is int or (isinstance(end, float) and math.isfinite(end))


def _checked(name: str, value: object, kinds: list[str], where: str) -> Any:
    """Give a value in the type of its field, of None its default, or refuse it."""
    try:
        if name == KIND:
            if value is not None and value not in FAMILIES:
                raise unknown_name("kind of model", str(value), FAMILIES)
            return GNN if value is None else value
        if name in (NUM_LAYERS, "num_nodes"):
            return _whole(name, value)
        if name in OF_LAYERS:
            layer = LayerSpec.from_json({"operator": "skip", **({} if value is None else {name: value})})
            return layer.operators[0] if name == "operator" else getattr(layer, name)
        if kinds[-1] == GNN and graphs.is_gene(name):
            return graphs.checked(name, graphs.default(name) if value is None else value)
        spec = ArchitectureSpec if kinds[-1] == GNN else CLOSED_FORMS[kinds[-1]]
        return getattr(spec.from_json({} if value is None else {name: value}), name)
    except ConfigError as error:
        raise at(where, error) from error


def _whole(name: str, value: object) -> int:
    most = MAX_LAYERS if name == NUM_LAYERS else MAX_NODES
    if value is not None and (type(value) is not int or not 0 <= value <= most):
        raise ConfigError(f"{name}: {value!r} is no number of {name[4:]}", hint=f"give 0 to {most}")
    return value if isinstance(value, int) else 0


def _written(wanted: tuple[Any, ...] | Range) -> Any:
    if isinstance(wanted, Range):
        ends = {"low": wanted.low, "high": wanted.high}
        return {name: value for name, value in ends.items() if abs(value) != float("inf")}
    return wanted[0] if len(wanted) == 1 else list(wanted)
