"""Outcome: what one model makes of the test part, user by user; a checkpoint by scores, an artifact by answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_search.alignment import Alignment
from gnas_search.checkpoint import Checkpoint
from gnas_search.evaluate import VALIDATION_USERS, Validation, mask_scores
from gnas_search.evidence import Evidence
from gnas_search.exam import Exam
from gnas_search.labels import RATED_LOW, LabelledPairs
from gnas_search.metrics import METRICS
from gnas_search.observation import observe
from gnas_search.pointwise import Calibration, calibrate
from gnas_search.search_objective import objective
from gnas_search.validation_measures import labelled_pairs
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.query import MAX_K, Query
from gnas_serve.runtime.recommender import Recommender

Values = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
CALIBRATED = ("log_loss", "accuracy")
MODEL, POPULARITY = "model", "popularity"
LEARNED_RANKER = "the scores of a learned ranker are comparable within one answer alone"
NOBODY_TO_CALIBRATE_ON = "the model knows no validation user whose pairs its scores could be calibrated by"
NOTHING_TO_TELL = "no test item occurs in training: there is no pair to tell the probability of"
NO_VALIDATION_FIT = (
    "an artifact holds the fit that has learned from validation, by which nothing can be calibrated: "
    "give the checkpoint it was exported from by --against"
)
_BLOCK_SCORES = 1 << 24


@dataclass(frozen=True)
class Outcome:
    """What one model makes of the test part.

    Attributes
    ----------
    evidence
        Its lists and the places of the relevant items.
    values
        Every metric that is per user, by name: (n,), NaN for users of whom it says nothing.
    calibration
        By whose scores they are of: ``"model"`` and, where it answers some users, ``"popularity"``.
    left_out
        Metrics that cannot be told of this model, each with the reason.
    """

    evidence: Evidence
    values: dict[str, Values]
    calibration: dict[str, Calibration] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def pointwise_json(self, exam: Exam) -> dict[str, Any]:
        """Say what the metrics of single pairs rest on."""
        pairs = exam.pairs
        curves = {name: {"slope": c.slope, "intercept": c.intercept} for name, c in self.calibration.items()}
        return {
            "negatives": exam.negatives,
            "pairs": len(pairs.users),
            "positive_pairs": int(pairs.labels.sum()),
            "calibration": curves,
            "left_out": self.left_out,
        }


def checkpoint_outcome(exam: Exam, checkpoint: Checkpoint) -> Outcome:
    """Rank all items by the exact scores of the final fit; train and validation items are masked.

    Users of whom the fit knows nothing are answered by popularity, as in serving. A fine-tuned one has rows of its own:
    users of the data that it does not know are answered by its popularity, items that it does not know come last.

    Raises
    ------
    DataMismatchError
        If the checkpoint was made from other data, or another split of it.
    """
    exam.check(checkpoint, "the checkpoint")
    alignment, seen = alignment_of(exam, checkpoint), checkpoint.seen()
    user_rows = alignment.user_rows(exam.test.user_rows)
    knows = user_rows >= 0
    knows[knows] = checkpoint.final.knows(seen)[user_rows[knows]]
    score_rows = checkpoint.final.score_rows(seen)
    popularity = _popularity(seen).scores

    def blocks() -> Iterator[Floats]:
        for span in _spans(exam):
            rows, mine = user_rows[span], knows[span]
            if mine.all():
                scores = score_rows(rows)  # (b, I)
            else:
                scores = np.empty((len(rows), len(popularity)), dtype=np.float32)
                scores[mine], scores[~mine] = score_rows(rows[mine]), popularity
            scores = alignment.scores(scores)
            mask_scores(scores, exam.masked[span])
            yield scores

    seen_once = observe(blocks(), exam.test.relevant, k=exam.k, pairs=exam.pairs)
    return _outcome(
        exam, seen_once.lists, seen_once.shares, seen_once.pair_scores, knows, calibrations(exam, checkpoint)
    )


def artifact_outcome(
    exam: Exam,
    recommender: Recommender,
    *,
    calibration: Mapping[str, Calibration] | None = None,
    on_user: Callable[[], None] | None = None,
) -> Outcome:
    """Ask the artifact for every test user, exactly as its doors would.

    The whole ranking that ``auc`` looks at is by the scores that retrieval orders by, exact ones where its index
    approximates. A learned ranker's candidates go before all others, in its order, as in long answers.

    Parameters
    ----------
    exam
        Checked against the artifact's data by the caller.
    recommender
        The loaded artifact.
    calibration
        From :func:`calibrations`, of the checkpoint that the artifact was exported from.
    on_user
        Called after each answer.
    """
    learned = recommender.info.ranker != "retrieval"
    alignment = alignment_of(exam, recommender)
    # A fine-tuned model may know items that have left the data, and not what users have that are new to it: neither
    # can be asked for. The others move up.
    gone = alignment.shape[1] - int(np.count_nonzero(alignment.items >= 0))
    foreign = np.where(alignment.user_rows(exam.test.user_rows) < 0, np.diff(exam.masked.indptr), 0) + gone
    least = max(exam.k, recommender.candidates) if learned else exam.k
    knows = np.zeros(exam.num_users, dtype=np.bool_)
    lists: list[npt.NDArray[np.int64]] = []

    def blocks() -> Iterator[Floats]:
        for span in _spans(exam):
            scores, knows[span] = recommender.catalogue_scores.of(exam.test.user_ids[span])
            scores = alignment.scores(scores)
            pair_span = exam.pairs.span(span.start, span.stop)
            pair_scores[pair_span] = scores[exam.pairs.users[pair_span] - span.start, exam.pairs.items[pair_span]]
            for place, row in enumerate(scores, span.start):
                others, user_id = int(foreign[place]), exam.test.user_ids[place]
                asked = min(MAX_K, max(least, exam.k + others))
                answered = exam.dataset.items.rows(recommender.recommend(Query(user_id=user_id, k=asked)).item_ids)
                if others:
                    answered = answered[(answered >= 0) & ~np.isin(answered, exam.masked[place].indices)]
                lists.append(answered[: exam.k])
                if learned:
                    _put_first(row, answered)
                if on_user is not None:
                    on_user()
            mask_scores(scores, exam.masked[span])
            yield scores

    pair_scores = np.empty(len(exam.pairs.users), dtype=np.float32)
    shares = observe(blocks(), exam.test.relevant, k=None).shares
    reason = LEARNED_RANKER if learned else NO_VALIDATION_FIT
    curves = None if learned else calibration
    return _outcome(exam, lists, shares, pair_scores, knows, curves or {}, reason)


def calibrations(exam: Exam, checkpoint: Checkpoint) -> dict[str, Calibration]:
    """Fit the curves from a checkpoint's scores to probabilities, and from popularity, on validation.

    The scores are those of the selection fit, which has not learned from validation. The final fit has the same
    settings, and its scores the same scale. All users count alike. Of a fine-tuned checkpoint, validation is what was
    fresh to it: it has learned from some of the validation part of the data.

    Returns
    -------
    dict
        ``"model"`` and ``"popularity"``; without the first where the fit knows no validation user.
    """
    train = checkpoint.train
    validation, pairs = exam.validation, exam.validation_pairs
    if checkpoint.finetuned_from is not None:
        validation, pairs = _fresh_pairs(exam, checkpoint)
    scored = observe(
        validation.score_blocks(checkpoint.selection.score_rows(train)),
        validation.relevant,
        k=None,
        ranks_all=False,
        pairs=pairs,
    ).pair_scores
    knows = checkpoint.selection.knows(train)[validation.users][pairs.users]
    popularity = _popularity(train).scores[pairs.items]
    weights = pairs.weights()
    found = {POPULARITY: calibrate(popularity, pairs.labels, weights)}
    if scored is not None and knows.any():
        found[MODEL] = calibrate(scored[knows], pairs.labels[knows], weights[knows])
    return found


def alignment_of(exam: Exam, model: Checkpoint | Recommender) -> Alignment:
    """Match the exam's rows with those of a model, which are others where it was fine-tuned on the exam's data."""
    return Alignment.of((exam.dataset.users, exam.dataset.items), (model.users, model.items))


def learned_answers(exam: Exam, model: Checkpoint | Recommender) -> tuple[int, int]:
    """Count the test interactions that a model has learned from, and all those between ids that the data knows."""
    alignment = alignment_of(exam, model)
    if isinstance(model, Checkpoint):
        seen = model.seen()
    else:
        held = model.seen
        seen = sp.csr_matrix((np.ones(len(held.items), np.float32), held.items, held.offsets), shape=alignment.shape)
    places, items = exam.test.relevant.nonzero()
    rows, columns = alignment.user_rows(exam.test.user_rows)[places], alignment.items[items]
    both = (rows >= 0) & (columns >= 0)
    return int(seen[rows[both], columns[both]].sum()), len(places)


def _fresh_pairs(exam: Exam, checkpoint: Checkpoint) -> tuple[Validation, LabelledPairs]:
    """Label what was fresh to a fine-tuned checkpoint, in its own rows, as the exam labels the test part."""
    validation = Validation(
        checkpoint.train, checkpoint.valid, max_users=VALIDATION_USERS, seed=checkpoint.config.split_seed
    )
    rejected = exam.dataset.valid_negatives if exam.negatives == RATED_LOW else None
    negatives = None if rejected is None else alignment_of(exam, checkpoint).matrix(rejected)
    return validation, labelled_pairs(validation, negatives, seed=exam.seed)


def _popularity(interactions: sp.csr_matrix) -> Popularity:
    return Popularity(np.bincount(interactions.indices, minlength=interactions.shape[1]).astype(np.int32))


def _outcome(
    exam: Exam,
    lists: list[npt.NDArray[np.int64]],
    shares: Values | None,
    pair_scores: Floats | None,
    knows: Mask,
    curves: Mapping[str, Calibration],
    reason: str = NOBODY_TO_CALIBRATE_ON,
) -> Outcome:
    reason = reason if len(exam.pairs.users) else NOTHING_TO_TELL
    used, margins = _calibrated(exam.pairs, pair_scores, knows, curves)
    evidence = Evidence(
        lists,
        exam.test.relevant,
        exam.catalogue,
        num_relevant=exam.test.num_relevant,
        shares=shares,
        pairs=exam.pairs,
        margins=margins,
    )
    names = [f"{name}@{exam.k}" for name in METRICS] + ["auc"]
    names += [] if margins is None else CALIBRATED
    names += [f"novelty@{exam.k}"]
    names += [] if exam.catalogue.features is None else [f"diversity@{exam.k}"]
    values = {name: objective(name).measure(evidence) for name in names}
    return Outcome(evidence, values, used, {} if margins is not None else dict.fromkeys(CALIBRATED, reason))


def _calibrated(
    pairs: LabelledPairs, scores: Floats | None, knows: Mask, curves: Mapping[str, Calibration]
) -> tuple[dict[str, Calibration], Values | None]:
    """Give the curves that were used and the pairs' log-odds, NaN for those of users without a curve; None of all."""
    if scores is None or not curves:
        return {}, None
    margins = np.full(len(scores), np.nan)
    used = {}
    for name, chosen in ((MODEL, knows[pairs.users]), (POPULARITY, ~knows[pairs.users])):
        if name in curves and chosen.any():
            margins[chosen] = curves[name].margins(scores[chosen])
            used[name] = curves[name]
    return used, margins if used else None


def _put_first(row: Floats, rows: npt.NDArray[np.int64]) -> None:
    """Raise the scores of some items above all others, in their order, in place."""
    top = row.max()
    step = max(np.float32(1.0), abs(top))
    row[rows] = top + step * np.arange(len(rows), 0, -1, dtype=np.float32)


def _spans(exam: Exam) -> Iterator[slice]:
    block = max(1, _BLOCK_SCORES // max(1, exam.test.relevant.shape[1]))
    for start in range(0, exam.num_users, block):
        yield slice(start, min(start + block, exam.num_users))
