"""The Pareto front of a study: the models that no other is better than in every objective."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gnas_search.dominance import dominates
from gnas_search.study.measurement import Measurement
from gnas_search.study.standings import averages
from gnas_search.study.study import Study

TIE = 0.2
"""Two times that differ by no more, relative to one of them, are one: the same network is timed as much apart in two
processes, and more on a busy machine (150 to 290 us within one study)."""
TIES = {"artifact_bytes": 0.01, "latency_us": TIE}
"""By objective, how far two values may be apart and still be one; others are one only where they are equal. Bytes are
exact, but a hundredth of them is nobody's reason to take a much worse model."""


def front(study: Study) -> tuple[str, ...]:
    """Give the keys of the models that no other is as good as in every objective and better in one.

    What is within :data:`TIES` is equal. Baselines and blends stand among them; a model of which an objective was
    not measured does not. With one objective it is the best model, and those equal to it.
    """
    objectives = study.header.objectives
    models: list[tuple[str, Measurement]] = [(one.key, one.measured) for one in study.baselines]
    models += [(one.key, one.measured) for one in study.feasible_blends]
    models += [(trial.key, measured) for trial, measured in averages(study)]
    known: dict[str, list[float]] = {}
    for key, measured in models:
        values = [measured.value_of(name) for name in objectives.names]
        told = [v for v in values if v is not None and math.isfinite(v)]
        if key not in known and len(told) == len(values):
            known[key] = [objectives.sign(name) * value for name, value in zip(objectives.names, told, strict=True)]
    if not known:
        return ()
    ties = [TIES.get(name, 0.0) for name in objectives.names]
    chosen = undominated(np.array(list(known.values())), ties)
    return tuple(key for key, is_best in zip(known, chosen, strict=True) if is_best)


def undominated(
    points: npt.NDArray[np.float64] | Sequence[Sequence[float]], ties: Sequence[float] | None = None
) -> npt.NDArray[np.bool_]:
    """Tell of each of n points in m objectives, the higher the better, whether no other dominates it: (n, m) -> (n,).

    Parameters
    ----------
    points : (n, m)
        Values.
    ties : (m,)
        As for :func:`gnas_search.dominance.dominates`; none unless given, and none in the first objective. With ties,
        to be dominated is not passed on: from the best by the first objective on, each point is held against those
        that are left so far.
    """
    values = np.asarray(points, dtype=np.float64)
    slack = np.zeros(values.shape[1]) if ties is None else np.asarray(ties, dtype=np.float64)
    left = np.zeros(len(values), dtype=bool)
    keys = -values[:, np.argsort(slack, kind="stable")].T  # by what has no ties first: who dominates comes before
    for place in np.lexsort(keys[::-1]):
        left[place] = not dominates(values[left], values[place], slack).any()
    return left
