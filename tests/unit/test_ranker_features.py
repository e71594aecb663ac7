import numpy as np
import pytest

from gnas_serve.runtime.ranker_features import (
    CROSS_FEATURES,
    content_similarity,
    cross_features,
    history_features,
)

_SCORES = np.array([3.0, 1.0, 0.5], np.float32)


def test_each_cross_feature_is_what_it_says():
    content = np.array([0.1, 0.2, 0.3], np.float32)
    columns = dict(zip(CROSS_FEATURES, cross_features(CROSS_FEATURES, _SCORES, content).T, strict=True))
    assert columns["score"] == pytest.approx(_SCORES)
    assert columns["score_z"] == pytest.approx((_SCORES - _SCORES.mean()) / _SCORES.std())
    assert columns["log_rank"] == pytest.approx(np.log([1, 2, 3]))
    assert columns["content"] == pytest.approx(content)


def test_equal_scores_standardise_to_zero_and_one_candidate_is_no_problem():
    assert cross_features(("score_z",), np.full(4, 2.0, np.float32), None).tolist() == [[0.0]] * 4
    assert cross_features(("score_z", "log_rank"), _SCORES[:1], None).tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("names", [("content",), ("no such feature",)])
def test_an_unknown_or_missing_feature_is_refused(names):
    with pytest.raises(ValueError, match="cross feature"):
        cross_features(names, _SCORES, None)


def test_history_features_are_length_and_mean_popularity():
    assert history_features(np.array([1.0, 3.0], np.float32)) == pytest.approx([np.log(3), 2.0])
    assert history_features(np.empty(0, np.float32)).tolist() == [0.0, 0.0]


def test_content_similarity_is_the_mean_cosine_with_the_history():
    content = np.array([[1, 0], [0, 1], [0.6, 0.8], [0, 0]], np.float16)
    similarity = content_similarity(content, np.array([0, 1]), np.array([0, 2, 3]))
    assert similarity == pytest.approx([0.5, 0.7, 0.0], abs=1e-3)
    assert content_similarity(content, np.array([], int), np.array([0, 1])).tolist() == [0.0, 0.0]
