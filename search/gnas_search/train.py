"""Training to keep: a model selected on validation, and the two fits of a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gnas_search.architecture import ArchitectureSpec
from gnas_search.blend import assemble, compress
from gnas_search.checkpoint import Checkpoint
from gnas_search.closed_form import ClosedFormSpec, Spectra, fit_closed_form, with_prior
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.evaluate import UserMetrics, Validation, validation_of
from gnas_search.fit import Branch, Fit
from gnas_search.footprint import check_checkpoint_memory, check_memory, within_memory
from gnas_search.memory import peak_bytes
from gnas_search.specs import GNN, BlendSpec, BranchSpec, ModelSpec
from gnas_search.trainer import Floats, Trainer
from gnas_serve.artifact.branches import TWO_HOP, BranchFacts

__all__ = ["EpochResult", "Selected", "Trainer", "fit_selected", "train_checkpoint"]

_Stopped = Literal["", "epochs", "patience", "deadline"]


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
    train_s
        Training alone.
    """

    epoch: int
    loss: float
    ndcg: float
    seconds: float
    train_s: float = math.nan


@dataclass(frozen=True)
class Selected:
    """A model fitted to one graph and selected by validation.

    Attributes
    ----------
    fit
        Of a network: that of its best epoch.
    best_epoch
        From 1; 0 for closed forms, and where the deadline passed within the first epoch: the fit is then that of the
        untrained network.
    metrics
        Of the validation users.
    history
        Every epoch.
    stopped
        Why training ended; empty for closed forms.
    num_parameters
        How many numbers were learned.
    peak_bytes
        The most memory held so far, by this process or on its CUDA device.
    """

    fit: Fit
    best_epoch: int
    metrics: UserMetrics
    history: tuple[EpochResult, ...]
    stopped: _Stopped
    num_parameters: int
    peak_bytes: int


def fit_selected(
    spec: BranchSpec,
    graph: InteractionGraph,
    validation: Validation,
    *,
    seed: int,
    spectra: Spectra | None = None,
    on_epoch: Callable[[EpochResult], None] | None = None,
    deadline: float | None = None,
    limit_s: float | None = None,
) -> Selected:
    """Fit a model; train a network with early stopping on validation ndcg and keep its best epoch.

    Parameters
    ----------
    spec
        A closed form, or a network: that ends after ``spec.epochs``, or ``spec.patience`` validations (one per epoch)
        without a gain.
    graph, validation
        What to train on and what to select by.
    seed
        As :class:`Trainer`.
    spectra
        Decompositions of the graph to share between graph filters.
    on_epoch
        Called after every validation; what it raises ends the training.
    deadline
        A ``time.monotonic()`` after which no batch is begun.
    limit_s
        Seconds after which no batch is begun either, but for those of the first epoch.

    Raises
    ------
    ConfigError
        With code ``"too_large"``, if the fit would not go into memory.
    """
    check_memory(spec, graph)
    with within_memory(spec, graph):
        if isinstance(spec, ArchitectureSpec):
            return _train_network(spec, graph, validation, seed, on_epoch, deadline, limit_s)
        fit = Fit(_fit_closed(spec, graph, seed, spectra), 0)
        metrics = validation.score_with(fit.score_rows(graph.positives))
    return Selected(fit, 0, metrics, (), "", 0, peak_bytes())


def _fit_closed(
    spec: ClosedFormSpec, graph: InteractionGraph, seed: int, spectra: Spectra | None
) -> tuple[Branch, ...]:
    branch = fit_closed_form(spec, graph, seed=seed, spectra=spectra)
    return with_prior(branch, graph) if branch.facts.kind == TWO_HOP else (branch,)


