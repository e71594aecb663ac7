"""Trainer: one fit of one architecture, epoch by epoch."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.initial_weights import InitialWeights
from gnas_search.memory import peak_bytes, reuse_freed_memory
from gnas_search.model import GraphRecommender
from gnas_search.objective import LOSSES, Batch, adversarial, batches, view_contrast
from gnas_search.optimizer import Adam
from gnas_serve.errors import NoViableTrialError

Floats = npt.NDArray[np.float32]

_WARM_UP_EPOCHS = 0.5
_FLOOR = 0.05  # of the learning rate, where the cosine ends
_BETAS = (0.9, 0.99)  # few steps are made: a second moment over 1,000 of them would lag behind


def default_device() -> torch.device:
    """Give the CUDA device where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Trainer:
    """One fit of one architecture, advanced epoch by epoch.

    On a CPU deterministic for equal spec, seed and number of threads on one type of machine.

    Parameters
    ----------
    spec
        What to train. ``weight_decay`` is decoupled: each step shrinks the embeddings (not the layers' weights) by
        ``learning rate * weight_decay`` of themselves.
    graph
        What to train on.
    seed
        Of initial values, shuffling and sampling.
    device
        Where to train; by default :func:`default_device`.
    initial
        What to begin with in the place of what the seed draws; that is drawn all the same, so that the rest is as ever.

    Attributes
    ----------
    device
        Where it trains.
    epoch_s
        Seconds of the last complete epoch, validation excluded; NaN before.
    epoch
        Complete epochs so far.
    loss
        Mean loss per user of the last complete epoch; NaN before.

    References
    ----------
    Loshchilov, I. and Hutter, F. (2019). Decoupled weight decay regularization. ICLR.
    """

    def __init__(
        self,
        spec: ArchitectureSpec,
        graph: InteractionGraph,
        *,
        seed: int,
        device: torch.device | str | None = None,
        initial: InitialWeights | None = None,
    ) -> None:
        reuse_freed_memory()
        spec = spec.canonical()  # specs of one key are one model, whatever their idle settings say
        self.spec = spec
        self.epoch = 0
        self.loss = math.nan
        self.epoch_s = math.nan
        self.device = default_device() if device is None else torch.device(device)
        self._positives = graph.positives
        self._num_users = int(np.count_nonzero(np.diff(graph.positives.indptr)))
        self._rng = np.random.default_rng(seed)
        model = GraphRecommender(spec, graph, seed=seed)
        if initial is not None:
            initial.write_into(model)
        self._model = model.to(self.device)
        self._optimizer = optimizer_of(self._model, spec)

    @property
    def num_parameters(self) -> int:
        """How many numbers are learned, embeddings included."""
        return sum(parameter.numel() for parameter in self._model.parameters())

    @property
    def peak_bytes(self) -> int:
        """The most memory held so far: by this process, or on its CUDA device."""
        return peak_bytes(self.device)

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
        """Give the vectors whose inner products are the scores: (U, d'), (I, d').

        Of unit length for cosine, but for the zeros of those of whom nothing is learned.
        """
        with torch.no_grad():
            users, items = (side.cpu().numpy() for side in self._model())
        users[~self._model.known_users] = 0.0
        items[~self._model.known_items] = 0.0
        return users, items

    def weights(self) -> dict[str, Floats]:
        """Give a copy of every parameter by its name."""
        named = self._model.named_parameters()
        return {name: parameter.detach().cpu().numpy().copy() for name, parameter in named}

    def _run_epoch(self, deadline: float | None, on_batch: Callable[[], None] | None) -> bool:
        self._model.thin(self._rng)
        done, total = 0, 0.0
        start = time.monotonic()
        for batch in batches(self._positives, self.spec.batch_size, self._rng, self.device):
            if deadline is not None and time.monotonic() >= deadline:
                return False
            size = len(batch.users)
            self._set_learning_rate(self.epoch + (done + size) / self._num_users)
            loss = self._loss(batch)
            self._optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            self._model.hold_alone()
            self._optimizer.step()
            done += size
            total += size * float(loss.detach())
            if on_batch is not None:
                on_batch()
        self.epoch_s = time.monotonic() - start
        self.loss = total / self._num_users
        if not math.isfinite(self.loss):
            raise NoViableTrialError(
                f"training diverged in epoch {self.epoch + 1}: the loss is {self.loss}",
                hint="lower learning_rate or raise temperature",
                code="diverged",
            )
        return True

    def _loss(self, batch: Batch) -> torch.Tensor:
        return batch_loss(self._model, batch, self.spec, self._rng)

    def _set_learning_rate(self, progress: float) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = learning_rate(self.spec, progress)


def optimizer_of(model: GraphRecommender, spec: ArchitectureSpec) -> Adam:
    """Make the optimiser of a model's parameters; weights that a batch does not reach stay as they are."""
    weights = [weight for name, weight in model.named_parameters() if name != "embeddings"]
    groups = [
        {"params": [model.embeddings], "weight_decay": spec.weight_decay},
        {"params": weights, "weight_decay": 0.0},
    ]
    return Adam(groups, lr=spec.learning_rate, betas=_BETAS, fused=True, decoupled_weight_decay=True)


def batch_loss(model: GraphRecommender, batch: Batch, spec: ArchitectureSpec, rng: np.random.Generator) -> torch.Tensor:
    """Compute what a step minimises: the loss that a spec names, and its regularisers.

    Parameters
    ----------
    model
        Computes the vectors.
    batch
        Of users.
    spec
        Canonical in what losses read of it.
    rng
        Draws items.
    """
    loss_of = LOSSES[spec.loss]
    users, items = model(batch.users)
    if spec.adversarial_weight:
        loss, hurt = adversarial(loss_of, users, items, batch, spec, rng)
        loss = loss + spec.adversarial_weight * hurt
    else:
        loss = loss_of(users, items, batch, spec, rng)
    if spec.contrast_weight:
        one, other = (model(batch.users, noise=spec.contrast_noise) for _ in range(2))
        loss = loss + spec.contrast_weight * view_contrast(one, other, batch, rng)
    return loss


def learning_rate(spec: ArchitectureSpec, progress: float) -> float:
    """Give the rate after so many epochs: a warm-up over half of one, then half a cosine until ``spec.epochs``."""
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(progress / spec.epochs, 1.0)))
    return spec.learning_rate * min(1.0, progress / _WARM_UP_EPOCHS) * (_FLOOR + (1.0 - _FLOOR) * cosine)
