"""Which steps have nothing to do in an export: those run all the same, and nobody is told that they do."""

from __future__ import annotations

from collections.abc import Callable

from gnas_export.draft import Draft
from gnas_export.ranker.variants import wanted
from gnas_export.steps.narrowing import is_not_worth_narrowing

RETRIEVAL = "retrieval"


def is_idle(name: str, draft: Draft) -> bool:
    """Tell whether a step will find nothing to do.

    Parameters
    ----------
    name
        Of the step, which is the next to run.
    """
    found = _IDLE.get(name)
    return found is not None and found(draft)


def _is_unwanted(draft: Draft) -> bool:
    given = draft.decisions.repeated.get("ranker")
    return draft.mode == "never" or (given is not None and given.choice == RETRIEVAL)


def _has_no_networks(draft: Draft) -> bool:
    return not draft.networks


def _has_no_links(draft: Draft) -> bool:
    return draft.checkpoint.final.two_hop is None


def _is_judged_by_nobody(draft: Draft) -> bool:
    return bool(draft.jury.too_small)


def _has_no_features(draft: Draft) -> bool:
    return draft.checkpoint.user_attributes is None


def _reads_nothing_of_items(draft: Draft) -> bool:
    return draft.checkpoint.item_attributes is None


def _has_nothing_to_narrow(draft: Draft) -> bool:
    given = draft.decisions.repeated.get("form")
    names = {one.name for one in wanted(draft.profile.ranker)} if given is None else {given.choice.partition("/")[0]}
    return not draft.networks or names <= set(draft.networks) or (given is None and is_not_worth_narrowing(draft))


def _is_weighed_by_nobody(draft: Draft) -> bool:
    return not draft.forms or bool(draft.jury.too_small)


def _times_nothing(draft: Draft) -> bool:
    return not draft.forms or "form" in draft.decisions.repeated


def _compares_nothing(draft: Draft) -> bool:
    return not draft.networks or "ranker" in draft.decisions.repeated or bool(draft.jury.too_small)


_IDLE: dict[str, Callable[[Draft], bool]] = {
    "compress_neighbours": _has_no_links,
    "train_ranker": _is_unwanted,
    "narrow_ranker": _has_nothing_to_narrow,
    "draw_forms": _has_no_networks,
    "weigh_forms": _is_weighed_by_nobody,
    "choose_form": _times_nothing,
    "choose_ranker": _compares_nothing,
    "choose_fold_in": _is_judged_by_nobody,
    "choose_segments": _has_no_features,
    "choose_content": _reads_nothing_of_items,
    "judge": _is_judged_by_nobody,
}
