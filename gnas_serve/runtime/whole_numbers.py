"""Inner products of int8 rows in whole numbers: a query is rounded to 22 bits, and then nothing is rounded any more.

So the score of a pair is one number, whatever adds it up: numpy, or a compiled kernel of any instruction set.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Of a component of a query: three signed digits of seven bits, as the kernels multiply it.
LARGEST = 127 << 14
_DIGITS = (14, 7, 0)
# So many products of two signed bytes add up to less than 2**24: in float32 exactly, in any order.
_CHUNK = 1024

_Columns = tuple[slice, ...]


def quantise_query(
    query: npt.NDArray[np.float32], columns: _Columns
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
    """Round a query to whole numbers, branch by branch.

    Parameters
    ----------
    query : (D,) float32
    columns
        The columns of each of the B branches.

    Returns
    -------
    whole : (D,) int32
        At most :data:`LARGEST`.
    scales : (B,) float32
        ``whole * scales`` approximates the query: an element's error is at most 2.5e-7 of the largest of its branch.
    """
    whole = np.zeros(len(query), dtype=np.int32)
    scales = np.zeros(len(columns), dtype=np.float32)
    for place, span in enumerate(columns):
        peak = np.abs(query[span]).max(initial=np.float32(0.0))
        scale = peak / np.float32(LARGEST)
        if np.isfinite(peak) and scale >= np.finfo(np.float32).tiny:
            whole[span] = np.rint(query[span] / scale)
            scales[place] = scale
    return whole, scales


def whole_products(values: npt.NDArray[np.generic], whole: npt.NDArray[np.int32]) -> npt.NDArray[np.float32]:
    """Multiply rows with a query exactly, and round the sums once.

    Parameters
    ----------
    values : (n, d) int8
    whole : (d,) int32
        Of :func:`quantise_query`.

    Returns
    -------
    (n,) float32
    """
    digits, rest = [], whole
    for shift in _DIGITS:
        digits.append((rest + (1 << shift >> 1)) >> shift)
        rest = rest - (digits[-1] << shift)
    factors = np.stack(digits, axis=1).astype(np.float32)  # (d, 3)
    sums = np.zeros((len(values), len(digits)), dtype=np.int64)
    for start in range(0, len(whole), _CHUNK):
        stop = start + _CHUNK
        sums += (values[:, start:stop].astype(np.float32) @ factors[start:stop]).astype(np.int64)
    whole_sums: npt.NDArray[np.int64] = (sums << np.array(_DIGITS)).sum(axis=1)
    return whole_sums.astype(np.float32)