def _train_network(
    spec: ArchitectureSpec,
    graph: InteractionGraph,
    validation: Validation,
    seed: int,
    on_epoch: Callable[[EpochResult], None] | None,
    deadline: float | None,
    limit_s: float | None,
) -> Selected:
    limit = math.inf if limit_s is None else time.monotonic() + limit_s
    trainer = Trainer(spec, graph, seed=seed)
    history: list[EpochResult] = []
    stopped: _Stopped = "epochs"
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
        history.append(EpochResult(trainer.epoch, trainer.loss, ndcg, time.monotonic() - start, trainer.epoch_s))
        if on_epoch is not None:
            on_epoch(history[-1])
        if trainer.epoch - best_epoch >= spec.patience:
            stopped = "patience"
            break
    return Selected(
        Fit((_network_branch(trainer, *best_vectors),), best_epoch),
        best_epoch,
        best_metrics if best_metrics is not None else validation.score(*best_vectors),
        tuple(history),
        stopped,
        trainer.num_parameters,
        trainer.peak_bytes,
    )


def _network_branch(trainer: Trainer, users: Floats, items: Floats) -> Branch:
    spec = trainer.spec
    users[~trainer.reached_users] = 0.0  # nothing moved them from where they were drawn at random
    facts = BranchFacts(spec.key(), GNN, users.shape[1], unit_length=spec.scorer == "cosine")
    return Branch(facts, users, items)


def _refit(spec: BranchSpec, graph: InteractionGraph, seed: int, epochs: int) -> Fit:
    """Fit a selected model to another graph: a network for as many epochs as were selected."""
    check_memory(spec, graph)
    with within_memory(spec, graph):
        if not isinstance(spec, ArchitectureSpec):
            return Fit(_fit_closed(spec, graph, seed, None), 0)
        # Same spec, same schedule: the final fit walks the learning rates that the selection fit walked.
        trainer = Trainer(spec, graph, seed=seed)
        trainer.advance(epochs)
        return Fit((_network_branch(trainer, *trainer.vectors()),), epochs)


def train_checkpoint(
    dataset: Dataset,
    spec: ModelSpec,
    *,
    seed: int,
    on_epoch: Callable[[EpochResult], None] | None = None,
) -> Checkpoint:
    """Make both fits of a checkpoint: one selected on validation, one on train + validation with the same settings.

    Parameters
    ----------
    dataset
        The split data.
    spec
        A network, a closed form, or a blend: its weights are kept for both fits.
    seed
        Of both fits.
    on_epoch
        Called after every validation of the selection fit.

    Raises
    ------
    ConfigError
        With code ``"too_large"``, if both fits would not go into memory: before the first of them.
    """
    spec = spec.canonical()
    check_checkpoint_memory(spec, dataset.final)
    validation = validation_of(dataset)
    parts: Sequence[BranchSpec] = [share.spec for share in spec.shares] if isinstance(spec, BlendSpec) else [spec]
    selected = [fit_selected(part, dataset.selection, validation, seed=seed, on_epoch=on_epoch) for part in parts]
    refitted = [
        _refit(part, dataset.final, seed, found.best_epoch) for part, found in zip(parts, selected, strict=True)
    ]
    with within_memory(spec, dataset.final):
        selection = _joined(spec, [found.fit for found in selected], dataset.selection, seed)
        final = _joined(spec, refitted, dataset.final, seed)
        everybody = validation_of(dataset, max_users=None)
        recall, ndcg = everybody.score_with(selection.score_rows(dataset.selection.positives)).mean()
    return Checkpoint(
        name=spec.key(),
        spec=spec.to_json(),
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


def _joined(spec: ModelSpec, fits: Sequence[Fit], graph: InteractionGraph, seed: int) -> Fit:
    """Make one fit of the fits of a model's parts."""
    if not isinstance(spec, BlendSpec):
        return fits[0]
    epochs = max(fit.epochs for fit in fits)
    # The first branch is the model itself: a two-hop model alone has a prior beside it.
    whole = assemble(spec.shares, [fit.branches[0] for fit in fits], graph, epochs)
    return whole if spec.dims is None else compress(whole, graph.positives, spec.dims, name=spec.key(), seed=seed)
