"""Segments: popularity among the users who are like a newcomer, by what the newcomer says of themselves."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.artifact.arrays import read_array
from gnas_serve.artifact.kinds import NUMBER, TEXT
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.segment_facts import BINS, SegmentFacts, UserFeature
from gnas_serve.errors import FeatureError
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.told_values import Features, FeatureValue, known_names, shown, typed


@dataclass(frozen=True)
class SegmentTable:
    """What the users of each segment have.

    Attributes
    ----------
    offsets : (S + 1,) int64
        Where the items of each segment begin.
    items : (n,) int32
        Item rows, ascending within a segment.
    counts : (n,) int32
        How many of the segment's users have them.
    totals : (S,) int64
        Interactions of the segment's users, also those with items that are left out.
    """

    offsets: npt.NDArray[np.int64]
    items: npt.NDArray[np.int32]
    counts: npt.NDArray[np.int32]
    totals: npt.NDArray[np.int64]

    @classmethod
    def open(cls, path: Path, facts: SegmentFacts | None) -> SegmentTable | None:
        """Open the segments of an artifact; None where it has none.

        Raises
        ------
        IntegrityError
            If a file is missing, unreadable or of another type or shape.
        ValueError
            If offsets do not span the items.
        """
        if facts is None or not facts.num_segments:
            return None
        offsets: Any = read_array(path / LAYOUT.segment_offsets, (np.int64,), (facts.num_segments + 1,))
        items: Any = read_array(path / LAYOUT.segment_items, (np.int32,), (None,), mapped=True)
        counts: Any = read_array(path / LAYOUT.segment_counts, (np.int32,), items.shape, mapped=True)
        totals: Any = read_array(path / LAYOUT.segment_totals, (np.int64,), (facts.num_segments,))
        if offsets[0] != 0 or offsets[-1] != len(items) or (np.diff(offsets) < 0).any():
            raise ValueError(f"{LAYOUT.segment_offsets} does not span {LAYOUT.segment_items}")
        return cls(offsets, items, counts, totals)

    def stored(self) -> dict[str, npt.NDArray[np.generic]]:
        """Give the arrays by the names of their files in an artifact."""
        return {
            LAYOUT.segment_offsets: self.offsets,
            LAYOUT.segment_items: self.items,
            LAYOUT.segment_counts: self.counts,
            LAYOUT.segment_totals: self.totals,
        }

    @property
    def size_bytes(self) -> int:
        """What its arrays take."""
        return sum(array.nbytes for array in self.stored().values())

    def check_counts(self) -> None:
        """Check what type and shape cannot say of the counts.

        Raises
        ------
        ValueError
            If an item is listed that nobody has, or a segment has fewer interactions than its items.
        """
        if (self.counts < 1).any():
            raise ValueError(f"{LAYOUT.segment_counts}: an item that nobody of the segment has")
        sums = np.concatenate([[0], np.cumsum(self.counts, dtype=np.int64)])[self.offsets]
        if (np.diff(sums) > self.totals).any():
            raise ValueError(f"{LAYOUT.segment_totals}: fewer interactions than the items of a segment have")


@dataclass(frozen=True)
class _Share:
    """What one segment adds: to every item, and to those that its users have."""

    feature: str
    everywhere: float
    items: npt.NDArray[np.int32]
    lifts: npt.NDArray[np.float32]

    def of(self, row: int) -> float:
        """Give what it adds to one item."""
        place = int(np.searchsorted(self.items, row))
        is_there = place < len(self.items) and self.items[place] == row
        return self.everywhere + (float(self.lifts[place]) if is_there else 0.0)


class SegmentPopularity(Popularity):
    """The answer for somebody of whom some features are known.

    Parameters
    ----------
    everybody
        The answer without features.
    shares
        Of the segments that somebody is in.
    """

    source = "segment"

    def __init__(self, everybody: Popularity, shares: list[_Share]) -> None:
        self._everybody = everybody
        self._shares = shares
        scores = everybody.scores + np.float32(sum(share.everywhere for share in shares))
        for share in shares:
            scores[share.items] += share.lifts
        self._scores = scores

    def parts(self, row: int) -> dict[str, float]:
        """Say what the score of one item adds up from: popularity, and each feature."""
        added = {f"user_features.{share.feature}": share.of(row) for share in self._shares}
        return self._everybody.parts(row) | added


class Segments:
    """Finds the answer for somebody without a vector and a history.

    Of an item with the share ``p`` of all interactions, and ``n`` of the ``N`` interactions of a segment, the segment
    adds ``weight * log((n + prior * p) / (N + prior) / p)`` to ``log(1 + interactions)``: how much likelier its users
    have it, drawn towards everybody where the segment is small. What several features say adds up, as if each were
    independent of the others; that they are not is what a weight below 1 is for.

    Parameters
    ----------
    facts
        None where the artifact has no features.
    table
        None where no feature moves an answer.
    counts : (I,) int32
        Interactions of the target event per item.

    References
    ----------
    Zhai, C. and Lafferty, J. (2004). A study of smoothing methods for language models. ACM TOIS 22(2): the Dirichlet
    prior.
    """

    def __init__(self, facts: SegmentFacts | None, table: SegmentTable | None, counts: npt.NDArray[np.int32]) -> None:
        self.everybody = Popularity(counts)
        self._features: dict[str, _Finder] = {}
        if facts is None:
            return
        shares = [] if table is None else _shares(facts, table, counts)
        first = 0
        for feature in facts.features:
            count = feature.num_segments if shares else 0
            self._features[feature.name] = _Finder(feature, shares[first : first + count])
            first += count

    def of(self, features: Features) -> Popularity:
        """Give the answer for somebody with some features; that for everybody where these say nothing.

        Parameters
        ----------
        features
            By name. Values that the model does not know are passed over.

        Raises
        ------
        FeatureError
            With code ``"unknown_feature"``, if the model has no feature of that name; ``"wrong_type"``, if a value is
            not of its kind.
        """
        found = []
        for name, value in sorted(features, key=_name):  # sums in one order: a map of a message has none
            finder = self._features.get(name)
            if finder is None:
                raise _unknown_feature(name, self._features)
            share = finder.find(value)
            if share is not None:
                found.append(share)
        return SegmentPopularity(self.everybody, found) if found else self.everybody


class _Finder:
    """Finds the segment of a value among those of one feature."""

    def __init__(self, feature: UserFeature, shares: list[_Share]) -> None:
        self._feature = feature
        self._shares = shares
        self._kind = TEXT if feature.kind == TEXT else NUMBER
        self._places = {value: place for place, value in enumerate(feature.values)} if feature.kind != BINS else {}

    def find(self, value: FeatureValue) -> _Share | None:
        known = typed(self._kind, value, "user_features", self._feature.name)
        if known is None or not self._shares:
            return None
        if self._feature.kind == BINS:
            return self._shares[bisect_right(self._feature.values, known)]
        place = self._places.get(known)
        return None if place is None else self._shares[place]


def _shares(facts: SegmentFacts, table: SegmentTable, counts: npt.NDArray[np.int32]) -> list[_Share]:
    names = [feature.name for feature in facts.features for _ in range(feature.num_segments)]
    expected = counts + np.float64(1.0)
    expected *= facts.prior / expected.sum()  # of an item's interactions, in as many of everybody as the prior says
    lifts = (facts.weight * np.log1p(table.counts / expected[table.items])).astype(np.float32)
    everywhere = (-facts.weight * np.log1p(table.totals / facts.prior)).tolist()
    ends = table.offsets.tolist()
    return [
        _Share(name, value, table.items[start:end], lifts[start:end])
        for name, value, start, end in zip(names, everywhere, ends, ends[1:], strict=False)
    ]


def _name(pair: tuple[str, FeatureValue]) -> str:
    return pair[0]


def _unknown_feature(name: str, known: Mapping[str, object]) -> FeatureError:
    return FeatureError(
        f"user_features: {shown(name)} is no feature of this model's users",
        hint=known_names(tuple(known)) if known else "this model knows none: leave them out",
        code="unknown_feature",
    )
