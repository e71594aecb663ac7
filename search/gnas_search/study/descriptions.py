"""Descriptions of a study's models: a line each, told apart where two models read alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from gnas_search.specs import BranchSpec

_SHOWN = 4
"""Settings named for one model; the others are in its spec."""


def descriptions(specs: Sequence[BranchSpec]) -> list[str]:
    """Describe each model; those whose summaries are equal also by the settings in which they differ.

    Parameters
    ----------
    specs
        Of different models.
    """
    alike: dict[str, list[BranchSpec]] = defaultdict(list)
    for spec in specs:
        alike[spec.summary()].append(spec)
    return [_told_apart(spec, alike[spec.summary()]) for spec in specs]


def _told_apart(spec: BranchSpec, group: Sequence[BranchSpec]) -> str:
    raws = [one.to_json() for one in group]
    names = dict.fromkeys(name for raw in raws for name in raw)
    differing = [name for name in names if len({repr(raw.get(name)) for raw in raws}) > 1]
    own = spec.to_json()
    said = [f"{name}={_short(own[name])}" for name in differing if name in own][:_SHOWN]
    return " | ".join([spec.summary(), *([", ".join(said)] if said else [])])


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
