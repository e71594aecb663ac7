"""Step for unseen items: scored by their attributes, where that shows users what they want."""

from __future__ import annotations

from dataclasses import asdict, replace

import numpy as np

from gnas_export.draft import Draft
from gnas_export.judging.content import JudgedContent, judged_content
from gnas_export.judging.content_choice import chosen_content, chosen_popularity
from gnas_export.judging.content_trials import trials
from gnas_export.judging.left_out import UsersWithout
from gnas_export.judging.quality import K
from gnas_export.retrieval.content import ContentTerms
from gnas_search.bootstrap import Interval, paired_interval
from gnas_search.division import LEAST_JUDGES
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.errors import ConfigError
from gnas_serve.plain_text import counted

CONTENT = "content"
ENCODER, NONE = "encoder", "none"
UNJUDGED = "unjudged"
"""A fact of an export without a content encoder that nobody could judge: why not."""
"""How the reason begins where nobody could say whether an encoder is any good."""
MARGIN = 0.05
"""Of the ndcg of the better of the two simple orders, by which the encoder has to be better than it."""


def choose_content(draft: Draft) -> None:
    """Score items that the catalogue does not have by those that they are like, unless that is no better than simpler.

    Given: both fits, ``fitting``, ``jury``, ``newcomers``.
    Result: ``content``, both fits with the table that is read for it; nothing where no attribute can be read, or the
    judging users are not shown what they want among left-out items better than by popularity as the attributes tell it
    and by chance. Where too few could judge, the encoder of the model before is kept, if it is given.
    """
    checkpoint, jury = draft.checkpoint, draft.jury
    terms = ContentTerms.of(checkpoint.item_attributes)
    if not terms.columns or checkpoint.item_attributes is None:
        draft.decisions.drop(CONTENT)
        draft.facts[CONTENT] = {"ships": False, "reason": "items have no attribute that two of them have in common"}
        return
    if draft.is_popularity or jury.too_small:
        _leave(draft, terms, "the model is of popularity alone" if draft.is_popularity else jury.too_small)
        return
    given = draft.decisions.given(CONTENT)
    if given is not None and given.choice == NONE:
        draft.facts[CONTENT] = {"ships": False, "reason": given.reason}
        return
    without = UsersWithout.of(draft.selection, folds_in=draft.newcomers == "fold_in")
    found = trials(terms, draft.selection, draft.fitting, checkpoint.valid, without, draft.seed)
    chosen = chosen_content(terms, found)
    if chosen.facts is None:
        _leave(draft, terms, "no user who does not judge wants an item that is left out")
        return
    read = terms.as_stated(chosen.facts.columns)
    rival = chosen_popularity(terms, chosen.facts, found)
    judged = judged_content(
        chosen.facts,
        rival,
        read,
        checkpoint.item_attributes,
        draft.selection,
        jury.users,
        checkpoint.valid,
        without,
        draft.seed,
    )
    popular = {name: getattr(rival, name) for name in ("neighbours", "power", "prior")}
    fact = {"folds": len(found), "tried": list(chosen.tried), "popularity": popular}
    if len(judged.encoder) < LEAST_JUDGES:
        _leave(draft, terms, f"{counted(len(judged.encoder), 'judging user', 'want')} an item that is left out", fact)
        return
    figures = _figures(judged)
    gain, better = _gain(judged, jury.seed)
    fact |= {"metrics": figures, "against_simpler": asdict(gain)}
    if given is None:
        shown = f"{judged.items} left-out items, {judged.list_length:.0f} to a list"
        reason = (
            f"ndcg@{K} of {shown}, {figures[f'ndcg@{K}']:.4f} against {figures[f'popularity_ndcg@{K}']:.4f} of "
            f"popularity by attributes and {figures[f'random_ndcg@{K}']:.4f} of chance, {gain.value:+.4f} "
            f"({gain.low:+.4f} .. {gain.high:+.4f}), {len(judged.encoder)} gate users"
        )
        given = draft.decisions.take(CONTENT, ENCODER if better else NONE, reason)
    if given.choice == NONE:
        draft.facts[CONTENT] = {"ships": False, "reason": given.reason, **fact}
        return
    draft.facts[CONTENT] = {"ships": True, "reason": given.reason, **fact}
    draft.content = replace(chosen.facts, metrics=figures)
    _take(draft, read)


def _leave(draft: Draft, terms: ContentTerms, why: str, fact: dict[str, object] | None = None) -> None:
    given = draft.decisions.given(CONTENT)
    if given is None or given.choice != NONE:
        if given is not None and draft.content_before is None and not draft.is_popularity:
            raise ConfigError(
                f"the decisions ship a content encoder, and here none can be judged: {why}",
                hint="give --content-from ARTIFACT, where the artifact of the decisions was made with it; or the "
                f"decision {CONTENT!r} the choice {NONE!r}",
            )
        if not draft.is_popularity and (before := _still_readable(draft.content_before, terms)) is not None:
            _keep(draft, terms.as_stated(before.columns), before, why)
            return
        fresh = "" if draft.checkpoint.finetuned_from is None else "; of a fine-tuned model those with fresh ones judge"
        given = draft.decisions.take(CONTENT, NONE, f"cannot be judged: {why}{fresh}")
    draft.facts[CONTENT] = {"ships": False, "reason": given.reason, UNJUDGED: why, **(fact or {})}


def _still_readable(before: ContentFacts | None, terms: ContentTerms) -> ContentFacts | None:
    """Leave of an encoder the attributes that there still are; None where none is."""
    here = {(column.name, column.kind) for column in terms.columns}
    kept = () if before is None else tuple(one for one in before.columns if (one.name, one.kind) in here)
    return None if before is None or not kept else replace(before, columns=kept)


def _keep(draft: Draft, read: ContentTerms, before: ContentFacts, why: str) -> None:
    reason = f"kept from version {before.kept_from}, as too few can judge another: {why}"
    draft.decisions.take(CONTENT, ENCODER, reason)
    draft.facts[CONTENT] = {"ships": True, "reason": reason, "kept_from": before.kept_from}
    draft.content = replace(before, columns=read.columns)
    _take(draft, read)


def _figures(judged: JudgedContent) -> dict[str, float]:
    return {
        f"ndcg@{K}": float(judged.encoder.mean()),
        f"popularity_ndcg@{K}": float(judged.popularity.mean()),
        f"random_ndcg@{K}": float(judged.chance.mean()),
        "users": float(len(judged.encoder)),
        "items": float(judged.items),
        "list_length": judged.list_length,
    }


def _gain(judged: JudgedContent, seed: int) -> tuple[Interval, bool]:
    """Compare with the better of the simple orders: the difference, and whether its low end is beyond the margin."""
    simple = max((judged.popularity, judged.chance), key=lambda one: float(one.mean()))
    gain = paired_interval(judged.encoder, simple, seed)
    return gain, gain.low > MARGIN * float(simple.mean())


def _take(draft: Draft, read: ContentTerms) -> None:
    for name in ("selection", "final"):
        fit = getattr(draft, name)
        setattr(draft, name, replace(fit, content=read.table(np.flatnonzero(fit.counts > 0))))
