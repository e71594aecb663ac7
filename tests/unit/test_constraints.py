"""Constraints: what is out is named, never trained, and learned from; what they leave is counted."""

from __future__ import annotations

import errno
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from toy_study import SMALL, ToySlot, go, make_dataset, toy_fit

from gnas_export.retrieval.tables import branch_bytes, compress, links
from gnas_export.trial_costs import ExportedCosts
from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec, PopularitySpec, TwoHopSpec
from gnas_search.fit import Branch, Fit
from gnas_search.layer_spec import LayerSpec
from gnas_search.report import render
from gnas_search.slots import Result
from gnas_search.space import SearchSpace
from gnas_search.space.constraints import Constraints
from gnas_search.space.costs import artifact_bytes, num_parameters
from gnas_search.specs import BlendSpec, BranchSpec, Share
from gnas_search.strategies import STRATEGIES
from gnas_search.study import Study, leaderboard, pick, status
from gnas_search.study.beginning import begin
from gnas_search.study.journal import open_journal
from gnas_search.study.metrics import metrics_path
from gnas_search.study.notes import notes
from gnas_search.study.objectives import Objectives
from gnas_search.study.records import infeasible_values
from gnas_search.trainer import Trainer
from gnas_serve.artifact.branches import BranchFacts
from gnas_serve.errors import ConfigError, ExportError, StorageError

FILTERS = {"genes": {"rank": [4, 8, 16], "user_power": [0.0, 0.5]}, "start": [{"rank": 4, "user_power": 0.0}]}
NET = ArchitectureSpec(layers=("gat", "lightgcn"), scorer="dot", loss="softmax", learning_rate=0.01)


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)


@pytest.mark.parametrize(
    ("directions", "values"),
    [(["maximize"], [0.0]), (["minimize"], None), (["maximize", "minimize"], None), (["maximize"] * 2, None)],
)
def test_what_strategies_are_told_of_a_model_that_is_out(directions: list[str], values: list[float] | None) -> None:
    """A worst value where there is one: of a loss none is, and 0 would be the best of all."""
    assert infeasible_values(optuna.create_study(directions=directions)) == values


@pytest.mark.parametrize(
    ("forbid", "out"),
    [
        ({"scorer": "dot", "loss": "softmax"}, True),
        ({"scorer": "dot", "loss": "bpr"}, False),
        ({"loss": ["bpr", "softmax"]}, True),
        ({"operator": "gat"}, True),
        ({"operator": "gcn"}, False),
        ({"operator": ["gcn", "lightgcn"]}, True),
        ({"num_layers": 2}, True),
        ({"num_layers": [0, 1]}, False),
        ({"learning_rate": {"high": 0.02}}, True),
        ({"learning_rate": {"low": 0.02}}, False),
        ({"activation": "leaky_relu"}, True),
        ({"dropout": {"low": 0.1}}, False),
        ({"num_nodes": 1}, True),
        ({"kind": "gnn", "edges": "target"}, True),
        ({"kind": "filter", "edges": "target"}, False),
        ({"rank": 256}, False),
        ({"edge_weights": "symmetric", "max_degree": {"low": 1}}, False),
        ({"event_weight": 1.0, "half_life": 0.0, "cooccurrence": 0}, True),
        ({"event_weight.view": {"high": 0.9}}, False),
        ({"temperature": 0.1}, False),  # which a dot product does not have: it counts as 1
    ],
)
def test_a_model_that_matches_every_line_is_out(forbid: dict[str, Any], out: bool) -> None:
    constraints = Constraints.from_json({"forbid": [forbid]})
    assert bool(constraints.broken_rule(NET)) == out
    again = Constraints.from_json(json.loads(json.dumps(constraints.to_json())))
    assert again == constraints


