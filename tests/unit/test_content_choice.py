"""How a content encoder is chosen: what is taken of what was tried, and trials against the code that serves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest
from attribute_tables import attributes_of
from fitted_draft import fitted_draft
from planted_checkpoint import planted_checkpoint

from gnas_export.draft import Draft
from gnas_export.judging.content_choice import (
    FIRST,
    NEIGHBOURS,
    OWNS,
    POWERS,
    PRIORS,
    chosen_content,
    chosen_popularity,
    most_choices,
)
from gnas_export.judging.content_trials import Trial, trials
from gnas_export.judging.left_out import LAST, DividedItems, UsersWithout, left_out, ndcg_of
from gnas_export.retrieval.content import ContentTerms, told_of
from gnas_serve.artifact.content_facts import ContentFacts
from gnas_serve.runtime.attributes import Attributes
from gnas_serve.runtime.cold_start import Popularity
from gnas_serve.runtime.content_encoder import ContentEncoder, Lean

Worth = Callable[[tuple[float, ...], int, float, float, float], float]


class Told:
    """A trial whose figures are those of a function."""

    def __init__(self, worth: Worth) -> None:
        self.worth = worth
        self.asked: list[tuple[Any, ...]] = []

    def measured(
        self, weights: Sequence[float], neighbours: int, power: float, rest: Sequence[tuple[float, float]]
    ) -> list[float]:
        self.asked.append((tuple(weights), neighbours, power))
        return [self.worth(tuple(weights), neighbours, power, *pair) for pair in rest]


class Popular(Told):
    """One that tells popularity as well, as it is told."""

    def by_popularity(self) -> Popular:
        return self


TWO = ContentTerms.of(attributes_of({"a": ["x", "x", "y", "y"], "b": ["p", "q", "p", "q"]}))


def chosen(worth: Worth) -> tuple[ContentFacts, Told]:
    trial = Told(worth)
    facts = chosen_content(TWO, [cast(Trial, trial)]).facts
    assert facts is not None
    return facts, trial


def numbers_of(facts: ContentFacts) -> tuple[float, ...]:
    return (facts.neighbours, facts.power, facts.prior, facts.own)


def test_weights_and_numbers_are_those_of_the_best() -> None:
    best = ((4.0, 0.5), 160, 3.0, 2.0, 100.0)

    def near(*asked: Any) -> float:
        same = [*(one == other for one, other in zip(asked[0], best[0], strict=True))]
        return 0.1 * sum([*same, *(one == other for one, other in zip(asked[1:], best[1:], strict=True))]) + 0.1

    facts, trial = chosen(near)
    assert [column.weight for column in facts.columns] == [4.0, 0.5]
    assert numbers_of(facts) == best[1:]
    popular = Popular(lambda *_: 0.2)
    chosen_popularity(TWO, facts, [cast(Trial, popular)])
    assert len(trial.asked) + len(popular.asked) <= most_choices(2)


def test_numbers_are_those_that_are_best_with_the_weights_that_are_kept() -> None:
    def worth(weights: tuple[float, ...], neighbours: int, power: float, prior: float, own: float) -> float:
        if weights != (1.0, 1.0):
            return 0.5045 if weights == (2.0, 1.0) else 0.3  # a little better, not enough: and with the first numbers
        return 0.5 + 0.001 * ((neighbours == 160) + (power == 3.0) + (prior == 2.0) + (own == 100.0))

    facts, _ = chosen(worth)
    assert [column.weight for column in facts.columns] == [1.0, 1.0]
    assert numbers_of(facts) == (160, 3.0, 2.0, 100.0)


def test_what_is_worth_nothing_is_not_read() -> None:
    facts, _ = chosen(lambda weights, *_: 0.5 if weights[1] == 0 else 0.2)
    assert [(column.name, column.weight) for column in facts.columns] == [("a", 1.0)]


def test_the_first_guess_stays_where_nothing_is_better() -> None:
    facts, _ = chosen(lambda *_: 0.2)
    assert numbers_of(facts) == FIRST
    assert [column.weight for column in facts.columns] == [1.0, 1.0]


def test_all_numbers_are_tried() -> None:
    trial = Told(lambda *_: 0.2)
    tried = chosen_content(TWO, [cast(Trial, trial)]).tried
    kept = [one for one in tried if set(one["weights"].values()) == {1.0}]
    assert {(one["neighbours"], one["power"]) for one in kept} == {(n, p) for n in NEIGHBOURS for p in POWERS}
    assert {(one["prior"], one["own"]) for one in kept} == {(prior, own) for prior in PRIORS for own in OWNS}


def test_popularity_has_numbers_of_its_own_and_the_weights_of_the_encoder() -> None:
    facts, _ = chosen(lambda weights, *_: 0.5 if weights[1] == 0 else 0.2)

    def worth(weights: tuple[float, ...], neighbours: int, power: float, prior: float, own: float) -> float:
        return (weights == (1.0, 0.0)) * 0.1 + 0.1 * ((neighbours == 10) + (power == 1.0) + (prior == 2.0)) - own

    found = chosen_popularity(TWO, facts, [cast(Trial, Popular(worth))])
    assert numbers_of(found) == (10, 1.0, 2.0, 0.0)
    assert found.columns == facts.columns


def test_without_trials_nothing_is_chosen() -> None:
    assert chosen_content(TWO, []).facts is None


class TestTrial:
    WEIGHTS = (1.0, 0.5, 2.0)

    @pytest.fixture(scope="class")
    @classmethod
    def draft(cls) -> Draft:
        return fitted_draft(planted_checkpoint(num_users=200, with_features=False))

    @pytest.fixture(scope="class")
    @classmethod
    def attributes(cls) -> Attributes:
        """Give attributes of 240 items; of each tenth nothing is told."""
        rng = np.random.default_rng(3)
        told = np.arange(240) % 10 > 0
        title = [f"w{one % 7} w{one % 11}" if has else None for one, has in zip(range(240), told, strict=True)]
        price = np.where(told, rng.normal(size=240), np.nan).tolist()
        size = np.where(told & (rng.random(240) < 0.7), rng.normal(size=240), np.nan).tolist()
        return attributes_of({"title": title, "price": price, "size": size})

    @pytest.mark.parametrize("numbers", [(10, 2.0, 0.5, 3.0), (40, 1.0, 0.0, 0.0), (160, 3.0, 2.0, 30.0)])
    def test_it_lists_items_as_serving_does(
        self, draft: Draft, attributes: Attributes, numbers: tuple[int, float, float, float]
    ) -> None:
        terms, fit = ContentTerms.of(attributes), draft.selection
        read = terms.weighted(self.WEIGHTS)
        facts = ContentFacts(read.columns, *numbers, {})
        askers = UsersWithout.of(fit, folds_in=True)
        found = trials(terms, fit, draft.fitting, draft.checkpoint.valid, askers, 0)
        folds = left_out(DividedItems.of(fit.counts, 0).choosing, np.flatnonzero(fit.counts > 0), 0)
        assert len(found) == len(folds) == 2
        retriever, popular, untold = fit.retriever(), Popularity(fit.counts).scores, 0
        for trial, fold in zip(found, folds, strict=True):
            counts = np.zeros_like(fit.counts)
            counts[fold.known] = fit.counts[fold.known]
            encoder = ContentEncoder(facts, read.table(fold.known), counts)
            leans = [encoder.lean(told_of(attributes, row)) for row in fold.items.tolist()]
            leaning = encoder.leaning([lean for lean in leans if lean is not None])
            places = [place for place, lean in enumerate(leans) if lean is not None]
            untold += len(leans) - len(places)
            ((scores),) = trial.listed(self.WEIGHTS, numbers[0], numbers[1], [numbers[2:]])
            expected = np.full(scores.shape, LAST)
            for line, asker in enumerate(trial.asking.askers):

                def scored(rows: Any, asker: Any = asker) -> Any:
                    return retriever.scores(asker.vector, asker.history, rows)

                expected[line, places] = leaning.liked(scored, asker.history).scores
            # Of known items that are as like, either may be the last that counts.
            more = ContentEncoder(replace(facts, neighbours=numbers[0] + 1), read.table(fold.known), counts)
            further = [more.lean(told_of(attributes, row)) for row in fold.items.tolist()]
            clear = [not is_tied(lean, numbers[0]) for lean in further]
            assert np.mean(clear) > 0.6
            np.testing.assert_allclose(scores[:, clear], expected[:, clear], rtol=1e-4, atol=1e-5)
            ((told),) = trial.by_popularity().listed(self.WEIGHTS, numbers[0], numbers[1], [(numbers[2], 0.0)])
            expected[:, places] = leaning.liked(popular.take, np.empty(0, np.int64)).scores
            np.testing.assert_allclose(told[:, clear], expected[:, clear], rtol=1e-4, atol=1e-5)
            (measured,) = trial.measured(self.WEIGHTS, numbers[0], numbers[1], [numbers[2:]])
            assert measured == pytest.approx(np.nanmean(ndcg_of(scores, trial.asking.wanted, trial.asking.barred)))
        assert untold > 0


def is_tied(lean: Lean | None, count: int) -> bool:
    """Tell whether the item after so many is as like as the last of them."""
    return (
        lean is not None and len(lean.rows) > count and bool(np.isclose(lean.weights[count - 1], lean.weights[count]))
    )


def test_ndcg_is_that_of_what_may_be_shown() -> None:
    scores = np.array([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    wanted = np.array([[False, True, False], [False, True, False], [False, False, False]])
    barred = np.array([[False, False, False], [True, False, False], [True, False, False]])
    np.testing.assert_allclose(ndcg_of(scores, wanted, barred), [1 / np.log2(3), 1.0, np.nan])
