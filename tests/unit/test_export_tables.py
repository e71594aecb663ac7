import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from planted_checkpoint import blended_checkpoint, single_fit

from gnas_export.retrieval.fold_in import fold_in_blocks
from gnas_export.retrieval.reference import exact_answers
from gnas_export.retrieval.shipped import item_counts, known_users, seen_items
from gnas_export.retrieval.tables import (
    LINKS,
    WIDTHS,
    branch_bytes,
    check_fit,
    compress,
    exact_lists,
    links,
    mean_recall,
)
from gnas_export.retrieval.turning import Turns
from gnas_search.fit import Branch, Fit
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.errors import ExportError
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.topk import top_k

FINITE = st.floats(-1e6, 1e6, width=32, allow_subnormal=False)


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=FINITE))
@settings(max_examples=100, deadline=None)
def test_int8_rows_are_right_to_half_a_step(vectors):
    fit = single_fit(vectors, vectors)
    restored, turned = compress(fit, "int8").items.dense(), Turns.of(fit)(vectors)
    steps = np.abs(turned).max(axis=1, keepdims=True) / 127
    assert (np.abs(restored - turned) <= steps * 0.5 * (1 + 1e-4) + 1e-30).all()


@given(hnp.arrays(np.float32, st.tuples(st.integers(1, 20), st.just(1)), elements=st.floats(0, 1e6, width=32)))
@settings(max_examples=50, deadline=None)
def test_one_column_keeps_its_order_in_int8(vectors):
    # Popularity is such a model: its counts must not change places.
    restored = compress(single_fit(vectors, vectors), "int8").items.dense()[:, 0]
    order = np.argsort(vectors[:, 0], kind="stable")
    assert (np.diff(restored[order]) >= -1e-6 * np.abs(restored[order][1:])).all()


def test_wider_is_closer():
    vectors = np.random.default_rng(0).standard_normal((50, 16)).astype(np.float32)
    scores = vectors @ vectors.T
    tables = [compress(single_fit(vectors, vectors), width) for width in WIDTHS]
    errors = [np.abs(found.users.dense() @ found.items.dense().T - scores).max() for found in tables]
    assert errors[0] > errors[1] > errors[2] == 0


@pytest.fixture(scope="module")
def blend():
    return blended_checkpoint()


def test_every_branch_is_stored_with_its_own_scale(blend):
    """A branch a thousand times smaller than its neighbour in the row loses nothing to it."""
    fit = blend.final
    tables = compress(fit, "int8")
    assert tables.items.scales.shape == (len(blend.items), 3)
    turned = Turns.of(fit)(fit.item_vectors)
    for span in tables.items.columns:
        steps = np.abs(turned[:, span]).max(axis=1, keepdims=True) / 127
        assert (np.abs(tables.items.dense()[:, span] - turned[:, span]) <= 0.5001 * steps).all()
    popularity = fit.branches[2].item_vectors
    assert np.allclose(tables.items.dense()[:, -1:], popularity, rtol=3e-7, atol=0)


def test_float16_cuts_off_what_it_cannot_hold():
    vectors = np.array([[1e6, -1e6, 1.0]], np.float32)
    assert compress(single_fit(vectors, vectors), "fp16").items.dense().tolist() == [[65504.0, -65504.0, 1.0]]


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_vectors_that_are_not_finite_are_refused_with_their_branch(bad, place):
    fit = blended_checkpoint(num_users=20, num_items=40).final
    fit.branches[place].item_vectors[2, 0] = bad
    with pytest.raises(ExportError, match=f"branch {fit.branches[place].facts.name}: the item vector of row 2"):
        check_fit(fit)


@pytest.mark.parametrize("side", ["user", "item"])
def test_vectors_whose_scores_do_not_fit_are_refused_with_their_row(side):
    fit = blended_checkpoint(num_users=20, num_items=40).final
    vectors = getattr(fit.branches[1], f"{side}_vectors")
    vectors[7] *= np.float32(1e17 / np.linalg.norm(vectors[7]))
    check_fit(fit)
    vectors[7] *= np.float32(100)
    with pytest.raises(ExportError, match=f"branch {fit.branches[1].facts.name}: the {side} vector of row 7 has a len"):
        check_fit(fit)


def test_a_user_who_has_everything_is_answered_nothing():
    fit = single_fit(np.ones((2, 1)), np.arange(3)[:, None])
    seen, counts = SeenItems(np.array([0, 3, 3]), np.arange(3, dtype=np.int32)), np.ones(3, np.int32)
    lists = exact_answers(fit, compress(fit, "fp32"), seen, counts, np.array([0, 1]), 2)
    assert [found.tolist() for found in lists] == [[], [2, 1]]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_links_that_are_no_weights_are_refused_with_their_branch(bad):
    fit = blended_checkpoint(num_users=20, num_items=40).final
    matrix = fit.two_hop.neighbours
    row = 17
    matrix.data[matrix.indptr[row]] = bad
    with pytest.raises(ExportError, match="branch two hops: a link of item row 17 has the weight"):
        check_fit(fit)


@pytest.mark.parametrize(("block", "said"), [(np.ones((3, 3)), "shape"), (np.full((9, 8), np.nan), "not finite")])
def test_a_fold_in_map_that_is_none_is_refused(block, said):
    vectors = np.ones((4, 8), np.float32)
    branch = Branch(BranchFacts("mine", "filter", 8), vectors, vectors, block.astype(np.float32))
    with pytest.raises(ExportError, match=f"branch mine: .*{said}"):
        check_fit(Fit((branch,), 0))