@pytest.mark.parametrize(
    ("force", "spec", "out"),
    [
        ({"when": {"operator": "gat"}, "heads": [2, 4]}, NET, True),
        ({"when": {"operator": "gat"}, "heads": [2, 4]}, replace(NET, heads=2), False),
        ({"when": {"operator": "gat"}, "heads": [2, 4]}, replace(NET, layers=("gcn",)), False),
        ({"when": {"edges": "target"}, "rank": {"high": 64}}, FilterSpec(rank=128), True),
        ({"when": {"edges": "target"}, "rank": {"high": 64}}, FilterSpec(rank=64), False),
        ({"when": {"edges": "target"}, "rank": {"high": 64}}, NET, False),  # has no rank to be forced
        ({"when": {"kind": "two-hop"}, "kept_per": "source"}, TwoHopSpec(kept_per="target"), True),
    ],
)
def test_what_must_hold_when_something_does(force: dict[str, Any], spec: BranchSpec, out: bool) -> None:
    constraints = Constraints.from_json({"force": [force]})
    reason = constraints.broken_rule(spec)
    assert bool(reason) == out
    assert not out or "when" in reason
    assert Constraints.from_json(json.loads(json.dumps(constraints.to_json()))) == constraints


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"constraints": []}, r"mine: constraints is no table"),
        ({"constraints": {"max_params": 3}}, r"mine: constraints: unknown constraint 'max_params'.*'max_parameters'"),
        ({"constraints": {"max_parameters": 1.5}}, r"constraints.max_parameters: 1.5 is no limit \(give a whole"),
        ({"constraints": {"max_latency_us": 0}}, r"constraints.max_latency_us: 0 is no limit"),
        ({"constraints": {"max_latency_us": float("inf")}}, r"max_latency_us: inf is no limit"),
        ({"constraints": {"max_parameters": 10**400}}, r"max_parameters: 10+ is no limit"),
        ({"constraints": {"max_latency_us": True}}, r"max_latency_us: True is no limit"),
        ({"forbid": {"scorer": "dot"}}, r"mine: forbid is no list of tables"),
        ({"forbid": [{}]}, r"mine: forbid is no list of tables"),
        ({"forbid": [{"scorre": "dot"}]}, r"mine: forbid: unknown field 'scorre'.*'scorer'"),
        ({"forbid": [{"scorer": "dott"}]}, r"mine: forbid.scorer: unknown scorer 'dott'"),
        ({"forbid": [{"scorer": []}]}, r"forbid.scorer: an empty list"),
        ({"forbid": [{"scorer": {"low": 1}}]}, r"forbid.scorer: a range of no numbers"),
        ({"forbid": [{"learning_rate": {"lo": 1}}]}, r"forbid.learning_rate: unknown range key 'lo'"),
        ({"forbid": [{"learning_rate": {"low": "a"}}]}, r"forbid.learning_rate: .* is no range"),
        ({"forbid": [{"learning_rate": {"low": float("nan")}}]}, r"forbid.learning_rate: .* is no range"),
        ({"forbid": [{"learning_rate": {"high": float("inf")}}]}, r"forbid.learning_rate: .* is no range"),
        ({"forbid": [{"learning_rate": {"low": 0.5, "high": 0.1}}]}, r"forbid.learning_rate: .* is no range .*at most"),
        ({"forbid": [{"num_layers": 9}]}, r"forbid.num_layers: num_layers: 9 is no number of layers"),
        ({"forbid": [{"operator": "gta"}]}, r"forbid.operator: unknown operator 'gta'"),
        ({"forbid": [{"kind": "blend"}]}, r"forbid.kind: unknown kind of model 'blend'"),
        ({"forbid": [{"rank": 4, "scorer": "dot"}]}, r"mine: forbid: no kind of model has rank and scorer"),
        ({"force": [{"scorer": "dot"}]}, r"mine: force: no `when` table"),
        ({"force": [{"when": {"scorer": "dot"}}]}, r"mine: force: no `when` table, or nothing beside it"),
        ({"force": [{"when": {"scorre": "dot"}, "loss": "bpr"}]}, r"mine: force.when: unknown field 'scorre'"),
    ],
)
def test_a_wrong_constraint_is_refused_by_key(raw: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected) as caught:
        SearchSpace.from_json({**SMALL, **raw}, source="mine")
    assert caught.value.hint


def test_a_space_file_keeps_its_constraints() -> None:
    raw = {**SMALL, "forbid": [{"operator": "gcn", "num_layers": 2}], "constraints": {"max_latency_us": 50.5}}
    space = SearchSpace.from_json(raw)
    assert SearchSpace.from_json(space.to_json()) == space
    assert space != SearchSpace.from_json(SMALL)
    assert not {"constraints", "forbid", "force"} & set(SearchSpace.from_json(SMALL).to_json())


