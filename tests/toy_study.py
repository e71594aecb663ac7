"""A toy study: data of four tastes, and a slot that gives each architecture a fixed quality without training."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp

from gnas_search.architecture import MAX_LAYERS, ArchitectureSpec
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import DatasetConfig
from gnas_search.evaluate import UserMetrics
from gnas_search.slots import Job, Outcome
from gnas_search.space import SearchSpace
from gnas_search.study import Limits, Study, begin, run
from gnas_search.train import EpochResult
from gnas_serve.vocabulary import Vocabulary

NUM_USERS, NUM_ITEMS = 60, 40
SMALL: dict[str, Any] = {
    "genes": {"num_layers": [1, 2], "operator": ["gcn", "lightgcn"], "embedding_dim": [8, 16]},
    "start": [{"layers": ["lightgcn", "lightgcn"], "embedding_dim": 16}],
}


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


class ToySlot:
    """Gives each architecture a fixed quality per user; does ``mischief`` at the chosen jobs."""

    def __init__(self, mischief: dict[int, Callable[[], None]] | None = None, level: float = 0.9) -> None:
        self.jobs: list[Job] = []
        self.mischief = mischief or {}
        self.level = level
        self.users = int(np.count_nonzero(np.diff(make_dataset().valid.indptr)))

    def start(self, job: Job) -> None:
        self.jobs.append(job)

    def advance(self, on_epoch: Callable[[EpochResult], None]) -> bool:
        self.mischief.get(len(self.jobs) - 1, lambda: None)()
        on_epoch(EpochResult(1, 0.5, 0.1, 0.01))
        return False

    def result(self) -> Outcome:
        spec = self.jobs[-1].spec
        quality = self.level * (1 - 0.1 * len(spec.layers) + 0.001 * spec.embedding_dim)
        ndcg = np.full(self.users, quality) + np.linspace(-0.01, 0.01, self.users)
        late = self.jobs[-1].deadline is not None
        history = (EpochResult(1, 0.5, quality, 0.01),)
        return Outcome(UserMetrics(ndcg, ndcg), 0 if late else 1, history, "deadline" if late else "epochs", 10, 0.1)


class Ledger:
    """Remembers what a watcher is told."""

    def __init__(self) -> None:
        self.baselines: list[str] = []
        self.trials: list[tuple[int, str]] = []
        self.epochs = 0

    def baseline_measured(self, baseline: Any) -> None:
        self.baselines.append(baseline.name)

    def trial_started(self, number: int, spec: ArchitectureSpec, finished: int) -> None:
        assert len(spec.layers) <= MAX_LAYERS
        assert finished <= number

    def epoch_ended(self, epoch: EpochResult) -> None:
        self.epochs += 1

    def trial_ended(self, trial: Any) -> None:
        self.trials.append((trial.number, trial.state))


def small_space() -> SearchSpace:
    return SearchSpace.from_json(SMALL)


def go(folder: Path, *, trials: int | None = 3, slot: Any = None, watcher: Any = None, **begun: Any) -> Study:
    """Begin or go on with a study on the quick space."""
    dataset = make_dataset()
    begun.setdefault("space", None if folder.exists() else SearchSpace.load("quick"))
    strategy = begun.pop("strategy", None)
    begin(folder, dataset, strategy=strategy, seed=begun.pop("seed", None), **begun)
    limits = Limits(trials, None)
    return run(folder, dataset, watcher or Ledger(), limits=limits, strategy=strategy, slot=slot or ToySlot())


def keys(study: Study) -> list[str]:
    return [trial.key for trial in study.trials if trial.state == "complete"]


def interrupt() -> None:
    raise KeyboardInterrupt
