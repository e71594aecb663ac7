"""The ranker's inputs, assembled in one place for its training and for every request.

They survive a refit of the embeddings: scores relative to the candidate list, popularity, attributes. Raw
embedding coordinates do not (a refit may rotate them) and are never inputs.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

CROSS_FEATURES = ("score", "score_z", "log_rank", "content")
HISTORY_FEATURES = ("history_log_length", "history_mean_log_count")


def cross_features(
    names: tuple[str, ...], scores: npt.NDArray[np.float32], content: npt.NDArray[np.float32] | None
) -> npt.NDArray[np.float32]:
    """Assemble the features of (user, candidate) pairs.

    Parameters
    ----------
    names
        Which of :data:`CROSS_FEATURES`, in input order: ``score`` is the retriever's, ``score_z`` standardises it
        within the list, ``log_rank`` is log(1 + position), ``content`` the similarity of attributes to the history.
    scores : (C,) float32
        The retriever's scores, best first.
    content : (C,) float32, optional
        From :func:`content_similarity`; needed where named.

    Returns
    -------
    (C, len(names)) float32
    """
    features = np.empty((len(scores), len(names)), dtype=np.float32)
    for column, name in enumerate(names):
        if name == "score":
            features[:, column] = scores
        elif name == "score_z":
            deviation = float(scores.std())
            features[:, column] = (scores - scores.mean()) / max(deviation, 1e-6)
        elif name == "log_rank":
            features[:, column] = np.log1p(np.arange(len(scores)))
        elif name == "content" and content is not None:
            features[:, column] = content
        else:
            raise ValueError(f"unknown or missing cross feature {name!r}")
    return features


def history_features(log_counts: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Describe a history.

    Parameters
    ----------
    log_counts : (h,) float32
        log(1 + interactions) of the items of the history.

    Returns
    -------
    (2,) float32
        In the order of :data:`HISTORY_FEATURES`; zeros for an empty history.
    """
    if len(log_counts) == 0:
        return np.zeros(len(HISTORY_FEATURES), dtype=np.float32)
    return np.array([np.log1p(len(log_counts)), log_counts.mean()], dtype=np.float32)


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
