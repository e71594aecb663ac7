"""Every kind of index keeps the same promises; a new kind is tested by a three-line subclass."""

from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted_checkpoint import blended_checkpoint

from gnas_export.retrieval.index import (
    MAX_DRY,
    REFINES,
    RecallLimits,
    build_ivf,
    build_lists,
    build_pq,
    index_bytes,
    num_lists,
    num_scanned_lists,
    open_ivf,
    probes,
    tune,
)
from gnas_export.retrieval.projection import best_projection, padding
from gnas_export.retrieval.shipped import seen_items
from gnas_export.retrieval.tables import compress, exact_lists, links
from gnas_serve import kernels
from gnas_serve.artifact.manifest import INDEX_KINDS
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.index import FlatIndex
from gnas_serve.runtime.opened_index import flat_index
from gnas_serve.runtime.retriever import Retriever
from gnas_serve.runtime.scan import ListScan
from gnas_serve.runtime.topk import top_k

DIM = 12
NOTHING = np.empty(0, np.int64)


def clustered(count, seed=0):
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((12, DIM))
    vectors = centres[rng.integers(0, 12, count)] + 0.4 * rng.standard_normal((count, DIM))
    return (vectors * rng.lognormal(0, 0.3, (count, 1))).astype(np.float32)


class IndexContract:
    """What the retriever relies on."""

    least_recall = 1.0
    refine = 1  # how many times the wanted number is proposed at most

    def build(self, vectors):
        raise NotImplementedError

    def test_recall_against_exact_search(self):
        vectors, queries = clustered(3000), clustered(60, seed=1)
        index = self.build(vectors)
        shares = []
        for query in queries:
            exact = np.argsort(-(vectors @ query))[:50]
            shares.append(len(np.intersect1d(index.propose(query, 50, NOTHING), exact)) / 50)
        assert np.mean(shares) >= self.least_recall

    def test_excluded_rows_are_never_proposed(self):
        vectors, query = clustered(500), clustered(1, seed=2)[0]
        excluded = np.sort(np.argsort(-(vectors @ query))[:40]).astype(np.int64)
        found = self.build(vectors).propose(query, 30, excluded)
        assert 30 <= len(found) <= 30 * self.refine
        assert len(np.intersect1d(found, excluded)) == 0

    def test_threads_do_not_disturb_each_other(self):
        """Each question excludes the best of the other's answer."""
        vectors, queries = clustered(2000), clustered(8, seed=4)
        index = self.build(vectors)
        excluded = [np.sort(np.argsort(-(vectors @ query))[:30]).astype(np.int64) for query in np.roll(queries, 1, 0)]
        asked = list(zip(queries, excluded, strict=True)) * 40
        alone = [np.sort(index.propose(query, 40, never)) for query, never in asked]
        with ThreadPoolExecutor(4) as pool:
            together = list(pool.map(lambda one: np.sort(index.propose(one[0], 40, one[1])), asked))
        assert all(np.array_equal(found, other) for found, other in zip(alone, together, strict=True))

    def test_much_that_is_excluded_costs_no_recall(self):
        vectors, queries = clustered(6000), clustered(30, seed=3)
        index = self.build(vectors)
        allowed = np.flatnonzero(np.random.default_rng(0).random(6000) < 0.3)
        excluded = np.setdiff1d(np.arange(6000), allowed)
        shares = []
        for query in queries:
            found = index.propose(query, 50, excluded)
            assert len(np.intersect1d(found, excluded)) == 0
            exact = allowed[np.argsort(-(vectors[allowed] @ query))[:50]]
            shares.append(len(np.intersect1d(found, exact)) / 50)
        assert np.mean(shares) >= self.least_recall
        everything = np.arange(6000, dtype=np.int64)
        assert len(index.propose(queries[0], 50, everything)) == 0
        assert index.propose(queries[0], 50, everything[1:]).tolist() == [0]

    def test_proposals_are_distinct_rows(self):
        vectors = clustered(500)
        found = self.build(vectors).propose(vectors[0], 100, NOTHING)
        assert 100 <= len(np.unique(found)) == len(found) <= 100 * self.refine
        assert found.min() >= 0
        assert found.max() < 500

    def test_the_retriever_breaks_ties_by_the_lower_row(self):
        vectors = np.repeat(clustered(40), 5, axis=0)  # every vector five times
        retriever = Retriever(EmbeddingTable(vectors), self.build(vectors))
        found = retriever.retrieve(vectors[0], NOTHING, len(vectors), NOTHING)
        rows, scores = found.rows, found.scores
        for copies in rows.reshape(40, 5):
            assert np.array_equal(copies, copies[0] + np.arange(5)), "equal vectors stand together, lowest row first"
        assert (np.diff(scores) <= 0).all()
        assert sorted(rows.tolist()) == list(range(len(vectors)))

    def test_more_than_there_is(self):
        vectors = clustered(50)
        retriever = Retriever(EmbeddingTable(vectors), self.build(vectors))
        found = retriever.retrieve(vectors[0], NOTHING, 1000, np.arange(10, dtype=np.int64))
        assert sorted(found.rows.tolist()) == list(range(10, 50))

    def test_what_alone_is_allowed_is_searched_exactly(self):
        """Few of many: an index that is asked for more until enough of them turn up finds half of them."""
        vectors, query = clustered(3000), clustered(1, seed=2)[0]
        allowed = np.sort(np.random.default_rng(3).choice(3000, 40, replace=False))
        excluded = allowed[::4]
        found = Retriever(EmbeddingTable(vectors), self.build(vectors)).retrieve(query, NOTHING, 25, excluded, allowed)
        left = np.setdiff1d(allowed, excluded)
        assert found.rows.tolist() == left[np.argsort(-(vectors[left] @ query), kind="stable")][:25].tolist()

    def test_the_query_is_not_changed(self):
        vectors = clustered(100)
        query = vectors[0].copy()
        self.build(vectors).propose(query, 5, NOTHING)
        assert np.array_equal(query, vectors[0])


