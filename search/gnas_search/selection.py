"""Selection: one model fitted to a graph, step by step, and its best epoch chosen on validation."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from typing import Literal

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import ClosedFormSpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.closed_form.spectra import Spectra
from gnas_search.data.dataset import InteractionGraph
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import UserMetrics, Validation
from gnas_search.fit import Branch, Fit
from gnas_search.initial_weights import InitialWeights
from gnas_search.memory import peak_bytes
from gnas_search.memory_check import check_memory, within_memory
from gnas_search.specs import GNN, BranchSpec
from gnas_search.trainer import Floats, Trainer
from gnas_serve.artifact.branches import TWO_HOP, BranchFacts

Stopped = Literal["", "epochs", "patience", "deadline", "rung"]
"""Why training ended: all epochs done, none of the last few a gain, no time left, or others were better by then."""


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
    weights
        Of a network, where they were asked for: the parameters of its best epoch, by name.
    """

    fit: Fit
    best_epoch: int
    metrics: UserMetrics
    history: tuple[EpochResult, ...]
    stopped: Stopped
    num_parameters: int
    peak_bytes: int
    weights: Mapping[str, Floats] | None = None


Selecting = Generator[EpochResult, bool, Selected]
"""A fit under way: it gives each epoch, is sent whether to go on after it, and returns what was selected."""


def selecting(
    spec: BranchSpec,
    graph: InteractionGraph,
    validation: Validation,
    *,
    seed: int,
    spectra: Spectra | None = None,
    deadline: float | None = None,
    limit_s: float | None = None,
    initial: InitialWeights | None = None,
    keep_weights: bool = False,
) -> Selecting:
    """Fit a model epoch by epoch, for whoever decides after each whether it goes on.

    The parameters are those of :func:`fit_selected`, and ``keep_weights``: whether the parameters of a network's best
    epoch are given too. A closed form has no epochs: it returns at once.
    """
    check_memory(spec, graph, held=keep_weights + (initial is not None))
    with within_memory(spec, graph):
        if isinstance(spec, ArchitectureSpec):
            return (
                yield from _train_network(
                    spec, graph, validation, seed, deadline, limit_s, initial, keep_weights=keep_weights
                )
            )
        fit = Fit(fit_closed(spec, graph, seed, spectra), 0)
        metrics = validation.score_with(fit.score_rows(graph.positives))
    return Selected(fit, 0, metrics, (), "", 0, peak_bytes())


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
    initial: InitialWeights | None = None,
) -> Selected:
    """Fit a model; train a network with early stopping on validation and keep its best epoch.

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
    initial
        What a network begins with, as :class:`Trainer`.

    Raises
    ------
    ConfigError
        With code ``"too_large"``, if the fit would not go into memory.
    """
    steps = selecting(
        spec, graph, validation, seed=seed, spectra=spectra, deadline=deadline, limit_s=limit_s, initial=initial
    )
    try:
        epoch = next(steps)
        while True:
            if on_epoch is not None:
                on_epoch(epoch)
            epoch = steps.send(True)
    except StopIteration as ended:
        selected: Selected = ended.value
        return selected


def fit_closed(spec: ClosedFormSpec, graph: InteractionGraph, seed: int, spectra: Spectra | None) -> tuple[Branch, ...]:
    """Fit a closed form; two hops, which rank only what they reach, with a prior beside them."""
    branch = fit_closed_form(spec, graph, seed=seed, spectra=spectra)
    return with_prior(branch, graph) if branch.facts.kind == TWO_HOP else (branch,)


def network_branch(spec: ArchitectureSpec, users: Floats, items: Floats) -> Branch:
    """Make a branch of the vectors of a network, whose spec is canonical."""
    facts = BranchFacts(spec.key(), GNN, users.shape[1], unit_length=spec.scorer == "cosine")
    return Branch(facts, users, items)


def _train_network(
    spec: ArchitectureSpec,
    graph: InteractionGraph,
    validation: Validation,
    seed: int,
    deadline: float | None,
    limit_s: float | None,
    initial: InitialWeights | None,
    *,
    keep_weights: bool,
) -> Selecting:
    limit = math.inf if limit_s is None else time.monotonic() + limit_s
    trainer = Trainer(spec, graph, seed=seed, initial=initial)
    history: list[EpochResult] = []
    stopped: Stopped = "epochs"
    best_epoch, best_vectors = 0, trainer.vectors()
    best_metrics: UserMetrics | None = None
    best_weights: Mapping[str, Floats] | None = None
    best = -math.inf
    while trainer.epoch < spec.epochs:
        start = time.monotonic()
        if trainer.epoch == 1:
            deadline = limit if deadline is None else min(deadline, limit)
        if trainer.advance(1, deadline=deadline) == 0:
            stopped = "deadline"
            break
        vectors = trainer.vectors()
        metrics = validation.score(*vectors)
        judged = None if metrics.judged is None else float(metrics.quality.mean())
        seconds = time.monotonic() - start
        history.append(EpochResult(trainer.epoch, trainer.loss, metrics.mean()[1], seconds, trainer.epoch_s, judged))
        if history[-1].worth > best:
            best_epoch, best_vectors, best_metrics, best = trainer.epoch, vectors, metrics, history[-1].worth
            best_weights = trainer.weights() if keep_weights else None
        goes_on = yield history[-1]
        if trainer.epoch - best_epoch >= spec.patience:
            stopped = "patience"
            break
        if not goes_on and trainer.epoch < spec.epochs:
            stopped = "rung"
            break
    return Selected(
        Fit((network_branch(trainer.spec, *best_vectors),), best_epoch),
        best_epoch,
        best_metrics if best_metrics is not None else validation.score(*best_vectors),
        tuple(history),
        stopped,
        trainer.num_parameters,
        trainer.peak_bytes,
        best_weights,
    )
