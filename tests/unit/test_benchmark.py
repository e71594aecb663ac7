import numpy as np
import pytest
from tiny_artifact import SEEN_PER_USER, write_tiny_artifact

from gnas_serve.runtime.benchmark import benchmark
from gnas_serve.runtime.index import FlatIndex
from gnas_serve.runtime.recommender import Recommender


@pytest.fixture(scope="module")
def recommender(tmp_path_factory):
    return Recommender.load(write_tiny_artifact(tmp_path_factory.mktemp("bench") / "artifact"))


def test_an_exact_artifact_agrees_with_brute_force(recommender):
    report = benchmark(recommender, requests=60, k=5)
    assert report.recall == 1.0
    assert report.requests == 60
    assert report.candidates == recommender.candidates
    assert 0 < report.p50_us <= report.p99_us
    assert 0 < report.brute_force_p50_us <= report.brute_force_p99_us
    assert report.to_json()["speedup"] == report.brute_force_p50_us / report.p50_us
    assert report.rss_bytes > 2**20


def test_a_poor_index_is_seen_as_one(recommender):
    half = recommender.item_vectors.dense().copy()
    half[::2] = 0
    assert benchmark(recommender.with_index(FlatIndex(half)), requests=30, k=5).recall < 1.0


def test_a_user_who_has_seen_everything_is_no_problem(tmp_path):
    folder = write_tiny_artifact(tmp_path / "small", num_items=SEEN_PER_USER, num_users=5)
    report = benchmark(Recommender.load(folder), requests=20, k=5)
    assert np.isfinite(report.p50_us)
    assert report.recall == 1.0
