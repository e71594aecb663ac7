"""Training to keep: a fit selected on validation, and the two fits of a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from gnas_search.architecture import ArchitectureSpec
from gnas_search.baselines import Baseline, baseline_named
from gnas_search.checkpoint import Checkpoint, Fit
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.evaluate import UserMetrics, Validation, validation_of
from gnas_search.trainer import Floats, Trainer
from gnas_serve.errors import ConfigError

__all__ = ["EpochResult", "SelectedFit", "Trainer", "fit_selected", "require_servable", "train_checkpoint"]


@dataclass(frozen=True)
class EpochResult:
    """One epoch and its validation.

    Attributes
    ----------
    epoch
        From 1.
    loss
        Mean training loss per user.
    ndcg
        Mean validation ndcg.
    seconds
        Training and validation.
    """

    epoch: int
    loss: float
    ndcg: float
    seconds: float


@dataclass(frozen=True)
class SelectedFit:
    """The best epoch of a fit with early stopping.

    Attributes
    ----------
    user_vectors : (U, d') float32
    item_vectors : (I, d') float32
    best_epoch
        From 1; 0 where the deadline passed within the first epoch: the vectors are then those of the untrained model.
    metrics
        Validation metrics of these vectors.
    history
        Every epoch.
    stopped
        Why training ended.
    num_parameters
        How many numbers were learned.
    """

    user_vectors: Floats
    item_vectors: Floats
    best_epoch: int
    metrics: UserMetrics
    history: tuple[EpochResult, ...]
    stopped: Literal["epochs", "patience", "deadline"]
    num_parameters: int


def fit_selected(
    spec: ArchitectureSpec,
    graph: InteractionGraph,
    validation: Validation,
    *,
    seed: int,
    on_epoch: Callable[[EpochResult], None] | None = None,
    deadline: float | None = None,
    limit_s: float | None = None,
) -> SelectedFit:
    """Train with early stopping on validation ndcg and keep the best epoch.

    Parameters
    ----------
    spec
        Ends after ``spec.epochs``, or ``spec.patience`` validations (one per epoch) without a gain.
    graph, validation
        What to train on and what to select by.
    seed
        As :class:`Trainer`.
    on_epoch
        Called after every validation; what it raises ends the training.
    deadline
        A ``time.monotonic()`` after which no batch is begun.
    limit_s
        Seconds after which no batch is begun either, but for those of the first epoch.
    """
    limit = math.inf if limit_s is None else time.monotonic() + limit_s
    trainer = Trainer(spec, graph, seed=seed)
    history: list[EpochResult] = []
    stopped: Literal["epochs", "patience", "deadline"] = "epochs"
    best_epoch, best_vectors = 0, trainer.vectors()
    best_metrics: UserMetrics | None = None
    best_ndcg = -math.inf
    while trainer.epoch < spec.epochs:
        start = time.monotonic()
        if trainer.epoch == 1:
            deadline = limit if deadline is None else min(deadline, limit)
        if trainer.advance(1, deadline=deadline) == 0:
            stopped = "deadline"
            break
        vectors = trainer.vectors()
        metrics = validation.score(*vectors)
        ndcg = metrics.mean()[1]
        if ndcg > best_ndcg:
            best_epoch, best_vectors, best_metrics, best_ndcg = trainer.epoch, vectors, metrics, ndcg
        history.append(EpochResult(trainer.epoch, trainer.loss, ndcg, time.monotonic() - start))
        if on_epoch is not None:
            on_epoch(history[-1])
        if trainer.epoch - best_epoch >= spec.patience:
            stopped = "patience"
            break
    return SelectedFit(
        *best_vectors,
        best_epoch=best_epoch,
        metrics=best_metrics if best_metrics is not None else validation.score(*best_vectors),
        history=tuple(history),
        stopped=stopped,
        num_parameters=trainer.num_parameters,
    )


def require_servable(model: ArchitectureSpec | str) -> None:
    """Make sure that a model can become a checkpoint; every architecture can.

    Raises
    ------
    ConfigError
        If it is a baseline that is unknown or has no vectors to serve.
    """
    if isinstance(model, str) and not baseline_named(model).servable:
        raise ConfigError(
            f"{model} cannot be trained: it scores by a sparse matrix, which this version does not serve",
            hint="pick svd instead",
            code="not_servable",
        )


def train_checkpoint(
    dataset: Dataset,
    spec: ArchitectureSpec | str,
    *,
    seed: int,
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> Checkpoint:
    """Make both fits of a checkpoint: one selected on validation, one on train + validation for as many epochs.

    Parameters
    ----------
    dataset
        The split data.
    spec
        An architecture, or the name of a baseline.
    seed
        Of both fits.
    on_epoch
        Called after every validation of the selection fit.

    Raises
    ------
    ConfigError
        If the baseline is unknown or has no vectors to serve.
    """
    require_servable(spec)
    validation = validation_of(dataset)
    if isinstance(spec, str):
        return _baseline_checkpoint(dataset, baseline_named(spec), validation, seed)
    selected = fit_selected(spec, dataset.selection, validation, seed=seed, on_epoch=on_epoch)
    # Same spec, same schedule: the final fit walks the learning rates that the selection fit walked.
    trainer = Trainer(spec, dataset.final, seed=seed)
    trainer.advance(selected.best_epoch)
    return _checkpoint(
        dataset,
        name=spec.key(),
        spec=spec.to_json(),
        scorer=spec.scorer,
        selection=Fit(selected.user_vectors, selected.item_vectors, selected.best_epoch),
        final=Fit(*trainer.vectors(), selected.best_epoch),
        metrics=selected.metrics,
        seed=seed,
    )


def _baseline_checkpoint(dataset: Dataset, named: Baseline, validation: Validation, seed: int) -> Checkpoint:
    baseline = named.tuned(dataset.selection, validation, seed)
    fits = []
    for graph in (dataset.selection, dataset.final):
        vectors = baseline.fit_vectors(graph, seed)
        if vectors is None:
            raise TypeError(f"{baseline.name} says that it is servable and has no vectors")
        fits.append(Fit(*vectors, 0))
    return _checkpoint(
        dataset,
        name=baseline.name,
        spec=baseline.to_json(),
        scorer="dot",
        selection=fits[0],
        final=fits[1],
        metrics=validation.score(fits[0].user_vectors, fits[0].item_vectors),
        seed=seed,
    )


def _checkpoint(
    dataset: Dataset,
    *,
    name: str,
    spec: dict[str, Any],
    scorer: str,
    selection: Fit,
    final: Fit,
    metrics: UserMetrics,
    seed: int,
) -> Checkpoint:
    recall, ndcg = metrics.mean()
    return Checkpoint(
        name=name,
        spec=spec,
        scorer=scorer,
        users=dataset.users,
        items=dataset.items,
        selection=selection,
        final=final,
        train=dataset.selection.positives,
        valid=dataset.valid,
        item_features=dataset.item_features,
        user_features=dataset.user_features,
        item_recency=dataset.item_recency,
        config=dataset.config,
        fingerprint=dataset.fingerprint,
        policy=dataset.policy,
        target_event=dataset.target_event,
        seed=seed,
        metrics={"recall@20": recall, "ndcg@20": ndcg},
    )
