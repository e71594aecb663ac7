"""Embedding tables: float rows, or int8 rows with a scale per branch, memory-mapped so that workers share pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve import kernels
from gnas_serve.artifact.arrays import read_array
from gnas_serve.runtime.whole_numbers import quantise_query, whole_products

_INT8_MAX = 127.0
# Of a smaller peak the scale would be a denormal number, which has few digits or one: steps as coarse as the peak.
LEAST_PEAK = np.float32(_INT8_MAX) * np.finfo(np.float32).tiny
# A float16's sign and its 15 other bits, where those of a float32 stand; their exponents are biased by 15 and 127.
_HALF_BITS = np.int32(-0x70002000)
_HALF_SHIFT = np.int32(13)
_HALF_FACTOR = np.float32(2.0**112)

Columns = tuple[slice, ...]


def quantize_rows(
    vectors: npt.NDArray[np.float32], columns: Columns | None = None
) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.float32]]:
    """Quantise each row symmetrically to int8, with a scale of its own per branch.

    Not one scale per table: norms carry the popularity in inner-product models and differ by orders of magnitude, as
    the branches of a model do. The error of an element is at most half its scale.

    Parameters
    ----------
    vectors : (n, d) float32
    columns
        The columns of each of the B branches; one branch of all columns when not given.

    Returns
    -------
    values : (n, d) int8
    scales : (n, B) float32
        Within the columns of a branch, ``values * scales[:, branch, None]`` approximates ``vectors``; 1 for a row of
        zeros, and for one whose largest element is below 127 times the smallest normal float32 (1.5e-36), which
        becomes one.
    """
    columns = _divided(columns, vectors.shape[1])
    values = np.empty(vectors.shape, dtype=np.int8)
    scales = np.empty((len(vectors), len(columns)), dtype=np.float32)
    for place, span in enumerate(columns):
        peaks = np.abs(vectors[:, span]).max(axis=1, initial=0.0)
        scales[:, place] = np.where(peaks < LEAST_PEAK, 1.0, peaks / _INT8_MAX)
        steps = np.rint(vectors[:, span] / scales[:, place, None])
        values[:, span] = np.clip(steps, -_INT8_MAX, _INT8_MAX)
    return values, scales


def sum_parts(parts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Add up the branches' scores, (m, P) -> (m,), always from the first to the last.

    ``sum`` chooses its order by the shape and layout of the array; the score of a pair has to be one number.
    """
    if parts.shape[1] == 1:
        return parts[:, 0]
    total = parts[:, 0].copy()
    for place in range(1, parts.shape[1]):
        total += parts[:, place]
    return total


