"""Description: the skew figures, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gnas_search.data.describe import degree_skew, describe
from gnas_search.data.interactions import DatasetConfig
from gnas_search.data.readers import read_interactions
from gnas_search.data.splits import split


def test_degree_skew_of_even_and_uneven_degrees() -> None:
    assert degree_skew(np.array([4, 4, 4, 4]))["gini"] == pytest.approx(0)
    uneven = degree_skew(np.array([0, 0, 0, 10]))
    assert uneven["gini"] == pytest.approx(0.75)
    assert uneven["top_1_percent_share"] == 1
    assert uneven["p50"] == 0
    assert uneven["mean"] == 2.5


@pytest.mark.parametrize(
    ("unit", "first_date"), [(1, "2024-01-01T00:00:00+00:00"), (1000, "2024-01-01T00:00:00+00:00")]
)
def test_the_time_span_is_dated_where_it_looks_like_epoch_time(unit: int, first_date: str, tmp_path: Path) -> None:
    rows = [f"{user},{item},{(1704067200 + 86400 * item) * unit}" for user in (1, 2) for item in range(5)]
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows))
    interactions = read_interactions(tmp_path, DatasetConfig())
    facts = describe(interactions, *split(interactions))
    assert facts["time"]["first_date"] == first_date
    assert facts["time"]["days"] == pytest.approx(4)
    assert facts["density"] == 1
    assert facts["split"] | {"policy": "temporal", "train": 6, "valid": 2, "test": 2} == facts["split"]


def test_positions_are_no_dates(tmp_path: Path) -> None:
    rows = [f"{user},{item},{item}" for user in (1, 2) for item in range(5)]
    (tmp_path / "interactions.csv").write_text("user_id,item_id,timestamp\n" + "\n".join(rows))
    interactions = read_interactions(tmp_path, DatasetConfig())
    time = describe(interactions, *split(interactions))["time"]
    assert (time["first"], time["last"], time["first_date"]) == (0, 4, None)