def test_a_start_that_breaks_a_constraint_and_a_space_with_nothing_left(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"mine: a start of the gnn models breaks a constraint: forbidden: num_layers"
    ):
        SearchSpace.from_json({**SMALL, "forbid": [{"num_layers": 2}]}, source="mine")
    with pytest.raises(ConfigError, match=r"no gnn model of the space meets the constraints: .*kind = 'gnn'"):
        SearchSpace.from_json({**SMALL, "forbid": [{"kind": "gnn"}]})
    for most, said in ((700, "no gnn model of the space meets"), (1000, "a start of the gnn models breaks")):
        space = SearchSpace.from_json({**SMALL, "constraints": {"max_parameters": most}})
        with pytest.raises(ConfigError, match=rf"{said}.* 1,600 parameters, more than max_parameters = {most:,}"):
            begin(tmp_path / "study", make_dataset(), space=space, strategy=None, seed=None)
    assert list(tmp_path.iterdir()) == []


def test_parameters_are_counted_as_training_has_them() -> None:
    graph = make_dataset().selection
    cell = LayerSpec((("gatv2", 0), ("gin", 1), ("sage_max", 0)))
    for layers in ((), ("lightgcn",), (cell, "ngcf")):
        for scorer, combination in (("cosine", "mean"), ("mlp", "concat"), ("bilinear", "attention")):
            spec = ArchitectureSpec(layers=layers, scorer=scorer, combination=combination, embedding_dim=8, heads=2)
            assert num_parameters(spec, graph) == Trainer(spec, graph, seed=0, device="cpu").num_parameters
    assert num_parameters(FilterSpec(), graph) == 0


def test_bytes_are_those_that_export_writes() -> None:
    graph = make_dataset().selection
    found: dict[str, int] = {}
    for spec in (FilterSpec(rank=8), FilterSpec(rank=4096), TwoHopSpec(neighbours=5)):
        fit = toy_fit(spec)
        tables = compress(fit, "int8", links(fit, "fp16"))
        written = tables.users.values.nbytes + tables.items.values.nbytes
        written += sum(side.scales.nbytes for side in (tables.users, tables.items) if side.scales is not None)
        written += sum(branch_bytes(branch, tables) for branch in fit.branches if branch.facts.width == 0)
        counted = artifact_bytes(spec, graph)
        assert counted == written if isinstance(spec, FilterSpec) else written <= counted < 2 * written
        found[spec.key()] = counted
    network = ArchitectureSpec(layers=("gcn",), combination="concat", include_input=True, embedding_dim=8)
    assert artifact_bytes(network, graph) == (graph.num_users + graph.num_items) * (16 + 4)
    blend = BlendSpec((Share(FilterSpec(rank=8), 1.0), Share(PopularitySpec(), 0.1)))
    rows = graph.num_users + graph.num_items
    assert artifact_bytes(blend, graph) == found[FilterSpec(rank=8).key()] + rows * 5
    assert artifact_bytes(replace(blend, dims=6), graph) == rows * 10


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_what_is_out_is_never_trained_and_the_rest_is_found(strategy: str, tmp_path: Path) -> None:
    limits = {"max_artifact_bytes": 100 * (16 + 4)}
    raw = {**SMALL, "filter": {**FILTERS, "genes": {**FILTERS["genes"], "rank": [4, 16, 32]}}, "constraints": limits}
    space = SearchSpace.from_json({**raw, "forbid": [{"operator": "gcn", "num_layers": 2}]})
    restricted, slot = space.restrict(make_dataset()), ToySlot()
    left = sum(restricted.count(family).models for family in restricted.families)
    assert left == 10
    study = go(tmp_path / "study", trials=None, slots=slot, space=space, strategy=strategy)
    assert len({job.spec.key() for job in slot.jobs}) == len(slot.jobs) == left
    assert not any(restricted.why_not(job.spec) for job in slot.jobs)
    rejected = [trial for trial in study.trials if trial.state == "infeasible"]
    counts = status(study)["trials"]
    assert (counts["complete"], counts["infeasible"]) == (left, len(rejected))
    assert rejected
    for trial in rejected:
        assert trial.spec is not None
        assert trial.reason == restricted.why_not(trial.spec) != ""


