"""What feedback changes in how somebody is represented: the next vector, and nothing where there is none."""

import numpy as np
import pytest

from gnas_serve.artifact.branches import TWO_HOP, BranchFacts, spans
from gnas_serve.runtime.asker import Askers
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.neighbours import Neighbours

FILTER = BranchFacts("low-pass", "filter", 4, item_power=0.3, history_power=0.8)
LINKS = BranchFacts("links", TWO_HOP, 0)
NET = BranchFacts("net", "gnn", 3, unit_length=True)
PRIOR = BranchFacts("prior", "popularity", 1)
ITEMS = 30
PAST, NEW = np.array([2, 5, 11], np.int32), np.array([7, 20])
LATER, NOBODY = np.array([2, 5, 7, 11, 20]), np.empty(0, np.int64)


class Model:
    """Three users: of PAST by fold-in, with a vector of its own, and with zeros."""

    def __init__(self, *branches, folds_in=True, seed=0):
        rng = np.random.default_rng(seed)
        wide = [branch for branch in branches if branch.width]
        columns = spans(branches)
        items = EmbeddingTable(rng.normal(size=(ITEMS, sum(b.width for b in wide))).astype(np.float32), columns=columns)
        maps = [rng.normal(size=((b.width + 1) * b.width)).astype(np.float32) for b in wide]
        counts = rng.integers(1, 50, ITEMS).astype(np.int32)
        self.fold_in = FoldIn(np.concatenate(maps), items, counts, branches)
        own = rng.normal(size=items.dim).astype(np.float32)
        for branch, span in zip(wide, columns, strict=True):
            if branch.unit_length:
                own[span] /= np.linalg.norm(own[span])
        self.vectors = np.stack([self.fold_in.vector(PAST), own, np.zeros(items.dim, np.float32)])
        links = None
        if LINKS in branches:
            links = Neighbours(np.arange(ITEMS + 1), np.roll(np.arange(ITEMS, dtype=np.int32), 1), np.ones(ITEMS), 0.5)
        self.askers = Askers(
            branches, EmbeddingTable(self.vectors, columns=columns), self.fold_in, links, folds_in=folds_in
        )


@pytest.mark.parametrize("branches", [(FILTER,), (FILTER, LINKS, PRIOR), (FILTER, NET)])
def test_where_fold_in_is_exact_so_is_the_moved_vector(branches):
    model = Model(*branches)
    asker = model.askers.represent(0, PAST, NOBODY, NEW)
    np.testing.assert_allclose(asker.vector, model.fold_in.vector(LATER), atol=1e-5)
    assert (asker.history.tolist(), asker.source) == (LATER.tolist(), "user")


def test_a_trained_vector_keeps_what_it_says_beyond_its_history():
    model = Model(FILTER)
    asker = model.askers.represent(1, PAST, NOBODY, NEW)
    moved = asker.vector - model.vectors[1]
    np.testing.assert_allclose(moved, model.fold_in.vector(LATER) - model.fold_in.vector(PAST), atol=1e-5)
    assert np.linalg.norm(moved) > 0.01


def test_vectors_of_unit_length_stay_so():
    model = Model(FILTER, NET)
    asker = model.askers.represent(1, PAST, NOBODY, NEW)
    assert np.linalg.norm(asker.vector[4:]) == pytest.approx(1.0, abs=1e-6)
    assert not np.allclose(asker.vector[4:], model.vectors[1, 4:])


@pytest.mark.parametrize("recent", [NOBODY, PAST.astype(np.int64), PAST[:2].astype(np.int64)])
@pytest.mark.parametrize("user", [0, 1, 2])
def test_nothing_new_changes_nothing_to_the_last_bit(recent, user):
    model = Model(FILTER, LINKS, NET, PRIOR)
    past = PAST if user < 2 else PAST[:0]
    if user == 2:
        recent = NOBODY
    plain = model.askers.represent(user, past, NEW)
    told = model.askers.represent(user, past, NEW, recent)
    assert plain.vector.tobytes() == told.vector.tobytes()
    assert (plain.history.tolist(), plain.source) == (told.history.tolist(), told.source)


def test_a_newcomer_is_folded_in_from_feedback_and_request_together():
    model = Model(FILTER, LINKS)
    alone = model.askers.represent(-1, PAST[:0], NOBODY, NEW)
    assert (alone.source, alone.history.tolist()) == ("fold_in", NEW.tolist())
    np.testing.assert_array_equal(alone.vector, model.fold_in.vector(NEW))
    both = model.askers.represent(-1, PAST[:0], PAST.astype(np.int64), NEW)
    np.testing.assert_array_equal(both.vector, model.fold_in.vector(LATER))
    assert model.askers.represent(-1, PAST[:0], NOBODY) is None


def test_a_user_without_a_vector_of_their_own_is_a_newcomer():
    model = Model(FILTER)
    asker = model.askers.represent(2, PAST[:0], NOBODY, NEW)
    assert asker.source == "fold_in"
    np.testing.assert_array_equal(asker.vector, model.fold_in.vector(NEW))


def test_where_fold_in_is_not_trusted_the_links_alone_follow():
    model = Model(FILTER, LINKS, folds_in=False)
    asker = model.askers.represent(0, PAST, NOBODY, NEW)
    np.testing.assert_array_equal(asker.vector, model.vectors[0])
    assert asker.history.tolist() == LATER.tolist()
    assert model.askers.represent(-1, PAST[:0], NOBODY, NEW) is None
