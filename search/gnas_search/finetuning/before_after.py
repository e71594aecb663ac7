"""What fine-tuning brought: the checkpoint before and after it, on the newest of the fresh interactions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from gnas_search.bootstrap import Interval, interval, paired_interval
from gnas_search.checkpoint import Checkpoint
from gnas_search.division import divided_users
from gnas_search.evaluate import Validation
from gnas_search.fit import Fit


@dataclass(frozen=True)
class BeforeAfter:
    """ndcg@20 of one checkpoint before and after fine-tuning, of the same users and what they had last.

    Attributes
    ----------
    users
        How many.
    old, new, gain
        The means with their intervals, and that of the change from user to user.
    """

    users: int
    old: Interval
    new: Interval
    gain: Interval

    def to_json(self) -> dict[str, Any]:
        """Give the JSON form."""
        figures = {"old": self.old, "new": self.new, "gain": self.gain}
        told = {name: {"value": each.value, "low": each.low, "high": each.high} for name, each in figures.items()}
        return {"users": self.users, "ndcg@20": told}


def newest_of(fresh: sp.csr_matrix, valid: sp.csr_matrix) -> tuple[sp.csr_matrix, sp.csr_matrix]:
    """Divide fresh interactions into those before and those in the validation part of the newer data, (U, I) both."""
    newest = sp.csr_matrix(fresh.multiply(valid))
    before = sp.csr_matrix(fresh - newest)
    for one in (before, newest):
        one.eliminate_zeros()
        one.sort_indices()
    return before, newest


def before_after(
    old: Checkpoint, made: Checkpoint, updated: Fit, newest: sp.csr_matrix, *, weights_are_new: bool, seed: int
) -> BeforeAfter | None:
    """Compare on interactions that neither knows; None where nobody has one.

    Parameters
    ----------
    old
        As it was, with the histories that it knows.
    made
        What was made of it; its ``valid`` is all that is fresh.
    updated
        Its fit as it is with those fresh interactions alone that are not ``newest``.
    newest : (U, I) CSR
        What users are asked for. Nothing else that is fresh is answered, by neither.
    weights_are_new
        Whether weights were fitted on what some users have fresh: these have no say then.
    seed
        Of the intervals.
    """
    if not newest.nnz:
        return None
    known = sp.csr_matrix(made.seen() - newest)
    known.eliminate_zeros()
    known.sort_indices()
    asked = Validation(known, newest, max_users=None, seed=0)
    if weights_are_new:
        asked = asked.subset(np.flatnonzero(~np.isin(asked.users, divided_users(made).fitting)))
        if not len(asked.users):
            return None
    before = asked.score_with(old.final.score_rows(old.seen())).ndcg
    after = asked.score_with(updated.score_rows(known)).ndcg
    gain = paired_interval(after, before, seed)
    return BeforeAfter(len(asked.users), interval(before, seed), interval(after, seed), gain)
