"""How users' features became the ranker's table of users, told by the table itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gnas_search.data.features import DELIMITERS
from gnas_search.data.interactions import FeatureTable
from gnas_serve.artifact.encoding_facts import FeatureEncoding, NumberEncoding, WordsEncoding
from gnas_serve.runtime.attribute_columns import Column, NumberColumn, TextColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.user_encoding import UserEncoder

_TOLERANCE = 1e-4
_AGREEING = 0.9  # of the users who say something
_Table = npt.NDArray[np.float32]


def user_encodings(features: FeatureTable | None, attributes: Attributes | None) -> tuple[FeatureEncoding, ...]:
    """Find for every feature how its values stand in the table, so that a newcomer's can stand there likewise.

    The data was read by `train`, with users that may have left since: its means and deviations are in the table alone.
    What is found is held against all users, of whom a few may say something else since (`finetune` brings what they say
    up to date, not the table that the model has learned from); what cannot be told is left out, and stays 0.

    Parameters
    ----------
    features
        Of U users, encoded.
    attributes
        The same users' features as they are in the data; lists are none that a newcomer may give.
    """
    if features is None or attributes is None:
        return ()
    found = []
    for name, column in attributes.columns.items():
        encoding = _encoding(name, column, features)
        if encoding is not None:
            found.append(encoding)
    # Two features may claim one column, as "a" of the word "b=c" and "a=b" of the word "c" do.
    claims = Counter(column for encoding in found for column in encoding.columns)
    return tuple(encoding for encoding in found if all(claims[column] == 1 for column in encoding.columns))


def _encoding(name: str, column: Column, features: FeatureTable) -> FeatureEncoding | None:
    if isinstance(column, NumberColumn):
        return _number(name, np.asarray(column.values, dtype=np.float64), features)
    if isinstance(column, TextColumn):
        words = [(place, one.removeprefix(f"{name}=")) for place, one in enumerate(features.names) if _is_of(name, one)]
        if words and len({word for _, word in words}) == len(words):
            return _words(name, column, features.values, words)
    return None


def _is_of(name: str, column: str) -> bool:
    return column.startswith(f"{name}=")


def _number(name: str, numbers: npt.NDArray[np.float64], features: FeatureTable) -> NumberEncoding | None:
    users = np.flatnonzero(~np.isnan(numbers))
    if features.names.count(name) != 1 or not len(users):
        return None
    place = features.names.index(name)
    said, stands = numbers[users], features.values[users, place].astype(np.float64)
    low, high = float(said.min()), float(said.max())
    if not np.isfinite(high - low):
        return None
    first, slope = _line(said, stands)
    found = NumberEncoding(name, place, low, high, first, first + (high - low) * slope)
    made = found.first + (said - low) * found.slope
    agreeing = np.isclose(made, stands, rtol=_TOLERANCE, atol=_TOLERANCE)
    return found if agreeing.mean() >= _AGREEING else None


def _line(said: npt.NDArray[np.float64], stands: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Give the height at the least number, and the slope, of the line that most points are on.

    References
    ----------
    Sen, P. K. (1968). Estimates of the regression coefficient based on Kendall's tau. JASA 63(324); of the pairs those
    that are half of all points apart.
    """
    order = np.argsort(said, kind="stable")
    x, y = said[order], stands[order]
    half = (len(x) + 1) // 2
    run, rise = x[half:] - x[: len(x) - half], y[half:] - y[: len(x) - half]
    slope = float(np.median(rise[run > 0] / run[run > 0])) if (run > 0).any() else 0.0
    return float(np.median(y - (x - x[0]) * slope)), slope


def _words(name: str, column: TextColumn, table: _Table, words: Sequence[tuple[int, str]]) -> WordsEncoding | None:
    """Take the first way, in the order in which the data is read, that makes what stands in the table."""
    columns = tuple(place for place, _ in words)
    texts = [str(text) for text in column.words.ids(range(len(column.words)))]
    users = np.flatnonzero(column.codes >= 0)
    if not len(users):
        return None
    for delimiter in (None, *DELIMITERS):
        found = WordsEncoding(name, delimiter, tuple(word for _, word in words), columns)
        encoder = UserEncoder((found,), table.shape[1])
        rows = [encoder.row(((name, text),)) for text in texts]
        made = np.array([row[list(columns)] for row in rows if row is not None])
        agreeing = (made[column.codes[users]] == table[users][:, list(columns)]).all(axis=1)
        if agreeing.mean() >= _AGREEING:
            return found
    return None
