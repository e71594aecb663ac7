"""The arrays of an artifact, opened and checked against what its manifest says of them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import read_array
from gnas_serve.artifact.branches import TWO_HOP, spans
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.content_table import ContentTable
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.segments import SegmentTable
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
        U and I vectors of one width D.
    counts : (I,) int32
        Interactions of the target event per item.
    seen
        What each user has already.
    fold_in : (n,) float32
        The maps of all branches, see :class:`gnas_serve.runtime.cold_start.FoldIn`.
    neighbours
        Of a two-hop branch, where there is one.
    projection : (D, r) float32 or None
        Where the index is over narrower vectors.
    ranker_users : (U, F) float32 or None
    ranker_items : (I, H) uint8, float16 or float32, or None
    item_content : (I, F) float16 or float32, or None
    attributes
        Of the items, where there are some.
    segments
        Of the users, where they move answers.
    content
        The items by what is told of them, where there is an encoder of content.
    """

    users: Vocabulary
    items: Vocabulary
    user_vectors: EmbeddingTable
    item_vectors: EmbeddingTable
    counts: npt.NDArray[np.int32]
    seen: SeenItems
    fold_in: npt.NDArray[np.float32]
    neighbours: Neighbours | None
    projection: npt.NDArray[np.float32] | None
    ranker_users: npt.NDArray[np.float32] | None
    ranker_items: npt.NDArray[np.generic] | None
    item_content: npt.NDArray[np.floating] | None
    attributes: Attributes | None
    segments: SegmentTable | None = None
    content: ContentTable | None = None

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
            return read_array(file, dtypes, (length, None), mapped=True) if file.is_file() else None

        offsets: Any = read_array(path / LAYOUT.seen_offsets, (np.int64,), (num_users + 1,))
        seen: Any = read_array(path / LAYOUT.seen_items, (np.int32,), (None,), mapped=True)
        counts: Any = read_array(path / LAYOUT.item_counts, (np.int32,), (num_items,))
        is_first = manifest.format_version == 1
        fold_in: Any = read_array(path / LAYOUT.fold_in, (np.float32,), (dim + 1, dim) if is_first else (None,))

        def vectors(values: str, scales: str, length: int) -> EmbeddingTable:
            shape, columns = (length, dim), spans(manifest.branches)
            return EmbeddingTable.open(path / values, path / scales, shape, columns, flat_scales=is_first)

        return cls(
            users=_vocabulary(path / LAYOUT.user_ids, path / LAYOUT.user_id_offsets, num_users),
            items=_vocabulary(path / LAYOUT.item_ids, path / LAYOUT.item_id_offsets, num_items),
            user_vectors=vectors(LAYOUT.user_vectors, LAYOUT.user_scales, num_users),
            item_vectors=vectors(LAYOUT.item_vectors, LAYOUT.item_scales, num_items),
            counts=counts,
            seen=SeenItems(offsets, seen),
            fold_in=fold_in.ravel(),
            neighbours=_neighbours(path, manifest),
            projection=_projection(path, manifest),
            ranker_users=optional(LAYOUT.ranker_users, (np.float32,), num_users),
            ranker_items=optional(LAYOUT.ranker_items, (np.uint8, np.float16, np.float32), num_items),
            item_content=optional(LAYOUT.item_content, (np.float16, np.float32), num_items),
            attributes=Attributes.open(path, manifest.attributes, num_items),
            segments=SegmentTable.open(path, manifest.segments),
            content=ContentTable.open(path, manifest.content),
        )

    def check_content(self, manifest: Manifest) -> None:
        """Check what types and shapes cannot say: order, ranges, finite numbers. Reads every page once.

        Parameters
        ----------
        manifest
            That they were opened by.

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
        _check_lists(LAYOUT.seen_items, self.seen.offsets, self.seen.items, len(self.items))
        if self.neighbours is not None:
            _check_lists(LAYOUT.neighbour_items, self.neighbours.offsets, self.neighbours.items, len(self.items))
            if (self.neighbours.values < 0).any():
                raise ValueError(f"{LAYOUT.neighbour_values}: a negative weight")
        if (self.counts < 0).any():
            raise ValueError(f"{LAYOUT.item_counts}: a negative count")
        if self.attributes is not None:
            self.attributes.check_content()
        if self.segments is not None:
            _check_lists(LAYOUT.segment_items, self.segments.offsets, self.segments.items, len(self.items))
            self.segments.check_counts()
        if self.content is not None and manifest.content is not None:
            _check_lists(LAYOUT.content_items, self.content.offsets, self.content.items, len(self.items))
            self.content.check_content(manifest.content)
        floats = {
            LAYOUT.user_vectors: self.user_vectors.values,
            LAYOUT.user_scales: self.user_vectors.scales,
            LAYOUT.item_vectors: self.item_vectors.values,
            LAYOUT.item_scales: self.item_vectors.scales,
            LAYOUT.fold_in: self.fold_in,
            LAYOUT.neighbour_values: None if self.neighbours is None else self.neighbours.values,
            LAYOUT.projection: self.projection,
            LAYOUT.ranker_users: self.ranker_users,
            LAYOUT.ranker_items: self.ranker_items,
            LAYOUT.item_content: self.item_content,
        }
        for name, array in floats.items():
            if array is not None and not _is_finite(array):
                raise ValueError(f"{name}: holds a value that is no finite number")


def _vocabulary(ids: Path, offsets: Path, length: int) -> Vocabulary:
    values: Any
    if not offsets.is_file():
        values = read_array(ids, (np.int64,), (length,))
        return Vocabulary(values)
    values = read_array(ids, (np.uint8,), (None,))
    starts: Any = read_array(offsets, (np.int64,), (length + 1,))
    if starts[0] != 0 or starts[-1] != len(values) or (np.diff(starts) < 0).any():
        raise ValueError(f"{offsets.name} does not span {ids.name}")
    return Vocabulary(values, starts)


def _neighbours(path: Path, manifest: Manifest) -> Neighbours | None:
    branch = next((branch for branch in manifest.branches if branch.kind == TWO_HOP), None)
    if branch is None:
        return None
    offsets: Any = read_array(path / LAYOUT.neighbour_offsets, (np.int64,), (manifest.num_items + 1,))
    items: Any = read_array(path / LAYOUT.neighbour_items, (np.int32,), (None,), mapped=True)
    values: Any = read_array(path / LAYOUT.neighbour_values, (np.float16, np.float32), (None,), mapped=True)
    return Neighbours(offsets, items, values, branch.history_power)


def _projection(path: Path, manifest: Manifest) -> npt.NDArray[np.float32] | None:
    file = path / LAYOUT.projection
    if not file.is_file() and manifest.index.dims == manifest.embedding_dim:
        return None
    projection: Any = read_array(file, (np.float32,), (manifest.embedding_dim, manifest.index.dims))
    return projection  # type: ignore[no-any-return]


def _check_lists(name: str, offsets: npt.NDArray[np.int64], items: npt.NDArray[np.int32], num_items: int) -> None:
    """Check lists of item rows that follow each other: in range, and each of them ascending."""
    if (np.diff(offsets) < 0).any() or (len(items) and (items.min() < 0 or items.max() >= num_items)):
        raise ValueError(f"{name}: offsets descend, or an item is out of range")
    descends = np.diff(items) <= 0
    # The next list may begin anywhere.
    starts = offsets[1:-1]
    descends[starts[(starts > 0) & (starts < len(items))] - 1] = False
    if descends.any():
        raise ValueError(f"{name}: the items of a list do not ascend")


def _is_finite(array: npt.NDArray[np.generic]) -> bool:
    if not np.issubdtype(array.dtype, np.floating):
        return True
    blocks = (array[start : start + _BLOCK_ROWS] for start in range(0, len(array), _BLOCK_ROWS))
    return all(bool(np.isfinite(np.asarray(block, dtype=np.float32)).all()) for block in blocks)
