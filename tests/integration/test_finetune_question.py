"""What `finetune` predicts, and which ratings count: as the checkpoint knows it, unless the data or a flag says it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from search_world import Gnas, run

from gnas_search.checkpoint import Checkpoint

KNN = {"kind": "two-hop", "kept_per": "target", "user_power": 0.0, "target_power": 0.5, "neighbours": 20}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A rated log of three kinds of events without a `dataset.toml`, the first part of it, and a checkpoint of that."""
    folder = tmp_path_factory.mktemp("question")
    assert run("data", "sample", folder / "whole", "--users", 200, "--items", 80) == 0
    (folder / "whole" / "dataset.toml").unlink()
    log = pl.read_parquet(folder / "whole" / "interactions.parquet")
    log = log.with_columns(rating=pl.col("item_id").hash(seed=0) % 5 + 1)
    log.write_parquet(folder / "whole" / "interactions.parquet")
    shutil.copytree(folder / "whole", folder / "older")
    cut = int(log["timestamp"].quantile(0.7))  # type: ignore[arg-type]
    log.filter(pl.col("timestamp") <= cut).write_parquet(folder / "older" / "interactions.parquet")
    (folder / "knn.json").write_text(json.dumps(KNN))
    asked = ("--target-event", "purchase", "--min-rating", 2)
    assert run("train", folder / "older", "--spec", folder / "knn.json", "--out", folder / "old", *asked) == 0
    return folder


def test_the_checkpoint_says_what_is_predicted(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    code, _, said = gnas("finetune", world / "old", world / "whole", "--out", tmp_path / "made")
    assert code == 0, said
    flags = ("--target-event", "purchase", "--min-rating", 2)
    assert run("finetune", world / "old", world / "whole", "--out", tmp_path / "told", *flags) == 0
    made, told = (Checkpoint.load(tmp_path / name) for name in ("made", "told"))
    assert (made.target_event, made.config.target_event, made.config.min_rating) == ("purchase", "purchase", 2)
    assert made.digest == told.digest
    assert run("evaluate", tmp_path / "made", world / "whole") == 0


def test_what_is_said_otherwise_is_refused(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "none")
    code, _, said = gnas("finetune", world / "old", world / "whole", *out, "--target-event", "view")
    assert (code, "predicts 'purchase', the target event of the data is 'view'" in said) == (3, True)
    code, _, said = gnas("finetune", world / "old", world / "whole", *out, "--min-rating", 3)
    assert (code, "min_rating is 2.0 in the checkpoint and 3.0 for the data" in said) == (3, True)
    data = tmp_path / "data"
    shutil.copytree(world / "whole", data)
    (data / "dataset.toml").write_text('target_event = "favourite"\n')
    code, _, said = gnas("finetune", world / "old", data, *out)
    assert (code, "'favourite'" in said, "--target-event purchase" in said) == (3, True, True)
    (data / "dataset.toml").unlink()
    log = pl.read_parquet(data / "interactions.parquet")
    log.with_columns(pl.col("event").replace("purchase", "order")).write_parquet(data / "interactions.parquet")
    code, _, said = gnas("finetune", world / "old", data, *out)
    assert (code, f"predicts 'purchase', and {data} has no such event" in said) == (3, True)
    assert "known: favourite, order, view" in said
    assert not (tmp_path / "none").exists()


def test_a_checkpoint_of_every_event_is_not_asked_for_one(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    assert run("train", world / "older", "--spec", world / "knn.json", "--out", tmp_path / "all") == 0
    code, _, said = gnas(
        "finetune", tmp_path / "all", world / "whole", "--out", tmp_path / "none", "--target-event", "view"
    )
    assert (code, "predicts 'every event'" in said, "leave --target-event out" in said) == (3, True, True)
    code, _, said = gnas("finetune", tmp_path / "all", world / "whole", "--out", tmp_path / "made")
    assert code == 0, said
