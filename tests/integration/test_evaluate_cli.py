"""`evaluate` through the real command line, against metrics computed here from the files alone, in plain Python."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from loaded_modules import first_to_load
from search_world import Gnas, run

from gnas_search.checkpoint import Checkpoint
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

SPEC = {"layers": ["lightgcn"], "embedding_dim": 16, "num_negatives": 64, "batch_size": 64, "epochs": 3}
OTHERS: dict[str, dict[str, object]] = {
    "filter": {"kind": "filter", "rank": 16},
    "item-knn": {"kind": "two-hop", "kept_per": "target", "user_power": 0.0, "target_power": 0.5, "neighbours": 20},
    "popularity": {"kind": "popularity"},
}
OTHERS["blend"] = {
    "kind": "blend",
    "shares": [
        {"spec": {"kind": "two-hop", "neighbours": 20}, "weight": 1.0, "spread": 0.5, "history_power": 0.7},
        {"spec": {"kind": "filter", "rank": 16}, "weight": 0.5, "spread": 0.2, "history_power": 0.4},
        {"spec": {"kind": "popularity"}, "weight": 0.1},
    ],
}
OTHERS["short"] = {**OTHERS["blend"], "dims": 24}
TARGET = "purchase"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A shop, another shop, a checkpoint and an artifact of the first."""
    folder = tmp_path_factory.mktemp("world")
    for name, seed in (("shop", 0), ("other", 1)):
        assert run("data", "sample", folder / name, "--users", 200, "--items", 120, "--seed", seed) == 0
    (folder / "spec.json").write_text(json.dumps(SPEC))
    assert run("train", folder / "shop", "--spec", folder / "spec.json", "--out", folder / "checkpoint") == 0
    for name, spec in OTHERS.items():
        (folder / f"{name}.json").write_text(json.dumps(spec))
        assert run("train", folder / "shop", "--spec", folder / f"{name}.json", "--out", folder / name) == 0
    (folder / "any.toml").write_text(
        'tables = "fp32"\nindex = "flat"\n[gates]\nbaseline_loss = 1\n'
    )  # it is a poor model
    exported = ("--profile", folder / "any.toml", "--ranker", "never", "--report", folder / "report.json")
    assert run("export", folder / "checkpoint", "--out", folder / "artifact", *exported) == 0
    return folder


@pytest.fixture(scope="module")
def parts(world: Path) -> dict[int, tuple[set[str], list[str]]]:
    """Items of train and validation, and of test, for each user with a test item: per user 80/10/10 by time."""
    frame = pl.read_parquet(world / "shop" / "interactions.parquet").filter(pl.col("event") == TARGET)
    assert frame.select("user_id", "item_id").is_unique().all()
    found = {}
    for (user,), history in frame.sort("timestamp", maintain_order=True).group_by("user_id", maintain_order=True):
        items = history["item_id"].to_list()
        if len(items) >= 3:  # fewer stay in train
            held_out = max(1, int(0.1 * len(items) + 0.5))
            found[int(user)] = (set(items[:-held_out]), items[-held_out:])
    return found


def metrics(lists: dict[int, list[str]], parts: dict[int, tuple[set[str], list[str]]], k: int) -> tuple[float, float]:
    recalls, gains = [], []
    for user, (_, wanted) in parts.items():
        ranks = [rank for rank, item in enumerate(lists[user][:k]) if item in wanted]
        ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(wanted))))
        recalls.append(len(ranks) / len(wanted))
        gains.append(sum(1 / math.log2(rank + 2) for rank in ranks) / ideal)
    return sum(recalls) / len(recalls), sum(gains) / len(gains)


def scores_of(checkpoint: Checkpoint, row: int) -> np.ndarray:
    """Add the branches' scores of one user up, as they are defined."""
    past = checkpoint.seen()[row]
    total = np.zeros(len(checkpoint.items))
    for branch in checkpoint.final.branches:
        if branch.neighbours is not None:
            scale = max(past.nnz, 1) ** -branch.facts.history_power
            total += scale * np.asarray((past @ branch.neighbours).todense()).ravel()
        else:
            total += branch.item_vectors.astype(float) @ branch.user_vectors[row]
    return total.astype(np.float32)


def test_what_is_trained_already_is_evaluated_without_torch(world: Path) -> None:
    shop = world / "shop"
    looks = [("evaluate", world / model, shop) for model in ("artifact", "blend")]
    assert first_to_load("torch", *looks, (*looks[-1], "--against", "popularity")) == len(looks)  # which fits


