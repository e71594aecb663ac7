"""A checkpoint of planted vectors and interactions sampled from them, made in milliseconds instead of trained."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gnas_search.checkpoint import Checkpoint, Fit
from gnas_search.data.interactions import DatasetConfig, FeatureTable
from gnas_serve.vocabulary import Vocabulary


def planted_checkpoint(
    *,
    num_users: int = 300,
    num_items: int = 240,
    dim: int = 8,
    events_per_user: int = 14,
    valid_per_user: int = 3,
    hidden_taste: float = 0.0,
    with_features: bool = True,
    seed: int = 0,
) -> Checkpoint:
    """Plant low-rank tastes, sample interactions by them, and give the tastes as the vectors of both fits.

    Parameters
    ----------
    valid_per_user
        0 leaves nothing to judge by.
    hidden_taste
        How strongly everybody prefers the items with the attribute ``liked``, which the vectors do not know of:
        a ranker that reads attributes can gain from it.
    """
    rng = np.random.default_rng(seed)
    users = rng.standard_normal((num_users, dim)).astype(np.float32)
    items = (rng.standard_normal((num_items, dim)) / np.sqrt(dim)).astype(np.float32)
    liked = (rng.random(num_items) < 0.3).astype(np.float32)
    appeal = 2.0 * users @ items.T + hidden_taste * liked + rng.gumbel(size=(num_users, num_items))
    best = np.argsort(-appeal, axis=1)[:, : events_per_user + valid_per_user]
    best = rng.permuted(best, axis=1)
    features = FeatureTable(("liked", "price"), np.stack([liked, rng.standard_normal(num_items)], 1).astype(np.float32))
    final = Fit(
        users + 0.02 * rng.standard_normal(users.shape).astype(np.float32),
        items + 0.02 * rng.standard_normal(items.shape).astype(np.float32),
        3,
    )
    return Checkpoint(
        name="planted",
        spec={"baseline": "planted"},
        scorer="dot",
        users=Vocabulary.from_ids(np.arange(num_users) + 1000),
        items=Vocabulary.from_ids([f"item-{row:05d}" for row in range(num_items)]),
        selection=Fit(users, items, 3),
        final=final,
        train=_matrix(best[:, valid_per_user:], num_items),
        valid=_matrix(best[:, :valid_per_user], num_items),
        item_features=features if with_features else None,
        user_features=FeatureTable(("age",), rng.standard_normal((num_users, 1)).astype(np.float32))
        if with_features
        else None,
        item_recency=rng.random(num_items).astype(np.float32) if with_features else None,
        config=DatasetConfig(),
        fingerprint="0" * 64,
        policy="random",
        target_event=None,
        seed=seed,
    )


def _matrix(rows: np.ndarray, num_items: int) -> sp.csr_matrix:
    count, width = rows.shape
    indptr = np.arange(count + 1) * width
    return sp.csr_matrix(
        (np.ones(rows.size, np.float32), np.sort(rows, axis=1).ravel().astype(np.int32), indptr),
        shape=(count, num_items),
    )
