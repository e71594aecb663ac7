"""Users without a vector: what answers from a history alone are worth is measured, stated and acted on."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from export_runs import PROFILE, files, run
from planted_checkpoint import planted_checkpoint, single_fit

from gnas_export.decisions import Decision, Decisions
from gnas_search.division import divided_users
from gnas_search.evaluate import rank_metrics
from gnas_serve.artifact.layout import LAYOUT
from gnas_serve.errors import QualityGateError
from gnas_serve.runtime.recommender import Query, Recommender

EXACT = replace(PROFILE, tables="fp32")


def only_own_vectors_know():
    """One popular item is what half of the users want next and a third cannot stand; no history tells which."""
    checkpoint = planted_checkpoint(num_items=400)
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((count, 64)).astype(np.float32) for count in checkpoint.train.shape)
    popular, has_it, wants_it, hates_it = 7, slice(0, 60), slice(60, 200), slice(200, 300)
    train = checkpoint.train.toarray()
    train[:, popular] = 0
    train[has_it, popular] = 1
    valid = np.zeros_like(train)
    valid[wants_it, popular] = 1
    valid[has_it, 100:160] = np.eye(60)
    valid[hates_it, 100:200] = np.eye(100)
    valid = np.where(train > 0, 0, valid)
    users += 3 * (valid @ items)
    users[hates_it] -= 20 * items[popular]
    fit = single_fit(users, items)
    return replace(checkpoint, train=sp.csr_matrix(train), valid=sp.csr_matrix(valid), selection=fit, final=fit)


def test_the_stated_figure_is_that_of_questions_with_a_history(tmp_path):
    checkpoint = planted_checkpoint(with_features=False)
    made = run(checkpoint, tmp_path / "a", EXACT, ranker="never")
    assert made.report["decisions"]["fold_in"]["choice"] == "map"
    gate = divided_users(checkpoint).gate
    # The selection fit as the final one: then the artifact itself can be asked.
    nobody = sp.csr_matrix(checkpoint.valid.shape, dtype=np.float32)
    as_final = replace(checkpoint, final=checkpoint.selection, valid=nobody)
    recommender = Recommender.load(run(as_final, tmp_path / "b", EXACT, ranker="never").path)
    answers = [
        recommender.recommend(Query(history=tuple(recommender.items.ids(checkpoint.train[int(row)].indices)), k=20))
        for row in gate
    ]
    assert {answer.source for answer in answers} == {"fold_in"}
    stated = made.manifest.metrics["fold_in_ndcg@20"]
    lists = [recommender.items.rows(answer.item_ids) for answer in answers]
    assert rank_metrics(lists, checkpoint.valid[gate]).mean()[1] == pytest.approx(stated, abs=1e-9)
    quality = made.report["facts"]["quality"]
    assert quality["popularity"]["ndcg@20"] < quality["fold_in"]["ndcg@20"] < quality["shipped"]["ndcg@20"] * 1.1


def test_popularity_answers_newcomers_where_it_does_so_better(tmp_path):
    checkpoint = only_own_vectors_know()
    made = run(checkpoint, tmp_path / "a", EXACT, ranker="never")
    quality = made.report["facts"]["quality"]
    assert quality["fold_in"]["ndcg@20"] < quality["popularity"]["ndcg@20"] < quality["shipped"]["ndcg@20"]
    assert made.report["decisions"]["fold_in"]["choice"] == "popularity"
    assert made.manifest.metrics["fold_in_ndcg@20"] == pytest.approx(quality["popularity"]["ndcg@20"])
    assert made.manifest.newcomers == "popularity"
    recommender = Recommender.load(made.path)
    assert recommender.recommend(Query(history=("item-00003",), k=3)).source == "popularity"
    assert recommender.recommend(Query(user_id=1000, k=3)).source == "user"
    again = Decisions.read(made.path / LAYOUT.decisions, profile=EXACT, ranker="never")
    assert files(run(checkpoint, tmp_path / "b", EXACT, ranker="never", decisions=again).path) == files(made.path)


def test_a_repeated_decision_is_held_to_the_gate(tmp_path):
    insisting = Decisions(EXACT, "never", {"fold_in": Decision("map", "by hand")})
    with pytest.raises(QualityGateError, match="gate fold_in:"):
        run(only_own_vectors_know(), tmp_path / "a", EXACT, ranker="never", decisions=insisting)


def test_a_popularity_model_is_not_held_against_itself(tmp_path):
    counts = single_fit(np.ones((300, 1)), np.random.default_rng(0).random((400, 1)), "popularity")
    checkpoint = replace(only_own_vectors_know(), selection=counts, final=counts)
    made = run(checkpoint, tmp_path / "a", EXACT, ranker="never")
    assert made.report["decisions"]["fold_in"]["choice"] == "map"
    assert "fold_in" not in {gate["name"] for gate in made.report["gates"]}
