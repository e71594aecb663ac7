"""Steps for newcomers: from a history, or from what they say of themselves, where that beats popularity."""

from __future__ import annotations

from dataclasses import asdict, replace

from gnas_export.draft import Draft
from gnas_export.gates import skipped
from gnas_export.judging.quality import K, not_below_popularity
from gnas_export.judging.segments import answered_strangers, choosing_users, chosen_segments, named
from gnas_export.retrieval.segments import fixed_features, segment_table
from gnas_export.steps.judgement import POPULARITY, measured_popularity
from gnas_search.bootstrap import paired_interval
from gnas_serve.artifact.segment_facts import SegmentFacts

GATE = "fold_in"
SEGMENTS = "segments"


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


def choose_segments(draft: Draft) -> None:
    """Answer those of whom nothing is known but features by what is popular among users like them, if that is better.

    Those with a history are told to the ranker as users of the same features are, unless it orders worse then.

    Given: both fits, ``fitting``, ``jury``, ``plan``, ``newcomer_metrics``.
    Result: ``segments``, both fits with what they count, ``segment_metrics``, gate ``segments`` where they ship; and
    ``plan``, without encodings where the ranker is told nothing.
    """
    _take_or_leave_segments(draft)
    _tell_ranker(draft)


def _take_or_leave_segments(draft: Draft) -> None:
    checkpoint, jury = draft.checkpoint, draft.jury
    features = fixed_features(checkpoint)
    if not any(feature.values for feature in features):
        draft.decisions.drop(SEGMENTS)
        draft.segments = SegmentFacts(features, 1.0, 1.0) if features else None
        return
    users = choosing_users(draft.fitting, len(checkpoint.items), draft.seed)
    chosen = chosen_segments(features, checkpoint, draft.selection, users)
    fact = {
        "features": {feature.name: feature.num_segments for feature in features},
        "prior": chosen.facts.prior,
        "weight": chosen.facts.weight,
        "choosing_users": chosen.users,
        "tried": list(chosen.tried),
    }
    draft.facts[SEGMENTS] = fact
    _take_segments(draft, chosen.facts)
    given = draft.decisions.given(SEGMENTS)
    if jury.too_small:
        if given is None:
            given = draft.decisions.take(SEGMENTS, POPULARITY, f"cannot be judged: {jury.too_small}")
    else:
        with draft.rehearse(draft.selection, draft.plain) as recommender:
            seen = draft.selection.seen
            found = jury.judge(answered_strangers(jury, recommender, seen, checkpoint.user_attributes))
            plain = jury.judge(answered_strangers(jury, recommender, seen, None))
        gain = paired_interval(found.ndcg, plain.ndcg, jury.seed)
        fact["against_popularity"] = asdict(gain)
        draft.measured[SEGMENTS] = draft.segment_metrics = found
        if given is None:
            figures = (
                f"ndcg@{K} {float(found.ndcg.mean()):.4f} against {float(plain.ndcg.mean()):.4f} of popularity, "
                f"{gain.value:+.4f} ({gain.low:+.4f} .. {gain.high:+.4f})"
            )
            reason = f"from features alone, {figures}, {len(jury.users)} gate users"
            given = draft.decisions.take(SEGMENTS, SEGMENTS if gain.low > 0 else POPULARITY, reason)
        if given.choice == SEGMENTS:
            draft.gates.append(not_below_popularity(jury, found, plain, SEGMENTS))
    if given.choice == POPULARITY:
        _take_segments(draft, SegmentFacts(named(features), chosen.facts.prior, chosen.facts.weight))
        draft.segment_metrics = None


def _tell_ranker(draft: Draft) -> None:
    """Judge what a ranker makes of newcomers' features: by users who bring their history, with and without them."""
    jury, judged = draft.jury, draft.newcomer_metrics
    if not draft.learned or judged is None or draft.newcomers == POPULARITY or not draft.plan.encodings:
        return
    with draft.rehearse(draft.selection, draft.shipping(draft.selection)) as recommender:
        told = jury.judge(jury.folded_in(recommender, draft.selection.seen, draft.checkpoint.user_attributes))
    gain = paired_interval(told.ndcg, judged.ndcg, jury.seed)
    draft.facts["described_newcomers"] = {"told": gain.high >= 0, "against_untold": asdict(gain)}
    if gain.high < 0:
        draft.plan = replace(draft.plan, encodings=())


def _take_segments(draft: Draft, facts: SegmentFacts) -> None:
    """Set what the manifest says of features, and what both fits count of them."""
    checkpoint, draft.segments = draft.checkpoint, facts
    for name, matrix in (("selection", checkpoint.train), ("final", checkpoint.seen())):
        table = segment_table(facts, checkpoint.user_attributes, matrix)
        setattr(draft, name, replace(getattr(draft, name), segments=table))
