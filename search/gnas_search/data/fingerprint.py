"""The identity of a dataset: equal content gives an equal hash, whatever the file format."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_serve.vocabulary import Vocabulary

if TYPE_CHECKING:
    from hashlib import _Hash


def fingerprint(
    *,
    users: Vocabulary,
    items: Vocabulary,
    user_rows: npt.NDArray[np.int32],
    item_rows: npt.NDArray[np.int32],
    events: tuple[str, ...],
    event_codes: npt.NDArray[np.int16],
    timestamps: npt.NDArray[np.float64] | None,
    ratings: npt.NDArray[np.float32] | None,
    parts: npt.NDArray[np.int8] | None,
    features: Mapping[str, pl.DataFrame],
) -> str:
    """Hash what was read.

    The order of rows counts only where a split may depend on it, that is among interactions of one user at one
    time; the order of columns and of the rows of feature files never does.

    Parameters
    ----------
    users, items, user_rows, item_rows, events, event_codes, timestamps, ratings, parts
        As in :class:`gnas_search.data.interactions.Interactions`.
    features
        Ids and typed columns of ``items`` and ``users``, rows by ascending id.

    Returns
    -------
    str
        SHA-256 in hex.
    """
    digest = hashlib.sha256()
    for vocabulary in (users, items):
        _add(digest, vocabulary.values)
        _add(digest, vocabulary.offsets)
    digest.update("\x1f".join(events).encode())
    if timestamps is not None:
        order = np.lexsort((timestamps, user_rows))  # stable: ties keep the order of the file
    else:
        pairs = (user_rows.astype(np.int64) * len(items) + item_rows) * len(events) + event_codes
        order = np.lexsort((*(column for column in (ratings, parts) if column is not None), pairs))
    for column in (user_rows, item_rows, event_codes, timestamps, ratings, parts):
        _add(digest, None if column is None else column[order])
    for name in sorted(features):
        for column_name in sorted(features[name].columns):
            digest.update(f"\x1f{name}.{column_name}\x1f".encode())
            _add_feature(digest, features[name][column_name])
    return digest.hexdigest()


def _add(digest: _Hash, array: npt.NDArray[np.generic] | None) -> None:
    if array is None:
        digest.update(b"none")
        return
    little_endian = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("<"), copy=False)
    digest.update(f"{little_endian.dtype.str}{len(array)}:".encode())
    digest.update(little_endian.data)


def _add_feature(digest: _Hash, series: pl.Series) -> None:
    if series.dtype == pl.Float64:
        _add(digest, series.to_numpy())  # missing is NaN here: real NaNs were refused
        return
    if series.dtype == pl.List(pl.String):
        series = series.list.join("\x1e", ignore_nulls=True)
    _add(digest, series.str.len_bytes().cast(pl.Int64).fill_null(-1).to_numpy())
    digest.update("".join(series.drop_nulls().to_list()).encode())
