"""ShippedFit: one fit of a checkpoint in the form in which it is served."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.index import open_ivf
from gnas_export.tables import Tables
from gnas_search.checkpoint import Checkpoint, Fit
from gnas_serve.runtime.index import FlatIndex, Index
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import SeenItems

PROBE_USERS = 1000


@dataclass(frozen=True)
class ShippedFit:
    """What an artifact holds of one fit, the ranker apart.

    Attributes
    ----------
    exact
        The vectors as they were trained.
    tables
        The vectors as they ship.
    counts : (I,) int32
        Interactions of the target event that this fit was made from.
    seen
        The same interactions by user.
    index : bytes of an IVF index, or None for flat search
    nprobe
        0 for flat search.
    fold_in : (d + 1, d) float32
    """

    exact: Fit
    tables: Tables
    counts: npt.NDArray[np.int32]
    seen: SeenItems
    index: npt.NDArray[np.uint8] | None
    nprobe: int
    fold_in: npt.NDArray[np.float32]

    def retriever(self) -> Retriever:
        """Build the retriever that serving builds from the files."""
        index: Index = FlatIndex(self.tables.items.dense()) if self.index is None else open_ivf(self.index, self.nprobe)
        return Retriever(self.tables.items, index)


def seen_items(matrix: sp.csr_matrix) -> SeenItems:
    """Give the (U, I) interactions of a fit as serving holds them."""
    csr = matrix.tocsr().copy()
    csr.sum_duplicates()
    return SeenItems(csr.indptr.astype(np.int64), csr.indices.astype(np.int32))


def item_counts(seen: SeenItems, num_items: int) -> npt.NDArray[np.int32]:
    """Count the users of every item."""
    return np.bincount(seen.items, minlength=num_items).astype(np.int32)


def probe_users(checkpoint: Checkpoint, seed: int) -> npt.NDArray[np.int64]:
    """Sample the real users on whom everything without labels is measured: those with a vector.

    In random order, so that any part of the sample is a sample too: low rows are often the oldest users.
    """
    usable = np.flatnonzero(checkpoint.final.user_vectors.any(axis=1))
    return np.random.default_rng(seed).permutation(usable)[:PROBE_USERS]


@dataclass(frozen=True)
class Halves:
    """The validation users with a vector, divided by seed: one half fits the ranker, the other judges."""

    fitting: npt.NDArray[np.int64]
    gate: npt.NDArray[np.int64]


def validation_halves(checkpoint: Checkpoint) -> Halves:
    """Divide the users that have a validation item by the seed of the split, not by that of the export.

    So no choice of an export seed can move a user from the half that was fitted on to the half that judges.
    """
    users = np.flatnonzero(np.diff(checkpoint.valid.indptr) > 0)
    shuffled = np.random.default_rng([checkpoint.config.split_seed, len(users)]).permutation(users)
    middle = len(shuffled) // 2
    return Halves(np.sort(shuffled[:middle]), np.sort(shuffled[middle:]))
