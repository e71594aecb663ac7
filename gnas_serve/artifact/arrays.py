"""Arrays of an artifact: read with what they must be said beforehand, so that damage is found at load."""

from __future__ import annotations

import tokenize
from pathlib import Path

import numpy as np
import numpy.typing as npt

from gnas_serve.errors import IntegrityError

UNREADABLE = (OSError, ValueError, TypeError, SyntaxError, EOFError, OverflowError, MemoryError, tokenize.TokenError)
"""What numpy's reader raises on damaged headers, truncated data and impossible sizes."""


def read_array(
    path: Path, dtypes: tuple[type[np.generic], ...], shape: tuple[int | None, ...], *, mapped: bool = False
) -> npt.NDArray[np.generic]:
    """Read one ``.npy`` file and nothing else: no archives, no objects.

    Parameters
    ----------
    path
        The file.
    dtypes
        The element types that it may have.
    shape
        Its shape; None where any length will do.
    mapped
        Memory-map it, so that the workers of a machine share its pages.

    Returns
    -------
    numpy.ndarray
        A plain view even of mapped pages: numpy's memmap class costs microseconds at every indexing.

    Raises
    ------
    IntegrityError
        If it is missing, unreadable, or of another type or shape.
    """
    if not path.is_file():  # to open a pipe would wait for whoever writes into it
        raise _damaged(path, "is missing")
    try:
        if mapped:
            array = np.asarray(np.lib.format.open_memmap(path, mode="r"))
        else:
            with path.open("rb") as stream:
                array = np.asarray(np.lib.format.read_array(stream, allow_pickle=False))
    except UNREADABLE as error:
        raise _damaged(path, f"is unreadable: {error}") from error
    if array.dtype.type not in dtypes or not array.dtype.isnative:
        raise _damaged(path, f"holds {array.dtype}, expected {' or '.join(kind.__name__ for kind in dtypes)}")
    fits = array.ndim == len(shape) and all(
        wanted is None or wanted == found for wanted, found in zip(shape, array.shape, strict=True)
    )
    if not fits:
        wanted = ", ".join("any" if length is None else str(length) for length in shape)
        raise _damaged(path, f"has shape {array.shape}, expected ({wanted})")
    return array


def _damaged(path: Path, what: str) -> IntegrityError:
    return IntegrityError(f"{path} {what}", hint="make or copy the artifact again")
