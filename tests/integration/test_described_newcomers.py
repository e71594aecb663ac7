"""A newcomer with a history who says what a known user says: the ranker is told the same, and answers the same."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from export_runs import PROFILE
from export_runs import run as export
from search_world import Gnas, calling, run

from gnas_export.limits import GateLimits
from gnas_export.steps import newcomers
from gnas_search.bootstrap import Interval
from gnas_search.checkpoint import Checkpoint
from gnas_serve.artifact.encoding_facts import WordsEncoding
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import IntegrityError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender

USERS, ITEMS = 240, 60
LOOSE = replace(PROFILE, gates=GateLimits(quality_loss=1.0, form_loss=1.0, baseline_loss=1.0))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "data").mkdir()
    rng = np.random.default_rng(3)
    south, ages = rng.random(USERS) < 0.4, rng.integers(18, 90, USERS)
    chance = np.where(south[:, None] & (np.arange(ITEMS) < ITEMS // 2), 0.02, rng.uniform(0.1, 0.5, ITEMS))
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < chance)
    log = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": rng.permutation(len(users))})
    log.write_parquet(folder / "data" / "interactions.parquet")
    said = {
        "user_id": range(USERS),
        "region": ["south" if one else "north" for one in south],
        "age": [None if row % 10 == 0 else age for row, age in enumerate(ages.tolist())],
    }
    pl.DataFrame(said).write_parquet(folder / "data" / "users.parquet")
    # Links answer a newcomer exactly as they answer a user of the same history: what differs is the ranker's input.
    (folder / "knn.json").write_text(json.dumps({"kind": "two-hop", "neighbours": 20}))
    assert run("train", folder / "data", "--spec", folder / "knn.json", "--out", folder / "checkpoint") == 0
    made = export(Checkpoint.load(folder / "checkpoint"), folder / "artifact", LOOSE, "always")
    (folder / "described.json").write_text(json.dumps(made.report["facts"]["described_newcomers"]))
    return folder


@pytest.fixture(scope="module")
def recommender(world: Path) -> Recommender:
    found = Recommender.load(world / "artifact")
    assert found.manifest.ranker.kind == "mlp"
    return found


def answered(recommender: Recommender, user: int, said: dict[str, Any] | None) -> dict[Any, float]:
    """Ask as the user, or as somebody who has the same items and says something; nothing of the answer is left out."""
    if said is None:
        answer = recommender.recommend(Query(user_id=user, k=ITEMS))
    else:
        history = tuple(recommender.items.ids(recommender.seen.of(recommender.users.row(user))))
        answer = recommender.recommend(Query(k=ITEMS, history=history, user_features=tuple(said.items())))
        assert answer.source == "fold_in"
    return dict(zip(answer.item_ids, answer.scores, strict=True))


def test_the_same_history_and_features_have_the_same_answer(world: Path, recommender: Recommender) -> None:
    file = pl.read_parquet(world / "data" / "users.parquet")
    told, untold = [], []
    for row in file.head(40).iter_rows(named=True):
        user = row.pop("user_id")
        own = answered(recommender, user, None)
        assert answered(recommender, user, row) == pytest.approx(own, rel=1e-4, abs=1e-4)
        # Null is as good as nothing.
        known = {name: value for name, value in row.items() if value is not None}
        told.append(answered(recommender, user, known) == answered(recommender, user, row))
        untold.append(answered(recommender, user, {}) == pytest.approx(own, rel=1e-4, abs=1e-4))
    assert all(told)
    assert not any(untold)
    assert recommender.info.user_features == ("region", "age")


def test_where_the_ranker_orders_worse_it_is_not_told(
    world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads((world / "described.json").read_text())
    assert found["told"] is True
    assert found["against_untold"]["low"] < found["against_untold"]["value"] <= found["against_untold"]["high"]
    monkeypatch.setattr(newcomers, "paired_interval", lambda *_: Interval(-0.02, -0.03, -0.01))
    made = export(Checkpoint.load(world / "checkpoint"), tmp_path / "artifact", LOOSE, "always")
    assert made.manifest.ranker.kind == "mlp"
    assert made.report["facts"]["described_newcomers"]["told"] is False
    assert made.manifest.user_encoding == Manifest.read(made.path).user_encoding == ()


def test_what_a_known_user_says_does_not_count(recommender: Recommender) -> None:
    said = Query(user_id=5, k=ITEMS, user_features=(("region", "south"), ("age", 18)))
    other = Query(user_id=5, k=ITEMS, user_features=(("region", "north"), ("age", 90)))
    assert recommender.recommend(said).items() == recommender.recommend(other).items()


def test_an_artifact_of_before_answers_as_it_did(world: Path, recommender: Recommender, tmp_path: Path) -> None:
    shutil.copytree(world / "artifact", tmp_path / "older")
    manifest = Manifest.read(tmp_path / "older")
    replace(manifest, user_encoding=()).write(tmp_path / "older")
    assert "user_encoding" not in (tmp_path / "older" / "manifest.json").read_text()
    older = Recommender.load(tmp_path / "older")
    for user in range(5):
        said = {"region": "south", "age": 30}
        assert answered(older, user, said) == answered(older, user, {}) == answered(recommender, user, {})


def test_an_encoding_of_more_columns_than_there_are_is_refused(world: Path, tmp_path: Path) -> None:
    shutil.copytree(world / "artifact", tmp_path / "other")
    manifest = Manifest.read(tmp_path / "other")
    beyond = WordsEncoding("region", None, ("south",), (3,))
    replace(manifest, user_encoding=(beyond,)).write(tmp_path / "other")
    with pytest.raises(IntegrityError, match="in a column that the ranker's table of users does not have"):
        Recommender.load(tmp_path / "other")


def test_inspect_says_what_reads_them(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gnas: Gnas = calling(capsys)
    code, out, _ = gnas("inspect", world / "artifact", "--output", "json")
    assert code == 0
    assert [one["name"] for one in json.loads(out)["user_encoding"]] == ["region", "age"]
    code, out, _ = gnas("inspect", world / "artifact")
    assert code == 0
    assert "region (2 segments, ranker)" in " ".join(out.split())