def test_a_constrained_space_runs_out_and_goes_on_where_it_stopped(tmp_path: Path) -> None:
    raw = {**SMALL, "filter": FILTERS, "forbid": [{"operator": "gcn", "num_layers": 2}, {"rank": 16}]}
    space = SearchSpace.from_json(raw)
    assert (space.count("gnn").models, space.count("filter").models, space.size()) == (6, 4, 10)
    study = go(tmp_path / "whole", trials=None, space=space, strategy="random")
    assert len([trial for trial in study.trials if trial.state == "complete"]) == 10
    for trials in (3, None):
        parts = go(tmp_path / "parts", trials=trials, space=space, strategy="random")
    assert [(t.key, t.state) for t in parts.trials] == [(t.key, t.state) for t in study.trials]
    reasons = {trial.reason for trial in study.trials if trial.state == "infeasible"}
    assert reasons
    assert all(reason.startswith("forbidden: ") for reason in reasons)


def test_a_rejection_that_was_stopped_is_finished_and_not_trained(tmp_path: Path) -> None:
    raw = {**SMALL, "forbid": [{"operator": "gcn", "num_layers": 2}]}
    folder, slot = tmp_path / "study", ToySlot()
    go(folder, trials=1, space=SearchSpace.from_json(raw), slots=slot)
    journal = open_journal(folder, create=False)
    point = {"num_layers": 2, "layer.0": "gcn", "layer.1": "gcn", "embedding_dim": 8}
    journal.enqueue_trial(point, user_attrs={"family": "gnn"})
    study = go(folder, trials=2, slots=slot)
    states = [trial.state for trial in study.trials]
    assert (states[:2], states[-1], states.count("complete")) == (["complete", "infeasible"], "complete", 2)
    assert len(slot.jobs) == 2


def test_what_answers_too_slowly_is_no_contender_and_strategies_hear_of_it(tmp_path: Path) -> None:
    space = SearchSpace.from_json({**SMALL, "constraints": {"max_latency_us": 0.01}})
    study = go(tmp_path / "study", trials=3, space=space)
    assert [trial.state for trial in study.trials] == ["infeasible"] * 3
    assert study.ranking == ()
    assert study.verdict.kind == "baseline"
    board = leaderboard(study)
    assert {row["kind"] for row in board["rows"]} <= {"baseline", "blend"}
    for selector in ("1", study.trials[1].key):
        with pytest.raises(ConfigError, match=r"trial 1 is infeasible: a request takes"):
            pick(study, selector)
    slow = [one for one in board["infeasible"] if one["trial"] is not None]
    assert [one["trial"] for one in slow] == [0, 1, 2]
    assert all("us, more than max_latency_us = 0.01" in one["reason"] for one in board["infeasible"])
    assert [trial.value for trial in study._journal.get_trials()] == [0.0] * 3
    fast = go(
        tmp_path / "fast", trials=3, space=SearchSpace.from_json({**SMALL, "constraints": {"max_latency_us": 1e6}})
    )
    assert [trial.state for trial in fast.trials] == ["complete"] * 3


class FitlessSlot(ToySlot):
    """Gives no fit with a closed form's result, as slots do."""

    def result(self) -> Result:
        return replace(super().result(), fit=None)


@pytest.mark.parametrize(("limit_us", "state"), [(1e6, "complete"), (0.01, "infeasible")])
def test_a_closed_form_is_fitted_again_to_be_timed(limit_us: float, state: str, tmp_path: Path) -> None:
    space = SearchSpace.from_json({"filter": FILTERS, "constraints": {"max_latency_us": limit_us}})
    slot = FitlessSlot()
    study = go(tmp_path / "study", trials=2, space=space, slots=slot)
    assert [trial.state for trial in study.trials] == [state] * 2
    simple = len(study.baselines)  # fitted again to be timed, too
    assert slot.fitted[simple : simple + 2] == [trial.key for trial in study.trials]
    page = render(study)
    for number in (0, 1):
        assert (f"Trial {number} is infeasible: a request takes" in page) == (state == "infeasible")
    assert "max_latency_us" in page
    # Without a limit there is nothing to time.
    unlimited = FitlessSlot(refuses=RuntimeError("no fit is needed"))
    plain = go(tmp_path / "plain", trials=2, space=SearchSpace.from_json({"filter": FILTERS}), slots=unlimited)
    assert [trial.state for trial in plain.trials] == ["complete"] * 2


