"""A plan: what a search would try and take, told before it runs; what it times it times once."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from random_graph import random_graph
from rich.console import Console
from toy_study import SMALL, make_dataset, small_space

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.data.dataset import InteractionGraph
from gnas_search.evaluate import validation_of
from gnas_search.fit_forecast import TrialForecast
from gnas_search.forecast import forecast
from gnas_search.space import SearchSpace
from gnas_search.spectral import OVERSAMPLING
from gnas_search.study import Limits
from gnas_search.study.limits import MOST_RESERVED
from gnas_search.study.plan import SAMPLED, plan
from gnas_search.study.supernet_phase import share_s
from gnas_search.timings import Timings
from gnas_serve.cli.search_plan import plan_table

WIDE = 10**13  # dims that no machine has the memory for


def test_the_plan_of_every_family() -> None:
    space = SearchSpace.load("quick")
    found = plan(make_dataset(), space, strategy="random", seed=3, limits=Limits.of(12, None))
    assert json.loads(json.dumps(found)) == found
    assert (found["users"], found["items"], found["strategy"]) == (60, 40, "random")
    assert found["trials"] == {"filter": 3, "two-hop": 3, "gnn": 6}
    restricted = space.restrict(make_dataset())
    for family, facts in found["families"].items():
        assert facts["size"] == facts["feasible"]["models"] == restricted.families[family].size()
        assert [start["key"] for start in facts["starts"]] == [one.key() for one in restricted.families[family].starts]
        sample = facts["sample"]
        assert (sample["points"], sample["drawn"], sample["refused"]) == (SAMPLED, SAMPLED, [])
        assert (sample["epoch_s"] is not None) == (family == "gnn")
        for name in ("trial_s", "peak_bytes"):
            assert 0 < sample[name]["least"] <= sample[name]["median"] <= sample[name]["most"]
        for start in facts["starts"]:
            assert start["epoch_s"] is None or start["trial_s"] >= 12 * start["epoch_s"]


def test_a_budget_holds_fewer_trials_of_what_takes_longer() -> None:
    found = plan(make_dataset(), SearchSpace.load("quick"), strategy="tpe", seed=0, limits=Limits.of(None, 60.0))
    per_trial = {family: found["seconds"][family] / count for family, count in found["trials"].items()}
    assert 20.0 < sum(found["seconds"].values()) <= 40.0 + 1e-6  # a third is left for the blend
    assert all(0 < seconds <= 20.0 for seconds in per_trial.values())
    assert found["budget_s"] == 60.0


def test_a_finite_family_holds_no_more_than_it_has_and_constraints_are_counted() -> None:
    found = plan(make_dataset(), small_space(), strategy="tpe", seed=0, limits=Limits.of(500, None))
    assert found["trials"] == {"gnn": 12}
    space = SearchSpace.from_json({**SMALL, "forbid": [{"operator": "gcn"}]})
    found = plan(make_dataset(), space, strategy="tpe", seed=0, limits=Limits.of(500, None))
    assert found["families"]["gnn"]["feasible"] == {"models": 4, "is_exact": True}
    assert found["families"]["gnn"]["sample"]["drawn"] > SAMPLED
    assert found["trials"] == {"gnn": 4}


def test_what_memory_refuses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gnas_search.memory_check.available_bytes", lambda *_: 1)
    found = plan(make_dataset(), small_space(), strategy="tpe", seed=0, limits=Limits.of(5, None))
    facts = found["families"]["gnn"]
    assert len(facts["sample"]["refused"]) == SAMPLED
    assert "training needs about" in facts["starts"][0]["refused"]
    assert facts["sample"]["usual"] is None
    for limits in (Limits.of(5, None), Limits.of(None, 600.0)):
        found = plan(make_dataset(), small_space(), strategy="tpe", seed=0, limits=limits)
        assert (found["trials"], found["seconds"]) == ({"gnn": 0}, {"gnn": 0.0})


def test_what_memory_refuses_is_not_timed() -> None:
    """What would be timed takes tables as wide as the model's."""
    wide = {"genes": {**SMALL["genes"], "embedding_dim": [8, WIDE]}, "start": [{"embedding_dim": WIDE}]}
    found = plan(make_dataset(), SearchSpace.from_json(wide), strategy="random", seed=0, limits=Limits.of(5, None))
    facts = found["families"]["gnn"]
    (start,) = facts["starts"]
    assert "training needs about" in start["refused"]
    assert (start["epoch_s"], start["trial_s"]) == (None, None)
    assert facts["sample"]["usual"]["seconds"] > 0
    assert found["trials"] == {"gnn": 4}
    shown = Console(width=200, file=io.StringIO())
    shown.print(plan_table(found))
    assert "refused for want of memory" in shown.file.getvalue()  # type: ignore[attr-defined]


