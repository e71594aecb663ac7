"""What `finetune` says of the checkpoint before and after it: on whom, how much, and where it is worse."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from search_world import Gnas, run

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.readers import read_config, read_interactions
from gnas_search.data.splits import split
from gnas_search.division import divided_users

KNN = {"kind": "two-hop", "kept_per": "target", "user_power": 0.0, "target_power": 0.5, "neighbours": 20}
BLEND = {
    "kind": "blend",
    "shares": [
        {"spec": {"kind": "popularity"}, "weight": 1.0},
        {"spec": {"kind": "filter", "rank": 16}, "weight": 0.01, "spread": 0.2, "history_power": 0.4},
    ],
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven tenths of a shop's log, and the whole of it."""
    folder = tmp_path_factory.mktemp("before-after")
    assert run("data", "sample", folder / "whole", "--users", 400, "--items", 120) == 0
    shutil.copytree(folder / "whole", folder / "older")
    log = pl.read_parquet(folder / "whole" / "interactions.parquet")
    cut = int(log["timestamp"].quantile(0.7))  # type: ignore[arg-type]
    log.filter(pl.col("timestamp") <= cut).write_parquet(folder / "older" / "interactions.parquet")
    for name, spec in (("knn", KNN), ("blend", BLEND), ("filter", {"kind": "filter", "rank": 16})):
        (folder / f"{name}.json").write_text(json.dumps(spec))
        assert run("train", folder / "older", "--spec", folder / f"{name}.json", "--out", folder / name) == 0
    return folder


def tuned(gnas: Gnas, world: Path, name: str, out: Path) -> tuple[dict[str, Any], Checkpoint, Checkpoint]:
    code, said, told = gnas("finetune", world / name, world / "whole", "--out", out, "--output", "json")
    assert code == 0, told
    return json.loads(said)["finetuned_from"], Checkpoint.load(world / name), Checkpoint.load(out)


def newest(world: Path, old: Checkpoint) -> dict[int, set[int]]:
    """By user, in the old checkpoint's rows, what is in validation of the whole log and unknown to it."""
    dataset, _ = split(read_interactions(world / "whole", read_config(world / "whole", {})))
    known, found = old.seen().tolil(), {}
    for user, item in zip(*dataset.valid.nonzero(), strict=True):
        row, column = old.users.row(dataset.users.id(int(user))), old.items.row(dataset.items.id(int(item)))
        if row >= 0 and column >= 0 and not known[row, column]:
            found.setdefault(row, set()).add(column)
    return found


def ndcg(scores: np.ndarray, barred: np.ndarray, wanted: set[int]) -> float:
    order = np.argsort(-np.where(barred, -np.inf, scores), kind="stable")[:20]
    ideal = sum(1 / np.log2(place + 2) for place in range(min(20, len(wanted))))
    return float(sum(1 / np.log2(place + 2) for place, one in enumerate(order) if one in wanted) / ideal)


