"""Plan: what a search would try and take, before it runs; nothing is written and nothing is trained."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import optuna

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.evaluate import Validation, fresh_validation, validation_of
from gnas_search.fit import Branch, Fit
from gnas_search.fit_forecast import TrialForecast
from gnas_search.footprint import host_bytes
from gnas_search.memory import available_bytes, resident_bytes
from gnas_search.memory_check import TOO_LARGE, check_memory, within_memory
from gnas_search.slots.threads import threads_of_a_slot
from gnas_search.space import SearchSpace
from gnas_search.space.points import random_point
from gnas_search.specs import GNN, BranchSpec
from gnas_search.strategies.shortlist import Shortlist
from gnas_search.strategies.tally import family_of
from gnas_search.study.draws import Draws
from gnas_search.study.limits import MOST_RESERVED, Limits
from gnas_search.study.meter import CostMeter
from gnas_search.study.objectives import NDCG, Objectives
from gnas_search.study.recovery import as_found_next
from gnas_search.study.rehearsal import Cast, Part, Stage, rehearse
from gnas_search.study.reserve import Reserve
from gnas_search.study.study import Study
from gnas_search.study.supernet_phase import share_s, would_train
from gnas_search.study.warm_start import COLD, WarmStart
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.errors import ConfigError

SAMPLED = 20
"""Random points of each family whose forecast is told."""
_DRAWS = 50
"""So many are drawn for each of them at most, where constraints leave few."""
_METERED = 64
"""Columns of the vectors that the export of a model is timed with."""

Facts = dict[str, Any]


def plan(
    dataset: Dataset,
    space: SearchSpace,
    *,
    strategy: str,
    seed: int,
    limits: Limits,
    warm: WarmStart = COLD,
    objectives: Objectives = NDCG,
    slots: int = 1,
    study: Study | None = None,
    meter: CostMeter | None = None,
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
    objectives
        What models would be measured by.
    slots
        Trials at a time: each is timed with its share of the threads, though with nothing beside it.
    study
        What it would go on with: its trials count, and what was tried is not forecast.
    meter
        Measures what models cost to serve, where the search would: it is timed once.

    Returns
    -------
    dict
        ``users``, ``items``, ``interactions``, ``available_bytes`` (None where the system does not say),
        ``strategy``, ``seed``, ``objectives``, ``slots``, ``families`` (of each its ``size``, what is ``feasible`` of
        it and was ``tried``, the ``starts`` that are left beside what is ``interrupted``, and ``sample``), ``costs_s``
        (of a model's export and timing), whether a ``supernet`` would be trained, ``trials`` and ``seconds`` expected
        by family, ``wall_s`` in all, and the most trials ``together``.

    Raises
    ------
    ConfigError
        If the constraints of the space leave nothing, or an objective cannot be measured on this data.
    """
    validation = validation_of(dataset).judged_by(objectives.judge(dataset, seed))
    restricted = warm.extended(space.restrict(dataset))
    trials = TrialForecast(dataset.selection, validation)
    share_time = limits.budget_s is not None
    draws = _draws(study, restricted, strategy, seed, objectives, share_time=share_time)
    known, shortlists = draws.tried.known(), {} if study is None else study.shortlists
    with threads_of_a_slot(slots):
        families = {family: _family(restricted, family, trials, dataset, seed, draws) for family in draws.families}
        again = {spec.key(): (family, spec) for family, spec in draws.second_tries() if spec.key() not in known}
        retries = [(family, _part(_forecast(spec, trials, dataset))) for family, spec in again.values()]
    costs_s = 0.0 if meter is None else _metered_s(meter, dataset.selection, seed)
    room = available_bytes()
    time_s = _trials_s(limits, dataset, validation, slots, study)
    supernet = would_train(strategy, restricted, dataset.selection, shortlists, limits, draws)
    stage = Stage(
        trials=None if limits.trials is None else max(0, limits.trials - len(known)),
        time_s=time_s,
        trial_s=limits.trial_s,
        spent_s=_spent_s(draws, shortlists) if share_time else None,
        drawn=draws.turns_had,
        supernet_s=share_s(time_s, families) if supernet and time_s else 0.0,
        costs_s=costs_s,
        slots=slots,
        available_bytes=room,
        process_bytes=resident_bytes(),
    )
    found = rehearse({family: _cast(facts) for family, facts in families.items()}, stage, retries)
    return {
        "users": dataset.selection.num_users,
        "items": dataset.selection.num_items,
        "interactions": int(dataset.selection.positives.nnz),
        "available_bytes": room,
        "strategy": strategy,
        "seed": seed,
        "objectives": list(objectives.names),
        "slots": slots,
        "constraints": restricted.constraints.to_json(),
        "families": families,
        "interrupted": len(retries),
        "costs_s": costs_s,
        "supernet": supernet,
        "trials": {family: found.trials[family] for family in families},
        "seconds": {family: found.seconds.get(family, 0.0) for family in families},
        "wall_s": found.wall_s,
        "together": {"trials": found.most_together, "peak_bytes": resident_bytes() + found.most_bytes},
        "budget_s": limits.budget_s,
    }


