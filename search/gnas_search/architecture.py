"""ArchitectureSpec: one point of the search space, complete and hashable."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from gnas_search.bodies import MAX_LAYERS, Body, Setting, canonical_body, canonical_graph
from gnas_search.graph_spec import PLAIN, GraphSpec
from gnas_search.layer_spec import ATTENTION_OPERATORS, MAX_DROPOUT, LayerSpec
from gnas_search.typed_fields import read_field
from gnas_serve.errors import ConfigError, unknown_name

COMBINATIONS = ("attention", "concat", "last", "max", "mean", "sum")
SCORERS = ("bilinear", "cosine", "dot", "mlp")
LOSSES = ("alignment_uniformity", "bce", "bpr", "in_batch", "sampled_softmax", "softmax")
NEGATIVES = ("hard", "popularity", "uniform")
INITS = ("random", "svd")
EDGES = ("all", "target")
NAMED = {
    "combination": COMBINATIONS,
    "scorer": SCORERS,
    "loss": LOSSES,
    "negatives": NEGATIVES,
    "init": INITS,
    "edges": EDGES,
}
"""Fields that are one of some names."""
DRAWING_LOSSES = ("bce", "bpr", "sampled_softmax")
_CONTRAST = ("contrast_weight", "contrast_noise")
_ADVERSARIAL = ("adversarial_weight", "adversarial_radius")
_REGULARISERS = ("weight_decay", "edge_dropout", "contrast_weight", "adversarial_weight")


@dataclass(frozen=True)
class ArchitectureSpec:
    """A graph recommender: its layers, how their outputs are combined and scored, and how it is trained.

    Attributes
    ----------
    layers
        0 to 4 of them: the name of an operator, or a :class:`~gnas_search.layer_spec.LayerSpec` that says more.
    heads
        Of attention (``gat``, ``gatv2``), which share the dimensions; divides ``embedding_dim``.
    combination
        How the outputs of the layers become one vector: the last, their mean, sum, maximum per dimension or
        concatenation, or a mean in which each node weighs its layers (``"attention"``).
    include_input
        Whether the input embedding takes part in the combination (LightGCN does so; leaving it out won on Gowalla).
    scorer
        ``"dot"``, ``"cosine"``, ``"bilinear"`` or ``"mlp"``: see :mod:`gnas_search.heads`.
    loss
        ``"softmax"`` (over all items: best up to some 300,000 of them), ``"sampled_softmax"``, ``"in_batch"``,
        ``"bpr"``, ``"bce"`` or ``"alignment_uniformity"``; each weighs every user alike.
    negatives
        How ``bpr``, ``bce`` and ``sampled_softmax`` draw items: ``"uniform"``, by ``"popularity"``, or, but for the
        last of the losses, the ``"hard"`` ones: the best scored of several.
    uniformity_weight
        Of the uniformity of users and items, beside alignment.
    init
        Initial embeddings: random, or the truncated SVD of the normalised interaction matrix.
    edges
        Whether messages pass along every event or the target event alone.
    graph
        What these edges weigh, and which are left out or added: see :class:`~gnas_search.graph_spec.GraphSpec`. The
        SVD is of the same weighted interactions.
    features
        Whether a learned linear map of the users' and items' features, where the data has any, is added to their
        embeddings, so that whoever has few interactions has something.
    edge_dropout
        Share of the edges that carry no message for an epoch, drawn anew for each.
    contrast_weight, contrast_noise
        Of a contrast between two views of every user and item of a batch, made by noise of length ``contrast_noise``
        added to each layer's output; a 0 of either is none.
    adversarial_weight, adversarial_radius
        Of the loss once more, with vectors moved by ``adversarial_radius`` of their length where it grows most; a 0 of
        either is none.
    embedding_dim
        Width of the embeddings.
    learning_rate
        Highest rate: reached after half an epoch, then lowered along a cosine that ends at ``epochs``.
    weight_decay
        Decoupled, on the embeddings alone: each step shrinks them by ``learning_rate * weight_decay`` of themselves.
    temperature
        Divides cosine scores in the loss; 1 for dot products.
    num_negatives
        Items sampled per batch and shared by its users (sampled softmax); without effect for the other losses.
    batch_size
        Users per batch; one propagation per batch. Where that makes more than 32 batches an epoch, 32 larger ones are
        made.
    epochs, patience
        Most passes over the users; how many validations without a gain end them sooner.
    """

    layers: tuple[str | LayerSpec, ...] = ("lightgcn", "lightgcn", "lightgcn")
    heads: int = 1
    combination: str = "mean"
    include_input: bool = False
    scorer: str = "cosine"
    loss: str = "sampled_softmax"
    negatives: str = "uniform"
    uniformity_weight: float = 1.0
    init: str = "svd"
    edges: str = "target"
    edge_dropout: float = 0.0
    contrast_weight: float = 0.0
    contrast_noise: float = 0.1
    adversarial_weight: float = 0.0
    adversarial_radius: float = 0.1
    embedding_dim: int = 64
    learning_rate: float = 0.03
    weight_decay: float = 0.0
    temperature: float = 0.1
    num_negatives: int = 4096
    batch_size: int = 1024
    epochs: int = 12
    patience: int = 3
    graph: GraphSpec = PLAIN
    features: bool = False

    def __post_init__(self) -> None:
        """Refuse values outside the space, naming the field.

        Raises
        ------
        ConfigError
            If a name is unknown or a number out of range.
        """
        if len(self.layers) > MAX_LAYERS:
            raise ConfigError(f"layers: {len(self.layers)} given", hint=f"use at most {MAX_LAYERS}")
        for layer in self.layers:
            LayerSpec.of(layer)
        for field_name, known in NAMED.items():
            if getattr(self, field_name) not in known:
                raise unknown_name(field_name, str(getattr(self, field_name)), known)
        for field_name in ("embedding_dim", "heads", "num_negatives", "batch_size", "epochs", "patience"):
            self._require(field_name, "is below 1", "give at least 1", fits=getattr(self, field_name) >= 1)
        for field_name in ("learning_rate", "temperature"):
            fits = 0 < getattr(self, field_name) < math.inf
            self._require(field_name, "is no finite number above 0", "give more than 0", fits=fits)
        for field_name in ("weight_decay", "uniformity_weight", *_CONTRAST, *_ADVERSARIAL):
            fits = 0 <= getattr(self, field_name) < math.inf
            self._require(field_name, "is negative or not finite", "give 0 or more", fits=fits)
        fits = 0 <= self.edge_dropout <= MAX_DROPOUT
        self._require("edge_dropout", f"is not within 0..{MAX_DROPOUT}", "give such a share", fits=fits)
        fits = not self._attends or self.embedding_dim % self.heads == 0
        self._require("heads", f"do not divide embedding_dim {self.embedding_dim}", "choose a divisor", fits=fits)

    def _require(self, name: str, otherwise: str, hint: str, *, fits: bool) -> None:
        if not fits:
            raise ConfigError(f"{name}: {getattr(self, name)} {otherwise}", hint=hint)

    @property
    def layer_specs(self) -> tuple[LayerSpec, ...]:
        """The layers, each as what its name stands for."""
        return tuple(LayerSpec.of(layer) for layer in self.layers)

    @property
    def operators(self) -> tuple[str, ...]:
        """The operators of all layers."""
        return tuple(operator for layer in self.layer_specs for operator in layer.operators)

    @property
    def parts(self) -> int:
        """How many vectors are combined."""
        if not self.layers:
            return 1
        return 1 if self.combination == "last" else len(self.layers) + self.include_input

    @property
    def width(self) -> int:
        """Of the vectors that are scored."""
        return self.embedding_dim * (self.parts if self.combination == "concat" else 1)

    @property
    def body(self) -> Body:
        """The layers, each canonical, and their combination."""
        layers = tuple(LayerSpec.of(layer.canonical()) for layer in self.layer_specs)
        return Body(layers, self.combination, self.include_input)

    @property
    def setting(self) -> Setting:
        """What decides which other bodies make the same model."""
        any_scale = self.scorer == "cosine" or self.loss == "alignment_uniformity"
        return Setting(
            any_scale=any_scale,
            # The scorers with weights have more of them where vectors are wider.
            repeats_idle=any_scale and self.scorer in ("cosine", "dot"),
            noisy=bool(self.contrast_weight and self.contrast_noise),
        )

    @property
    def _attends(self) -> bool:
        return any(operator in ATTENTION_OPERATORS for operator in self.operators)

    def canonical(self) -> ArchitectureSpec:
        """Set what has no effect to one fixed value, so that equal models are equal specs.

        Equal models compute the same vectors of the same parameters, but for a scale where no loss and no order of
        items depends on one; :class:`~gnas_search.trainer.Trainer` trains the canonical one of them, from whose order
        of operators the initial weights are drawn.
        """
        return self._canonical

    @cached_property  # a search asks a dozen times per trial
    def _canonical(self) -> ArchitectureSpec:
        body = canonical_body(self.body, self.setting)
        changes: dict[str, Any] = {
            "layers": tuple(layer.canonical() for layer in body.layers),
            "combination": body.combination,
            "include_input": body.include_input,
            "patience": min(self.patience, self.epochs),
            **{name: getattr(self, name) + 0.0 for name in _MAY_BE_ZERO},
        }
        changes["graph"], changes["edges"] = canonical_graph(body, self.graph, self.edges, self.init)
        if not body.layers:
            changes |= {"edge_dropout": 0.0, "contrast_weight": 0.0}
        if not self._attends:
            changes["heads"] = 1
        if self.scorer != "cosine" or self.loss == "alignment_uniformity":
            changes["temperature"] = 1.0
        if self.loss != "alignment_uniformity":
            changes["uniformity_weight"] = 1.0
        if self.loss != "sampled_softmax":
            changes["num_negatives"] = 1
        if self.loss not in DRAWING_LOSSES or (self.loss == "sampled_softmax" and self.negatives == "hard"):
            changes["negatives"] = "uniform"
        for names in (_CONTRAST, _ADVERSARIAL):
            if not all(changes.get(name, getattr(self, name)) for name in names):
                changes |= dict(zip(names, (0.0, 0.1), strict=True))
        return replace(self, **changes)

    def key(self) -> str:
        """Give a short name of the canonical spec, equal for equal models."""
        return self._key

    @cached_property
    def _key(self) -> str:
        raw = json.dumps(self.canonical().to_json(), sort_keys=True)
        return "gnn-" + hashlib.sha256(raw.encode()).hexdigest()[:10]

    def summary(self) -> str:
        """Describe the architecture in a few words, for tables."""
        plain = type(self)()
        body = " > ".join(
            f"({layer.summary()})" if len(layer.nodes) > 1 else layer.summary() for layer in self.layer_specs
        )
        combined = f"{self.combination}{'+input' if self.include_input and self.layers else ''}"
        said = [body or "no layers", combined, self.scorer, self.loss, f"{self.init} init", f"d={self.embedding_dim}"]
        said += [found for found in (self.graph.summary(), "features" if self.features else "") if found]
        said += [f"{name} {getattr(self, name):g}" for name in _REGULARISERS if getattr(self, name)]
        unusual = (name for name in ("heads", "negatives") if getattr(self, name) != getattr(plain, name))
        return " | ".join([*said, *(f"{name} {getattr(self, name)}" for name in unusual)])

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form; without a graph of its own and features it is that of versions that had neither."""
        graph = self.graph.to_json()
        return {
            **{name: getattr(self, name) for name in _FIELDS},
            "layers": [layer.to_json() for layer in self.layer_specs],
            **({"graph": graph} if graph else {}),
            **({"features": True} if self.features else {}),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> ArchitectureSpec:
        """Read the JSON form.

        Raises
        ------
        ConfigError
            If a field is unknown, of the wrong type or out of range.
        """
        defaults = cls()
        names = {f.name for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in raw.items():
            if name not in names:
                raise unknown_name("spec field", name, names)
            if name == "graph":
                values[name] = GraphSpec.from_json(value)
            elif name == "layers":
                values[name] = _read_layers(value)
            else:
                values[name] = read_field(name, value, type(getattr(defaults, name)))
        return cls(**values)


_MAY_BE_ZERO = ("edge_dropout", "uniformity_weight", "weight_decay")  # -0.0 is 0.0, and has another JSON form
_FIELDS = tuple(field.name for field in fields(ArchitectureSpec) if field.name not in ("features", "graph"))


def _read_layers(raw: object) -> tuple[str | LayerSpec, ...]:
    if not isinstance(raw, (list, tuple)):
        raise ConfigError(f"layers: {raw!r} is no list", hint='write ["lightgcn", "lightgcn"]')
    return tuple(layer if isinstance(layer, str) else LayerSpec.from_json(layer) for layer in raw)
