"""Training: one fit epoch by epoch, a fit selected on validation, and the two fits of a checkpoint."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch

from gnas_search.architecture import ArchitectureSpec
from gnas_search.baselines import Baseline, baseline_named
from gnas_search.checkpoint import Checkpoint, Fit
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.evaluate import UserMetrics, Validation, validation_of
from gnas_search.model import GraphRecommender
from gnas_search.objective import LOSSES, batches
from gnas_serve.errors import ConfigError, NoViableTrialError

Floats = npt.NDArray[np.float32]

_WARM_UP_EPOCHS = 0.5
_FLOOR = 0.05  # of the learning rate, where the cosine ends
_BETAS = (0.9, 0.99)  # few steps are made: a second moment over 1,000 of them would lag behind


class Trainer:
    """One fit of one architecture, advanced epoch by epoch.

    Deterministic for equal spec, seed and number of threads on one type of machine.

    Parameters
    ----------
    spec
        What to train. ``weight_decay`` is decoupled: each step shrinks the embeddings (not the layers' weights) by
        ``learning rate * weight_decay`` of themselves.
    graph
        What to train on.
    seed
        Of initial values, shuffling and sampling.

    Attributes
    ----------
    epoch
        Complete epochs so far.
    loss
        Mean loss per user of the last complete epoch; NaN before.

    References
    ----------
    Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR.
    """

    def __init__(self, spec: ArchitectureSpec, graph: InteractionGraph, *, seed: int) -> None:
        spec = spec.canonical()  # specs of one key are one model, whatever their idle settings say
        self.spec = spec
        self.epoch = 0
        self.loss = math.nan
        self._positives = graph.positives
        self._num_users = int(np.count_nonzero(np.diff(graph.positives.indptr)))
        self._rng = np.random.default_rng(seed)
        self._model = GraphRecommender(spec, graph, seed=seed)
        groups = [
            {"params": [self._model.embeddings], "weight_decay": spec.weight_decay},
            {"params": list(self._model.layers.parameters()), "weight_decay": 0.0},
        ]
        self._optimizer = torch.optim.AdamW(groups, lr=spec.learning_rate, betas=_BETAS, fused=True)

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned, embeddings included."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    def advance(self, epochs: int, *, deadline: float | None = None, on_batch: Callable[[], None] | None = None) -> int:
        """Train for some epochs, at most up to ``spec.epochs`` in all.

        Parameters
        ----------
        epochs
            How many more.
        deadline
            A ``time.monotonic()`` after which no batch is begun; the epoch it cuts short does not count.
        on_batch
            Called after every batch; what it raises ends the training.

        Returns
        -------
        int
            Epochs really completed.

        Raises
        ------
        NoViableTrialError
            If the loss is no finite number any more.
        """
        first = self.epoch
        while self.epoch < min(first + epochs, self.spec.epochs):
            if not self._run_epoch(deadline, on_batch):
                break
            self.epoch += 1
        return self.epoch - first

    def vectors(self) -> tuple[Floats, Floats]:
        """Give the vectors whose inner products are the scores: (U, d'), (I, d'); of unit length for cosine."""
        with torch.no_grad():
            users, items = self._model()
        return users.detach().numpy().copy(), items.detach().numpy().copy()

    def _run_epoch(self, deadline: float | None, on_batch: Callable[[], None] | None) -> bool:
        loss_of = LOSSES[self.spec.loss]
        done, total = 0, 0.0
        for batch in batches(self._positives, self.spec.batch_size, self._rng):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            size = len(batch.users)
            self._set_learning_rate(self.epoch + (done + size) / self._num_users)
            users, items = self._model()
            loss = loss_of(users.index_select(0, batch.users), items, batch, self.spec, self._rng)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
            done += size
            total += size * float(loss.detach())
            if on_batch is not None:
                on_batch()
        self.loss = total / self._num_users
        if not math.isfinite(self.loss):
            raise NoViableTrialError(
                f"training diverged in epoch {self.epoch + 1}: the loss is {self.loss}",
                hint="lower learning_rate or raise temperature",
                code="diverged",
            )
        return True

    def _set_learning_rate(self, progress: float) -> None:
        # Warm-up over half an epoch, then half a cosine that ends at spec.epochs wherever training really stops.
        cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress / self.spec.epochs, 1.0)))
        rate = self.spec.learning_rate * min(1.0, progress / _WARM_UP_EPOCHS) * (_FLOOR + (1.0 - _FLOOR) * cosine)
        for group in self._optimizer.param_groups:
            group["lr"] = rate


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
    """
    trainer = Trainer(spec, graph, seed=seed)
    history: list[EpochResult] = []
    stopped: Literal["epochs", "patience", "deadline"] = "epochs"
    best_epoch, best_vectors = 0, trainer.vectors()
    best_metrics: UserMetrics | None = None
    best_ndcg = -math.inf
    while trainer.epoch < spec.epochs:
        start = time.monotonic()
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
    if not named.servable:
        raise ConfigError(
            f"{named.name} cannot be trained: it scores by a sparse matrix, which this version does not serve",
            hint="pick svd instead",
            code="not_servable",
        )
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
