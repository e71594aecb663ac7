"""The road on public research data, through the real command line, a real server and both doors."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from forked_cli import ForkedCli
from served_process import AT_ONCE, Served

_DATA = Path(os.environ.get("GNAS_REAL_DATA", Path(__file__).parents[2] / "../shared/data")) / "ml-100k"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not _DATA.is_dir(), reason=f"no data at {_DATA}: set GNAS_REAL_DATA to run this test"),
]


class Road:
    """The command line, and what it has made of the data."""

    def __init__(self, cli, out):
        self._cli = cli
        self.study, self.checkpoint, self.artifact = (out / name for name in ("study", "checkpoint", "artifact"))

    def gnas(self, *arguments, code=0):
        done = self._cli.run([str(word) for word in arguments], self.study.parent, {**os.environ})
        assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stderr[-3000:]}"
        return done.stdout

    def json(self, *arguments):
        return json.loads(self.gnas(*arguments, "--output", "json"))


# Of every kind; spreads as a search finds them on these data.
_BLEND = {
    "kind": "blend",
    "shares": [
        {
            "spec": {"kind": "filter", "response": "ridge", "rank": 64, "user_power": 0.25, "item_power": 0.25},
            "weight": 0.5,
            "spread": 0.004,
            "history_power": 0.7,
        },
        {"spec": {"kind": "two-hop"}, "weight": 0.3, "spread": 0.002, "history_power": 0.9},
        {"spec": {"layers": ["lightgcn"], "embedding_dim": 32, "epochs": 2}, "weight": 0.5, "spread": 0.3},
        {"spec": {"kind": "popularity"}, "weight": 0.05, "spread": 4.0},
    ],
}


@pytest.fixture(scope="module")
def road(tmp_path_factory):
    out = tmp_path_factory.mktemp("road")
    (out / "blend.json").write_text(json.dumps(_BLEND))
    with ForkedCli("gnas_search.study", "gnas_search.train", "gnas_export.pipeline") as cli:
        made = Road(cli, out)
        made.gnas("search", _DATA, "--out", made.study, "--space", "quick", "--trials", "3", "--seed", "0")
        made.gnas("train", _DATA, "--spec", out / "blend.json", "--out", made.checkpoint)
        made.gnas("export", made.checkpoint, "--out", made.artifact, "--ranker", "always")
        yield made


@pytest.fixture(scope="module")
def trained(road):
    """What `evaluate` says of the checkpoint."""
    return road.json("evaluate", road.checkpoint, _DATA)["metrics"]


def test_the_leaderboard_starts_with_the_baselines(road):
    rows = road.json("study", "leaderboard", road.study)["rows"]
    assert {row["name"] for row in rows[:3]} == {"popularity", "item-knn", "svd"}
    assert {"filter", "gnn", "two-hop"} <= {row["kind"] for row in rows[3:]}


def test_the_exact_profile_gives_the_checkpoints_figures(road, trained, tmp_path):
    road.gnas("export", road.checkpoint, "--out", tmp_path / "artifact", "--profile", "exact")
    served = road.json("evaluate", tmp_path / "artifact", _DATA)["metrics"]
    # Which only a checkpoint can be judged by: what is shipped has seen validation, on which scores are calibrated.
    assert set(trained) - set(served) == {"accuracy", "log_loss"}
    for name, found in served.items():
        assert found["value"] == pytest.approx(trained[name]["value"], abs=1e-6), name


def test_the_trained_model_beats_popularity_on_test(road, trained, tmp_path):
    road.gnas("train", _DATA, "--study", road.study, "--trial", "popularity", "--out", tmp_path / "popularity")
    popular = road.json("evaluate", tmp_path / "popularity", _DATA)["metrics"]
    assert trained["ndcg@20"]["low"] > popular["ndcg@20"]["value"]


def test_two_exports_with_the_same_decisions_are_equal_bytes(road, tmp_path):
    again = tmp_path / "again"
    decisions = road.artifact / "decisions.json"
    road.gnas("export", road.checkpoint, "--out", again, "--ranker", "always", "--decisions", decisions)
    names = sorted(path.name for path in road.artifact.iterdir())
    assert sorted(path.name for path in again.iterdir()) == names
    differing = [n for n in names if (again / n).read_bytes() != (road.artifact / n).read_bytes()]
    assert [name for name in differing if not name.startswith("report.")] == []


def test_an_altered_checkpoint_is_refused(road, tmp_path):
    copy = shutil.copytree(road.checkpoint, tmp_path / "copy")
    weights = copy / "final.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    road.gnas("export", copy, "--out", tmp_path / "artifact", code=8)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.skipif(not (_DATA.parent / "lastfm").is_dir(), reason="no real data of another set")
def test_other_data_is_refused(road):
    road.gnas("evaluate", road.checkpoint, _DATA.parent / "lastfm", code=3)


def test_what_is_measured_offline_is_what_both_doors_serve(road, tmp_path):
    from gnas_search.data.interactions import DatasetConfig
    from gnas_search.data.splits import load_with_test
    from gnas_search.evaluate import rank_metrics
    from gnas_serve.artifact.manifest import Manifest
    from gnas_serve.service.client import recommend

    offline = road.json("evaluate", road.artifact, _DATA)["metrics"]
    config = DatasetConfig.from_json(Manifest.read(road.artifact).data["config"])
    dataset, test = load_with_test(_DATA, config)
    served = Served(str(road.artifact), tmp_path / "elsewhere", settings=AT_ONCE)
    try:
        by_http = [_ids(served.http("/v1/recommend", {"user_id": user_id, "k": 20})) for user_id in test.user_ids]
        by_grpc = [_ids(recommend(served.ready["grpc"], user_id=user_id, k=20)) for user_id in test.user_ids[:100]]
    finally:
        assert served.stop() == 0, served.log.read_text()
    assert by_grpc == by_http[:100]
    found = rank_metrics([dataset.items.rows(ids) for ids in by_http], test.relevant, test.num_relevant, 20)
    assert np.mean(found.ndcg) == pytest.approx(offline["ndcg@20"]["value"], abs=1e-6)
    assert np.mean(found.recall) == pytest.approx(offline["recall@20"]["value"], abs=1e-6)


def _ids(answer):
    return [item["item_id"] for item in answer["items"]]
