"""ArchitectureSpec: one point of the search space, complete and hashable."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gnas_serve.errors import ConfigError, unknown_name

MAX_LAYERS = 3
OPERATOR_NAMES = (
    "gat",
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
COMBINATIONS = ("concat", "last", "mean")
SCORERS = ("cosine", "dot")
LOSSES = ("bpr", "sampled_softmax", "softmax")
INITS = ("random", "svd")
EDGES = ("all", "target")


@dataclass(frozen=True)
class ArchitectureSpec:
    """A graph recommender: its layers, how their outputs are combined and scored, and how it is trained.

    Attributes
    ----------
    layers
        One operator name per layer, 0 to 3 of them.
    combination
        How the outputs of the layers become one vector: the last, their mean, or their concatenation.
    include_input
        Whether the input embedding takes part in the combination (LightGCN does so; leaving it out won on Gowalla).
    scorer
        ``"dot"`` or ``"cosine"``.
    loss
        ``"bpr"``, ``"sampled_softmax"`` or ``"softmax"`` (over all items: best up to some 300,000 of them); each weighs
        every user alike.
    init
        Initial embeddings: random, or the truncated SVD of the normalised interaction matrix.
    edges
        Whether messages pass along every event or the target event alone.
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

    layers: tuple[str, ...] = ("lightgcn", "lightgcn", "lightgcn")
    combination: str = "mean"
    include_input: bool = False
    scorer: str = "cosine"
    loss: str = "sampled_softmax"
    init: str = "svd"
    edges: str = "target"
    embedding_dim: int = 64
    learning_rate: float = 0.03
    weight_decay: float = 0.0
    temperature: float = 0.1
    num_negatives: int = 4096
    batch_size: int = 1024
    epochs: int = 12
    patience: int = 3

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
            if layer not in OPERATOR_NAMES:
                raise unknown_name("operator", layer, OPERATOR_NAMES)
        named = {"combination": COMBINATIONS, "scorer": SCORERS, "loss": LOSSES, "init": INITS, "edges": EDGES}
        for field_name, known in named.items():
            if getattr(self, field_name) not in known:
                raise unknown_name(field_name, str(getattr(self, field_name)), known)
        for field_name in ("embedding_dim", "num_negatives", "batch_size", "epochs", "patience"):
            if getattr(self, field_name) < 1:
                raise ConfigError(f"{field_name}: {getattr(self, field_name)} is below 1", hint="give at least 1")
        for field_name, least in (("learning_rate", 0.0), ("temperature", 0.0)):
            if not getattr(self, field_name) > least:
                raise ConfigError(f"{field_name}: {getattr(self, field_name)} is not above 0", hint="give more than 0")
        if not self.weight_decay >= 0:
            raise ConfigError(f"weight_decay: {self.weight_decay} is negative", hint="give 0 or more")

    def canonical(self) -> ArchitectureSpec:
        """Set what has no effect to one fixed value, so that equal models are equal specs."""
        changes: dict[str, Any] = {}
        if not self.layers:
            changes |= {"combination": "last", "include_input": True, "edges": "target"}
        elif self.combination == "last":
            changes["include_input"] = False
        if self.scorer == "dot":
            changes["temperature"] = 1.0
        if self.loss != "sampled_softmax":
            changes["num_negatives"] = 1
        return replace(self, **changes)

    def key(self) -> str:
        """Give a short name of the canonical spec, equal for equal models."""
        raw = json.dumps(self.canonical().to_json(), sort_keys=True)
        return "gnn-" + hashlib.sha256(raw.encode()).hexdigest()[:10]

    def summary(self) -> str:
        """Describe the architecture in a few words, for tables."""
        body = " > ".join(self.layers) or "no layers"
        combined = f"{self.combination}{'+input' if self.include_input and self.layers else ''}"
        return f"{body} | {combined} | {self.scorer} | {self.loss} | {self.init} init | d={self.embedding_dim}"

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {**asdict(self), "layers": list(self.layers)}

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
            default = getattr(defaults, name)
            if isinstance(default, tuple):
                accepted = isinstance(value, (list, tuple)) and all(isinstance(part, str) for part in value)
            elif isinstance(default, float):
                accepted = isinstance(value, (int, float)) and not isinstance(value, bool)
            else:
                accepted = type(value) is type(default)
            if not accepted:
                raise ConfigError(f"{name}: {value!r} is not a {type(default).__name__}", hint="mend the spec")
            values[name] = tuple(value) if isinstance(default, tuple) else type(default)(value)
        return cls(**values)
