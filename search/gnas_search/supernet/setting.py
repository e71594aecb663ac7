"""Setting: the value that all networks of a supernet have of every gene which is none of their choices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.space import Gene, NetworkSpace, Value, graphs
from gnas_search.space.encoder import FIELDS, NUM_LAYERS
from gnas_search.space.genes import nearest
from gnas_search.space.points import Point, from_unit, is_ordered, values_of


def setting(space: NetworkSpace) -> Point:
    """Give the point whose values all networks of a supernet have beside their choices.

    It is the space's first start. What has no effect on that one may have some on other networks, as a temperature has
    on those that are scored by cosine: it is as the start's own table says, else as ever or as near to that as the
    space has. Layers that the start does not have are as its last one. Without a start it is the middle of every range
    and list of numbers, and the first of other choices.
    """
    if not space.starts:
        return {name: _middle(gene) for name, gene in space.genes.items()}
    start = space.starts[0]
    wanted = start.canonical()
    point = dict(space.encode(start))
    usual = _written(ArchitectureSpec(), space.genes)
    # A canonical start, as of another study, has fixed values in the place of what has no effect: nobody said them.
    written = usual if start == wanted else _written(start, space.genes)
    said = {name: nearest(gene, written[name]) for name, gene in space.genes.items() if name in written}
    for name, value in {**said, **_deeper(point, space)}.items():
        if value != point[name] and space.to_spec({**point, name: value}) == wanted:
            point[name] = value
    return point


def _written(spec: ArchitectureSpec, genes: Mapping[str, Gene]) -> dict[str, Any]:
    """Give what a spec says of genes that are none of a layer, whether it has an effect or not."""
    return {name: getattr(spec, name) for name in FIELDS} | graphs.encode(spec, genes)


def _deeper(point: Point, space: NetworkSpace) -> dict[str, Value]:
    """Give the genes of the layers beyond those of a point what they are in its last one."""
    depth = int(point.get(NUM_LAYERS, space.fixed.get(NUM_LAYERS, 0)))
    found: dict[str, Value] = {}
    for name in space.genes:
        parts = name.split(".", 2)
        if parts[0] == "layer" and int(parts[1]) >= depth:
            value = point.get(".".join(["layer", str(depth - 1), *parts[2:]]))
            if value is not None:  # a start without layers has no last one
                found[name] = value
    return found


def _middle(gene: Gene) -> Any:
    return from_unit(gene, 0.5) if is_ordered(gene) else values_of(gene)[0]
