"""Objectives: every metric by its name, as a value per user or of the catalogue, and which way is better.

What models are compared by, in ``evaluate`` as in a search. A name is that of a measure, with ``@k`` where it looks at
the head of a list: ``ndcg@20``, ``auc``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeVar

import numpy as np
import numpy.typing as npt

from gnas_search import metrics
from gnas_search.evidence import Evidence
from gnas_search.exposure import diversities, exposure, novelties
from gnas_search.pointwise import auc, pair_accuracy, pair_log_loss
from gnas_serve.errors import ConfigError, unknown_name

Values = npt.NDArray[np.float64]
Needs = Literal["lists", "ranking", "pairs", "features"]
MAX_K = 1000
USUAL_K = 20
_Part = TypeVar("_Part")
_NAME = re.compile(r"([a-z0-9_]+)(?:@([1-9][0-9]{0,3}))?")


@dataclass(frozen=True)
class Measure:
    """A metric before its k is known.

    Attributes
    ----------
    measure
        From the evidence and k (0 for a measure without one) to values.
    takes_k, larger_is_better, per_user, needs
        As of an :class:`Objective`.
    """

    measure: Callable[[Evidence, int], Values]
    takes_k: bool = True
    larger_is_better: bool = True
    per_user: bool = True
    needs: Needs = "lists"


@dataclass(frozen=True)
class Objective:
    """A metric by which models are compared.

    Attributes
    ----------
    name
        Canonical: ``"ndcg@20"``.
    k
        Length of the lists it looks at; None where it looks at whole rankings or pairs.
    larger_is_better
        Its direction.
    per_user
        Whether it is a mean over users, and so has an interval and can be paired; else one value of the catalogue.
    needs
        What the evidence has to hold: ``"lists"``, a ``"ranking"`` of all items, labelled ``"pairs"``, or lists and the
        items' ``"features"``.
    """

    name: str
    k: int | None
    larger_is_better: bool
    per_user: bool
    needs: Needs
    measured: Callable[[Evidence, int], Values] = field(repr=False)

    def measure(self, evidence: Evidence) -> Values:
        """Give a value per user, (n,), NaN for users of whom it says nothing; or the one of the catalogue, (1,).

        Raises
        ------
        ValueError
            If the evidence lacks what the measure needs.
        """
        return self.measured(evidence, self.k or 0)

    def mean(self, values: Values) -> float:
        """Average what :meth:`measure` gave, over the users of whom it says something; NaN where it is nobody."""
        told = values[np.isfinite(values)]
        return float(told.mean()) if len(told) else float("nan")


def _in_list(name: str) -> Callable[[Evidence, int], Values]:
    def measure(evidence: Evidence, k: int) -> Values:
        return metrics.METRICS[name](evidence.ranked(k))

    return measure


def _exposed(name: str) -> Callable[[Evidence, int], Values]:
    def measure(evidence: Evidence, k: int) -> Values:
        found = exposure(evidence.lists, evidence.catalogue.counts, evidence.catalogue.num_users, None, k)
        return np.array([found.get(f"{name}@{k}", np.nan)])

    return measure


def _auc(evidence: Evidence, _: int) -> Values:
    return auc(_needed(evidence.shares, "ranking"), evidence.relevant, evidence.num_relevant)


def _of_pairs(
    value: Callable[[Values, npt.NDArray[np.bool_]], Values],
) -> Callable[[Evidence, int], Values]:
    def measure(evidence: Evidence, _: int) -> Values:
        pairs, margins = _needed(evidence.pairs, "pairs"), _needed(evidence.margins, "pairs")
        return pairs.per_user(value(margins, pairs.labels))

    return measure


def _novelty(evidence: Evidence, k: int) -> Values:
    return novelties(evidence.lists, evidence.catalogue.counts, evidence.catalogue.num_users, k)


def _diversity(evidence: Evidence, k: int) -> Values:
    return diversities(evidence.lists, _needed(evidence.catalogue.features, "features"), k)


def _needed(part: _Part | None, what: Needs) -> _Part:
    if part is None:
        raise ValueError(f"the evidence lacks {what}")
    return part


MEASURES: dict[str, Measure] = {
    "accuracy": Measure(_of_pairs(pair_accuracy), takes_k=False, needs="pairs"),
    "auc": Measure(_auc, takes_k=False, needs="ranking"),
    "coverage": Measure(_exposed("coverage"), per_user=False),
    "diversity": Measure(_diversity, needs="features"),
    "f1": Measure(_in_list("f1")),
    "gini": Measure(_exposed("gini"), per_user=False, larger_is_better=False),
    "hit_rate": Measure(_in_list("hit_rate")),
    "log_loss": Measure(_of_pairs(pair_log_loss), takes_k=False, larger_is_better=False, needs="pairs"),
    "map": Measure(_in_list("map")),
    "mrr": Measure(_in_list("mrr")),
    "ndcg": Measure(_in_list("ndcg")),
    "novelty": Measure(_novelty),
    "precision": Measure(_in_list("precision")),
    "recall": Measure(_in_list("recall")),
}
"""By the name that stands before ``@k``. Defined in :mod:`~gnas_search.metrics`, :mod:`~gnas_search.exposure` and
:mod:`~gnas_search.pointwise`; ``novelty`` and ``diversity`` are means over users here."""


def objective(name: str) -> Objective:
    """Look a metric up by its name.

    Raises
    ------
    ConfigError
        With code ``"unknown_objective"``, if there is none of that name: it names the nearest one. With code
        ``"objective_k"``, if a k is absent, out of 1..1000 (of diversity, 2..1000), or given to a measure that takes
        none.
    """
    parsed = _NAME.fullmatch(name)
    measure_name, k = (parsed[1], parsed[2]) if parsed else (name.partition("@")[0], None)
    measure = MEASURES.get(measure_name)
    if measure is None:
        raise unknown_name("objective", name, objective_names(int(k or USUAL_K)))
    if not measure.takes_k:
        if "@" in name:
            raise ConfigError(
                f"objective {name!r}: {measure_name} looks at no list",
                hint=f"say {measure_name!r}",
                code="objective_k",
            )
        return Objective(measure_name, None, measure.larger_is_better, measure.per_user, measure.needs, measure.measure)
    least = 2 if measure_name == "diversity" else 1  # between the items of a list
    if k is None or not least <= int(k) <= MAX_K:
        raise ConfigError(
            f"objective {name!r}: the length of the lists is {'out of range' if '@' in name else 'missing'}",
            hint=f"give {least} to {MAX_K}, as in {f'{measure_name}@{USUAL_K}'!r}",
            code="objective_k",
        )
    return Objective(
        f"{measure_name}@{k}", int(k), measure.larger_is_better, measure.per_user, measure.needs, measure.measure
    )


def objective_names(k: int = USUAL_K) -> list[str]:
    """List what :func:`objective` knows, for lists of one length."""
    return [f"{name}@{k}" if measure.takes_k else name for name, measure in MEASURES.items()]
