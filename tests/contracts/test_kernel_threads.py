"""Several threads and one table: long scans are made without the interpreter's lock, short ones with it."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from gnas_serve import kernels
from gnas_serve.runtime.embeddings import EmbeddingTable, quantize_rows
from gnas_serve.runtime.inverted_lists import InvertedLists
from gnas_serve.runtime.scan import ListScan, TableScan

pytestmark = pytest.mark.skipif(kernels.native is None, reason="this installation has no compiled kernels")

LONG = 150_000  # rows of 64 columns: more than LONG_SCAN in lists_module.c
SHORT = 120_000  # and less than that
TURNS = 12


def table(count: int, branches: int = 1) -> EmbeddingTable:
    rng = np.random.default_rng(count)
    width = 64 // branches
    columns = tuple(slice(start, start + width) for start in range(0, 64, width))
    values = rng.integers(-127, 128, (count, 64)).astype(np.int8)
    return EmbeddingTable(values, rng.random((count, branches)).astype(np.float32) + 1, columns)


@pytest.fixture(scope="module")
def long_table() -> EmbeddingTable:
    return table(LONG, 2)


@pytest.fixture
def patient() -> Iterator[None]:
    """The lock of the interpreter is asked for by nobody for a while: who runs Python gives it up only at a wait."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(60.0)
    yield
    sys.setswitchinterval(before)


def others_ran(scan: TableScan) -> bool:
    """Tell whether another thread got anywhere during some searches."""
    query, none = np.ones(64, np.float32), np.arange(0)
    scan.search(query, 5, none)  # blocks are laid out
    begin, ran = threading.Event(), []

    def run() -> None:
        begin.wait()
        ran.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    begin.set()
    for _ in range(TURNS):
        scan.search(query, 5, none)
    found = bool(ran)
    thread.join()
    return found


@pytest.mark.usefixtures("patient")
def test_others_compute_during_a_long_scan_and_not_during_a_short_one(long_table: EmbeddingTable) -> None:
    assert others_ran(TableScan(long_table))
    assert not others_ran(TableScan(table(SHORT)))


def test_what_comes_during_a_long_scan_is_answered_as_ever(long_table: EmbeddingTable) -> None:
    rng = np.random.default_rng(0)
    lists = InvertedLists(
        rng.integers(0, 4, LONG).astype(np.uint16),
        *quantize_rows(rng.standard_normal((4, 64)).astype(np.float32), long_table.columns),
    )
    scans = [TableScan(long_table), ListScan(long_table, lists, 4)]
    asked = []
    for number in range(24):
        query, count = rng.standard_normal(64).astype(np.float32), int(rng.choice([1, 10, 400]))
        asked.append((scans[number % 2], query, count, rng.permutation(LONG)[: rng.integers(0, 2000)]))
    wanted = [scan.search(query, count, excluded) for scan, query, count, excluded in asked]
    some = rng.integers(0, LONG, 50)
    parts = [long_table.score_parts(query, some) for _, query, _, _ in asked]
    wrong: list[Any] = []

    def ask(first: int) -> None:
        for number in range(first, first + len(asked)):
            scan, query, count, excluded = asked[number % len(asked)]
            found = scan.search(query, count, excluded)
            scored = long_table.score_parts(query, some)
            if not (
                np.array_equal(found[0], wanted[number % len(asked)][0])
                and np.array_equal(found[1], wanted[number % len(asked)][1])
                and np.array_equal(scored, parts[number % len(asked)])
            ):
                wrong.append(number)

    threads = [threading.Thread(target=ask, args=(first,)) for first in (0, 5, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.usefixtures("patient")
def test_rows_that_are_changed_during_a_scan_change_nothing_in_the_next(long_table: EmbeddingTable) -> None:
    scan, query = TableScan(long_table), np.random.default_rng(1).standard_normal(64).astype(np.float32)
    wanted = scan.search(query, 50, np.arange(0))[0]
    lists, rows, parts = long_table.kernel_lists(), np.empty(50, np.int64), np.empty((50, 2), np.float32)
    given, begin = wanted[:20].copy(), threading.Event()

    def change() -> None:
        begin.wait()
        given[:] = 2**40  # far outside of the table

    assert kernels.native is not None
    thread = threading.Thread(target=change)
    thread.start()
    begin.set()
    for _ in range(TURNS):  # until one of the scans is the one that it changes them in
        if given[0] == 2**40:
            break
        kernels.native.search(lists, query, 50, 1, given, rows, parts)
    thread.join()
    assert rows[0] == wanted[20]
    np.testing.assert_array_equal(scan.search(query, 50, np.arange(0))[0], wanted)
