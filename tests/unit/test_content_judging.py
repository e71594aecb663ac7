"""What a content encoder is said to be worth: left-out items are unknown to it, and both simple orders are beaten."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from attribute_tables import attributes_of
from fitted_draft import fitted_draft
from planted_checkpoint import planted_checkpoint

from gnas_export.draft import Draft
from gnas_export.judging.content import JudgedContent, judged_content
from gnas_export.judging.left_out import DividedItems, UsersWithout, left_out
from gnas_export.retrieval.content import ContentTerms
from gnas_export.steps import content as step
from gnas_serve.artifact.content_facts import ContentFacts


@pytest.fixture(scope="module")
def draft() -> Draft:
    return fitted_draft(planted_checkpoint(num_users=300, with_features=False))


def judged(draft: Draft, columns: dict[str, Any]) -> JudgedContent:
    attributes = attributes_of(columns)
    terms = ContentTerms.of(attributes)
    facts = ContentFacts(terms.columns, 10, 2.0, 0.5, 3.0, {})
    without = UsersWithout.of(draft.selection, folds_in=True)
    jury, rival, valid = draft.jury.users, replace(facts, own=0.0), draft.checkpoint.valid
    return judged_content(facts, rival, terms, attributes, draft.selection, jury, valid, without, 0)


def test_a_left_out_item_tells_nothing_of_itself(draft: Draft) -> None:
    # Two items that do not judge are alike; else each is like itself alone.
    alike = set(DividedItems.of(draft.selection.counts, 0).choosing[:2].tolist())
    code = [f"own{row} both" if row in alike else f"own{row}" for row in range(240)]
    assert len(judged(draft, {"code": code}).encoder) == 0


def test_its_lists_are_told(draft: Draft) -> None:
    found = judged(draft, {"kind": [f"kind{row % 5}" for row in range(240)]})
    folds = left_out(DividedItems.of(draft.selection.counts, 0).judging, np.arange(240), 0)
    assert found.items == sum(len(fold.items) for fold in folds)
    longest = max(len(fold.items) for fold in folds)
    # Users have 14 of 240 items, the same share of these; none of them is shown.
    assert 0.85 * longest < found.list_length < longest
    assert len(found.encoder) > 50


@pytest.mark.parametrize(("popularity", "chance", "better"), [(0.2, 0.1, True), (0.5, 0.1, False), (0.1, 0.5, False)])
def test_it_has_to_beat_popularity_and_chance(popularity: float, chance: float, better: bool) -> None:
    encoder = 0.4 + 0.01 * np.random.default_rng(0).normal(size=100)
    found = JudgedContent(encoder, np.full(100, popularity), np.full(100, chance), 10, 10.0)
    assert step._gain(found, 0)[1] is better
