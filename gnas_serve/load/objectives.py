"""Objectives: what a service is to keep, written ``p99=10ms,qps=500``, and which of them a measurement misses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gnas_serve.errors import ConfigError, LatencyError, unknown_name
from gnas_serve.plain_text import plain_text

Figures = Mapping[str, float | None]
"""By name of the objective: microseconds, requests per second, shares, bytes; None where nothing was measured."""

_WRITTEN = re.compile(r"([a-z0-9.]+)\s*=\s*(\d+(?:\.\d+)?|\.\d+)\s*([A-Za-z%]*)")
_SHOWN = 60


@dataclass(frozen=True)
class _Kind:
    """What a figure is counted in, and which side of the limit is the good one."""

    units: dict[str, float]
    example: str
    is_least: bool = False
    most: float = float("inf")


_TIME = _Kind({"us": 1.0, "ms": 1e3, "s": 1e6}, "10ms")
_SIZE = _Kind({"B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}, "500MB")
_KINDS = {
    "cpu": _TIME,
    "errors": _Kind({"%": 0.01, "": 1.0}, "0.1%", most=1.0),
    "max": _TIME,
    "p50": _TIME,
    "p90": _TIME,
    "p99": _TIME,
    "p99.9": _TIME,
    "qps": _Kind({"": 1.0}, "500", is_least=True),
    "recall": _Kind({"": 1.0, "%": 0.01}, "0.98", is_least=True, most=1.0),
    "rss": _SIZE,
}
OBJECTIVES = tuple(_KINDS)
"""The names that an objective may have."""


@dataclass(frozen=True)
class Objective:
    """One limit.

    Attributes
    ----------
    name
        One of :data:`OBJECTIVES`.
    limit
        The least of ``qps`` and ``recall``, the most of all others, in the unit of :data:`Figures`.
    """

    name: str
    limit: float

    def keeps(self, value: float | None) -> bool:
        """Tell whether a figure is within the limit; one that could not be measured is not."""
        if value is None:
            return False
        return value >= self.limit if _KINDS[self.name].is_least else value <= self.limit

    def miss(self, value: float | None) -> str:
        """Say in one line what was found and what was asked, each in its unit."""
        side = "least" if _KINDS[self.name].is_least else "most"
        asked, found = _shown(self.name, self.limit), "could not be measured"
        if value is not None:
            # As many digits as tell the two apart.
            digits = next((few for few in range(4, 17) if _shown(self.name, value, few) != asked), 17)
            found = f"is {_shown(self.name, value, digits)}"
        return f"{self.name} {found}, at {side} {asked} was asked"

    def to_json(self, value: float | None) -> dict[str, object]:
        """Give the JSON form, beside the figure."""
        return {"name": self.name, "limit": self.limit, "value": value, "kept": self.keeps(value)}


def read_objectives(text: str) -> tuple[Objective, ...]:
    """Read objectives as they stand on a command line.

    Parameters
    ----------
    text
        ``p99=10ms,errors=0.1%``: names of :data:`OBJECTIVES`, each once; times in us, ms or s, ``rss`` in bytes (kB,
        MB, GB, KiB, MiB, GiB), ``errors`` and ``recall`` as shares or in %.

    Raises
    ------
    ConfigError
        Naming what is no objective.
    """
    found: dict[str, Objective] = {}
    for part in text.split(","):
        written = _WRITTEN.fullmatch(part.strip())
        if written is None:
            raise ConfigError(
                f"--slo: {plain_text(part.strip()[:_SHOWN])!r} is no objective",
                hint="write NAME=LIMIT: p99=10ms,qps=500",
            )
        name, number, unit = written.groups()
        if name not in _KINDS:
            raise unknown_name("objective", name[:_SHOWN], _KINDS)
        if name in found:
            raise ConfigError(f"--slo: {name} is given twice", hint="give each objective once")
        kind = _KINDS[name]
        limit = float(number) * kind.units.get(unit, float("nan"))
        # Nothing takes no time, and everybody reaches zero requests a second: such a limit says nothing.
        if not 0 <= limit <= kind.most or limit == float("inf") or (limit == 0 and name != "errors"):
            raise ConfigError(
                f"--slo: {name} cannot be {plain_text(number + unit)[:_SHOWN]!r}",
                hint=f"write it as {name}={kind.example}",
            )
        found[name] = Objective(name, limit)
    return tuple(found.values())


def require_measured(objectives: Sequence[Objective], absent: Mapping[str, str]) -> None:
    """Make sure, before anything is measured, that every objective will be.

    Parameters
    ----------
    absent
        What will not be measured, and what to do about it.

    Raises
    ------
    ConfigError
        If it is an objective.
    """
    for objective in objectives:
        if objective.name in absent:
            raise ConfigError(f"--slo: {objective.name} is not measured here", hint=absent[objective.name])


def require_kept(objectives: Sequence[Objective], figures: Figures) -> None:
    """Hold figures against objectives.

    Raises
    ------
    LatencyError
        Saying of each that is missed what was found, and what was asked.
    """
    missed = [one.miss(figures[one.name]) for one in objectives if not one.keeps(figures[one.name])]
    if missed:
        raise LatencyError(
            f"{len(missed)} of {len(objectives)} objectives missed: {'; '.join(missed)}",
            hint="measure again on an idle machine, then export a quicker form or give the service more of it",
            code="objective_missed",
        )


def _shown(name: str, value: float, digits: int = 12) -> str:
    """Write a figure in a unit that suits its size."""
    kind = _KINDS[name]
    unit, scale = " /s", 1.0
    if kind is _TIME:
        unit, scale = (" us", 1.0) if value < 1e3 else (" ms", 1e3) if value < 1e6 else (" s", 1e6)
    elif kind is _SIZE:
        unit, scale = " MB", 1e6
    elif kind.most == 1.0:
        unit, scale = "%", 0.01
    shown = value / scale
    # Never as 1.235e+05: what is left of the point is written out.
    return f"{shown:.{max(digits, len(str(int(shown))))}g}{unit}"
