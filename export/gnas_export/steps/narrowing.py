"""The step that makes narrower networks of the trained ranker."""

from __future__ import annotations

from gnas_export.draft import Draft
from gnas_export.ranker.distil import distilled, unlearned
from gnas_export.ranker.prune import pruned
from gnas_export.ranker.variants import planned, wanted, with_parents
from gnas_serve.errors import ConfigError


def narrow_ranker(draft: Draft) -> None:
    """Distil and prune the learned ranker, as the profile says; embeddings are what they were.

    Given: the teacher among ``networks``, ``lessons``, ``thoughts``.
    Result: the other ``networks``; none where a repeated decision needs none, or the teacher learned nothing and nobody
    asked for it.
    """
    if not draft.networks:
        return
    plan = draft.profile.ranker
    given = draft.decisions.given("form")
    needed = {one.name for one in wanted(plan)} if given is None else {given.choice.partition("/")[0]}
    if unknown := needed - {one.name for one in planned(plan)}:
        raise ConfigError(
            f"the decisions name the network {unknown.pop()}, which profile {draft.profile.name!r} does not have",
            hint="give the decisions.json of an artifact as it was written",
        )
    if given is None and is_not_worth_narrowing(draft):
        return
    for variant in with_parents(needed, plan):
        if variant.name in draft.networks:
            continue
        parent = draft.networks[variant.parent].ranker.network
        if _learned_nothing(draft):
            fitted = unlearned(parent, draft.lessons, variant.hidden, seed=draft.seed)
        elif variant.is_pruned:
            fitted = pruned(parent, draft.lessons, variant.hidden, seed=draft.seed)
        else:
            fitted = distilled(parent, draft.lessons, variant.hidden, seed=draft.seed, thoughts=draft.thoughts)
        draft.keep(variant.name, fitted)


def is_not_worth_narrowing(draft: Draft) -> bool:
    """Tell whether the teacher is the retriever's order, which ships without a learned ranker, and nobody insists."""
    plan = draft.profile.ranker
    return _learned_nothing(draft) and "always" not in (draft.mode, plan.distil, plan.prune)


def _learned_nothing(draft: Draft) -> bool:
    teacher = planned(draft.profile.ranker)[0].name
    return draft.networks[teacher].best_epoch == 0 and draft.thoughts is None
