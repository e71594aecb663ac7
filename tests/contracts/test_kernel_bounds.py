"""The kernels at the bounds inside them: where a block, a segment, a bin or a number ends."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gnas_serve import kernels
from gnas_serve.runtime.embeddings import EmbeddingTable
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.scan import ListScan, TableScan
from gnas_serve.runtime.topk import top_k
from gnas_serve.runtime.whole_numbers import LARGEST

pytestmark = pytest.mark.skipif(kernels.native is None, reason="this installation has no compiled kernels")

ROOT = Path(__file__).parents[2]
TINY, HUGE = np.finfo(np.float32).tiny, np.finfo(np.float32).max
NONE = np.arange(0)


@pytest.fixture(params=[*kernels.LEVELS, "numpy"])
def level(request: pytest.FixtureRequest) -> str:
    try:
        with kernels.using(request.param):
            return str(request.param)
    except ValueError:
        return str(pytest.skip(f"this processor has no {request.param}"))


def table_of(values: Any, scales: Any = 1.0) -> EmbeddingTable:
    whole = np.asarray(values, np.int8)
    return EmbeddingTable(whole, np.full((len(whole), 1), scales, np.float32))


@pytest.mark.parametrize("place", range(16))
@pytest.mark.parametrize("score", [50, 60])
def test_each_row_of_a_block_reaches_the_floor(level: str, place: int, score: int) -> None:
    """The nearest list fills what is kept, so that there is a floor; of the other one row reaches it or lies above."""
    many = 1100  # more than are kept of five before a floor is set
    values = np.full((16 + many, 1), 50)
    values[:16] = 40
    values[place] = score
    lists = InvertedLists(
        np.repeat([1, 0], [16, many]).astype(np.uint16), np.array([[100], [50]], np.int8), np.ones((2, 1), np.float32)
    )
    with kernels.using(level):
        rows, parts = ListScan(table_of(values), lists, 2).search(np.ones(1, np.float32), 5, NONE)
    assert rows.tolist() == [place, 16, 17, 18, 19]  # ties by the lower row
    assert parts[:, 0].tolist() == [score, 50, 50, 50, 50]


@pytest.mark.parametrize("width", [1, 1023, 1024, 1025, 2047, 2048, 2049, 4095, 4096, 4097, 6000])
@pytest.mark.parametrize("size", [8191, -8192, 64, -64, 8127])
def test_wide_vectors_add_up_without_an_overflow(level: str, width: int, size: int) -> None:
    """Digits as large as they come, all of one sign: of more than 2,064 of them 32 bits do not hold the sum."""
    whole = np.full(width, size, np.int64)
    whole[0] = LARGEST  # so that the scale is a power of two, and nothing of the others is rounded
    values = np.full((20, width), 127)
    values[1::2] = -128
    values[2::4, ::2] = 0
    query = (whole * 2.0**-20).astype(np.float32)
    wanted = (values @ whole).astype(np.float32) * np.float32(2.0**-20)
    table = table_of(values)
    with kernels.using(level):
        np.testing.assert_array_equal(table.score_parts(query, np.arange(20))[:, 0], wanted)
        rows, parts = TableScan(table).search(query, 20, NONE)
    np.testing.assert_array_equal(parts[:, 0], wanted[rows])
    np.testing.assert_array_equal(rows, np.lexsort((np.arange(20), -wanted)))


def least_peak() -> np.float32:
    """Find the smallest peak of a query whose scale is a normal number."""
    peak = np.float32(TINY * np.float32(LARGEST))
    while np.nextafter(peak, np.float32(0)) / np.float32(LARGEST) >= TINY:
        peak = np.nextafter(peak, np.float32(0))
    while peak / np.float32(LARGEST) < TINY:
        peak = np.nextafter(peak, np.float32(1))
    return peak


def test_a_query_is_nothing_where_its_scale_would_have_too_few_digits(level: str) -> None:
    table = table_of([[3, 1], [-2, 0]], 1e30)
    least = least_peak()
    below = np.nextafter(least, np.float32(0))
    with kernels.using(level):
        for peak, is_there in ((least, True), (below, False), (np.nextafter(least, np.float32(1)), True)):
            for query in ([peak, 0], [0, -peak], [-peak, peak / 2]):
                parts = table.score_parts(np.array(query, np.float32), np.arange(2))
                assert bool(parts.any()) == is_there, (level, query)


@pytest.mark.parametrize(("peak", "is_there"), [(HUGE, True), (np.inf, False), (np.nan, False)])
def test_a_query_is_nothing_where_it_is_no_finite_number(level: str, peak: float, is_there: bool) -> None:
    table = table_of([[3, 1], [-2, 0]], 1e-30)
    with kernels.using(level), np.errstate(invalid="ignore"):
        parts = table.score_parts(np.array([peak, 1], np.float32), np.arange(2))
    wanted = [float(peak) * 1e-30 * value if is_there else 0.0 for value in (3, -2)]
    assert parts[:, 0].tolist() == pytest.approx(wanted)


SPREADS = [step << shift for shift in (0, 1, 9, 12) for step in (1022, 1023, 1024, 1025)]


def steps_apart(spread: int, count: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Scores over so many neighbouring numbers; the highest stands first, the lowest second."""
    bits = np.random.default_rng(spread).integers(0, spread + 1, count)
    bits[:2] = spread, 0
    return (bits + 0x3F800000).astype(np.int32).view(np.float32)


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("k", [1, 100, 255, 256, 1000])
def test_the_best_of_scores_that_spread_over_as_many_bins_as_there_are(level: str, spread: int, k: int) -> None:
    for count in (1024, 1025, 4100):
        scores = steps_apart(spread, count)
        with kernels.using(level):
            best = top_k(scores, k)
        np.testing.assert_array_equal(best, np.lexsort((np.arange(count), -scores))[:k])


BY_TRAPS = """
import sys
import numpy as np
from gnas_serve import kernels
kernels.native.use_level("plain")
for scores in np.load(sys.argv[1]):
    for count in (1, 100, 255, 256, 1000):
        kernels.native.best(scores, count, np.empty(count, np.int64))
print(kernels.described())
"""


def test_no_bin_is_counted_beyond_the_last(tmp_path: Path) -> None:
    """Compiled so that a place beyond an array ends the process: what lies there would be changed in silence."""
    shutil.copytree(ROOT / "gnas_serve" / "kernels", tmp_path / "gnas_serve" / "kernels")
    shutil.copy(ROOT / "hatch_build.py", tmp_path)
    (tmp_path / "gnas_serve" / "__init__.py").write_text("")
    np.save(tmp_path / "scores.npy", np.stack([steps_apart(spread, 4100) for spread in SPREADS]))
    traps = {**os.environ, "CC": "cc -fsanitize=bounds -fsanitize-undefined-trap-on-error", "PYTHONPATH": str(tmp_path)}
    for command in (["hatch_build.py"], ["-P", "-c", BY_TRAPS, "scores.npy"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, env=traps, capture_output=True, text=True, timeout=120
        )
        assert done.returncode == 0, done.stderr
    assert done.stdout == "plain\n"