class TestFlat(IndexContract):
    def build(self, vectors):
        return FlatIndex(vectors)


class TestIvf(IndexContract):
    least_recall = 0.95

    def build(self, vectors):
        return open_ivf(index_bytes(build_ivf(vectors, seed=0)), nprobe=max(1, num_lists(len(vectors)) // 2))


class TestIvfPq(IndexContract):
    least_recall = 0.95
    refine = max(REFINES)

    def build(self, vectors):
        lists = num_lists(len(vectors))
        return open_ivf(index_bytes(build_pq(vectors, seed=0)), nprobe=max(1, lists // 2), refine=self.refine)


def int8_table(vectors):
    return EmbeddingTable(*quantize_rows(vectors))


class TestTableScan(IndexContract):
    least_recall = 0.95  # against vectors that are not rounded

    def build(self, vectors):
        return flat_index(int8_table(vectors))


class TestTableScanInNumpy(TestTableScan):
    @pytest.fixture(autouse=True)
    def _numpy(self):
        with kernels.using("numpy"):
            yield


class TestIvfFlat(IndexContract):
    least_recall = 0.95

    def build(self, vectors):
        table, lists = int8_table(vectors), num_scanned_lists(len(vectors))
        return ListScan(table, build_lists(table, seed=0), nprobe=max(1, lists // 2))


class TestIvfFlatInNumpy(TestIvfFlat):
    @pytest.fixture(autouse=True)
    def _numpy(self):
        with kernels.using("numpy"):
            yield


KINDS = {"flat": TestFlat, "ivf-flat": TestIvfFlat, "ivf": TestIvf, "ivf-pq": TestIvfPq}


def test_every_kind_of_the_manifest_has_a_contract():
    assert set(KINDS) == set(INDEX_KINDS)


@cache
def blended_world(num_links):
    """The tables of a blend, its histories, and exact lists of 60."""
    blend = blended_checkpoint(num_items=1200, filter_dim=120, gnn_dim=24, events_per_user=20, links=num_links)
    fit, seen = blend.final, seen_items(blend.seen())
    tables = compress(fit, "int8", links(fit, "fp16"))
    return tables, seen, exact_lists(tables, seen, np.arange(300), 60)


class ProjectedContract:
    """What retrieval through an index over fewer columns promises of the summed score of all branches."""

    links = 12
    dims = 128

    @pytest.fixture
    def world(self):
        return blended_world(self.links)

    def project(self, tables):
        return best_projection(tables.users.dense(), tables.items.dense(), self.dims)

    def retriever(self, tables):
        projection = self.project(tables)
        raw = index_bytes(build_ivf(tables.items.dense() @ projection.items, seed=0))
        index = open_ivf(raw, num_lists(len(tables.items)))  # all lists: what projection and codes lose
        return Retriever(tables.items, index, tables.neighbours, projection.queries)

    def retrieved(self, world):
        tables, seen, exact = world
        retriever = self.retriever(tables)
        for row, best in enumerate(exact):
            past = seen.of(row).astype(np.int64)
            yield retriever.retrieve(tables.users.row(row), past, 60, past), best, past

    def test_recall_of_the_candidates_and_of_their_head(self, world):
        found = [
            (np.isin(best, some.rows).mean(), np.isin(best[:20], some.rows[:20]).mean())
            for some, best, _ in self.retrieved(world)
        ]
        recall, head = np.mean(found, axis=0)
        assert recall > 0.9
        assert head > 0.98

    def test_scores_are_those_of_exact_search(self, world):
        tables = world[0]
        flat = Retriever(tables.items, FlatIndex(tables.items.dense()), tables.neighbours)
        for row, (some, _, past) in enumerate(self.retrieved(world)):
            known = flat.retrieve(tables.users.row(row), past, len(tables.items), past)
            place = {item: at for at, item in enumerate(known.rows.tolist())}
            at = [place[item] for item in some.rows.tolist()]
            assert at == sorted(at), "in the order of exact search"
            assert np.array_equal(some.scores, known.scores[at])
            assert np.array_equal(some.parts, known.parts[at])
            if row == 40:
                break

    def test_nothing_seen_comes_back(self, world):
        for some, _, past in self.retrieved(world):
            assert len(some.rows) == 60
            assert not np.isin(some.rows, past).any()


class TestProjectedBlend(ProjectedContract):
    """Interactions drawn nearly at random need most of 145 columns; real ones need a fifth."""


class TestProjectedWithoutLinks(ProjectedContract):
    links = 0


class TestPadded(ProjectedContract):
    """Odd widths are padded for the index: nothing is lost but codes."""

    def project(self, tables):
        return padding(tables.items.dim)


def test_equal_input_gives_equal_bytes():
    vectors = clustered(2000)
    assert np.array_equal(index_bytes(build_ivf(vectors, seed=3)), index_bytes(build_ivf(vectors, seed=3)))
    assert not np.array_equal(index_bytes(build_ivf(vectors, seed=3)), index_bytes(build_ivf(vectors, seed=4)))


def test_fewer_items_than_a_cluster_needs():
    for count in (1, 2, 7):
        vectors = clustered(count)
        found = open_ivf(index_bytes(build_ivf(vectors, seed=0)), 1).propose(vectors[0], 5, NOTHING)
        assert set(found.tolist()) <= set(range(count))


class Tuning:
    """An index, 50 users, and a way to tune it for them."""

    def __init__(self):
        self.items, self.users = clustered(4000), clustered(50, seed=5)
        self.raw = index_bytes(build_ivf(self.items, seed=0))

    def __call__(self, count, candidates, top, others=None):
        scores = self.users @ self.items.T
        exact = [top_k(row, count) for row in scores]
        nothing = [NOTHING] * 50
        limits = RecallLimits(candidates, top)
        return tune(
            partial(open_ivf, self.raw),
            self.users,
            others or nothing,
            exact,
            nothing,
            num_items=4000,
            lists=num_lists(4000),
            limits=limits,
        )


@pytest.fixture(scope="module")
def tuning():
    return Tuning()


@pytest.mark.parametrize(("candidates", "top"), [(0.95, 0.0), (0.0, 0.99)])
def test_nprobe_is_the_smallest_that_reaches_both_limits(tuning, candidates, top):
    tuned = tuning(40, candidates, top)
    assert tuned.recall >= candidates
    assert tuned.top_recall >= top
    last = tuned.curve[-1]
    assert (last["nprobe"], last["recall"], last["top_recall"]) == (tuned.nprobe, tuned.recall, tuned.top_recall)
    assert last["dry"] <= MAX_DRY
    for point in tuned.curve[:-1]:
        assert point["recall"] < candidates or point["top_recall"] < top or point["dry"] > MAX_DRY
    assert [point["nprobe"] for point in tuned.curve] == list(probes(num_lists(4000)))[: len(tuned.curve)]


def test_dry_lists_do_not_count_as_exact(tuning):
    # More candidates than a list holds: one probed list cannot have them all.
    assert tuning(600, 0.95, 0.0).curve[0]["recall"] < 0.5


def test_what_others_propose_counts(tuning):
    everything = [np.arange(4000)] * 50
    tuned = tuning(10, 1.0, 1.0, everything)
    assert (tuned.curve[0]["recall"], tuned.curve[0]["top_recall"]) == (1.0, 1.0)
    assert tuned.nprobe <= 4, "a list or two hold ten items"
    assert tuning(10, 1.0, 1.0).nprobe == 0


def test_an_index_that_runs_dry_is_not_enough_whatever_others_propose(tuning):
    """The retriever would search exactly, and the index be for nothing."""
    tuned = tuning(600, 1.0, 1.0, [np.arange(4000)] * 50)
    assert tuned.curve[0]["recall"] == 1.0
    assert tuned.curve[0]["dry"] > 0.5
    assert tuned.nprobe > 1
    assert tuned.curve[-1]["dry"] <= MAX_DRY


def test_a_miss_of_all_lists_says_so_at_once(tuning):
    tuned = tuning(40, 1.01, 0.0)
    assert tuned.nprobe == 0
    assert [point["nprobe"] for point in tuned.curve] == [num_lists(4000)]
    assert tuned.recall == tuned.curve[0]["recall"] > 0.95


@given(st.integers(1, 300), st.integers(1, 30), st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_flat_proposes_the_exact_best(count, k, seed):
    vectors, query = clustered(count, seed), clustered(1, seed + 1)[0]
    found = FlatIndex(vectors).propose(query, k, NOTHING)
    assert np.array_equal(found, top_k(vectors @ query, k))
