"""The genes of a network's graph: flat in a file, one object in a spec; of several events one gene each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import product
from math import prod
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.graph_spec import GRAPH_FIELDS, PLAIN, GraphSpec
from gnas_search.space.genes import Gene, nearest
from gnas_serve.errors import ConfigError

EDGES, EVENT, FEATURES = "edges", "event_weight", "features"
TARGET = "target"
NAMES = GRAPH_FIELDS
_OF_EVENT = f"{EVENT}."


def events_of(genes: Mapping[str, Any]) -> tuple[str, ...]:
    """Name the events that have a gene, or a value, of their own: ``event_weight.view``."""
    return tuple(name.removeprefix(_OF_EVENT) for name in genes if name.startswith(_OF_EVENT))


def of_event(event: str) -> str:
    """Give the name of an event's own gene."""
    return f"{_OF_EVENT}{event}"


def event_of(name: str) -> str:
    """Give the event whose own gene has a name; empty where it is no such name."""
    return name.removeprefix(_OF_EVENT) if name.startswith(_OF_EVENT) else ""


def default(name: str) -> Any:
    """Give what a gene is where nothing is said."""
    return getattr(PLAIN, EVENT if event_of(name) else name)


def nearest_default(genes: Mapping[str, Gene]) -> dict[str, Any]:
    """Give those of the genes that are of a graph the values that are nearest to the usual ones."""
    return {name: nearest(gene, default(name)) for name, gene in genes.items() if is_gene(name)}


def is_gene(name: str) -> bool:
    """Tell the genes of a graph from others."""
    return name in NAMES or name.startswith(_OF_EVENT)


def checked(name: str, value: object) -> Any:
    """Give a gene's value in the type of its field.

    Raises
    ------
    ConfigError
        If it is out of range.
    """
    field = EVENT if name.startswith(_OF_EVENT) else name
    if isinstance(value, Mapping):
        raise ConfigError(f"{name}: {dict(value)!r} is not one value", hint=f'write one gene per event: "{EVENT}.view"')
    return getattr(GraphSpec.from_json({field: value}), field)


def decode(point: Mapping[str, Any]) -> GraphSpec:
    """Read the graph of a point; where all events that it names weigh nothing, no event but the target has any weight.

    On data all other events are named, or none.
    """
    said = {name: point[name] for name in NAMES if name in point}
    weights = tuple((event, point[of_event(event)]) for event in events_of(point))
    if weights:
        said[EVENT] = weights if any(weight for _, weight in weights) else 0.0
    return GraphSpec(**said)


def encode(spec: ArchitectureSpec, genes: Mapping[str, Gene]) -> dict[str, Any]:
    """Give the genes of a graph that read as that of ``spec``, where there are such."""
    point: dict[str, Any] = {name: getattr(spec.graph, name) for name in NAMES}
    return point | {of_event(event): spec.graph.weight_of(event) for event in events_of(genes)}


def of_nothing_but_target(genes: Mapping[str, Gene]) -> dict[str, Any]:
    """Give the genes that read as the target's edges alone where ``edges`` says all: no other event has any weight."""
    return {EDGES: "all", EVENT: 0.0, **{of_event(event): 0.0 for event in events_of(genes)}}


def idle_on(graph: InteractionGraph) -> dict[str, Any]:
    """Give the genes that cannot differ on some data, with the value that they then have."""
    log = graph.log
    idle: dict[str, Any] = {}
    if graph.edges.nnz == graph.positives.nnz:
        idle[EDGES] = TARGET
    if EDGES in idle or log is None or not log.bringing():
        idle[EVENT] = 1.0
    if log is None or log.ages is None:
        idle["half_life"] = 0.0
    if graph.item_features is None and graph.user_features is None:
        idle[FEATURES] = False
    return idle


def on_data(
    spec: ArchitectureSpec, idle: Mapping[str, Any], genes: Mapping[str, Gene], fixed: Mapping[str, Any]
) -> ArchitectureSpec:
    """Give a start the values of the genes that are idle, and each event its own weight.

    Parameters
    ----------
    spec
        Of the start.
    idle
        As of :func:`idle_on`.
    genes, fixed
        Of the space on this data. An event of which the start says nothing has the usual weight, or where the space
        has not that, the first choice or the nearest end.
    """
    own = {name: value for name, value in idle.items() if name in NAMES}
    events, said = events_of({**genes, **fixed}), dict(spec.graph.named_weights)
    if events and EVENT not in idle:
        weights = []
        for event in events:
            weight, name = spec.graph.weight_of(event), of_event(event)
            if said and event not in said:
                weight = nearest(genes[name], weight) if name in genes else fixed[name]
            weights.append((event, weight))
        own[EVENT] = tuple(weights) if any(weight for _, weight in weights) else 0.0
    rest = {name: value for name, value in idle.items() if name not in NAMES}
    return replace(spec, graph=replace(spec.graph, **own).canonical(), **rest)


def per_event(genes: Mapping[str, Any], graph: InteractionGraph, own: tuple[str, ...]) -> dict[str, Any]:
    """Repeat ``event_weight`` for each other event of the data where there are several; drop events that it lacks.

    Parameters
    ----------
    genes
        Or fixed values, by name.
    graph
        With its events.
    own
        Events that the space names, which ``event_weight`` is not for.
    """
    events = () if graph.log is None else graph.log.bringing()
    kept = {
        name: gene for name, gene in genes.items() if name in map(of_event, events) or not name.startswith(_OF_EVENT)
    }
    if EVENT in kept and (len(events) > 1 or own):
        every = kept.pop(EVENT)
        kept |= {of_event(event): every for event in events if event not in own}
    return kept


def unnamed(named: Mapping[str, Any], graph: InteractionGraph) -> dict[str, float]:
    """Give the weight of 1 to the other events of the data that a space says nothing of, where it names any."""
    events = events_of(named)
    bringing = graph.log.bringing() if graph.log is not None and events else ()
    return {of_event(event): 1.0 for event in bringing if event not in events}


def count(values: Callable[[str], tuple[Any, ...]], events: tuple[str, ...], *, layers: bool) -> int:
    """Count the distinct graphs of a space, ``edge_weights`` apart.

    Parameters
    ----------
    values
        Gives the values of a gene.
    events
        With genes, or fixed values, of their own.
    layers
        Whether messages are passed along them; else they are what an SVD is of.
    """
    names = [of_event(event) for event in events] or [EVENT]
    found = set()
    for edges in values(EDGES):
        for weights in product(*(values(name) for name in names)):
            graph = decode(dict(zip(names, weights, strict=True)))
            spec = ArchitectureSpec(edges=edges, graph=graph).canonical()
            found.add((spec.edges, spec.graph))
    others = ("half_life", "max_degree", *(("cooccurrence",) if layers else ()))
    return len(found) * prod(len(values(name)) for name in others)