def test_links_keep_the_heaviest(blend):
    fit = blend.final
    dense = fit.two_hop.neighbours.toarray()
    pruned = links(fit, "pruned", 3)
    for row in range(len(blend.items)):
        found = pruned.items[pruned.offsets[row] : pruned.offsets[row + 1]]
        assert found.tolist() == sorted(top_k(np.where(dense[row] > 0, dense[row], -np.inf), 3).tolist())
    assert pruned.values.dtype == links(fit, "fp16").values.dtype == np.float16
    exact = links(fit, "fp32")
    assert sp.csr_matrix((exact.values, exact.items, exact.offsets), dense.shape).toarray() == pytest.approx(dense)
    assert links(single_fit(np.ones((2, 1)), np.ones((2, 1))), "fp32") is None


@given(st.integers(0, 10_000), st.integers(1, 6))
@settings(max_examples=20, deadline=None)
def test_exact_lists_are_those_of_the_fit(seed, count):
    blend = blended_checkpoint(num_users=12, num_items=40, filter_dim=6, gnn_dim=3, events_per_user=6, seed=seed)
    fit, histories = blend.final, blend.seen()
    scores = fit.score_rows(histories)(np.arange(12))
    scores[histories.toarray() > 0] = -np.inf
    found = exact_lists(compress(fit, "fp32", links(fit, "fp32")), seen_items(histories), np.arange(12), count)
    for row, rows in zip(scores, found, strict=True):
        assert row[rows] == pytest.approx(np.sort(row)[::-1][:count], rel=1e-5)


def test_exact_lists_leave_out_what_was_seen():
    fit = single_fit(np.ones((2, 1)), np.arange(6)[:, None])
    seen = SeenItems(np.array([0, 2, 2]), np.array([4, 5], np.int32))
    lists = exact_lists(compress(fit, "fp32"), seen, np.array([0, 1]), 3)
    assert [found.tolist() for found in lists] == [[3, 2, 1], [5, 4, 3]]


def test_mean_recall():
    lists = [np.array([1, 2]), np.array([3, 4])]
    assert mean_recall([np.array([2, 9]), np.array([4, 3])], lists) == 0.75
    assert mean_recall([np.array([], int)], [np.array([], int)]) == 1.0


def test_the_bytes_of_the_branches_are_those_of_the_tables(blend):
    for width in WIDTHS:
        tables = compress(blend.final, width, links(blend.final, LINKS[-1]))
        stored = [table.values.nbytes for table in (tables.users, tables.items)]
        stored += [table.scales.nbytes for table in (tables.users, tables.items) if table.scales is not None]
        stored += [
            part.nbytes for part in (tables.neighbours.offsets, tables.neighbours.items, tables.neighbours.values)
        ]
        assert sum(branch_bytes(branch, tables) for branch in blend.final.branches) == sum(stored)


def test_users_of_whom_popularity_alone_is_known_are_unknown(blend):
    fit, seen = blend.final, seen_items(blend.seen())
    assert known_users(fit, seen, np.arange(300)).all()
    nobody = SeenItems(np.zeros(301, np.int64), np.empty(0, np.int32))
    for branch in fit.branches[:2]:
        assert known_users(Fit((branch, fit.branches[2]), 0), nobody, np.arange(300)).all()
    unknown = Fit(fit.branches[2:], 0)
    assert known_users(unknown, seen, np.arange(300)).all()  # by their links
    assert not known_users(unknown, nobody, np.arange(300)).any()


def test_fold_in_keeps_exact_maps_and_constants_and_fits_the_others(blend):
    fit, seen = blend.final, seen_items(blend.seen())
    counts = item_counts(seen, len(blend.items))
    table = compress(fit, "fp32").items
    blocks = fold_in_blocks(fit, table, seen, counts, seed=0)
    facts = tuple(branch.facts for branch in fit.branches)
    fold_in = FoldIn(blocks, table, counts, facts)
    found = np.stack([fold_in.vector(seen.of(row)) for row in range(300)])
    low_pass, tastes, popularity = (found[:, span] for span in table.columns)
    assert low_pass == pytest.approx(fit.branches[0].user_vectors, abs=1e-5)
    assert (popularity == 1).all()
    # Tastes are no function of a history: what it tells of them is found.
    assert np.mean(np.sum(tastes * fit.branches[1].user_vectors, axis=1)) > 0.6


def test_fold_in_recovers_users_that_are_linear_in_their_history():
    rng = np.random.default_rng(0)
    items = rng.standard_normal((40, 6)).astype(np.float32)
    seen = SeenItems(
        np.arange(201) * 5, np.concatenate([np.sort(rng.choice(40, 5, replace=False)) for _ in range(200)])
    )
    counts = np.bincount(seen.items, minlength=40).astype(np.int32)
    table = EmbeddingTable(items)
    facts = BranchFacts("g", "gnn", 6, item_power=0.7, history_power=0.9)
    truth = FoldIn(rng.standard_normal(42).astype(np.float32), table, counts, (facts,))
    users = np.stack([truth.vector(seen.of(row)) for row in range(200)])
    blocks = fold_in_blocks(Fit((Branch(facts, users, items),), 0), table, seen, counts, seed=0)
    fitted = FoldIn(blocks, table, counts, (facts,))
    found = np.stack([fitted.vector(seen.of(row)) for row in range(200)])
    assert np.abs(found - users).max() < 0.1 * np.abs(users).max()


def test_fold_in_without_anybody_to_learn_from_is_zero():
    fit = single_fit(np.ones((2, 2)), np.ones((3, 2)))
    nobody = SeenItems(np.zeros(3, np.int64), np.empty(0, np.int32))
    blocks = fold_in_blocks(fit, compress(fit, "fp32").items, nobody, np.zeros(3, np.int32), seed=0)
    assert blocks.shape == (6,)
    assert not blocks.any()
