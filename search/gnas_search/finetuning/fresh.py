"""Fresh: the interactions of newer data that a checkpoint has not learned from, in its own rows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from gnas_search.alignment import Alignment
from gnas_search.checkpoint import Checkpoint
from gnas_search.data.dataset import Dataset
from gnas_serve.errors import DataError, DataMismatchError
from gnas_serve.vocabulary import Vocabulary

TRAIN_ANEW = "train a new model on it: fine-tuning keeps to the users and items that the checkpoint knows"


@dataclass(frozen=True)
class Fresh:
    """Target-event interactions of train and validation of newer data; its test part is never looked at.

    Attributes
    ----------
    interactions : (U, I) CSR
        Those between users and items of the checkpoint that it does not know.
    left_out
        How many users and items the checkpoint does not know, and how many interactions are theirs.
    missing
        How many interactions the checkpoint has learned from that are in neither part: they are gone from the log, or
        the split put them into the test part.
    alignment
        Of the data in the checkpoint.
    """

    interactions: sp.csr_matrix
    left_out: dict[str, int]
    missing: int
    alignment: Alignment

    def counts(self) -> dict[str, int]:
        """Count the fresh interactions, and whose and of what they are."""
        fresh = self.interactions
        return {
            "interactions": int(fresh.nnz),
            "users": int(np.count_nonzero(np.diff(fresh.indptr))),
            "items": len(np.unique(fresh.indices)),
        }


def fresh_interactions(checkpoint: Checkpoint, dataset: Dataset) -> Fresh:
    """Find what newer data adds to what a checkpoint knows.

    Raises
    ------
    DataMismatchError
        If the data's ids are of another type, its target event is another one, or ratings are positives from another
        one on: what the checkpoint learned would not be what the fresh interactions say.
    DataError
        If there is no fresh interaction between a user and an item that the checkpoint knows.
    """
    for kind in ("users", "items"):
        _require_same_ids(kind, getattr(dataset, kind), getattr(checkpoint, kind))
    _require_same_question(checkpoint, dataset)
    alignment = Alignment.of((dataset.users, dataset.items), (checkpoint.users, checkpoint.items))
    for kind, rows in (("users", alignment.users), ("items", alignment.items)):
        if not (rows >= 0).any():
            raise DataError(
                f"the checkpoint knows none of the {len(rows)} {kind} of the data",
                hint=f"give the newer log of the same {kind}, or {TRAIN_ANEW}",
                code="nothing_known",
            )
    given = dataset.final.positives
    mapped, seen = alignment.matrix(given), checkpoint.seen()
    both = mapped.multiply(seen).tocsr()
    fresh: sp.csr_matrix = sp.csr_matrix(mapped - both)
    fresh.eliminate_zeros()
    fresh.sort_indices()
    left_out = {
        "interactions": int(given.nnz - mapped.nnz),
        "users": int(np.count_nonzero(alignment.users < 0)),
        "items": int(np.count_nonzero(alignment.items < 0)),
    }
    if fresh.nnz == 0:
        raise _nothing_fresh(left_out["interactions"])
    return Fresh(fresh, left_out, int(seen.nnz - both.nnz), alignment)


def _require_same_ids(kind: str, here: Vocabulary, there: Vocabulary) -> None:
    if here.is_text != there.is_text:
        names = {True: "text", False: "integers"}
        wanted = {True: "text", False: "integer"}[there.is_text]
        raise DataMismatchError(
            f"the ids of the {kind} are {names[here.is_text]} in the data and {names[there.is_text]} in the checkpoint",
            hint=f"read them as the checkpoint's were, with --id-type {wanted}, or give the log of the same {kind}",
        )


def _require_same_question(checkpoint: Checkpoint, dataset: Dataset) -> None:
    if dataset.target_event != checkpoint.target_event:
        here, there = (name or "every event" for name in (dataset.target_event, checkpoint.target_event))
        flag = f"read it with --target-event {there}" if checkpoint.target_event else "leave --target-event out"
        raise DataMismatchError(
            f"the checkpoint predicts {there!r}, the target event of the data is {here!r}",
            hint=f"{flag}, or train a new model for {here}",
        )
    here_rating, there_rating = dataset.config.min_rating, checkpoint.config.min_rating
    if here_rating != there_rating:
        flag = "leave --min-rating out" if there_rating is None else f"read it with --min-rating {there_rating:g}"
        raise DataMismatchError(
            f"min_rating is {there_rating} in the checkpoint and {here_rating} for the data: "
            "what counts as an interaction would have changed",
            hint=f"{flag}, or train a new model",
        )


def _nothing_fresh(left_out: int) -> DataError:
    if left_out:
        return DataError(
            f"all {left_out} interactions that the checkpoint has not learned from are of users or items that it "
            "does not know",
            hint=TRAIN_ANEW,
            code="nothing_fresh",
        )
    return DataError(
        "the checkpoint has learned from every interaction in train and validation of the data",
        hint="give the log with what came since; there is nothing to bring up to date otherwise",
        code="nothing_fresh",
    )