def test_that_none_is_fast_enough_is_not_for_want_of_time(tmp_path: Path) -> None:
    space = SearchSpace.from_json({**SMALL, "filter": FILTERS, "constraints": {"max_latency_us": 22.5}})
    study = go(tmp_path / "study", trials=5, space=space, slots=ToySlot(level=0.3), meter=_slow_networks)
    slow = [trial for trial in study.trials if trial.kind == "gnn" and trial.state == "infeasible"]
    assert slow
    note = next(line for line in notes(study) if "network" in line)
    which = "its only trial breaks one" if len(slow) == 1 else f"all {len(slow)} trials break one, the first"
    assert note == f"no network meets the constraints: {which}: {slow[0].reason}"


def test_a_blend_that_is_too_slow_is_not_the_best(tmp_path: Path) -> None:
    def meter(fit: Fit) -> dict[str, float]:
        width = float(fit.item_vectors.shape[1])
        return {"artifact_bytes": 1.0, "latency_us": 10.0 + width if len(fit.branches) == 1 else 99.0}

    space = SearchSpace.from_json({**SMALL, "filter": FILTERS, "constraints": {"max_latency_us": 22.5}})
    study = go(tmp_path / "study", trials=7, space=space, slots=ToySlot(level=0.3), meter=meter, strategy="random")
    assert study.blends
    assert study.feasible_blends == ()
    assert status(study)["best"]["name"] not in [blend.key for blend in study.blends]
    feasible = [*(one.measured for one in study.baselines), *(measured for _, measured in study.ranking)]
    assert study.best == max(one.quality.value for one in feasible if one is not None)
    assert study.best < max(blend.measured.quality.value for blend in study.blends)


@pytest.mark.parametrize("wide", ["gnn", "blend"])
def test_tables_that_ship_wider_than_the_limit_are_out_once_they_are_weighed(wide: str, tmp_path: Path) -> None:
    def meter(fit: Fit) -> dict[str, float]:
        kind = fit.branches[0].facts.kind if len(fit.branches) == 1 else "blend"
        return {"artifact_bytes": 9e9, "latency_us": 10.0, "table_bytes": 20_001.0 if kind == wide else 20_000.0}

    space = SearchSpace.from_json({**SMALL, "filter": FILTERS, "constraints": {"max_artifact_bytes": 20_000}})
    costs = Objectives.of(["ndcg@20", "latency_us"])
    begun: dict[str, Any] = {"space": space, "meter": meter, "strategy": "random", "objectives": costs}
    study = go(tmp_path / "study", trials=7, slots=ToySlot(level=0.3), **begun)
    measured = [trial for trial in study.trials if trial.measured is not None]
    said = "20,001 bytes of tables as export writes them, more than max_artifact_bytes = 20,000"
    found = {(trial.kind, trial.state, trial.reason) for trial in measured}
    network = ("gnn", "infeasible", said) if wide == "gnn" else ("gnn", "complete", "")
    assert found == {network, ("filter", "complete", "")}
    reasons = [one["reason"] for one in leaderboard(study)["infeasible"]]
    if wide == "blend":
        whole, compressed = study.blends  # which is one branch
        assert reasons == [f"{whole.key}: {said}"]
        assert study.feasible_blends == (compressed,)
    assert reasons
    assert study.verdict.name not in [trial.key for trial in measured if trial.state == "infeasible"]


