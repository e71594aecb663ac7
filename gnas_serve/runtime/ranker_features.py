"""The ranker's inputs, assembled in one place for its training and for every request.

They survive a refit of the embeddings: scores relative to the candidate list, popularity, attributes. Raw
embedding coordinates do not (a refit may rotate them) and are never inputs.
"""

from __future__ import annotations

import math
import re
from functools import cache

import numpy as np
import numpy.typing as npt

from gnas_serve import kernels

CROSS_FEATURES = ("score", "score_z", "log_rank", "content")
_BRANCH_FEATURE = re.compile(r"branch_z\.(0|[1-9][0-9]?)")
HISTORY_FEATURES = ("history_log_length", "history_popularity")
_LOG_RANKS = np.log1p(np.arange(1024)).astype(np.float32)
_LEAST_DEVIATION = 1e-6
CONTENT = "content"
# Of columns that are no branch's, in `kernels/src/features.h` as well.
_KINDS = {"score": -1, "score_z": -2, "log_rank": -3, CONTENT: -4}


def branch_features(num_parts: int) -> tuple[str, ...]:
    """Name the cross features of a model of some branches: ``branch_z.0``, ``branch_z.1``, ..."""
    return tuple(f"branch_z.{place}" for place in range(num_parts))


def check_cross(names: tuple[str, ...], num_parts: int) -> None:
    """Check names of cross features.

    Raises
    ------
    ValueError
        If there is no such feature for a model of ``num_parts`` branches.
    """
    known = {*CROSS_FEATURES, *branch_features(num_parts)}
    for name in names:
        if name not in known:
            raise ValueError(f"unknown cross feature {name!r} for a model of {num_parts} branches")


def relative_popularity(counts: npt.NDArray[np.integer]) -> npt.NDArray[np.float32]:
    """Standardise log(1 + interactions) over the items of one fit.

    A final fit has more interactions than the selection fit that a ranker was trained on; where an item stands among
    the others keeps its meaning.

    Parameters
    ----------
    counts : (I,)
        Interactions per item.

    Returns
    -------
    (I,) float32
    """
    popularity = np.log1p(counts).astype(np.float32)
    relative: npt.NDArray[np.float32] = (popularity - popularity.mean()) / max(float(popularity.std()), 1e-6)
    return relative


def cross_features(
    names: tuple[str, ...],
    scores: npt.NDArray[np.float32],
    parts: npt.NDArray[np.float32],
    content: npt.NDArray[np.float32] | None,
) -> npt.NDArray[np.float32]:
    """Assemble the features of (user, candidate) pairs.

    Parameters
    ----------
    names
        Which of :data:`CROSS_FEATURES` and :func:`branch_features`, in input order: ``score`` is the retriever's,
        ``score_z`` standardises it within the list, ``log_rank`` is log(1 + position), ``content`` the similarity of
        attributes to the history, ``branch_z.2`` the third branch's score, standardised likewise.
    scores : (C,) float32
        The retriever's scores, best first.
    parts : (C, P) float32
        The branches' scores.
    content : (C,) float32, optional
        From :func:`content_similarity`; needed where named.

    Returns
    -------
    (C, len(names)) float32
    """
    features = np.empty((len(scores), len(names)), dtype=np.float32)
    if CONTENT in names and content is None:
        raise ValueError("missing cross feature 'content'")
    if kernels.native is not None and len(scores):
        kernels.native.cross_features(
            _kinds(names),
            np.ascontiguousarray(scores, np.float32),
            np.ascontiguousarray(parts, np.float32),
            _log_ranks(len(scores)),
            None if content is None else np.ascontiguousarray(content, np.float32),
            features,
        )
        return features
    for column, kind in enumerate(_kinds(names).tolist()):
        if kind >= 0:
            features[:, column] = _standardised(parts[:, kind])
        elif kind == _KINDS["score_z"]:
            features[:, column] = _standardised(scores)
        elif kind == _KINDS["log_rank"]:
            features[:, column] = _log_ranks(len(scores))
        else:
            features[:, column] = scores if kind == _KINDS["score"] else content
    return features


@cache
def _kinds(names: tuple[str, ...]) -> npt.NDArray[np.int32]:
    """Say of each column what it is made of, as the kernels take it: the branch to be standardised, or a kind."""
    kinds = []
    for name in names:
        if _BRANCH_FEATURE.fullmatch(name):
            kinds.append(int(name.rpartition(".")[2]))
        elif name in _KINDS:
            kinds.append(_KINDS[name])
        else:
            raise ValueError(f"unknown cross feature {name!r}")
    return np.array(kinds, dtype=np.int32)


def _log_ranks(count: int) -> npt.NDArray[np.float32]:
    """Give log(1 + position) of each place of a list, (count,)."""
    return _LOG_RANKS[:count] if count <= len(_LOG_RANKS) else np.log1p(np.arange(count)).astype(np.float32)


def _standardised(values: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Bring numbers to mean 0 and deviation 1, equal ones to zeros: (C,).

    Sums are of float64, from the first to the last: one number in the kernels and here.
    """
    if len(values) == 0:
        return values
    centred: npt.NDArray[np.float32] = values - np.float32(_sum(values) / len(values))
    deviation = math.sqrt(_sum(np.square(centred, dtype=np.float64)) / len(values))
    centred /= np.float32(max(deviation, _LEAST_DEVIATION))
    return centred


def _sum(values: npt.NDArray[np.floating]) -> float:
    """Add up from the first to the last, which `sum` does not."""
    return float(np.add.accumulate(values, dtype=np.float64)[-1])


def history_features(popularity: npt.NDArray[np.float32], usual_count: float) -> npt.NDArray[np.float32]:
    """Describe a history in a way that survives a refit on more interactions.

    Parameters
    ----------
    popularity : (h,) float32
        :func:`relative_popularity` of the items of the history.
    usual_count
        Mean interactions per item of the fit. Users and items are the same in every fit, so it grows as the mean
        length of a history does: a history is as long as it is beside it.

    Returns
    -------
    (2,) float32
        In the order of :data:`HISTORY_FEATURES`; an empty history is of usual popularity.
    """
    length = math.log1p(len(popularity)) - math.log(max(usual_count, 1e-6))
    mean = float(np.add.reduce(popularity)) / len(popularity) if len(popularity) else 0.0
    return np.array((length, mean), dtype=np.float32)


def content_similarity(
    content: npt.NDArray[np.floating], history: npt.NDArray[np.integer], rows: npt.NDArray[np.integer]
) -> npt.NDArray[np.float32]:
    """Compare candidates' attributes with those of a history.

    Parameters
    ----------
    content : (I, F) float16 or float32
        Unit-length attribute vectors (zero where an item has none).
    history, rows
        Item rows.

    Returns
    -------
    (len(rows),) float32
        Mean cosine between a candidate and the items of the history; 0 for an empty history.
    """
    if len(history) == 0:
        return np.zeros(len(rows), dtype=np.float32)
    profile = content[history].astype(np.float32).mean(axis=0)  # (F,)
    similarity: npt.NDArray[np.float32] = content[rows].astype(np.float32) @ profile
    return similarity
