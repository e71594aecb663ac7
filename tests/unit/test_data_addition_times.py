"""Times that are added to data: its units, types and texts, and what none of them can hold."""

from __future__ import annotations

from datetime import date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from added_data import LATER, NOON, OURS, added, folder

from gnas_search.data.addition import add_interactions
from gnas_search.data.readers import read_config, read_interactions
from gnas_serve.errors import DataError


@pytest.mark.parametrize(
    ("times", "form"),
    [
        ([int(NOON - 3), int(NOON - 2), int(NOON - 1), int(NOON)], "parquet"),
        ([int(NOON * 1000) + step for step in range(4)], "parquet"),
        ([str(int(NOON * 1e6) + step) for step in range(4)], "csv"),
        ([NOON - 0.25, NOON, NOON, NOON], "jsonl"),
        ([datetime(2023, 11, 15, 12, 0, second) for second in range(4)], "parquet"),
        (["2023-11-15T12:00:00Z", "2023-11-15T12:00:01Z", "2023-11-15T12:00:02Z", "2023-11-15T12:00:03Z"], "csv"),
        (["2023-11-15", "2023-11-14", "2023-11-13", "2023-11-12"], "jsonl"),
        ([date(2023, 11, day) for day in (12, 13, 14, 15)], "parquet"),
    ],
)
def test_times_take_the_unit_and_the_type_of_the_data(tmp_path: Path, times: list[Any], form: str) -> None:
    data = folder(tmp_path / "ours", OURS | {"timestamp": times}, form)
    before = read_interactions(data, read_config(data, {}))
    done, read = added(data, folder(tmp_path / "more", LATER))
    assert done.added == 4
    assert before.timestamps is not None
    assert read.timestamps is not None
    assert np.array_equal(read.timestamps[:4], before.timestamps)
    unit = 10.0 ** (3 * round(np.log10(before.timestamps.max() / NOON) / 3))
    step = 86_400 if isinstance(times[0], date) and not isinstance(times[0], datetime) else 1
    gap = np.array(LATER["timestamp"]) - read.timestamps[4:] / unit
    assert (gap >= -1e-6).all()
    assert (gap < step).all()


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_dates_keep_their_unit_of_time(tmp_path: Path, unit: Any) -> None:
    times = pl.Series([datetime(2023, 11, 15, 12, 0, second) for second in range(4)], dtype=pl.Datetime(unit, "UTC"))
    data = folder(tmp_path / "ours", OURS | {"timestamp": times})
    _, read = added(data, folder(tmp_path / "more", LATER | {"timestamp": [NOON + 0.002, NOON, NOON, -1.5]}))
    assert read.timestamps is not None
    assert read.timestamps[4:].tolist() == [NOON + 0.002, NOON, NOON, -1.5]
    assert pl.read_parquet(tmp_path / "newer" / "interactions.parquet")["timestamp"].dtype == times.dtype


