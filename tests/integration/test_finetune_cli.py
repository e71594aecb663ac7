"""`finetune` through the real command line: an older log and the whole of it, from checkpoint to evaluated artifact."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from report_schema import faults
from safetensors.numpy import load_file
from search_world import Gnas, run

from gnas_search.checkpoint import Checkpoint
from gnas_search.data.readers import read_config, read_interactions
from gnas_search.data.splits import split
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

# All but blind to the filter, which fresh interactions make up for.
BLEND = {
    "kind": "blend",
    "shares": [
        {"spec": {"kind": "popularity"}, "weight": 1.0},
        {"spec": {"kind": "filter", "rank": 16}, "weight": 0.01, "spread": 0.2, "history_power": 0.4},
        {"spec": {"kind": "two-hop", "neighbours": 40}, "weight": 0.01, "spread": 0.5, "history_power": 0.7},
    ],
}
KNN = {"kind": "two-hop", "kept_per": "target", "user_power": 0.0, "target_power": 0.5, "neighbours": 20}
TARGET = "purchase"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first seven tenths of a shop's log, the whole of it, and what is made of both."""
    folder = tmp_path_factory.mktemp("world")
    assert run("data", "sample", folder / "whole", "--users", 500, "--items", 150) == 0
    shutil.copytree(folder / "whole", folder / "older")
    log = pl.read_parquet(folder / "whole" / "interactions.parquet")
    cut = int(log["timestamp"].quantile(0.7))  # type: ignore[arg-type]
    log.filter(pl.col("timestamp") <= cut).write_parquet(folder / "older" / "interactions.parquet")
    for name, spec in (("blend", BLEND), ("knn", KNN)):
        (folder / f"{name}.json").write_text(json.dumps(spec))
        assert run("train", folder / "older", "--spec", folder / f"{name}.json", "--out", folder / f"old-{name}") == 0
        tuned = ("finetune", folder / f"old-{name}", folder / "whole", "--out", folder / f"tuned-{name}")
        assert run(*tuned) == 0
    (folder / "any.toml").write_text("[gates]\nbaseline_loss = 1\n[ranker]\nhidden = [16, 8]\nstudents = []\n")
    return folder


def parts(folder: Path) -> dict[tuple[int, str], str]:
    """The part of every purchase: per user 80/10/10 by time, fewer than three stay in train."""
    log = pl.read_parquet(folder / "interactions.parquet").filter(pl.col("event") == TARGET)
    found = {}
    for (user,), history in log.sort("timestamp", maintain_order=True).group_by("user_id", maintain_order=True):
        items = history["item_id"].to_list()
        held = max(1, int(0.1 * len(items) + 0.5)) if len(items) >= 3 else 0
        for place, item in enumerate(reversed(items)):
            part = "test" if place < held else "valid" if place < 2 * held else "train"
            found[int(user), str(item)] = part
    return found


