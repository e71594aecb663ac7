"""Provenance: what an artifact was made from and what each step of the export did to it, as its manifest states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

HASHES = ("data", "config", "lock", "code")
_Value = TypeVar("_Value")


@dataclass(frozen=True)
class Measured:
    """A mean over users and its 95 % bootstrap interval; the ends are None where there is no interval."""

    value: float
    low: float | None
    high: float | None

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Measured:
        """Read the JSON form; KeyError, TypeError or ValueError where it is garbled."""
        ends = (None if raw[name] is None else _number(raw[name]) for name in ("low", "high"))
        return cls(_number(raw["value"]), *ends)


@dataclass(frozen=True)
class StoredForm:
    """One form of a part of the model: its name, and the bytes that it takes in the artifact."""

    form: str
    size_bytes: int

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> StoredForm:
        """Read the JSON form; KeyError, TypeError or ValueError where it is garbled."""
        return cls(_text(raw["form"]), _whole(raw["size_bytes"]))


@dataclass(frozen=True)
class StepChange:
    """What one step of the export did to the model.

    Attributes
    ----------
    step
        Its name among the steps.
    before, after
        What went in and what came out.
    quality
        What it was measured to cost or to bring, by name; never a time.
    """

    step: str
    before: StoredForm
    after: StoredForm
    quality: dict[str, float]

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> StepChange:
        """Read the JSON form; KeyError, TypeError or ValueError where it is garbled."""
        before, after = (StoredForm.from_json(raw[name]) for name in ("before", "after"))
        return cls(_text(raw["step"]), before, after, _each(raw["quality"], _number))


@dataclass(frozen=True)
class Provenance:
    """What an artifact was made from.

    Attributes
    ----------
    hashes
        SHA-256 of each of :data:`HASHES`: the data (its fingerprint), the config and the lock below in canonical JSON,
        and the code of the three packages.
    config
        The export profile with its limits, and how the learned ranker was treated. Without the latency objective, which
        is of a machine and changes no byte.
    lock
        Version of every installed distribution that the bytes depend on.
    seeds
        Of ``training``, of the ``export``, and of the ``split`` of the data.
    architecture
        ``spec`` of the model; ``ranker``: its ``kind``, ``hidden`` widths, ``precision`` and ``form``.
    data
        Counts: ``interactions`` of the target event, ``gate_users`` who judged.
    metrics
        Those of the manifest with their intervals.
    baselines
        What the model was held against, on the same users: name -> metric -> value.
    steps
        Those that changed something, in their order.
    """

    hashes: dict[str, str]
    config: dict[str, Any]
    lock: dict[str, str]
    seeds: dict[str, int]
    architecture: dict[str, Any]
    data: dict[str, int]
    metrics: dict[str, Measured]
    baselines: dict[str, dict[str, Measured]]
    steps: tuple[StepChange, ...]

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return {**asdict(self), "steps": [asdict(step) for step in self.steps]}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Provenance:
        """Read the JSON form.

        Raises
        ------
        KeyError, TypeError, ValueError
            If a field is absent or of the wrong type.
        """
        hashes = _each(raw["hashes"], _text)
        return cls(
            hashes={name: hashes[name] for name in HASHES},
            config=_each(raw["config"], _any),
            lock=_each(raw["lock"], _text),
            seeds=_each(raw["seeds"], _whole),
            architecture=_each(raw["architecture"], _any),
            data=_each(raw["data"], _whole),
            metrics=_each(raw["metrics"], Measured.from_json),
            baselines=_each(raw["baselines"], lambda metrics: _each(metrics, Measured.from_json)),
            steps=tuple(StepChange.from_json(step) for step in raw["steps"]),
        )


def _each(raw: object, read: Callable[[Any], _Value]) -> dict[str, _Value]:
    if not isinstance(raw, dict):
        raise TypeError(f"provenance holds {raw!r} where an object is expected")
    return {name: read(value) for name, value in raw.items()}


def _any(raw: object) -> object:
    return raw


def _text(raw: object) -> str:
    if not isinstance(raw, str):
        raise TypeError(f"provenance holds {raw!r} where a text is expected")
    return raw


def _whole(raw: object) -> int:
    if type(raw) is not int or raw < 0:
        raise ValueError(f"provenance holds {raw!r} where a whole number is expected")
    return raw


def _number(raw: object) -> float:
    if isinstance(raw, bool) or not isinstance(raw, int | float):
        raise TypeError(f"provenance holds {raw!r} where a number is expected")
    return float(raw)
