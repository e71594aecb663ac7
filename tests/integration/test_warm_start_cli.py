"""A search that is started from another one, of a part of the same shop, through the real command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from search_world import Gnas, run, trials

from gnas_search.study import Study


@pytest.fixture(scope="module")
def part(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Most users of the shop, with another type of id."""
    folder = Path(shutil.copytree(shop, tmp_path_factory.mktemp("data") / "part"))
    path = folder / "interactions.parquet"
    frame = pl.read_parquet(path)
    users = frame["user_id"].unique().sort()
    frame.filter(pl.col("user_id").is_in(users.head(len(users) * 8 // 10).to_list())).write_parquet(path)
    return folder


@pytest.fixture(scope="module")
def warmed(shop: Path, part: Path, space: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study of the shop that was started from one of the part, which is gone."""
    folder = tmp_path_factory.mktemp("warm")
    assert run("search", part, "--out", folder / "old", "--space", space, "--trials", 8) == 0
    again = ("--space", space, "--warm-start", folder / "old")
    assert run("search", shop, "--out", folder / "new", *again, "--trials", 4) == 0
    assert run("search", shop, "--out", folder / "new", *again, "--trials", 8) == 0  # the same command
    shutil.rmtree(folder / "old")
    return folder / "new"


def test_it_is_seen_in_the_leaderboard_and_the_status(gnas: Gnas, warmed: Path) -> None:
    code, output, _ = gnas("study", "leaderboard", warmed, "--output", "json")
    assert code == 0
    networks = [row for row in trials(output) if row["kind"] == "gnn"]
    assert len(networks) == 4
    assert sum("warm start" in row["remark"] for row in networks) == 3  # so many networks' parameters a study keeps
    code, output, _ = gnas("study", "status", warmed, "--output", "json")
    assert (code, json.loads(output)["warm_start"]["study"]) == (0, "old")
    code, shown, _ = gnas("study", "status", warmed)
    assert (code, "old (data " in shown) == (0, True)


def test_training_it_gives_what_the_trial_gave(
    gnas: Gnas, shop: Path, warmed: Path, made: Path, tmp_path: Path
) -> None:
    _, output, _ = gnas("study", "leaderboard", warmed, "--output", "json")
    cold = {trial.key: found.ndcg.value for trial, found in Study.load(made).ranking}
    row = next(row for row in trials(output) if row["kind"] == "gnn" and row["name"] in cold)
    code, output, _ = gnas(
        "train", shop, "--study", warmed, "--trial", row["name"], "--out", tmp_path / "a", "--output", "json"
    )
    assert code == 0
    assert json.loads(output)["metrics"]["ndcg@20"] == pytest.approx(row["ndcg@20"], abs=1e-6)
    assert row["ndcg@20"] != pytest.approx(cold[row["name"]], abs=1e-6)  # which began with what chance drew


def test_it_goes_on_in_several_processes(gnas: Gnas, shop: Path, warmed: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(warmed, tmp_path / "study"))
    code, output, said = gnas("study", "resume", folder, "--trials", 10, "--slots", 2, "--output", "json")
    assert (code, len(trials(output))) == (0, 10), said
    code, _, said = gnas("search", shop, "--out", folder, "--warm-start", folder)
    assert (code, "was made with warm_start = 'old " in said) == (2, True)
    damaged = next((folder / "warm_start").iterdir())
    damaged.write_bytes(b"")
    code, _, said = gnas("study", "resume", folder, "--trials", 11)
    assert (code, damaged.name in said, "is damaged" in said) == (8, True, True)


@pytest.mark.parametrize("left", ["nothing", "a folder", "a damaged study"])
def test_the_same_command_goes_on_without_the_other_study(
    gnas: Gnas, shop: Path, space: Path, warmed: Path, made: Path, tmp_path: Path, left: str
) -> None:
    folder, old = Path(shutil.copytree(warmed, tmp_path / "new")), tmp_path / "old"
    if left != "nothing":
        old.mkdir()
    if left == "a damaged study":
        (old / "study.json").write_text("{")
    again = ("--space", space, "--warm-start", old)
    code, output, said = gnas("search", shop, "--out", folder, *again, "--trials", 9, "--output", "json")
    assert (code, len(trials(output))) == (0, 9), said
    assert f"warning: warm start: {old}" in said
    assert "goes on with what it took over" in said
    code, output, said = gnas("search", shop, "--dry-run", "--out", folder, *again, "--output", "json")
    assert (code, sum(facts["tried"] for facts in json.loads(output)["families"].values())) == (0, 9), said
    for other in (made, tmp_path / "another"):  # begun from none, and one that is still to be
        code, _, said = gnas("search", shop, "--out", other, *again)
        assert code == (8 if left == "a damaged study" else 2)
        assert f"{old}" in said
    assert not (tmp_path / "another").exists()


def test_a_dry_run_forecasts_what_would_be_tried(gnas: Gnas, shop: Path, warmed: Path, space: Path) -> None:
    plans = []
    for more in ((), ("--warm-start", warmed)):
        code, output, _ = gnas("search", shop, "--dry-run", "--space", space, "--trials", 8, *more, "--output", "json")
        assert code == 0
        plans.append({family: len(facts["starts"]) for family, facts in json.loads(output)["families"].items()})
    assert plans[0] == {"filter": 1, "gnn": 1, "two-hop": 1}
    assert all(count > plans[0][family] for family, count in plans[1].items())
