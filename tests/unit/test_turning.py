from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_checkpoint import blended_checkpoint, single_fit

from gnas_export.retrieval.fold_in import fold_in_blocks, unturned
from gnas_export.retrieval.shipped import item_counts, seen_items
from gnas_export.retrieval.tables import _BLOCK_ROWS, compress
from gnas_export.retrieval.turning import Turns, turned_back, turned_map
from gnas_search.fit import Fit
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.runtime.cold_start import FoldIn
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows


@pytest.fixture(scope="module")
def blend():
    return blended_checkpoint(num_users=80, num_items=200)


@given(st.integers(1, 40), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_lengths_and_products_are_kept(width, seed):
    rng = np.random.default_rng(seed)
    users, items = (rng.standard_normal((n, width)).astype(np.float32) for n in (7, 11))
    turns = Turns((BranchFacts("mine", "filter", width),))
    assert turns(users) @ turns(items).T == pytest.approx(users @ items.T, abs=1e-4)
    assert np.linalg.norm(turns(items), axis=1) == pytest.approx(np.linalg.norm(items, axis=1), rel=1e-5)


def test_popularity_and_the_columns_of_others_stay_as_they_are(blend):
    fit = blend.final
    turned = Turns.of(fit)(fit.item_vectors)
    kinds = [branch.facts.kind for branch in fit.branches if branch.facts.width]
    spans = EmbeddingTable(fit.item_vectors, columns=compress(fit, "fp32").items.columns).columns
    for kind, span in zip(kinds, spans, strict=True):
        assert np.array_equal(turned[:, span], fit.item_vectors[:, span]) == (kind == "popularity")
        lengths = (np.linalg.norm(vectors[:, span], axis=1) for vectors in (turned, fit.item_vectors))
        assert next(lengths) == pytest.approx(next(lengths), rel=1e-5)


def test_what_was_given_is_not_changed():
    vectors = np.ones((3, 4), np.float32)
    Turns((BranchFacts("mine", "gnn", 4),))(vectors)
    assert (vectors == 1).all()


def test_scores_of_a_falling_spectrum_are_kept_several_times_closer():
    """The few large columns of a graph filter set the step of a row, and round the many small ones away."""
    rng = np.random.default_rng(0)
    spectrum = 1.0 / np.arange(1, 257)
    users, items = (rng.standard_normal((n, 256)).astype(np.float32) for n in (50, 300))
    items *= spectrum.astype(np.float32)
    fit = single_fit(users, items)
    plain = EmbeddingTable(*quantize_rows(users)).dense() @ EmbeddingTable(*quantize_rows(items)).dense().T
    turned = compress(fit, "int8")
    errors = [
        np.abs(found - users @ items.T).mean() for found in (plain, turned.users.dense() @ turned.items.dense().T)
    ]
    assert errors[1] < errors[0] / 2


def test_every_block_of_rows_is_turned():
    vectors = np.random.default_rng(0).standard_normal((2 * _BLOCK_ROWS + 5, 3)).astype(np.float32)
    fit = single_fit(vectors[:4], vectors)
    assert compress(fit, "int8").items.dense() == pytest.approx(Turns.of(fit)(vectors), abs=0.05)


def test_newcomers_get_the_scores_that_they_got_before(blend):
    fit, seen = blend.final, seen_items(blend.seen())
    counts, facts = item_counts(seen, len(blend.items)), tuple(branch.facts for branch in fit.branches)
    scores = []
    for width in ("int8", "fp32"):
        table = compress(fit, width).items
        fold_in = FoldIn(fold_in_blocks(fit, table, seen, counts, seed=0), table, counts, facts)
        scores.append([table.score_parts(fold_in.vector(seen.of(row)), np.arange(200)) for row in range(20)])
    size = np.abs(scores[1]).max(axis=(0, 1))  # by branch
    assert (np.abs(np.subtract(*scores)).max(axis=(0, 1)) < 0.05 * size).all()


def test_maps_turned_and_back_are_the_maps():
    rng = np.random.default_rng(0)
    for width, kind in ((6, "filter"), (1, "popularity"), (1, "gnn")):
        block = rng.standard_normal((width + 1, width)).astype(np.float32)
        facts = BranchFacts("mine", kind, width)
        assert turned_back(turned_map(block, facts), facts) == pytest.approx(block, abs=1e-5)


def test_maps_of_all_branches_are_unturned_each_for_itself(blend):
    seen = seen_items(blend.seen())
    counts, fit = item_counts(seen, len(blend.items)), blend.final
    rng = np.random.default_rng(0)
    filtered, popular = fit.branches[0], next(one for one in fit.branches if one.facts.kind == "popularity")
    width = filtered.facts.width
    filtered = replace(filtered, fold_in=rng.standard_normal((width + 1, width)).astype(np.float32))
    exact = Fit((filtered, popular), 0)
    facts = tuple(branch.facts for branch in exact.branches)
    turned, plain = (
        fold_in_blocks(exact, compress(exact, width).items, seen, counts, seed=0) for width in ("int8", "fp32")
    )
    assert not np.allclose(turned, plain, atol=1e-3)
    assert unturned(turned, facts) == pytest.approx(plain, abs=1e-4)
