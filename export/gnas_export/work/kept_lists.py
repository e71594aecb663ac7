"""Candidate lists as a few arrays: thousands of lists of some kilobytes each are no thousands of files."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_export.ranker.candidates import CandidateList

Array = npt.NDArray[Any]


def pack_lists(lists: list[CandidateList]) -> dict[str, Array]:
    """Lay lists out one after the other.

    Returns
    -------
    dict
        ``user_rows``, ``lengths`` : (n,), ``rows``, ``scores`` : (sum of C,), ``cross`` : (sum of C, X), and
        ``user`` : (n, D).
    """
    return {
        "user_rows": np.array([one.user_row for one in lists], dtype=np.int64),
        "lengths": np.array([len(one.rows) for one in lists], dtype=np.int64),
        "rows": np.concatenate([one.rows for one in lists]),
        "scores": np.concatenate([one.scores for one in lists]),
        "cross": np.concatenate([one.cross for one in lists]),
        "user": np.stack([one.user for one in lists]),
    }


def unpack_lists(packed: dict[str, Array]) -> list[CandidateList]:
    """Give the lists again, as views of the arrays.

    Raises
    ------
    ValueError, KeyError
        If the arrays do not fit together.
    """
    stops = np.cumsum(packed["lengths"])
    total, count = int(stops[-1]) if len(stops) else 0, len(stops)
    lengths = {name: len(packed[name]) for name in ("rows", "scores", "cross", "user_rows", "user")}
    if lengths != {"rows": total, "scores": total, "cross": total, "user_rows": count, "user": count}:
        raise ValueError(f"{count} lists of {total} candidates, but arrays of {lengths}")
    lists = []
    for place, stop in enumerate(stops.tolist()):
        part = slice(stop - int(packed["lengths"][place]), stop)
        rows, scores, cross = (packed[name][part] for name in ("rows", "scores", "cross"))
        lists.append(CandidateList(int(packed["user_rows"][place]), rows, scores, cross, packed["user"][place]))
    return lists
