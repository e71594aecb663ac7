"""Models: what a study measured, of whatever kind, as one list."""

from __future__ import annotations

from dataclasses import dataclass

from gnas_search.bootstrap import Interval
from gnas_search.specs import BLEND, GNN, ModelSpec
from gnas_search.study import Measurement, Study
from gnas_search.study.descriptions import described
from gnas_search.study.standings import standings
from gnas_search.study.verdict import BASELINE, RICHNESS

KIND_NAMES = {
    BASELINE: "baseline",
    "two-hop": "two-hop model",
    "filter": "graph filter",
    "gnn": "network",
    BLEND: "blend",
}


@dataclass(frozen=True)
class Yardstick:
    """What the models of a study are chosen by.

    Attributes
    ----------
    name
        Of the metric.
    sign
        1 where more is better, else -1.
    """

    name: str = "ndcg@20"
    sign: int = 1

    @classmethod
    def of(cls, study: Study) -> Yardstick:
        """Give that of a study: its first objective."""
        objectives = study.header.objectives
        return cls(objectives.first, objectives.sign(objectives.first))

    def value(self, measured: Measurement) -> float:
        """Give a model's value."""
        return self.sign * measured.quality.value

    def turned(self, interval: Interval) -> Interval:
        """Give an interval of what is the better the higher, as one of the metric."""
        low, high = sorted((self.sign * interval.low, self.sign * interval.high))
        return Interval(self.sign * interval.value, low, high)


@dataclass(frozen=True)
class Model:
    """A measured model of a study.

    Attributes
    ----------
    name
        On the leaderboard.
    kind
        One of :data:`gnas_search.study.verdict.RICHNESS`.
    trial
        Its number; None for baselines and blends.
    spec
        The model.
    summary
        In a few words, told from all others of the study.
    measured
        On the validation users; of a finalist its mean over seeds.
    scan_us
        Time of scoring every item for one user; None where it was not measured.
    parts
        Of a blend: what its branches took and, of its compressed form, what the blend itself took.
    yardstick
        Of the study.
    """

    name: str
    kind: str
    trial: int | None
    spec: ModelSpec
    summary: str
    measured: Measurement
    scan_us: float | None = None
    parts: tuple[Measurement, ...] = ()
    yardstick: Yardstick = Yardstick()

    @property
    def value(self) -> float:
        """By the study's yardstick."""
        return self.yardstick.value(self.measured)

    @property
    def seconds(self) -> float:
        """From start to finish, with whatever it is made of."""
        return self.measured.seconds + sum(part.seconds for part in self.parts)

    @property
    def parameters(self) -> int:
        """Numbers that training adjusts, in all its parts: a blend of an earlier version does not count them itself."""
        return self.measured.parameters or sum(part.parameters for part in self.parts)

    @property
    def said(self) -> str:
        """Name and trial, for labels."""
        return self.name if self.trial is None else f"{self.name} (trial {self.trial})"


def models_of(study: Study) -> tuple[Model, ...]:
    """List the models that break no constraint: baselines, blends, then trials, each group best first."""
    by = Yardstick.of(study)
    said = described(study)
    found = [
        Model(one.name, BASELINE, None, one.spec, said[one.name], one.measured, yardstick=by) for one in study.baselines
    ]
    trials = [
        Model(trial.key, trial.kind, trial.number, trial.spec, said[trial.key], measured, yardstick=by)
        for trial, measured in standings(study)
        if trial.spec is not None
    ]
    took = {model.spec.key(): model.measured for model in [*found, *trials]}
    for one in study.feasible_blends:
        parts = [took[share.spec.key()] for share in one.spec.shares if share.spec.key() in took]
        if one.spec.dims is not None:
            parts += [whole.measured for whole in study.blends if whole.spec.dims is None]
        summary = study.describe(one.spec)
        found.append(Model(one.key, BLEND, None, one.spec, summary, one.measured, one.scan_us, tuple(parts), by))
    return (*found, *trials)


def best_of_kinds(study: Study, models: tuple[Model, ...]) -> tuple[Model, ...]:
    """Give the best of each kind, a network by its mean over seeds, from simple to rich."""
    best: dict[str, Model] = {}
    chosen = study.best_of(GNN)
    for model in models:
        held = best.get(model.kind)
        if model.kind == GNN and chosen is not None:
            held = model if model.trial == chosen.number else held
        elif held is None or model.measured.quality.value > held.measured.quality.value:
            held = model
        if held is not None:
            best[model.kind] = held
    return tuple(best[kind] for kind in RICHNESS if kind in best)
