"""One file of several npy records, each where a memory map may begin; written once, read without a copy."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.fresh_file import open_fresh

_ALIGNMENT = 64
_CHUNK_BYTES = 1 << 24

Array = npt.NDArray[Any]


@dataclass
class ArrayFile:
    """Arrays that one file is to hold, put one after the other and written at last.

    Attributes
    ----------
    name
        Of the file.
    size_bytes
        So far.
    """

    name: str
    size_bytes: int = 0
    _records: list[tuple[int, bytes, Array]] = field(default_factory=list)

    def put(self, array: Array) -> int:
        """Take an array, and say at which byte its record will begin."""
        if array.dtype.hasobject:
            raise TypeError(f"an array of {array.dtype} cannot be kept")
        # Memory is laid out again as it was: the order in which sums are taken can follow it.
        is_turned = array.flags.f_contiguous and not array.flags.c_contiguous
        stream = io.BytesIO()
        shape = {
            "shape": array.shape,
            "fortran_order": bool(is_turned),
            "descr": np.lib.format.dtype_to_descr(array.dtype),
        }
        np.lib.format.write_array_header_1_0(stream, shape)
        start = -(-self.size_bytes // _ALIGNMENT) * _ALIGNMENT
        self._records.append((start, stream.getvalue(), array.T if is_turned else array))
        self.size_bytes = start + len(stream.getvalue()) + array.nbytes
        return start

    def write(self, path: Path) -> str:
        """Write the file anew, flushed to the disk; nothing is copied but arrays with gaps.

        Returns
        -------
        str
            SHA-256 of its bytes.

        Raises
        ------
        OSError
            If the disk is full or not writable; what is there then is no whole file.
        """
        digest, written = hashlib.sha256(), 0
        with open_fresh(path, buffering=0) as stream:
            for start, header, array in self._records:
                body = np.ascontiguousarray(array).reshape(-1).view(np.uint8).data if array.size else memoryview(b"")
                for part in (memoryview(bytes(start - written)), memoryview(header), body):
                    for place in range(0, len(part), _CHUNK_BYTES):
                        chunk = part[place : place + _CHUNK_BYTES]
                        digest.update(chunk)
                        _write_all(stream, chunk)
                written = start + len(header) + len(body)
            os.fsync(stream.fileno())
        return digest.hexdigest()


def read_record(path: Path, start: int) -> Array:
    """Map one array of a file; who changes it changes a copy of its own.

    Raises
    ------
    ValueError, OSError
        If no record is there.
    """
    with path.open("rb") as stream:
        stream.seek(start)
        if np.lib.format.read_magic(stream) != (1, 0):
            raise ValueError(f"{path}: no array at byte {start}")
        shape, is_turned, dtype = np.lib.format.read_array_header_1_0(stream)
        offset = stream.tell()
    if dtype.hasobject:
        raise ValueError(f"{path}: objects at byte {start}")
    if 0 in shape:  # nothing can be mapped of no bytes
        return np.empty(shape, dtype, order="F" if is_turned else "C")
    # A plain view: numpy's memmap class costs microseconds at every indexing.
    return np.asarray(np.memmap(path, dtype, "c", offset, shape, order="F" if is_turned else "C"))


def _write_all(stream: BinaryIO, chunk: memoryview) -> None:
    while len(chunk):
        chunk = chunk[stream.write(chunk) :]
