"""Objectives: read, held against figures, and told from what is none."""

from __future__ import annotations

import pytest

from gnas_serve.errors import ConfigError, LatencyError
from gnas_serve.load.objectives import OBJECTIVES, Objective, read_objectives, require_kept, require_measured

FIGURES: dict[str, float | None] = dict.fromkeys(OBJECTIVES, 100.0)


def test_units() -> None:
    text = "p50=250us, p90=2ms,p99 = 10ms,p99.9=.5s,max=1s,cpu=300us,qps=500,errors=0.1%,rss=1.5GiB,recall=0.98"
    assert {one.name: one.limit for one in read_objectives(text)} == {
        "p50": 250.0,
        "p90": 2000.0,
        "p99": 10_000.0,
        "p99.9": 500_000.0,
        "max": 1e6,
        "cpu": 300.0,
        "qps": 500.0,
        "errors": pytest.approx(0.001),
        "rss": 1.5 * 2**30,
        "recall": 0.98,
    }
    assert read_objectives("errors=0") == (Objective("errors", 0.0),)
    assert read_objectives("recall=98%")[0].limit == pytest.approx(0.98)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "p99",
        "p99=",
        "p99=10",  # of what?
        "p99=10MB",
        "p99=-1ms",
        "p99=0ms",
        "p99=1e3ms",
        "p99=10ms,",
        "p99=10ms,p99=20ms",
        "p98=10ms",
        "qps=0",
        "qps=500/s",
        "qps=inf",
        "errors=101%",
        "recall=1.5",
        "rss=500",
        "rss=1ms",
        "p99=10ms;qps=5",
        "p99=\x1b[2Jms",
        "p99=" + "9" * 400 + "s",
    ],
)
def test_what_is_no_objective(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_objectives(text)
    assert raised.value.hint
    assert "\x1b" not in str(raised.value)


def test_limits_are_kept_up_to_the_limit_itself() -> None:
    require_kept(read_objectives("p99=100us,qps=100,errors=0,rss=100B"), {**FIGURES, "errors": 0.0})
    require_kept((), FIGURES)


def test_a_miss_says_of_each_what_was_found_and_asked() -> None:
    figures = {**FIGURES, "p99": 12_500.0, "qps": 400.0, "errors": 0.02, "recall": None, "cpu": 100.0}
    with pytest.raises(LatencyError) as raised:
        require_kept(read_objectives("p99=10ms,qps=500,errors=0,recall=.9,cpu=100us"), figures)
    said = raised.value.message
    assert "4 of 5 objectives missed" in said
    assert "p99 is 12.5 ms, at most 10 ms was asked" in said
    assert "qps is 400 /s, at least 500 /s was asked" in said
    assert "errors is 2%, at most 0% was asked" in said
    assert "recall could not be measured, at least 90% was asked" in said
    assert "cpu" not in said
    assert raised.value.exit_code == 7


def test_a_figure_is_never_written_as_the_limit_that_it_misses() -> None:
    figures = {**FIGURES, "p50": 1e6, "rss": 500_000_001.0, "errors": 0.0100004, "qps": 123_456.0}
    with pytest.raises(LatencyError) as raised:
        require_kept(read_objectives("p50=1us,rss=500MB,errors=1%,qps=1000000"), figures)
    said = raised.value.message
    assert "p50 is 1 s, at most 1 us was asked" in said
    assert "rss is 500.000001 MB, at most 500 MB was asked" in said
    assert "errors is 1.00004%, at most 1% was asked" in said
    assert "qps is 123456 /s, at least 1000000 /s was asked" in said


def test_what_will_not_be_measured_is_refused_beforehand() -> None:
    require_measured(read_objectives("p99=1ms"), {"recall": "give --artifact"})
    with pytest.raises(ConfigError, match="recall is not measured"):
        require_measured(read_objectives("p99=1ms,recall=.9"), {"recall": "give --artifact"})
