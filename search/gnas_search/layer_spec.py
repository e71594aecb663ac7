"""LayerSpec: one layer of a network, as a small cell of operators and what is done to its output."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from gnas_search.cells import MAX_NODES, Node, Tree, canonical_cell, cell_polynomial, children, leaves_of
from gnas_search.polynomials import ONE, Polynomial, added
from gnas_search.typed_fields import read_field
from gnas_serve.errors import ConfigError, unknown_name

__all__ = ["MAX_NODES", "LayerSpec", "Node"]

MAX_DROPOUT = 0.9
OPERATOR_NAMES = (
    "gat",
    "gatv2",
    "gcn",
    "gin",
    "lightgcn",
    "low_pass",
    "ngcf",
    "sage_max",
    "sage_mean",
    "sage_sum",
    "skip",
)
ATTENTION_OPERATORS = ("gat", "gatv2")
NORMALISING_OPERATORS = ("gcn", "lightgcn", "low_pass", "ngcf")
"""Operators whose messages are weighed by degrees, as ``edge_weights`` says."""
WEIGHTLESS_OPERATORS = ("lightgcn", "low_pass", "skip")
AUTO = "auto"
ACTIVATIONS = (AUTO, "elu", "gelu", "leaky_relu", "none", "relu", "tanh")
NORMALISATIONS = ("batch", "layer", "none", "unit")


@dataclass(frozen=True)
class LayerSpec:
    """A cell of one to three operators; then normalisation, activation, dropout, and the layer's input added.

    Attributes
    ----------
    nodes
        (operator, source) of each node of the cell: source 0 is the layer's input, source j the output of the j-th
        node, which stands before. The cell's output is the mean of the nodes that no other node reads: two nodes of
        source 0 are joined in parallel, a node that reads the other in series.
    activation
        ``"auto"`` is a leaky ReLU where a node has weights and nothing where none has: a non-linearity after
        operators without weights would undo their point.
    normalisation
        ``"batch"`` per dimension over all nodes of the graph, ``"layer"`` per node, ``"unit"`` to unit length per node.
    dropout
        Share of the output's entries that training sets to 0; 0 to 0.9.
    residual
        Whether the layer's input is added to its output.

    References
    ----------
    Zoph, B. et al. (2018). Learning transferable architectures for scalable image recognition. CVPR (cells).
    """

    nodes: tuple[Node, ...]
    activation: str = AUTO
    normalisation: str = "none"
    dropout: float = 0.0
    residual: bool = False

    def __post_init__(self) -> None:
        """Refuse what is no layer.

        Raises
        ------
        ConfigError
            If a name is unknown, a number out of range, or a node reads one that does not stand before it.
        """
        if not 1 <= len(self.nodes) <= MAX_NODES:
            raise ConfigError(f"cell: {len(self.nodes)} nodes", hint=f"use 1 to {MAX_NODES}")
        for place, (operator, source) in enumerate(self.nodes):
            if operator not in OPERATOR_NAMES:
                raise unknown_name("operator", operator, OPERATOR_NAMES)
            if not 0 <= source <= place:
                raise ConfigError(
                    f"cell: node {place + 1} reads node {source}", hint="0 is the layer's input, others stand before"
                )
        if self.activation not in ACTIVATIONS:
            raise unknown_name("activation", self.activation, ACTIVATIONS)
        if self.normalisation not in NORMALISATIONS:
            raise unknown_name("normalisation", self.normalisation, NORMALISATIONS)
        if not 0.0 <= self.dropout <= MAX_DROPOUT:
            raise ConfigError(f"dropout: {self.dropout} is not within 0..{MAX_DROPOUT}", hint="give such a share")

    @classmethod
    def of(cls, layer: str | LayerSpec) -> LayerSpec:
        """Give the layer that an operator's name stands for; a layer itself otherwise."""
        return cls(((layer, 0),)) if isinstance(layer, str) else layer

    @property
    def operators(self) -> tuple[str, ...]:
        """The operator of each node."""
        return tuple(operator for operator, _ in self.nodes)

    @property
    def leaves(self) -> tuple[int, ...]:
        """Numbers, from 1, of the nodes that no other node reads."""
        return leaves_of(self.nodes)

    @property
    def has_weights(self) -> bool:
        """Whether any node has weights."""
        return any(operator not in WEIGHTLESS_OPERATORS for operator in self.operators)

    @property
    def resolved_activation(self) -> str:
        """What ``activation`` is, ``"auto"`` resolved."""
        if self.activation != AUTO:
            return self.activation
        return "leaky_relu" if self.has_weights else "none"

    @property
    def polynomial(self) -> Polynomial | None:
        """The polynomial of the adjacency that the layer is; None where it is more, in training or after it."""
        found = cell_polynomial(self.nodes)
        if found is None or self.resolved_activation != "none" or self.normalisation != "none" or self.dropout:
            return None
        return added([found, ONE]) if self.residual else found

    def canonical(self) -> str | LayerSpec:
        """Give the one form of all equal layers; the operator's name where nothing else is said."""
        nodes = canonical_cell(self.nodes)
        layer = LayerSpec(nodes, self.activation, self.normalisation, self.dropout, self.residual)
        plain = LayerSpec(nodes)
        if layer.resolved_activation == plain.resolved_activation:
            layer = LayerSpec(nodes, AUTO, self.normalisation, self.dropout, self.residual)
        return layer.operators[0] if layer == plain and len(nodes) == 1 else layer

    def summary(self) -> str:
        """Describe the layer in a few words: ``gcn > (gat + skip), relu, layer norm, dropout .1, residual``."""
        said = [_expression(children(self.nodes))]
        if self.resolved_activation != LayerSpec(self.nodes).resolved_activation:
            said.append(f"{self.activation}" if self.activation != "none" else "linear")
        if self.normalisation != "none":
            said.append(f"{self.normalisation} norm")
        if self.dropout:
            said.append(f"dropout {self.dropout:g}")
        if self.residual:
            said.append("residual")
        return ", ".join(said)

    def to_json(self) -> str | dict[str, Any]:
        """Give the JSON form: an operator's name where that says it all, else an object without idle fields."""
        plain = LayerSpec(self.nodes)
        said = {name: getattr(self, name) for name in _EXTRAS if getattr(self, name) != getattr(plain, name)}
        if len(self.nodes) == 1:
            return {"operator": self.operators[0], **said} if said else self.operators[0]
        return {"cell": [list(node) for node in self.nodes], **said}

    @classmethod
    def from_json(cls, raw: object) -> LayerSpec:
        """Read the JSON form.

        Raises
        ------
        ConfigError
            If a field is unknown, absent, of the wrong type or out of range.
        """
        if isinstance(raw, str):
            return cls.of(raw)
        if not isinstance(raw, dict):
            raise ConfigError(f"layers: {raw!r} is no layer", hint='write "gcn" or {"operator": "gcn", ...}')
        names = ("cell", "operator", *_EXTRAS)
        for name in raw:
            if name not in names:
                raise unknown_name("field of a layer", name, names)
        if ("cell" in raw) == ("operator" in raw):
            raise ConfigError("layers: a layer has either an operator or a cell", hint='write {"operator": "gcn"}')
        extras = {name: read_field(name, raw[name], type(getattr(_PLAIN, name))) for name in _EXTRAS if name in raw}
        return cls(_read_nodes(raw["cell"]) if "cell" in raw else ((_text(raw["operator"]), 0),), **extras)


_EXTRAS = tuple(field.name for field in fields(LayerSpec) if field.name != "nodes")
_PLAIN = LayerSpec.of("gcn")


def _expression(tree: Tree) -> str:
    parts = []
    for operator, below in tree:
        inner = _expression(below)
        parts.append(f"{operator} > ({inner})" if len(below) > 1 else f"{operator} > {inner}" if below else operator)
    return " + ".join(parts)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"operator: {value!r} is no name", hint="name one operator")
    return value


def _read_nodes(raw: object) -> tuple[Node, ...]:
    if not isinstance(raw, list) or not all(
        isinstance(node, list) and len(node) == 2 and type(node[1]) is int for node in raw
    ):
        raise ConfigError(f"cell: {raw!r} is no list of nodes", hint='write [["gcn", 0], ["gat", 1]]')
    return tuple((_text(operator), source) for operator, source in raw)
