"""The arrays of an artifact, opened and checked against what its manifest says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import read_array
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.vocabulary import Vocabulary

_BLOCK_ROWS = 65_536


@dataclass(frozen=True)
class Tables:
    """Everything of an artifact but its index and its ONNX scorer.

    Attributes
    ----------
    users, items
        Vocabularies of U and I ids.
    user_vectors, item_vectors
        U and I vectors of one width d.
    counts : (I,) int32
        Interactions of the target event per item.
    seen
        What each user has already.
    fold_in : (d + 1, d) float32
    ranker_users : (U, F) float32 or None
    ranker_items : (I, H) uint8 or float32, or None
    item_content : (I, F) float16 or float32, or None
    """

    users: Vocabulary
    items: Vocabulary
    user_vectors: EmbeddingTable
    item_vectors: EmbeddingTable
    counts: npt.NDArray[np.int32]
    seen: SeenItems
    fold_in: npt.NDArray[np.float32]
    ranker_users: npt.NDArray[np.float32] | None
    ranker_items: npt.NDArray[np.generic] | None
    item_content: npt.NDArray[np.floating] | None

    @classmethod
    def open(cls, path: Path, manifest: Manifest) -> Tables:
        """Open the arrays; large ones are memory-mapped.

        Raises
        ------
        IntegrityError
            If one is missing, unreadable, or not of the type and shape that the manifest implies.
        ValueError
            If two disagree.
        """
        num_users, num_items, dim = manifest.num_users, manifest.num_items, manifest.embedding_dim

        def optional(name: str, dtypes: tuple[type[np.generic], ...], length: int) -> Any:
            file = path / name
            return read_array(file, dtypes, (length, None), mapped=True) if file.exists() else None

        offsets: Any = read_array(path / LAYOUT.seen_offsets, (np.int64,), (num_users + 1,))
        seen: Any = read_array(path / LAYOUT.seen_items, (np.int32,), (None,), mapped=True)
        counts: Any = read_array(path / LAYOUT.item_counts, (np.int32,), (num_items,))
        fold_in: Any = read_array(path / LAYOUT.fold_in, (np.float32,), (dim + 1, dim))
        return cls(
            users=_vocabulary(path / LAYOUT.user_ids, path / LAYOUT.user_id_offsets, num_users),
            items=_vocabulary(path / LAYOUT.item_ids, path / LAYOUT.item_id_offsets, num_items),
            user_vectors=EmbeddingTable.open(path / LAYOUT.user_vectors, path / LAYOUT.user_scales, (num_users, dim)),
            item_vectors=EmbeddingTable.open(path / LAYOUT.item_vectors, path / LAYOUT.item_scales, (num_items, dim)),
            counts=counts,
            seen=SeenItems(offsets, seen),
            fold_in=fold_in,
            ranker_users=optional(LAYOUT.ranker_users, (np.float32,), num_users),
            ranker_items=optional(LAYOUT.ranker_items, (np.uint8, np.float32), num_items),
            item_content=optional(LAYOUT.item_content, (np.float16, np.float32), num_items),
        )

    def check_content(self) -> None:
        """Check what types and shapes cannot say: order, ranges, finite numbers. Reads every page once.

        Raises
        ------
        ValueError
            Naming the table.
        """
        for name, vocabulary in (("users", self.users), ("items", self.items)):
            try:
                vocabulary.validate()
            except ValueError as error:
                raise ValueError(f"{name}: {error}") from error
        offsets, items = self.seen.offsets, self.seen.items
        if (np.diff(offsets) < 0).any() or (len(items) and (items.min() < 0 or items.max() >= len(self.items))):
            raise ValueError(f"{LAYOUT.seen_items}: offsets descend, or an item is out of range")
        descends = np.diff(items) <= 0
        # A new user's items may begin anywhere; within one user they ascend.
        starts = offsets[1:-1]
        descends[starts[(starts > 0) & (starts < len(items))] - 1] = False
        if descends.any():
            raise ValueError(f"{LAYOUT.seen_items}: the items of a user do not ascend")
        if (self.counts < 0).any():
            raise ValueError(f"{LAYOUT.item_counts}: a negative count")
        floats = {
            LAYOUT.user_vectors: self.user_vectors.values,
            LAYOUT.user_scales: self.user_vectors.scales,
            LAYOUT.item_vectors: self.item_vectors.values,
            LAYOUT.item_scales: self.item_vectors.scales,
            LAYOUT.fold_in: self.fold_in,
            LAYOUT.ranker_users: self.ranker_users,
            LAYOUT.ranker_items: self.ranker_items,
            LAYOUT.item_content: self.item_content,
        }
        for name, array in floats.items():
            if array is not None and not _is_finite(array):
                raise ValueError(f"{name}: holds a value that is no finite number")


def _vocabulary(ids: Path, offsets: Path, length: int) -> Vocabulary:
    values: Any
    if not offsets.exists():
        values = read_array(ids, (np.int64,), (length,))
        return Vocabulary(values)
    values = read_array(ids, (np.uint8,), (None,))
    starts: Any = read_array(offsets, (np.int64,), (length + 1,))
    if starts[0] != 0 or starts[-1] != len(values) or (np.diff(starts) < 0).any():
        raise ValueError(f"{offsets.name} does not span {ids.name}")
    return Vocabulary(values, starts)


def _is_finite(array: npt.NDArray[np.generic]) -> bool:
    if not np.issubdtype(array.dtype, np.floating):
        return True
    blocks = (array[start : start + _BLOCK_ROWS] for start in range(0, len(array), _BLOCK_ROWS))
    return all(bool(np.isfinite(np.asarray(block, dtype=np.float32)).all()) for block in blocks)
