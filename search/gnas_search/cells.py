"""Cells of equal layers: what a cell computes, as a sum that is equal for equal cells, and the one form of each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from functools import cache
from itertools import combinations_with_replacement, permutations, product
from typing import Any

from gnas_search.polynomials import ONE, POLYNOMIALS, Polynomial, added, multiplied, scaled

Node = tuple[str, int]
Nodes = tuple[Node, ...]
MAX_NODES = 3

_Form = tuple[tuple[Any, Polynomial], ...]
"""Terms: a word, which is a weight matrix after the other or a function of a form, and a polynomial before it."""


@cache
def canonical_cell(nodes: Nodes) -> Nodes:
    """Give the shortest cell that computes the same, of several the first in alphabetical order.

    Between the nodes of a cell stands nothing: operators without weights are polynomials of one adjacency, which
    commute with each other and with the weights of a ``gcn``, and a mean of equal leaves is one of them.

    Parameters
    ----------
    nodes
        As :class:`gnas_search.layer_spec.LayerSpec` has them.
    """
    weighted = tuple(sorted(operator for operator, _ in nodes if operator not in POLYNOMIALS))
    return _shortest(weighted)[_form(nodes)]


@cache
def cell_polynomial(nodes: Nodes) -> Polynomial | None:
    """Say which polynomial a cell is; None where it has weights."""
    if any(operator not in POLYNOMIALS for operator, _ in nodes):
        return None
    ((_, found),) = _form(nodes)
    return found


@cache
def _shortest(weighted: tuple[str, ...]) -> dict[_Form, Nodes]:
    """Find, for every form that cells with these weighted operators have, its shortest cell."""
    found: dict[_Form, Nodes] = {}
    for count in range(max(1, len(weighted)), MAX_NODES + 1):
        cells = {flattened(children(nodes)) for nodes in _cells(weighted, count)}
        for nodes in sorted(cells, key=lambda nodes: (len(nodes), nodes)):
            found.setdefault(_form(nodes), nodes)
    return found


def _cells(weighted: tuple[str, ...], count: int) -> Iterator[Nodes]:
    for others in combinations_with_replacement(sorted(POLYNOMIALS), count - len(weighted)):
        for operators in set(permutations((*weighted, *others))):
            for sources in product(*(range(place) for place in range(1, count + 1))):
                yield tuple(zip(operators, sources, strict=True))


def _form(nodes: Nodes) -> _Form:
    """Write the output of a cell as a sum; weights of one operator are alike, whichever node has which."""
    places: dict[str, list[int]] = {}
    for place, (operator, _) in enumerate(nodes):
        if operator not in POLYNOMIALS:
            places.setdefault(operator, []).append(place)
    named = [
        [dict(zip(some, order, strict=True)) for order in permutations(range(len(some)))] for some in places.values()
    ]
    forms = []
    for chosen in product(*named):
        labels: dict[int, int] = {}
        for one in chosen:
            labels |= one
        forms.append(_labelled(nodes, labels))
    return min(forms, key=repr)


def _labelled(nodes: Nodes, labels: dict[int, int]) -> _Form:
    outputs: list[dict[Any, Polynomial]] = [{(): ONE}]
    for place, (operator, source) in enumerate(nodes):
        read = outputs[source]
        if operator in POLYNOMIALS:
            passed = {word: multiplied(part, POLYNOMIALS[operator]) for word, part in read.items()}
        elif operator == "gcn":  # a lightgcn, then its weights
            near = POLYNOMIALS["lightgcn"]
            passed = {(*word, (operator, labels[place])): multiplied(part, near) for word, part in read.items()}
        else:
            passed = {((operator, labels[place], _sorted(read)),): ONE}
        outputs.append(passed)
    leaves = [outputs[number] for number in leaves_of(nodes)]
    terms: dict[Any, list[Polynomial]] = {}
    for leaf in leaves:
        for word, part in leaf.items():
            terms.setdefault(word, []).append(scaled(part, Fraction(1, len(leaves))))
    return _sorted({word: added(parts) for word, parts in terms.items()})


def _sorted(terms: dict[Any, Polynomial]) -> _Form:
    return tuple(sorted(terms.items(), key=repr))


def leaves_of(nodes: Sequence[Node]) -> tuple[int, ...]:
    """Give the numbers, from 1, of the nodes that no other node reads."""
    read = {source for _, source in nodes}
    return tuple(number for number in range(1, len(nodes) + 1) if number not in read)


Tree = tuple[tuple[str, "Tree"], ...]


def children(nodes: Sequence[Node], source: int = 0) -> Tree:
    """Give the nodes that read ``source``, each with those that read it: every node reads one, so cells are trees.

    A ``skip`` that others read, or that alone reads another, is passed over; equal trees are in one order.
    """
    found: list[tuple[str, Tree]] = []
    for number, (operator, read) in enumerate(nodes, start=1):
        if read == source:
            below = children(nodes, number)
            if below == (("skip", ()),):
                below = ()
            found += below if operator == "skip" and below else [(operator, below)]
    return tuple(sorted(found))


def flattened(tree: Tree, source: int = 0, before: int = 0) -> Nodes:
    """Give the nodes of a tree, each before those that read it."""
    nodes: list[Node] = []
    for operator, below in tree:
        nodes.append((operator, source))
        nodes += flattened(below, before + len(nodes), before + len(nodes))
    return tuple(nodes)
