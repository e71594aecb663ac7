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


def test_a_miss_says_of_each_by_how_much() -> None:
    figures = {**FIGURES, "p99": 12_500.0, "qps": 400.0, "errors": 0.02, "recall": None, "cpu": 100.0}
    with pytest.raises(LatencyError) as raised:
        require_kept(read_objectives("p99=10ms,qps=500,errors=0,recall=.9,cpu=100us"), figures)
    said = raised.value.message
    assert "4 of 5 objectives missed" in said
    assert "p99 is 12.5 ms, 25.0% above the objective of 10 ms" in said
    assert "qps is 400, 20.0% below the objective of 500" in said
    assert "errors is 2.000%, above the objective of 0.000%" in said
    assert "recall could not be measured" in said
    assert "cpu" not in said
    assert raised.value.exit_code == 7


def test_what_will_not_be_measured_is_refused_beforehand() -> None:
    require_measured(read_objectives("p99=1ms"), {"recall": "give --artifact"})
    with pytest.raises(ConfigError, match="recall is not measured"):
        require_measured(read_objectives("p99=1ms,recall=.9"), {"recall": "give --artifact"})