def test_what_export_writes_is_weighed_by_its_tables_too(monkeypatch: pytest.MonkeyPatch) -> None:
    written: dict[str, int] = {}

    def timed(folder: Path, *, seed: int) -> dict[str, float]:
        written.update({path.name: np.load(path).nbytes for path in folder.glob("*.npy")})
        return {"p50_us": 1.0}

    monkeypatch.setattr("gnas_export.trial_costs.measured", timed)
    data = make_dataset()
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 8)).astype(np.float32) for n in (len(data.users), len(data.items)))
    items[:, 0], users[:, 0] = 1e4, 0.0  # beside which int8 knows nothing of the others
    for fit, each in ((Fit((Branch(BranchFacts("wide", "gnn", 8), users, items),), 1), 2), (toy_fit(TwoHopSpec()), 1)):
        written.clear()
        meter = ExportedCosts(data)
        meter._profile = replace(meter._profile, candidates=5)  # of forty items any width finds the first forty
        costs = meter(fit)
        names = ("users.vectors", "users.scales", "items.vectors", "items.scales")
        names += ("neighbours.offsets", "neighbours.items", "neighbours.values")
        assert costs["table_bytes"] == sum(written.get(f"{name}.npy", 0) for name in names)
        assert written["items.vectors.npy"] == sum(b.facts.width for b in fit.branches) * len(data.items) * each
        assert costs["table_bytes"] < costs["artifact_bytes"]


def _slow_networks(fit: Fit) -> dict[str, float]:
    """Let networks and blends be slow."""
    slow = len(fit.branches) > 1 or fit.branches[0].facts.kind == "gnn"
    return {"artifact_bytes": 1.0, "latency_us": 99.0 if slow else 10.0}


def test_a_model_that_cannot_be_timed_has_failed(tmp_path: Path) -> None:
    space = SearchSpace.from_json({"filter": FILTERS, "constraints": {"max_latency_us": 1e6}})

    def broken(fit: Fit) -> dict[str, float]:
        raise ExportError("no room")

    study = go(tmp_path / "study", trials=2, space=space, slots=FitlessSlot(), meter=broken)
    assert [(trial.state, trial.reason) for trial in study.trials] == [("failed", "ExportError: no room")] * 2
    assert study.baselines


def test_a_full_disk_ends_the_run_and_costs_no_model(tmp_path: Path) -> None:
    space = SearchSpace.from_json({"filter": FILTERS, "constraints": {"max_latency_us": 1e6}})
    asked = []

    def full(fit: Fit) -> dict[str, float]:
        asked.append(fit)
        if len(asked) > 5:  # three simple models and two trials have been timed
            raise OSError(errno.ENOSPC, "No space left on device")
        return {"latency_us": 1.0, "artifact_bytes": 1.0}

    with pytest.raises(StorageError, match="No space left"):
        go(tmp_path / "study", trials=4, space=space, strategy="grid", slots=FitlessSlot(), meter=full)
    assert [trial.state for trial in Study.load(tmp_path / "study").trials][:2] == ["complete"] * 2
    study = go(tmp_path / "study", trials=4, space=space, slots=FitlessSlot())
    assert [trial.state for trial in study.trials if trial.state != "interrupted"] == ["complete"] * 4


def test_a_large_space_is_estimated_and_says_so() -> None:
    whole = SearchSpace.load("standard")
    raw = {**whole.to_json(), "forbid": [{"scorer": "dot"}]}
    space = SearchSpace.from_json(raw)
    found, every = space.count("gnn"), whole.count("gnn")
    assert (found.is_exact, every.is_exact) == (False, True)
    assert 0.4 < found.models / every.models < 0.6
    assert space.count("filter").models == whole.count("filter").models


def test_a_study_of_a_version_with_other_keys_still_opens(tmp_path: Path) -> None:
    """Metrics are kept under the key of the time: the stored spec, as it was written, says which."""
    folder = tmp_path / "study"
    study = go(folder, trials=3)
    assert study.verdict is not None
    first = next(trial for trial in study.trials if trial.kind == "filter")
    path = folder / "journal.log"
    changed, count = re.subn(r'("strength": ?6)\.0', r"\1", path.read_text(encoding="utf-8"))
    assert count
    path.write_text(changed, encoding="utf-8")
    old = Study.load(folder).trials[first.number]
    assert old.key == first.key
    assert old.stored_as != (old.key,)
    before = study.per_user(first.key).ndcg
    shutil.move(metrics_path(folder, first.key), metrics_path(folder, old.stored_as[0]))
    again = Study.load(folder)
    assert (again.per_user(first.key).ndcg == before).all()
    assert pick(again, old.stored_as[0]) == pick(again, first.key)
    assert again.verdict == study.verdict
