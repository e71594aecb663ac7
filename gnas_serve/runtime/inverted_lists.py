"""Inverted lists: which item is in which list, and where the lists are. Vectors are in the file only if projected."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import UNREADABLE
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.embeddings import EmbeddingTable

_TYPES = (np.uint16, np.int8, np.float32)
_PROJECTED = (np.int8, np.float32)


@dataclass(frozen=True)
class InvertedLists:
    """A division of items into lists.

    Attributes
    ----------
    assigned : (I,) uint16
        The list of each item.
    centroids : (L, D) int8
    scales : (L, B) float32
        Within a branch, centroid times scale is where a list is.
    projected
        The (I, D) int8 vectors that are divided, of one branch, where they are a projection of those that ship.
    """

    assigned: npt.NDArray[np.uint16]
    centroids: npt.NDArray[np.int8]
    scales: npt.NDArray[np.float32]
    projected: EmbeddingTable | None = None

    def __post_init__(self) -> None:
        if len(self.centroids) != len(self.scales) or (self.assigned >= len(self.centroids)).any():
            raise ValueError("an item is in a list that is not there, or a list is nowhere")
        own = None if self.projected is None else self.projected.scales
        if not np.isfinite(self.scales).all() or (own is not None and not np.isfinite(own).all()):
            raise ValueError("a list or a vector is nowhere: its scale is no finite number")

    def in_order(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64]]:
        """Lay the lists out one after the other.

        Returns
        -------
        rows : (I,) int32
            The items, list by list, ascending in each.
        starts : (L + 1,) int64
            Where each list begins, and the end.
        """
        rows = self.assigned.argsort(kind="stable").astype(np.int32)
        lengths = np.bincount(self.assigned, minlength=len(self.centroids))
        return rows, np.concatenate([[0], lengths.cumsum()]).astype(np.int64)

    def to_bytes(self) -> npt.NDArray[np.uint8]:
        """Give the content of a file: the arrays in npy's format, one after the other."""
        stream = io.BytesIO()
        own = () if self.projected is None else (self.projected.values, self.projected.scales)
        for array in (self.assigned, self.centroids, self.scales, *own):
            np.lib.format.write_array(stream, array, version=(1, 0), allow_pickle=False)
        return np.frombuffer(stream.getvalue(), dtype=np.uint8)

    @classmethod
    def from_bytes(cls, raw: npt.NDArray[np.uint8]) -> InvertedLists:
        """Read the content of a file.

        Raises
        ------
        ValueError
            If it is not that.
        """
        stream = io.BytesIO(raw.tobytes())
        arrays: list[npt.NDArray[np.generic]] = []
        try:
            while len(arrays) < len(_TYPES) or (stream.tell() < len(raw) and len(arrays) < len(_TYPES + _PROJECTED)):
                array = np.lib.format.read_array(stream, allow_pickle=False)
                arrays.append(np.ascontiguousarray(array))
        except UNREADABLE as error:
            raise ValueError(f"not the arrays of inverted lists: {error}") from error
        types, ranks = [array.dtype.type for array in arrays], [array.ndim for array in arrays]
        known = {len(some): list(some) for some in (_TYPES, _TYPES + _PROJECTED)}
        is_native = all(array.dtype.isnative for array in arrays)
        if not is_native or types != known.get(len(types)) or ranks != [1, *[2] * len(ranks[1:])]:
            raise ValueError("not the arrays of inverted lists")
        if stream.tell() < len(raw):
            raise ValueError("something follows the arrays of inverted lists")
        assigned, centroids, scales, *own = arrays
        projected = EmbeddingTable(*own) if own else None  # type: ignore[arg-type]
        return cls(assigned, centroids, scales, projected)  # type: ignore[arg-type]

    @classmethod
    def load(cls, path: Path) -> InvertedLists:
        """Read a file.

        Raises
        ------
        IntegrityError
            If it is missing or damaged.
        """
        try:
            return cls.from_bytes(np.fromfile(path, dtype=np.uint8))
        except (OSError, ValueError) as error:
            raise IntegrityError(
                f"{path} holds no inverted lists: {error}", hint="make or copy the artifact again"
            ) from error
