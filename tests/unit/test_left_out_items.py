"""Which items choose the content encoder and which judge it, and who is asked about them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fitted_draft import fitted_draft
from planted_checkpoint import planted_checkpoint

from gnas_export.draft import Draft
from gnas_export.judging.left_out import FOLDS, DividedItems, LeftOut, UsersWithout, Wanting, left_out, wanting


class TestDividedItems:
    @pytest.mark.parametrize("most", [1, 2, 7, 500])
    def test_half_chooses_and_the_other_half_judges(self, most: int) -> None:
        counts = np.ones(most + 3, np.int32)
        counts[[0, 2, most]] = 0
        divided = DividedItems.of(counts, 5)
        both = np.concatenate([divided.choosing, divided.judging])
        assert sorted(both.tolist()) == np.flatnonzero(counts).tolist()
        assert 0 <= len(divided.choosing) - len(divided.judging) <= 1
        assert all((np.diff(side) > 0).all() for side in (divided.choosing, divided.judging))

    def test_the_draw_is_that_of_the_seed(self) -> None:
        counts = np.ones(100, np.int32)
        sides = [DividedItems.of(counts, seed).choosing.tolist() for seed in (1, 1, 2)]
        assert sides[0] == sides[1] != sides[2]


class TestLeftOut:
    def test_each_item_is_left_out_once_and_leans_on_all_others(self) -> None:
        known, items = np.arange(2000), np.arange(0, 2000, 3)
        folds = left_out(items, known, 0)
        assert len(folds) == FOLDS
        assert sorted(np.concatenate([fold.items for fold in folds]).tolist()) == items.tolist()
        for fold in folds:
            assert sorted([*fold.items.tolist(), *fold.known.tolist()]) == known.tolist()

    def test_of_many_some_are_looked_at(self) -> None:
        folds = left_out(np.arange(2000), np.arange(2000), 0, most=50)
        assert [len(fold.items) for fold in folds] == [10] * FOLDS
        assert [len(fold.known) for fold in folds] == [1990] * FOLDS

    @pytest.mark.parametrize(("count", "lists"), [(0, []), (1, [1]), (120, [60, 60]), (310, [104, 103, 103])])
    def test_lists_of_few_items_are_no_shorter_than_need_be(self, count: int, lists: list[int]) -> None:
        assert [len(fold.items) for fold in left_out(np.arange(count), np.arange(400), 0)] == lists


@pytest.fixture(scope="module")
def draft() -> Draft:
    return fitted_draft(planted_checkpoint(num_users=300, with_features=False))


class TestWanting:
    def asked(self, draft: Draft, most: int, seed: int = 0) -> tuple[LeftOut, Wanting]:
        fold = left_out(np.arange(0, 240, 2), np.arange(240), 0)[0]
        askers = UsersWithout.of(draft.selection, folds_in=True)
        users, rng = draft.jury.users, np.random.default_rng(seed)
        found = wanting(fold, users, draft.checkpoint.valid, draft.selection, askers, most, rng)
        assert found is not None
        return fold, found

    def test_they_want_what_they_got_later_and_may_not_be_shown_what_they_had(self, draft: Draft) -> None:
        fold, found = self.asked(draft, 1000)
        valid, train = draft.checkpoint.valid.toarray() > 0, draft.checkpoint.train.toarray() > 0
        assert found.barred.any()
        for place, row in enumerate(found.users.tolist()):
            assert (found.barred[place] == train[row, fold.items]).all()
            assert (found.wanted[place] == valid[row, fold.items] & ~train[row, fold.items]).all()
        wanting_any = [row for row in draft.jury.users.tolist() if valid[row, fold.items].any()]
        assert sorted(found.users.tolist()) == wanting_any

    def test_some_of_them_are_a_draw_and_no_others_are_represented(
        self, draft: Draft, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        everybody = np.sort(self.asked(draft, 1000)[1].users)
        represented: list[Any] = []
        askers = UsersWithout
        plain = askers.represent
        monkeypatch.setattr(askers, "represent", lambda self, *given: represented.append(given) or plain(self, *given))
        rows = [self.asked(draft, 10, seed)[1].users.tolist() for seed in (0, 0, 1)]
        assert len(represented) == 30
        assert rows[0] == rows[1] != rows[2]
        assert not set(rows[0]) <= set(everybody[:20].tolist())

    def test_they_are_known_by_what_is_not_left_out(self, draft: Draft) -> None:
        fold, found = self.asked(draft, 1000)
        fit, fold_in = draft.selection, UsersWithout.of(draft.selection, folds_in=True).askers
        lost = 0
        for asker, row in zip(found.askers, found.users.tolist(), strict=True):
            past = set(fit.seen.of(row).tolist())
            assert asker.history.tolist() == sorted(past - set(fold.items.tolist()))
            lost += len(past) - len(asker.history)
            newcomer = fold_in.represent(-1, np.empty(0, np.int64), asker.history)
            assert newcomer is not None
            assert (asker.vector == newcomer.vector).all()
        assert lost > len(found.users)

    def test_where_nobody_is_folded_in_it_is_the_trained_vector(self, draft: Draft) -> None:
        past = draft.selection.seen.of(3).astype(np.int64)
        without = UsersWithout.of(draft.selection, folds_in=False)
        asker = without.represent(3, past, past[::2])
        assert asker is not None
        assert asker.history.tolist() == past[1::2].tolist()
        assert (asker.vector == draft.selection.tables.users.row(3)).all()

    @pytest.mark.parametrize("folds_in", [True, False])
    def test_who_has_nothing_else_is_not_asked(self, draft: Draft, folds_in: bool) -> None:
        past = draft.selection.seen.of(3).astype(np.int64)
        assert UsersWithout.of(draft.selection, folds_in=folds_in).represent(3, past, past) is None
