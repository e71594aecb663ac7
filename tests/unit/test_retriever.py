"""The retriever against a dense sum of all branches."""

import faiss
import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_artifact import ivf_bytes

from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.index import FlatIndex, IvfIndex
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.retriever import Retriever

COLUMNS = (slice(0, 5), slice(5, 6), slice(6, 9))
ITEMS, DIM, POWER = 120, 9, 0.5
NOBODY = np.empty(0, np.int64)


class World:
    """Random vectors and links, and the scores that a dense computation gives."""

    def __init__(self, seed, tables="float32"):
        rng = np.random.default_rng(seed)
        vectors = rng.standard_normal((ITEMS, DIM)).astype(np.float32)
        if tables == "int8":
            self.table = EmbeddingTable(*quantize_rows(vectors, COLUMNS), COLUMNS)
        else:
            self.table = EmbeddingTable(vectors.astype(tables), columns=COLUMNS)
        dense = np.where(rng.random((ITEMS, ITEMS)) < 0.05, rng.uniform(0.5, 4, (ITEMS, ITEMS)), 0)
        self.links = sp.csr_matrix(dense.astype(np.float32))
        self.neighbours = Neighbours(
            self.links.indptr.astype(np.int64), self.links.indices.astype(np.int32), self.links.data, POWER
        )
        self.query = rng.standard_normal(DIM).astype(np.float32)
        self.history = np.sort(rng.choice(ITEMS, 8, replace=False)).astype(np.int64)

    def parts(self):
        dense = self.table.dense().astype(np.float64)
        query = self.table.as_scored(self.query[None])[0]
        columns = [dense[:, span] @ query[span] for span in COLUMNS]
        linked = np.asarray(self.links[self.history].sum(axis=0)).ravel() / len(self.history) ** POWER
        return np.stack([*columns, linked], axis=1)

    def exact(self, count, excluded=NOBODY):
        scores = self.parts().sum(axis=1)
        scores[excluded] = -np.inf
        return np.argsort(-scores, kind="stable")[: min(count, ITEMS - len(excluded))]

    def ivf(self, vectors, nprobe=4):
        return IvfIndex(faiss.deserialize_index(np.frombuffer(ivf_bytes(vectors, lists=4), np.uint8)), nprobe)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    count=st.integers(1, ITEMS + 5),
    tables=st.sampled_from(["float32", "float16", "int8"]),
)
def test_a_flat_index_gives_the_exact_top_of_the_summed_score(seed, count, tables):
    world = World(seed, tables)
    retriever = Retriever(world.table, FlatIndex(world.table.dense()), world.neighbours)
    found = retriever.retrieve(world.query, world.history, count, world.history)
    assert found.rows.tolist() == world.exact(count, world.history).tolist()
    np.testing.assert_allclose(found.parts, world.parts()[found.rows], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found.scores, world.parts().sum(axis=1)[found.rows], rtol=1e-4, atol=1e-5)


def test_the_score_of_a_pair_is_one_number_on_every_path():
    world = World(1, "int8")
    narrow = np.random.default_rng(0).standard_normal((DIM, 3)).astype(np.float32)
    dense = world.table.dense()
    paths = (
        Retriever(world.table, FlatIndex(dense), world.neighbours),
        Retriever(world.table, world.ivf(dense), world.neighbours),
        Retriever(world.table, world.ivf(dense @ narrow), world.neighbours, narrow),
        Retriever(world.table, FlatIndex(dense @ narrow), world.neighbours, narrow),
    )
    scores = {}
    for path in paths:
        for count in (3, 40, ITEMS):
            found = path.retrieve(world.query, world.history, count, NOBODY)
            assert (np.diff(found.scores) <= 0).all()
            assert len(found.rows) == len(np.unique(found.rows)) == count
            for row, score, parts in zip(found.rows.tolist(), found.scores, found.parts, strict=True):
                assert scores.setdefault(row, (score, *parts)) == (score, *parts)
    assert len(scores) == ITEMS


def test_the_best_linked_items_are_proposed_beside_an_index_that_does_not_see_every_item():
    world = World(2)
    blind = np.zeros((DIM, 2), np.float32)
    dense = world.table.dense()
    index = world.ivf(np.random.default_rng(0).standard_normal((ITEMS, 2)).astype(np.float32))
    retriever = Retriever(world.table, index, world.neighbours, blind)
    linked = world.parts()[:, -1].copy()
    linked[world.history] = 0
    best = np.argsort(-linked, kind="stable")[:10]
    found = retriever.retrieve(world.query, world.history, 10, world.history)
    worst = found.scores[-1]
    scores = world.parts().sum(axis=1)
    assert set(best[scores[best] > worst + 1e-5]) <= set(found.rows.tolist())
    assert not set(found.rows.tolist()) & set(world.history.tolist())
    alone = Retriever(world.table, world.ivf(dense), None).retrieve(world.query, world.history, 10, world.history)
    assert alone.parts.shape == (10, len(COLUMNS))


def test_lists_that_run_dry_are_replaced_by_exact_search_over_all_branches():
    world = World(3)
    dense, narrow = world.table.dense(), np.random.default_rng(0).standard_normal((DIM, 3)).astype(np.float32)
    for retriever in (
        Retriever(world.table, world.ivf(dense, nprobe=1), world.neighbours),
        Retriever(world.table, world.ivf(dense @ narrow, nprobe=1), world.neighbours, narrow),
    ):
        found = retriever.retrieve(world.query, world.history, ITEMS - 20, NOBODY)
        assert found.rows.tolist() == world.exact(ITEMS - 20).tolist()


@pytest.mark.parametrize("history", [NOBODY, np.array([7])])
def test_a_history_without_links_scores_nothing(history):
    world = World(4)
    empty = Neighbours(np.zeros(ITEMS + 1, np.int64), np.empty(0, np.int32), np.empty(0, np.float32), POWER)
    retriever = Retriever(world.table, FlatIndex(world.table.dense()), empty)
    found = retriever.retrieve(world.query, history, 10, NOBODY)
    assert not found.parts[:, -1].any()
    assert np.array_equal(found.rows, np.argsort(-(world.table.dense() @ world.query), kind="stable")[:10])


def test_what_is_allowed_scores_along_links_as_well():
    world = World(6)
    retriever = Retriever(world.table, world.ivf(world.table.dense(), nprobe=1), world.neighbours)
    allowed = np.arange(0, ITEMS, 3)
    found = retriever.retrieve(world.query, world.history, 12, world.history, allowed)
    others = np.union1d(np.setdiff1d(np.arange(ITEMS), allowed), world.history)
    assert found.rows.tolist() == world.exact(12, others).tolist()
    np.testing.assert_allclose(found.parts, world.parts()[found.rows], rtol=1e-4, atol=1e-5)


def test_everything_excluded_is_an_empty_answer():
    world = World(5)
    retriever = Retriever(world.table, FlatIndex(world.table.dense()), world.neighbours)
    found = retriever.retrieve(world.query, world.history, 10, np.arange(ITEMS))
    assert found.rows.shape == found.scores.shape == (0,)
    assert found.parts.shape == (0, len(COLUMNS) + 1)
