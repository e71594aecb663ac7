"""Paths: what the gate users get end to end, of what may ship and of what it is held against."""

from __future__ import annotations

from gnas_export.draft import Draft
from gnas_export.judging.quality import RETRIEVAL, relative_change
from gnas_export.package import PackedRanker
from gnas_export.ranker.variants import FP32, planned
from gnas_export.retrieval.shipped import ShippedFit
from gnas_export.steps.users import uncompressed
from gnas_search.evaluate import UserMetrics

UNCOMPRESSED = "uncompressed"


def teacher_form(draft: Draft) -> str:
    """Name the form that all others are held against."""
    return f"{planned(draft.profile.ranker)[0].name}/{FP32}"


def measured_path(draft: Draft, fit: ShippedFit, ranker: PackedRanker) -> UserMetrics:
    """Measure one path on the gate users, as a client would see it."""
    with draft.rehearse(fit, ranker) as recommender:
        return draft.jury.judge(draft.jury.served(recommender))


def uncompressed_path(draft: Draft) -> UserMetrics:
    """Measure exact vectors, exact search and the ranker as it was trained; once for all who ask."""
    if UNCOMPRESSED not in draft.measured:
        exact = uncompressed(draft.selection)
        draft.measured[UNCOMPRESSED] = measured_path(draft, exact, draft.packed(teacher_form(draft), exact))
    return draft.measured[UNCOMPRESSED]


def learned_reference(draft: Draft) -> tuple[UserMetrics, str]:
    """Tell what a path with the learned ranker is held against by the gate ``quality``, and what that is called.

    A ranker that was asked for though no better is held to its own uncompressed form: compression is what is judged.
    """
    if draft.mode == "always":
        return uncompressed_path(draft), "the uncompressed path with the ranker"
    if draft.reference is None:
        raise ValueError("without labels there is nothing to hold a path against")
    return draft.reference, RETRIEVAL


def lossy_forms(draft: Draft) -> set[str]:
    """Name the forms with which the whole path would breach the gate ``quality``.

    A form that loses nearly what it may of the teacher, over vectors and an index that lose a little as well, loses
    more than the path may. It is told here, while another form can be chosen, and not by the gate at the end. Without
    labels there are none.
    """
    if not draft.form_metrics or draft.reference is None:
        return set()
    reference, _ = learned_reference(draft)
    limit = draft.profile.gates.quality_loss
    changes = {name: relative_change(draft.jury, found, reference) for name, found in draft.form_metrics.items()}
    return {name for name, change in changes.items() if change.low < -limit}