@pytest.mark.parametrize(("model", "k"), [("checkpoint", 5), ("checkpoint", 20), *((name, 20) for name in OTHERS)])
def test_a_checkpoint_has_the_metrics_of_its_branches(
    model: str, k: int, gnas: Gnas, world: Path, parts: dict[int, tuple[set[str], list[str]]]
) -> None:
    code, out, said = gnas("evaluate", world / model, world / "shop", "--k", k, "--output", "json")
    assert code == 0, said
    checkpoint = Checkpoint.load(world / model)
    names = checkpoint.items.ids(range(len(checkpoint.items)))
    lists = {}
    for user, (known, _) in parts.items():
        scores = scores_of(checkpoint, checkpoint.users.row(user))
        lists[user] = [str(names[row]) for row in np.argsort(-scores, kind="stable") if names[row] not in known]
    recall, ndcg = metrics(lists, parts, k)
    result = json.loads(out)
    assert result["users"] == len(parts)
    assert result["metrics"][f"recall@{k}"]["value"] == pytest.approx(recall, abs=1e-6)
    assert result["metrics"][f"ndcg@{k}"]["value"] == pytest.approx(ndcg, abs=1e-6)
    assert result["metrics"][f"ndcg@{k}"]["low"] < ndcg < result["metrics"][f"ndcg@{k}"]["high"]
    assert 0.02 < ndcg < 1


def test_an_artifact_has_the_metrics_of_its_answers(
    gnas: Gnas, world: Path, parts: dict[int, tuple[set[str], list[str]]]
) -> None:
    code, out, said = gnas("evaluate", world / "artifact", world / "shop", "--output", "json")
    assert code == 0, said
    recommender = Recommender.load(world / "artifact")
    lists = {user: list(map(str, recommender.recommend(Query(user_id=user, k=20)).item_ids)) for user in parts}
    for user, (known, _) in parts.items():
        assert not known & set(lists[user])
    recall, ndcg = metrics(lists, parts, 20)
    result = json.loads(out)
    assert result["users"] == len(parts)
    assert result["metrics"]["recall@20"]["value"] == pytest.approx(recall, abs=1e-6)
    assert result["metrics"]["ndcg@20"]["value"] == pytest.approx(ndcg, abs=1e-6)


