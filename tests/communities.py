"""Data of three communities of users and items, with noise, and a second event."""

from __future__ import annotations

import numpy as np
import scipy.sparse as sp

from gnas_search.architecture import ArchitectureSpec
from gnas_search.data.dataset import Dataset, InteractionGraph
from gnas_search.data.interactions import DatasetConfig
from gnas_serve.vocabulary import Vocabulary

NUM_USERS, NUM_ITEMS = 120, 90
SMALL = ArchitectureSpec(embedding_dim=8, batch_size=32, num_negatives=40, epochs=4, temperature=0.2)
"""A network that is trained on it in a blink."""


def _csr(dense: np.ndarray) -> sp.csr_matrix:
    return sp.csr_matrix(dense.astype(np.float32))


def make_communities() -> Dataset:
    """Three communities of users and items, with noise; a second event adds edges."""
    rng = np.random.default_rng(0)
    same = (np.arange(NUM_USERS)[:, None] % 3) == (np.arange(NUM_ITEMS) % 3)
    target = rng.random(same.shape) < np.where(same, 0.3, 0.02)
    valid = target & (rng.random(same.shape) < 0.2)
    target[:, 7] = valid[:, 7] = False
    views = rng.random(same.shape) < np.where(same, 0.2, 0.02)
    train = target & ~valid
    return Dataset(
        users=Vocabulary.from_ids(range(NUM_USERS)),
        items=Vocabulary.from_ids([f"item-{row:03}" for row in range(NUM_ITEMS)]),
        selection=InteractionGraph(_csr(train), _csr(train | views)),
        final=InteractionGraph(_csr(target), _csr(target | views)),
        valid=_csr(valid),
        item_features=None,
        user_features=None,
        item_recency=None,
        target_event="purchase",
        policy="random",
        fingerprint="f" * 64,
        config=DatasetConfig(),
    )
