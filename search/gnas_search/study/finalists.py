"""Finalists: the best networks of a study, which are trained from several seeds, and what came of that."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any, TypeVar

import numpy as np

from gnas_search.bootstrap import interval, intervals
from gnas_search.evaluate import UserMetrics
from gnas_search.specs import GNN
from gnas_search.study.measurement import Measurement
from gnas_search.study.records import Trial

Named = TypeVar("Named")  # a trial, or its key

CLOSE = 0.03
"""How far below the best network, relative to it, one may lie to be a finalist: on ml-100k two seeds of one network
differ by 1 to 2 % in ndcg@20, and the best of many trials is the luckiest as well."""
MOST = 3
"""Finalists; of fewer than two nothing is to be decided."""
FURTHER_SEEDS = 2
SHARE = 0.2
"""Of what the trials of networks took, in seconds where time ends a search, else in trials: so much may be spent on
training finalists again. A search that could try few networks had better try another."""
_PLANS = tuple((count, seeds) for seeds in range(FURTHER_SEEDS, 0, -1) for count in range(MOST, 1, -1))

DECIDED = "finalists"
"""Attribute of a study: the finalists that were last decided between, and by which seeds."""
_PREFIX = "repeat."

Ranked = tuple[Trial, Measurement]


@dataclass(frozen=True)
class Finalist:
    """A network that was trained from several seeds.

    Attributes
    ----------
    trial
        The network, as the search found it.
    seeds
        The study's own, then the further ones.
    measured
        From each of them.
    """

    trial: Trial
    seeds: tuple[int, ...]
    measured: tuple[Measurement, ...]

    @property
    def qualities(self) -> tuple[float, ...]:
        """What it is worth from each seed, the higher the better."""
        return tuple(one.quality.value for one in self.measured)

    @property
    def mean(self) -> float:
        """Of :attr:`qualities`."""
        return _mean(self.qualities)

    @property
    def names(self) -> tuple[str, ...]:
        """Under which the metrics per user are kept, from each seed."""
        return (self.trial.key, *(repeat_name(self.trial.key, seed) for seed in self.seeds[1:]))

    @property
    def averaged(self) -> Measurement:
        """Its mean over the seeds, but the intervals, what it cost and how it learned: these are the first seed's."""
        first = self.measured[0]
        return replace(
            first,
            ndcg=replace(first.ndcg, value=_mean([one.ndcg.value for one in self.measured])),
            recall=replace(first.recall, value=_mean([one.recall.value for one in self.measured])),
            judged=None if first.judged is None else replace(first.judged, value=self.mean),
            values={
                name: _mean([one.values[name] for one in self.measured])
                if all(name in one.values for one in self.measured)
                else value
                for name, value in first.values.items()
            },
        )

    def over_seeds(self, users: Sequence[UserMetrics], *, seed: int) -> Measurement:
        """Give its mean over the seeds, with the intervals of each user's mean.

        Parameters
        ----------
        users
            What it was worth to every validation user, from each seed.
        seed
            Of the bootstrap.
        """
        per_user = {name: np.mean([getattr(one, name) for one in users], axis=0) for name in ("ndcg", "recall")}
        found, mean = intervals(per_user, seed=seed), self.averaged
        judged = mean.judged
        if judged is not None:
            quality = interval(np.mean([one.quality for one in users], axis=0), seed)
            judged = replace(quality, value=judged.value)
        # Files of metrics are in single precision: the means are those of the journal, as everywhere.
        return replace(
            mean,
            ndcg=replace(found["ndcg"], value=mean.ndcg.value),
            recall=replace(found["recall"], value=mean.recall.value),
            judged=judged,
        )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def repeat_name(key: str, seed: int) -> str:
    """Name what a network was worth from a further seed."""
    return f"{key}.seed-{seed}"


def attribute_of(name: str) -> str:
    """Name the attribute of a study in which it stands."""
    return _PREFIX + name


def repeats_of(attributes: Mapping[str, Any]) -> dict[str, Measurement]:
    """Read what networks were worth from further seeds, by :func:`repeat_name`."""
    repeats = {name: raw for name, raw in attributes.items() if name.startswith(_PREFIX)}
    known = {name: raw for name, raw in repeats.items() if raw is not None}  # None: its metrics were lost
    return {name.removeprefix(_PREFIX): Measurement.from_json(raw) for name, raw in known.items()}


