import numpy as np
import pytest

from gnas_serve.runtime.ranker_features import (
    CROSS_FEATURES,
    HISTORY_FEATURES,
    branch_features,
    check_cross,
    content_similarity,
    cross_features,
    history_features,
    relative_popularity,
)

_SCORES = np.array([3.0, 1.0, 0.5], np.float32)
_PARTS = np.array([[2.0, 1.0], [0.5, 0.5], [0.25, 0.25]], np.float32)


def test_each_cross_feature_is_what_it_says():
    content = np.array([0.1, 0.2, 0.3], np.float32)
    columns = dict(zip(CROSS_FEATURES, cross_features(CROSS_FEATURES, _SCORES, _PARTS, content).T, strict=True))
    assert columns["score"] == pytest.approx(_SCORES)
    assert columns["score_z"] == pytest.approx((_SCORES - _SCORES.mean()) / _SCORES.std())
    assert columns["log_rank"] == pytest.approx(np.log([1, 2, 3]))
    assert columns["content"] == pytest.approx(content)


@pytest.mark.parametrize("count", [1, 1023, 1024, 1025, 3000])
def test_ranks_of_lists_of_any_length(count):
    scores = np.linspace(1.0, 0.0, count, dtype=np.float32)
    found = cross_features(("log_rank",), scores, scores[:, None], None)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found[:, 0], np.log1p(np.arange(count)).astype(np.float32))


def test_equal_scores_standardise_to_zero_and_one_candidate_is_no_problem():
    equal = np.full(4, 2.0, np.float32)
    assert cross_features(("score_z", "branch_z.0"), equal, equal[:, None], None).tolist() == [[0.0, 0.0]] * 4
    assert cross_features(("score_z", "log_rank"), _SCORES[:1], _PARTS[:1], None).tolist() == [[0.0, 0.0]]


def test_the_scores_of_branches_are_standardised_one_by_one():
    names = branch_features(2)
    check_cross((*names, "score"), 2)
    found = cross_features(("log_rank", *reversed(names)), _SCORES, _PARTS, None)
    expected = (_PARTS - _PARTS.mean(axis=0)) / _PARTS.std(axis=0)
    np.testing.assert_allclose(found[:, 1:], expected[:, ::-1], rtol=1e-5)


@pytest.mark.parametrize("name", ["branch_z.2", "branch_z", "branch_z.-1", "branch_z.01", "branch_z.1 ", "SCORE"])
def test_features_that_a_model_does_not_have_are_refused(name):
    with pytest.raises(ValueError, match="unknown cross feature"):
        check_cross(("score", name), 2)


@pytest.mark.parametrize("names", [("content",), ("no such feature",), ("branch_z.x",)])
def test_an_unknown_or_missing_feature_is_refused(names):
    with pytest.raises(ValueError, match="cross feature"):
        cross_features(names, _SCORES, _PARTS, None)


def test_history_features_are_length_and_mean_popularity():
    found = history_features(np.array([1.0, 3.0], np.float32), 1.0)
    assert dict(zip(HISTORY_FEATURES, found, strict=True)) == pytest.approx(
        {"history_log_length": np.log(3), "history_popularity": 2.0}
    )
    assert history_features(np.empty(0, np.float32), 1.0).tolist() == [0.0, 0.0]


def test_history_features_survive_a_fit_on_more_interactions():
    """Every history half as long again, every item half as popular again: nothing has changed in relation."""
    rng = np.random.default_rng(0)
    counts = rng.integers(20, 400, 500)
    history = rng.choice(500, 60, replace=False)
    before, after = (
        history_features(relative_popularity(grown)[some], float(grown.mean()))
        for grown, some in ((counts, history[:40]), (counts * 3 // 2, np.concatenate([history[:40], history[:20]])))
    )
    shift = abs(before[0] - after[0])
    assert shift < 0.02 < np.log(1.5)
    assert relative_popularity(counts * 3 // 2) == pytest.approx(relative_popularity(counts), abs=0.05)


def test_content_similarity_is_the_mean_cosine_with_the_history():
    content = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float16)
    similarity = content_similarity(content, np.array([0, 1]), np.array([0, 2, 3]))
    assert similarity == pytest.approx([0.5, 0.7, 0.0], abs=1e-3)
    assert content_similarity(content, np.array([], int), np.array([0, 1])).tolist() == [0.0, 0.0]
