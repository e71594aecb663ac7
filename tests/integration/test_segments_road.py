"""Features of users on the whole road: from a file through train, finetune and export into answers at every door."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from attribute_tables import attributes_of
from export_runs import PROFILE, files
from export_runs import run as export
from planted_checkpoint import planted_checkpoint
from search_world import Gnas, calling, run
from segment_tables import telling_users

from gnas_export.decisions import Decision, Decisions
from gnas_export.judging import segments as judging
from gnas_export.judging.quality import Jury
from gnas_export.judging.segments import answered_strangers
from gnas_search.checkpoint import Checkpoint
from gnas_search.division import divided_users
from gnas_serve.artifact.manifest import Manifest
from gnas_serve.errors import QualityGateError
from gnas_serve.runtime.query import Query
from gnas_serve.runtime.recommender import Recommender
from gnas_serve.runtime.seen import SeenItems

USERS, ITEMS = 240, 60


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    (folder / "data").mkdir()
    rng = np.random.default_rng(3)
    # Everybody of the south has items of the upper half only.
    south = rng.random(USERS) < 0.4
    chance = np.where(south[:, None] & (np.arange(ITEMS) < ITEMS // 2), 0.0, rng.uniform(0.05, 0.5, ITEMS))
    users, items = np.nonzero(rng.random((USERS, ITEMS)) < chance)
    log = pl.DataFrame({"user_id": users, "item_id": items, "timestamp": rng.permutation(len(users))})
    log.write_parquet(folder / "data" / "interactions.parquet")
    said = {
        "user_id": [*range(USERS), 9999],
        "region": ["south" if one else "north" for one in south] + ["south"],
        "age": rng.integers(18, 90, USERS + 1),
        "member": rng.random(USERS + 1) < 0.5,
        "mail": [f"{row}@example.org" for row in range(USERS + 1)],
        "likes": [["a"]] * (USERS + 1),
    }
    pl.DataFrame(said).sample(fraction=1, shuffle=True, seed=1).write_parquet(folder / "data" / "users.parquet")
    (folder / "knn.json").write_text(json.dumps({"kind": "two-hop", "neighbours": 20}))
    assert run("train", folder / "data", "--spec", folder / "knn.json", "--out", folder / "checkpoint") == 0
    (folder / "any.toml").write_text("[gates]\nbaseline_loss = 1\nquality_loss = 1\n")
    of_checkpoint(folder, "checkpoint", "artifact")
    return folder


def of_checkpoint(folder: Path, checkpoint: str, out: str) -> None:
    given = ("--profile", folder / "any.toml", "--ranker", "never", "--out", folder / out)
    assert run("export", folder / checkpoint, *given) == 0


def test_a_checkpoint_keeps_what_users_share(world: Path) -> None:
    checkpoint = Checkpoint.load(world / "checkpoint")
    attributes = checkpoint.user_attributes
    assert attributes is not None
    file = pl.read_parquet(world / "data" / "users.parquet").sort("user_id")[:USERS]
    ids = checkpoint.users.ids(range(len(checkpoint.users)))
    wanted = attributes_of({name: file[name].gather(ids).to_list() for name in ("region", "age", "member")})
    assert attributes.facts() == wanted.facts()  # neither addresses nor lists
    for name, array in wanted.arrays().items():
        np.testing.assert_array_equal(attributes.arrays()[name], array)


def test_newcomers_get_what_people_like_them_have(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gnas: Gnas = calling(capsys)

    def asked(*said: str) -> dict[str, Any]:
        code, out, _ = gnas("recommend", world / "artifact", "-k", 15, *said, "--output", "json")
        assert code == 0
        found: dict[str, Any] = json.loads(out)
        return found

    south = asked("--feature", "region=south", "--feature", "age=41")
    assert {item["source"] for item in south["items"]} == {"segment"}
    assert min(item["item_id"] for item in south["items"]) >= ITEMS // 2
    assert {item["source"] for item in asked("--feature", "region=east")["items"]} == {"popularity"}
    assert min(item["item_id"] for item in asked()["items"]) < ITEMS // 2
    recommender = Recommender.load(world / "artifact")
    answer = recommender.recommend(Query(k=15, user_features=(("age", 41), ("region", "south"))))
    assert answer.items() == south["items"]
    code, out, _ = gnas("explain", world / "artifact", "--item", 40, "--feature", "region=south", "--output", "json")
    assert code == 0
    assert set(json.loads(out)["remainder"]) == {"popularity", "user_features.region"}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("mail=a",), "known: region, age, member"),
        (("region",), "NAME=VALUE"),
        (("=south",), "NAME=VALUE"),
        (("age=1", "age=2"), "each name once"),
    ],
)
def test_what_is_no_feature_is_exit_2(
    world: Path, said: tuple[str, ...], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gnas: Gnas = calling(capsys)
    options = [part for one in said for part in ("--feature", one)]
    code, _, err = gnas("recommend", world / "artifact", *options)
    assert code == 2
    assert words in " ".join(err.split())


def test_inspect_and_the_forecast_count_them(world: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gnas: Gnas = calling(capsys)
    code, out, _ = gnas("inspect", world / "artifact", "--output", "json")
    assert code == 0
    features = {one["name"]: one for one in json.loads(out)["segments"]["features"]}
    assert features["region"] == {"name": "region", "kind": "text", "values": ["north", "south"]}
    assert (features["age"]["kind"], features["member"]["values"]) == ("bins", [0.0, 1.0])
    code, out, _ = gnas("inspect", world / "artifact")
    assert code == 0
    assert "region (2 segments)" in " ".join(out.split())
    replace(Checkpoint.load(world / "checkpoint"), user_attributes=None).save(world / "forgetful")
    given = ("--profile", world / "any.toml", "--ranker", "never", "--out", world / "none", "--output", "json")
    told = []
    for name in ("checkpoint", "forgetful"):
        code, out, _ = gnas("export", world / name, *given, "--dry-run")
        assert code == 0
        told.append(json.loads(out)["forecast"])
    sizes = [path.stat().st_size for path in (world / "artifact").glob("segments.*")]
    assert told[0]["artifact_bytes"] - told[1]["artifact_bytes"] == pytest.approx(sum(sizes), abs=128 * len(sizes))
    seconds = [next(one["seconds"] for one in found["steps"] if one["name"] == "choose_segments") for found in told]
    assert seconds[0] > seconds[1] == 0


def test_fine_tuning_brings_them_up_to_date(world: Path) -> None:
    newer = world / "newer"
    newer.mkdir()
    log = pl.read_parquet(world / "data" / "interactions.parquet")
    more = pl.DataFrame({"user_id": range(USERS), "item_id": [30 + user % 30 for user in range(USERS)]})
    more = more.with_columns(timestamp=pl.lit(10**6) + pl.int_range(USERS)).cast(dict(log.schema))
    pl.concat([log, more]).write_parquet(newer / "interactions.parquet")
    file = pl.read_parquet(world / "data" / "users.parquet").with_columns(region=pl.lit("moon")).drop("age")
    file.write_parquet(newer / "users.parquet")
    assert run("finetune", world / "checkpoint", newer, "--out", world / "tuned") == 0
    before, after = (Checkpoint.load(world / name).user_attributes for name in ("checkpoint", "tuned"))
    assert before is not None
    assert after is not None
    assert after.columns["region"].words.ids([0]) == ["moon"]  # type: ignore[union-attr]
    np.testing.assert_array_equal(after.columns["age"].values, before.columns["age"].values)  # type: ignore[union-attr]


def test_the_stated_figure_is_that_of_questions_with_features(tmp_path: Path) -> None:
    checkpoint = telling_users(planted_checkpoint(num_users=600, with_features=False))
    made = export(checkpoint, tmp_path / "a", PROFILE, ranker="never")
    assert made.report["decisions"]["segments"]["choice"] == "segments"
    gain = made.report["facts"]["segments"]["against_popularity"]
    assert 0 < gain["low"] < gain["value"]
    # The selection fit as the final one: then the artifact itself can be asked.
    division = divided_users(checkpoint)
    jury = Jury(division.gate, checkpoint.valid[division.gate], 0)
    nobody = checkpoint.valid.copy()
    nobody.data[:] = 0
    nobody.eliminate_zeros()
    as_final = replace(checkpoint, final=checkpoint.selection, valid=nobody)
    decisions = Decisions(PROFILE, "never", {"segments": Decision("segments", "asked for")})
    path = export(as_final, tmp_path / "b", PROFILE, "never", decisions).path
    replace(Manifest.read(path), segments=made.manifest.segments).write(path)  # prior and weight, which nobody chose
    recommender = Recommender.load(path)
    seen = SeenItems(checkpoint.train.indptr.astype(np.int64), checkpoint.train.indices)
    found = jury.judge(answered_strangers(jury, recommender, seen, checkpoint.user_attributes))
    assert float(found.ndcg.mean()) == pytest.approx(made.manifest.metrics["segment_ndcg@20"], abs=1e-9)
    plain = jury.judge(answered_strangers(jury, recommender, seen, None))
    assert float((found.ndcg - plain.ndcg).mean()) == pytest.approx(gain["value"], abs=1e-9)


def test_features_that_tell_nothing_ship_nothing_and_are_no_error(tmp_path: Path) -> None:
    checkpoint = planted_checkpoint(num_users=600, with_features=False)
    rng = np.random.default_rng(0)
    noise = {"coin": (rng.random(600) < 0.5).tolist(), "dice": rng.integers(0, 6, 600).tolist()}
    checkpoint = replace(checkpoint, user_attributes=attributes_of(noise))
    made = export(checkpoint, tmp_path / "a", PROFILE, ranker="never")
    decision = made.report["decisions"]["segments"]
    assert decision["choice"] == "popularity"
    assert "of popularity" in decision["reason"]
    assert "segment_ndcg@20" not in made.manifest.metrics
    assert not list(made.path.glob("segments.*"))
    recommender = Recommender.load(made.path)
    assert recommender.info.user_features == ()
    answer = recommender.recommend(Query(k=3, user_features=(("coin", True),)))
    assert answer.source == "popularity"
    # Asked for all the same, they are held against popularity, which they may not be worse than.
    bad = Decisions(PROFILE, "never", {"segments": Decision("segments", "another's")})
    forced = export(checkpoint, tmp_path / "b", PROFILE, "never", bad)
    assert any(gate["name"] == "segments" and gate["passed"] for gate in forced.report["gates"])


def test_features_that_mislead_are_a_breach_where_decisions_insist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "PRIORS", (1.0,))
    monkeypatch.setattr(judging, "WEIGHTS", (1.0,))
    checkpoint = planted_checkpoint(num_users=600, with_features=False)
    # Half of each camp has the four items of its own in train; the others want, in validation, those of the other camp.
    camp, has_them = checkpoint.selection.user_vectors[:, 0] < 0, np.arange(600) % 2 == 0
    train, valid = checkpoint.train.toarray(), checkpoint.valid.toarray()
    train[:, :8], valid[:, :8] = 0, 0
    valid[~has_them] = 0
    train[np.ix_(camp & has_them, range(4))], train[np.ix_(~camp & has_them, range(4, 8))] = 1, 1
    valid[np.ix_(camp & ~has_them, range(4, 8))], valid[np.ix_(~camp & ~has_them, range(4))] = 1, 1
    told = attributes_of({"camp": ["a" if one else "b" for one in camp.tolist()]})
    misled = replace(checkpoint, train=sp.csr_matrix(train), valid=sp.csr_matrix(valid), user_attributes=told)
    given = Decisions(PROFILE, "never", {"segments": Decision("segments", "another's")})
    with pytest.raises(QualityGateError, match="gate segments"):
        export(misled, tmp_path / "a", PROFILE, "never", given)


def test_decisions_repeat_the_bytes_and_data_without_features_has_none(tmp_path: Path) -> None:
    checkpoint = telling_users(planted_checkpoint(num_users=600, with_features=False))
    made = export(checkpoint, tmp_path / "a", PROFILE, ranker="never")
    given = Decisions.read(made.path / "decisions.json", profile=PROFILE, ranker="never")
    again = export(checkpoint, tmp_path / "b", PROFILE, "never", given)
    assert files(made.path) == files(again.path)
    bare = export(replace(checkpoint, user_attributes=None), tmp_path / "c", PROFILE, ranker="never")
    assert "segments" not in json.loads((bare.path / "manifest.json").read_text())
    assert "segments" not in bare.report["decisions"]
    assert Manifest.read(bare.path).segments is None
