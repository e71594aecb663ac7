"""PopularityShift: 1 for interactions held out at random, more where some items are held out more often."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from gnas_search.data.dataset import Dataset, InteractionGraph, TestPart
from gnas_search.data.readers import read_config
from gnas_search.data.splits import load_with_test
from gnas_search.shift import LARGE, PopularityShift, dispersion, popularity_shift
from gnas_serve.vocabulary import Vocabulary


def counts(num_items: int = 4000) -> np.ndarray:
    return np.random.default_rng(0).geometric(0.02, num_items)


def test_a_random_hold_out_disperses_about_once() -> None:
    whole = counts()
    held_out = np.random.default_rng(1).binomial(whole, 0.1)
    assert dispersion(held_out, whole - held_out) == pytest.approx(1.0, abs=0.08)


def test_a_hold_out_that_prefers_some_items_disperses_more() -> None:
    whole = counts()
    chance = np.where(np.arange(len(whole)) % 2 == 0, 0.05, 0.2)
    held_out = np.random.default_rng(1).binomial(whole, chance)
    found = dispersion(held_out, whole - held_out)
    # Overdispersion of a mixture of two chances: 1 + (mean count - 1) * variance / (p (1 - p)), here about 3.8.
    assert found > 3.0


def shop(num_items: int, seed: int, *, prefer: float = 1.0) -> tuple[Dataset, TestPart]:
    """Zipf-like data whose validation is held out at random, and test too, or preferring every second item."""
    rng = np.random.default_rng(seed)
    whole = rng.poisson(2000.0 / np.arange(1, num_items + 1) ** 0.7) + 1
    chance = np.where(np.arange(num_items) % 2 == 0, 0.1 * prefer, 0.1)
    tested = rng.binomial(whole, chance)
    valid = rng.binomial(whole - tested, 0.1)
    train = whole - tested - valid

    def rows(counts: np.ndarray) -> sp.csr_matrix:
        items = np.repeat(np.arange(num_items), counts)
        return sp.csr_matrix((np.ones(len(items), np.float32), items, [0, len(items)]), shape=(1, num_items))

    items = Vocabulary(np.arange(num_items))
    dataset = SimpleNamespace(selection=InteractionGraph(rows(train), rows(train)), valid=rows(valid), items=items)
    return dataset, SimpleNamespace(relevant=rows(tested), unknown_counts=np.zeros(0, np.int64))  # type: ignore[return-value]


@pytest.mark.parametrize("num_items", [60, 400, 5000])
def test_chance_is_no_shift_however_few_the_items(num_items: int) -> None:
    found = [popularity_shift(*shop(num_items, seed)) for seed in range(20)]
    assert sum(one.is_large for one in found) <= 1
    assert np.median([one.ratio for one in found]) == pytest.approx(1.0, abs=0.25)
    assert all(one.low <= one.ratio <= one.high for one in found)


@pytest.mark.parametrize("num_items", [400, 5000])
def test_a_test_part_that_prefers_some_items_is_a_shift(num_items: int) -> None:
    dataset, test = shop(num_items, 0, prefer=3.0)
    found = popularity_shift(dataset, test)
    assert found.is_large
    assert found.test > 1.5
    assert found.validation < LARGE
    assert f"{found.test:.2f}" in found.message()
    assert found.to_json()["ratio"] == found.ratio
    assert popularity_shift(dataset, test) == found


def test_the_whole_interval_counts_and_works_both_ways() -> None:
    assert PopularityShift(1.0, 2.0, low=LARGE, high=3.0).is_large
    assert not PopularityShift(1.0, 2.0, low=LARGE - 0.01, high=3.0).is_large
    assert PopularityShift(2.0, 1.0, low=0.4, high=1 / LARGE).is_large
    assert not PopularityShift(2.0, 1.0, low=0.4, high=1 / LARGE + 0.01).is_large
    assert LARGE == 1.25


def test_dispersion_is_of_the_part_within_the_whole() -> None:
    """By hand: shares of a quarter; deviations 1, 1 in variances 3/4, 3/4; one degree of freedom."""
    assert dispersion(np.array([2, 0]), np.array([2, 4])) == pytest.approx(2 / 0.75)


def test_nothing_held_out_is_no_shift() -> None:
    empty = np.zeros(5, dtype=np.int64)
    assert dispersion(empty, np.ones(5, dtype=np.int64)) == 1.0
    assert dispersion(empty, empty) == 1.0


def test_items_of_test_alone_are_a_shift() -> None:
    """They are held out always: the docstring's "new ones"."""
    dataset, test = shop(400, 0)
    new = np.full(50, 10)
    test = SimpleNamespace(relevant=test.relevant, unknown_counts=new)  # type: ignore[assignment]
    found = popularity_shift(dataset, test)
    train, valid, tested = (
        np.bincount(part.indices, minlength=400) for part in (dataset.selection.positives, dataset.valid, test.relevant)
    )
    assert found.is_large
    assert found.validation == dispersion(valid, train)
    assert found.test == dispersion(np.append(tested, new), np.append(train + valid, np.zeros_like(new)))
    assert found.low <= found.ratio <= found.high


def test_unknown_items_are_counted_by_the_split(tmp_path: Path) -> None:
    lines = [
        "user_id,item_id,split",
        "1,1,train",
        "1,2,valid",
        "1,3,test",
        "1,9,test",
        "2,9,test",
        "2,1,test",
        "2,8,test",
    ]
    (tmp_path / "interactions.csv").write_text("\n".join(lines) + "\n")
    _, test = load_with_test(tmp_path, read_config(tmp_path, {}))
    assert sorted(test.unknown_counts) == [1, 1, 2]  # items 3, 8 and 9


@pytest.mark.parametrize("unknown", [0, 70])
def test_a_part_that_deviates_nowhere_has_its_ratio_within_its_interval(unknown: int) -> None:
    """Every item has the same held-out share in validation; of test nothing is known, or only new items are."""
    rows = sp.csr_matrix((np.ones(400, np.float32), np.arange(400), [0, 400]), shape=(1, 400))
    graph = InteractionGraph(rows, rows)
    dataset = SimpleNamespace(selection=graph, valid=rows, items=Vocabulary(np.arange(400)))
    test = SimpleNamespace(
        relevant=sp.csr_matrix((1, 400), dtype=np.float32), unknown_counts=np.ones(unknown, np.int64)
    )
    found = popularity_shift(dataset, test)  # type: ignore[arg-type]
    assert found.low <= found.ratio <= found.high < np.inf
    json.dumps(found.to_json(), allow_nan=False)


def test_an_unknown_end_has_a_json_form() -> None:
    assert PopularityShift(1.0, 1.0, 0.0, np.inf).to_json()["high"] is None
