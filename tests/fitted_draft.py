"""A draft of which the users are divided and the fits are as they ship, for what is chosen and judged after that."""

from __future__ import annotations

from export_runs import PROFILE

from gnas_export.decisions import Decisions
from gnas_export.draft import Draft
from gnas_export.steps.compression import compress_neighbours, compress_tables
from gnas_export.steps.users import choose_users, fit_fold_ins
from gnas_search.checkpoint import Checkpoint


def fitted_draft(checkpoint: Checkpoint) -> Draft:
    """Run the steps that fit."""
    draft = Draft(checkpoint, PROFILE, "never", 0, Decisions(PROFILE, "never"))
    for step in (choose_users, compress_neighbours, compress_tables, fit_fold_ins):
        step(draft)
    return draft
