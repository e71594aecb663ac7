"""The compiled kernels against the numpy code that defines them: equal to the last bit, of every instruction set."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gnas_serve import kernels
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.neighbours import Neighbours
from gnas_serve.runtime.ranker_features import branch_features, cross_features
from gnas_serve.runtime.scan import ListScan, TableScan
from gnas_serve.runtime.topk import top_k
from gnas_serve.runtime.whole_numbers import LARGEST, quantise_query

EXAMPLES = settings(max_examples=60, deadline=None)
SEEDS = st.integers(0, 2**32 - 1)


def has_compiler():
    """A compiler with Python's headers, so that the kernels are to be there."""
    try:
        return subprocess.run(["cc", "--version"], capture_output=True).returncode == 0
    except OSError:
        return False


def test_the_kernels_are_there_where_a_compiler_is():
    if not has_compiler():
        pytest.skip("no C compiler here")
    assert kernels.native is not None, "python hatch_build.py says why"
    assert kernels.described() in kernels.LEVELS


def level_is_there(level):
    try:
        with kernels.using(level):
            return True
    except ValueError:
        return False


@pytest.fixture(params=kernels.LEVELS, scope="module")
def level(request):
    if not level_is_there(request.param):
        pytest.skip(f"this processor or installation has no {request.param}")
    return request.param


def columns_of(widths):
    stops = np.cumsum(widths).tolist()
    return tuple(slice(stop - width, stop) for width, stop in zip(widths, stops, strict=True))


WIDTHS = st.lists(st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 130, 1100, 2049]), min_size=1, max_size=3)


