"""The road on public research data, through the real command line, a real server and both doors."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest

_DATA = Path(os.environ.get("GNAS_REAL_DATA", Path(__file__).parents[2] / "../shared/data")) / "ml-100k"

pytestmark = [
    pytest.mark.real_data,
    pytest.mark.skipif(not _DATA.is_dir(), reason=f"no data at {_DATA}: set GNAS_REAL_DATA to run this test"),
]


def _gnas(*arguments, code=0):
    done = subprocess.run(
        [sys.executable, "-m", "gnas_serve.cli", *map(str, arguments)], capture_output=True, text=True, timeout=400
    )
    assert done.returncode == code, f"{arguments}: exit {done.returncode}\n{done.stderr[-3000:]}"
    return done.stdout


def _json(*arguments):
    return json.loads(_gnas(*arguments, "--output", "json"))


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
    _gnas("search", _DATA, "--out", out / "study", "--space", "quick", "--trials", "3", "--seed", "0")
    (out / "blend.json").write_text(json.dumps(_BLEND))
    _gnas("train", _DATA, "--spec", out / "blend.json", "--out", out / "checkpoint")
    _gnas("export", out / "checkpoint", "--out", out / "artifact", "--ranker", "always")
    return out


def test_the_leaderboard_starts_with_the_baselines(road):
    rows = _json("study", "leaderboard", road / "study")["rows"]
    assert {row["name"] for row in rows[:3]} == {"popularity", "item-knn", "svd"}
    assert {"filter", "gnn", "two-hop"} <= {row["kind"] for row in rows[3:]}


def test_the_exact_profile_gives_the_checkpoints_figures(road, tmp_path):
    _gnas("export", road / "checkpoint", "--out", tmp_path / "artifact", "--profile", "exact")
    trained = _json("evaluate", road / "checkpoint", _DATA)["metrics"]
    served = _json("evaluate", tmp_path / "artifact", _DATA)["metrics"]
    # Which only a checkpoint can be judged by: what is shipped has seen validation, on which scores are calibrated.
    assert set(trained) - set(served) == {"accuracy", "log_loss"}
    for name, found in served.items():
        assert found["value"] == pytest.approx(trained[name]["value"], abs=1e-6), name


def test_the_trained_model_beats_popularity_on_test(road, tmp_path):
    trained = _json("evaluate", road / "checkpoint", _DATA)["metrics"]
    _gnas("train", _DATA, "--study", road / "study", "--trial", "popularity", "--out", tmp_path / "popularity")
    popular = _json("evaluate", tmp_path / "popularity", _DATA)["metrics"]
    assert trained["ndcg@20"]["low"] > popular["ndcg@20"]["value"]


def test_two_exports_with_the_same_decisions_are_equal_bytes(road, tmp_path):
    again = tmp_path / "again"
    _gnas(
        "export",
        road / "checkpoint",
        "--out",
        again,
        "--ranker",
        "always",
        "--decisions",
        road / "artifact" / "decisions.json",
    )
    names = sorted(path.name for path in (road / "artifact").iterdir())
    assert sorted(path.name for path in again.iterdir()) == names
    differing = [n for n in names if (again / n).read_bytes() != (road / "artifact" / n).read_bytes()]
    assert [name for name in differing if not name.startswith("report.")] == []


def test_an_altered_checkpoint_is_refused(road, tmp_path):
    import shutil

    copy = shutil.copytree(road / "checkpoint", tmp_path / "copy")
    weights = copy / "final.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    _gnas("export", copy, "--out", tmp_path / "artifact", code=8)
    assert not (tmp_path / "artifact").exists()


@pytest.mark.skipif(not (_DATA.parent / "lastfm").is_dir(), reason="no real data of another set")
def test_other_data_is_refused(road):
    _gnas("evaluate", road / "checkpoint", _DATA.parent / "lastfm", code=3)


def test_what_is_measured_offline_is_what_both_doors_serve(road):
    from gnas_search.data.interactions import DatasetConfig
    from gnas_search.data.splits import load_with_test
    from gnas_search.evaluate import rank_metrics
    from gnas_serve.artifact.manifest import Manifest
    from gnas_serve.service.client import recommend

    offline = _json("evaluate", road / "artifact", _DATA)["metrics"]
    config = DatasetConfig.from_json(Manifest.read(road / "artifact").data["config"])
    dataset, test = load_with_test(_DATA, config)
    http, grpc = _free_port(), _free_port()
    command = ["serve", str(road / "artifact"), "--http-port", str(http), "--grpc-port", str(grpc)]
    server = subprocess.Popen([sys.executable, "-m", "gnas_serve.cli", *command])
    try:
        _wait(http, server)
        by_http = [_ask(http, user_id) for user_id in test.user_ids]
        by_grpc = [_ids(recommend(f"127.0.0.1:{grpc}", user_id=user_id, k=20)) for user_id in test.user_ids[:100]]
    finally:
        server.send_signal(signal.SIGTERM)
        assert server.wait(30) == 0
    assert by_grpc == by_http[:100]
    served = rank_metrics([dataset.items.rows(ids) for ids in by_http], test.relevant, test.num_relevant, 20)
    assert np.mean(served.ndcg) == pytest.approx(offline["ndcg@20"]["value"], abs=1e-6)
    assert np.mean(served.recall) == pytest.approx(offline["recall@20"]["value"], abs=1e-6)


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _wait(port, server):
    for _ in range(300):
        assert server.poll() is None, "the server ended early"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as reply:
                if reply.status == 200:
                    return
        except OSError:
            time.sleep(0.1)
    pytest.fail("the server was never ready")


def _ask(port, user_id):
    body = json.dumps({"user_id": user_id, "k": 20}).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/recommend", data=body, headers={"content-type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=10) as reply:
        return _ids(json.load(reply))


def _ids(answer):
    return [item["item_id"] for item in answer["items"]]
