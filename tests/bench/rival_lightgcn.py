"""RecBole's LightGCN for ``rival_fit.py``: its own configuration, training loop and early stopping.

Two trainings compete on validation. One has the settings that RecBole 1.2.1 comes with. The other has those that the
RecBole project publishes for MovieLens (RecBole-GNN, results/general/ml-1m.md), and five times the patience: on 100,000
interactions validation stands still for tens of epochs before it rises.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from recbole.config import Config  # type: ignore[import-not-found]
from recbole.data import create_dataset, data_preparation  # type: ignore[import-not-found]
from recbole.model.general_recommender import LightGCN  # type: ignore[import-not-found]
from recbole.trainer import Trainer  # type: ignore[import-not-found]
from recbole.utils import init_seed  # type: ignore[import-not-found]
from rival_fit import K, Rows, ScoreRows, Split, Tuned, best_items

SETTINGS: dict[str, dict[str, Any]] = {
    "shipped settings": {"n_layers": 2, "reg_weight": 1e-5, "learning_rate": 1e-3, "stopping_step": 10},
    "published settings": {"n_layers": 3, "reg_weight": 1e-4, "learning_rate": 2e-3, "stopping_step": 50},
}
SHARED: dict[str, Any] = {
    "embedding_size": 64,
    "train_batch_size": 2048,
    "epochs": 300,
    "eval_step": 1,
    # RecBole's default is MRR@10; this is the figure that is compared here.
    "valid_metric": f"NDCG@{K}",
}
OnEpoch = Callable[[int, float], None]


def _dok_update(matrix: Any, entries: dict[tuple[int, int], float]) -> None:
    matrix._dict.update(entries)


def _make_run() -> None:
    """Give back to numpy and scipy the names that RecBole 1.2.1 uses and that they have dropped since."""
    for old, new in (("float_", np.float64), ("complex_", np.complex128), ("unicode_", np.str_)):
        setattr(np, old, new)
    sp.dok_matrix._update = _dok_update  # type: ignore[attr-defined]


_make_run()


class Session:
    """One data set as RecBole reads it, and one training on it.

    Parameters
    ----------
    train, valid : (U, I) CSR
        What to learn, and what RecBole validates on after each epoch.
    folder
        For the atomic files.
    """

    def __init__(self, train: sp.csr_matrix, valid: sp.csr_matrix, folder: Path, seed: int, **settings: Any) -> None:
        data = folder / "split"
        data.mkdir(exist_ok=True)
        # RecBole asks for three parts: the last is validation once more, and never looked at.
        for part, matrix in (("train", train), ("valid", valid), ("unused", valid)):
            pairs = matrix.tocoo()
            lines = [f"{user}\t{item}" for user, item in zip(pairs.row, pairs.col, strict=True)]
            text = "\n".join(["user_id:token\titem_id:token", *lines, ""])
            (data / f"split.{part}.inter").write_text(text, encoding="ascii")
        config = Config(
            model="LightGCN",
            dataset="split",
            config_dict={
                **SHARED,
                "data_path": str(folder),
                "checkpoint_dir": str(folder / "saved"),
                "benchmark_filename": ["train", "valid", "unused"],
                "load_col": {"inter": ["user_id", "item_id"]},
                "metrics": ["NDCG"],
                "topk": [K],
                "metric_decimal_place": 10,
                "use_gpu": False,
                "show_progress": False,
                "state": "ERROR",
                "seed": seed,
                **settings,
            },
        )
        init_seed(seed, reproducibility=True)
        self._shape = train.shape
        self._dataset = create_dataset(config)
        self._train, self._valid, _ = data_preparation(config, self._dataset)
        self._model = LightGCN(config, self._train.dataset)
        self._trainer = Trainer(config, self._model)

    def fit(self, on_epoch: OnEpoch | None) -> None:
        """Train: with early stopping where ``on_epoch`` listens to the validations, else to the last epoch."""
        valid = None if on_epoch is None else self._valid
        self._trainer.fit(self._train, valid, verbose=False, saved=False, callback_fn=on_epoch)

    def state(self) -> dict[str, torch.Tensor]:
        return {name: value.clone() for name, value in self._model.state_dict().items()}

    def score_rows(self, state: dict[str, torch.Tensor] | None = None) -> ScoreRows:
        if state is not None:
            self._model.load_state_dict(state)
        self._model.eval()
        with torch.no_grad():
            users, items = self._model.forward()
        places = {kind: self._places(kind, n) for kind, n in (("user_id", self._shape[0]), ("item_id", self._shape[1]))}
        known_items = np.flatnonzero(places["item_id"])

        def score(rows: Rows) -> Any:
            scores = np.full((len(rows), self._shape[1]), -np.inf, np.float32)
            user_vectors = users[torch.as_tensor(places["user_id"][rows])]
            found = user_vectors @ items[torch.as_tensor(places["item_id"][known_items])].T
            scores[:, known_items] = found.numpy()
            return scores

        return score

    def _places(self, field: str, size: int) -> Rows:
        """Give RecBole's number of each row; 0, its padding, where it has none."""
        tokens = self._dataset.field2id_token[field][1:]
        places = np.zeros(size, dtype=np.int64)
        places[np.asarray(tokens, dtype=np.int64)] = np.arange(1, len(tokens) + 1)
        return places


def train(split: Split, seed: int, folder: Path) -> Tuned:
    """Train with early stopping, then for as many epochs on train + validation: with one seed, for it takes long."""
    began = time.perf_counter()
    runs, states = [], []
    for name, settings in SETTINGS.items():
        waited_s = time.perf_counter() - began
        session = Session(split.train, split.valid, folder, seed, **settings)
        run, state = _train_once(session)
        runs.append({"name": name, "waited_s": waited_s, "settings": settings, **run})
        states.append((session, state))
    best, (session, state) = max(zip(runs, states, strict=True), key=lambda pair: pair[0]["valid_ndcg"])
    valid_top = best_items(session.score_rows(state), split.valid_users, split.train)
    final = Session(split.final, split.valid, folder, seed, **{**best["settings"], "epochs": best["best_epoch"]})
    start = time.perf_counter()
    final.fit(None)
    fit_s = time.perf_counter() - start
    test_top = best_items(final.score_rows(), split.test_users, split.final)
    facts = {
        "settings": {**SHARED, **best["settings"], "epochs": best["best_epoch"]},
        "tried": len(runs),
        "valid_ndcg": best["valid_ndcg"],
        "tune_s": sum(run["train_s"] for run in runs),
        "fit_s": [fit_s],
        "runs": runs,
    }
    return Tuned(valid_top, [test_top], facts)


def _train_once(session: Session) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Train to RecBole's own end: what came of it, and the parameters of its best epoch."""
    best: dict[str, Any] = {"valid_ndcg": -1.0}
    state: dict[str, torch.Tensor] = {}
    history: list[float] = []
    start = time.perf_counter()

    def on_epoch(epoch: int, ndcg: float) -> None:
        history.append(float(ndcg))
        if ndcg > best["valid_ndcg"]:
            seconds = time.perf_counter() - start
            best.update(valid_ndcg=float(ndcg), best_epoch=epoch + 1, best_s=seconds, at=time.time())
            state.update(session.state())

    session.fit(on_epoch)
    return {**best, "train_s": time.perf_counter() - start, "history": history}, state
