"""Specs of every kind of model: networks, closed forms, and blends of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, replace
from typing import Any

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import CLOSED_FORMS, ClosedFormSpec, closed_form_from_json
from gnas_serve.artifact.branches import TWO_HOP
from gnas_serve.errors import ConfigError, unknown_name

GNN = "gnn"
BLEND = "blend"
FAMILIES = ("filter", "two-hop", GNN)
"""What strategies draw from: each family is a space of its own."""

BranchSpec = ArchitectureSpec | ClosedFormSpec


@dataclass(frozen=True)
class Share:
    """What a branch contributes to a blend: its standardised scores, times a weight.

    Attributes
    ----------
    spec
        The branch.
    weight
        At least 0; of one spread of its scores.
    spread, history_power
        The scores of a user with n items are about ``spread * n ** history_power`` large (their root mean square over
        candidates): what they are divided by. Measured once, on validation users, and kept for the final fit. What
        scores are multiplied by, ``weight / spread``, stays where vectors and links remain finite in float32.
    """

    spec: BranchSpec
    weight: float
    spread: float = 1.0
    history_power: float = 0.0

    def __post_init__(self) -> None:
        """Refuse values without a meaning.

        Raises
        ------
        ConfigError
            If one of them is out of its range, or the weight out of that which the spread leaves it.
        """
        within = 0.0 <= self.weight <= 1e6 and 1e-12 <= self.spread <= 1e12 and abs(self.history_power) <= 2.0
        if not within or not (self.weight == 0.0 or 1e-24 <= self.weight / self.spread <= 1e12):
            raise ConfigError(
                f"blend: a branch with weight {self.weight}, spread {self.spread}, history_power {self.history_power}",
                hint="weights are within 0..1e6, spreads within 1e-12..1e12, their quotients 0 or within 1e-24..1e12, "
                "powers within -2..2",
            )


@dataclass(frozen=True)
class BlendSpec:
    """A sum of several models' scores.

    Attributes
    ----------
    shares
        One to four branches, at most one of each kind.
    dims
        Width of one pair of vectors that the whole blend is compressed into; None keeps every branch as it is.
    """

    shares: tuple[Share, ...]
    dims: int | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be fitted.

        Raises
        ------
        ConfigError
            If there is no branch, two are of one kind, none ranks all items, or ``dims`` is below 1.
        """
        kinds = [kind_of(share.spec) for share in self.shares]
        if not kinds or len(set(kinds)) != len(kinds):
            raise ConfigError(f"blend of {kinds}", hint="give one branch of each kind at most, and at least one")
        if kinds == [TWO_HOP] and self.dims is None:
            raise ConfigError("blend of two hops alone, which rank what they reach", hint="add a popularity branch")
        if self.dims is not None and self.dims < 1:
            raise ConfigError(f"dims: {self.dims} is below 1", hint="give at least 1, or leave it out")

    def canonical(self) -> BlendSpec:
        """Bring every branch to its canonical form."""
        return replace(self, shares=tuple(replace(share, spec=share.spec.canonical()) for share in self.shares))

    def key(self) -> str:
        """Give a short name, equal for equal models."""
        raw = json.dumps(self.canonical().to_json(), sort_keys=True)
        return f"{BLEND}-{hashlib.sha256(raw.encode()).hexdigest()[:10]}"

    def summary(self) -> str:
        """Describe the blend in a few words, for tables."""
        parts = " + ".join(f"{share.weight:.2f} {share.spec.key()}" for share in self.shares)
        return parts if self.dims is None else f"{parts}, as {self.dims} dims"

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        shares = [
            {"spec": s.spec.to_json(), "weight": s.weight, "spread": s.spread, "history_power": s.history_power}
            for s in self.shares
        ]
        return {"kind": BLEND, "shares": shares, "dims": self.dims}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> BlendSpec:
        """Read the JSON form.

        Raises
        ------
        ConfigError
            If a field is unknown, absent, of the wrong type or out of range.
        """
        fields = {name: value for name, value in raw.items() if name != "kind"}
        for name in fields:
            if name not in ("dims", "shares"):
                raise unknown_name("spec field", name, ("dims", "shares"))
        shares, dims = fields.get("shares"), fields.get("dims")
        if not isinstance(shares, list) or not all(isinstance(share, dict) for share in shares):
            raise ConfigError("shares: no list of objects", hint='write [{"spec": {...}, "weight": 0.5}, ...]')
        if dims is not None and type(dims) is not int:
            raise ConfigError(f"dims: {dims!r} is no number of dims", hint="give a whole number, or leave it out")
        return cls(tuple(_read_share(share) for share in shares), dims)


ModelSpec = BranchSpec | BlendSpec


def _read_share(raw: dict[str, Any]) -> Share:
    names = ("history_power", "spec", "spread", "weight")
    for name in raw:
        if name not in names:
            raise unknown_name("field of a blend's branch", name, names)
    if not isinstance(raw.get("spec"), dict):
        raise ConfigError("spec: no object in a blend's branch", hint='write {"spec": {...}, "weight": 0.5}')
    spec = read_spec(raw["spec"])
    if isinstance(spec, BlendSpec):
        raise ConfigError("a blend within a blend", hint="list its branches instead")
    numbers = {name: raw[name] for name in names if name != "spec" and name in raw}
    for name, value in numbers.items():
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            raise ConfigError(f"{name}: {value!r} is no number", hint="mend the spec")
    return Share(spec, **{"weight": 1.0, **{name: float(value) for name, value in numbers.items()}})


def kind_of(spec: ModelSpec) -> str:
    """Name the kind of a model: ``"gnn"``, ``"filter"``, ``"two-hop"``, ``"popularity"`` or ``"blend"``."""
    if isinstance(spec, ArchitectureSpec):
        return GNN
    return BLEND if isinstance(spec, BlendSpec) else spec.KIND


def read_spec(raw: dict[str, Any]) -> ModelSpec:
    """Read any model; without a ``kind`` it is a network.

    Raises
    ------
    ConfigError
        If the kind or a field is unknown, of the wrong type or out of range.
    """
    try:
        return _read_kind(raw)
    except OverflowError as error:  # a whole number beyond all floats
        raise ConfigError(f"a number of the spec is too large: {error}", hint="mend the spec") from error


def _read_kind(raw: dict[str, Any]) -> ModelSpec:
    kind = raw.get("kind", GNN)
    if kind == GNN:
        return ArchitectureSpec.from_json({name: value for name, value in raw.items() if name != "kind"})
    if kind == BLEND:
        return BlendSpec.from_json(raw)
    if not isinstance(kind, str) or kind not in CLOSED_FORMS:
        raise unknown_name("kind of model", str(kind), (GNN, BLEND, *CLOSED_FORMS))
    return closed_form_from_json(raw)
