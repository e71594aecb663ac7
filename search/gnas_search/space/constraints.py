"""Constraints: what of a space a study must not try, by what a model is and by what it would take to serve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gnas_search.space.conditions import Condition, Force, read_condition, read_force
from gnas_search.space.genes import at
from gnas_search.specs import BranchSpec
from gnas_serve.errors import ConfigError, unknown_name

_ENDLESS = 2**63
LIMITS = ("max_artifact_bytes", "max_latency_us", "max_parameters")


@dataclass(frozen=True)
class Constraints:
    """What a study must not try.

    Rules are held against canonical specs: what has no effect on a model is no part of it.

    Attributes
    ----------
    forbid
        A model of which every line of any of these is true is out.
    force
        A model that breaks any of these is out.
    max_parameters
        Most numbers that training adjusts; closed forms have none.
    max_artifact_bytes
        Most bytes of the tables of an artifact: see :func:`gnas_search.space.costs.artifact_bytes`; where models are
        exported to be measured, also as export writes them.
    max_latency_us
        Most microseconds of a request for 10 items to the exported model, measured once it is fitted.
    """

    forbid: tuple[Condition, ...] = ()
    force: tuple[Force, ...] = ()
    max_parameters: int | None = None
    max_artifact_bytes: int | None = None
    max_latency_us: float | None = None
    source: str = field(default="space", compare=False)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any], *, source: str = "space") -> Constraints:
        """Read the sections ``constraints``, ``forbid`` and ``force`` of a space file.

        Raises
        ------
        ConfigError
            Naming the source and the key that is wrong.
        """
        limits = raw.get("constraints", {})
        if not isinstance(limits, Mapping):
            raise ConfigError(f"{source}: constraints is no table", hint="write [constraints]")
        for name, value in limits.items():
            where = f"{source}: constraints"
            if name not in LIMITS:
                raise at(where, unknown_name("constraint", name, LIMITS))
            whole = name != "max_latency_us"
            if (
                isinstance(value, bool)
                or not isinstance(value, int if whole else (int, float))
                or not 0 < value < _ENDLESS
            ):
                raise ConfigError(
                    f"{where}.{name}: {value!r} is no limit", hint=f"give a {'whole ' if whole else ''}number above 0"
                )
        forbid = tuple(read_condition(rule, f"{source}: forbid") for rule in _rules(raw, "forbid", source))
        force = tuple(read_force(rule, f"{source}: force") for rule in _rules(raw, "force", source))
        return cls(forbid, force, **limits, source=source)

    def to_json(self) -> dict[str, Any]:
        """Give the sections of a space file that read as these constraints; none of which is empty."""
        sections = {
            "constraints": {name: getattr(self, name) for name in LIMITS if getattr(self, name) is not None},
            "forbid": [rule.to_json() for rule in self.forbid],
            "force": [rule.to_json() for rule in self.force],
        }
        return {name: section for name, section in sections.items() if section}

    @property
    def are_none(self) -> bool:
        """Whether nothing that a space has is out before it is fitted."""
        return not (self.forbid or self.force or self.max_parameters or self.max_artifact_bytes)

    def broken_rule(self, spec: BranchSpec) -> str:
        """Say which rule a model breaks; empty where none."""
        spec = spec.canonical()
        for rule in self.forbid:
            if rule.concerns(spec) and rule.holds(spec):
                return f"forbidden: {rule.summary()}"
        for needed in self.force:
            if needed.is_broken_by(spec):
                return f"it must have {needed.summary()}"
        return ""

    def too_large(self, parameters: int, size_bytes: int) -> str:
        """Say which limit a model of such a size is above; empty where none."""
        if self.max_parameters is not None and parameters > self.max_parameters:
            return f"{parameters:,} parameters, more than max_parameters = {self.max_parameters:,}"
        if self.max_artifact_bytes is not None and size_bytes > self.max_artifact_bytes:
            return f"{size_bytes:,} bytes of tables, more than max_artifact_bytes = {self.max_artifact_bytes:,}"
        return ""

    def too_costly(self, costs: Mapping[str, float]) -> str:
        """Say which limit a model is above by what was measured of its export; empty where none.

        Parameters
        ----------
        costs
            As :class:`gnas_search.study.meter.CostMeter` gives them; what was not measured breaks nothing.
        """
        size_bytes = costs.get("table_bytes", 0.0)
        if self.max_artifact_bytes is not None and size_bytes > self.max_artifact_bytes:
            written = f"{size_bytes:,.0f} bytes of tables as export writes them"
            return f"{written}, more than max_artifact_bytes = {self.max_artifact_bytes:,}"
        return self.too_slow(costs.get("latency_us", 0.0))

    def too_slow(self, latency_us: float) -> str:
        """Say that a request to an exported scorer takes too long; empty where it does not."""
        if self.max_latency_us is None or latency_us <= self.max_latency_us:
            return ""
        return f"a request takes {latency_us:.0f} us, more than max_latency_us = {self.max_latency_us:g}"


UNCONSTRAINED = Constraints()


def _rules(raw: Mapping[str, Any], section: str, source: str) -> list[Mapping[str, Any]]:
    rules = raw.get(section, [])
    if not isinstance(rules, list) or not all(isinstance(rule, Mapping) and rule for rule in rules):
        raise ConfigError(f"{source}: {section} is no list of tables", hint=f"write [[{section}]], once or more")
    return rules