def pairs(checkpoint: Checkpoint, matrix: Any) -> set[tuple[int, str]]:
    rows, items = matrix.nonzero()
    return set(zip(checkpoint.users.ids(rows), checkpoint.items.ids(items), strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["blend", "knn"])
def test_labels_are_what_came_since(name: str, world: Path) -> None:
    old, made = (Checkpoint.load(world / f"{kind}-{name}") for kind in ("old", "tuned"))
    known = {pair for pair, part in parts(world / "older").items() if part != "test"}
    given = {pair for pair, part in parts(world / "whole").items() if part != "test"}
    users, items = set(old.users.ids(range(len(old.users)))), set(old.items.ids(range(len(old.items))))
    fresh = {pair for pair in given - known if pair[0] in users and pair[1] in items}
    assert pairs(made, made.train) == known
    assert pairs(made, made.valid) == fresh
    assert len(fresh) > 200
    assert (made.users, made.items) == (old.users, old.items)
    lineage = made.finetuned_from
    assert lineage is not None
    assert lineage["digest"] == json.loads((world / f"old-{name}" / "manifest.json").read_text())["digest"]
    assert lineage["fresh"]["interactions"] == len(fresh)
    assert lineage["left_out"]["interactions"] == len(given - known - fresh)


def test_embeddings_are_the_old_ones_to_the_byte(world: Path) -> None:
    made = Checkpoint.load(world / "tuned-blend")
    assert made.finetuned_from is not None
    weights = made.finetuned_from["weights"]
    assert weights["kept"] == "new"
    assert weights["metrics"]["ndcg@20"]["gain"]["low"] > 0
    before = load_file(world / "old-blend" / "final.safetensors")
    names = [branch.facts.name for branch in made.final.branches]
    factors = [weights["after"][name] / weights["before"][name] for name in names]
    for fit in ("selection", "final"):
        after = load_file(world / "tuned-blend" / f"{fit}.safetensors")
        assert set(after) == set(before)
        for name, values in before.items():
            place, _, part = name.partition(".")
            if part in ("user_vectors", "neighbours.indptr", "neighbours.indices"):
                assert after[name].tobytes() == values.tobytes()
            elif part in ("item_vectors", "neighbours.values") and (place != "0" or fit == "selection"):
                # The weight of the branch is folded in there, and nothing else.
                assert after[name].tobytes() == (values * np.float32(factors[int(place)])).tobytes()
    before = load_file(world / "old-knn" / "final.safetensors")
    for fit in ("selection", "final"):
        after = load_file(world / "tuned-knn" / f"{fit}.safetensors")
        changed = {name for name, values in before.items() if after[name].tobytes() != values.tobytes()}
        assert changed == (set() if fit == "selection" else {"1.item_vectors"})  # popularity, beside two hops


def test_from_fine_tuning_to_an_evaluated_artifact(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    tuned, artifact = world / "tuned-blend", tmp_path / "artifact"
    made = ("--profile", world / "any.toml", "--ranker", "always", "--report", tmp_path / "report.json")
    code, _, said = gnas("export", tuned, "--out", artifact, *made)
    assert code == 0, said
    report = json.loads((tmp_path / "report.json").read_text())
    lineage = Checkpoint.load(tuned).finetuned_from
    assert report["checkpoint"]["finetuned_from"] == lineage
    assert faults(report) == []
    # Learned from fresh interactions: half of the users that have some, those that judge set apart.
    users = np.count_nonzero(np.diff(Checkpoint.load(tuned).valid.indptr))
    assert report["facts"]["users"]["ranker_fitting"] == users // 2
    code, out, said = gnas("inspect", artifact, "--output", "json")
    assert json.loads(out)["model"]["finetuned_from"] == lineage
    _, out, _ = gnas("inspect", artifact)
    assert "fine-tuned from" in out
    figures = {}
    for model in (tuned, artifact):
        code, out, said = gnas("evaluate", model, world / "whole", "--output", "json")
        assert code == 0, said
        assert "has learned from" not in said
        figures[model] = json.loads(out)["metrics"]
        code, _, said = gnas("evaluate", model, world / "older")
        assert (code, "made from other data" in said) == (3, True)
    assert figures[tuned]["ndcg@20"]["value"] > 0.05
    # Nothing that the whole log has in train or validation is answered, users' fresh items included.
    recommender = Recommender.load(artifact)
    given = parts(world / "whole")
    for user in list(recommender.users.ids(range(50))):
        answer = recommender.recommend(Query(user_id=user, k=20)).item_ids
        assert not [item for item in answer if given.get((user, item)) in ("train", "valid")]  # type: ignore[arg-type]


def test_the_test_part_is_that_of_the_newer_data(gnas: Gnas, world: Path) -> None:
    code, out, said = gnas("evaluate", world / "tuned-knn", world / "whole", "--output", "json")
    assert code == 0, said
    made = Checkpoint.load(world / "tuned-knn")
    asked: dict[int, list[str]] = {}
    given = parts(world / "whole")
    for (user, item), part in given.items():
        if part == "test":
            asked.setdefault(user, []).append(item)
    names, gains = made.items.ids(range(len(made.items))), []
    score = made.final.score_rows(made.seen())
    counts = np.asarray(made.seen().sum(axis=0)).ravel()
    for user, wanted in asked.items():
        row = made.users.row(user)
        scores = score(np.array([row]))[0] if row >= 0 and made.seen()[row].nnz else np.log1p(counts).astype(np.float32)
        order = [str(names[place]) for place in np.argsort(-scores, kind="stable")]
        answer = [item for item in order if given.get((user, item)) not in ("train", "valid")][:20]
        ideal = sum(1 / np.log2(place + 2) for place in range(min(20, len(wanted))))
        gains.append(sum(1 / np.log2(place + 2) for place, item in enumerate(answer) if item in wanted) / ideal)
    result = json.loads(out)["metrics"]
    assert result["ndcg@20"]["value"] == pytest.approx(np.mean(gains), abs=1e-6)
    assert {"auc", "log_loss", "accuracy"} <= set(result)


def test_it_can_be_compared_with_a_model_trained_anew(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    anew = tmp_path / "anew"
    assert run("train", world / "whole", "--spec", world / "knn.json", "--out", anew) == 0
    for model, rival in ((anew, world / "tuned-knn"), (world / "tuned-knn", anew)):
        code, out, said = gnas("evaluate", model, world / "whole", "--against", rival, "--output", "json")
        assert code == 0, said
        assert json.loads(out)["against"][0]["name"] == str(rival)


def test_the_same_twice(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    code, out, said = gnas("finetune", world / "old-blend", world / "whole", "--out", again, "--output", "json")
    assert code == 0, said
    for path in (world / "tuned-blend").iterdir():
        assert (again / path.name).read_bytes() == path.read_bytes()
    result = json.loads(out)
    assert result["checkpoint"] == str(again)
    assert result["finetuned_from"]["weights"]["metrics"]["recall@20"].keys() == {"old", "new", "gain"}
    code, _, said = gnas("finetune", world / "old-blend", world / "whole", "--out", again)
    assert (code, "already exists" in said) == (2, True)
    _, text, _ = gnas("finetune", world / "old-blend", world / "whole", "--out", tmp_path / "text")
    for line in ("fine-tuned from", "fresh", "weights", "ndcg@20 held back", "recall@20 held back"):
        assert line in text


def test_data_that_says_nothing_new(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    code, _, said = gnas("finetune", world / "old-blend", world / "older", "--out", tmp_path / "none")
    assert (code, "has learned from every interaction" in said, "hint:" in said) == (3, True, True)
    code, _, said = gnas(
        "finetune", world / "old-blend", world / "whole", "--out", tmp_path / "none", "--target-event", "view"
    )
    assert (code, "predicts 'purchase'" in said, "--target-event purchase" in said) == (3, True, True)
    code, _, said = gnas(
        "finetune", world / "old-blend", world / "whole", "--out", tmp_path / "none", "--id-type", "text"
    )
    assert (code, "ids of the users are text" in said, "--id-type integer" in said) == (3, True, True)
    other = tmp_path / "other"
    shutil.copytree(world / "whole", other)
    log = pl.read_parquet(other / "interactions.parquet")
    log.with_columns(pl.col("user_id") + 10_000_000).write_parquet(other / "interactions.parquet")
    (other / "users.parquet").unlink()
    code, _, said = gnas("finetune", world / "old-blend", other, "--out", tmp_path / "none")
    assert (code, "knows none of the" in said, "hint:" in said) == (3, True, True)
    assert not (tmp_path / "none").exists()


def test_few_fresh_users_are_said(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    shutil.copytree(world / "whole", data)
    log = pl.read_parquet(data / "interactions.parquet")
    older = pl.read_parquet(world / "older" / "interactions.parquet")
    late = log.filter(pl.col("timestamp") > older["timestamp"].max())
    pl.concat([older, late.filter(pl.col("user_id") < late["user_id"].unique().sort()[25])]).write_parquet(
        data / "interactions.parquet"
    )
    code, out, said = gnas("finetune", world / "old-blend", data, "--out", tmp_path / "made", "--output", "json")
    assert code == 0, said
    told = " ".join(said.split())
    assert "it will skip the gates that need labels, and ship no content encoder (or that of `--content-from" in told
    assert f"the artifact of {world / 'old-blend'}); wait for more" in told
    assert "fresh users to fit weights by" in json.loads(out)["finetuned_from"]["weights"]["reason"]
    # Of one that was fine-tuned, and judged by too few itself, the artifact may have no encoder to keep.
    more = pl.read_parquet(data / "interactions.parquet")
    latest = late.filter(pl.col("user_id").is_in(late["user_id"].unique().sort()[25:30]))
    pl.concat([more, latest]).write_parquet(data / "interactions.parquet")
    code, _, told = gnas("finetune", tmp_path / "made", data, "--out", tmp_path / "later")
    assert code == 0, told
    assert f"the artifact of {tmp_path / 'made'}; where that has none, export it again with --content-from" in told
    code, _, said = gnas("export", tmp_path / "made", "--out", tmp_path / "artifact", "--ranker", "never")
    assert code == 0, said
    said = " ".join(said.split())
    assert "warning: no content encoder ships, whatever a model before had: cannot be judged: " in said
    assert "of a fine-tuned model those with fresh ones judge" in said
    code, out, _ = gnas("inspect", tmp_path / "artifact", "--output", "json")
    assert json.loads(out)["data"]["events"] == ["favourite", "purchase", "view"]
    assert (json.loads(out)["content"], "of a fine-tuned model" in json.loads(out)["no_content"]) == (None, True)


def test_a_split_by_chance_is_warned_of(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    code, _, said = gnas("finetune", world / "old-knn", world / "whole", "--split", "random", "--out", made)
    assert code == 0, said
    assert "the split by chance puts some in its test part" in said
    lineage = Checkpoint.load(made).finetuned_from
    assert lineage is not None
    left = lineage["left_out"]
    assert left["interactions"] > 0
    counted = f"{left['interactions']} interactions of {left['users']} users and {left['items']} items"
    assert f"left out: {counted} that the checkpoint does not know" in " ".join(said.split())
    code, _, said = gnas("evaluate", made, world / "whole")
    assert (code, "test interactions are among those that the checkpoint has learned from" in said) == (0, True)


def test_the_test_part_is_not_looked_at(world: Path, tmp_path: Path) -> None:
    """With other items in its test part, the same data makes the same model, fingerprint apart."""
    data = tmp_path / "data"
    shutil.copytree(world / "whole", data)
    _, test = split(read_interactions(data, read_config(data, {})))
    held = parts(data)
    log = pl.read_parquet(data / "interactions.parquet")
    names = log["item_id"].unique().sort().to_list()
    taken = set(held)
    moved = []
    for user, item, event in log.select("user_id", "item_id", "event").iter_rows():
        chosen = item
        if event == TARGET and held[user, item] == "test":
            chosen = next(name for name in names if (user, name) not in taken)
            taken.add((user, chosen))
        moved.append(chosen)
    log.with_columns(pl.Series("item_id", moved)).write_parquet(data / "interactions.parquet")
    assert test.relevant.nnz > 0
    assert run("finetune", world / "old-blend", data, "--out", tmp_path / "made") == 0
    for name in ("selection", "final", "tables"):
        one, other = (folder / f"{name}.safetensors" for folder in (tmp_path / "made", world / "tuned-blend"))
        assert one.read_bytes() == other.read_bytes()
