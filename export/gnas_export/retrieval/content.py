"""What the content encoder can read of a catalogue: terms of its attributes, and the items that have them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_serve.artifact.content_facts import ContentColumn
from gnas_serve.artifact.kinds import NUMBER, TEXT, WORDS
from gnas_serve.runtime.attribute_columns import Column, NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.content_encoder import terms_of
from gnas_serve.runtime.content_table import ContentTable, soft_places, words_of
from gnas_serve.runtime.told_values import TypedValue
from gnas_serve.vocabulary import Vocabulary

MAX_COLUMNS = 12
"""In the order of the data, of those that two items can have in common."""
MAX_WORDS = 200_000
"""Of an attribute; those that most items have."""
NUM_KNOTS = 9
_SHARED = 2  # items that must have a term in common

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class ContentTerms:
    """The terms of I items, attribute by attribute.

    Attributes
    ----------
    columns
        All of weight 1.
    matrices : of (I, T) CSR float64
        Ones where an item has a word; of a number, how near it is to each of the two knots that it lies between.
    words
        Of each column; none of a number.
    """

    columns: tuple[ContentColumn, ...]
    matrices: tuple[sp.csr_matrix, ...]
    words: tuple[Vocabulary | None, ...]

    @classmethod
    def of(cls, attributes: Attributes | None) -> ContentTerms:
        """Read the attributes of a catalogue; no columns where there are none that two items can have in common."""
        found: list[_Read] = []
        for name, column in ({} if attributes is None else attributes.columns).items():
            read = _numbers(name, column) if isinstance(column, NumberColumn) else _texts(name, column)
            if read is not None and len(found) < MAX_COLUMNS:
                found.append(read)
        return cls(tuple(one[0] for one in found), tuple(one[1] for one in found), tuple(one[2] for one in found))

    def weighted(self, weights: Sequence[float]) -> ContentTerms:
        """Give the columns their weights, without those whose weight is 0."""
        kept = [place for place, weight in enumerate(weights) if weight > 0]
        columns = tuple(replace(self.columns[place], weight=float(weights[place])) for place in kept)
        return ContentTerms(columns, tuple(self.matrices[p] for p in kept), tuple(self.words[p] for p in kept))

    def as_stated(self, columns: Sequence[ContentColumn]) -> ContentTerms:
        """Give the columns that a manifest names, with its weights."""
        weights = {column.name: column.weight for column in columns}
        return self.weighted([weights.get(column.name, 0.0) for column in self.columns])

    def units(self, known: Rows) -> tuple[list[sp.csr_matrix], list[npt.NDArray[np.float32]]]:
        """Weigh the terms by how rare they are among known items: rows of unit length, column by column.

        Returns
        -------
        units : of (len(known), T) CSR
        rarity : of (T,) float32
            0 of terms that no known item has.
        """
        units, rarities = [], []
        for matrix in self.matrices:
            own = matrix[known]
            having = np.bincount(own.indices, minlength=own.shape[1])
            rarity = np.log1p(len(known) / np.maximum(having, 1.0))
            rarities.append(np.where(having > 0, rarity, 0.0).astype(np.float32))
            units.append(_unit(sp.csr_matrix(own @ sp.diags(rarities[-1].astype(np.float64)))))
        return units, rarities

    def table(self, known: Rows) -> ContentTable:
        """Lay out the known items by their terms, as serving reads them.

        Parameters
        ----------
        known : ascending item rows
            Which an unseen item may lean on.
        """
        units, rarities = self.units(known)
        weighted = [unit * column.weight for unit, column in zip(units, self.columns, strict=True)]
        by_term = _unit(sp.csr_matrix(sp.hstack(weighted))).tocsc()
        by_term.sort_indices()
        words = [one for one in self.words if one is not None]
        return ContentTable(
            np.concatenate([np.asarray(one.values, dtype=np.uint8) for one in words] or [np.empty(0, np.uint8)]),
            np.concatenate([np.asarray(one.offsets) for one in words] or [np.empty(0, np.int64)]),
            np.concatenate(rarities),
            by_term.indptr.astype(np.int64),
            known[by_term.indices].astype(np.int32),
            by_term.data.astype(np.float32),
        )


def _unit(matrix: sp.csr_matrix) -> sp.csr_matrix:
    """Bring rows to unit length; those of zeros stay."""
    lengths = np.sqrt(np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel())
    unit = sp.csr_matrix(sp.diags(np.divide(1.0, lengths, out=np.zeros_like(lengths), where=lengths > 0)) @ matrix)
    unit.eliminate_zeros()
    return unit


_Read = tuple[ContentColumn, sp.csr_matrix, Vocabulary | None]


def _numbers(name: str, column: NumberColumn) -> _Read | None:
    numbers = np.asarray(column.values, dtype=np.float64)
    items = np.flatnonzero(~np.isnan(numbers))
    values = np.unique(numbers[items])
    is_identifier = (name == "id" or name.endswith("_id")) and len(values) == len(items)
    if len(values) < _SHARED or is_identifier:
        return None
    ends = np.quantile(numbers[items], np.linspace(0.0, 1.0, NUM_KNOTS), method="inverted_cdf")
    knots = tuple(sorted({float(values[0]), *map(float, ends)}))
    lower, share = soft_places(numbers[items], knots)
    entries = (np.concatenate([1.0 - share, share]), (np.tile(items, 2), np.concatenate([lower, lower + 1])))
    matrix = sp.csr_matrix(entries, shape=(len(numbers), len(knots)))
    matrix.eliminate_zeros()
    return ContentColumn(name, NUMBER, 1.0, knots), matrix, None


def _texts(name: str, column: Column) -> _Read | None:
    if isinstance(column, TextColumn):
        items = np.flatnonzero(column.codes >= 0)
        codes, num_items = column.codes[items], len(column.codes)
        pieces = [words_of(str(text)) for text in column.words.ids(range(len(column.words)))]
        kind = TEXT
    elif isinstance(column, WordsColumn):
        num_items = len(column.offsets) - 1
        owners = np.repeat(np.arange(num_items), np.diff(column.offsets))
        items, codes = owners[column.codes >= 0], column.codes[column.codes >= 0]
        pieces = [terms_of([str(text)]) for text in column.words.ids(range(len(column.words)))]
        kind = WORDS
    else:
        raise TypeError(f"{name!r} is neither text nor a list of texts")
    having = sp.csr_matrix((np.ones(len(items)), (items, codes)), shape=(num_items, len(pieces)))
    known = {word: place for place, word in enumerate(sorted({word for piece in pieces for word in piece if word}))}
    texts = [place for place, piece in enumerate(pieces) for word in piece if word]
    places = [known[word] for piece in pieces for word in piece if word]
    members = sp.csr_matrix((np.ones(len(texts)), (texts, places)), shape=(len(pieces), len(known)))
    matrix = sp.csr_matrix(having @ members)
    matrix.data[:] = 1.0  # a word counts once, however many texts of a list are that word in other cases
    counts = np.bincount(matrix.indices, minlength=len(known))
    if len(known) < _SHARED or int(counts.max(initial=0)) < _SHARED:
        return None
    kept = np.sort(np.argsort(-counts, kind="stable")[:MAX_WORDS])
    listed = list(known)
    words = [listed[place] for place in kept.tolist()]
    vocabulary = Vocabulary.from_ids(words)  # of UTF-8 the order is that of the characters, which `sorted` has
    return ContentColumn(name, kind, 1.0, num_words=len(words)), matrix[:, kept], vocabulary


def told_of(attributes: Attributes, row: int) -> dict[str, TypedValue]:
    """Give what would be told of a known item, as a question tells it."""
    told: dict[str, TypedValue] = {}
    for name, column in attributes.columns.items():
        if isinstance(column, NumberColumn):
            if not np.isnan(column.values[row]):
                told[name] = float(column.values[row])
        elif isinstance(column, TextColumn):
            if column.codes[row] >= 0:
                told[name] = str(column.words.id(int(column.codes[row])))
        else:
            codes = column.codes[column.offsets[row] : column.offsets[row + 1]]
            told[name] = tuple(str(one) for one in column.words.ids(codes[codes >= 0]))
    return told