@pytest.mark.parametrize("kind", [int, float, str])
@pytest.mark.parametrize("per_second", [10**3, 10**6])
def test_a_fraction_of_a_second_is_the_number_that_the_data_has_for_it(
    tmp_path: Path, kind: Any, per_second: int
) -> None:
    parts = [123, 57, 1, 999]  # thousandths
    ours = [(1_600_000_000_000 + part) * (per_second // 1000) for part in parts]
    data = folder(tmp_path / "ours", OURS | {"timestamp": [kind(time) for time in ours]})
    done, _ = added(
        data, folder(tmp_path / "more", OURS | {"timestamp": [1_600_000_000 + part / 1e3 for part in parts]})
    )
    assert (done.added, done.present) == (0, 4)


IN_NS = [1_600_000_000_000_000_000 + step for step in range(4)]
IN_DATES = [date(2023, 11, day) for day in (12, 13, 14, 15)]
IN_TIMES = pl.Series([datetime(2023, 11, 15, 12, 0, second) for second in range(4)])


@pytest.mark.parametrize(
    ("times", "form", "wrong", "said"),
    [
        (IN_NS, "parquet", 9.3e9, "9300000000.0, too far from 1970"),
        (IN_NS, "parquet", -9.3e9, "-9300000000.0, too far from 1970"),
        (IN_NS, "csv", 9.3e9, "9300000000.0, too far from 1970"),
        (IN_NS, "parquet", 1e12, "1000000000000.0, outside the years 1 to 9999"),
        (OURS["timestamp"], "csv", 1e19, "1e+19, outside the years 1 to 9999"),
        (OURS["timestamp"], "parquet", 1e300, "1e+300, outside the years 1 to 9999"),
        (OURS["timestamp"], "parquet", NOON * 1e3, "1700049600000.0, outside the years 1 to 9999"),
        (IN_DATES, "parquet", 2e14, "200000000000000.0, outside the years 1 to 9999"),
        (IN_TIMES, "parquet", 1e14, "100000000000000.0, outside the years 1 to 9999"),
        (["2023-11-15T12:00:00Z"] * 4, "csv", 253402300800.0, "253402300800.0, outside the years 1 to 9999"),
        (IN_DATES, "parquet", -62135596801.0, "-62135596801.0, outside the years 1 to 9999"),
        (IN_TIMES, "parquet", -1e14, "-100000000000000.0, outside the years 1 to 9999"),
        (IN_TIMES.cast(pl.Datetime("ns")), "parquet", 9.3e9, "9300000000.0, too far from 1970"),
    ],
)
def test_a_time_that_the_data_cannot_hold_is_refused(
    tmp_path: Path, times: Any, form: str, wrong: float, said: str
) -> None:
    data = folder(tmp_path / "ours", OURS | {"timestamp": times}, form)
    more = folder(tmp_path / "more", LATER | {"timestamp": [NOON, NOON, wrong, wrong]})
    with pytest.raises(DataError) as refused:
        add_interactions(data, read_config(data, {}), more, tmp_path / "newer")
    assert f"{more / 'interactions.parquet'}: timestamp in row 3 is {said}" in refused.value.message
    assert refused.value.hint is not None
    assert "the 2 such rows" in refused.value.hint
    assert sorted(path.name for path in tmp_path.iterdir()) == ["more", "ours"]


@pytest.mark.parametrize(("times", "form"), [(["2023-11-15T12:00:00Z"] * 4, "csv"), (IN_DATES, "parquet")])
def test_the_first_and_the_last_day_of_the_calendar_have_every_form(tmp_path: Path, times: Any, form: str) -> None:
    ends = [-62_135_596_800.0, 253_402_300_799.0]
    data = folder(tmp_path / "ours", OURS | {"timestamp": times}, form)
    _, read = added(data, folder(tmp_path / "more", LATER | {"timestamp": ends * 2}))
    assert read.timestamps is not None
    assert np.abs(read.timestamps[4:] - ends * 2).max() < 86_400


def test_a_time_of_the_data_that_nothing_else_could_show_stays(tmp_path: Path) -> None:
    times = ["2023-11-15T12:00:00+00:00", "9999-12-31T23:00:00-02:00"] * 2  # in UTC the year 10000
    data = folder(tmp_path / "ours", OURS | {"timestamp": times}, "csv")
    done, _ = added(data, folder(tmp_path / "more", LATER))
    assert done.added == 4
    assert (done.path / "interactions.csv").read_text().startswith((data / "interactions.csv").read_text())


@pytest.mark.parametrize(
    ("last", "taken"), [(1e8, False), (2.4e8, False), (2.6e8, True), (4e9, True), (4.2e9, False), (4.2e12, False)]
)
def test_the_unit_is_told_from_the_last_time_or_not_at_all(tmp_path: Path, last: float, taken: bool) -> None:
    data = folder(tmp_path / "ours", OURS | {"timestamp": [last - 3, last - 2, last - 1, last]})
    more = folder(tmp_path / "more", LATER)
    if taken:
        assert add_interactions(data, read_config(data, {}), more, tmp_path / "newer").added == 4
    else:
        with pytest.raises(DataError, match="no time since 1970"):
            add_interactions(data, read_config(data, {}), more, tmp_path / "newer")
