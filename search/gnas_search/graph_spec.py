"""GraphSpec: which edges messages pass along, and what each of them weighs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from gnas_search.typed_fields import read_field
from gnas_serve.errors import ConfigError, unknown_name

EDGE_WEIGHTS = ("symmetric", "uniform")
SHORTEST_HALF_LIFE = 0.02
"""Of the time span: one as old as the data then weighs 2^-50, and nothing weighs less."""
MOST_LINKS = 1000
MOST_WEIGHT = 10.0

EventWeight = float | tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class GraphSpec:
    """How the graph of a network is built from the interactions; by default every edge weighs the same.

    Attributes
    ----------
    event_weight
        What an edge of another event than the target weighs beside 1 for the target's, 0 to 10: one number for all of
        them, or one per event, those that are not named weighing 1. An edge of several events has the largest weight:
        what is bought was mostly viewed before, which says no more.
    half_life
        Age at which an interaction weighs half, as a share of the data's time span, so that it means the same for a
        week of clicks and for ten years of ratings; 0 lets all ages weigh alike.
    cooccurrence
        Each item is linked to the so many items that it shares the most users with, by the cosine of their users.
    max_degree
        Each user keeps at most so many edges: the latest where the data has timestamps, else those of the rarest
        items; 0 keeps all.
    edge_weights
        ``"symmetric"`` divides each edge's weight by the square root of both ends' degrees, ``"uniform"`` by the degree
        of the node that receives: a mean.

    References
    ----------
    Ding, Y. and Li, X. (2005). Time weight collaborative filtering. CIKM (the half-life of an interaction).
    Rossi, E. et al. (2020). Temporal graph networks for deep learning on dynamic graphs. ICML workshop on graph
    representation learning (a node's latest edges).
    Zhou, X. et al. (2023). Layer-refined graph convolutional networks for recommendation. ICDE (edges of items with few
    of them are pruned the least).
    Mao, K. et al. (2021). UltraGCN: ultra simplification of graph convolutional networks for recommendation. CIKM (the
    strongest links between items).
    Kipf, T. N. and Welling, M. (2017). Semi-supervised classification with graph convolutional networks. ICLR.
    """

    event_weight: EventWeight = 1.0
    half_life: float = 0.0
    cooccurrence: int = 0
    max_degree: int = 0
    edge_weights: str = "symmetric"

    def __post_init__(self) -> None:
        """Refuse values outside the space, naming the field.

        Raises
        ------
        ConfigError
            If a name is unknown or a number out of range.
        """
        if self.event_weight == ():
            raise ConfigError("event_weight: names no event", hint="give a number, or a weight for each event")
        for event, weight in self.named_weights or (("", self.event_weight),):
            if not 0.0 <= float(weight) <= MOST_WEIGHT:  # type: ignore[arg-type]  # a number: names have been taken apart
                said = f"event_weight of {event}" if event else "event_weight"
                raise ConfigError(f"{said}: {weight} is not within 0..{MOST_WEIGHT:g}", hint="the target's is 1")
        if self.half_life != 0 and not SHORTEST_HALF_LIFE <= self.half_life <= 100.0:
            raise ConfigError(
                f"half_life: {self.half_life} is not within {SHORTEST_HALF_LIFE}..100",
                hint="give a share of the data's time span, or 0 for none",
            )
        for name, most in (("cooccurrence", MOST_LINKS), ("max_degree", 1 << 31)):
            if not 0 <= getattr(self, name) <= most:
                raise ConfigError(f"{name}: {getattr(self, name)} is not within 0..{most}", hint="give 0 for none")
        if self.edge_weights not in EDGE_WEIGHTS:
            raise unknown_name("edge_weights", self.edge_weights, EDGE_WEIGHTS)

    @property
    def named_weights(self) -> tuple[tuple[str, float], ...]:
        """The weights of single events; empty where all have the same."""
        return self.event_weight if isinstance(self.event_weight, tuple) else ()

    def weight_of(self, event: str) -> float:
        """Give what an edge of an event other than the target weighs."""
        return dict(self.event_weight).get(event, 1.0) if isinstance(self.event_weight, tuple) else self.event_weight

    def canonical(self) -> GraphSpec:
        """Give equal graphs one form: events in order, those that weigh 1 unsaid."""
        if not isinstance(self.event_weight, tuple):
            return self
        said = tuple(sorted((event, weight) for event, weight in self.event_weight if weight != 1.0))
        return replace(self, event_weight=said or 1.0)

    def summary(self) -> str:
        """Describe what is not as by default, in a few words; empty where all is."""
        said = [f"{event} {weight:g}" for event, weight in self.named_weights]
        if not isinstance(self.event_weight, tuple) and self.event_weight != PLAIN.event_weight:
            said.append(f"other events {self.event_weight:g}")
        numbers = ("half_life", "cooccurrence", "max_degree")
        said += [f"{name} {getattr(self, name):g}" for name in numbers if getattr(self, name)]
        return ", ".join([*said, *([self.edge_weights] if self.edge_weights != PLAIN.edge_weights else [])])

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form: what is not as by default."""
        said = {name: getattr(self, name) for name in GRAPH_FIELDS if getattr(self, name) != getattr(PLAIN, name)}
        if self.named_weights:
            said["event_weight"] = dict(self.named_weights)
        return said

    @classmethod
    def from_json(cls, raw: object) -> GraphSpec:
        """Read the JSON form.

        Raises
        ------
        ConfigError
            If a field is unknown, of the wrong type or out of range.
        """
        if not isinstance(raw, Mapping):
            raise ConfigError(f"graph: {raw!r} is no object", hint='write {"half_life": 0.3, ...}')
        values: dict[str, Any] = {}
        for name, value in raw.items():
            if name not in GRAPH_FIELDS:
                raise unknown_name("field of a graph", name, GRAPH_FIELDS)
            if name == "event_weight" and isinstance(value, Mapping):
                values[name] = tuple(
                    sorted((str(event), read_field(name, weight, float)) for event, weight in value.items())
                )
                continue
            values[name] = read_field(name, value, type(getattr(PLAIN, name)))
        return cls(**values)


PLAIN = GraphSpec()
"""Every edge weighs the same."""

GRAPH_FIELDS = tuple(field.name for field in fields(GraphSpec))
