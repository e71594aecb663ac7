"""The blend of a study, made at its end: the best models of each kind are blended, and the blend is compressed."""

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
from gnas_search.space.constraints import UNCONSTRAINED
from gnas_search.space.costs import artifact_bytes, num_parameters
from gnas_search.specs import FAMILIES, BlendSpec, BranchSpec, kind_of
from gnas_search.study.measurement import Measurement
from gnas_search.study.metrics import save_metrics
from gnas_search.study.records import BlendRecord
from gnas_search.study.study import BLEND_FAILED, BLENDS, Study
from gnas_search.study.workshop import Workshop

COMPRESSED_DIMS = 128
BLENDED = "blended"
"""Attribute of a study: what its blend was made of, and by how many users."""
_SCANS = 15


@dataclass(frozen=True)
class Found:
    """A blend for the study's records, its metrics per validation user, and itself."""

    record: BlendRecord
    metrics: UserMetrics
    fit: Fit


def best_of_each_kind(study: Study) -> dict[str, BranchSpec]:
    """Give the best model of each kind, baselines included, by kind in alphabetical order."""
    found: list[tuple[BranchSpec | None, Measurement]] = [(one.spec, one.measured) for one in study.baselines]
    trials = [trial for family in FAMILIES if (trial := study.best_of(family)) is not None]
    found += [(trial.spec, trial.measured) for trial in trials if trial.measured is not None]
    best: dict[str, tuple[float, BranchSpec]] = {}
    for spec, measured in found:
        if spec is None or measured.ndcg.value <= 0.0:  # it finds nothing that anybody wants
            continue
        if measured.quality.value > best.get(kind_of(spec), (-np.inf,))[0]:
            best[kind_of(spec)] = (measured.quality.value, spec)
    return {kind: spec for kind, (_, spec) in sorted(best.items())}


def blend_best(shop: Workshop, expected_s: float) -> None:
    """Blend the best model of each kind, unless that was done already.

    Whatever goes wrong with it, the study has its models: the reason is kept, and the next run tries again.

    Parameters
    ----------
    shop
        Of the run.
    expected_s
        How long it will take, for the watcher.
    """
    best = best_of_each_kind(shop.study())
    parts = sorted(spec.key() for spec in best.values())
    made_of = [*parts, f"by {len(shop.judges.users)} users"]
    if made_of == shop.journal.user_attrs.get(BLENDED) or len(best) < 2:
        return
    shop.watcher.blending(expected_s)
    try:
        with shop.hold.released():
            fits = {kind: _fitted(shop, spec) for kind, spec in best.items()}
            found = blend_models(best, fits, shop.graph, shop.validation, seed=shop.seed, fresh=shop.fresh)
            measured = [_with_costs(one, shop.costs_of(lambda one=one: one.fit)) for one in found]  # type: ignore[misc]
    except Exception as error:  # noqa: BLE001  # like that of a trial: whatever a blend does, the study goes on
        reason = f"{type(error).__name__}: {error}"
        shop.journal.set_user_attr(BLEND_FAILED, reason)
        shop.watcher.blend_failed(reason)
        return
    records = [_held_against(shop, one.record) for one in measured]
    for one in measured:
        save_metrics(shop.folder, one.record.key, one.metrics)
    shop.journal.set_user_attr(BLENDS, [record.to_json() for record in records])
    shop.journal.set_user_attr(BLEND_FAILED, "")
    shop.journal.set_user_attr(BLENDED, made_of)
    shop.watcher.blended(tuple(records))


def _held_against(shop: Workshop, record: BlendRecord) -> BlendRecord:
    """Say which limit of the space a blend is above: it may be chosen by name, but is no verdict."""
    constraints = shop.header.space.constraints
    if constraints == UNCONSTRAINED:
        return record
    too_large = constraints.too_large(0, artifact_bytes(record.spec, shop.graph))
    return replace(record, infeasible=too_large or constraints.too_costly(record.measured.values))


def _with_costs(found: Found, costs: Mapping[str, float]) -> Found:
    measured = replace(found.record.measured, values={**found.record.measured.values, **costs})
    return replace(found, record=replace(found.record, measured=measured))


def _fitted(shop: Workshop, spec: BranchSpec) -> Fit:
    """Give the fit of a measured model: kept, or made again."""
    kept = shop.kept.find(spec.key())
    return kept if kept is not None else shop.slots.fit(shop.job(spec))


def blend_models(
    specs: Mapping[str, BranchSpec],
    fits: Mapping[str, Fit],
    graph: InteractionGraph,
    validation: Validation,
    *,
    seed: int,
    fresh: Validation | None = None,
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
    fresh
        As for :func:`gnas_search.blend.blend`.

    Returns
    -------
    list of Found
        The blend, then its compressed form; empty where no blend pays.
    """
    models = {kind: (spec, fits[kind].branches[0]) for kind, spec in specs.items()}
    epochs = max(fit.epochs for fit in fits.values())
    blended = blend(models, graph, validation, seed=seed, epochs=epochs, fresh=fresh)
    if blended is None:
        return []
    parameters = num_parameters(blended.spec, graph)
    whole = _record(blended.spec, blended.metrics, seed, blended.seconds, parameters)
    whole = replace(whole, scan_us=scan_us(blended.fit, graph.positives, validation.users))
    found = [Found(whole, blended.metrics, blended.fit)]
    if blended.fit.item_vectors.shape[1] <= COMPRESSED_DIMS and blended.fit.two_hop is None:
        return found
    start = time.monotonic()
    spec = replace(blended.spec, dims=COMPRESSED_DIMS)
    short = compress(blended.fit, graph.positives, COMPRESSED_DIMS, name=spec.key(), seed=seed)
    metrics = validation.score_with(short.score_rows(graph.positives))
    # Held against the whole blend under the same weights; cross-fitted metrics are of others, halfway ones.
    exact = blended.metrics if fresh is not None else validation.score_with(blended.fit.score_rows(graph.positives))
    loss = metrics.mean()[1] / max(exact.mean()[1], 1e-12) - 1.0
    told = metrics if fresh is not None else as_cross_fitted(metrics, exact, blended.metrics)
    compressed = _record(spec, told, seed, time.monotonic() - start, parameters)
    timed = scan_us(short, graph.positives, validation.users)
    return [*found, Found(replace(compressed, loss=loss, scan_us=timed), told, short)]


def as_cross_fitted(short: UserMetrics, exact: UserMetrics, whole: UserMetrics) -> UserMetrics:
    """Give what a compressed blend is worth to users by whom its weights were not fitted.

    Fitted on the users that it is measured by, it would seem better than the blend that it is made of.

    Parameters
    ----------
    short, exact
        The compressed form and the blend itself, with the weights that were fitted on these users.
    whole
        The blend, cross-fitted: to this is added what compression changes for each user.
    """
    judged = None
    if whole.judged is not None and short.judged is not None and exact.judged is not None:
        judged = whole.judged + (short.judged - exact.judged)
    return UserMetrics(
        np.clip(whole.recall + (short.recall - exact.recall), 0.0, 1.0),
        np.clip(whole.ndcg + (short.ndcg - exact.ndcg), 0.0, 1.0),
        judged,
        {name: value + (short.values[name] - exact.values[name]) for name, value in whole.values.items()},
    )


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


def _record(spec: BlendSpec, metrics: UserMetrics, seed: int, seconds: float, parameters: int) -> BlendRecord:
    measured = Measurement.of(metrics, seed=seed, seconds=seconds, parameters=parameters, peak_bytes=peak_bytes())
    return BlendRecord(spec, measured, loss=0.0, scan_us=0.0)
