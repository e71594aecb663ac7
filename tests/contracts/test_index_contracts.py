"""Every kind of index keeps the same promises; a new kind is tested by a three-line subclass."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_export.index import build_ivf, index_bytes, num_lists, open_ivf, probes, tune
from gnas_export.tables import Tables
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.index import FlatIndex
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.seen import SeenItems
from gnas_serve.runtime.topk import top_k

DIM = 12


def clustered(count, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((12, DIM))
    vectors = centres[rng.integers(0, 12, count)] + 0.4 * rng.standard_normal((count, DIM))
    return (vectors * rng.lognormal(0, 0.3, (count, 1))).astype(np.float32)


class IndexContract:
    """What the retriever relies on."""

    least_recall = 1.0

    def build(self, vectors):
        raise NotImplementedError

    def test_recall_against_exact_search(self):
        vectors, queries = clustered(3000), clustered(60, seed=1)
        index = self.build(vectors)
        shares = []
        for query in queries:
            exact = np.argsort(-(vectors @ query))[:50]
            shares.append(len(np.intersect1d(index.propose(query, 50, np.empty(0, np.int64)), exact)) / 50)
        assert np.mean(shares) >= self.least_recall

    def test_excluded_rows_are_never_proposed(self):
        vectors, query = clustered(500), clustered(1, seed=2)[0]
        excluded = np.sort(np.argsort(-(vectors @ query))[:40]).astype(np.int64)
        found = self.build(vectors).propose(query, 30, excluded)
        assert len(found) == 30
        assert len(np.intersect1d(found, excluded)) == 0

    def test_proposals_are_distinct_rows(self):
        vectors = clustered(500)
        found = self.build(vectors).propose(vectors[0], 100, np.empty(0, np.int64))
        assert len(np.unique(found)) == len(found) == 100
        assert found.min() >= 0
        assert found.max() < 500

    def test_the_retriever_breaks_ties_by_the_lower_row(self):
        vectors = np.repeat(clustered(40), 5, axis=0)  # every vector five times
        retriever = Retriever(EmbeddingTable(vectors), self.build(vectors))
        rows, scores = retriever.retrieve(vectors[0], len(vectors), np.empty(0, np.int64))
        for copies in rows.reshape(40, 5):
            assert np.array_equal(copies, copies[0] + np.arange(5)), "equal vectors stand together, lowest row first"
        assert (np.diff(scores) <= 0).all()
        assert sorted(rows.tolist()) == list(range(len(vectors)))

    def test_more_than_there_is(self):
        vectors = clustered(50)
        retriever = Retriever(EmbeddingTable(vectors), self.build(vectors))
        rows, _ = retriever.retrieve(vectors[0], 1000, np.arange(10, dtype=np.int64))
        assert sorted(rows.tolist()) == list(range(10, 50))

    def test_the_query_is_not_changed(self):
        vectors = clustered(100)
        query = vectors[0].copy()
        self.build(vectors).propose(query, 5, np.empty(0, np.int64))
        assert np.array_equal(query, vectors[0])


class TestFlat(IndexContract):
    def build(self, vectors):
        return FlatIndex(vectors)


class TestIvf(IndexContract):
    least_recall = 0.95

    def build(self, vectors):
        return open_ivf(index_bytes(build_ivf(vectors, seed=0)), nprobe=max(1, num_lists(len(vectors)) // 2))


KINDS = {"flat": TestFlat, "ivf": TestIvf}


def test_every_kind_of_the_manifest_has_a_contract():
    from gnas_export.decisions import CHOICES

    assert set(KINDS) == set(CHOICES["index"])


def test_equal_input_gives_equal_bytes():
    vectors = clustered(2000)
    assert np.array_equal(index_bytes(build_ivf(vectors, seed=3)), index_bytes(build_ivf(vectors, seed=3)))
    assert not np.array_equal(index_bytes(build_ivf(vectors, seed=3)), index_bytes(build_ivf(vectors, seed=4)))


def test_fewer_items_than_a_cluster_needs():
    for count in (1, 2, 7):
        vectors = clustered(count)
        found = open_ivf(index_bytes(build_ivf(vectors, seed=0)), 1).propose(vectors[0], 5, np.empty(0, np.int64))
        assert set(found.tolist()) <= set(range(count))


@pytest.fixture(scope="module")
def tuning():
    items, users = clustered(4000), clustered(50, seed=5)
    tables = Tables(EmbeddingTable(users), EmbeddingTable(items))
    raw = index_bytes(build_ivf(items, seed=0))
    return raw, tables, SeenItems(np.zeros(51, np.int64), np.empty(0, np.int32))


def test_nprobe_is_the_smallest_that_reaches_the_limit(tuning):
    raw, tables, seen = tuning
    tuned = tune(raw, tables, seen, np.arange(50), count=40, limit=0.95)
    assert tuned.recall >= 0.95
    assert tuned.curve[-1] == {"nprobe": tuned.nprobe, "recall": tuned.recall}
    assert all(point["recall"] < 0.95 for point in tuned.curve[:-1])
    assert [point["nprobe"] for point in tuned.curve] == list(probes(num_lists(4000)))[: len(tuned.curve)]


def test_dry_lists_do_not_count_as_exact(tuning):
    # More candidates than a list holds: one probed list cannot have them all.
    raw, tables, seen = tuning
    tuned = tune(raw, tables, seen, np.arange(50), count=600, limit=0.95)
    assert tuned.curve[0]["recall"] < 0.5


def test_a_miss_says_so(tuning):
    raw, tables, seen = tuning
    tuned = tune(raw, tables, seen, np.arange(50), count=40, limit=1.01)
    assert tuned.nprobe == 0
    assert len(tuned.curve) == len(probes(num_lists(4000)))


@given(st.integers(1, 300), st.integers(1, 30), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_flat_proposes_the_exact_best(count, k, seed):
    vectors, query = clustered(count, seed), clustered(1, seed + 1)[0]
    found = FlatIndex(vectors).propose(query, k, np.empty(0, np.int64))
    assert np.array_equal(found, top_k(vectors @ query, k))
