"""The ranker learns on one fit and ships on another: other axes, another scale, more interactions."""

from dataclasses import replace

import numpy as np
import pytest
from export_runs import LIMITS, PROFILE, run
from planted_checkpoint import refitted_checkpoint

from gnas_search.bootstrap import paired_interval
from gnas_search.evaluate import rank_metrics
from gnas_serve.runtime.recommender import Query, Recommender

LENIENT = replace(PROFILE, candidates=100, gates=replace(LIMITS, quality_loss=0.1))


@pytest.fixture(scope="module")
def world():
    return refitted_checkpoint()


def ndcg(path, later):
    recommender = Recommender.load(path)
    users = recommender.users.ids(range(len(recommender.users)))
    answers = [recommender.recommend(Query(user_id=user_id, k=20)) for user_id in users]
    return rank_metrics([recommender.items.rows(answer.item_ids) for answer in answers], later).ndcg


def test_it_is_a_true_refit(world):
    """No coordinate and no score may be carried over, or the test below tests nothing."""
    checkpoint, _ = world
    before, after = checkpoint.selection.item_vectors, checkpoint.final.item_vectors
    same_axes = [abs(np.corrcoef(before[:, axis], after[:, axis])[0, 1]) for axis in range(before.shape[1])]
    assert max(same_axes) < 0.9
    assert np.linalg.norm(after) > 2 * np.linalg.norm(before)
    assert checkpoint.seen().sum() > 1.8 * checkpoint.train.sum()


def test_the_ranker_survives_the_refit(tmp_path):
    """On the final fit it gains on later interactions what it gained on the judging users at export.

    Of three worlds together: in one of them 200 users judge, and the gain is known to a fifth.
    """
    promised, kept = [], []
    for seed in range(3):
        checkpoint, later = refitted_checkpoint(seed=seed)
        learned = run(checkpoint, tmp_path / f"a{seed}", LENIENT)
        assert learned.manifest.ranker.kind == "mlp"
        plain = run(checkpoint, tmp_path / f"b{seed}", LENIENT, ranker="never")
        quality = learned.report["facts"]["quality"]
        promised.append(quality["shipped"]["ndcg@20"] - quality["exact_retrieval"]["ndcg@20"])
        gain = paired_interval(ndcg(learned.path, later), ndcg(plain.path, later), seed=0)
        assert gain.low > 0
        kept.append(gain.value)
    assert min(promised) > 0.05
    assert sum(kept) > 0.9 * sum(promised)
