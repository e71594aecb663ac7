"""The Pareto front of a study: the models that no other is better than in every objective."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gnas_search.study.measurement import Measurement
from gnas_search.study.study import Study


def front(study: Study) -> tuple[str, ...]:
    """Give the keys of the models that no other is as good as in every objective and better in one.

    Baselines and blends stand among them; a model of which an objective was not measured does not. With one objective
    it is the best model, and those equal to it.
    """
    objectives = study.header.objectives
    models: list[tuple[str, Measurement]] = [(one.key, one.measured) for one in study.baselines]
    models += [(one.key, one.measured) for one in study.blends if not one.infeasible]
    models += [(trial.key, measured) for trial, measured in study.ranking]
    known: dict[str, list[float]] = {}
    for key, measured in models:
        values = [measured.value_of(name) for name in objectives.names]
        if key not in known and None not in values:
            known[key] = [objectives.sign(n) * float(v or 0.0) for n, v in zip(objectives.names, values, strict=True)]
    if not known:
        return ()
    chosen = undominated(np.array(list(known.values())))
    return tuple(key for key, is_best in zip(known, chosen, strict=True) if is_best)


def undominated(points: npt.NDArray[np.float64] | Sequence[Sequence[float]]) -> npt.NDArray[np.bool_]:
    """Tell of each of n points in m objectives, the higher the better, whether no other dominates it: (n, m) -> (n,).

    One point dominates another where it is at least as good in every objective, and better in one.
    """
    values = np.asarray(points, dtype=np.float64)
    as_good = (values[:, None, :] >= values[None, :, :]).all(axis=2)
    better = (values[:, None, :] > values[None, :, :]).any(axis=2)
    dominated: npt.NDArray[np.bool_] = np.any(as_good & better, axis=0)
    return np.logical_not(dominated)
