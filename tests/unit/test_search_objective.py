"""Every metric by its name: what it is, which way is better, and the same value as where it is defined."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp
from toy_study import make_dataset

from gnas_search.data.dataset import Dataset
from gnas_search.data.interactions import FeatureTable
from gnas_search.evaluate import Validation, validation_of
from gnas_search.evidence import Evidence
from gnas_search.exposure import exposure
from gnas_search.metrics import METRICS
from gnas_search.search_objective import MEASURES, objective, objective_names
from gnas_search.validation_measures import catalogue_of, labelled_pairs, measure_validation
from gnas_serve.errors import ConfigError, DataError


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    toy = make_dataset()
    features = np.random.default_rng(1).normal(size=(len(toy.items), 3)).astype(np.float32)
    return replace(toy, item_features=FeatureTable(("a", "b", "c"), features))


@pytest.fixture(scope="module")
def scores(dataset: Dataset) -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=dataset.valid.shape)
    return (noise + 1.5 * dataset.valid.toarray()).astype(np.float32)


def _measured(dataset: Dataset, scores: np.ndarray, *names: str, **given: object) -> dict[str, np.ndarray]:
    catalogue = catalogue_of(dataset, dataset.selection.positives)
    return measure_validation(
        [objective(name) for name in names],
        validation_of(dataset),
        lambda rows: scores[rows].copy(),
        catalogue,
        seed=0,
        **given,  # type: ignore[arg-type]
    )


def test_the_registry_is_sorted_and_whole() -> None:
    assert list(MEASURES) == sorted(MEASURES)
    assert set(METRICS) <= set(MEASURES)
    assert {"accuracy", "auc", "coverage", "diversity", "gini", "log_loss", "novelty"} == set(MEASURES) - set(METRICS)
    smaller = [name for name in MEASURES if not objective(_full(name)).larger_is_better]
    assert smaller == ["gini", "log_loss"]
    assert [name for name in MEASURES if not objective(_full(name)).per_user] == ["coverage", "gini"]
    assert objective_names(7)[:3] == ["accuracy", "auc", "coverage@7"]


def _full(name: str) -> str:
    return f"{name}@20" if MEASURES[name].takes_k else name


def test_a_name_says_the_length_of_the_lists() -> None:
    found = objective("ndcg@5")
    assert (found.name, found.k, found.larger_is_better, found.per_user) == ("ndcg@5", 5, True, True)
    assert (objective("auc").k, objective("coverage@1000").k) == (None, 1000)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ndgc@10", "unknown objective 'ndgc@10' (did you mean 'ndcg@10'?"),
        ("hitrate@20", "did you mean 'hit_rate@20'?"),
        ("AUC", "known: accuracy, auc, coverage@20"),
        ("ndcg", "length of the lists is missing (give 1 to 1000, as in 'ndcg@20')"),
        ("recall@0", "out of range"),
        ("recall@1001", "out of range"),
        ("recall@ten", "out of range"),
        ("diversity@1", "out of range (give 2 to 1000, as in 'diversity@20')"),
        ("auc@20", "auc looks at no list (say 'auc')"),
        ("log_loss@", "say 'log_loss'"),
        ("", "unknown objective ''"),
    ],
)
def test_other_names_are_refused_with_the_nearest(name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        objective(name)
    assert message in str(caught.value)
    assert caught.value.code in ("unknown_objective", "objective_k")


def test_all_of_them_in_one_pass(dataset: Dataset, scores: np.ndarray) -> None:
    names = [_full(name) for name in MEASURES]
    found = _measured(dataset, scores, *names)
    users = len(validation_of(dataset).users)
    for name in names:
        one = objective(name)
        assert found[name].shape == ((users,) if one.per_user else (1,))
        assert np.isfinite(one.mean(found[name]))
        # Alone it is what it is among the others, though the lists are shorter.
        np.testing.assert_array_equal(_measured(dataset, scores, name)[name], found[name])


def test_they_are_those_of_selection_and_of_the_report(dataset: Dataset, scores: np.ndarray) -> None:
    validation = Validation(dataset.selection.positives, dataset.valid, max_users=None, seed=0, k=5)
    selected = validation.score_with(lambda rows: scores[rows].copy())
    names = ("recall@5", "ndcg@5", "coverage@5", "gini@5", "novelty@5", "diversity@5")
    found = _measured(dataset, scores, *names)
    np.testing.assert_array_equal(found["recall@5"], selected.recall)
    np.testing.assert_array_equal(found["ndcg@5"], selected.ndcg)
    catalogue = catalogue_of(dataset, dataset.selection.positives)
    masked = np.where(validation.masked.toarray() > 0, -np.inf, scores[validation.users])
    top = list(np.argsort(-masked, axis=1, kind="stable")[:, :5])
    shown = exposure(top, catalogue.counts, catalogue.num_users, catalogue.features, 5)
    for name in names[2:]:
        assert objective(name).mean(found[name]) == pytest.approx(shown[name])


def test_auc_is_over_the_items_that_are_not_masked(dataset: Dataset, scores: np.ndarray) -> None:
    validation = validation_of(dataset)
    found = _measured(dataset, scores, "auc")["auc"]
    for place, row in enumerate(validation.users.tolist()):
        wanted = dataset.valid[row].toarray()[0] > 0
        others = ~wanted & (dataset.selection.positives[row].toarray()[0] == 0)
        wins = scores[row][wanted][:, None] > scores[row][others][None, :]
        assert found[place] == pytest.approx(wins.mean())


def test_calibrated_figures_do_not_depend_on_the_scale_and_are_not_fitted_to_what_they_judge(
    dataset: Dataset, scores: np.ndarray
) -> None:
    names = ("log_loss", "accuracy")
    found, scaled = (_measured(dataset, s, *names) for s in (scores, 50 * scores - 7))
    for name in names:
        np.testing.assert_allclose(found[name], scaled[name], atol=1e-3)
    noise = np.random.default_rng(5).normal(size=scores.shape).astype(np.float32)
    guessed = _measured(dataset, noise, *names)
    loss = objective("log_loss")
    assert loss.mean(found["log_loss"]) < 0.6 < math.log(2) < loss.mean(guessed["log_loss"]) + 0.05
    assert loss.mean(guessed["log_loss"]) > math.log(2) - 0.02
    assert found["accuracy"].mean() > 0.7 > guessed["accuracy"].mean()


def test_low_ratings_are_labelled_where_there_are_some(dataset: Dataset, scores: np.ndarray) -> None:
    validation = validation_of(dataset)
    free = (dataset.valid.toarray() == 0) & (dataset.selection.positives.toarray() == 0)
    low = sp.csr_matrix((free & (np.arange(free.shape[1]) % 3 == 0)).astype(np.float32))
    pairs = labelled_pairs(validation, low, seed=0)
    assert (~pairs.labels).sum() == low[validation.users].nnz
    assert labelled_pairs(validation, sp.csr_matrix(low.shape), seed=0).labels.mean() == pytest.approx(0.5, abs=0.1)
    drawn, rated = (_measured(dataset, scores, "log_loss", negatives=given)["log_loss"] for given in (None, low))
    assert not np.array_equal(drawn, rated)


def test_what_the_data_lacks_is_refused(scores: np.ndarray) -> None:
    plain = make_dataset()
    with pytest.raises(ConfigError, match="attributes of the items"):
        _measured(plain, scores, "diversity@20")
    chosen = np.zeros((plain.valid.shape[0], 1), np.float32)
    chosen[np.flatnonzero(np.diff(plain.valid.indptr))[0]] = 1.0
    one_user = sp.csr_matrix(plain.valid.multiply(chosen))
    one_user.eliminate_zeros()
    with pytest.raises(DataError, match="two validation users"):
        _measured(replace(plain, valid=one_user), scores, "log_loss")
    catalogue = catalogue_of(plain, plain.selection.positives)
    lists = [np.arange(20)] * plain.valid.shape[0]
    for name, what in (("auc", "ranking"), ("accuracy", "pairs"), ("diversity@5", "features")):
        with pytest.raises(ValueError, match=f"lacks {what}"):
            objective(name).measure(Evidence(lists, plain.valid, catalogue))
