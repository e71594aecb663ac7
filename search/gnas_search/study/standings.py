"""Standings: the measured trials as people are told them, a finalist by its mean over seeds; what all of it took."""

from __future__ import annotations

from collections.abc import Mapping

from gnas_search.study.measurement import Measurement
from gnas_search.study.records import Trial
from gnas_search.study.study import Study


def averages(study: Study) -> list[tuple[Trial, Measurement]]:
    """Give the measured trials, best first; the intervals of a finalist are those of its first seed.

    Of the journal alone: no file of metrics is read, so that it can be said of a damaged study, too.
    """
    return _ranked(study, {one.trial.number: one.averaged for one in study.finalists})


def standings(study: Study) -> list[tuple[Trial, Measurement]]:
    """Give the measured trials, best first, with the intervals of what they are told to be worth.

    Raises
    ------
    IntegrityError
        As :meth:`~gnas_search.study.study.Study.per_user`.
    """
    means = {
        one.trial.number: one.over_seeds([study.per_user(name) for name in one.names], seed=study.header.seed)
        for one in study.finalists
    }
    return _ranked(study, means)


def spent_s(study: Study) -> float:
    """Add up the seconds of all that was measured, too slow or not, of further seeds and of supernets."""
    found = [trial.measured for trial in study.trials if trial.measured is not None]
    found += [one.measured for one in study.baselines]
    found += [one.measured for one in study.blends]
    found += study.repeats.values()
    return sum(one.seconds for one in found) + sum(one.seconds for one in study.shortlists.values())


def _ranked(study: Study, means: Mapping[int, Measurement]) -> list[tuple[Trial, Measurement]]:
    told = [(trial, means.get(trial.number, measured)) for trial, measured in study.ranking]
    return sorted(told, key=lambda pair: (-pair[1].quality.value, pair[0].number))
