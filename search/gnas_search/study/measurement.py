"""Measurement: how good a model of a study is on the validation users, and what it cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_search.bootstrap import Interval, interval, intervals
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import UserMetrics
from gnas_search.slots import Result
from gnas_search.specs import BranchSpec

LEAST_SHARE = 0.25
"""Of its epochs: a trial that time stopped earlier is ``cut``, and strategies do not learn from it."""


@dataclass(frozen=True)
class Measurement:
    """How good a model is on the validation users, and what it cost.

    Attributes
    ----------
    ndcg, recall
        ndcg@20 and recall@20 with their 95 % bootstrap intervals over users.
    seconds
        From start to finish, validation included.
    parameters
        Numbers that training adjusts, of a blend in its branches; 0 for closed forms.
    best_epoch
        The epoch whose model is meant; 0 for closed forms.
    epochs
        How many training may last; 0 for closed forms.
    stopped
        Why training ended: ``"epochs"``, ``"patience"``, ``"deadline"``, ``"rung"``; empty for closed forms.
    history
        One mapping per epoch: ``epoch``, ``loss``, ``ndcg``, ``seconds``, ``train_s`` (of these, training alone),
        and ``quality`` where the study has a judge.
    peak_bytes
        The most memory that the process had held when it was done.
    judged
        What the study's first objective says, the higher the better, with its interval; None where that is ndcg@20.
    values
        What else its study measures, by name: objectives, and what it costs to serve.
    """

    ndcg: Interval
    recall: Interval
    seconds: float
    parameters: int
    best_epoch: int = 0
    epochs: int = 0
    stopped: str = ""
    history: tuple[Mapping[str, float], ...] = ()
    peak_bytes: int = 0
    judged: Interval | None = None
    values: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(
        cls, users: UserMetrics, *, seed: int, costs: Mapping[str, float] | None = None, **facts: Any
    ) -> Measurement:
        """Summarise per-user metrics, beside what a model costs; ``facts`` are the other attributes."""
        found = intervals({"ndcg": users.ndcg, "recall": users.recall}, seed=seed)
        return cls(
            ndcg=found["ndcg"],
            recall=found["recall"],
            judged=None if users.judged is None else interval(users.quality, seed),
            values={**users.values, **(costs or {})},
            **facts,
        )

    @classmethod
    def of_result(
        cls, result: Result, spec: BranchSpec, *, seed: int, costs: Mapping[str, float] | None = None
    ) -> Measurement:
        """Summarise what a slot found of a model."""
        return cls.of(
            result.users,
            seed=seed,
            costs=costs,
            seconds=result.seconds,
            parameters=result.num_parameters,
            best_epoch=result.best_epoch,
            epochs=getattr(spec, "epochs", 0),
            stopped=result.stopped,
            history=tuple(_facts(epoch) for epoch in result.history),
            peak_bytes=result.peak_bytes,
        )

    @property
    def quality(self) -> Interval:
        """What models are chosen by, the higher the better."""
        return self.ndcg if self.judged is None else self.judged

    @property
    def worths(self) -> list[float]:
        """What each epoch of the history was worth, the higher the better."""
        worths = (epoch.get("quality") for epoch in self.history)
        return [epoch["ndcg"] if worth is None else worth for epoch, worth in zip(self.history, worths, strict=True)]

    def value_of(self, name: str) -> float | None:
        """Give an objective's value; None where it was not measured."""
        if name in self.values:
            return self.values[name]
        facts = {"ndcg@20": self.ndcg.value, "recall@20": self.recall.value, "parameters": float(self.parameters)}
        return facts.get(name)

    @property
    def is_cut(self) -> bool:
        """Whether time stopped training before it could show what the architecture is worth."""
        return self.stopped == "deadline" and len(self.history) < LEAST_SHARE * self.epochs

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form: without what only studies of other objectives have, where this is none."""
        raw = asdict(self)
        return {name: value for name, value in raw.items() if name not in ("judged", "values") or value}

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Measurement:
        """Read the JSON form."""
        intervals = {name: Interval(**raw[name]) for name in ("judged", "ndcg", "recall") if name in raw}
        return cls(**{**raw, **intervals, "history": tuple(raw["history"])})


def _facts(epoch: EpochResult) -> dict[str, float]:
    return {name: value for name, value in asdict(epoch).items() if value is not None}


def per_user(users: UserMetrics) -> npt.NDArray[np.float32]:
    """Pack per-user metrics as ``(2, n)``: recall, ndcg; as ``(3, n)`` with what a judge says."""
    judged = [] if users.judged is None else [users.judged]
    return np.array([users.recall, users.ndcg, *judged], dtype="<f4")
