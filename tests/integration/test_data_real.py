"""Real research data reads and splits as its README says."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from gnas_search.data.readers import read_config
from gnas_search.data.splits import load_with_test

ROOT = Path(os.environ.get("GNAS_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))


@dataclass(frozen=True)
class Expected:
    policy: str
    target: str
    final: int  # target interactions of train + validation
    test: int
    test_only_users: int = 0
    features: int = 0


EXPECTED = {
    "amazon-games": Expected("given", "interaction", 389_718, 50_546),
    "amazon-instruments": Expected("temporal", "interaction", 8_758, 1_503),
    "gowalla": Expected("given+random", "interaction", 810_128, 217_242),
    "lastfm": Expected("given+random", "interaction", 42_135, 10_533, test_only_users=2),
    "ml-100k": Expected("temporal", "interaction", 89_963, 10_037, features=19),
    "ml-1m": Expected("given+random", "interaction", 796_244, 99_455),
    "tmall": Expected("given", "buy", 213_000, 74_158, test_only_users=580),
}


@pytest.mark.real_data
@pytest.mark.parametrize("name", EXPECTED)
def test_real_data_reads_and_splits(name: str) -> None:
    folder = ROOT / name
    if not folder.is_dir():
        pytest.skip(f"{folder} is absent: set GNAS_REAL_DATA to the folder of the research data")
    expected = EXPECTED[name]
    dataset, test = load_with_test(folder, read_config(folder, {}))
    assert dataset.policy == expected.policy
    assert dataset.target_event == expected.target
    assert dataset.final.positives.nnz == expected.final
    assert dataset.selection.positives.nnz + dataset.valid.nnz == expected.final
    assert int(test.num_relevant.sum()) == expected.test
    assert int(np.count_nonzero(test.user_rows < 0)) == expected.test_only_users
    assert dataset.selection.positives.multiply(dataset.valid).nnz == 0
    if expected.features:
        assert dataset.item_features is not None
        assert len(dataset.item_features.names) == expected.features
