"""Vocabularies among the arrays of a file."""

from __future__ import annotations

from typing import Any

import numpy as np

from gnas_search.fit import Stored, stored
from gnas_serve.vocabulary import Vocabulary


def vocabulary_arrays(name: str, vocabulary: Vocabulary) -> dict[str, Stored]:
    """Lay a vocabulary out by name, to be stored."""
    arrays: dict[str, Stored] = {f"{name}.ids": np.ascontiguousarray(vocabulary.values)}
    if vocabulary.offsets is not None:
        arrays[f"{name}.offsets"] = np.ascontiguousarray(vocabulary.offsets)
    return arrays


def stored_vocabulary(arrays: dict[str, Stored], name: str) -> Vocabulary:
    """Read a vocabulary that :func:`vocabulary_arrays` laid out.

    Raises
    ------
    ValueError
        If an array is not what it has to be, or they do not fit together. Names the arrays.
    """
    ids, offsets = f"{name}.ids", f"{name}.offsets"
    if offsets not in arrays:
        vocabulary = Vocabulary(stored(arrays, ids, np.int64, (None,)))
    else:
        texts = stored(arrays, ids, np.uint8, (None,))
        starts: Any = stored(arrays, offsets, np.int64, (None,))
        if not len(starts) or starts[0] != 0 or starts[-1] != len(texts) or (np.diff(starts) < 0).any():
            raise ValueError(f"{offsets} does not span {ids}")
        vocabulary = Vocabulary(texts, starts)
    try:
        vocabulary.validate()
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from error
    return vocabulary
