"""A toy study: data of four tastes, and a slot that gives each model a fixed quality without training."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, TwoHopSpec
from gnas_search.closed_form.fitting import fit_closed_form, with_prior
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import DatasetConfig
from gnas_search.epoch import EpochResult
from gnas_search.evaluate import UserMetrics
from gnas_search.fit import Branch, Fit
from gnas_search.slots import Event, Failure, Job, Result
from gnas_search.space import SearchSpace
from gnas_search.specs import BranchSpec, kind_of
from gnas_search.study import CostMeter, Limits, Study
from gnas_search.study.beginning import begin
from gnas_search.study.driver import run
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.vocabulary import Vocabulary

NUM_USERS, NUM_ITEMS = 60, 40
SMALL: dict[str, Any] = {
    "genes": {"num_layers": [1, 2], "operator": ["gcn", "lightgcn"], "embedding_dim": [8, 16]},
    "start": [{"layers": ["lightgcn", "lightgcn"], "embedding_dim": 16}],
}
ROUND = ("filter", "two-hop", "gnn", "gnn")
"""Whose turn it is in a space of all families, over and over."""


def make_dataset(fingerprint: str = "a" * 64) -> Dataset:
    """Users of four tastes; each tries a third of the items of its taste."""
    rng = np.random.default_rng(0)
    taste = np.arange(NUM_USERS)[:, None] % 4 == np.arange(NUM_ITEMS)[None, :] % 4
    likes = taste & (rng.random((NUM_USERS, NUM_ITEMS)) < 0.6)
    likes[np.arange(NUM_USERS), np.arange(NUM_USERS) % 4] = True
    held_out = likes & (rng.random(likes.shape) < 0.3)
    held_out[np.arange(NUM_USERS), np.arange(NUM_USERS) % 4] = False
    train = sp.csr_matrix((likes & ~held_out).astype(np.float32))
    whole = sp.csr_matrix(likes.astype(np.float32))
    return Dataset(
        users=Vocabulary.from_ids(range(NUM_USERS)),
        items=Vocabulary.from_ids(range(NUM_ITEMS)),
        selection=InteractionGraph(train, train),
        final=InteractionGraph(whole, whole),
        valid=sp.csr_matrix(held_out.astype(np.float32)),
        item_features=None,
        user_features=None,
        item_recency=None,
        target_event=None,
        policy="random",
        fingerprint=fingerprint,
        config=DatasetConfig(),
    )


def quality(spec: BranchSpec) -> float:
    """Say how good the toy slot finds a model, networks best, within 0..1; equal for equal keys alone."""
    spec = spec.canonical()
    if isinstance(spec, ArchitectureSpec):
        return 0.9 - 0.09 * len(spec.layers) + 0.0009 * spec.embedding_dim
    if isinstance(spec, FilterSpec):
        return 0.5 + 0.0001 * spec.rank - 0.1 * abs(spec.user_power - 0.25) - 0.001 * spec.strength
    assert isinstance(spec, TwoHopSpec)
    return 0.4 - 0.1 * abs(spec.source_power - 0.5) + 0.0001 * spec.neighbours


def toy_fit(spec: BranchSpec) -> Fit:
    """Fit a closed form; in the place of a network, give vectors that have an inkling of what is held out."""
    data = make_dataset()
    if not isinstance(spec, ArchitectureSpec):
        return Fit(with_prior(fit_closed_form(spec, data.selection, seed=0), data.selection), 0)
    items = np.random.default_rng(0).standard_normal((NUM_ITEMS, 12)).astype(np.float32)
    return Fit((Branch(BranchFacts(spec.key(), "gnn", 12), data.final.positives @ items, items),), 1)


class ToySlot:
    """Gives each model a fixed quality per user; does ``mischief`` at the chosen jobs, ``refuses`` to fit any again."""

    count = 1

    def __init__(
        self,
        mischief: dict[int, Callable[[], None]] | None = None,
        level: float = 1.0,
        refuses: Exception | None = None,
    ) -> None:
        self.jobs: list[Job] = []
        self.epochs_left: list[EpochResult] = []
        self.replies: list[bool] = []
        self.closed = False
        self.fitted: list[str] = []
        self.mischief = dict(mischief or {})
        self.level = level
        self.refuses = refuses
        self.users = int(np.count_nonzero(np.diff(make_dataset().valid.indptr)))

    def has_room(self, place: int, spec: BranchSpec) -> bool:
        return True

    def start(self, place: int, job: Job) -> None:
        assert place == 0
        self.jobs.append(job)
        self.epochs_left = list(self.epochs_of(job.spec))

    def epochs_of(self, spec: BranchSpec) -> Iterable[EpochResult]:
        """Give the epochs that a job goes through."""
        return [EpochResult(1, 0.5, 0.1, 0.01)] if isinstance(spec, ArchitectureSpec) else []

    def wait(self) -> tuple[int, Event]:
        try:
            self.mischief.pop(len(self.jobs) - 1, lambda: None)()
        except Exception as error:  # noqa: BLE001  # as the slots themselves do
            return 0, Failure(f"{type(error).__name__}: {error}")
        if self.epochs_left:
            return 0, self.epochs_left.pop(0)
        return 0, self.result()

    def reply(self, place: int, *, go_on: bool) -> None:
        self.replies.append(go_on)
        if not go_on:
            self.epochs_left = []

    def close(self) -> None:
        self.closed = True

    def result(self) -> Result:
        spec = self.jobs[-1].spec
        found = self.level * quality(spec)
        ndcg = (self.level * (quality(spec) + np.linspace(-0.01, 0.01, self.users))).clip(0.0, 1.0)
        if not isinstance(spec, ArchitectureSpec):
            return Result(UserMetrics(ndcg, ndcg), 0, (), "", 0, 0.1, 1 << 20, toy_fit(spec))
        late = self.jobs[-1].deadline is not None
        best, stopped = (0, "deadline") if late else (1, "epochs")
        history = (EpochResult(1, 0.5, found, 0.01, 0.005),)
        return Result(UserMetrics(ndcg, ndcg), best, history, stopped, 10, 0.1, 1 << 20, toy_fit(spec))

    def fit(self, job: Job) -> Fit:
        if self.refuses is not None:
            raise self.refuses
        self.fitted.append(job.spec.key())
        return toy_fit(job.spec)


class Ledger:
    """Remembers what a watcher is told."""

    def __init__(self) -> None:
        self.baselines: list[str] = []
        self.left_out: list[str] = []
        self.started: list[str] = []
        self.trials: list[tuple[int, str]] = []
        self.blends: list[tuple[str, ...]] = []
        self.forecasts: list[str] = []
        self.failures: list[str] = []
        self.expected_s: list[float] = []
        self.deadlines: list[float | None] = []
        self.epochs = 0
        self.supernet: list[tuple[str, int, int]] = []
        self.shortlists: list[Any] = []
        self.chosen: list[tuple[int, int]] = []
        self.repeats: list[tuple[str, int, float]] = []
        self.decided: list[list[tuple[str, float]]] = []
        self.undecided: list[tuple[int, int]] = []

    def baseline_measured(self, baseline: Any) -> None:
        self.baselines.append(baseline.name)

    def baseline_left_out(self, name: str, reason: str) -> None:
        self.left_out.append(name)

    def forecast_made(self, spec: BranchSpec, forecast: Any) -> None:
        assert forecast.epoch_s > 0
        assert forecast.peak_bytes > 0
        self.forecasts.append(spec.key())

    def supernet_moved(self, strategy: str, step: Any) -> None:
        self.supernet.append((step.stage, step.done, step.total))

    def supernet_ended(self, strategy: str, found: Any) -> None:
        self.shortlists.append(found)

    def trial_started(self, number: int, spec: BranchSpec, finished: int, deadline: float | None) -> None:
        assert finished <= number
        self.deadlines.append(deadline)
        self.started.append(kind_of(spec))

    def epoch_ended(self, number: int, epoch: EpochResult) -> None:
        self.epochs += 1

    def trial_ended(self, trial: Any) -> None:
        self.trials.append((trial.number, trial.state))

    def finalists_chosen(self, networks: int, trainings: int, expected_s: float) -> None:
        assert expected_s > 0
        self.chosen.append((networks, trainings))

    def finalist_repeated(self, key: str, seed: int, measured: Any) -> None:
        self.repeats.append((key, seed, measured.quality.value))

    def finalist_failed(self, key: str, seed: int, reason: str) -> None:
        self.failures.append(f"{key} from seed {seed}: {reason}")

    def finalists_decided(self, finalists: Any) -> None:
        self.decided.append([(one.trial.key, one.mean) for one in finalists])

    def finalists_undecided(self, late: int, trainings: int) -> None:
        self.undecided.append((late, trainings))

    def blending(self, expected_s: float) -> None:
        self.expected_s.append(expected_s)
        self.blends.append(())

    def blend_failed(self, reason: str) -> None:
        self.failures.append(reason)

    def blended(self, found: Any) -> None:
        self.blends[-1] = tuple(record.key for record in found)


@cache
def quick_space() -> SearchSpace:
    """Give the ready space, read once."""
    return SearchSpace.load("quick")


def small_space() -> SearchSpace:
    """Give a space of twelve networks, and nothing else."""
    return SearchSpace.from_json(SMALL)


def toy_meter(fit: Fit) -> dict[str, float]:
    """Let a model cost what its vectors are wide."""
    width = float(fit.item_vectors.shape[1])
    return {"artifact_bytes": 400.0 * width, "latency_us": 10.0 + width}


def go(
    folder: Path,
    *,
    trials: int | None = 3,
    slots: Any = None,
    watcher: Any = None,
    meter: CostMeter | None = toy_meter,
    **begun: Any,
) -> Study:
    """Begin or go on with a study on the quick space."""
    dataset = make_dataset()
    begun.setdefault("space", None if folder.exists() else quick_space())
    strategy = begun.pop("strategy", None)
    begin(folder, dataset, strategy=strategy, seed=begun.pop("seed", None), **begun)
    limits = Limits(trials, None)
    given = slots or ToySlot()
    return run(folder, dataset, watcher or Ledger(), limits=limits, strategy=strategy, slots=given, meter=meter)


def keys(study: Study) -> list[str]:
    return [trial.key for trial in study.trials if trial.state == "complete"]


def interrupt() -> None:
    raise KeyboardInterrupt
