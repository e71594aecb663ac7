"""The end of a search: the best models of each kind are blended, and the blend is compressed."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from gnas_search.blend import blend, compress
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import UserMetrics, Validation
from gnas_search.fit import Fit
from gnas_search.memory import peak_bytes
from gnas_search.specs import BlendSpec, BranchSpec, kind_of
from gnas_search.study.records import BlendRecord, Measurement
from gnas_search.study.study import Study

COMPRESSED_DIMS = 128
_SCANS = 15


@dataclass(frozen=True)
class Found:
    """A blend for the study's records, and its metrics per validation user."""

    record: BlendRecord
    metrics: UserMetrics


def best_of_each_kind(study: Study) -> dict[str, BranchSpec]:
    """Give the best model of each kind, baselines included, by kind in alphabetical order."""
    found: list[tuple[BranchSpec | None, Measurement]] = [(one.spec, one.measured) for one in study.baselines]
    found += [(trial.spec, measured) for trial, measured in study.ranking]
    best: dict[str, tuple[float, BranchSpec]] = {}
    for spec, measured in found:
        if spec is not None and measured.ndcg.value > best.get(kind_of(spec), (0.0,))[0]:
            best[kind_of(spec)] = (measured.ndcg.value, spec)
    return {kind: spec for kind, (_, spec) in sorted(best.items())}


def blend_models(
    specs: Mapping[str, BranchSpec],
    fits: Mapping[str, Fit],
    graph: InteractionGraph,
    validation: Validation,
    *,
    seed: int,
) -> list[Found]:
    """Blend models, and compress the blend into one pair of vectors where it is wider.

    Parameters
    ----------
    specs, fits
        Of the best model of each kind; of a fit, the first branch is the model.
    graph, validation
        What they were fitted to and are compared by.
    seed
        Of everything drawn.

    Returns
    -------
    list of Found
        The blend, then its compressed form; empty where no blend pays.
    """
    models = {kind: (spec, fits[kind].branches[0]) for kind, spec in specs.items()}
    epochs = max(fit.epochs for fit in fits.values())
    blended = blend(models, graph, validation, seed=seed, epochs=epochs)
    if blended is None:
        return []
    whole = _record(blended.spec, blended.metrics, seed, blended.seconds)
    whole = replace(whole, scan_us=scan_us(blended.fit, graph.positives, validation.users))
    found = [Found(whole, blended.metrics)]
    if blended.fit.item_vectors.shape[1] <= COMPRESSED_DIMS and blended.fit.two_hop is None:
        return found
    start = time.monotonic()
    spec = replace(blended.spec, dims=COMPRESSED_DIMS)
    short = compress(blended.fit, graph.positives, COMPRESSED_DIMS, name=spec.key(), seed=seed)
    metrics = validation.score_with(short.score_rows(graph.positives))
    compressed = _record(spec, metrics, seed, time.monotonic() - start)
    loss = compressed.measured.ndcg.value / max(whole.measured.ndcg.value, 1e-12) - 1.0
    timed = scan_us(short, graph.positives, validation.users)
    return [*found, Found(replace(compressed, loss=loss, scan_us=timed), metrics)]


def scan_us(fit: Fit, histories: sp.csr_matrix, users: npt.NDArray[np.int64]) -> float:
    """Time scoring every item for one user on one thread: the median, in microseconds."""
    score = fit.score_rows(histories)
    times = []
    with threadpool_limits(1):  # as a worker of the service does it
        for user in users[:_SCANS]:
            start = time.perf_counter()
            score(np.array([user]))
            times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


def _record(spec: BlendSpec, metrics: UserMetrics, seed: int, seconds: float) -> BlendRecord:
    measured = Measurement.of(metrics, seed=seed, seconds=seconds, parameters=0, peak_bytes=peak_bytes())
    return BlendRecord(spec, measured, loss=0.0, scan_us=0.0)
