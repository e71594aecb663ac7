"""Step for newcomers, who have a history but no vector: answered from it where that beats popularity."""

from __future__ import annotations

from gnas_export.draft import Draft
from gnas_export.gates import skipped
from gnas_export.judging.quality import K, not_below_popularity
from gnas_export.steps.judgement import POPULARITY, measured_popularity

GATE = "fold_in"


def choose_fold_in(draft: Draft) -> None:
    """Answer newcomers from their history, unless popularity would answer them better.

    Given: all that ships, ``selection`` with its map, ``jury``.
    Result: ``newcomers``, ``newcomer_metrics``, gate ``fold_in``.
    """
    jury = draft.jury
    given = draft.decisions.given(GATE)
    if jury.too_small:
        draft.gates.append(skipped(GATE, 0.0, jury.too_small))
        if given is None:
            draft.decisions.take(GATE, "map", f"cannot be judged: {jury.too_small}")
        elif given.choice == POPULARITY:
            draft.newcomers = POPULARITY
        return
    with draft.rehearse(draft.selection, draft.shipping(draft.selection)) as recommender:
        folded = jury.judge(jury.folded_in(recommender, draft.selection.seen))
    popularity = measured_popularity(draft)
    draft.measured[GATE] = draft.newcomer_metrics = folded
    judged = not_below_popularity(jury, folded, popularity, GATE)
    if given is None:
        # A popularity model folds every history in as popularity: there is nothing to choose between.
        better = judged.passed or draft.is_popularity
        figures = f"ndcg@{K} {float(folded.ndcg.mean()):.4f} against {float(popularity.ndcg.mean()):.4f} of popularity"
        given = draft.decisions.take(
            GATE, "map" if better else POPULARITY, f"from history alone, {figures}, {len(jury.users)} gate users"
        )
    if given.choice == POPULARITY:
        draft.newcomers, draft.newcomer_metrics = POPULARITY, popularity
        judged = not_below_popularity(jury, popularity, popularity, GATE)
    if not draft.is_popularity:
        draft.gates.append(judged)