def test_both_are_asked_for_the_newest_that_neither_knows(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    lineage, old, made = tuned(gnas, world, "knn", tmp_path / "made")
    asked = newest(world, old)
    held = sp.lil_matrix(made.valid.shape, dtype=np.float32)
    for row, wanted in asked.items():
        held[row, list(wanted)] = 1
    known = sp.csr_matrix(made.seen() - held.tocsr())
    known.eliminate_zeros()
    known.sort_indices()
    counts = np.asarray(known.sum(axis=0)).ravel()
    before, after = [], []
    for row, wanted in sorted(asked.items()):
        barred = known[row].toarray().ravel() > 0
        one = np.array([row])
        links = made.final.branches[0].neighbours
        assert links is not None
        before.append(ndcg(old.final.score_rows(old.seen())(one)[0], barred, wanted))
        past = known[row]
        scores = (past @ links).toarray().ravel() * max(past.nnz, 1) ** -made.final.branches[0].facts.history_power
        order = scores + 1e-7 * np.log1p(counts)  # where links say nothing the popular ones come first
        after.append(ndcg(order, barred, wanted))
    compared = lineage["compared"]
    assert compared["users"] == len(asked) > 100
    assert compared["ndcg@20"]["old"]["value"] == pytest.approx(np.mean(before), abs=1e-6)
    assert compared["ndcg@20"]["new"]["value"] == pytest.approx(np.mean(after), abs=2e-3)
    gain = compared["ndcg@20"]["gain"]
    assert gain["low"] < gain["value"] < gain["high"]
    assert gain["value"] == pytest.approx(
        compared["ndcg@20"]["new"]["value"] - compared["ndcg@20"]["old"]["value"], abs=1e-9
    )
    assert gain["low"] > 0  # newer histories are worth something
    assert made.finetuned_from == lineage
    _, text, said = gnas("finetune", world / "knn", world / "whole", "--out", tmp_path / "again")
    assert "worse than" not in said
    line = next(line for line in text.splitlines() if line.startswith("ndcg@20 before and after"))
    assert f"-> {compared['ndcg@20']['new']['value']:.4f} (" in line
    assert f"of the newest fresh interactions of {len(asked)} users" in line


def test_who_had_a_say_in_new_weights_has_none_in_the_comparison(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    lineage, old, made = tuned(gnas, world, "blend", tmp_path / "made")
    assert lineage["weights"]["kept"] == "new"
    judges = set(newest(world, old)) - set(divided_users(made).fitting.tolist())
    assert lineage["compared"]["users"] == len(judges) > 20
    assert lineage["compared"]["ndcg@20"]["gain"]["low"] > 0


def test_why_nothing_changes_of_a_model_of_vectors_alone_is_said(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    code, out, said = gnas(
        "finetune", world / "filter", world / "whole", "--out", tmp_path / "made", "--output", "json"
    )
    assert code == 0, said
    compared = json.loads(out)["finetuned_from"]["compared"]
    assert compared["ndcg@20"]["gain"] == {"value": 0, "low": 0, "high": 0}
    reason = "this model scores by vectors of users and items alone, which fine-tuning leaves as they are"
    assert f"warning: no change of ndcg@20 can be: {reason}; " in said
    # Truly so: not one score differs, whatever is fresh.
    old, made = (Checkpoint.load(folder) for folder in (world / "filter", tmp_path / "made"))
    rows = np.arange(len(old.users))
    assert np.array_equal(old.final.score_rows(old.seen())(rows), made.final.score_rows(made.seen())(rows))
    for name in ("knn", "blend"):
        assert (
            "no change of ndcg@20" not in gnas("finetune", world / name, world / "whole", "--out", tmp_path / name)[2]
        )


def log_of(folder: Path, rows: list[tuple[int, int, str]]) -> None:
    folder.mkdir()
    frame = pl.DataFrame(rows, schema=["user_id", "item_id", "split"], orient="row")
    frame.write_parquet(folder / "interactions.parquet")


def test_what_is_worse_is_said_and_so_is_that_there_is_nothing_to_compare_by(gnas: Gnas, tmp_path: Path) -> None:
    """Everybody has five of ten items; half of the users take what they lack, the others want item 0 alone."""
    older = [(user, (user + step) % 10, "valid" if step == 4 else "train") for user in range(60) for step in range(5)]
    has = {(user, item) for user, item, _ in older}
    others = [user for user in range(60) if (user, 0) in has]
    train = [(user, item, "train") for user in others for item in range(1, 10) if (user, item) not in has]
    valid = [(user, 0, "valid") for user in range(60) if (user, 0) not in has]
    log_of(tmp_path / "older", older)
    log_of(tmp_path / "worse", [*older, *train, *valid])
    log_of(tmp_path / "later", [*older, *train])
    (tmp_path / "popularity.json").write_text('{"kind": "popularity"}')
    checkpoint = tmp_path / "checkpoint"
    assert run("train", tmp_path / "older", "--spec", tmp_path / "popularity.json", "--out", checkpoint) == 0
    code, out, said = gnas("finetune", checkpoint, tmp_path / "worse", "--out", tmp_path / "a", "--output", "json")
    assert code == 0, said
    compared = json.loads(out)["finetuned_from"]["compared"]
    assert (compared["users"], compared["ndcg@20"]["old"]["value"]) == (len(valid), 1.0)
    assert compared["ndcg@20"]["new"]["value"] == pytest.approx(1 / np.log2(6))  # behind the four that others took
    assert "warning: worse than the checkpoint before, by more than chance: 1.0000" in " ".join(said.split())
    code, out, said = gnas("finetune", checkpoint, tmp_path / "later", "--out", tmp_path / "b", "--output", "json")
    assert code == 0, said
    assert json.loads(out)["finetuned_from"]["compared"] is None
    assert "warning: not compared with the checkpoint before" in said