def test_where_stderr_is_no_terminal_nothing_is_left_of_the_bar(
    world: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run("evaluate", world / "artifact", world / "shop", "--output", "json") == 0
    assert "" not in capsys.readouterr().err.splitlines()


def test_the_seed_reaches_the_resamples_of_the_shift(gnas: Gnas, world: Path) -> None:
    told = []
    for seed in (0, 1):
        code, out, said = gnas("evaluate", world / "popularity", world / "shop", "--seed", seed, "--output", "json")
        assert code == 0, said
        told.append(json.loads(out)["shift"])
    assert told[0]["ratio"] == told[1]["ratio"]
    assert told[0]["low"] != told[1]["low"]


@pytest.mark.parametrize("model", ["checkpoint", "item-knn", "blend"])
def test_auc_compares_all_items_that_a_user_has_not(
    model: str, gnas: Gnas, world: Path, parts: dict[int, tuple[set[str], list[str]]]
) -> None:
    code, out, said = gnas("evaluate", world / model, world / "shop", "--output", "json")
    assert code == 0, said
    checkpoint = Checkpoint.load(world / model)
    names = checkpoint.items.ids(range(len(checkpoint.items)))
    areas = []
    for user, (known, wanted) in parts.items():
        scores = scores_of(checkpoint, checkpoint.users.row(user))
        mine = np.array([score for name, score in zip(names, scores, strict=True) if name in wanted])
        others = np.array([score for name, score in zip(names, scores, strict=True) if name not in {*known, *wanted}])
        pairs = (mine[:, None] > others).mean() + 0.5 * (mine[:, None] == others).mean()
        areas.append(pairs * len(mine) / len(wanted))
    found = json.loads(out)["metrics"]
    assert found["auc"]["value"] == pytest.approx(np.mean(areas), abs=1e-4)
    assert found["auc"]["low"] < found["auc"]["value"] < found["auc"]["high"]
    assert 0 < found["log_loss"]["low"] < found["log_loss"]["high"] < 1
    assert 0.5 < found["accuracy"]["value"] < 1


def test_models_are_compared_on_the_same_users(gnas: Gnas, world: Path) -> None:
    command = ("evaluate", world / "checkpoint", world / "shop", "--k", 10)
    rivals = ("--against", world / "filter", "--against", world / "checkpoint", "--against", "baselines")
    code, out, said = gnas(*command, *rivals, "--output", "json")
    assert code == 0, said
    found = json.loads(out)
    kinds = {one["name"]: one["kind"] for one in found["against"]}
    assert kinds == dict.fromkeys(("item-knn", "popularity", "svd"), "baseline") | dict.fromkeys(
        (str(world / "filter"), str(world / "checkpoint")), "checkpoint"
    )
    code, out, said = gnas("evaluate", world / "filter", world / "shop", "--k", 10, "--output", "json")
    assert code == 0, said
    theirs = json.loads(out)["metrics"]
    by_name = {one["name"]: one["metrics"] for one in found["against"]}
    for name, facts in by_name[str(world / "filter")].items():
        assert facts["value"] == pytest.approx(theirs[name]["value"])
        assert facts["difference"] == pytest.approx(found["metrics"][name]["value"] - theirs[name]["value"])
        assert facts["low"] <= facts["difference"] <= facts["high"]
        assert 0 < facts["p_value"] <= facts["p_holm"] <= 1
    assert {facts["p_value"] for facts in by_name[str(world / "checkpoint")].values()} == {1.0}
    assert by_name["popularity"]["ndcg@10"]["difference"] > 0
    assert not by_name["svd"]["log_loss"]["larger_is_better"]
    assert "Holm" in found["comparison"]["p_holm"]
    code, out, said = gnas(*command, "--against", "popularity", "--cold", 8)
    assert code == 0, said
    assert "checkpoint against popularity" in out
    assert "less is better: log_loss" in out


@pytest.mark.parametrize("cold", [0, 3, 5, 8])
def test_who_is_cold_is_said_by_a_flag(
    cold: int, gnas: Gnas, world: Path, parts: dict[int, tuple[set[str], list[str]]]
) -> None:
    flag = () if cold == 5 else ("--cold", cold)  # as it is without
    code, out, said = gnas("evaluate", world / "filter", world / "shop", *flag, "--output", "json")
    assert code == 0, said
    groups = json.loads(out)["groups"]
    counts = Counter(item for known, _ in parts.values() for item in known)
    frame = pl.read_parquet(world / "shop" / "interactions.parquet").filter(pl.col("event") == TARGET)
    for user, history in frame.group_by("user_id"):
        if user[0] not in parts:  # all of whose items stay in training
            counts.update(history["item_id"].to_list())
    colder = sum(len(known) <= cold for known, _ in parts.values())
    assert groups.get("cold_users", {"users": 0})["users"] == colder
    assert groups["warm_users"]["users"] == len(parts) - colder
    wanted = [{counts[item] <= cold for item in items} for _, items in parts.values()]
    assert groups.get("cold_items", {"users": 0})["users"] == sum(True in kinds for kinds in wanted)
    assert groups["warm_items"]["users"] == sum(False in kinds for kinds in wanted)
    if cold == 8:
        assert 0 < colder < len(parts)


@pytest.mark.parametrize("prefers", [False, True])
def test_a_test_part_that_is_drawn_otherwise_is_warned_of(
    prefers: bool, gnas: Gnas, world: Path, tmp_path: Path
) -> None:
    """Test has every tenth interaction, as validation does; or of as many those with the first items alone."""
    pairs = [(user, item) for user in range(60) for item in range(60) if (user * 7 + item * 3) % 4]
    rng = np.random.default_rng(0)
    parts = rng.choice(["train", "valid", "test"], len(pairs), p=[0.8, 0.1, 0.1])
    if prefers:
        parts = np.where((parts == "test") & [item >= 6 for _, item in pairs], "train", parts)
        parts = np.where([item < 6 and user % 2 == 0 for user, item in pairs], "test", parts)
    rows = [f"{user},item-{item},{part}" for (user, item), part in zip(pairs, parts, strict=True)]
    (tmp_path / "interactions.csv").write_text("\n".join(["user_id,item_id,split", *rows]))
    code, _, said = gnas("train", tmp_path, "--spec", world / "popularity.json", "--out", tmp_path / "checkpoint")
    assert code == 0, said
    code, out, said = gnas("evaluate", tmp_path / "checkpoint", tmp_path, "--output", "json")
    assert code == 0, said
    shift = json.loads(out)["shift"]
    warning = (
        f"the test part is not exchangeable with validation: the shares of items in it disperse {shift['test']:.2f}"
    )
    assert (warning in said) == prefers
    assert (shift["low"] > 1.25) == prefers
    assert ("exchangeable" in said) == prefers


def test_an_artifact_is_calibrated_by_the_checkpoint_it_is_compared_with(gnas: Gnas, world: Path) -> None:
    code, out, said = gnas("evaluate", world / "artifact", world / "shop")
    assert code == 0, said
    assert "log_loss: an artifact holds the fit that has learned from validation" in " ".join(out.split())
    command = ("evaluate", world / "artifact", world / "shop", "--against", world / "checkpoint", "--output", "json")
    code, out, said = gnas(*command)
    assert code == 0, said
    found = json.loads(out)
    assert found["pointwise"]["left_out"] == {}
    # The exact form keeps every score: nothing is lost by the export.
    (against,) = found["against"]
    for name in ("auc", "log_loss", "accuracy", "ndcg@20"):
        assert against["metrics"][name]["difference"] == pytest.approx(0, abs=1e-5)
    code, out, said = gnas(
        "evaluate", world / "checkpoint", world / "shop", "--against", world / "artifact", "--output", "json"
    )
    assert code == 0, said
    assert "log_loss" in json.loads(out)["against"][0]["metrics"]


def test_a_rival_that_may_have_learned_from_the_test_part_is_refused(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    rival = tmp_path / "rival"
    code, _, said = gnas("train", world / "shop", "--spec", world / "filter.json", "--split", "random", "--out", rival)
    assert code == 0, said
    code, out, said = gnas("evaluate", world / "checkpoint", world / "shop", "--against", rival)
    assert (code, out) == (3, "")
    assert f"{rival} was made from another split of this data: its split is 'random'" in said
    code, out, said = gnas("evaluate", world / "checkpoint", world / "shop", "--against", "popularty")
    assert (code, out) == (2, "")
    assert "did you mean 'popularity'?" in said


@pytest.mark.parametrize("model", ["filter", "item-knn"])
def test_somebody_of_whom_a_model_knows_nothing_gets_what_is_popular(
    model: str, gnas: Gnas, world: Path, tmp_path: Path
) -> None:
    """User 99 is known, but only ever viewed; the item that sells best is not the first one."""
    bought = [(user, item) for user in range(30) for item in (f"item-{user % 5}", f"item-{(user + 1) % 5}", "item-9")]
    rows = [f"{user},{item},buy,train" for user, item in bought] + ["99,item-3,view,train"]
    rows += [f"{user},item-{(user + 2) % 5},buy,valid" for user in range(30)] + ["99,item-9,buy,test"]
    (tmp_path / "interactions.csv").write_text("\n".join(["user_id,item_id,event,split", *rows]))
    code, _, said = gnas("train", tmp_path, "--spec", world / f"{model}.json", "--out", tmp_path / "checkpoint")
    assert code == 0, said
    code, out, said = gnas("evaluate", tmp_path / "checkpoint", tmp_path, "--k", 1, "--output", "json")
    assert code == 0, said
    found = json.loads(out)
    assert (found["users"], found["known_users"]["users"]) == (1, 1)
    assert found["metrics"]["recall@1"]["value"] == 1.0


@pytest.mark.parametrize("model", ["checkpoint", "artifact"])
def test_other_data_is_refused(model: str, gnas: Gnas, world: Path) -> None:
    code, out, said = gnas("evaluate", world / model, world / "other")
    assert (code, out) == (3, "")
    assert f"the {model} was made from other data" in said


def test_a_study_of_other_data_is_refused(gnas: Gnas, world: Path, tmp_path: Path) -> None:
    study = tmp_path / "study"
    code, _, said = gnas("search", world / "shop", "--out", study, "--space", "quick", "--budget", "0.001s")
    assert code == 0, said
    for command in (("search", "--out", study), ("train", "--out", tmp_path / "m", "--study", study)):
        code, _, said = gnas(*command, world / "other")
        assert code == 3
        assert "made from other data" in said
    assert not (tmp_path / "m").exists()
    for columns, setting in (
        ("visitor,item_id,event", "user_column is 'user_id'"),
        ("user_id,item_id,event", "target_event is 'purchase'"),
    ):
        (tmp_path / "interactions.csv").write_text(f"{columns}\n1,1,seen\n2,2,seen\n")
        for command, what in (
            (("search", "--out", study), f"the study {study}"),
            (("train", "--out", tmp_path / "m", "--study", study), f"the study {study}"),
            (("evaluate", world / "checkpoint"), "the checkpoint"),
            (("evaluate", world / "artifact"), "the artifact"),
        ):
            code, _, said = gnas(*command, tmp_path)
            assert (code, f"{what} was made from other data: its {setting}" in said) == (3, True), said
            assert "--user-column" not in said
