"""Plan: what a search would try and take, before it runs; nothing is written and nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset
from gnas_search.evaluate import validation_of
from gnas_search.fit_forecast import TrialForecast
from gnas_search.footprint import TOO_LARGE, check_memory
from gnas_search.memory import available_bytes
from gnas_search.space import SearchSpace
from gnas_search.space.points import random_point
from gnas_search.specs import GNN, BranchSpec
from gnas_search.strategies import SHARING_STRATEGIES
from gnas_search.study.limits import MOST_RESERVED, Limits
from gnas_search.study.supernet_phase import share_s
from gnas_search.study.turns import ROUND, TIME_SHARES
from gnas_search.study.warm_start import COLD, WarmStart
from gnas_serve.errors import ConfigError

SAMPLED = 20
"""Random points of each family whose forecast is told."""
_DRAWS = 50
"""So many are drawn for each of them at most, where constraints leave few."""

Facts = dict[str, Any]


def plan(
    dataset: Dataset, space: SearchSpace, *, strategy: str, seed: int, limits: Limits, warm: WarmStart = COLD
) -> Facts:
    """Forecast a search.

    Parameters
    ----------
    dataset
        What it would be about.
    space
        What it would try.
    strategy
        Named in the result.
    seed
        Of the random points.
    limits
        When it would end.
    warm
        What it would be started from: its models are told among the starts.

    Returns
    -------
    dict
        ``users``, ``items``, ``interactions``, ``available_bytes`` (None where the system does not say),
        ``strategy``, ``seed``, ``families`` (of each its ``size``, what is ``feasible`` of it, ``starts`` and
        ``sample``), ``trials`` and ``seconds`` expected, by family and in all.

    Raises
    ------
    ConfigError
        If the constraints of the space leave nothing.
    """
    restricted = warm.extended(space.restrict(dataset))
    trials = TrialForecast(dataset.selection, validation_of(dataset))
    families = {family: _family(restricted, family, trials, dataset, seed) for family in restricted.families}
    return {
        "users": dataset.selection.num_users,
        "items": dataset.selection.num_items,
        "interactions": int(dataset.selection.positives.nnz),
        "available_bytes": available_bytes(),
        "strategy": strategy,
        "seed": seed,
        "constraints": restricted.constraints.to_json(),
        "families": families,
        **_expected(families, limits, strategy),
    }


def _family(space: SearchSpace, family: str, trials: TrialForecast, dataset: Dataset, seed: int) -> Facts:
    own = space.families[family]
    count = space.count(family)
    starts = [_forecast(start, trials, dataset) for start in own.starts]
    rng = np.random.default_rng([seed, len(own.genes)])
    drawn = 0
    points: list[Facts] = []
    while len(points) < SAMPLED and drawn < SAMPLED * _DRAWS:
        drawn += 1
        spec = space.read(family, random_point(rng, own.genes))
        if not space.why_not(spec):
            points.append(_forecast(spec, trials, dataset))
    return {
        "size": own.size(),
        "is_finite": own.is_finite,
        "feasible": {"models": count.models, "is_exact": count.is_exact},
        "starts": starts,
        "sample": {
            "points": len(points),
            "drawn": drawn,
            **{name: _spread([point[name] for point in points]) for name in ("epoch_s", "trial_s", "peak_bytes")},
            "usual_trial_s": _spread([point["trial_s"] for point in points if not point["refused"]]),
            "refused": [point for point in points if point["refused"]],
        },
    }


def _forecast(spec: BranchSpec, trials: TrialForecast, dataset: Dataset) -> Facts:
    try:
        check_memory(spec, dataset.selection)
        refused = ""
    except ConfigError as error:
        if error.code != TOO_LARGE:
            raise
        refused = error.message
    return {
        "key": spec.key(),
        "model": spec.summary(),
        "epoch_s": trials.epoch_s(spec) if isinstance(spec, ArchitectureSpec) else None,
        "trial_s": trials.trial_s(spec),
        "peak_bytes": trials.peak_bytes(spec),
        "refused": refused,
    }


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return {"least": known[0], "median": known[len(known) // 2], "most": known[-1]}


def _expected(families: dict[str, Facts], limits: Limits, strategy: str) -> Facts:
    """Say how many trials a budget holds, or how long so many take: what the simple models take left aside.

    A trial takes the mean of the forecasts that memory allows, of the starts and of the median random point; where it
    allows none, none is expected. No trial takes more than its share of a budget. A supernet takes its share out of
    that of the networks. Where trials are limited too, each family has the fewer for it.
    """
    budget_s = None if limits.budget_s is None else limits.budget_s * (1.0 - MOST_RESERVED)
    mean: dict[str, float] = {}
    for family, facts in families.items():
        known = [one["trial_s"] for one in facts["starts"] if not one["refused"]]
        usual = facts["sample"]["usual_trial_s"]
        known += [usual["median"]] if usual is not None else []
        if not known:
            continue
        mean[family] = float(np.mean(known))
        if limits.trial_s is not None:
            mean[family] = min(mean[family], limits.trial_s)
    if budget_s is None:
        turns = [family for family in ROUND if family in families]
        asked = [turns[number % len(turns)] for number in range(limits.trials or 0)]
        found = {family: asked.count(family) for family in mean}
    else:
        shares = sum(TIME_SHARES[family] for family in families)
        left = {
            family: budget_s * TIME_SHARES[family] / shares
            - (share_s(budget_s, families) if family == GNN and strategy in SHARING_STRATEGIES else 0.0)
            for family in families
        }
        found = {family: int(max(0.0, left[family]) / max(s, 1e-3)) for family, s in mean.items()}
    found = {
        family: min(count, families[family]["feasible"]["models"]) if families[family]["is_finite"] else count
        for family, count in found.items()
    }
    most = sum(found.values()) if limits.trials is None else limits.trials
    if sum(found.values()) > most:
        found = {family: count * most // sum(found.values()) for family, count in found.items()}
    return {
        "trials": {family: found.get(family, 0) for family in families},
        "seconds": {family: found.get(family, 0) * mean.get(family, 0.0) for family in families},
        "budget_s": limits.budget_s,
    }
