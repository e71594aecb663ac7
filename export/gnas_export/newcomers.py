"""Step for newcomers, who have a history but no vector: answered from it where that beats popularity."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from gnas_export.draft import Draft
from gnas_export.gates import skipped
from gnas_export.judgement import POPULARITY, measured_popularity
from gnas_export.quality import K, not_below_popularity
from gnas_export.shipped import ShippedFit

GATE = "fold_in"


def choose_fold_in(draft: Draft) -> None:
    """Answer newcomers from their history, unless popularity would answer them better.

    Given: all that ships, ``selection`` with its map, ``jury``.
    Result: ``newcomers``, gate ``fold_in``; both fits without the map where it is significantly worse than popularity.
    """
    jury = draft.jury
    given = draft.decisions.given(GATE)
    if jury.too_small:
        draft.gates.append(skipped(GATE, 0.0, jury.too_small))
        if given is None:
            draft.decisions.take(GATE, "map", f"cannot be judged: {jury.too_small}")
        elif given.choice == POPULARITY:
            _without_map(draft)
        return
    with draft.rehearse(draft.selection, draft.shipping(draft.selection)) as recommender:
        folded = jury.judge(jury.folded_in(recommender, draft.selection.seen))
    popularity = measured_popularity(draft)
    draft.measured[GATE] = draft.newcomers = folded
    judged = not_below_popularity(jury, folded, popularity, GATE)
    if given is None:
        # A popularity model folds every history in as popularity: there is nothing to choose between.
        better = judged.passed or draft.checkpoint.name == POPULARITY
        figures = f"ndcg@{K} {float(folded.ndcg.mean()):.4f} against {float(popularity.ndcg.mean()):.4f} of popularity"
        given = draft.decisions.take(
            GATE, "map" if better else POPULARITY, f"from history alone, {figures}, {len(jury.users)} gate users"
        )
    if given.choice == POPULARITY:
        _without_map(draft)
        draft.newcomers = popularity
        judged = not_below_popularity(jury, popularity, popularity, GATE)
    if draft.checkpoint.name != POPULARITY:
        draft.gates.append(judged)


def _without_map(draft: Draft) -> None:
    """Fold every history in to zeros: serving then answers by popularity, and says so."""
    for name in ("selection", "final"):
        fit: ShippedFit = getattr(draft, name)
        setattr(draft, name, replace(fit, fold_in=np.zeros_like(fit.fold_in)))
