"""An artifact is held against the simple models, for the users who judge it."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from export_runs import PROFILE, run
from planted_checkpoint import planted_checkpoint, single_fit

from gnas_export.judging.quality import Jury
from gnas_export.judging.simple_models import measured_baselines, not_below_baselines
from gnas_search.baselines import BASELINES, measure_baseline
from gnas_search.data.dataset import InteractionGraph
from gnas_search.division import divided_users
from gnas_search.evaluate import UserMetrics, Validation
from gnas_serve.errors import QualityGateError


@pytest.fixture(scope="module")
def checkpoint():
    return planted_checkpoint()


@pytest.fixture(scope="module")
def jury(checkpoint):
    gate = divided_users(checkpoint).gate
    return Jury(gate, checkpoint.valid[gate], 0)


def test_they_are_what_a_search_measures_on_the_same_users(checkpoint, jury):
    found = measured_baselines(checkpoint, jury)
    assert set(found) == set(BASELINES)
    only = sp.lil_matrix(checkpoint.valid.shape, dtype=np.float32)
    only[jury.users] = checkpoint.valid[jury.users]
    judging = Validation(checkpoint.train, only.tocsr(), max_users=None, seed=0)
    graph = InteractionGraph(checkpoint.train, checkpoint.train)
    for name in ("item-knn", "popularity"):
        expected = measure_baseline(name, graph, judging, seed=checkpoint.seed).metrics
        np.testing.assert_array_equal(found[name].ndcg, expected.ndcg)


def test_the_rank_of_the_svd_is_chosen_by_other_users(checkpoint, jury, monkeypatch):
    asked = []

    def spying(name, graph, validation, **options):
        asked.append(validation.users)
        return BASELINES[name]

    monkeypatch.setattr("gnas_export.judging.simple_models.baseline_spec", spying)
    measured_baselines(checkpoint, jury)
    assert len(asked) == len(BASELINES)
    assert not np.isin(asked[0], jury.users).any()


def test_the_best_of_them_is_what_counts(jury):
    def metrics(ndcg):
        return UserMetrics(recall=ndcg, ndcg=ndcg)

    rng = np.random.default_rng(0)
    good = 0.2 + 0.05 * rng.random(len(jury.users))
    simple = {"popularity": metrics(good - 0.15), "svd": metrics(good)}
    assert not_below_baselines(jury, metrics(good + 0.01), simple, 0.0).passed
    assert not_below_baselines(jury, metrics(rng.permutation(good)), simple, 0.0).passed
    worse = not_below_baselines(jury, metrics(good * 0.95), simple, 0.0)
    assert not worse.passed
    assert "svd, the best simple model" in worse.remark
    assert not_below_baselines(jury, metrics(good * 0.95), simple, 0.1).passed


def test_worse_on_average_than_the_best_is_not_significantly_worse():
    rng = np.random.default_rng(0)
    users = np.arange(40)
    simple = rng.random(40)
    found = simple + rng.standard_normal(40)
    found += simple.mean() - 0.1 - found.mean()
    some = Jury(users, sp.csr_matrix((40, 5), dtype=np.float32), 0)
    gate = not_below_baselines(some, UserMetrics(found, found), {"svd": UserMetrics(simple, simple)}, allowed_loss=0.0)
    assert gate.change.value == pytest.approx(-0.1 / simple.mean())
    assert gate.change.low < 0 < gate.change.high == gate.value
    assert gate.passed


def test_a_model_worse_than_the_simplest_does_not_ship(tmp_path):
    checkpoint = planted_checkpoint()
    rng = np.random.default_rng(9)
    random = single_fit(*(rng.standard_normal((count, 8)) for count in checkpoint.train.shape))
    strict = replace(PROFILE, gates=replace(PROFILE.gates, baseline_loss=0.0, quality_loss=1.0))
    with pytest.raises(QualityGateError, match=r"gate (popularity|baseline):"):
        run(replace(checkpoint, selection=random, final=random), tmp_path / "a", strict, ranker="never")
    report = (tmp_path / "a.report.json").read_text()
    assert '"baseline_item-knn"' in report
