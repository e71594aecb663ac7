"""`search`, `train` and `study` through the real command line, on a small generated shop."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gnas_search.architecture import ArchitectureSpec
from gnas_search.checkpoint import Checkpoint
from gnas_search.data.sample import write_sample
from gnas_serve.cli.app import main

SPACE = """
[genes]
num_layers = [1, 2]
operator = ["gcn", "lightgcn"]
learning_rate = { low = 0.003, high = 0.03, log = true }
[fixed]
embedding_dim = 8
num_negatives = 32
batch_size = 64
epochs = 2
[[start]]
layers = ["lightgcn"]
edges = "target"
"""

Gnas = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "shop"
    write_sample(folder, num_users=150, num_items=80, seed=1)
    return folder


@pytest.fixture(scope="module")
def space(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("space") / "tiny.toml"
    path.write_text(SPACE)
    return path


@pytest.fixture
def gnas(capsys: pytest.CaptureFixture[str]) -> Gnas:
    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, " ".join(printed.err.split())

    return call


@pytest.fixture(scope="module")
def made(shop: Path, space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of two trials; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("studies") / "study"
    with pytest.raises(SystemExit) as ended:
        main(["search", str(shop), "--out", str(folder), "--space", str(space), "--trials", "2", "--output", "json"])
    assert ended.value.code == 0
    return folder


@pytest.fixture
def study(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "study"))


def rows(output: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(output)["rows"]
    return found


class TestSearch:
    def test_goes_on_with_a_study_and_leads_with_the_baselines(self, gnas: Gnas, shop: Path, study: Path) -> None:
        code, before, _ = gnas("study", "leaderboard", study, "--output", "json")
        assert code == 0
        code, after, said = gnas("search", shop, "--out", study, "--trials", 3, "--output", "json")
        assert code == 0
        assert [row["kind"] for row in rows(after)] == ["baseline"] * 3 + ["gnn"] * 3
        assert {row["name"] for row in rows(before)} < {row["name"] for row in rows(after)}
        assert "trial 2: ndcg@20" in said  # its number, as the leaderboard shows it
        assert "s left" not in said  # nothing is left after the last
        assert "popularity:" not in said  # not measured again
        best = max(row["ndcg@20"] for row in rows(after) if "not servable" not in row["remark"])
        assert f"| best {best:.4f}" in said  # of the whole study, not of this run
        verdict = json.loads(after)["verdict"]
        assert [row["name"] for row in rows(after) if "verdict" in row["remark"]] == [verdict["name"]]

    def test_the_same_command_gives_the_same_study(
        self, gnas: Gnas, shop: Path, space: Path, made: Path, tmp_path: Path
    ) -> None:
        _, first, _ = gnas("study", "leaderboard", made, "--output", "json")
        code, _, _ = gnas("search", shop, "--out", tmp_path / "again", "--space", space, "--trials", 2)
        assert code == 0
        _, again, _ = gnas("study", "leaderboard", tmp_path / "again", "--output", "json")
        values = [[(row["name"], row["ndcg@20"]) for row in rows(output)] for output in (first, again)]
        assert values[0] == values[1]

    def test_a_budget_ends_the_run(self, gnas: Gnas, shop: Path, study: Path) -> None:
        code, output, _ = gnas("search", shop, "--out", study, "--budget", "0.001s", "--output", "json")
        assert code == 0
        assert len(rows(output)) == 5

    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["--strategy", "tpee"], "unknown strategy 'tpee' hint: did you mean 'tpe'?"),
            (["--space", "quik"], "unknown space 'quik' hint: did you mean 'quick'?"),
            (["--budget", "10"], "--budget '10' is no time"),
            (["--budget", "0m"], "--budget '0m' is no time"),
            (["--trials", "0"], "'--trials'"),
            (["--target-event", "purchse"], "unknown event 'purchse' hint: did you mean 'purchase'?"),
        ],
    )
    def test_usage_errors_write_nothing(
        self, gnas: Gnas, shop: Path, tmp_path: Path, arguments: list[str], expected: str
    ) -> None:
        code, _, said = gnas("search", shop, "--out", tmp_path / "study", *arguments)
        assert (code, expected in said) == (2, True), said
        assert list(tmp_path.iterdir()) == []

    def test_a_folder_that_is_no_study(self, gnas: Gnas, shop: Path, tmp_path: Path) -> None:
        code, _, said = gnas("search", shop, "--out", tmp_path)
        assert code == 2
        assert "is no study" in said

    def test_other_settings_than_the_studys(self, gnas: Gnas, shop: Path, study: Path) -> None:
        for arguments, what in (
            (["--seed", "5"], "seed = 0, not 5"),
            (["--space", "quick"], "not"),
            (["--min-rating", "3"], "min_rating = None, not 3.0"),
        ):
            code, _, said = gnas("search", shop, "--out", study, *arguments)
            assert code == 2
            assert "was made with" in said
            assert what in said

    def test_other_data_and_a_damaged_study(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        write_sample(tmp_path / "other", num_users=100, num_items=60, seed=2)
        code, _, said = gnas("search", tmp_path / "other", "--out", study)
        assert code == 3
        assert "made from other data" in said
        header = study / "study.json"
        header.write_bytes(header.read_bytes().replace(b'"seed": 0', b'"seed": 1'))
        code, _, said = gnas("search", shop, "--out", study)
        assert code == 8
        assert "study.json" in said

    @pytest.mark.parametrize(("sent", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_interrupted_it_says_how_to_go_on(
        self, gnas: Gnas, shop: Path, space: Path, tmp_path: Path, sent: signal.Signals, code: int
    ) -> None:
        arguments = ["search", str(shop), "--out", str(tmp_path / "study"), "--space", str(space), "--trials", "200"]
        metrics = tmp_path / "study" / "metrics"

        def send_after_some_trials() -> None:
            latest = time.monotonic() + 60
            while len(list(metrics.glob("gnn-*.npy"))) < 3 and time.monotonic() < latest:
                time.sleep(0.01)
            os.kill(os.getpid(), sent)

        sender = threading.Thread(target=send_after_some_trials)
        sender.start()
        ended, _, said = gnas(*arguments)
        sender.join()
        assert (ended, "run the same command to go on" in said) == (code, True), said
        code_after, status, _ = gnas("study", "status", tmp_path / "study", "--output", "json")
        assert code_after == 0
        done = json.loads(status)["trials"]["complete"]
        assert done >= 2
        code_after, output, said = gnas(*arguments[:-1], done + 1, "--output", "json")
        assert code_after == 0, said
        assert len(rows(output)) == 3 + done + 1


class TestTrain:
    def test_the_best_network_of_a_study(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        _, board, _ = gnas("study", "leaderboard", study, "--output", "json")
        best = next(row for row in rows(board) if row["kind"] == "gnn")
        out = tmp_path / "checkpoint"
        code, output, said = gnas(
            "train", shop, "--study", study, "--trial", "best-gnn", "--out", out, "--output", "json"
        )
        assert code == 0, said
        result = json.loads(output)
        assert result["model"] == best["name"]
        # Equal seed, equal fit: a study's figure is the checkpoint's.
        assert result["metrics"]["ndcg@20"] == pytest.approx(best["ndcg@20"], abs=1e-6)
        assert Checkpoint.load(out).name == best["name"]
        code, _, said = gnas("train", shop, "--study", study, "--out", out)
        assert (code, "already exists" in said) == (2, True)

    def test_the_verdict_and_a_baseline(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        _, board, _ = gnas("study", "leaderboard", study, "--output", "json")
        for trial, name in ((None, json.loads(board)["verdict"]["name"]), ("popularity", "popularity")):
            out = tmp_path / f"checkpoint-{trial}"
            chosen = [] if trial is None else ["--trial", trial]
            code, output, _ = gnas("train", shop, "--study", study, *chosen, "--out", out, "--output", "json")
            assert code == 0
            assert json.loads(output)["model"] == name

    @pytest.mark.parametrize("suffix", ["json", "toml"])
    def test_a_given_architecture(self, gnas: Gnas, shop: Path, tmp_path: Path, suffix: str) -> None:
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
            ('{"layers": ["gnc"]}', "unknown operator 'gnc' hint: did you mean 'gcn'?"),
            ('{"layres": []}', "unknown spec field 'layres'"),
            ('{"epochs": 0}', "epochs: 0 is below 1"),
        ],
    )
    def test_a_wrong_spec_file(self, gnas: Gnas, shop: Path, tmp_path: Path, content: str, expected: str) -> None:
        spec = tmp_path / "spec.json"
        spec.write_text(content)
        code, _, said = gnas("train", shop, "--spec", spec, "--out", tmp_path / "made")
        assert (code, expected in said, str(spec) in said.replace(" ", "")) == (2, True, True), said
        assert not (tmp_path / "made").exists()

    def test_usage_errors(self, gnas: Gnas, shop: Path, study: Path, tmp_path: Path) -> None:
        out = tmp_path / "made"
        for arguments, expected in (
            ([], "exactly one of --study and --spec"),
            (["--study", study, "--spec", study], "exactly one of --study and --spec"),
            (["--spec", study, "--trial", "1"], "--trial chooses a model of a study"),
            (["--spec", tmp_path / "absent.json"], "no such file"),
            (["--study", tmp_path / "absent"], "does not exist"),
            (["--study", study, "--trial", "item-knn"], "item-knn cannot be trained"),
            (["--study", study, "--trial", "best"], "unknown trial 'best'"),
            (["--study", study, "--split", "random"], "was made with split = 'auto', not 'random'"),
        ):
            code, _, said = gnas("train", shop, "--out", out, *arguments)
            assert (code, expected in said, "training" in said) == (2, True, False), said
            assert not out.exists()

    def test_a_study_of_other_data(self, gnas: Gnas, study: Path, tmp_path: Path) -> None:
        write_sample(tmp_path / "other", num_users=100, num_items=60, seed=2)
        code, _, said = gnas("train", tmp_path / "other", "--study", study, "--out", tmp_path / "made")
        assert code == 3
        assert "made from other data" in said


class TestStudy:
    def test_people_read_tables(self, gnas: Gnas, study: Path) -> None:
        code, board, _ = gnas("study", "leaderboard", study)
        assert code == 0
        for words in ("popularity", "svd", "item-knn", "lightgcn", "ship the", "at least 0.006"):
            assert words in board
        line = next(line for line in board.splitlines() if line.startswith("item-knn"))
        assert line.endswith("not servable")
        code, state, _ = gnas("study", "status", study)
        assert code == 0
        assert "2 complete" in state

    def test_status_for_programs(self, gnas: Gnas, study: Path) -> None:
        code, output, _ = gnas("study", "status", study, "--output", "json")
        assert code == 0
        state = json.loads(output)
        assert (state["running"], state["strategy"], state["trials"]["complete"]) == (False, "tpe", 2)
        assert state["data"]["config"]["target_event"] == "purchase"

    def test_no_study(self, gnas: Gnas, tmp_path: Path) -> None:
        for command in ("leaderboard", "status"):
            code, _, said = gnas("study", command, tmp_path / "absent")
            assert (code, "does not exist" in said) == (2, True)
