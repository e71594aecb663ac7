"""PutOff: closed forms that would outlast the time left; nothing stops them, so they are left to the next run."""

from __future__ import annotations

import math

from optuna.trial import FrozenTrial

from gnas_search.closed_form import FilterSpec
from gnas_search.closed_form.spectra import decomposed_rank
from gnas_search.data.dataset import InteractionGraph
from gnas_search.specs import GNN, BranchSpec, kind_of
from gnas_search.study import records
from gnas_search.study.limits import Limits
from gnas_search.study.study import Study

_MOST = 3
"""So many new models of a family put off close it for the run: what else it would draw is hardly quicker."""


class PutOff:
    """Knows how long closed forms take by those that were measured, and keeps those for which the time is too short.

    A filter is expected to take as long as the longest of those measured that are most like it, times the edges and the
    square of the columns that it has more of; two hops as long as any. Those measured on other machines, or with other
    slots, count too.

    Parameters
    ----------
    graph
        What they are fitted to.
    study
        As it was when the run began, baselines included.
    """

    def __init__(self, graph: InteractionGraph, study: Study) -> None:
        self._graph = graph
        self._measured: list[tuple[BranchSpec, float]] = [(one.spec, one.measured.seconds) for one in study.baselines]
        self._measured += [(trial.spec, found.seconds) for trial, found in study.ranking if trial.spec is not None]
        self._new: dict[str, int] = {}
        self.kept: list[tuple[str, int, str]] = []
        """Family, number and key of the trials that are put off."""

    def hear(self, spec: BranchSpec, seconds: float) -> None:
        """Take a measured model into account."""
        self._measured.append((spec, seconds))

    def expected_s(self, spec: BranchSpec) -> float:
        """Say how long a closed form takes; 0 of a network, which ends with the time, and where nothing is known."""
        kind = kind_of(spec)
        if kind == GNN:
            return 0.0
        known = [(one, seconds) for one, seconds in self._measured if kind_of(one) == kind]
        # The first of all compiles its loops: what it took says little of others as soon as any like them is known.
        nearest = min((self._distance(one, spec) for one, _ in known), default=0.0)
        alike = [(one, seconds) for one, seconds in known if self._distance(one, spec) == nearest]
        return max((seconds * self._growth(one, spec) for one, seconds in alike), default=0.0)

    def takes(self, trial: FrozenTrial, spec: BranchSpec, limits: Limits) -> bool:
        """Tell whether a trial that is about to begin would outlast the time left; it is kept then.

        Parameters
        ----------
        trial, spec
            As it was drawn.
        limits
            Of the run, less what comes after the trials. Where there is no deadline, nothing is put off.
        """
        left_s = limits.left_s
        if left_s is None or self.expected_s(spec) <= left_s:
            return False
        self.kept.append((kind_of(spec), trial.number, spec.key()))
        is_new = records.RETRY_OF not in trial.user_attrs  # what an earlier run drew says nothing of further draws
        self._new[kind_of(spec)] = self._new.get(kind_of(spec), 0) + is_new
        return True

    def has_closed(self, family: str) -> bool:
        """Tell whether nothing more is drawn from a family in this run."""
        return self._new.get(family, 0) >= _MOST

    def _growth(self, known: BranchSpec, wanted: BranchSpec) -> float:
        columns, edges = self._ratios(known, wanted)
        return max(1.0, columns) ** 2 * max(1.0, edges)

    def _distance(self, known: BranchSpec, wanted: BranchSpec) -> float:
        columns, edges = self._ratios(known, wanted)
        return 2 * abs(math.log(columns)) + abs(math.log(edges))

    def _ratios(self, known: BranchSpec, wanted: BranchSpec) -> tuple[float, float]:
        if not isinstance(known, FilterSpec) or not isinstance(wanted, FilterSpec):
            return 1.0, 1.0
        return self._columns(wanted) / self._columns(known), self._edges(wanted) / self._edges(known)

    def _columns(self, spec: FilterSpec) -> int:
        return min(decomposed_rank(spec.rank), self._graph.num_users, self._graph.num_items)

    def _edges(self, spec: FilterSpec) -> int:
        return max(1, self._graph.pattern(spec.edges).nnz)
