"""`gnas-serve diff A B`: what two artifacts differ in, and what of an artifact that cannot be trusted."""

import json
import shutil
from dataclasses import replace

import pytest
from cli_call import call
from planted_checkpoint import planted_checkpoint

from gnas_serve.artifact.difference import held_against
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.artifact.manifest import Manifest


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Artifacts of one checkpoint by two profiles, and of another checkpoint by the first."""
    folder = tmp_path_factory.mktemp("diff")
    planted_checkpoint().save(folder / "one")
    replace(planted_checkpoint(seed=1), fingerprint="b" * 64).save(folder / "another")
    for out, name, profile in (("exact", "one", "exact"), ("int8", "one", "balanced"), ("new", "another", "exact")):
        arguments = ("--out", folder / out, "--profile", profile, "--ranker", "never")
        assert call("export", folder / name, *arguments) == 0
    return folder


def diff(capsys, *folders):
    capsys.readouterr()
    assert call("diff", *folders, "--output", "json") == 0
    return json.loads(capsys.readouterr().out)


def test_an_artifact_is_equal_to_its_copy(exported, tmp_path, capsys):
    shutil.copytree(exported / "exact", tmp_path / "copy")
    (tmp_path / "copy" / LAYOUT.report).write_text("{}")  # of a host, not of the artifact
    found = diff(capsys, exported / "exact", tmp_path / "copy")
    assert found["same"]
    assert not any([*found["sections"].values(), found["metrics"], found["gates"], found["files"]])
    assert call("diff", exported / "exact", tmp_path / "copy") == 0
    assert "are equal: version" in capsys.readouterr().out


def test_what_another_profile_changes(exported, capsys):
    found = diff(capsys, exported / "exact", exported / "int8")
    assert not found["same"]
    assert found["sections"]["data"] == {}
    assert found["sections"]["model"] == {"model.tables": ["fp32", "int8"]}
    assert found["sections"]["export"]["profile"] == ["exact", "balanced"]
    assert found["sections"]["export"]["decisions.tables"] == ["fp32", "int8"]
    sizes = [(exported / name / LAYOUT.item_vectors).stat().st_size for name in ("exact", "int8")]
    assert found["files"][LAYOUT.item_vectors] == sizes
    assert found["files"][LAYOUT.item_scales][0] is None
    assert found["size_bytes"][1] < found["size_bytes"][0]
    assert LAYOUT.item_ids not in found["files"]
    for place, name in enumerate(("exact", "int8")):
        report = json.loads((exported / name / LAYOUT.report).read_text())
        assert found["artifact_bytes"][place] == report["facts"]["artifact_bytes"]["size_bytes"]
    assert call("diff", exported / "exact", exported / "int8") == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "artifact bytes: without manifest" in said
    assert "every file that the manifest lists" in said


def test_every_choice_of_the_export_is_told(exported, tmp_path, capsys):
    manifest = Manifest.read(exported / "exact")
    shutil.copytree(exported / "exact", tmp_path / "other")
    index, ranker = replace(manifest.index, recall=0.5), replace(manifest.ranker, candidates=7)
    replace(manifest, newcomers="popularity", index=index, ranker=ranker).write(tmp_path / "other")
    found = diff(capsys, exported / "exact", tmp_path / "other")
    assert not found["same"]
    assert found["sections"]["export"] == {
        "newcomers": ["fold_in", "popularity"],
        "index.recall": [1.0, 0.5],
        "ranker.candidates": [manifest.ranker.candidates, 7],
    }


def test_why_an_artifact_has_no_content_encoder_is_told(exported, tmp_path, capsys):
    reasons = {}
    for name, reason in (("why", "cannot be judged: 3 users"), ("silent", "")):
        shutil.copytree(exported / "exact", tmp_path / name)
        replace(Manifest.read(tmp_path / name), no_content=reason).write(tmp_path / name)
        reasons[name] = reason
    found = diff(capsys, tmp_path / "silent", tmp_path / "why")
    assert found["sections"]["export"] == {"no_content": [None, reasons["why"]]}
    assert call("diff", tmp_path / "silent", tmp_path / "why") == 0
    out = capsys.readouterr().out
    assert "no_content" in out
    assert reasons["why"] in out


def test_what_other_data_change(exported, capsys):
    found = diff(capsys, exported / "exact", exported / "new")
    assert set(found["sections"]["data"]) == {"data.fingerprint"}
    metrics = [Manifest.read(exported / name).metrics["ndcg@20"] for name in ("exact", "new")]
    assert found["metrics"]["ndcg@20"] == metrics
    assert call("diff", exported / "exact", exported / "new") == 0
    out = capsys.readouterr().out
    assert "data.fingerprint" in out
    assert f"{metrics[1] - metrics[0]:+.4g}" in out


def test_gates_that_are_held_against_different_things_have_no_difference(exported, tmp_path, capsys):
    for name, ranker in (("auto", "auto"), ("always", "always")):
        profile = ("--profile", "fast", "--ranker", ranker, "--distil", "never", "--prune", "never")
        assert call("export", exported / "one", "--out", tmp_path / name, *profile, "--max-ndcg-drop", "1") == 0
    found = diff(capsys, tmp_path / "auto", tmp_path / "always")
    held = ["uncompressed exact retrieval", "the uncompressed path with the ranker"]
    assert found["gates_against"] == {"quality": held}
    assert call("diff", tmp_path / "auto", tmp_path / "always") == 0
    (row,) = (line for line in capsys.readouterr().out.splitlines() if "quality " in line and "against" in line)
    assert row.split("│")[-2].strip() == ""
    values = [f"{value:.6g} against {what}" for value, what in zip(found["gates"]["quality"], held, strict=True)]
    assert values[0].split(" ")[0] in row
    assert values[1].split(" ")[0] in row


def test_an_early_artifact_says_in_its_remark_what_it_is_held_against():
    gate = {
        "remark": "relative change of ndcg@20 against the uncompressed path, low end of the 95 % interval, 9 gate users"
    }
    assert held_against(gate) == "the uncompressed path"
    gate = {
        "remark": "relative change of ndcg@20 against item-knn, the best simple model, high end of the 95 % interval"
    }
    assert held_against(gate) == "item-knn"
    assert held_against({"remark": "recall@60 of 300 users"}) is None
    assert held_against({"remark": "recall", "against": "svd"}) == "svd"


def test_an_artifact_that_is_not_whole_is_compared_with_nothing(exported, tmp_path, capsys):
    shutil.copytree(exported / "exact", tmp_path / "cut")
    path = tmp_path / "cut" / LAYOUT.item_vectors
    path.write_bytes(path.read_bytes()[:-1] + b"\x00")
    assert call("diff", exported / "exact", tmp_path / "cut") == 8
    assert LAYOUT.item_vectors in capsys.readouterr().err
    assert call("diff", exported / "exact", tmp_path / "nowhere") == 2
