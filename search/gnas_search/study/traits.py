"""Traits of a model: its spec as one flat list of plain values, for tables, charts and trackers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.graph_spec import GRAPH_FIELDS
from gnas_search.specs import BranchSpec

Trait = str | int | float | bool

ABSENT = "none"
"""In the place of the operator of a layer that a network does not have."""


def traits(spec: BranchSpec, *, depth: int = 0) -> dict[str, Trait]:
    """Give every setting of a model under its name; equal models have equal traits.

    The layers of a network become ``num_layers``, the operators of each as ``layer 1``, ``layer 2``, ..., and what they
    have in common: ``activation`` and ``normalisation`` (all that occur), ``dropout`` (their mean) and ``residual``
    (how many layers have it). Its graph is told setting by setting, the weights of events as one text.

    Parameters
    ----------
    spec
        The model.
    depth
        So many layers are listed at least, those that the network does not have as :data:`ABSENT`: the same names
        for networks of different depth.
    """
    canonical = spec.canonical()
    raw: dict[str, Any] = {name: value for name, value in canonical.to_json().items() if name != "kind"}
    if not isinstance(canonical, ArchitectureSpec):
        return raw
    layers = canonical.layer_specs
    del raw["layers"]
    raw.pop("graph", None)  # of which JSON leaves out what is as by default
    graph = canonical.graph
    raw |= {name: getattr(graph, name) for name in GRAPH_FIELDS} | {"features": canonical.features}
    weights = graph.named_weights or (("", graph.weight_of("")),)
    raw["event_weight"] = ", ".join(f"{event} {weight:g}".strip() for event, weight in weights)
    found: dict[str, Trait] = {"num_layers": len(layers)}
    for place in range(max(depth, len(layers))):
        found[f"layer {place + 1}"] = " + ".join(layers[place].operators) if place < len(layers) else ABSENT
    found["activation"] = _all(layer.resolved_activation for layer in layers)
    found["normalisation"] = _all(layer.normalisation for layer in layers)
    found["dropout"] = round(sum(layer.dropout for layer in layers) / max(1, len(layers)), 6)
    found["residual"] = sum(layer.residual for layer in layers)
    return found | raw


def _all(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names))) or ABSENT
