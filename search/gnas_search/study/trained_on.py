"""TrainedOn: of a study's data, what another study has to know to go on from the study's weights."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load_file, save

from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import FeatureTable
from gnas_search.fit import Stored, stored_csr
from gnas_search.stored_vocabulary import stored_vocabulary, vocabulary_arrays
from gnas_serve.errors import IntegrityError
from gnas_serve.vocabulary import Vocabulary

Rows = npt.NDArray[np.int64]

_NAMES = "feature_names"
_SIDES = ("users", "items")


@dataclass(frozen=True)
class TrainedOn:
    """What a study's networks were trained on.

    Attributes
    ----------
    users, items
        The vocabularies that rows of embeddings are of.
    positives : (U, I) CSR
        What the loss learned.
    features
        Names of the users' and of the items' features.
    """

    users: Vocabulary
    items: Vocabulary
    positives: sp.csr_matrix
    features: tuple[tuple[str, ...], tuple[str, ...]]

    @classmethod
    def of(cls, dataset: Dataset) -> TrainedOn:
        """Describe the data of a study."""
        names = (_names(dataset.user_features), _names(dataset.item_features))
        return cls(dataset.users, dataset.items, dataset.selection.positives, names)

    def to_bytes(self) -> bytes:
        """Give the content of a file that :meth:`load` reads."""
        arrays: dict[str, Stored] = {}
        for side in _SIDES:
            arrays |= vocabulary_arrays(side, getattr(self, side))
        arrays["positives.indptr"] = self.positives.indptr.astype(np.int64)
        arrays["positives.indices"] = self.positives.indices.astype(np.int32)
        content: bytes = save(arrays, metadata={_NAMES: json.dumps(self.features)})
        return content

    @classmethod
    def load(cls, path: Path) -> TrainedOn:
        """Read a file.

        Raises
        ------
        IntegrityError
            If it is missing or damaged. Names it.
        """
        try:
            arrays = load_file(path)
            with safe_open(path, framework="np") as opened:
                raw: Any = json.loads(opened.metadata()[_NAMES])
            users, items = (tuple(str(name) for name in names) for names in raw)
            of_users, of_items = (stored_vocabulary(arrays, side) for side in _SIDES)
            positives = stored_csr(arrays, "positives", (len(of_users), len(of_items)), None)
            return cls(of_users, of_items, positives, (users, items))
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            reason = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged: {error}"
            raise IntegrityError(f"{path} {reason}", hint="restore it, or warm-start from another study") from error

    def seen(self, held_out: sp.csr_matrix, users: Vocabulary, items: Vocabulary) -> sp.csr_matrix:
        """Give what other data holds out and was learned here: (U', I') CSR of ones.

        Parameters
        ----------
        held_out : (U', I') CSR
            Of the other data.
        users, items
            Its vocabularies.
        """
        of_users, of_items = matched(self.users, users), matched(self.items, items)
        learned = sp.csr_matrix(self.positives[of_users.theirs][:, of_items.theirs])
        asked = sp.csr_matrix(held_out[of_users.ours][:, of_items.ours])
        found = learned.multiply(asked).tocoo()
        places = (of_users.ours[found.row], of_items.ours[found.col])
        return sp.csr_matrix((np.ones(found.nnz, dtype=np.float32), places), shape=held_out.shape)


def seen_share(learned: Iterable[TrainedOn], held_out: sp.csr_matrix, users: Vocabulary, items: Vocabulary) -> float:
    """Say which share of what other data holds out was learned, whichever of several data it was learned from.

    Parameters
    ----------
    learned
        All data that weights have learned from.
    held_out, users, items
        As of :meth:`TrainedOn.seen`.
    """
    found = [one.seen(held_out, users, items) for one in learned]
    together = 0 if not found else reduce(add, found).nnz  # a pair that was learned twice counts once
    return int(together) / max(1, int(held_out.nnz))


def _names(features: FeatureTable | None) -> tuple[str, ...]:
    return () if features is None else tuple(features.names)


@dataclass(frozen=True)
class Matched:
    """Rows of the ids that two vocabularies have in common, ascending in ``ours``: (n,) each."""

    theirs: Rows
    ours: Rows


def matched(theirs: Vocabulary, ours: Vocabulary) -> Matched:
    """Find the ids that two vocabularies have in common; a whole number is the same id as its decimal text."""
    ids: Any = theirs.values if theirs.offsets is None else theirs.ids(range(len(theirs)))
    if ours.is_text and not theirs.is_text:
        ids = [str(number) for number in ids]
    found = ours.rows(ids)
    known = np.flatnonzero(found >= 0)
    rows, first = np.unique(found[known], return_index=True)  # texts and numbers ascend differently
    return Matched(known[first], rows)