def random_table(rng, count, widths, kind):
    """Vectors with many ties, as embeddings have where items are few or alike, or with none."""
    columns = columns_of(widths)
    vectors = rng.standard_normal((count, sum(widths))).astype(np.float32)
    if kind == "ties":
        vectors = np.round(vectors[rng.integers(0, max(1, count // 5), count)])
    if kind == "extremes":
        values = rng.choice(np.array([-127, 127], np.int8), vectors.shape)
        return EmbeddingTable(values, np.ones((count, len(columns)), np.float32), columns)
    return EmbeddingTable(*quantize_rows(vectors, columns), columns)


def random_query(rng, table, kind):
    query = rng.standard_normal(table.dim).astype(np.float32)
    if kind == "extremes":
        return np.where(query < 0, np.float32(-1e30), np.float32(1e30))
    return query * np.float32(10.0 ** rng.integers(-30, 20)) if kind == "ties" else query


KINDS = st.sampled_from(["plain", "ties", "extremes"])


def test_queries_and_scores_that_are_no_numbers(level):
    table = random_table(np.random.default_rng(0), 40, [3], "plain")
    huge = EmbeddingTable(table.values, np.where(np.arange(40) % 2, 3e38, 1.0).astype(np.float32)[:, None])
    for query in ([np.nan, 1.0, 2.0], [np.inf, 1.0, 0.0], [3e38, -3e38, 3e38], [1e-42, 0.0, 0.0], [-0.0, 0.0, 0.0]):
        for some in (table, huge):
            with np.errstate(over="ignore", invalid="ignore"):
                given = np.array(query, np.float32)
                agree(level, lambda some=some, given=given: TableScan(some).search(given, 40, np.arange(0)))


def agree(level, compute):
    """Compute with a level and with numpy."""
    with kernels.using(level):
        found = compute()
    with kernels.using("numpy"):
        wanted = compute()
    for one, other in zip(found, wanted, strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)
    return found


@EXAMPLES
@given(seed=SEEDS, count=st.integers(1, 200), widths=WIDTHS, kind=KINDS)
def test_scores_of_rows(level, seed, count, widths, kind):
    rng = np.random.default_rng(seed)
    table = random_table(rng, count, widths, kind)
    query, rows = random_query(rng, table, kind), rng.integers(0, count, rng.integers(0, 70))
    (parts,) = agree(level, lambda: (table.score_parts(query, rows),))
    assert parts.shape == (len(rows), len(widths))


@EXAMPLES
@given(seed=SEEDS, count=st.integers(1, 300), k=st.integers(1, 320), widths=WIDTHS, kind=KINDS)
def test_a_scan_of_all(level, seed, count, k, widths, kind):
    rng = np.random.default_rng(seed)
    table = random_table(rng, count, widths, kind)
    query, excluded = random_query(rng, table, kind), rng.permutation(count)[: rng.integers(0, count + 1)]
    rows, parts = agree(level, lambda: TableScan(table).search(query, k, excluded))
    assert len(rows) == min(k, count - len(excluded))
    assert not np.isin(rows, excluded).any()
    np.testing.assert_array_equal(parts, table.score_parts(query, rows))


@EXAMPLES
@given(
    seed=SEEDS,
    count=st.integers(1, 300),
    k=st.integers(1, 320),
    nprobe=st.integers(1, 25),
    widths=WIDTHS,
    kind=KINDS,
)
def test_a_scan_of_lists(level, seed, count, k, nprobe, widths, kind):
    check_lists(level, seed, count, k, nprobe, widths, kind)


@EXAMPLES
@given(seed=SEEDS, count=st.integers(1024, 6000), k=st.integers(1, 40), nprobe=st.integers(1, 25), kind=KINDS)
def test_a_scan_of_so_many_that_a_score_has_to_reach_those_before(level, seed, count, k, nprobe, kind):
    check_lists(level, seed, count, k, nprobe, [3], kind)


def check_lists(level, seed, count, k, nprobe, widths, kind):
    rng = np.random.default_rng(seed)
    table, num_lists = random_table(rng, count, widths, kind), int(rng.integers(1, 24))
    lists = InvertedLists(  # some of them empty
        rng.integers(0, num_lists, count).astype(np.uint16),
        *quantize_rows(rng.standard_normal((num_lists, table.dim)).astype(np.float32), table.columns),
    )
    query, excluded = random_query(rng, table, kind), rng.permutation(count)[: rng.integers(0, count + 1)]
    scan = ListScan(table, lists, nprobe)
    scan.search(query, k, np.arange(count))  # what one question excludes is nothing to the next
    rows, parts = agree(level, lambda: scan.search(query, k, excluded))
    assert not np.isin(rows, excluded).any()
    np.testing.assert_array_equal(parts, table.score_parts(query, rows))
    if nprobe >= num_lists:
        np.testing.assert_array_equal(rows, TableScan(table).search(query, k, excluded)[0])


@EXAMPLES
@given(seed=SEEDS, count=st.integers(0, 5000), k=st.integers(1, 2000), distinct=st.sampled_from([1, 3, 50, 10**6]))
def test_the_best_of_scores(level, seed, count, k, distinct):
    rng = np.random.default_rng(seed)
    scores = (rng.integers(-distinct, distinct + 1, count) / np.float32(7.0)).astype(np.float32)
    scores[rng.random(count) < 0.2] = rng.choice(np.array([-np.inf, 0.0, -0.0, 1e-45, 3e38], np.float32))
    (best,) = agree(level, lambda: (top_k(scores, k),))
    wanted = np.lexsort((np.arange(count), -scores.astype(np.float64)))
    np.testing.assert_array_equal(best, wanted[scores[wanted] > -np.inf][:k])


@EXAMPLES
@given(
    seed=SEEDS,
    count=st.integers(1, 1500),
    branches=st.integers(1, 4),
    level_of=st.sampled_from([0.0, 1e6]),
    spread=st.sampled_from([0.1, 1e-6, 3e-7]),
)
def test_the_features_of_a_ranker(level, seed, count, branches, level_of, spread):
    rng = np.random.default_rng(seed)
    names = list(rng.permutation(["score", "score_z", "log_rank", "content", *branch_features(branches)]))
    parts = (rng.standard_normal((count, branches)) * spread + level_of).astype(np.float32)
    content = rng.random(count).astype(np.float32)
    agree(level, lambda: (cross_features(tuple(names), parts[:, 0], parts, content),))


@EXAMPLES
@given(
    seed=SEEDS,
    count=st.integers(1, 400),
    most=st.sampled_from([0, 1, 9, 200]),
    length=st.integers(0, 60),
    dtype=st.sampled_from([np.float16, np.float32]),
)
def test_links_of_a_history(level, seed, count, most, length, dtype):
    rng = np.random.default_rng(seed)
    lists = [np.sort(rng.permutation(count)[: rng.integers(0, most + 1)]) for _ in range(count)]
    weights = rng.choice([0.0, 1e-7, 6e-5, 0.1, 3.5, 60000.0], sum(map(len, lists)))
    neighbours = Neighbours(
        np.cumsum([0, *map(len, lists)]).astype(np.int64),
        np.concatenate(lists).astype(np.int32),
        weights.astype(dtype),
        float(rng.random()),
    )
    history, wanted = rng.permutation(count)[:length], rng.integers(0, count, 30)

    def compute():
        links = neighbours.links(history)
        return links.rows, links.scores, links.at(wanted), links.best(7, np.sort(history))

    rows, scores, found, _ = agree(level, compute)
    assert (np.diff(rows) > 0).all()
    dense = np.zeros(count, np.float32)
    dense[rows] = scores
    np.testing.assert_array_equal(found, dense[wanted])


def test_a_query_is_rounded_to_whole_numbers():
    for width in (1, 128, 1536, 40_000):
        query = np.full(width, 5.0, np.float32)
        whole, scales = quantise_query(query, (slice(0, width),))
        assert whole.max() == LARGEST
        np.testing.assert_allclose(whole * scales, query, rtol=1e-6)
    assert quantise_query(np.array([np.nan, 1.0], np.float32), columns_of([2]))[1].tolist() == [0]
    assert quantise_query(np.array([0.0, np.inf, 1e-40], np.float32), columns_of([1, 1, 1]))[1].tolist() == [0, 0, 0]


@pytest.mark.skipif(kernels.native is None, reason="this installation has no compiled kernels")
class TestArgumentsThatDoNotFit:
    """Each is refused: a kernel reads and writes memory without looking again."""

    values = np.zeros((6, 4), np.int8)
    scales = np.ones((6, 1), np.float32)
    whole = np.array([0, 4], np.int32)
    rows = np.arange(6, dtype=np.int32)
    starts = np.array([0, 2, 6], np.int64)
    centroids = np.zeros((2, 4), np.int8)
    lengths = np.ones((2, 1), np.float32)

    @pytest.mark.parametrize(
        "change",
        [
            {"values": np.zeros((5, 4), np.int8)},
            {"values": np.zeros((6, 4), np.uint8)},
            {"values": np.zeros((4, 6), np.int8).T},
            {"scales": np.ones((6, 1), np.float64)},
            {"scales": np.ones((0, 1), np.float32), "values": np.zeros((0, 4), np.int8)},
            {"whole": np.array([0], np.int32)},
            {"whole": np.array([0, 5], np.int32)},
            {"whole": np.array([1, 4], np.int32)},
            {"whole": np.array([0, 4, 4], np.int32)},
            {"whole": np.array([0, -4], np.int32)},
            {"rows": np.array([0, 1, 2, 3, 4, 6], np.int32)},
            {"rows": np.array([0, 1, 2, 3, 4, -1], np.int32)},
            {"rows": np.array([0, 1, 2, 3, 4, 4], np.int32)},
            {"rows": np.arange(5, dtype=np.int32)},
            {"starts": np.array([0, 7, 6], np.int64)},
            {"starts": np.array([0, 6], np.int64)},
            {"starts": np.array([0, -2, 6], np.int64)},
            {"starts": np.array([1, 2, 6], np.int64)},
            {"starts": np.array([0, 2, 6], np.int32)},
            {"centroids": np.zeros((2, 5), np.int8)},
            {"lengths": np.ones((3, 1), np.float32)},
        ],
    )
    def test_lists(self, change):
        names = ("values", "scales", "whole", "rows", "starts", "centroids", "lengths")
        kernels.native.open_lists(*(getattr(self, name) for name in names))
        with pytest.raises((ValueError, BufferError)):
            kernels.native.open_lists(*(change.get(name, getattr(self, name)) for name in names))

    @pytest.mark.parametrize(
        "change",
        [
            {"lists": object()},
            {"query": np.zeros(3, np.float32)},
            {"query": np.zeros(8, np.float32)[::2]},
            {"count": 0},
            {"count": 2**40},
            {"nprobe": 0},
            {"excluded": np.array([6])},
            {"excluded": np.array([-1])},
            {"excluded": np.zeros(3, np.int8)},
            {"rows": np.empty(2, np.int64)},
            {"rows": np.empty(6, np.int64)[::2]},
            {"parts": np.empty(2, np.float32)},
        ],
    )
    def test_a_search(self, change):
        lists = kernels.native.open_lists(self.values, self.scales, self.whole)
        usual = {"lists": lists, "query": np.ones(4, np.float32), "count": 3, "nprobe": 1, "excluded": np.array([1])}
        usual |= {"rows": np.empty(3, np.int64), "parts": np.empty(3, np.float32)}
        assert kernels.native.search(*usual.values()) == 3
        with pytest.raises((ValueError, BufferError)):
            kernels.native.search(*(usual | change).values())

    def test_written_arrays_that_are_not_to_be_written(self):
        lists = kernels.native.open_lists(self.values, self.scales, self.whole)
        fixed = np.empty(3, np.int64)
        fixed.flags.writeable = False
        with pytest.raises((ValueError, BufferError)):
            kernels.native.search(
                lists, np.ones(4, np.float32), 3, 1, np.empty(0, np.int64), fixed, np.empty(3, np.float32)
            )

    def test_what_is_written_does_not_overlap_with_what_is_read_or_held(self):
        memory = np.zeros(512, np.uint8)

        def at(start, count, dtype):
            return memory[start : start + count * np.dtype(dtype).itemsize].view(dtype)

        values, scales = at(0, 24, np.int8).reshape(6, 4), at(32, 6, np.float32)
        scales[:] = 1
        lists = kernels.native.open_lists(values, scales, self.whole)
        query, excluded = at(64, 4, np.float32), at(80, 1, np.int64)
        found, parts = at(96, 3, np.int64), at(128, 3, np.float32)
        kernels.native.search(lists, query, 3, 1, excluded, found, parts)  # one beside the other
        for wrong in (at(0, 3, np.int64), at(48, 3, np.int64), at(72, 3, np.int64), at(80, 3, np.int64)):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.search(lists, query, 3, 1, excluded, wrong, parts)
        for wrong in (at(20, 3, np.float32), at(40, 3, np.float32), at(76, 3, np.float32), at(116, 3, np.float32)):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.search(lists, query, 3, 1, excluded, found, wrong)
        kernels.native.search(lists, query, 3, 1, at(96, 0, np.int64), found, parts)  # nothing overlaps with nothing
        rows = at(160, 2, np.int64)
        kernels.native.score_rows(lists, query, rows, at(176, 2, np.float32))
        for start in (0, 32, 76, 156, 172):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.score_rows(lists, query, rows, at(start, 2, np.float32))

    def test_links_features_and_the_best_are_not_written_over_what_is_read(self):
        memory = np.zeros(512, np.uint8)

        def at(start, count, dtype):
            return memory[start : start + count * np.dtype(dtype).itemsize].view(dtype)

        offsets, items, weights = at(0, 3, np.int64), at(24, 3, np.int32), at(40, 3, np.float32)
        offsets[:], items[:], weights[:] = (0, 1, 3), (1, 0, 1), 1
        links = kernels.native.open_links(offsets, items, weights)
        history, rows, scores = at(64, 1, np.int64), at(80, 2, np.int64), at(96, 2, np.float32)
        assert kernels.native.follow(links, history, 1.0, rows, scores) == 1
        for wrong in (at(16, 2, np.int64), at(24, 2, np.int64), at(48, 2, np.int64), at(56, 2, np.int64)):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.follow(links, history, 1.0, wrong, scores)
        for start in (20, 28, 48, 68, 92):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.follow(links, history, 1.0, rows, at(start, 2, np.float32))
        wanted = at(128, 2, np.int64)
        kernels.native.scores_at(rows, scores, wanted, at(144, 2, np.float32))
        for start in (92, 100, 124):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.scores_at(rows, scores, wanted, at(start, 2, np.float32))
        kinds, inputs = at(160, 2, np.int32), [at(start, 3, np.float32) for start in (176, 192, 208, 224)]
        kinds[:] = -1, -4
        kernels.native.cross_features(kinds, *inputs, at(256, 6, np.float32))
        for start in (140, 184, 216, 232):
            with pytest.raises(ValueError, match="overlaps"):
                kernels.native.cross_features(kinds, *inputs, at(start, 6, np.float32))
        with pytest.raises(ValueError, match="overlaps"):
            kernels.native.best(at(256, 6, np.float32), 2, at(272, 2, np.int64))

    def test_scores_of_rows_that_are_not_there(self):
        lists = kernels.native.open_lists(self.values, self.scales, self.whole)
        for rows, parts in ((np.array([6]), 1), (np.array([-1]), 1), (np.array([1, 2]), 1)):
            with pytest.raises(ValueError, match=r"not there|another length"):
                kernels.native.score_rows(lists, np.ones(4, np.float32), rows, np.empty(parts, np.float32))

    def test_links(self):
        offsets, items, values = np.array([0, 1, 3]), np.array([1, 0, 1], np.int32), np.ones(3, np.float16)
        links = kernels.native.open_links(offsets, items, values)
        rows, scores = np.empty(2, np.int64), np.empty(2, np.float32)
        assert kernels.native.follow(links, np.array([0, 1]), 1.0, rows, scores) == 2
        for wrong in (
            (offsets + 1, items, values),
            (np.array([0, 4, 3]), items, values),
            (offsets[:-1], items, values),
            (offsets, items + 1, values),
            (offsets, items - 1, values),
            (offsets, items, values[:-1]),
            (offsets, items, values.astype(np.float64)),
            (offsets.astype(np.int32), items, values),
            (offsets[:0], items, values),
        ):
            with pytest.raises(ValueError, match=r"do not fit together|another type"):
                kernels.native.open_links(*wrong)
        for history in (np.array([2]), np.array([-1])):
            with pytest.raises(ValueError, match="not there"):
                kernels.native.follow(links, history, 1.0, rows, scores)
        with pytest.raises(ValueError, match="room"):
            kernels.native.follow(links, np.array([0, 1]), 1.0, rows[:1], scores[:1])
        assert kernels.native.follow(links, np.array([0]), 1.0, rows, scores) == 1  # nothing is left of what failed
        assert (rows[0], scores[0]) == (1, 1.0)
        with pytest.raises(ValueError, match="another length"):
            kernels.native.follow(links, np.array([0, 1]), 1.0, rows, scores[:1])
        with pytest.raises(ValueError, match="another length"):
            kernels.native.scores_at(rows, scores, rows, scores[:1])

    def test_features_and_selection(self):
        some, out = np.zeros(3, np.float32), np.empty((3, 1), np.float32)
        for kinds, content in ((1, None), (-5, None), (-4, None), (-4, np.zeros(2, np.float32))):
            with pytest.raises(ValueError, match=r"other inputs|another length"):
                kernels.native.cross_features(np.array([kinds], np.int32), some, some, some, content, out)
        with pytest.raises(ValueError, match="another length"):
            kernels.native.cross_features(np.array([-1, -1], np.int32), some, some, some, None, out)
        with pytest.raises(ValueError, match="another length"):
            kernels.native.best(some, 3, np.empty(2, np.int64))
        with pytest.raises(ValueError, match="count"):
            kernels.native.best(some, 0, np.empty(2, np.int64))


def test_kernels_of_other_sources_are_not_taken(tmp_path):
    """A checkout that was updated and not installed again computes in numpy, and does not call what is not there."""
    done = subprocess.run(
        [sys.executable, "-c", OTHER],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.split() == ["numpy"], done.stderr


OTHER = """
from importlib.machinery import ExtensionFileLoader
as_compiled = ExtensionFileLoader.exec_module

def older(self, module):
    as_compiled(self, module)
    if module.__name__ == "gnas_serve.kernels._native":
        module.ABI = 0

ExtensionFileLoader.exec_module = older
import gnas_serve.kernels as kernels
print(kernels.described())
"""
