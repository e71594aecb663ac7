"""Which entries a sparse matrix has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
import torch
from torch import Tensor

Ints = npt.NDArray[np.int32]

_SPANS = 64  # the same whatever the number of threads


@dataclass(frozen=True)
class PatternTensors:
    """A pattern on one device.

    Attributes
    ----------
    indptr : (n + 1,) int64
    rows, columns : (nnz,) int64
        Of each entry.
    """

    indptr: Tensor
    rows: Tensor
    columns: Tensor


class CsrPattern:
    """Which entries of an (n, m) matrix exist; an entry may occur more than once.

    Parameters
    ----------
    indptr : (n + 1,) int32
    indices : (nnz,) int32
    num_columns
        m.
    """

    def __init__(self, indptr: Ints, indices: Ints, num_columns: int) -> None:
        if int(indptr[-1]) > np.iinfo(np.int32).max:
            raise ValueError(f"{int(indptr[-1]):,} entries: at most {np.iinfo(np.int32).max:,} can be counted")
        self.indptr = np.ascontiguousarray(indptr, dtype=np.int32)
        self.indices = np.ascontiguousarray(indices, dtype=np.int32)
        self.num_columns = num_columns
        self._tensors: dict[torch.device, PatternTensors] = {}

    @property
    def num_rows(self) -> int:
        """Number of rows n."""
        return len(self.indptr) - 1

    @cached_property
    def rows(self) -> Tensor:
        """The row of each entry, (nnz,) int64."""
        return torch.from_numpy(np.repeat(np.arange(self.num_rows), np.diff(self.indptr)))

    def on(self, device: torch.device) -> PatternTensors:
        """Give the pattern as tensors on a device, moved there once."""
        if device not in self._tensors:
            indptr, columns = (torch.from_numpy(part.astype(np.int64)) for part in (self.indptr, self.indices))
            self._tensors[device] = PatternTensors(indptr.to(device), self.rows.to(device), columns.to(device))
        return self._tensors[device]

    @cached_property
    def spans(self) -> Ints:
        """Boundaries of 64 runs of rows with about equally many entries, for threads to share: (65,) int32."""
        work = self.indptr.astype(np.int64) + np.arange(len(self.indptr))
        return np.searchsorted(work, np.linspace(0, work[-1], _SPANS + 1)).astype(np.int32)

    @cached_property
    def _transposition(self) -> tuple[CsrPattern, Ints]:
        positions = np.arange(len(self.indices), dtype=np.int32)
        shape = (self.num_rows, self.num_columns)
        turned = sp.csr_matrix((positions, self.indices, self.indptr), shape=shape).tocsc()
        return CsrPattern(turned.indptr, turned.indices, self.num_rows), turned.data

    @property
    def transposed(self) -> CsrPattern:
        """The (m, n) pattern."""
        return self._transposition[0]

    @property
    def order(self) -> Ints:
        """For each entry of the transposed pattern, its position in this one: (nnz,) int32."""
        return self._transposition[1]
