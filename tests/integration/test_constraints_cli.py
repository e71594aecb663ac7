"""Rules and limits of a space file, through the real command line: none of them is broken by what is tried."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from search_world import Gnas

from gnas_search.architecture import ArchitectureSpec
from gnas_search.closed_form import FilterSpec
from gnas_search.study import Study, Trial

PARAMETERS, BYTES = 4_000, 230 * (16 + 4)  # of 150 users and 80 items
SPACE = f"""
[genes]
num_layers = [1, 2]
operator = ["gcn", "lightgcn"]
embedding_dim = [8, 32, 64]
loss = ["bpr", "softmax"]
learning_rate = {{ low = 0.003, high = 0.03, log = true }}
[fixed]
num_negatives = 32
batch_size = 64
epochs = 2
[[start]]
layers = ["lightgcn"]
embedding_dim = 8
loss = "softmax"
[filter.genes]
rank = [8, 16, 24, 32]
strength = {{ low = 0.5, high = 5.0 }}
[filter.fixed]
response = "ridge"
[[filter.start]]
rank = 8
strength = 1.0
[constraints]
max_parameters = {PARAMETERS}
max_artifact_bytes = {BYTES}
[[forbid]]
operator = "gcn"
num_layers = 2
[[forbid]]
kind = "filter"
strength = {{ low = 3.0 }}
[[force]]
when = {{ num_layers = 1 }}
loss = "softmax"
"""


def broken_by(trial: Trial) -> str:
    """Say which of the rules a model breaks; written down here once more, by hand."""
    spec = trial.spec
    if isinstance(spec, FilterSpec):
        wide = 230 * (spec.rank + 4) > BYTES
        return "strength" if spec.strength >= 3.0 else "max_artifact_bytes" if wide else ""
    if not isinstance(spec, ArchitectureSpec):
        return ""
    names = [layer if isinstance(layer, str) else "cell" for layer in spec.layers]
    if "gcn" in names and len(names) == 2:
        return "num_layers"
    return "must have loss" if len(names) == 1 and spec.loss != "softmax" else ""


@pytest.fixture(scope="module")
def constrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "mine.toml"
    path.write_text(SPACE)
    return path


def test_no_trial_breaks_a_rule_of_the_space_file(gnas: Gnas, shop: Path, constrained: Path, tmp_path: Path) -> None:
    out = tmp_path / "study"
    options = ["--space", constrained, "--trials", 16, "--strategy", "random", "--seed", 1, "--output", "json"]
    code, _, said = gnas("search", shop, "--out", out, *options)
    assert code == 0, said
    study = Study.load(out)
    fitted = [trial for trial in study.trials if trial.state != "infeasible"]
    assert len(study.ranking) == 16
    for trial in fitted:
        assert broken_by(trial) == ""
        if trial.measured is not None:
            assert trial.measured.parameters <= PARAMETERS  # as training counted them
    assert len({trial.key for trial in fitted if trial.kind == "gnn"}) > 3
    refused = [trial for trial in study.trials if trial.state == "infeasible"]
    for trial in refused:
        assert trial.measured is None  # it was never fitted
        assert broken_by(trial) in trial.reason
    assert {trial.kind for trial in refused} == {"filter", "gnn"}
    reasons = " ".join(trial.reason for trial in refused)
    assert all(words in reasons for words in ("forbidden: ", "it must have ", "more than max_artifact_bytes"))
    code, output, _ = gnas("study", "status", out, "--output", "json")
    assert (code, json.loads(output)["trials"]["infeasible"]) == (0, len(refused))


@pytest.mark.parametrize(
    ("had", "given", "named"),
    [
        ('layers = ["lightgcn"]', 'layers = ["gcn", "lightgcn"]', "forbidden: num_layers = 2 and operator = 'gcn'"),
        ('loss = "softmax"\n[filter', 'loss = "bpr"\n[filter', "it must have loss = 'softmax' when num_layers = 1"),
        ("strength = 1.0", "strength = 4.0", "forbidden: kind = 'filter' and strength"),
        ("rank = 8", "rank = 24", "more than max_artifact_bytes = 4,600"),
        ("embedding_dim = 8\n", "embedding_dim = 32\n", "7,360 parameters, more than max_parameters = 4,000"),
    ],
)
def test_a_start_that_breaks_one_is_refused_by_its_name(
    gnas: Gnas, shop: Path, constrained: Path, tmp_path: Path, had: str, given: str, named: str
) -> None:
    text = constrained.read_text()
    assert text.count(had) == 1
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(had, given))
    code, _, said = gnas("search", shop, "--out", tmp_path / "study", "--space", path)
    assert (code, f"{path}: a start of the " in said, named in said) == (2, True, True), said
    assert "change the start (" in said
    assert not (tmp_path / "study").exists()
