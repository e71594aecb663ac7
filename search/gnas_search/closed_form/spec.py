"""ClosedFormSpec: what the specs of all models without training have in common."""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from typing import Any, ClassVar, Self

from gnas_search.typed_fields import read_field
from gnas_serve.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class ClosedFormSpec(ABC):
    """A model that is computed from the interactions at once: complete and hashable, as an ``ArchitectureSpec`` is.

    Attributes
    ----------
    KIND
        Of the family; the kind of its branch as well, and the start of its keys.
    """

    KIND: ClassVar[str]

    def canonical(self) -> Self:
        """Set what has no effect to one fixed value, so that equal models are equal specs."""
        return self

    def key(self) -> str:
        """Give a short name of the canonical spec, equal for equal models."""
        return self._key

    @cached_property  # a search asks several times per trial
    def _key(self) -> str:
        raw = json.dumps(self.canonical().to_json(), sort_keys=True)
        return f"{self.KIND}-" + hashlib.sha256(raw.encode()).hexdigest()[:10]

    @abstractmethod
    def summary(self) -> str:
        """Describe the model in a few words, for tables."""

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form, which names the family as ``kind``."""
        return {"kind": self.KIND, **asdict(self)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Read the JSON form, with or without ``kind``.

        Raises
        ------
        ConfigError
            If a field is unknown, of the wrong type or out of range, or ``kind`` is another family's.
        """
        kind = raw.get("kind", cls.KIND)
        if kind != cls.KIND:
            raise ConfigError(f"kind: {kind!r} where {cls.KIND!r} is read", hint="give the spec to its own family")
        defaults: dict[str, Any] = {f.name: f.default for f in fields(cls)}
        values: dict[str, Any] = {}
        for name, value in raw.items():
            if name == "kind":
                continue
            if name not in defaults:
                raise unknown_name("spec field", name, defaults)
            values[name] = read_field(name, value, type(defaults[name]))
        return cls(**values)

    def _require_one_of(self, name: str, known: Iterable[str]) -> None:
        names = tuple(known)
        if getattr(self, name) not in names:
            raise unknown_name(name, str(getattr(self, name)), names)

    def _require_within(self, name: str, low: float, high: float) -> None:
        value = getattr(self, name)
        if not low <= value <= high:  # NaN fails as well
            raise ConfigError(f"{name}: {value} is not within {low:g}..{high:g}", hint=f"give {low:g} to {high:g}")
