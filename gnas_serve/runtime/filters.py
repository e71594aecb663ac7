"""Filters: which items pass an expression over their attributes.

Logic is of three values, as in SQL: a comparison with an unknown value is unknown, so is its negation, and only what is
true passes. So no item passes of which it is not known that it may. ``is null`` alone asks for the unknown.
"""

from __future__ import annotations

import difflib
import operator as operators
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt

from gnas_serve.errors import RequestError
from gnas_serve.plain_text import listed
from gnas_serve.runtime.attribute_columns import UNKNOWN, Mask, NumberColumn, TextColumn, WordsColumn
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.filter_language import EQUAL, HAS, IN, IS_NULL, Comparison, Every, Node, Not, parse
from gnas_serve.runtime.filter_tokens import invalid_filter, shown, written
from gnas_serve.vocabulary import Vocabulary

CACHE_BYTES = 64 << 20
_MAX_CACHED = 1024
_BYTES_PER_ITEM = 8  # in one of the two arrays of a selection
_MAX_NAMED = 10
_COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    EQUAL: operators.eq,
    "<": operators.lt,
    "<=": operators.le,
    ">": operators.gt,
    ">=": operators.ge,
}


@dataclass(frozen=True)
class Selection:
    """The items divided by a filter; both arrays can only be read.

    Attributes
    ----------
    rows : int64
        Of the items that pass, ascending.
    others : int64
        Of those that do not, ascending.
    """

    rows: npt.NDArray[np.int64]
    others: npt.NDArray[np.int64]


@dataclass(frozen=True)
class _Verdict:
    """Where an expression is true and where it is false, (I,) each; it is unknown where it is neither."""

    true: Mask
    false: Mask


