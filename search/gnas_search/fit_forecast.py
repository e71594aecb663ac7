"""What a trial of any family will take, validation included: of closed forms by small fits that are timed."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import numpy as np
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form
from gnas_search.closed_form.spectra import decomposed_rank
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Validation
from gnas_search.fit import Branch, Fit
from gnas_search.footprint import needed_bytes
from gnas_search.forecast import forecast
from gnas_search.links import MOST_VISITED
from gnas_search.memory import resident_bytes
from gnas_search.operators.adjacency import normalised
from gnas_search.specs import BranchSpec
from gnas_search.spectral import OVERSAMPLING, truncated_svd
from gnas_search.timings import Timings
from gnas_serve.artifact.branches import BranchFacts

_RANKS = (48, 112)  # of the decompositions that are timed
_WIDTHS = (64, 256)  # of the vectors that validation is timed with
_VALIDATED = 192  # users
_SHARE = 0.1  # of the users, whose items are linked
_REPEATS = 1


class TrialForecast:
    """Forecasts the seconds and the memory of trials on one graph; what it times it times once.

    Parameters
    ----------
    graph
        What would be fitted.
    validation
        What would be selected by.
    """

    def __init__(self, graph: InteractionGraph, validation: Validation) -> None:
        self._graph = graph
        self._validation = validation
        self._timings = Timings(graph, repeats=_REPEATS)
        self._once: dict[object, float] = {}

    def epoch_s(self, spec: ArchitectureSpec) -> float:
        """Forecast one epoch of a network on this machine's CPU, validation included."""
        return forecast(spec, self._graph, timings=self._timings).epoch_s + self._validation_s(spec.width)

    def trial_s(self, spec: BranchSpec) -> float:
        """Forecast a whole trial: of a network all of its epochs, of a graph filter with a decomposition of its own.

        A network that stops for want of patience takes less, and so does a filter that shares its decomposition.
        """
        if isinstance(spec, ArchitectureSpec):
            begun_s = self._decomposition_s(spec.edges, spec.embedding_dim) if spec.init == "svd" else 0.0
            return spec.epochs * self.epoch_s(spec) + begun_s
        if isinstance(spec, FilterSpec):
            rank = min(spec.rank, self._graph.num_users, self._graph.num_items)
            return self._decomposition_s(spec.edges, decomposed_rank(spec.rank)) + self._validation_s(rank)
        if isinstance(spec, TwoHopSpec):
            return self._links_s(spec) + self._along_links_s(spec.neighbours)
        return self._validation_s(1)

    def peak_bytes(self, spec: BranchSpec) -> int:
        """Forecast the most memory of the whole process."""
        return resident_bytes() + needed_bytes(spec, self._graph)

    def _timed(self, key: object, run: Callable[[], object]) -> float:
        if key not in self._once:
            self._warm()
            start = time.perf_counter()
            run()
            self._once[key] = time.perf_counter() - start
        return self._once[key]

    def _warm(self) -> None:
        """Fit the smallest of models, once: kernels are compiled when they are first called."""
        if "warm" not in self._once:
            self._once["warm"] = 0.0
            few = sp.csr_matrix(np.eye(4, dtype=np.float32))
            graph = InteractionGraph(few, few)
            for spec in (FilterSpec(rank=2), TwoHopSpec(neighbours=2), TwoHopSpec(neighbours=2, kept_per="target")):
                fit_closed_form(spec, graph, seed=0)

    def _decomposition_s(self, edges: str, rank: int) -> float:
        """Extrapolate from two small ones: sparse products grow with the width, dense ones with its square."""
        matrix = normalised(self._graph.pattern(edges))
        few, more = (self._timed(("rank", edges, one), partial(truncated_svd, matrix, one, 0)) for one in _RANKS)
        narrow, wide, width = (self._decomposed(one) for one in (*_RANKS, rank))
        if narrow == wide:
            return more * width / wide
        square = max(0.0, (more / wide - few / narrow) / (wide - narrow))
        return width * (max(0.0, more / wide - square * wide) + square * width)

    def _decomposed(self, rank: int) -> int:
        return min(rank + OVERSAMPLING, self._graph.num_users, self._graph.num_items)

    def _validation_s(self, width: int) -> float:
        few, more = (self._timed(("width", one), partial(self._score, one)) for one in _WIDTHS)
        slope = max(0.0, (more - few) / (_WIDTHS[1] - _WIDTHS[0]))
        return max(few / 4, few + slope * (width - _WIDTHS[0])) * self._times

    @property
    def _times(self) -> float:
        return len(self._validation.users) / min(_VALIDATED, len(self._validation.users))

    def _some(self) -> Validation:
        return self._validation.subset(np.arange(min(_VALIDATED, len(self._validation.users))))

    def _score(self, width: int) -> None:
        rng = np.random.default_rng(0)
        users, items = (
            rng.standard_normal((count, width), dtype=np.float32)
            for count in (self._graph.num_users, self._graph.num_items)
        )
        self._some().score(users, items)

    def _links_s(self, spec: TwoHopSpec) -> float:
        """Time the links that some users make; pairs of a user's items are what they are summed from."""
        edges = self._graph.pattern(spec.edges)
        pairs = linked_pairs(edges)
        chosen = np.random.default_rng(0).permutation(edges.shape[0])[: max(1, int(_SHARE * edges.shape[0]))]
        some = edges[np.sort(chosen)]
        small = InteractionGraph(some, some)
        seconds = self._timed(
            ("links", spec.edges, spec.neighbours, spec.kept_per), lambda: fit_closed_form(spec, small, seed=0)
        )
        return seconds * pairs / max(1.0, linked_pairs(some))

    def _along_links_s(self, neighbours: int) -> float:
        """Time scoring along random links, as many as an item keeps."""
        num_users, num_items = self._graph.num_users, self._graph.num_items

        def score() -> None:
            rng = np.random.default_rng(0)
            length = min(neighbours, num_items)
            columns = rng.integers(0, num_items, num_items * length).astype(np.int32)
            values = np.ones(len(columns), dtype=np.float32)
            links = sp.csr_matrix((values, columns, np.arange(num_items + 1) * length), shape=(num_items, num_items))
            nobody, nothing = (np.zeros((count, 1), np.float32) for count in (num_users, num_items))
            popular = Branch(BranchFacts("popularity", "popularity", 1), nobody, nothing)
            linked = Branch(BranchFacts("links", "two-hop", 0), nobody[:, :0], nothing[:, :0], neighbours=links)
            started = time.perf_counter()
            self._some().score_with(Fit((linked, popular), 0).score_rows(self._graph.positives))
            self._once["along", neighbours] = time.perf_counter() - started

        if ("along", neighbours) not in self._once:
            score()
        return self._once["along", neighbours] * self._times


def linked_pairs(edges: sp.csr_matrix) -> float:
    """Count the pairs of a user's items, which links are summed from."""
    lengths = np.diff(edges.indptr).astype(np.float64)
    return float((lengths * np.minimum(lengths, MOST_VISITED)).sum())
