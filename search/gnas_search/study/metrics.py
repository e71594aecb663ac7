"""The validation metrics per user of each model of a study, one small file each."""

from __future__ import annotations

import io
import os
from functools import lru_cache
from pathlib import Path

import numpy as np

from gnas_search.evaluate import UserMetrics
from gnas_search.study.measurement import Measurement, per_user
from gnas_serve.artifact.arrays import UNREADABLE, read_array
from gnas_serve.artifact.fresh_file import replace_file
from gnas_serve.errors import IntegrityError

_FOLDER = "metrics"
_TOLERANCE = 1e-5  # of the mean of float32 values
_HINT = "restore it, or search into another folder"
_HEADER_BYTES = 128  # of a file of ours


def metrics_path(folder: Path, name: str) -> Path:
    """Say where the metrics per user of a model lie."""
    return folder / _FOLDER / f"{name}.npy"


def has_metrics(folder: Path) -> bool:
    """Tell whether any model of a study has its metrics there."""
    return any((folder / _FOLDER).glob("*.npy"))


def save_metrics(folder: Path, name: str, users: UserMetrics, *, synced: bool = True) -> None:
    """Write the metrics per user of a model, whole or not at all.

    Parameters
    ----------
    folder
        Of the study.
    name
        Of the model.
    users
        Its metrics.
    synced
        So that they are whole after a failure of power, too.

    Raises
    ------
    OSError
        If the disk is full or not writable.
    """
    path = metrics_path(folder, name)
    found = per_user(users)
    content = _header(found.shape) + found.tobytes()  # as np.save has it, which hides a full disk in another error
    try:
        replace_file(path, content, synced=synced)
    except FileNotFoundError:  # the first of a study
        path.parent.mkdir(exist_ok=True)
        replace_file(path, content, synced=synced)


@lru_cache(maxsize=4)  # all of one study are alike: to write a header takes as long as the file
def _header(shape: tuple[int, ...]) -> bytes:
    stream = io.BytesIO()
    facts = {"descr": "<f4", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, facts)
    return stream.getvalue()


def are_lost(folder: Path, name: str, *, judged: bool) -> bool:
    """Tell whether the metrics per user of a model cannot be read: it is to be measured again.

    Their file is absent, empty, as a failure of power leaves what was not synced, or not whole. Its header and size
    alone are looked at: a study may have thousands.

    Parameters
    ----------
    folder, name
        As for :func:`save_metrics`.
    judged
        As for :func:`read_metrics`.

    Raises
    ------
    IntegrityError
        If something else stands in the place of the file, or it may not be read.
    """
    path = metrics_path(folder, name)
    if path.is_dir():
        raise IntegrityError(f"{path} is a folder", hint=_HINT)
    try:
        with path.open("rb") as stream:
            least = _least_size(stream.read(_HEADER_BYTES), 3 if judged else 2)
            return least is None or os.fstat(stream.fileno()).st_size < least
    except FileNotFoundError:
        return True
    except OSError as error:
        raise IntegrityError(f"{path} is unreadable: {error.strerror}", hint=_HINT) from error


@lru_cache(maxsize=64)  # those of one study are all alike: to parse a header takes longer than to read it
def _least_size(header: bytes, rows: int) -> int | None:
    """Say how large a file of so many metrics is by its header; None where that is none of ours."""
    stream = io.BytesIO(header)
    try:
        if np.lib.format.read_magic(stream) != (1, 0):
            return None
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except UNREADABLE:
        return None
    is_ours = dtype == np.float32 and len(shape) == 2 and shape[0] == rows
    return stream.tell() + dtype.itemsize * shape[0] * shape[1] if is_ours else None


def read_metrics(path: Path, *, judged: bool) -> UserMetrics:
    """Read the metrics per user of a model, those that a study's judge gave among them where one ``judged`` it.

    Raises
    ------
    IntegrityError
        If their file is missing or damaged.
    """
    try:
        recall, ndcg, *rest = read_array(path, (np.float32,), (3 if judged else 2, None)).astype(np.float64)
    except IntegrityError as error:
        reason = error.message.removeprefix(f"{path} ")
        again = "restore it, or run the search again, which measures it again"
        raise IntegrityError(f"{path} is missing or damaged: it {reason}", hint=again) from error
    if not all(bool(((part >= 0.0) & (part <= 1.0)).all()) for part in (recall, ndcg)):  # NaN is neither
        raise IntegrityError(f"{path} holds a value outside 0..1", hint=_HINT)
    return UserMetrics(recall, ndcg, rest[0] if rest else None)


def check_means(path: Path, users: UserMetrics, measured: Measurement) -> None:
    """Make sure that metrics per user are those of which the journal has the means.

    Raises
    ------
    IntegrityError
        If they are not.
    """
    told = ((users.recall, measured.recall), (users.ndcg, measured.ndcg), (users.quality, measured.quality))
    for part, stated in told:
        tolerance = _TOLERANCE * max(1.0, abs(stated.value))
        if not len(part) or not abs(float(part.mean()) - stated.value) <= tolerance:
            raise IntegrityError(f"{path} does not have the mean that the journal states", hint=_HINT)
