"""Embedding tables: float rows, or int8 rows with one scale each, memory-mapped so that workers share pages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import read_array

_INT8_MAX = 127.0


def quantize_rows(vectors: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantise each row symmetrically to int8 with its own scale.

    One scale per row, not per table: norms carry the popularity in inner-product models and differ by
    orders of magnitude. The error of an element is at most half its row's scale.

    Parameters
    ----------
    vectors : (n, d) float32

    Returns
    -------
    values : (n, d) int8
    scales : (n,) float32
        ``values * scales[:, None]`` approximates ``vectors``; 1 for a row of zeros.
    """
    peaks = np.abs(vectors).max(axis=1, initial=0.0)
    # The smallest float32 peaks would make a scale of zero: such a row is zero for every purpose.
    scales = np.where(peaks / _INT8_MAX > 0, peaks / _INT8_MAX, 1.0).astype(np.float32)
    values = np.clip(np.rint(vectors / scales[:, None]), -_INT8_MAX, _INT8_MAX).astype(np.int8)
    return values, scales


class EmbeddingTable:
    """(n, d) vectors in the form in which they ship.

    Parameters
    ----------
    values : (n, d) float32, float16 or int8
    scales : (n,) float32, optional
        Given with int8 values.
    """

    __slots__ = ("scales", "values")

    def __init__(self, values: npt.NDArray[np.generic], scales: npt.NDArray[np.float32] | None = None) -> None:
        if values.ndim != 2:
            raise ValueError(f"vectors must be a matrix, not of shape {values.shape}")
        if (values.dtype == np.int8) != (scales is not None):
            raise ValueError("int8 vectors need scales, and only they do")
        if scales is not None and len(scales) != len(values):
            raise ValueError(f"{len(values)} vectors but {len(scales)} scales")
        self.values = values
        self.scales = scales

    @classmethod
    def open(cls, values_path: Path, scales_path: Path, shape: tuple[int, int]) -> EmbeddingTable:
        """Memory-map a stored table of a known shape; the scales file exists for int8 tables alone.

        Raises
        ------
        IntegrityError
            If the files are no such table.
        """
        if not scales_path.exists():
            return cls(read_array(values_path, (np.float32, np.float16), shape, mapped=True))
        scales: npt.NDArray[np.float32] = read_array(scales_path, (np.float32,), shape[:1])  # type: ignore[assignment]
        return cls(read_array(values_path, (np.int8,), shape, mapped=True), scales)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.values.shape[1])

    def row(self, row: int) -> npt.NDArray[np.float32]:
        """Read one vector, (d,)."""
        vector: npt.NDArray[np.float32] = self.values[row].astype(np.float32)
        return vector if self.scales is None else np.multiply(vector, self.scales[row], dtype=np.float32)

    def rows(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Read some vectors, (m, d)."""
        vectors: npt.NDArray[np.float32] = self.values[rows].astype(np.float32)
        return vectors if self.scales is None else np.multiply(vectors, self.scales[rows, None])

    def dense(self) -> npt.NDArray[np.float32]:
        """Read all vectors into memory, (n, d)."""
        vectors = np.ascontiguousarray(self.values, dtype=np.float32)
        return vectors if self.scales is None else vectors * self.scales[:, None]

    def score(self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Take the inner products of one query with some rows, (m,).

        The score of a pair is one number, whatever path proposed it: ``einsum`` sums every row in the same
        order, where a BLAS product rounds differently by a row's place in the block.
        """
        products: npt.NDArray[np.float32] = np.einsum("ij,j->i", self.values[rows].astype(np.float32), query)
        return products if self.scales is None else products * self.scales[rows]
