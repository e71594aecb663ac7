"""What the content encoder is worth: items left out of it, which users who wanted them are to be shown first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from gnas_export.judging.left_out import LAST, DividedItems, Floats, UsersWithout, left_out, ndcg_of, wanting
from gnas_export.retrieval.content import ContentTerms, Rows, told_of
from gnas_export.retrieval.shipped import ShippedFit
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.runtime.asker import Asker
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.content_encoder import ContentEncoder, Leaning
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.told_values import TypedValue

MOST_USERS = 1000
"""Of each fold, who judge."""
_NOTHING = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class JudgedContent:
    """How users who judge were shown what they wanted, one number of each.

    Attributes
    ----------
    encoder, popularity, chance : (n,) ndcg@20
        By the encoder; by popularity as the attributes tell it; by chance.
    items
        How many were left out in all.
    list_length
        How many of them a user could be shown at once, on average.
    """

    encoder: Floats
    popularity: Floats
    chance: Floats
    items: int
    list_length: float


def judged_content(
    facts: ContentFacts,
    rival: ContentFacts,
    terms: ContentTerms,
    attributes: Attributes,
    fit: ShippedFit,
    users: Rows,
    valid: sp.csr_matrix,
    without: UsersWithout,
    seed: int,
) -> JudgedContent:
    """Have items that did not choose left out and scored by the code that serves, for users who judge.

    Parameters
    ----------
    rival
        How popularity is told by the same attributes.
    terms
        With the weights of the facts.
    """
    retriever, popularity = fit.retriever(), Popularity(fit.counts).scores
    rng = np.random.default_rng(seed)
    sums: dict[int, list[tuple[float, float, float]]] = {}
    lengths: list[int] = []
    folds = left_out(DividedItems.of(fit.counts, seed).judging, np.flatnonzero(fit.counts > 0), seed)
    for fold in folds:
        asking = wanting(fold, users, valid, fit, without, MOST_USERS, rng)
        if asking is None:
            continue
        counts = np.zeros_like(fit.counts)
        counts[fold.known] = fit.counts[fold.known]
        table, told = terms.table(fold.known), [told_of(attributes, row) for row in fold.items.tolist()]
        usable, leaning = _leaning(ContentEncoder(facts, table, counts), told)
        _, simple = _leaning(ContentEncoder(rival, table, counts), told)
        if leaning is None or simple is None:
            continue
        popular = simple.liked(lambda rows: popularity[rows], _NOTHING).scores
        for place, (asker, row) in enumerate(zip(asking.askers, asking.users.tolist(), strict=True)):
            one = leaning.liked(_scored_by(retriever, asker), asker.history).scores
            ranked = np.full((3, len(told)), LAST)
            ranked[0, usable], ranked[1, usable], ranked[2] = one, popular, rng.random(len(told))
            wanted, barred = asking.wanted[place], asking.barred[place]
            found = ndcg_of(ranked, np.tile(wanted, (3, 1)), np.tile(barred, (3, 1)))
            if not np.isnan(found).any():
                lengths.append(len(told) - int(barred.sum()))
                sums.setdefault(row, []).append((float(found[0]), float(found[1]), float(found[2])))
    means = np.array([np.mean(sums[row], axis=0) for row in sorted(sums)]).reshape(-1, 3)
    length = float(np.mean(lengths)) if lengths else 0.0
    return JudgedContent(means[:, 0], means[:, 1], means[:, 2], sum(len(fold.items) for fold in folds), length)


def _leaning(encoder: ContentEncoder, told: Sequence[Mapping[str, TypedValue]]) -> tuple[list[int], Leaning | None]:
    """Give the places of the items of which something is told that a known one has, and these together."""
    leans = [encoder.lean(one) for one in told]
    usable = [lean for lean in leans if lean is not None]
    return [place for place, lean in enumerate(leans) if lean is not None], encoder.leaning(usable) if usable else None


def _scored_by(retriever: Retriever, asker: Asker) -> Callable[[Rows], npt.NDArray[np.float32]]:
    return lambda rows: retriever.scores(asker.vector, asker.history, rows)
