"""What attributes of items cost an export: their terms, laid out as they will be, and choices, timed on one fold."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from gnas_export.draft import Draft
from gnas_export.forecast.meter import seconds_of
from gnas_export.judging.content import MOST_USERS
from gnas_export.judging.content_choice import FIRST, most_choices
from gnas_export.judging.content_trials import MOST_USERS as MOST_WHO_CHOOSE
from gnas_export.judging.content_trials import trials
from gnas_export.judging.left_out import FOLDS, UsersWithout
from gnas_export.retrieval.content import ContentTerms


@dataclass(frozen=True)
class ContentCosts:
    """Seconds of the step, and bytes of what ships if it does; none of data whose items tell nothing."""

    seconds: float = 0.0
    size_bytes: int = 0

    @classmethod
    def of(cls, draft: Draft, judges: int) -> ContentCosts:
        """Lay out the terms, and weigh one choice with the users who choose.

        Parameters
        ----------
        draft
            With both fits and ``fitting``.
        judges
            How many users judge.
        """
        start = time.perf_counter()
        terms = ContentTerms.of(draft.checkpoint.item_attributes)
        if not terms.columns:
            return cls()
        read_s = time.perf_counter() - start
        if draft.is_popularity or not judges:
            return cls(read_s)
        known, selection = np.flatnonzero(draft.final.counts > 0), draft.selection
        table = terms.table(known)
        table_s = seconds_of(lambda: terms.table(known), repeats=1)
        without = UsersWithout.of(selection, folds_in=draft.newcomers == "fold_in")
        start = time.perf_counter()
        found = trials(terms, selection, draft.fitting, draft.checkpoint.valid, without, draft.seed)
        tried_s = time.perf_counter() - start
        choice_s = 0.0
        if found:
            weights, (neighbours, power, prior, own) = [1.0] * len(terms.columns), FIRST
            fold_s = seconds_of(lambda: found[0].measured(weights, neighbours, power, [(prior, own)]), repeats=2)
            choice_s = len(found) * fold_s
        # Who judges is scored, fold by fold, as who chooses is.
        asking_s = tried_s * min(judges, MOST_USERS) / max(1, min(len(draft.fitting), MOST_WHO_CHOOSE))
        seconds = read_s + (FOLDS + 2) * table_s + tried_s + most_choices(len(terms.columns)) * choice_s + asking_s
        return cls(seconds, table.size_bytes)
