"""Axes: what the values of a study's models are held against."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from gnas_search.report.models import Model
from gnas_search.study import Objectives
from gnas_search.study.front import TIE, TIES


@dataclass(frozen=True)
class Axis:
    """Something that models differ in beside their value.

    Attributes
    ----------
    name
        That of an objective, where it is one.
    title, unit
        Of the axis.
    of
        What a model has of it; None where it was not measured or has no meaning.
    sign
        1 where more is better, else -1.
    tie
        By how much of it two models may differ and still be equal in it: see :mod:`gnas_search.study.front`.
    """

    name: str
    title: str
    unit: str
    of: Callable[[Model], float | None]
    sign: int = -1
    tie: float = 0.0

    @property
    def label(self) -> str:
        """The title with its unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


COSTS: tuple[Axis, ...] = (
    Axis("seconds", "time of training", "s", lambda model: model.seconds or None, tie=TIE),
    Axis("parameters", "trained parameters", "", lambda model: float(model.parameters)),
    Axis("scan_us", "time of scoring all items for one user", "µs", lambda model: model.scan_us or None, tie=TIE),
    Axis(
        "latency_us",
        "median request to the exported scorer",
        "µs",
        lambda model: model.measured.values.get("latency_us"),
        tie=TIES["latency_us"],
    ),
    Axis(
        "artifact_bytes",
        "what would be served",
        "bytes",
        lambda model: model.measured.values.get("artifact_bytes"),
        tie=TIES["artifact_bytes"],
    ),
)
"""What models cost. The peak of memory is none: it is the most that the process has held until then, whichever model it
was for."""


def axes_of(objectives: Objectives) -> tuple[Axis, ...]:
    """List what a study's models are held against: its objectives but the first, then what else they cost."""
    costs = {cost.name: cost for cost in COSTS}
    others = objectives.names[1:]
    weighed = [costs[name] if name in costs else _metric(name, objectives.sign(name)) for name in others]
    return (*weighed, *(cost for name, cost in costs.items() if name not in others))


def _metric(name: str, sign: int) -> Axis:
    def of(model: Model) -> float | None:
        value = model.measured.value_of(name)
        return value if value is not None and math.isfinite(value) else None

    return Axis(name, name, "", of, sign)
