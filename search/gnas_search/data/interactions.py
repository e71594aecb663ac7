"""What a dataset is, once read: encoded logs, features, and how they were configured."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from gnas_serve.vocabulary import Vocabulary


@dataclass(frozen=True)
class DatasetConfig:
    """How to read a data folder; stored with every study and checkpoint so that `evaluate` re-derives the split.

    Attributes
    ----------
    user_column, item_column, event_column, rating_column, timestamp_column, split_column
        Names of the columns in ``interactions.*``.
    target_event
        The event to predict; None applies the rule of :class:`Interactions`.
    min_rating
        Ratings below are no positives; None takes every rating as one.
    split
        ``"auto"`` (a given ``split`` column, else temporal, else random), ``"temporal"``, ``"random"``
        or ``"leave-last-out"``.
    split_seed
        Seed of the random policy and of the halves of the validation users.
    id_type
        ``"auto"`` (as the file types them; text files: integers where every value is one), ``"integer"``
        or ``"text"``; for users and items alike.
    """

    user_column: str = "user_id"
    item_column: str = "item_id"
    event_column: str = "event"
    rating_column: str = "rating"
    timestamp_column: str = "timestamp"
    split_column: str = "split"
    target_event: str | None = None
    min_rating: float | None = None
    split: str = "auto"
    split_seed: int = 0
    id_type: str = "auto"

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        return asdict(self)

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> DatasetConfig:
        """Read the JSON form; unknown keys are refused with a ValueError."""
        unknown = set(raw) - {f.name for f in fields(cls)}
        if unknown:
            raise ValueError(f"unknown dataset setting {sorted(unknown)[0]!r}")
        return cls(**raw)


@dataclass(frozen=True)
class DataWarning:
    """Something odd in the data that does not stop the work, counted.

    Attributes
    ----------
    code
        Stable name, e.g. ``"duplicates"``.
    count
        How many rows, ids or columns.
    message
        One line for people.
    """

    code: str
    count: int
    message: str


@dataclass(frozen=True)
class FeatureTable:
    """Numeric features of the users or of the items, aligned to the rows of a vocabulary.

    Attributes
    ----------
    names : F names, e.g. ``"price"`` or ``"category=shoes"``
    values : (n, F) float32
        Numeric columns standardised (mean 0, deviation 1, missing = 0), categories as 0 / 1.
    """

    names: tuple[str, ...]
    values: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Interactions:
    """The logs of one data folder, encoded and checked; rows in file order, duplicates still in.

    Attributes
    ----------
    users, items : Vocabulary
        Every id that occurs in the logs.
    user_rows, item_rows : (n,) int32
    event_codes : (n,) int16
        Positions in ``events``.
    events
        Names of the events, ascending; ``("interaction",)`` where the data has no event column.
    target_event
        The event to predict: the configured one, else the only one present in the test part, else the only
        one present at all; where none of these decides, ``None``: every event is a target.
    timestamps : (n,) float64 or None
    ratings : (n,) float32 or None
        NaN where an interaction has none.
    parts : (n,) int8 or None
        A given split: 0 train, 1 valid, 2 test.
    item_features, user_features : FeatureTable or None
    item_titles : one display text per item row, or None
    fingerprint
        SHA-256 of the content (not of the file format).
    item_attributes : I rows, or None
        The columns of the items file as typed values, null where nothing is known.
    user_attributes : U rows, or None
        Those of the users file that many users can share.
    """

    users: Vocabulary
    items: Vocabulary
    user_rows: npt.NDArray[np.int32]
    item_rows: npt.NDArray[np.int32]
    event_codes: npt.NDArray[np.int16]
    events: tuple[str, ...]
    target_event: str | None
    timestamps: npt.NDArray[np.float64] | None
    ratings: npt.NDArray[np.float32] | None
    parts: npt.NDArray[np.int8] | None
    item_features: FeatureTable | None
    user_features: FeatureTable | None
    item_titles: tuple[str, ...] | None
    fingerprint: str
    config: DatasetConfig
    warnings: tuple[DataWarning, ...] = field(default=())
    item_attributes: pl.DataFrame | None = None
    user_attributes: pl.DataFrame | None = None
