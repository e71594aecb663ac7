"""The validation metrics per user of each model of a study, one small file each."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from gnas_search.evaluate import UserMetrics
from gnas_search.study.records import per_user

_FOLDER = "metrics"


def metrics_path(folder: Path, name: str) -> Path:
    """Say where the metrics per user of a model lie."""
    return folder / _FOLDER / f"{name}.npy"


def save_metrics(folder: Path, name: str, users: UserMetrics) -> None:
    """Write the metrics per user of a model, whole or not at all.

    Raises
    ------
    OSError
        If the disk is full or not writable.
    """
    path = metrics_path(folder, name)
    path.parent.mkdir(exist_ok=True)
    buffer = io.BytesIO()  # through memory: np.save hides a full disk in an error without a number
    np.save(buffer, per_user(users), allow_pickle=False)
    # Renamed into place: whoever reads a running study sees whole files.
    temporary = path.with_suffix(".tmp")
    try:
        temporary.write_bytes(buffer.getvalue())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
