"""Simple models, measured before any search: what a graph network has to beat, and often what should ship."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import Floats, Rows, ScoreRows, UserMetrics, Validation
from gnas_search.operators.spmm import normalised
from gnas_search.spectral import truncated_svd
from gnas_serve.errors import unknown_name
from gnas_serve.runtime.topk import top_k

SVD_DIMS = (32, 64, 128)
_ITEM_BLOCK = 1024  # items whose similarities are computed at a time: bounds memory


class Baseline(Protocol):
    """A model without training epochs.

    Attributes
    ----------
    name
        In :data:`BASELINES`.
    servable
        Whether it has vectors, so that it can be trained into a checkpoint.
    """

    @property
    def name(self) -> str:
        """Name in :data:`BASELINES`."""

    @property
    def servable(self) -> bool:
        """Whether :meth:`fit_vectors` gives vectors."""

    def tuned(self, graph: InteractionGraph, validation: Validation, seed: int) -> Baseline:
        """Choose settings on validation."""

    def fit_vectors(self, graph: InteractionGraph, seed: int) -> tuple[Floats, Floats] | None:
        """Fit vectors whose inner products are the scores: (U, d), (I, d); None where there are none."""

    def score_rows(self, graph: InteractionGraph, seed: int) -> ScoreRows:
        """Fit, and give the function that scores all items for some users."""

    def to_json(self) -> dict[str, Any]:
        """Give name and settings."""


@dataclass(frozen=True)
class Popularity:
    """Every user gets the items with the most interactions."""

    name: str = "popularity"
    servable: bool = True

    def tuned(self, graph: InteractionGraph, validation: Validation, seed: int) -> Popularity:  # noqa: ARG002  # nothing to choose
        """Give itself."""
        return self

    def fit_vectors(self, graph: InteractionGraph, seed: int) -> tuple[Floats, Floats]:  # noqa: ARG002  # a closed form
        """Give ones (U, 1) and the logarithm of 1 + each item's interactions (I, 1)."""
        counts = np.bincount(graph.positives.indices, minlength=graph.num_items)
        return np.ones((graph.num_users, 1), np.float32), np.log1p(counts)[:, None].astype(np.float32)

    def score_rows(self, graph: InteractionGraph, seed: int) -> ScoreRows:
        """Score by inner product."""
        return _inner_products(*self.fit_vectors(graph, seed))

    def to_json(self) -> dict[str, Any]:
        """Give the name."""
        return {"baseline": self.name}


@dataclass(frozen=True)
class TruncatedSvd:
    """The leading singular vectors of the degree-normalised interaction matrix.

    Attributes
    ----------
    dims
        How many.

    References
    ----------
    Cremonesi, P., Koren, Y. and Turrin, R. (2010). Performance of recommender algorithms on top-n tasks. RecSys.
    """

    dims: int = 64
    name: str = "svd"
    servable: bool = True

    def tuned(self, graph: InteractionGraph, validation: Validation, seed: int) -> TruncatedSvd:
        """Choose ``dims`` of :data:`SVD_DIMS` by validation ndcg; of equals the smallest."""
        users, items = _svd_vectors(graph, max(SVD_DIMS), seed)
        # Singular vectors are nested: the leading columns are the smaller model.
        measured = {dims: validation.score(users[:, :dims], items[:, :dims]).mean()[1] for dims in SVD_DIMS}
        return TruncatedSvd(max(SVD_DIMS, key=lambda dims: measured[dims]))

    def fit_vectors(self, graph: InteractionGraph, seed: int) -> tuple[Floats, Floats]:
        """Fit (U, d) and (I, d); d is smaller than ``dims`` only where the matrix is."""
        return _svd_vectors(graph, self.dims, seed)

    def score_rows(self, graph: InteractionGraph, seed: int) -> ScoreRows:
        """Score by inner product."""
        return _inner_products(*self.fit_vectors(graph, seed))

    def to_json(self) -> dict[str, Any]:
        """Give name and dims."""
        return {"baseline": self.name, "dims": self.dims}


