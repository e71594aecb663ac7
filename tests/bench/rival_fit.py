"""One rival of ``rivals.py``, in an interpreter of its own: tuned on validation, then fitted to train + validation.

``python rival_fit.py NAME SPLIT.npz OUT.npz SEED [SEED ...]`` reads the split that ``rivals.py`` wrote: the train and
the validation pairs, and who the test users are. What they chose in test is not in it. OUT.npz holds the best items of
the validation users by the tuned model, train masked, and those of the test users by each seed's final fit, train and
validation masked; ``facts`` in it is JSON: the settings chosen of how many, and the seconds.
"""

from __future__ import annotations

import importlib
import itertools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

K = 20

Rows = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
ScoreRows = Callable[[Rows], Floats]
FitModel = Callable[..., ScoreRows]


@dataclass(frozen=True)
class Split:
    """What a rival may see; matrices are (U, I)."""

    train: sp.csr_matrix
    valid: sp.csr_matrix
    test_users: Rows

    @classmethod
    def read(cls, path: str) -> Split:
        with np.load(path) as arrays:
            shape = tuple(arrays["shape"])

            def matrix(part: str) -> sp.csr_matrix:
                users, items = arrays[part]
                return sp.csr_matrix((np.ones(len(users), np.float32), (users, items)), shape)

            return cls(matrix("train"), matrix("valid"), arrays["test_users"])

    @property
    def final(self) -> sp.csr_matrix:
        return sp.csr_matrix(self.train + self.valid)

    @property
    def valid_users(self) -> Rows:
        return np.flatnonzero(np.diff(self.valid.indptr)).astype(np.int64)


@dataclass(frozen=True)
class Tuned:
    """What a rival gives back: lists are (n, K) item rows, best first."""

    valid_top: Rows
    test_top: list[Rows]
    facts: dict[str, Any]


def best_items(score_rows: ScoreRows, users: Rows, masked: sp.csr_matrix) -> Rows:
    scores = np.array(score_rows(users), dtype=np.float32)
    seen = masked[users]
    scores[np.repeat(np.arange(len(users)), np.diff(seen.indptr)), seen.indices] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :K].astype(np.int64)


def mean_ndcg(top: Rows, relevant: sp.csr_matrix) -> float:
    discount = 1.0 / np.log2(np.arange(2, K + 2))
    ideal = np.cumsum(discount)
    gains = []
    for ranked, start, end in zip(top, relevant.indptr[:-1], relevant.indptr[1:], strict=True):
        hits = np.isin(ranked, relevant.indices[start:end])
        gains.append(float((hits * discount).sum() / ideal[min(end - start, K) - 1]))
    return float(np.mean(gains))


def grid(**choices: list[Any]) -> list[dict[str, Any]]:
    return [dict(zip(choices, values, strict=True)) for values in itertools.product(*choices.values())]


def fit_als(matrix: sp.csr_matrix, seed: int, **settings: Any) -> ScoreRows:
    from implicit.cpu.als import AlternatingLeastSquares  # type: ignore[import-not-found]

    model = AlternatingLeastSquares(iterations=15, random_state=seed, **settings)
    model.fit(matrix, show_progress=False)
    return lambda users: np.asarray(model.user_factors[users] @ model.item_factors.T)


def fit_bpr(matrix: sp.csr_matrix, seed: int, **settings: Any) -> ScoreRows:
    from implicit.cpu.bpr import BayesianPersonalizedRanking  # type: ignore[import-not-found]

    model = BayesianPersonalizedRanking(random_state=seed, **settings)
    model.fit(matrix, show_progress=False)
    return lambda users: np.asarray(model.user_factors[users] @ model.item_factors.T)


def fit_ease(matrix: sp.csr_matrix, _seed: int, *, regularization: float) -> ScoreRows:
    gram = (matrix.T @ matrix).toarray().astype(np.float64)
    gram[np.diag_indices_from(gram)] += regularization
    inverse = np.linalg.inv(gram)
    weights = inverse / -np.diag(inverse)
    np.fill_diagonal(weights, 0.0)
    return lambda users: np.asarray(matrix[users] @ weights)


def fit_item_knn(matrix: sp.csr_matrix, _seed: int, *, weighting: str, K: int) -> ScoreRows:
    from implicit import nearest_neighbours  # type: ignore[import-not-found]

    kinds = {"cosine": "CosineRecommender", "tf-idf": "TFIDFRecommender", "bm25": "BM25Recommender"}
    model = getattr(nearest_neighbours, kinds[weighting])(K=K)
    model.fit(matrix, show_progress=False)
    return lambda users: np.asarray((matrix[users] @ model.similarity).toarray())


MODELS: dict[str, tuple[FitModel, list[dict[str, Any]]]] = {
    "als": (fit_als, grid(factors=[32, 64, 128, 256], regularization=[1.0, 10.0, 30.0, 100.0], alpha=[1.0, 4.0, 16.0])),
    "bpr": (
        fit_bpr,
        grid(factors=[32, 64, 128], learning_rate=[0.01, 0.05], iterations=[50, 100, 200], regularization=[0.01]),
    ),
    "ease": (fit_ease, grid(regularization=[30.0, 100.0, 200.0, 300.0, 500.0, 1000.0, 2000.0])),
    "item-knn": (fit_item_knn, grid(weighting=["cosine", "tf-idf", "bm25"], K=[20, 50, 100, 200, 400, 800])),
}


def tune(name: str, split: Split, seeds: list[int]) -> Tuned:
    """Measure the whole grid on validation with the first seed, then fit the best with every seed."""
    fit, choices = MODELS[name]
    users = split.valid_users
    start = time.perf_counter()
    best_ndcg, best, valid_top = -1.0, choices[0], np.empty((0, K), np.int64)
    for settings in choices:
        top = best_items(fit(split.train, seeds[0], **settings), users, split.train)
        ndcg = mean_ndcg(top, split.valid[users])
        if ndcg > best_ndcg:
            best_ndcg, best, valid_top = ndcg, settings, top
    tune_s = time.perf_counter() - start
    test_top, fit_s = [], []
    for seed in seeds:
        start = time.perf_counter()
        score_rows = fit(split.final, seed, **best)
        fit_s.append(time.perf_counter() - start)
        test_top.append(best_items(score_rows, split.test_users, split.final))
    facts = {"settings": best, "tried": len(choices), "valid_ndcg": best_ndcg, "tune_s": tune_s, "fit_s": fit_s}
    return Tuned(valid_top, test_top, facts)


def main(name: str, split_path: str, out: str, seeds: list[int]) -> None:
    split = Split.read(split_path)
    if name == "lightgcn":
        from rival_lightgcn import train

        tuned = train(split, seeds[0], Path(out).parent)
    else:
        importlib.import_module("implicit.cpu.bpr")  # not counted as tuning
        from threadpoolctl import threadpool_limits

        # As implicit asks for: its own threads, and one of BLAS within each. EASE has no threads but those of BLAS.
        with threadpool_limits(None if name == "ease" else 1, "blas"):
            tuned = tune(name, split, seeds)
    np.savez(out, valid_top=tuned.valid_top, test_top=np.stack(tuned.test_top), facts=json.dumps(tuned.facts))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3], [int(seed) for seed in sys.argv[4:]])
