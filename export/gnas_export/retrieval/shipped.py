"""ShippedFit: one fit of a checkpoint in the form in which it is served."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.retrieval.index import open_ivf
from gnas_export.retrieval.tables import Tables
from gnas_search.checkpoint import Checkpoint
from gnas_search.fit import Fit
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import IVF_FLAT
from gnas_serve.runtime.content_table import ContentTable
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import Index
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.opened_index import flat_index, scan_of
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.segments import SegmentTable

PROBE_USERS = 1000


@dataclass(frozen=True)
class ShippedIndex:
    """An approximate index as it ships.

    Attributes
    ----------
    kind
        Of :data:`gnas_serve.artifact.manifest.INDEX_KINDS`.
    raw
        Its bytes.
    nprobe
        How many lists a query visits.
    dims
        Width of the indexed vectors.
    projection : (D, dims) float32, or None
        What makes a query of a user vector; None where the vectors are indexed as they are.
    refine
        How many times the wanted number of candidates it proposes.
    """

    kind: str
    raw: npt.NDArray[np.uint8]
    nprobe: int
    dims: int
    projection: npt.NDArray[np.float32] | None
    refine: int = 1

    @property
    def file(self) -> str:
        """What its file is called."""
        return LAYOUT.lists if self.kind == IVF_FLAT else LAYOUT.index

    @property
    def size_bytes(self) -> int:
        """What it takes, with its projection."""
        return int(self.raw.nbytes) + (0 if self.projection is None else int(self.projection.nbytes))

    def open(self, items: EmbeddingTable) -> Index:
        """Open it over the shipped vectors, as serving opens its file."""
        if self.kind == IVF_FLAT:
            return scan_of(items, InvertedLists.from_bytes(self.raw), self.nprobe)
        return open_ivf(self.raw, self.nprobe, self.refine)


@dataclass(frozen=True)
class ShippedFit:
    """What an artifact holds of one fit, the ranker apart.

    Attributes
    ----------
    exact
        The vectors as they were trained.
    tables
        Vectors and neighbours as they ship.
    counts : (I,) int32
        Interactions of the target event that this fit was made from.
    seen
        The same interactions by user.
    fold_in : (n,) float32
        The maps of all branches with vectors; empty until they are fitted.
    index
        None for flat search.
    segments
        What the users of each segment have; None where no feature of users moves answers.
    content
        The items by what is told of them; None where no encoder of content ships.
    """

    exact: Fit
    tables: Tables
    counts: npt.NDArray[np.int32]
    seen: SeenItems
    fold_in: npt.NDArray[np.float32] = field(default_factory=lambda: np.empty(0, dtype=np.float32))
    index: ShippedIndex | None = None
    segments: SegmentTable | None = None
    content: ContentTable | None = None

    def proposer(self) -> Index:
        """Open the index as serving opens its file."""
        return flat_index(self.tables.items) if self.index is None else self.index.open(self.tables.items)

    def retriever(self) -> Retriever:
        """Build the retriever that serving builds from the files."""
        projection = None if self.index is None else self.index.projection
        return Retriever(self.tables.items, self.proposer(), self.tables.neighbours, projection)


def known_users(fit: Fit, seen: SeenItems, user_rows: npt.NDArray[np.integer]) -> npt.NDArray[np.bool_]:
    """Tell of which users a fit knows more than that they exist: a vector of their own, or links of their history."""
    known = np.zeros(len(user_rows), dtype=bool)
    for branch in fit.branches:
        if branch.neighbours is not None:
            linked = np.diff(branch.neighbours.indptr) > 0
            before = np.concatenate([[0], np.cumsum(linked[seen.items])])  # linked interactions, by place
            known |= before[seen.offsets[user_rows + 1]] > before[seen.offsets[user_rows]]
        elif branch.facts.kind != "popularity":
            known |= branch.user_vectors[user_rows].any(axis=1)
    return known


def seen_items(matrix: sp.csr_matrix) -> SeenItems:
    """Give the (U, I) interactions of a fit as serving holds them."""
    csr = matrix.tocsr().copy()
    csr.sum_duplicates()
    return SeenItems(csr.indptr.astype(np.int64), csr.indices.astype(np.int32))


def item_counts(seen: SeenItems, num_items: int) -> npt.NDArray[np.int32]:
    """Count the users of every item."""
    return np.bincount(seen.items, minlength=num_items).astype(np.int32)


def probe_users(checkpoint: Checkpoint, seed: int) -> npt.NDArray[np.int64]:
    """Sample the real users on whom everything without labels is measured: those that the final fit knows.

    In random order, so that any part of the sample is a sample too: low rows are often the oldest users.
    """
    users = np.arange(len(checkpoint.users))
    usable = users[known_users(checkpoint.final, seen_items(checkpoint.seen()), users)]
    return np.random.default_rng(seed).permutation(usable)[:PROBE_USERS]