class EmbeddingTable:
    """(n, d) vectors in the form in which they ship.

    Parameters
    ----------
    values : (n, d) float32, float16 or int8
    scales : (n, B) float32, optional
        Given with int8 values.
    columns
        The columns of each of the B branches, following each other; one branch of all columns when not given.
    """

    __slots__ = ("_lists", "columns", "scales", "values")

    def __init__(
        self,
        values: npt.NDArray[np.generic],
        scales: npt.NDArray[np.float32] | None = None,
        columns: Columns | None = None,
    ) -> None:
        if values.ndim != 2:
            raise ValueError(f"vectors must be a matrix, not of shape {values.shape}")
        if (values.dtype == np.int8) != (scales is not None):
            raise ValueError("int8 vectors need scales, and only they do")
        self.columns = _divided(columns, values.shape[1])
        if scales is not None and scales.shape != (len(values), len(self.columns)):
            raise ValueError(f"{len(values)} vectors of {len(self.columns)} branches but scales of {scales.shape}")
        self.values = values
        self.scales = scales
        self._lists: Any = None

    @classmethod
    def open(
        cls, values_path: Path, scales_path: Path, shape: tuple[int, int], columns: Columns, *, flat_scales: bool
    ) -> EmbeddingTable:
        """Memory-map a stored table of a known shape; the scales file exists for int8 tables alone.

        Parameters
        ----------
        columns
            The columns of each branch.
        flat_scales
            Whether the scales of the only branch are stored as a vector, as format version 1 does.

        Raises
        ------
        IntegrityError
            If the files are no such table.
        """
        if not scales_path.is_file():
            return cls(read_array(values_path, (np.float32, np.float16), shape, mapped=True), columns=columns)
        scales_shape = shape[:1] if flat_scales else (shape[0], len(columns))
        scales: npt.NDArray[np.float32] = read_array(scales_path, (np.float32,), scales_shape)  # type: ignore[assignment]
        values = read_array(values_path, (np.int8,), shape, mapped=True)
        return cls(values, scales.reshape(shape[0], len(columns)), columns)

    def __len__(self) -> int:
        return int(self.values.shape[0])

    @property
    def dim(self) -> int:
        """Width of the vectors."""
        return int(self.values.shape[1])

    @property
    def size_bytes(self) -> int:
        """What it takes: vectors and scales."""
        return int(self.values.nbytes) + (0 if self.scales is None else int(self.scales.nbytes))

    def row(self, row: int) -> npt.NDArray[np.float32]:
        """Read one vector, (d,)."""
        if self.scales is not None and len(self.columns) == 1:
            whole: npt.NDArray[np.float32] = np.multiply(self.values[row], self.scales[row, 0], dtype=np.float32)
            return whole
        vector: npt.NDArray[np.float32] = self.values[row].astype(np.float32)
        if self.scales is not None:
            for scale, span in zip(self.scales[row].tolist(), self.columns, strict=True):
                vector[span] *= scale  # a float of Python's, exactly that float32: the product stays one
        return vector

    def rows(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Read some vectors, (m, d)."""
        vectors = self._gathered(rows)
        if self.scales is not None:
            self._scale(vectors, self.scales.take(rows, axis=0))
        return vectors

    def dense(self) -> npt.NDArray[np.float32]:
        """Read all vectors into memory, (n, d)."""
        vectors: npt.NDArray[np.float32] = np.ascontiguousarray(self.values, dtype=np.float32)
        if self.scales is not None:
            self._scale(vectors, self.scales)
        return vectors

    def score(self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Take the inner products of one query with some rows, (m,): the branches' parts, added up in their order."""
        return sum_parts(self.score_parts(query, rows))

    def score_parts(self, query: npt.NDArray[np.float32], rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Take the inner products of one query with some rows branch by branch, (m, B).

        The score of a pair is one number, whatever path proposed it. Of int8 rows it is computed in whole numbers; of
        others every row is a dot product by itself, where the product of a matrix rounds differently by a row's place
        in its block.
        """
        if self.scales is None:
            vectors = self._gathered(rows)
            parts = np.empty((len(self.columns), len(rows)), dtype=np.float32)
            for place, span in enumerate(self.columns):
                np.vecdot(vectors[:, span], query[span], out=parts[place])
            return parts.T
        if (lists := self.kernel_lists()) is not None and kernels.native is not None:
            parts = np.empty((len(rows), len(self.columns)), dtype=np.float32)
            kernels.native.score_rows(
                lists, np.ascontiguousarray(query, np.float32), np.ascontiguousarray(rows, np.int64), parts
            )
            return parts
        return whole_parts(self.values.take(rows, axis=0), self.scales.take(rows, axis=0), self.columns, query)

    def as_scored(self, queries: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        """Round queries, (b, D), as scores of this table are computed with them: those of int8 rows to 22 bits."""
        if self.scales is None:
            return queries
        rounded = np.empty_like(queries)
        for place, query in enumerate(queries):
            whole, scales = quantise_query(query, self.columns)
            for scale, span in zip(scales.tolist(), self.columns, strict=True):
                rounded[place, span] = whole[span] * np.float32(scale)
        return rounded

    def kernel_lists(self) -> Any:
        """Give the table as the compiled kernels read it; None where there are none, or it is not of int8."""
        if kernels.native is None or self.scales is None:
            return None
        if self._lists is None:
            self._lists = kernels.native.open_lists(*self.for_kernels())
        return self._lists

    def for_kernels(self) -> tuple[npt.NDArray[np.generic], npt.NDArray[np.float32], npt.NDArray[np.int32]]:
        """Give values, scales, and where each branch begins and the last ends, (B + 1,), as the kernels take them."""
        if self.scales is None:
            raise ValueError("the kernels read vectors of int8")
        bounds = np.array([span.start for span in self.columns] + [self.dim], dtype=np.int32)
        return np.ascontiguousarray(self.values), np.ascontiguousarray(self.scales), bounds

    def _gathered(self, rows: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
        """Copy some rows as float32, unscaled."""
        values = self.values.take(rows, axis=0)
        return _widened(values) if values.dtype == np.float16 else values.astype(np.float32, copy=False)

    def _scale(self, vectors: npt.NDArray[np.float32], scales: npt.NDArray[np.float32]) -> None:
        for place, span in enumerate(self.columns):
            vectors[:, span] *= scales[:, place, None]


def whole_parts(
    values: npt.NDArray[np.generic],
    scales: npt.NDArray[np.float32],
    columns: Columns,
    query: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Take the inner products of one query with int8 rows branch by branch: what the kernels compute, in numpy.

    Parameters
    ----------
    values : (m, d) int8
    scales : (m, B) float32
    query : (d,) float32

    Returns
    -------
    (m, B) float32
        Each is the whole number, times the scale of the row, times that of the query.
    """
    whole, query_scales = quantise_query(query, columns)
    parts = np.empty((len(columns), len(values)), dtype=np.float32)
    for place, span in enumerate(columns):
        parts[place] = whole_products(values[:, span], whole[span])
    parts *= scales.T
    parts *= query_scales[:, None]
    return parts.T


def _widened(halves: npt.NDArray[np.generic]) -> npt.NDArray[np.float32]:
    """Convert finite float16 to float32, bit for bit as ``astype`` does, at a tenth of its time.

    numpy converts one element after the other; shifting all bits to their place and correcting all exponents by one
    multiplication runs over whole registers.
    """
    bits = halves.view(np.int16).astype(np.int32)
    bits <<= _HALF_SHIFT
    bits &= _HALF_BITS
    numbers = bits.view(np.float32)
    numbers *= _HALF_FACTOR
    return numbers


def _divided(columns: Columns | None, width: int) -> Columns:
    if columns is None:
        return (slice(0, width),)
    starts = [span.start for span in columns]
    if [*starts, width] != [0, *(span.stop for span in columns)] or not columns:
        raise ValueError(f"columns {columns} do not divide vectors of width {width}")
    return columns
