"""What a dataset looks like, in numbers."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_search.data.dataset import Dataset, TestPart
from gnas_search.data.interactions import DataWarning, FeatureTable, Interactions

_PERCENTILES = (10, 50, 90, 99)
_EPOCH_SECONDS = (1e8, 4.2e9)  # 1973 .. 2103
_MILLISECONDS = 1000.0
_DAY_SECONDS = 86_400.0
_NOTES = frozenset({"later_events"})  # every log of several events has these: nothing is wrong with the data


def describe(interactions: Interactions, dataset: Dataset, test: TestPart) -> dict[str, Any]:
    """Count, measure skew and time span, and list the problems.

    Parameters
    ----------
    interactions
        As read.
    dataset, test
        Their split.

    Returns
    -------
    dict
        JSON values: ``users``, ``items``, ``interactions`` (rows read), ``pairs`` (of a user and an item, each
        counted once), ``density`` (share of the possible pairs that occur),
        ``events``, ``target_event``, ``degrees``, ``time``, ``ratings``, ``split``, ``features``, ``fingerprint``,
        ``problems``, and ``notes`` on what was done with sound data.
    """
    num_users, num_items = len(interactions.users), len(interactions.items)
    keys = np.sort(interactions.user_rows.astype(np.int64) * num_items + interactions.item_rows)
    pairs = 1 + int(np.count_nonzero(keys[1:] != keys[:-1]))
    counts = np.bincount(interactions.event_codes, minlength=len(interactions.events)).tolist()
    train_users, valid_users = (np.diff(part.indptr) for part in (dataset.selection.positives, dataset.valid))
    return {
        "users": num_users,
        "items": num_items,
        "interactions": len(interactions.user_rows),
        "pairs": pairs,
        "density": pairs / (num_users * num_items),
        "events": dict(zip(interactions.events, counts, strict=True)),
        "target_event": interactions.target_event,
        "degrees": {
            "users": degree_skew(np.bincount(interactions.user_rows, minlength=num_users)),
            "items": degree_skew(np.bincount(interactions.item_rows, minlength=num_items)),
        },
        "time": _time_span(interactions.timestamps),
        "ratings": _ratings(interactions.ratings),
        "split": {
            "policy": dataset.policy,
            "train": int(dataset.selection.positives.nnz),
            "valid": int(dataset.valid.nnz),
            "test": int(test.num_relevant.sum()),
            "train_users": int(np.count_nonzero(train_users)),
            "valid_users": int(np.count_nonzero(valid_users)),
            "test_users": len(test.user_ids),
            "graph_edges": int(dataset.selection.edges.nnz),
        },
        "features": {"items": _names(interactions.item_features), "users": _names(interactions.user_features)},
        "fingerprint": interactions.fingerprint,
        "problems": [_said(warning) for warning in dataset.warnings if warning.code not in _NOTES],
        "notes": [_said(warning) for warning in dataset.warnings if warning.code in _NOTES],
    }


def degree_skew(degrees: npt.NDArray[np.integer]) -> dict[str, float]:
    """Measure how unevenly interactions are spread.

    Parameters
    ----------
    degrees : (n,)
        Interactions of each user, or of each item; at least one above 0.

    Returns
    -------
    dict
        ``mean``, ``min``, percentiles ``p10`` .. ``p99``, ``max``, ``gini`` (0 all alike, towards 1 all in one),
        ``top_1_percent_share`` (of all interactions, held by the top 1 %, at least one).
    """
    ascending = np.sort(degrees).astype(np.float64)
    n, total = len(ascending), float(ascending.sum())
    gini = (2 * float(np.arange(1, n + 1) @ ascending) / total - (n + 1)) / n
    top = max(1, n // 100)
    return {
        "mean": total / n,
        "min": float(ascending[0]),
        **{f"p{p}": float(np.percentile(ascending, p)) for p in _PERCENTILES},
        "max": float(ascending[-1]),
        "gini": gini,
        "top_1_percent_share": float(ascending[-top:].sum()) / total,
    }


def _time_span(timestamps: npt.NDArray[np.float64] | None) -> dict[str, Any] | None:
    """Give first and last time: as they are, and as dates where they look like seconds since 1970 (or thousandths)."""
    if timestamps is None:
        return None
    first, last = float(timestamps.min()), float(timestamps.max())
    span: dict[str, Any] = {"first": first, "last": last, "first_date": None, "last_date": None, "days": None}
    for unit in (1.0, _MILLISECONDS):
        if _EPOCH_SECONDS[0] <= first / unit and last / unit <= _EPOCH_SECONDS[1]:
            dates = [datetime.fromtimestamp(value / unit, UTC).isoformat(timespec="seconds") for value in (first, last)]
            span |= {"first_date": dates[0], "last_date": dates[1], "days": (last - first) / unit / _DAY_SECONDS}
    return span


def _ratings(ratings: npt.NDArray[np.float32] | None) -> dict[str, float] | None:
    if ratings is None or np.isnan(ratings).all():
        return None
    return {
        "min": float(np.nanmin(ratings)),
        "mean": float(np.nanmean(ratings, dtype=np.float64)),
        "max": float(np.nanmax(ratings)),
        "missing": int(np.isnan(ratings).sum()),
    }


def _said(warning: DataWarning) -> dict[str, Any]:
    return {"code": warning.code, "count": warning.count, "message": warning.message}


def _names(table: FeatureTable | None) -> list[str]:
    return [] if table is None else list(table.names)
