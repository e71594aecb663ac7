"""`train` through the real command line: any model of a study, or any spec."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from search_world import Gnas, rows, run, trials

from gnas_search.architecture import ArchitectureSpec
from gnas_search.checkpoint import Checkpoint
from gnas_search.data.readers import read_config
from gnas_search.data.sample import write_sample
from gnas_search.data.splits import load_dataset
from gnas_search.space import SearchSpace
from gnas_search.specs import read_spec
from gnas_search.study import Study
from gnas_search.study.beginning import begin
from gnas_search.study.journal import open_journal
from gnas_search.study.study import BLENDS


@pytest.fixture(scope="module")
def blended(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A larger shop, and a study of it in which a filter adds to item-kNN."""
    folder = tmp_path_factory.mktemp("blended")
    write_sample(folder / "shop", num_users=800, num_items=200, seed=0)
    (folder / "filters.toml").write_text(
        '[filter.genes]\nrank = [4, 8]\n[filter.fixed]\nresponse = "ideal"\n[[filter.start]]\nrank = 8\n'
    )
    out = ("--out", folder / "study", "--space", folder / "filters.toml", "--trials", 1)
    assert run("search", folder / "shop", *out) == 0
    return folder / "shop", folder / "study"


def test_the_best_network_of_a_study(gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
    _, board, _ = gnas("study", "leaderboard", study, "--output", "json")
    best = rows(board, "gnn")[0]
    out = tmp_path / "checkpoint"
    code, output, said = gnas("train", shop, "--study", study, "--trial", "best-gnn", "--out", out, "--output", "json")
    assert code == 0, said
    result = json.loads(output)
    assert result["model"] == best["name"]
    # Equal seed, equal fit: a study's figure is the checkpoint's.
    assert result["metrics"]["ndcg@20"] == pytest.approx(best["ndcg@20"], abs=1e-6)
    assert Checkpoint.load(out).name == best["name"]
    code, _, said = gnas("train", shop, "--study", study, "--out", out)
    assert (code, "already exists" in said) == (2, True)


def test_the_verdict_and_a_baseline(gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
    _, board, _ = gnas("study", "leaderboard", study, "--output", "json")
    verdict = json.loads(board)["verdict"]["name"]
    figures = {row["name"]: row["ndcg@20"] for row in rows(board)}
    figures |= {f"best-{kind}": rows(board, kind)[0]["ndcg@20"] for kind in ("filter", "two-hop")}
    for trial in (None, "popularity", "svd", "item-knn", "best-filter", "best-two-hop", "1"):
        out = tmp_path / f"checkpoint-{trial}"
        chosen = [] if trial is None else ["--trial", trial]
        code, output, said = gnas("train", shop, "--study", study, *chosen, "--out", out, "--output", "json")
        assert code == 0, said
        named = {None: verdict, "1": next(row["name"] for row in trials(board) if row["trial"] == 1)}.get(trial, trial)
        # Its rank was chosen among the leading columns of a larger decomposition, randomised as every one is.
        spread = 0.01 if trial == "svd" else 1e-6
        assert json.loads(output)["metrics"]["ndcg@20"] == pytest.approx(figures[named], abs=spread)
        assert json.loads(output)["epochs"] == 0 or named == verdict
        assert "epoch 1" not in said or named == verdict


def test_a_blend_and_its_compressed_form(gnas: Gnas, blended: tuple[Path, Path], tmp_path: Path) -> None:
    shop, study = blended
    _, board, _ = gnas("study", "leaderboard", study, "--output", "json")
    whole, short = (row["name"] for row in rows(board, "blend"))
    for trial, name, branches in (("blend", whole, 2), (short, short, 1)):
        out = tmp_path / trial
        code, output, said = gnas("train", shop, "--study", study, "--trial", trial, "--out", out, "--output", "json")
        assert code == 0, said
        assert json.loads(output)["model"] == name
        # Of users this few each half is measured by the weights of the other.
        told = next(row for row in rows(board, "blend") if row["name"] == name)
        assert json.loads(output)["unseen"] == {"name": "ndcg@20", "value": pytest.approx(told["ndcg@20"])}
        checkpoint = Checkpoint.load(out)
        assert (checkpoint.name, len(checkpoint.final.branches)) == (name, branches)
        code, output, said = gnas("evaluate", out, shop, "--output", "json")
        assert code == 0, said
        assert 0.02 < json.loads(output)["metrics"]["ndcg@20"]["value"] < 1


def test_what_a_study_marks_infeasible_is_not_trained_without_a_word(
    gnas: Gnas, blended: tuple[Path, Path], tmp_path: Path
) -> None:
    shop, study = blended[0], tmp_path / "study"
    shutil.copytree(blended[1], study)
    journal = open_journal(study, create=False)
    whole, short = journal.user_attrs[BLENDS]
    journal.set_user_attr(BLENDS, [{**whole, "infeasible": "9 bytes of tables, more than 8"}, short])
    keys = [blend.key for blend in Study.load(study).blends]
    for trial, broken in (("blend", True), (keys[0], True), (keys[1], False)):
        code, _, said = gnas("train", shop, "--study", study, "--trial", trial, "--out", tmp_path / f"made-{trial}")
        warned = f"warning: {keys[0]} is infeasible in the study: 9 bytes of tables, more than 8"
        assert (code, warned in " ".join(said.split())) == (0, broken), said


def test_no_blend_to_train(gnas: Gnas, shop: Path, space: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    begun = load_dataset(shop, read_config(shop, {}))
    begin(study, begun, space=SearchSpace.load(space), strategy=None, seed=None)
    code, _, said = gnas("train", shop, "--study", study, "--trial", "blend", "--out", tmp_path / "made")
    assert (code, "it has no blend" in said) == (4, True), said


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_a_given_architecture(gnas: Gnas, shop: Path, tmp_path: Path, suffix: str) -> None:
    fields = {"layers": ["gcn"], "embedding_dim": 8, "num_negatives": 32, "epochs": 1}
    spec = tmp_path / f"spec.{suffix}"
    lines = "\n".join(f"{name} = {json.dumps(value)}" for name, value in fields.items())
    spec.write_text(json.dumps(fields) if suffix == "json" else lines)
    code, output, said = gnas(
        "train", shop, "--spec", spec, "--out", tmp_path / "made", "--seed", 3, "--output", "json"
    )
    assert code == 0
    result = json.loads(output)
    assert result["model"] == ArchitectureSpec.from_json(result["spec"]).key()
    assert (result["spec"]["layers"], result["seed"]) == (["gcn"], 3)
    assert "epoch 1: loss" in said


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("{", "neither JSON nor"),
        ("[1]", "no object"),
        ('{"layers": ["lightgnc"]}', "unknown operator 'lightgnc' hint: did you mean 'lightgcn'?"),
        ('{"layres": []}', "unknown spec field 'layres'"),
        ('{"epochs": 0}', "epochs: 0 is below 1"),
        ('{"kind": "fliter"}', "unknown kind of model 'fliter' hint: did you mean 'filter'?"),
        ('{"kind": ["filter"]}', "unknown kind of model"),
        ('{"kind": "filter", "rank": 0}', "rank: 0 is not within 1..4096"),
        ('{"kind": "two-hop", "neighbours": "many"}', "neighbours: 'many' is not a int"),
        ('{"kind": "popularity", "rank": 1}', "unknown spec field 'rank'"),
        ('{"kind": "blend", "shares": [{"spec": {"kind": "filter", "rnak": 1}}]}', "unknown spec field 'rnak'"),
        ('{"kind": "blend", "shares": [{"spec": {"kind": "filter"}, "weight": -1}]}', "weight -1.0"),
        ('{"kind": "blend", "dims": 4}', "shares: no list of objects"),
        ('{"kind": "filter", "strength": 1' + "0" * 400 + "}", "strength: a number of 401 digits"),
    ],
)
def test_a_wrong_spec_file(gnas: Gnas, shop: Path, tmp_path: Path, content: str, expected: str) -> None:
    spec = tmp_path / "spec.json"
    spec.write_text(content)
    code, _, said = gnas("train", shop, "--spec", spec, "--out", tmp_path / "made")
    assert (code, expected in said, str(spec) in said.replace(" ", "")) == (2, True, True), said
    assert not (tmp_path / "made").exists()


def test_usage_errors(gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
    out = tmp_path / "made"
    for arguments, expected in (
        ([], "exactly one of --study and --spec"),
        (["--study", study, "--spec", study], "exactly one of --study and --spec"),
        (["--spec", study, "--trial", "1"], "--trial chooses a model of a study"),
        (["--spec", tmp_path / "absent.json"], "no such file"),
        (["--study", tmp_path / "absent"], "does not exist"),
        (["--study", study, "--trial", "best"], "unknown trial 'best'"),
        (["--study", study, "--trial", "gnn-0"], "or a trial's number or a model's key, as `gnas-serve study"),
        (["--study", study, "--split", "random"], "was made with split = 'auto', not 'random'"),
    ):
        code, _, said = gnas("train", shop, "--out", out, *arguments)
        assert (code, expected in said, "training" in said) == (2, True, False), said
        assert not out.exists()


@pytest.mark.parametrize(
    "spec",
    [
        {"kind": "filter", "rank": 8},
        {"kind": "two-hop", "kept_per": "target"},
        {"kind": "popularity"},
        {"kind": "blend", "shares": [{"spec": {"kind": "filter", "rank": 8}}, {"spec": {"kind": "popularity"}}]},
    ],
    ids=lambda spec: spec["kind"],
)
def test_a_given_model_of_every_kind(gnas: Gnas, shop: Path, tmp_path: Path, spec: dict[str, Any]) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    out = tmp_path / "made"
    code, output, said = gnas("train", shop, "--spec", tmp_path / "spec.json", "--out", out, "--output", "json")
    assert code == 0, said
    result = json.loads(output)
    assert result["model"] == read_spec(spec).key() == Checkpoint.load(out).name
    assert result["spec"]["kind"] == spec["kind"]
    code, _, said = gnas("evaluate", out, shop)
    assert code == 0, said


def test_a_study_of_other_data(gnas: Gnas, study: Path, tmp_path: Path) -> None:
    write_sample(tmp_path / "other", num_users=100, num_items=60, seed=2)
    code, _, said = gnas("train", tmp_path / "other", "--study", study, "--out", tmp_path / "made")
    assert code == 3
    assert "made from other data" in said
