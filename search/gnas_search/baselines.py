"""Simple models, measured before any search: what a graph network has to beat, and often what should ship."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from gnas_search.closed_form import ClosedFormSpec, FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import UserMetrics, Validation
from gnas_search.fit import Fit
from gnas_search.memory_check import check_memory, within_memory
from gnas_serve.errors import unknown_name

SVD_DIMS = (32, 64, 128)

BASELINES: dict[str, ClosedFormSpec] = {
    # The cosine over common users, each item being recommended by the 100 most similar ones of a history.
    "item-knn": TwoHopSpec(neighbours=100, kept_per="target", user_power=0.0, source_power=0.5, target_power=0.5),
    "popularity": PopularitySpec(),
    # The truncated SVD of the degree-normalised matrix; its rank is chosen among SVD_DIMS.
    "svd": FilterSpec(response="ideal", rank=64, user_power=0.5, item_power=0.5),
}
"""By name: points of the closed forms that are models in their own right.

References
----------
Sarwar, B. et al. (2001). Item-based collaborative filtering recommendation algorithms. WWW.
Cremonesi, P., Koren, Y. and Turrin, R. (2010). Performance of recommender algorithms on top-n tasks. RecSys.
"""


@dataclass(frozen=True)
class BaselineResult:
    """A measured baseline.

    Attributes
    ----------
    name
        In :data:`BASELINES`.
    spec
        With the settings chosen on validation.
    metrics
        On the validation users.
    seconds
        Choosing, fitting and measuring.
    """

    name: str
    spec: ClosedFormSpec
    metrics: UserMetrics
    seconds: float


def baseline_spec(
    name: str, graph: InteractionGraph, validation: Validation, *, seed: int, spectra: Spectra | None = None
) -> ClosedFormSpec:
    """Look a baseline up and choose on validation what it leaves open: the rank of ``svd``, of equals the smallest.

    Parameters
    ----------
    name
        In :data:`BASELINES`.
    graph, validation
        What to fit and what to choose by.
    seed
        Of the decomposition.
    spectra
        Decompositions of the graph to share.

    Raises
    ------
    ConfigError
        If there is none of that name; with code :data:`~gnas_search.footprint.TOO_LARGE`, if its fit would not go
        into memory.
    """
    if name not in BASELINES:
        raise unknown_name("baseline", name, BASELINES)
    spec = BASELINES[name]
    largest = replace(spec, rank=max(SVD_DIMS)) if isinstance(spec, FilterSpec) else spec
    check_memory(largest, graph)
    if not isinstance(spec, FilterSpec):
        return spec
    with within_memory(largest, graph):
        widest = fit_closed_form(largest, graph, seed=seed, spectra=spectra)
    users, items = widest.user_vectors, widest.item_vectors
    # Singular vectors are nested: the leading columns are the smaller model.
    measured = {dims: validation.score(users[:, :dims], items[:, :dims]).quality.mean() for dims in SVD_DIMS}
    return replace(spec, rank=max(SVD_DIMS, key=lambda dims: measured[dims]))


def measure_baseline(name: str, graph: InteractionGraph, validation: Validation, *, seed: int) -> BaselineResult:
    """Choose a baseline's settings, fit and measure it.

    Parameters
    ----------
    name, graph, validation, seed
        As for :func:`baseline_spec`.

    Raises
    ------
    ConfigError
        As :func:`baseline_spec`.
    """
    start = time.monotonic()
    shared = Spectra(graph, seed)
    spec = baseline_spec(name, graph, validation, seed=seed, spectra=shared)
    with within_memory(spec, graph):
        branches = with_prior(fit_closed_form(spec, graph, seed=seed, spectra=shared), graph)
        metrics = validation.score_with(Fit(branches, 0).score_rows(graph.positives))
    return BaselineResult(name, spec, metrics, time.monotonic() - start)