class Filters:
    """Filter expressions over the attributes of one artifact.

    Selections are kept, the latest used ones, as many as take some 64 MB.

    Parameters
    ----------
    attributes
        None of an artifact without any.
    num_items
        I.
    """

    def __init__(self, attributes: Attributes | None, num_items: int) -> None:
        if attributes is not None and attributes.num_items != num_items:
            raise ValueError(f"attributes of {attributes.num_items} items, there are {num_items}")
        self._attributes = attributes
        kept = CACHE_BYTES // (_BYTES_PER_ITEM * max(1, num_items))
        # Not of a bound method: a cycle, which is never freed once the collector is frozen.
        self._kept = lru_cache(maxsize=min(_MAX_CACHED, max(1, kept)))(partial(_selected, attributes))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the attributes that an expression may name."""
        return () if self._attributes is None else self._attributes.names

    @property
    def kinds(self) -> dict[str, str]:
        """Of the attributes, by name."""
        return {} if self._attributes is None else {name: one.kind for name, one in self._attributes.columns.items()}

    def select(self, expression: str) -> Selection:
        """Tell which items pass.

        Parameters
        ----------
        expression
            In the language of :mod:`gnas_serve.runtime.filter_language`.

        Raises
        ------
        RequestError
            With code ``"no_attributes"``, if the artifact has none; ``"invalid_filter"``, if the expression is none or
            compares an attribute with what is not of its kind; ``"unknown_attribute"``.
        """
        return self._kept(expression)


def _selected(attributes: Attributes | None, expression: str) -> Selection:
    if attributes is None or not attributes.columns:
        raise RequestError(
            "this model has no attributes of items to filter by",
            hint="export it from data with an items file that has columns beside the id",
            code="no_attributes",
        )
    passes = _judge(parse(expression), attributes).true
    selection = Selection(np.flatnonzero(passes), np.flatnonzero(~passes))
    selection.rows.flags.writeable = False  # one selection answers many requests
    selection.others.flags.writeable = False
    return selection


def _judge(node: Node, attributes: Attributes) -> _Verdict:
    if isinstance(node, Comparison):
        return _compare(node, attributes)
    if isinstance(node, Not):
        verdict = _judge(node.term, attributes)
        return _Verdict(verdict.false, verdict.true)
    first = _judge(node.terms[0], attributes)
    true, false = first.true.copy(), first.false.copy()
    for term in node.terms[1:]:
        verdict = _judge(term, attributes)
        if isinstance(node, Every):
            true &= verdict.true
            false |= verdict.false
        else:
            true |= verdict.true
            false &= verdict.false
    return _Verdict(true, false)


def _compare(comparison: Comparison, attributes: Attributes) -> _Verdict:
    column = attributes.columns.get(comparison.name)
    if column is None:
        raise _unknown_attribute(comparison, attributes)
    if isinstance(column, NumberColumn):
        return _compare_numbers(comparison, column)
    if isinstance(column, TextColumn):
        return _compare_texts(comparison, column)
    return _compare_words(comparison, column)


def _compare_numbers(comparison: Comparison, column: NumberColumn) -> _Verdict:
    known: Mask = ~np.isnan(column.values)
    if comparison.operator == IS_NULL:
        return _Verdict(~known, known)
    if comparison.operator == HAS:
        raise _refused(comparison, "holds one number per item: has asks lists of texts", "compare it with a number")
    if any(isinstance(value, str) for value in comparison.values):
        raise _refused(comparison, "holds numbers, not texts", "give a number, true or false, without quotes")
    numbers = np.array(comparison.values, dtype=np.float64)
    if comparison.operator == IN and len(numbers) > 1:
        true: Mask = np.isin(column.values, numbers)
    else:
        compare = _COMPARE[EQUAL if comparison.operator == IN else comparison.operator]
        true = compare(column.values, numbers[0])
    return _Verdict(true, known ^ true)


def _compare_texts(comparison: Comparison, column: TextColumn) -> _Verdict:
    known: Mask = column.codes != UNKNOWN
    if comparison.operator == IS_NULL:
        return _Verdict(~known, known)
    if comparison.operator not in {EQUAL, IN}:
        why = "has asks lists of texts" if comparison.operator == HAS else "texts are not ordered"
        raise _refused(comparison, f"holds one text per item: {why}", "compare it by ==, != or in")
    wanted = _codes(comparison, column.words)
    if len(wanted) == 1:
        true: Mask = column.codes == wanted[0]
    else:
        true = _is_wanted(column.words, wanted)[column.codes]
    return _Verdict(true, known ^ true)


def _compare_words(comparison: Comparison, column: WordsColumn) -> _Verdict:
    if comparison.operator == IS_NULL:
        unknown = column.incomplete & (np.diff(column.offsets) == 1)  # a word beside it is known
        return _Verdict(unknown, ~unknown)
    if comparison.operator not in {HAS, IN}:
        raise _refused(comparison, "holds a list of texts per item", 'ask it by has "text", or by in for any of some')
    wanted = _codes(comparison, column.words)
    if len(wanted) == 1:
        true = column.lists_with(column.codes == wanted[0])
    else:
        true = column.lists_with(_is_wanted(column.words, wanted)[column.codes])
    return _Verdict(true, ~(true | column.incomplete))


def _codes(comparison: Comparison, words: Vocabulary) -> npt.NDArray[np.int64]:
    """Give the codes of the texts that occur at all."""
    if not all(isinstance(value, str) for value in comparison.values):
        raise _refused(comparison, "holds texts, not numbers", "give a text in quotes")
    codes = words.rows([str(value) for value in comparison.values])
    return codes[codes >= 0]


def _is_wanted(words: Vocabulary, wanted: npt.NDArray[np.int64]) -> Mask:
    """Give one truth per code; the last one is of the code -1."""
    table = np.zeros(len(words) + 1, dtype=np.bool_)
    table[wanted] = True
    return table


def _refused(comparison: Comparison, why: str, hint: str) -> RequestError:
    return invalid_filter(comparison.position, f"the attribute {shown(comparison.name)} {why}", hint)


def _unknown_attribute(comparison: Comparison, attributes: Attributes) -> RequestError:
    names = sorted(attributes.names)
    nearest = difflib.get_close_matches(comparison.name, names, n=1, cutoff=0.5)
    did_you_mean = f"did you mean {written(nearest[0])}? " if nearest else ""
    return RequestError(
        f"filter, character {comparison.position}: unknown attribute {shown(comparison.name)}",
        hint=f"{did_you_mean}known: {listed(list(map(written, names)), _MAX_NAMED)}",
        code="unknown_attribute",
    )
