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

_Size = tuple[int, int]
"""Columns and edges of a filter; of all two-hop models the same."""

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
        self._longest: dict[str, dict[_Size, float]] = {}  # seconds, by family and size
        measured = [(one.spec, one.measured.seconds) for one in study.baselines]
        measured += [(trial.spec, found.seconds) for trial, found in study.ranking if trial.spec is not None]
        for spec, seconds in measured:
            self.hear(spec, seconds)
        self._new: dict[str, int] = {}
        self.kept: list[tuple[str, int, str]] = []
        """Family, number and key of the trials that are put off."""

    def hear(self, spec: BranchSpec, seconds: float) -> None:
        """Take a measured model into account."""
        longest = self._longest.setdefault(kind_of(spec), {})
        size = self._size(spec)
        longest[size] = max(seconds, longest.get(size, 0.0))

    def expected_s(self, spec: BranchSpec) -> float:
        """Say how long a closed form takes; 0 of a network, which ends with the time, and where nothing is known."""
        kind = kind_of(spec)
        if kind == GNN:
            return 0.0
        wanted, longest = self._size(spec), self._longest.get(kind, {})
        # The first of all compiles its loops: what it took says little of others as soon as any like them is known.
        nearest = min((_distance(size, wanted) for size in longest), default=0.0)
        alike = (size for size in longest if _distance(size, wanted) == nearest)
        return max((longest[size] * _growth(size, wanted) for size in alike), default=0.0)

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

    def _size(self, spec: BranchSpec) -> _Size:
        return (self._columns(spec), self._edges(spec)) if isinstance(spec, FilterSpec) else (1, 1)

    def _columns(self, spec: FilterSpec) -> int:
        return min(decomposed_rank(spec.rank), self._graph.num_users, self._graph.num_items)

    def _edges(self, spec: FilterSpec) -> int:
        return max(1, self._graph.pattern(spec.edges).nnz)


def _growth(known: _Size, wanted: _Size) -> float:
    columns, edges = _ratios(known, wanted)
    return max(1.0, columns) ** 2 * max(1.0, edges)


def _distance(known: _Size, wanted: _Size) -> float:
    columns, edges = _ratios(known, wanted)
    return 2 * abs(math.log(columns)) + abs(math.log(edges))


def _ratios(known: _Size, wanted: _Size) -> tuple[float, float]:
    return wanted[0] / known[0], wanted[1] / known[1]