def _draws(
    study: Study | None, space: SearchSpace, strategy: str, seed: int, objectives: Objectives, *, share_time: bool
) -> Draws:
    """Give the draws that a run would begin with; of a study, of a copy of its journal."""
    if study is None:
        journal = optuna.create_study(directions=list(objectives.directions))
    else:
        journal = as_found_next(study.folder, study.header, space)
    return Draws(journal, space, strategy, seed, share_time=share_time)


def _spent_s(draws: Draws, shortlists: Mapping[str, Shortlist]) -> dict[str, float]:
    """Say what earlier runs spent on each family, supernets included."""
    spent, shared = draws.spent_s(), sum(one.seconds for one in shortlists.values())
    return {**spent, GNN: spent.get(GNN, 0.0) + shared} if shared else spent


def _trials_s(
    limits: Limits, dataset: Dataset, validation: Validation, slots: int, study: Study | None
) -> float | None:
    """Say how much of a budget is for trials: of a study it is known what comes after them, else the most is kept."""
    if limits.budget_s is None:
        return None
    kept_s = MOST_RESERVED * limits.budget_s
    if study is not None and study.ranking:
        judges = fresh_validation(dataset, validation) or validation
        reserve = Reserve(study, len(judges.users), slots)
        kept_s = min(kept_s, reserve.finalists_s + reserve.blend_s)
    return limits.budget_s - kept_s


def _metered_s(meter: CostMeter, graph: InteractionGraph, seed: int) -> float:
    """Time the export of one model: of vectors as wide as usual, drawn at random."""
    rng = np.random.default_rng(seed)
    users, items = (
        rng.standard_normal((count, _METERED), dtype=np.float32) for count in (graph.num_users, graph.num_items)
    )
    branch = Branch(BranchFacts("drawn", GNN, _METERED), users, items)
    start = time.monotonic()
    meter(Fit((branch,), 1))
    return time.monotonic() - start


def _cast(facts: Facts) -> Cast:
    sample = facts["sample"]
    models = facts["feasible"]["models"] - facts["tried"]
    usual = None
    if sample["usual"] is not None:
        usual = Part(**{name: sample["usual"][name] for name in ("seconds", "host_bytes", "first_s")})
    # As the driver, which ends a family by an exact count alone: an estimated one may say 0 of a tight space.
    is_counted = facts["is_finite"] and facts["feasible"]["is_exact"]
    return Cast([_part(start) for start in facts["starts"]], usual, max(0, models) if is_counted else None)


def _part(forecast: Facts) -> Part:
    seconds = forecast["trial_s"] if forecast["trial_s"] is not None else 0.0  # one that is refused fails at once
    return Part(seconds, forecast["host_bytes"], forecast["epoch_s"], bool(forecast["refused"]))


def _family(space: SearchSpace, family: str, trials: TrialForecast, dataset: Dataset, seed: int, draws: Draws) -> Facts:
    own, known = space.families[family], draws.tried.known()
    count = space.count(family)
    starts = [_forecast(start, trials, dataset) for start in draws.starts_left(family) if start.key() not in known]
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
        "tried": sum(family_of(trial) == family for trial in known.values()),
        "starts": starts,
        "sample": {
            "points": len(points),
            "drawn": drawn,
            **{name: _spread([point[name] for point in points]) for name in ("epoch_s", "trial_s", "peak_bytes")},
            "usual": _usual([point for point in points if not point["refused"]]),
            "refused": [point for point in points if point["refused"]],
        },
    }


def _forecast(spec: BranchSpec, trials: TrialForecast, dataset: Dataset) -> Facts:
    epoch_s, trial_s, refused = None, None, ""
    try:
        check_memory(spec, dataset.selection)
        with within_memory(spec, dataset.selection):
            epoch_s = trials.epoch_s(spec) if isinstance(spec, ArchitectureSpec) else None
            trial_s = trials.trial_s(spec)
    except ConfigError as error:
        if error.code != TOO_LARGE:
            raise
        epoch_s, trial_s, refused = None, None, error.message  # what is timed takes as wide tables
    return {
        "key": spec.key(),
        "model": spec.summary(),
        "epoch_s": epoch_s,
        "trial_s": trial_s,
        "peak_bytes": trials.peak_bytes(spec),
        "host_bytes": host_bytes(spec, dataset.selection),
        "refused": refused,
    }


def _usual(points: Sequence[Facts]) -> Facts | None:
    """Give the medians of the points that memory allows; None where it allows none."""
    if not points:
        return None
    names = {"seconds": "trial_s", "host_bytes": "host_bytes", "first_s": "epoch_s"}
    spreads = {name: _spread([point[of] for point in points]) for name, of in names.items()}
    return {name: spread and spread["median"] for name, spread in spreads.items()}


def _spread(values: Sequence[float | None]) -> dict[str, float] | None:
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    return {"least": known[0], "median": known[len(known) // 2], "most": known[-1]}
