"""Segments of users: which values of their attributes make one, and what its users have."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.kinds import NUMBER, TEXT
from gnas_serve.artifact.segment_facts import BINS, SegmentFacts, UserFeature
from gnas_serve.runtime.attribute_columns import Column, NumberColumn, TextColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.segments import SegmentTable
from gnas_serve.runtime.told_values import Features, FeatureValue

LEAST_USERS = 20
"""Of a value that makes a segment: of fewer it says little, and their counts may say who they are."""
MAX_FEATURES = 32
MAX_VALUES = 64
"""Of a feature; the values that most users have."""
FEW_NUMBERS = 24
"""Distinct numbers, at most, that are taken for categories; more are put into ranges of about equally many users."""
NUM_BINS = 6
MAX_ITEMS = 20_000
"""Of a segment; those that its answers begin with."""
MAX_ENTRIES = 4_000_000
"""Of all segments: 32 MB."""
_PRIOR = 1000.0  # middling: it decides which items of a very long list are kept, and nothing else

Rows = npt.NDArray[np.int64]


def fixed_features(checkpoint: Checkpoint) -> tuple[UserFeature, ...]:
    """Fix the features of a checkpoint's users, by those who have an item in train.

    Returns
    -------
    tuple
        Every text and number of the users; those without values make no segment.
    """
    attributes = checkpoint.user_attributes
    if attributes is None:
        return ()
    users = np.flatnonzero(np.diff(checkpoint.train.indptr) > 0)
    features: list[UserFeature] = []
    making = 0
    for name, column in attributes.columns.items():
        feature = _fixed(name, column, users)
        if feature is None:
            continue
        if making == MAX_FEATURES:
            feature = replace(feature, values=())
        making += bool(feature.values)
        features.append(feature)
    return tuple(features)


def _fixed(name: str, column: Column, users: Rows) -> UserFeature | None:
    if isinstance(column, NumberColumn):
        numbers = np.asarray(column.values, dtype=np.float64)[users]
        numbers = numbers[~np.isnan(numbers)]
        values, counts = np.unique(numbers, return_counts=True)
        if len(values) <= FEW_NUMBERS:
            return UserFeature(name, NUMBER, tuple(values[_making(counts, len(users))].tolist()))
        # Of values that occur, so that no range is empty; where many are equal there are fewer ranges.
        ends = np.quantile(numbers, np.arange(1, NUM_BINS) / NUM_BINS, method="inverted_cdf")
        edges = sorted({float(end) for end in ends} - {float(values[0])})
        return UserFeature(name, BINS, tuple(edges) if len(numbers) >= NUM_BINS * LEAST_USERS else ())
    if isinstance(column, TextColumn):
        codes = column.codes[users]
        counts = np.bincount(codes[codes >= 0], minlength=len(column.words))
        words = column.words.ids(_making(counts, len(users)))
        return UserFeature(name, TEXT, tuple(sorted(map(str, words))))
    return None


def _making(counts: npt.NDArray[np.integer], num_users: int) -> Rows:
    """Choose the values that enough users have, in their order; what all have tells nobody apart."""
    enough = np.flatnonzero((counts >= LEAST_USERS) & (counts < num_users))
    largest = enough[np.argsort(-counts[enough], kind="stable")[:MAX_VALUES]]
    return np.sort(largest)


def segment_table(facts: SegmentFacts, attributes: Attributes | None, matrix: sp.csr_matrix) -> SegmentTable | None:
    """Count what the users of every segment have.

    Parameters
    ----------
    attributes
        Of U users.
    matrix : (U, I) CSR
        Interactions of the target event.

    Returns
    -------
    SegmentTable or None
        None where no feature makes a segment.
    """
    if attributes is None or not facts.num_segments:
        return None
    ones = np.ones(len(matrix.indices), dtype=np.int32)
    whole = sp.csr_matrix((ones, matrix.indices, matrix.indptr), shape=matrix.shape)
    found = sp.csr_matrix(_members(facts, attributes) @ whole)  # (S, I)
    found.sort_indices()
    totals = np.asarray(found.sum(axis=1, dtype=np.int64)).ravel()
    most = max(1, min(MAX_ITEMS, MAX_ENTRIES // facts.num_segments))
    counts = np.bincount(matrix.indices, minlength=matrix.shape[1]) + 1.0
    expected = counts * (_PRIOR / counts.sum())
    items, shares, lengths = [], [], []
    for start, end in zip(found.indptr, found.indptr[1:], strict=False):
        rows, own = found.indices[start:end], found.data[start:end]
        if len(rows) > most:
            heads = np.log(counts[rows]) + np.log1p(own / expected[rows])
            kept = np.sort(np.argsort(-heads, kind="stable")[:most])
            rows, own = rows[kept], own[kept]
        items.append(rows.astype(np.int32))
        shares.append(own.astype(np.int32))
        lengths.append(len(rows))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return SegmentTable(offsets, np.concatenate(items), np.concatenate(shares), totals)


def _members(facts: SegmentFacts, attributes: Attributes) -> sp.csr_matrix:
    """Say who is in which segment: (S, U) of ones."""
    segments, users = [], []
    first = 0
    for feature in facts.moving:
        places = _places(feature, attributes.columns[feature.name])
        inside = np.flatnonzero(places >= 0)
        segments.append(first + places[inside])
        users.append(inside)
        first += feature.num_segments
    rows, columns = np.concatenate(segments), np.concatenate(users)
    ones = np.ones(len(rows), dtype=np.int32)
    return sp.csr_matrix((ones, (rows, columns)), shape=(first, attributes.num_items))


def _places(feature: UserFeature, column: Column) -> Rows:
    """Give the place of every user's value among those of a feature, -1 for none: (U,)."""
    if isinstance(column, TextColumn):
        known = {str(word): place for place, word in enumerate(feature.values)}
        table = np.array([known.get(str(word), -1) for word in column.words.ids(range(len(column.words)))], np.int64)
        return np.where(column.codes >= 0, table[np.maximum(column.codes, 0)], -1)
    if not isinstance(column, NumberColumn):
        raise TypeError(f"{feature.name!r} is neither text nor number")
    numbers = np.asarray(column.values, dtype=np.float64)
    values = np.array(feature.values, dtype=np.float64)
    places = np.searchsorted(values, numbers, side="right").astype(np.int64)
    if feature.kind == BINS:
        return np.where(np.isnan(numbers), -1, places)
    found = np.maximum(places - 1, 0)
    return np.where(values[found] == numbers, found, -1)


def said_by(attributes: Attributes, user_row: int) -> Features:
    """Give what a user would say of themselves, as a question says it."""
    said: list[tuple[str, FeatureValue]] = []
    for name, column in attributes.columns.items():
        if isinstance(column, NumberColumn) and not np.isnan(column.values[user_row]):
            said.append((name, float(column.values[user_row])))
        elif isinstance(column, TextColumn) and column.codes[user_row] >= 0:
            said.append((name, str(column.words.id(int(column.codes[user_row])))))
    return tuple(said)