@dataclass(frozen=True)
class ItemKnn:
    """Items similar to those of the user's history: cosine over common users, summed over each item's neighbours.

    Attributes
    ----------
    neighbours
        Kept per item.

    References
    ----------
    Sarwar, B. et al. (2001). Item-based collaborative filtering recommendation algorithms. WWW.
    """

    neighbours: int = 100
    name: str = "item-knn"
    servable: bool = False

    def tuned(self, graph: InteractionGraph, validation: Validation, seed: int) -> ItemKnn:  # noqa: ARG002  # nothing to choose
        """Give itself."""
        return self

    def fit_vectors(self, graph: InteractionGraph, seed: int) -> None:
        """Give None: its scores are products with a sparse matrix, not of vectors."""

    def score_rows(self, graph: InteractionGraph, seed: int) -> ScoreRows:  # noqa: ARG002  # a closed form
        """Score by the user's history times the similarities."""
        positives = graph.positives
        similar = item_similarities(positives, self.neighbours).T.tocsr()  # (I history, I candidate)

        def score(rows: Rows) -> Floats:
            scores: Floats = (positives[rows] @ similar).toarray()
            return scores

        return score

    def to_json(self) -> dict[str, Any]:
        """Give name and neighbours."""
        return {"baseline": self.name, "neighbours": self.neighbours}


BASELINES: dict[str, Baseline] = {"item-knn": ItemKnn(), "popularity": Popularity(), "svd": TruncatedSvd()}


def baseline_named(name: str) -> Baseline:
    """Look a baseline up.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    if name not in BASELINES:
        raise unknown_name("baseline", name, BASELINES)
    return BASELINES[name]


@dataclass(frozen=True)
class BaselineResult:
    """A measured baseline.

    Attributes
    ----------
    baseline
        With the settings chosen on validation.
    metrics
        On the validation users.
    seconds
        Choosing, fitting and measuring.
    """

    baseline: Baseline
    metrics: UserMetrics
    seconds: float


def measure_baseline(name: str, graph: InteractionGraph, validation: Validation, *, seed: int) -> BaselineResult:
    """Choose a baseline's settings, fit and measure it.

    Raises
    ------
    ConfigError
        If there is none of that name.
    """
    start = time.monotonic()
    baseline = baseline_named(name).tuned(graph, validation, seed)
    metrics = validation.score_with(baseline.score_rows(graph, seed))
    return BaselineResult(baseline, metrics, time.monotonic() - start)


def item_similarities(positives: sp.csr_matrix, neighbours: int) -> sp.csr_matrix:
    """Compute each item's most similar items by the cosine of their columns: (I, I) CSR, no item its own neighbour."""
    counts = np.maximum(np.bincount(positives.indices, minlength=positives.shape[1]), 1)
    columns = (positives @ sp.diags_array(counts**-0.5)).astype(np.float32).tocsr()  # (U, I)
    by_item = columns.T.tocsr()
    blocks = []
    for start in range(0, by_item.shape[0], _ITEM_BLOCK):
        block = (by_item[start : start + _ITEM_BLOCK] @ columns).tocsr()
        block.sort_indices()
        blocks.append(_strongest(block, start, neighbours))
    stacked: sp.csr_matrix = sp.vstack(blocks, format="csr")
    return stacked


def _strongest(block: sp.csr_matrix, first: int, count: int) -> sp.csr_matrix:
    lengths: list[int] = []
    indices: list[npt.NDArray[np.int32]] = []
    values: list[Floats] = []
    for position in range(block.shape[0]):
        span = slice(block.indptr[position], block.indptr[position + 1])
        others = block.indices[span] != first + position
        row_indices, row_values = block.indices[span][others], block.data[span][others]
        kept = top_k(row_values, count) if len(row_values) else np.empty(0, np.int64)
        indices.append(row_indices[kept])
        values.append(row_values[kept])
        lengths.append(len(kept))
    indptr = np.concatenate([[0], np.cumsum(lengths)])
    return sp.csr_matrix((np.concatenate(values), np.concatenate(indices), indptr), shape=block.shape)


def _svd_vectors(graph: InteractionGraph, dims: int, seed: int) -> tuple[Floats, Floats]:
    left, values, right = truncated_svd(normalised(graph.positives), dims, seed)
    # Normalising divides an item's column by the root of its degree, which makes its scores comparable to no other
    # item's; multiplying it back gained .05 ndcg@20 on ml-100k and .013 on Gowalla (validation).
    counts = np.bincount(graph.positives.indices, minlength=graph.num_items)
    users: Floats = (left * values).numpy()
    items: Floats = right.numpy() * np.sqrt(counts)[:, None].astype(np.float32)
    return users, items


def _inner_products(users: Floats, items: Floats) -> ScoreRows:
    return lambda rows: users[rows] @ items.T