def close_to_best(ranking: Sequence[Ranked]) -> list[Ranked]:
    """Choose the finalists, best first, from networks that are ranked.

    None where the best was stopped by time: what it would have been worth is not known. Those that a rung or time
    stopped are no finalists.
    """
    networks = [(trial, measured) for trial, measured in ranking if trial.kind == GNN]
    if not networks or not _is_whole(networks[0][1]):
        return []
    found: dict[str, Ranked] = {}  # two trials of an earlier version may be equal by now
    for trial, measured in _close(networks):
        if _is_whole(measured):
            found.setdefault(trial.key, (trial, measured))
    return list(found.values())[:MOST]


def to_be_kept(networks: Sequence[tuple[str, Measurement]]) -> set[str]:
    """Name, of networks ranked from the best on, those that may be a part of a blend: the best, and possible finalists.

    The best may be one that a rung or time stopped; such are no finalists, however many there are.
    """
    if not networks:
        return set()
    whole = dict.fromkeys(name for name, measured in _close(networks) if _is_whole(measured))
    return {networks[0][0], *list(whole)[:MOST]}


def _close(networks: Sequence[tuple[Named, Measurement]]) -> Iterator[tuple[Named, Measurement]]:
    """Give, of networks ranked from the best on, those that may turn out the best by other seeds."""
    best = networks[0][1].quality.value
    return takewhile(lambda network: best - network[1].quality.value <= CLOSE * abs(best), networks)


def seconds_of(missing: Sequence[tuple[Ranked, int]]) -> float:
    """Say how long trainings take one at a time, by what the networks took before."""
    return sum(measured.seconds for (_, measured), _ in missing)


def _is_whole(measured: Measurement) -> bool:
    return measured.stopped in ("epochs", "patience")


def decided(
    attributes: Mapping[str, Any], ranking: Sequence[Ranked], repeats: Mapping[str, Measurement]
) -> tuple[Finalist, ...]:
    """Give the finalists of the last decision, the best on average first.

    Empty where none was made, or the best networks are others by now.

    Parameters
    ----------
    attributes
        Of the Optuna study.
    ranking, repeats
        Of the study.
    """
    raw = attributes.get(DECIDED)
    if raw is None:
        return ()
    keys, seeds = list(raw["keys"]), tuple(int(seed) for seed in raw["seeds"])
    candidates = close_to_best(ranking)[: len(keys)]
    if {trial.key for trial, _ in candidates} != set(keys):
        return ()
    found = [
        Finalist(trial, seeds, (measured, *(repeats[repeat_name(trial.key, seed)] for seed in seeds[1:])))
        for trial, measured in candidates
    ]
    return tuple(sorted(found, key=lambda one: -one.mean))  # stable: of equals the one that the search found better


def further_seeds(seed: int, count: int = FURTHER_SEEDS) -> tuple[int, ...]:
    """Give the seeds that finalists are trained from beside the study's own."""
    return tuple(seed + step for step in range(1, count + 1))


def is_measured(key: str, seed: int, repeats: Collection[str]) -> bool:
    """Tell whether a network was trained from a further seed already."""
    return repeat_name(key, seed) in repeats


@dataclass(frozen=True)
class Plan:
    """Which networks are trained again, and from which seeds.

    Attributes
    ----------
    finalists
        At least two, best first.
    seeds
        At least one.
    """

    finalists: tuple[Ranked, ...]
    seeds: tuple[int, ...]

    def missing(self, repeats: Collection[str]) -> list[tuple[Ranked, int]]:
        """List what was not trained from a seed before, seed by seed."""
        return [
            (ranked, seed)
            for seed in self.seeds
            for ranked in self.finalists
            if not is_measured(ranked[0].key, seed, repeats)
        ]

    @classmethod
    def of(cls, ranking: Sequence[Ranked], seed: int, *, by_time: bool) -> Plan | None:
        """Plan as many repetitions as :data:`SHARE` allows; None where that is less than one of each of two.

        Parameters
        ----------
        ranking
            Of a study: its measured trials, best first.
        seed
            Of the study.
        by_time
            Whether time ends the search: where trials do, nothing may depend on the machine.
        """
        candidates = close_to_best(ranking)
        networks = [measured for trial, measured in ranking if trial.kind == GNN]
        spent = sum(_cost(measured, by_time=by_time) for measured in networks)
        plans = [
            (candidates[:count], further_seeds(seed, seeds)) for count, seeds in _PLANS if count <= len(candidates)
        ]
        for finalists, seeds in sorted(plans, key=lambda plan: -len(plan[0]) * len(plan[1])):
            costs = [_cost(measured, by_time=by_time) for _, measured in finalists]
            if len(seeds) * sum(costs) <= SHARE * spent:
                return cls(tuple(finalists), seeds)
        return None


def _cost(measured: Measurement, *, by_time: bool) -> float:
    return measured.seconds if by_time else 1.0