def test_of_two_limits_the_nearer_one_counts() -> None:
    whole, both, ample = (
        plan(make_dataset(), SearchSpace.load("quick"), strategy="tpe", seed=0, limits=Limits.of(trials, 60.0))
        for trials in (None, 9, 10**9)
    )
    assert 0 < sum(both["trials"].values()) <= 9 < sum(whole["trials"].values())
    assert sum(ample["trials"].values()) > 9


def test_trials_of_more_work_are_forecast_to_take_longer() -> None:
    dataset = make_dataset()
    graph = random_graph(3000, 2000)
    trials = TrialForecast(graph, validation_of(dataset))
    monotone = [
        (FilterSpec(rank=16), FilterSpec(rank=1024)),
        (ArchitectureSpec(init="random", epochs=2), ArchitectureSpec(init="random", epochs=12)),
        (ArchitectureSpec(init="random"), ArchitectureSpec(init="svd", embedding_dim=64)),
    ]
    for less, more in monotone:
        assert 0 < trials.trial_s(less) < trials.trial_s(more)
    for spec in (TwoHopSpec(neighbours=20), PopularitySpec()):
        assert trials.trial_s(spec) > 0
        assert trials.trial_s(spec) == trials.trial_s(spec)  # what was timed once counts
        assert trials.peak_bytes(spec) > 0


class EntryClock:
    """A clock by which a decomposition takes a second per entry and column, and nothing else takes any."""

    def __init__(self) -> None:
        self.now = 0.0

    def perf_counter(self) -> float:
        return self.now

    def decompose(self, matrix: Any, rank: int, seed: int) -> None:
        self.now += len(matrix.pattern.indices) * min(rank + OVERSAMPLING, matrix.num_rows, matrix.num_columns)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> EntryClock:
    clock = EntryClock()
    monkeypatch.setattr("gnas_search.fit_forecast.time", clock)
    monkeypatch.setattr("gnas_search.fit_forecast.truncated_svd", clock.decompose)
    return clock


def test_what_is_decomposed_is_timed_on_the_edges_that_it_is_of(clock: EntryClock) -> None:
    """Of a shop with five views per purchase, a model of all edges decomposes six times as much."""
    few, many = random_graph(300, 200, 4).positives, random_graph(300, 200, 24).positives
    trials = TrialForecast(InteractionGraph(few, many), validation_of(make_dataset()))
    for spec in (FilterSpec(rank=64), ArchitectureSpec(embedding_dim=64, init="svd", epochs=1)):
        drawn = [replace(spec, init="random")] if isinstance(spec, ArchitectureSpec) else []
        target_s, whole_s = (
            trials.trial_s(replace(spec, edges=edges)) - sum(trials.trial_s(replace(one, edges=edges)) for one in drawn)
            for edges in ("target", "all")
        )
        assert target_s > 0.0
        assert whole_s / target_s == pytest.approx(many.nnz / few.nnz)


@pytest.mark.usefixtures("clock")
def test_a_filter_takes_as_long_as_the_decomposition_that_is_made_for_it() -> None:
    """It has a multiple of so many columns, whatever the rank."""
    trials = TrialForecast(random_graph(3000, 2000), validation_of(make_dataset()))
    found = [trials.trial_s(FilterSpec(rank=rank)) for rank in (16, 512, 513, 1024)]
    assert found[0] == found[1] < found[2] == found[3]
    small = TrialForecast(random_graph(300, 200), validation_of(make_dataset()))  # decomposed whole
    assert small.trial_s(FilterSpec(rank=16)) == small.trial_s(FilterSpec(rank=1024))


def test_timings_are_shared_and_of_one_graph() -> None:
    graph = random_graph(300, 200)
    timings = Timings(graph, repeats=1)
    spec = ArchitectureSpec(init="random", embedding_dim=16)
    first = forecast(spec, graph, timings=timings).epoch_s
    assert forecast(spec, graph, timings=timings).epoch_s == first
    assert forecast(replace(spec, learning_rate=0.01, combination="sum"), graph, timings=timings).epoch_s == first
    with pytest.raises(ValueError, match="another graph"):
        forecast(spec, random_graph(300, 200), timings=timings)


def test_a_plan_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    plan(make_dataset(), small_space(), strategy="tpe", seed=0, limits=Limits.of(5, None))
    assert list(tmp_path.iterdir()) == []


def test_a_supernet_takes_its_share_from_the_networks() -> None:
    limits = Limits.of(None, 60.0)
    plain, shared = (
        plan(make_dataset(), SearchSpace.load("quick"), strategy=strategy, seed=0, limits=limits)
        for strategy in ("tpe", "one-shot")
    )
    assert shared["trials"]["filter"] > 0
    assert shared["seconds"]["gnn"] < plain["seconds"]["gnn"]
    longest_s = max(start["trial_s"] for start in shared["families"]["gnn"]["starts"])
    whole_s = 60.0 * (1 - MOST_RESERVED)
    assert shared["seconds"]["gnn"] < plain["seconds"]["gnn"] - share_s(whole_s, shared["families"]) + 2 * longest_s
