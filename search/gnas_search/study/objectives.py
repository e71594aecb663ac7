"""Objectives of a study: the metric that models are chosen by, and what else its strategy weighs against it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gnas_search.data.dataset import Dataset
from gnas_search.search_objective import objective, objective_names
from gnas_search.validation_measures import ObjectiveJudge, catalogue_of
from gnas_serve.errors import ConfigError, unknown_name

COSTS = ("artifact_bytes", "latency_us", "parameters")
"""What a model costs, the less the better: bytes of what would be served, median time of one request to it, and numbers
that training adjusts."""
EXPORTED = ("artifact_bytes", "latency_us")
"""Of these, what is measured on an exported scorer."""
_KEPT = ("ndcg@20", "recall@20")  # of every model, whatever the objectives


@dataclass(frozen=True)
class Objectives:
    """What a study makes better.

    Attributes
    ----------
    names
        At least one, without repetition. The first is a metric with a value per user, of
        :mod:`gnas_search.search_objective`: training stops by it, and the verdict is about it. Others are any metrics
        and :data:`COSTS`.
    """

    names: tuple[str, ...] = ("ndcg@20",)

    @classmethod
    def of(cls, names: Sequence[str]) -> Objectives:
        """Read names as a user gives them.

        Raises
        ------
        ConfigError
            If one is unknown or named twice, or the first is no metric with a value per user.
        """
        found: list[str] = []
        for given in names:
            name = given if given in COSTS else _metric(given)
            if name in found:
                raise ConfigError(f"objective {name!r} is given twice", hint="name it once")
            found.append(name)
        if not found:
            raise ConfigError("no objective is given", hint="name one, such as ndcg@20")
        if found[0] in COSTS or not objective(found[0]).per_user:
            raise ConfigError(
                f"objective {found[0]!r} cannot be the first: models are chosen by a metric with a value per user",
                hint=f"put one before it: --objective ndcg@20 --objective {found[0]}",
            )
        return cls(tuple(found))

    @property
    def first(self) -> str:
        """What models are chosen by."""
        return self.names[0]

    @property
    def are_several(self) -> bool:
        """Whether the answer is a front."""
        return len(self.names) > 1

    @property
    def needs_export(self) -> bool:
        """Whether any is measured on an exported scorer."""
        return any(name in EXPORTED for name in self.names)

    @property
    def directions(self) -> tuple[Literal["maximize", "minimize"], ...]:
        """``"maximize"`` or ``"minimize"``, each."""
        return tuple("maximize" if self.sign(name) > 0 else "minimize" for name in self.names)

    def sign(self, name: str) -> int:
        """Give 1 where more is better, else -1."""
        return -1 if name in COSTS or not objective(name).larger_is_better else 1

    def judge(self, dataset: Dataset, seed: int) -> ObjectiveJudge | None:
        """Make what measures the metrics among them; None where recall and ndcg at 20 are all, ndcg first.

        Raises
        ------
        ConfigError
            If one needs attributes of the items and the data has none.
        """
        metrics = tuple(name for name in self.names if name not in COSTS)
        if metrics[0] == _KEPT[0] and set(metrics) <= set(_KEPT):
            return None
        catalogue = catalogue_of(dataset, dataset.selection.positives)
        for name in metrics:
            if objective(name).needs == "features" and catalogue.features is None:
                raise ConfigError(
                    f"objective {name!r} needs attributes of the items, and the data has none",
                    hint="give an items file, or another objective",
                )
        return ObjectiveJudge(metrics, catalogue, seed, dataset.valid_negatives)


NDCG = Objectives()


def _metric(name: str) -> str:
    if name.partition("@")[0] not in {known.partition("@")[0] for known in objective_names()}:
        raise unknown_name("objective", name, [*objective_names(), *COSTS])
    return objective(name).name
